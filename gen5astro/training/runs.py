"""Runs from beginning to end: one, or a committee of several seeds, whose spread says what of a result is luck."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from gen5astro.errors import ConfigError
from gen5astro.training.loop import TrainingRun

__all__ = ["SCHEMA", "train", "train_committee"]

SCHEMA = "gen5astro-committee/1"
_COMPARED = ("val_loss", "val_auc", "val_completeness")


def train(
    cube_path, out, *, config, resume=False, force=False, override_gate=None, threads=None, advance=None, say=None
):
    """Train a classifier on the training split of a cube.

    Parameters
    ----------
    cube_path : path-like
        The cube.
    out : path-like
        Folder of the run; see `gen5astro.training.run`.
    config : Config
        Its section ``train``; ``normalize`` may be left at its default, else it must be the cube's.
    resume : bool
        Go on with the run in `out`, with its own settings.
    force : bool
        Overwrite a run that is there.
    override_gate : str, optional
        Reason to train in the paired view although the cube's audit blocks it; recorded in every checkpoint.
    threads : int, optional
        Threads of the network on the CPU; default: all processors.
    advance : callable, optional
        Called with the number of pairs shown after each step.
    say : callable, optional
        Called with each line for the user.

    Returns
    -------
    summary : dict
        The record of the run, schema ``gen5astro-training/1``.

    Raises
    ------
    BlockedError
        If the cube's audit forbids the view.
    KeyboardInterrupt
        If interrupted, after a checkpoint was written.
    """
    run = TrainingRun(
        cube_path, out, config=config, resume=resume, force=force, override_gate=override_gate, threads=threads
    )
    return run.fit(advance=advance, say=say)


def train_committee(cube_path, out, *, config, n_seeds, begin=None, **options):
    """Train one network after another, each with a seed of its own.

    Parameters
    ----------
    cube_path : path-like
        The cube.
    out : path-like
        Folder of the committee; its members are the runs ``seed-0`` and so on in it.
    config : Config
        As of `gen5astro.training.train`; ``train.seed`` is that of the first member, the others follow it.
    n_seeds : int
        How many.
    begin : callable, optional
        Called with each run before it is trained; returns the keywords of `TrainingRun.fit`.
    **options
        Of `TrainingRun`. With ``resume``, members that are done are left as they are and those not begun are begun.

    Returns
    -------
    summary : dict
        Plain types: ``members``, the summary of each, and ``spread``, for each number of the best epochs ``mean``,
        ``std`` (n - 1; None of one member) and ``values``.

    Raises
    ------
    ConfigError
        If there is no member.
    """
    if n_seeds < 1:
        raise ConfigError("--seeds", got=n_seeds, expected="1 or more")
    members = []
    for seed in range(config.train.seed, config.train.seed + n_seeds):
        folder = Path(out) / f"seed-{seed}"
        own = replace(config, train=replace(config.train, seed=seed))
        again = {**options, "resume": options.get("resume", False) and (folder / "config.toml").is_file()}
        run = TrainingRun(cube_path, folder, config=own, **again)
        members.append(run.fit(**(begin(run) if begin else {})))
    return {"schema": SCHEMA, "members": members, "spread": _spread([each["best"] for each in members])}


def _spread(best):
    spread = {}
    for name in _COMPARED:
        values = [each[name] for each in best if each[name] is not None]
        if values:
            scatter = float(np.std(values, ddof=1)) if len(values) > 1 else None
            spread[name] = {"mean": float(np.mean(values)), "std": scatter, "values": values}
    return spread
