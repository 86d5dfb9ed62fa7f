"""Judge a trained network on the test split of a cube: hosts that it never saw."""

import itertools
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gen5astro import __version__
from gen5astro.config import as_dict
from gen5astro.errors import FormatError, SchemaError
from gen5astro.evaluation.real_lenses import CAVEAT, score_candidates
from gen5astro.io.hdf5 import Cube
from gen5astro.kernels.rank import draw_groups
from gen5astro.metrics import (
    auc_of_pairs,
    average_precision_of_pairs,
    completeness_at,
    interval,
    roc_points,
)
from gen5astro.sample import load_candidates
from gen5astro.sky import effective_number, group_objects
from gen5astro.training.checkpoint import check_fit, load_checkpoint, load_model
from gen5astro.training.conditions import repeatable
from gen5astro.training.policy import pair_strengths
from gen5astro.training.reader import PairReader
from gen5astro.training.score import probability, score_pairs
from gen5astro.verdict import Status

__all__ = ["evaluate"]

SCHEMA = "gen5astro-evaluation/1"
_SHOWN_SCORES = 2000


def evaluate(run, cube_path, *, config, scores=None, threads=None, advance=None):
    """Evaluate a trained network on the test split of a cube.

    The cube need not be the one trained on, but its bands, pixel scale, image size and normalizer must be, and none of
    its test hosts may have been seen in training: this is checked by host and position for every cube.

    Parameters
    ----------
    run : path-like
        Folder of a run, whose best checkpoint is taken, or a checkpoint.
    cube_path : path-like
        The cube.
    config : Config
        Sections ``evaluate`` and ``audit`` (``min_effective_hosts``).
    scores : path-like, optional
        Parquet file to write with the score of every test image.
    threads : int, optional
        Threads of the network on the CPU; default: torch's.
    advance : callable, optional
        Called with the number of pairs scored.

    Returns
    -------
    record : dict
        Plain types, schema ``gen5astro-evaluation/1``.

    Raises
    ------
    SchemaError
        If the checkpoint does not fit the cube, or a test host was trained on.
    FormatError
        If the cube has no test pairs.
    """
    begin = time.monotonic()
    cube, checkpoint = Cube(cube_path), load_checkpoint(run)
    check_fit(checkpoint, cube, label=str(cube_path))
    rows = np.flatnonzero(cube.split == "test")
    if not len(rows):
        raise FormatError(f"cube {cube_path}", got="no pair in the test split", expected="some")
    _refuse_seen_hosts(checkpoint, cube, rows)
    model, view, spec = load_model(checkpoint)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    with repeatable(threads or torch.get_num_threads()):
        reader = PairReader(cube, view)
        logits = score_pairs(model, reader, rows, batch_size=config.evaluate.batch_size, device=device)
        layout = {"bands": cube.bands, "shape": cube.shape, "pixel_scale": cube.pixel_scale}
        candidates = score_candidates(
            load_candidates(), model, view, spec, **layout, ctrl_scores=logits[:, 1], device=device
        )
    if advance:
        advance(len(rows))
    arc_snr = pair_strengths(cube, rows)["arc_snr"]
    if scores is not None:
        _write_scores(cube, rows, logits, arc_snr, Path(scores))
    for each in candidates:
        each["score"] = None if each["score"] is None else probability(each["score"])
    return {
        "schema": SCHEMA,
        **_judged(cube, rows, logits, arc_snr, config),
        "run": str(run),
        "cube": str(cube_path),
        "split": "test",
        "bands": list(cube.bands),
        "candidates": candidates,
        "candidates_note": CAVEAT,
        "warnings": checkpoint["warnings"],
        "override_gate": checkpoint["override_gate"],
        "provenance": _provenance(checkpoint, cube, config, time.monotonic() - begin),
    }


def _refuse_seen_hosts(checkpoint, cube, rows):
    """Refuse a cube with a test host that was trained or validated on, or lies beside one that was."""
    seen, here = checkpoint["seen"], {name: cube.catalog[name][rows] for name in ("ra", "dec", "host_id")}
    together = [np.concatenate([np.asarray(seen[name]), here[name]]) for name in ("ra", "dec", "host_id")]
    groups = group_objects(*together, min_separation_arcsec=cube.config.build.min_separation_arcsec)
    n_seen = len(seen["host_id"])
    leaked = np.isin(groups[n_seen:], groups[:n_seen])
    if leaked.any():
        first = rows[leaked][0]
        raise SchemaError(
            f"cube {cube.path}, test split",
            got=f"{np.count_nonzero(leaked)} of {len(rows)} pairs on hosts trained on (row {first} of the cube, say)",
            expected="hosts that the network never saw",
            remedy="evaluate on the cube trained on, or build this one with the same split",
        )


def _judged(cube, rows, logits, arc_snr, config):
    """Return status, counts, metrics, completeness, bins, curve and scores."""
    stamp, ctrl = logits.T
    _, groups = np.unique(cube.group[rows], return_inverse=True)
    n_groups, n_effective = int(groups.max()) + 1, effective_number(groups)
    rng = np.random.default_rng(config.evaluate.seed)
    draws = np.concatenate([np.ones((1, n_groups), np.int32), draw_groups(n_groups, config.evaluate.bootstraps, rng)])
    theta_e = cube.catalog["theta_e_arcsec"][rows]
    metrics = [
        _stated("auc", auc_of_pairs(stamp, ctrl, groups, draws), n_groups),
        _stated("average_precision", average_precision_of_pairs(stamp, ctrl, groups, draws), n_groups),
        _stated("tpr0", completeness_at([0.0], stamp, ctrl, groups, draws)[:, 0], n_groups),
        _clear_arcs(arc_snr, theta_e, stamp, ctrl, groups, draws, config),
    ]
    metrics[1]["note"] = "at one ctrl a stamp; real lenses are far rarer"
    metrics[2]["note"] = f"share of stamps that score above every ctrl of the {n_groups} test hosts"
    completeness = [_at_rate(rate, stamp, ctrl, groups, draws, config) for rate in config.evaluate.false_positive_rates]
    stated = [each["fpr"] for each in completeness if each["value"] is not None]
    working_rate = max(stated, default=0.0)
    bins = partial(_in_bins, scores=(stamp, ctrl, groups, draws), rate=working_rate)
    fpr, tpr = roc_points(stamp, ctrl)
    status, reason = _status(metrics[0], n_effective, config.audit.min_effective_hosts)
    metrics[0]["note"] = reason
    return {
        "status": status,
        "counts": {"pairs": len(rows), "hosts": n_groups, "effective_hosts": round(n_effective, 2)},
        "metrics": metrics,
        "completeness": completeness,
        "bins_at": f"false-positive rate {working_rate:g}" if stated else "score above every ctrl",
        "by_theta_e": bins(theta_e, config.evaluate.theta_e_edges),
        "by_arc_snr": bins(arc_snr.value, config.evaluate.arc_snr_edges),
        "arc_snr_source": arc_snr.source,
        "roc": {"fpr": fpr, "tpr": tpr},
        "scores": {name: _thinned(probability(values)) for name, values in (("stamp", stamp), ("ctrl", ctrl))},
    }


def _stated(name, values, n_groups):
    """Make a metric of the estimate (the first value) and its bootstrap."""
    value = float(values[0]) if np.isfinite(values[0]) else None
    return {"name": name, "value": value, "interval": interval(values[1:]) if n_groups > 1 else None, "note": ""}


def _at_rate(rate, stamp, ctrl, groups, draws, config):
    """State completeness at a rate, or refuse where it would rest on too few independent ctrls."""
    n_groups, needed = draws.shape[1], config.evaluate.min_negatives_at_rate / max(rate, np.finfo(float).tiny)
    if n_groups < needed:
        note = f"needs ctrls of {np.ceil(needed):,.0f} independent hosts, there are {n_groups:,}"
        return {"fpr": rate, "value": None, "interval": None, "note": note}
    values = completeness_at([rate], stamp, ctrl, groups, draws)[:, 0]
    return {"fpr": rate, **{key: value for key, value in _stated("", values, n_groups).items() if key != "name"}}


def _clear_arcs(arc_snr, theta_e, stamp, ctrl, groups, draws, config):
    """AUC of the pairs whose arc is bright and wide enough that nobody would miss it."""
    least_snr, least_theta_e = config.evaluate.clear_arc_snr, config.evaluate.clear_theta_e_arcsec
    clear = (arc_snr.value >= least_snr) & (theta_e >= least_theta_e)
    what = f"arcs with a signal-to-noise, {arc_snr.source}, of {least_snr:g} and a theta_E of {least_theta_e:g} arcsec"
    if not clear.any():
        return {"name": "auc_clear_arcs", "value": None, "interval": None, "note": f"no {what} or more"}
    names, own = np.unique(groups[clear], return_inverse=True)
    metric = _stated("auc_clear_arcs", auc_of_pairs(stamp[clear], ctrl[clear], own, draws[:, names]), len(names))
    return {**metric, "note": f"{np.count_nonzero(clear):,} {what} or more, on {len(names):,} hosts"}


def _in_bins(values, edges, *, scores, rate):
    """Completeness in bins of a column; bins without a pair are left out."""
    stamp, ctrl, groups, draws = scores
    bounds = [None, *edges, None]
    result = []
    for low, high in itertools.pairwise(bounds):
        inside = np.isfinite(values)
        inside &= (values >= low) if low is not None else True
        inside &= (values < high) if high is not None else True
        if inside.any():
            found = completeness_at([rate], stamp, ctrl, groups, draws, chosen=inside)[:, 0]
            each = _stated("", found, len(np.unique(groups[inside])))
            hosts = len(np.unique(groups[inside]))
            row = {"low": low, "high": high, "n": int(inside.sum()), "hosts": hosts}
            result.append({**row, "completeness": each["value"], "interval": each["interval"]})
    return result


def _status(area, n_effective, min_hosts):
    if n_effective < min_hosts:
        reason = f"only {n_effective:.1f} independent test hosts: an illustration, no proof (needs {min_hosts:g})"
        return Status.INSUFFICIENT.value, reason
    if area["interval"] is None:
        return Status.ERROR.value, "no interval could be stated"
    if area["interval"][0] <= 0.5:
        return Status.FAIL.value, "the interval does not exclude chance"
    return Status.PASS.value, ""


def _thinned(values):
    """At most some two thousand of the values, evenly from smallest to largest."""
    values = np.sort(values)
    kept = np.unique(np.linspace(0, len(values) - 1, _SHOWN_SCORES).round().astype(int))
    return values[kept].tolist()


def _write_scores(cube, rows, logits, arc_snr, path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("pair_id", "host_id", "ra", "dec", "theta_e_arcsec", "arc_snr")
    columns = {"cube_row": rows, **{name: cube.catalog[name][rows] for name in names}}
    if "arc_snr_measured" in cube.measure:
        columns["arc_snr_measured"] = arc_snr.value
    for number, name in enumerate(("stamp", "ctrl")):
        columns[f"{name}_logit"] = logits[:, number]
        columns[f"{name}_score"] = probability(logits[:, number])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    pq.write_table(pa.table({name: pa.array(np.asarray(values).tolist()) for name, values in columns.items()}), part)
    part.replace(path)


def _provenance(checkpoint, cube, config, seconds):
    trained = checkpoint["cube"]
    return {
        "code_version": __version__,
        "trained_with": checkpoint["code_version"],
        **_origin(checkpoint),
        "cube_digest": cube.attributes["cube_digest"],
        "same_cube_as_trained_on": cube.attributes["cube_digest"] == trained["cube_digest"],
        "same_split_as_trained_on": cube.attributes["split_digest"] == trained["split_digest"],
        "audit_status_of_training": checkpoint["audit_status"],
        "config": {"evaluate": as_dict(config.evaluate), "train": checkpoint["config"]},
        "normalizer": trained["normalizer"],
        "seconds": round(seconds, 3),
    }


def _origin(checkpoint):
    """The epoch that is judged, of a committee that of each member."""
    members = checkpoint.get("members")
    return {"members": members} if members else {"epoch": checkpoint["history"][-1]["epoch"]}
