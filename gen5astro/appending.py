"""What holds when pairs are appended to a cube: its pairs keep their splits, and no new one leaks into another."""

import dataclasses

import numpy as np

from gen5astro.errors import ConfigError
from gen5astro.io.pairs import Reject

__all__ = ["check_appending", "known_splits", "torn_pairs"]

#: Settings that may differ from those of the cube: they change neither groups nor splits, or new pairs alone.
_FREE = ("block", "shard_pairs", "fractions", "known_lenses", "nonfinite", "repair")


def check_appending(cube, out, config, audit):
    """Refuse to append in a way that would not give what the cube promises.

    Parameters
    ----------
    cube : Cube
        The cube that is there.
    out : Path
        The one to write.
    config : Config
        Settings of the one to write.
    audit : path-like or None
        An audit to embed.

    Raises
    ------
    ConfigError
        If the two are one file, a setting that splits or normalizes is another one than the cube's, the split shall
        be repaired, or an audit is given.
    """
    if out.resolve() == cube.path.resolve():
        got = "the cube to append to"
        raise ConfigError(f"output {out}", got=got, expected="another place", remedy="remove the old cube afterwards")
    if config.build.repair:
        raise ConfigError("build.repair", got="true with pairs to append", expected="false: old pairs keep their split")
    if audit is not None:
        remedy = "build without it, audit the new cube, and build it again from itself with --audit and --split given"
        raise ConfigError(f"audit {audit}", got="an audit with pairs to append", remedy=remedy)
    for section in ("build", "normalize"):
        has, asked = (getattr(each, section) for each in (cube.config, config))
        for field in dataclasses.fields(asked):
            then, now = getattr(has, field.name), getattr(asked, field.name)
            if then != now and field.name not in _FREE:
                key = f"{section}.{field.name}"
                remedy = f"pass --set {key}={then}, or build all pairs anew"
                raise ConfigError(key, got=now, expected=f"{then}, as in {cube.path}", remedy=remedy)


def known_splits(cube, row):
    """Return the split that pairs have already.

    Parameters
    ----------
    cube : Cube
        The cube that is there.
    row : int64 array, (n,)
        Rows of all pairs, as `gen5astro.io.appended.AppendedPairs` numbers them.

    Returns
    -------
    known : str array, (n,)
        '' for new pairs.
    """
    order = np.argsort(cube.row)
    at = np.searchsorted(cube.row[order], row).clip(max=len(order) - 1)
    return np.where(cube.row[order][at] == row, cube.split[order][at], "")


def torn_pairs(split, row, digest):
    """List the new pairs that no split may have.

    Parameters
    ----------
    split : str array, (n,)
        '' of those.
    row : int64 array, (n,)
        Rows.
    digest : uint64 array, (n, 2)
        Digest of each stamp and ctrl.

    Returns
    -------
    rejects : list of Reject
        They, left out on purpose.
    """
    reason = "the host, its sky or its pixels belong to pairs of the cube that are in different splits"
    torn = split == ""
    return [
        Reject(number, reason, tuple(each))
        for number, each in zip(row[torn].tolist(), digest[torn].tolist(), strict=True)
    ]
