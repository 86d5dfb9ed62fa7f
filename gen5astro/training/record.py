"""What is said of a run: the line of an epoch, and the record of the whole."""

import math
import platform
from datetime import timedelta

import numpy as np
import torch

from gen5astro import __version__
from gen5astro.config import as_dict
from gen5astro.training.checkpoint import describe_cube
from gen5astro.training.validate import merit

__all__ = ["SCHEMA", "describe_epoch", "describe_network", "describe_pace", "list_seen", "summarize_run"]

SCHEMA = "gen5astro-training/1"
_READ = {"core swap": "the core", "faint swap": "what is fainter than an arc"}
"""What a network has come to read, by the swap that it falls at."""


def describe_epoch(record, epochs, *, seconds_left=0.0):
    """Say in a line how an epoch went.

    Parameters
    ----------
    record : dict
        Of the epoch.
    epochs : int
        Of the run.
    seconds_left : float
        What the run may still take [s]; 0 where it is at its end, or nobody knows.

    Returns
    -------
    line : str
        Losses, validation, how fast it went, and what the shortcut watch flags.
    """
    line = f"epoch {record['epoch']} of {epochs}: loss {record['train_loss']:.4f}"
    if record["val_loss"] is not None:
        line += f", validation cross-entropy {record['val_loss']:.4f}"
    if record["val_auc"] is not None:
        line += f", AUC {record['val_auc']:.3f}"
    if record["val_completeness"] is not None:
        line += f", completeness {record['val_completeness']:.3f}"
        line += f" at a false-positive rate of {record['val_false_positive_rate']:.2g}"
    if record["images_per_s"] is not None:
        line += f"; {describe_pace(record['images_per_s'], record['loader_share'])}"
    if seconds_left:
        line += f", {timedelta(seconds=round(seconds_left))} left"
    flagged = [each["name"] for each in record["watch"] if each["flagged"]]
    read = [_READ[name] for name in flagged if name in _READ]
    misled = [name for name in flagged if name not in _READ]
    line += f"; SHORTCUT: reads {' and '.join(read)}" if read else ""
    return line + (f"; misled by {' and '.join(misled)}" if misled else "")


def describe_pace(images_per_s, loader_share, loss=None):
    """Say in a few words, which fit on a bar, how fast a run is and whether its loader holds it up.

    Parameters
    ----------
    images_per_s : float
        Images a second.
    loader_share : float
        Share of the time in which the network waits for the loader.
    loss : float, optional
        Mean loss of the epoch so far.

    Returns
    -------
    words : str
        Such as ``1,234 images/s, loader 0.3 %, loss 0.4321``.
    """
    pace = f"{images_per_s:,.0f} images/s, loader {100 * loader_share:.1f} %"
    return pace if loss is None else f"{pace}, loss {loss:.4f}"


def describe_network(run):
    """Say what whoever uses a network must know of it.

    Parameters
    ----------
    run : TrainingRun
        Where it stands.

    Returns
    -------
    description : dict
        Plain types and tensors: settings, cube, audit, warnings, history, and ``seen``: host and position of each
        object of training and validation, once each.
    """
    return {
        "code_version": __version__,
        "config": as_dict(run.config),
        "cube": describe_cube(run.cube),
        "audit_status": (run.cube.audit or {}).get("status"),
        "deployable": run.view.deployable,
        "override_gate": run.override_gate,
        "warnings": run.warnings,
        "seen": run.seen,
        "history": run.history,
    }


def list_seen(catalog, rows):
    """List the objects that a network has seen.

    Parameters
    ----------
    catalog : mapping of array
        Columns of the cube.
    rows : int64 array, (n,)
        Rows of training and validation.

    Returns
    -------
    seen : dict
        ``host_id`` (list of str), ``ra`` and ``dec`` (float64 tensors [deg]) of each object, once each.
    """
    objects = np.unique(np.rec.fromarrays([catalog[name][rows] for name in ("host_id", "ra", "dec")]))
    host_id, ra, dec = (objects[name] for name in objects.dtype.names)
    return {"host_id": host_id.tolist(), "ra": _tensor(ra), "dec": _tensor(dec)}


def _tensor(values):
    return torch.from_numpy(np.array(values, np.float64))


def summarize_run(run):
    """Make the record of a run.

    Parameters
    ----------
    run : TrainingRun
        Where it stands.

    Returns
    -------
    summary : dict
        Plain types.
    """
    best = max(run.history, key=merit) if run.history else None
    device = run.fabric.device
    return {
        "schema": SCHEMA,
        "run": str(run.folder.path),
        "cube": {"path": str(run.cube.path), **describe_cube(run.cube)},
        "audit_status": (run.cube.audit or {}).get("status"),
        "config": as_dict(run.config),
        "counts": run.counts,
        "history": run.history,
        "best": best,
        "shown": run.plans.record(),
        "prior": _prior(run.config),
        "warnings": run.warnings,
        "notes": run.notes,
        "override_gate": run.override_gate,
        "seeds": {"train": run.config.seed, "split": run.cube.config.build.split_seed},
        "provenance": {
            "code_version": __version__,
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "processes": run.fabric.world_size,
            "machine": platform.machine(),
            "processor": platform.processor() or platform.machine(),
            "threads": run.threads,
            "parameters": sum(each.numel() for each in run.model.parameters()),
        },
    }


def _prior(config):
    """Share of lenses among what is shown, and what a logit must be shifted by where lenses are rarer.

    By Bayes' rule, the log odds of an image change by those of the prior (Saerens et al. 2002, Neural Computation 14,
    21): with the share p on the sky, by ln(p / (1 - p)) - ln(q / (1 - q)), q that of the training.
    """
    shares = config.batch_composition
    positives, negatives = shares.get("positives", 1.0), shares.get("negatives", 1.0)
    shown, sky = positives / (positives + negatives), 1e-3
    shift = math.log(sky / (1 - sky)) - math.log(positives / negatives)
    return {"shown": shown, "example": sky, "logit_shift": shift}
