"""Score the cutouts of a catalog, block by block, on threads or on a cluster."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro import __version__
from gen5astro.engine import DoneBefore, map_blocks
from gen5astro.errors import ExistsError
from gen5astro.inference.finder import DEPLOYMENT, Finder
from gen5astro.inference.scores import KEPT, Tally, write_scores
from gen5astro.inference.unfinished import Unfinished
from gen5astro.io.pairs import Reject
from gen5astro.io.parquet_files import check_ending
from gen5astro.io.rejects import check_rejects, keep_rejects, rejects_path
from gen5astro.io.resuming import part_path, size_of
from gen5astro.training.conditions import repeatable
from gen5astro.training.cutouts import check_cutouts, fit_cutouts

__all__ = ["predict"]

SCHEMA = "gen5astro-scores/1"
_BATCHES = 4  # of a block: enough that handing it about costs nothing beside the network
_SHARES = (0.01, 0.25, 0.5, 0.75, 0.99, 0.999, 1.0)


def predict(finder, source, out, *, config, threads=None, resume=False, force=False, advance=None):
    """Score images of galaxies with a trained network.

    A row that cannot be read, or an image that is not whole, has no score: it is written beside the output with its
    reason (`gen5astro.io.rejects.rejects_path`). What is done when a run ends early stays in the folder ``OUT.part``.

    Parameters
    ----------
    finder : Finder
        From `open_finder`.
    source : ParquetCutouts, TableCutouts or MultimodalCutouts
        From `gen5astro.io.open_cutouts`.
    out : path-like
        Parquet file to write, a row an image in the order of the input; it appears only when it is whole. Its metadata
        say which network made it, and what is known of that network's fitness.
    config : Config
        Sections ``predict`` and ``audit`` (``max_reject_fraction``).
    threads : int, optional
        Blocks scored at once; does not change the result.
    resume : bool
        Whether to go on with what an interrupted run left.
    force : bool
        Whether `out`, and what an interrupted run left, may be overwritten.
    advance : callable, optional
        Called with the number of rows done.

    Returns
    -------
    summary : dict
        Plain types, schema ``gen5astro-scores/1``: counts, quantiles of the scores, the network's origin, and the
        verdict on its deployment.

    Raises
    ------
    FormatError
        If `out` does not end as Parquet does.
    ExistsError
        If `out` is there, or what an interrupted run left, and neither `resume` nor `force` allows it.
    SchemaError
        If the images are not what the network takes, or the run to resume is another one.
    RejectedError
        If too many rows, or all, cannot be scored.
    """
    out = Path(out)
    check_ending(out)
    notes = [*source.notes, *check_cutouts(finder, source)]
    if out.exists() and not (force or resume):
        raise ExistsError(f"output {out}", got="a file that is there", remedy="choose another --out, or pass --force")
    told = _provenance(finder, source, config, notes)
    if out.exists() and not force and not part_path(out).exists():
        return _finished(out, told, config)
    plan = {
        **told,
        "input files": size_of(source.label, getattr(source, "named_files", ())),
        "n_rows": source.n_rows,
        "image_shape": list(source.shape),
    }
    with Unfinished(out, plan, resume=resume, force=force) as state:
        _score(state, _Work(source, finder, config.predict.batch_size), threads, advance)
        label, place = f"cutouts {source.label}", rejects_path(out)
        keep_rejects(state.rejects, place, source=source)
        counts = {"n_in": source.n_rows, "n_ok": state.n_scored}
        allowed = config.audit.max_reject_fraction
        check_rejects(label, state.rejects, **counts, allowed=allowed, place=place, resumable=True)
        counts = {"read": source.n_rows, "scored": state.n_scored, "rejected": len(state.rejects)}
        tally = Tally(config.predict.thresholds)
        write_scores(state, out, metadata=_metadata(told | {"counts": counts}), tally=tally)
        state.remove()
    return _summary(told, counts, tally, out)


def _summary(told, counts, tally, out):
    return {
        **told,
        "counts": counts,
        "above": tally.above,
        "quantiles": tally.quantiles(_SHARES),
        "out": str(out),
        "rejects": str(rejects_path(out)) if counts["rejected"] else None,
    }


def _finished(out, told, config):
    """What the run to resume has made already."""
    try:
        stored = json.loads(pq.read_schema(out).metadata[b"gen5astro.record"])
    except (pa.ArrowException, OSError, TypeError, KeyError, ValueError):
        stored = {}
    if any(stored.get(name) != value for name, value in told.items()):
        got = "scores of other images, of another network or with other settings"
        raise ExistsError(f"output {out}", got=got, remedy="choose another --out, or pass --force")
    tally = Tally(config.predict.thresholds)
    with pq.ParquetFile(out) as file:
        for batch in file.iter_batches(columns=["score"]):
            tally.add(batch.column(0).to_numpy())
    return _summary(told, stored["counts"], tally, out)


def _score(state, work, threads, advance):
    """Score every block that is not yet done, in order."""
    if advance is not None:
        advance(DoneBefore(state.done))
    refs = (ref for ref in work.source.blocks(_BATCHES * work.batch_size) if ref.start >= state.done)
    # One thread an operation: more blocks at once make better use of processors, and the result is the same for any
    # number of them.
    with repeatable(1):
        for record in map_blocks(work, refs, threads=threads, spread=True):
            before = state.done
            state.append(record)
            if advance is not None:
                advance(state.done - before)


@dataclass(frozen=True)
class _Work:
    """What is done to a block, wherever that is."""

    source: object
    finder: Finder
    batch_size: int

    def __call__(self, ref):
        block, rejects = self.source.read(ref)
        images, reasons = fit_cutouts(self.finder, block)
        whole = np.array([at for at in range(len(block)) if at not in reasons], np.int64)
        logits = np.full(len(block), np.nan)
        if len(whole):
            logits[whole] = self.finder.score(images[whole], block.pixel_scale, batch_size=self.batch_size)
        scored = np.flatnonzero(np.isfinite(logits))
        for at in np.flatnonzero(~np.isfinite(logits)).tolist():
            reason = reasons.get(at, "image: got pixels of which the network makes no finite number")
            rejects.append(Reject(int(block.row[at]), reason))
        rejects.sort(key=lambda each: each.row)
        return {
            "stop": np.int64(ref.stop),
            "row": block.row[scored].astype(np.int64),
            "logit": logits[scored],
            **{f"column_{name}": block.catalog[name][scored] for name in KEPT if name in block.catalog},
            "reject_row": np.array([each.row for each in rejects], np.int64),
            "reject_reason": np.array([each.reason for each in rejects], "U"),
        }


def _provenance(finder, source, config, notes):
    return {
        "schema": SCHEMA,
        "deployment": DEPLOYMENT,
        "input": source.label,
        "notes": notes,
        "bands": list(finder.bands),
        "shape": list(finder.shape),
        "pixel_scale": source.pixel_scale,
        "batch_size": config.predict.batch_size,
        "code_version": __version__,
        "model": {"checkpoint": finder.label, "digest": finder.digest, **finder.origin},
    }


def _metadata(told):
    """Metadata of the file: the record as JSON, and what must not be overlooked under names of their own."""
    model = told["model"]
    shown = {
        "deployment": told["deployment"],
        "model_digest": model["digest"],
        "cube_digest": model["cube_digest"],
        "code_version": told["code_version"],
        "override_gate": model["override_gate"] or "none",
        "warnings": json.dumps(model["warnings"]),
        "record": json.dumps(told, sort_keys=True),
    }
    return {f"gen5astro.{name}": text for name, text in shown.items()}
