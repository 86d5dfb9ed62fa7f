"""A committee: several networks that differ in their seeds alone, whose spread says what of a result is luck.

Its folder holds a run of each member, and ``best.ckpt`` with the networks of their best epochs, which is evaluated and
deployed as that of one network is: its logit is the mean of theirs.
"""

import contextlib
from dataclasses import replace

import numpy as np

from gen5astro.errors import ConfigError, ExistsError
from gen5astro.training.checkpoint import load_checkpoint, save_checkpoint
from gen5astro.training.loop import TrainingRun
from gen5astro.training.run import RunFolder

__all__ = ["SCHEMA", "train_committee"]

SCHEMA = "gen5astro-committee/1"
_COMPARED = ("val_loss", "val_auc", "val_completeness")


def train_committee(cube_path, out, *, config, n_seeds, begin=None, **options):
    """Train one network after another, each with a seed of its own.

    Parameters
    ----------
    cube_path : path-like
        The cube.
    out : path-like
        Folder of the committee; its members are the runs ``seed-0`` and so on in it, and ``best.ckpt`` is all of them.
    config : Config
        As of `gen5astro.training.train`; ``train.seed`` is that of the first member, the others follow it.
    n_seeds : int
        How many; with ``resume``, more than there are add members.
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
        If there is no member, or fewer than a run to go on with has.
    ExistsError
        If the folder holds a run of its own, or files and neither `resume` nor `force` is given.
    """
    if n_seeds < 1:
        raise ConfigError("--seeds", got=n_seeds, expected="1 or more")
    folder, first = RunFolder(out), config.train.seed
    places = {seed: folder.path / f"seed-{seed}" for seed in range(first, first + n_seeds)}
    others = _others(folder, places, options)
    members, is_first = [], True
    for seed, place in places.items():
        own = replace(config, train=replace(config.train, seed=seed))
        again = {**options, "resume": options.get("resume", False) and (place / "config.toml").is_file()}
        run = TrainingRun(cube_path, place, config=own, **again)
        is_first = run.is_first
        if is_first:
            # What is there is of other members until all of these are done.
            folder.best.unlink(missing_ok=True)
        members.append(run.fit(**(begin(run) if begin else {})))
    if is_first:
        for each in others:
            each.remove()
            with contextlib.suppress(OSError):  # files that are none of ours
                each.path.rmdir()
        save_checkpoint(_joined([load_checkpoint(each["run"]) for each in members]), folder.best)
    return {
        "schema": SCHEMA,
        "committee": str(out),
        "members": members,
        "spread": _spread([each["best"] for each in members]),
    }


def _others(folder, places, options):
    """Members that are there and not asked for; refuses a folder that no such committee may be put into."""
    if folder.config.exists():
        got, remedy = "the folder of a single run", "choose another --out"
        raise ExistsError(f"committee {folder.path}", got=got, expected="one for all members", remedy=remedy)
    if not (options.get("resume") or options.get("force")):
        folder.require_empty("committee")
    others = [each for each in folder.members if each.path not in places.values()]
    if others and not options.get("force"):
        got = f"{len(places)} from seed {min(places)} on, and a member {others[0].path.name} that is none of them"
        raise ConfigError("--seeds", got=got, remedy="name all that there are, and more to add some")
    return others


def _joined(checkpoints):
    """One checkpoint of several: what they have in common, and the network of each."""
    joined = {name: value for name, value in checkpoints[0].items() if name not in ("schema", "history")}
    joined["model"] = [each["model"] for each in checkpoints]
    joined["warnings"] = list(dict.fromkeys(line for each in checkpoints for line in each["warnings"]))
    joined["members"] = [
        {"seed": each["config"]["seed"], "epoch": each["history"][-1]["epoch"]} for each in checkpoints
    ]
    return joined


def _spread(best):
    spread = {}
    for name in _COMPARED:
        values = [each[name] for each in best if each[name] is not None]
        if values:
            scatter = float(np.std(values, ddof=1)) if len(values) > 1 else None
            spread[name] = {"mean": float(np.mean(values)), "std": scatter, "values": values}
    return spread
