"""From the columns of a cube's pairs to their groups and splits, and what is said of them afterwards."""

import math
from dataclasses import asdict, replace

import numpy as np

from gen5astro.balance import compare_splits, split_quantities
from gen5astro.errors import ConfigError
from gen5astro.io.hdf5_schema import SPLITS
from gen5astro.known_splits import torn_between
from gen5astro.sky import group_objects, number_hosts
from gen5astro.split_repair import repair_splits
from gen5astro.splits import assign_splits, audit_splits, find_homes, map_given
from gen5astro.twins import label_twins

__all__ = ["allot_pairs", "describe_allotment", "widen_guard"]


def widen_guard(config, shape, pixel_scale):
    """Make the guard band at least as wide as an image's diagonal, so that no pixel is in two splits.

    Parameters
    ----------
    config : BuildConfig
        With the guard band that was asked for.
    shape : tuple of int
        ``(y, x)`` of every image.
    pixel_scale : float
        Pixel scale [arcsec / pix].

    Returns
    -------
    config : BuildConfig
        With the wider of the two.
    """
    return replace(config, guard_arcsec=max(config.guard_arcsec, math.hypot(*shape) * pixel_scale))


def allot_pairs(catalog, digest, fingerprint, config, *, known=None):
    """Group and split the pairs of a cube.

    Parameters
    ----------
    catalog : dict of array, (n,)
        With ra, dec and host_id; region_split and brickname where the strategy needs them, row where messages shall
        name rows of the input.
    digest : uint64 array, (n, 2)
        Digest of each stamp and ctrl.
    fingerprint : uint64 array, (n, 4)
        Fingerprint of each ctrl.
    config : BuildConfig
        How to split, from `widen_guard`.
    known : str array, (n,), optional
        Split that a row already has, '' for new rows, as `gen5astro.splits.assign_splits` takes them.

    Returns
    -------
    split : str array, (n,)
        Split of each pair; with `known`, '' of a new pair that would leak in any.
    group : int64 array, (n,)
        Group of each pair; -1 of one without a split.
    moves : list of Move
        What a repair moved; empty where none was asked for.

    Raises
    ------
    ConfigError
        If a repair is asked for of a split that is not given, or the pairs cannot be split as asked.
    """
    if config.repair and config.split != "given":
        raise ConfigError(
            "build.repair",
            got=f"true with build.split={config.split}",
            expected="a given split",
            remedy="add --split given: a split that gen5astro assigns does not leak",
        )
    ra, dec, host_id = catalog["ra"], catalog["dec"], catalog["host_id"]
    twins, group = _group(ra, dec, host_id, digest, fingerprint, config)
    if known is not None and config.split != "given":
        labels = (number_hosts(host_id), twins)
        kept = ~torn_between(known, np.array([ra, dec]), labels, config.guard_arcsec)
        if not kept.all():
            # By itself: through it, others of its host would be between the splits too.
            split, group = np.full(len(kept), "", np.array(SPLITS).dtype), np.full(len(kept), -1)
            chosen = {name: values[kept] for name, values in catalog.items()}
            known = known[kept]
            split[kept], group[kept], moves = allot_pairs(chosen, digest[kept], fingerprint[kept], config, known=known)
            return split, group, moves
    columns = {name: catalog.get(name) for name in ("region_split", "brickname", "row")}
    split = assign_splits(ra, dec, host_id, config, groups=group, digest=digest, known=known, **columns)
    moves = []
    if config.repair:
        split, moves = repair_splits(
            split, ra, dec, host_id, twins=twins, min_separation_arcsec=config.min_separation_arcsec
        )
    kept = split != ""
    if not kept.all():
        # Through a pair that no split may have, hosts hung together that do not without it.
        group = np.full(len(split), -1)
        group[kept] = _group(ra[kept], dec[kept], host_id[kept], digest[kept], fingerprint[kept], config)[1]
    return split, group, moves


def _group(ra, dec, host_id, digest, fingerprint, config):
    """Twins, and the groups that they make with hosts and positions."""
    twins = label_twins(digest, fingerprint)
    separation = config.min_separation_arcsec
    return twins, group_objects(ra, dec, host_id, min_separation_arcsec=separation, twins=twins)


def describe_allotment(cube):
    """Say what of a cube's split leaks, how alike its splits are, and what a repair moved.

    Parameters
    ----------
    cube : Cube
        The cube.

    Returns
    -------
    parts : dict
        ``leaks``, numbers of `gen5astro.splits.audit_splits`; ``balance``, of `gen5astro.balance.compare_splits`; and
        ``moved``, the hosts of a given split that a repair moved, as dicts of the fields of
        `gen5astro.split_repair.Move`, or None where none was asked for.
    """
    config, catalog, split = widen_guard(cube.config.build, cube.shape, cube.pixel_scale), cube.catalog, cube.split
    options = {
        "min_separation_arcsec": config.min_separation_arcsec,
        "twins": label_twins(cube.digest, cube.fingerprint),
    }
    place = catalog["ra"], catalog["dec"]
    numbers = audit_splits(split, cube.group, *place, cube.digest, guard_arcsec=config.guard_arcsec, **options)
    moved = None
    if config.repair:
        # The catalog keeps the split that was given, so the repair can be told again, in the order of the input.
        at = np.argsort(cube.row)
        columns = (map_given(catalog["region_split"]), *place, catalog["host_id"])
        options["twins"] = options["twins"][at]
        moved = [asdict(move) for move in repair_splits(*(each[at] for each in columns), **options)[1]]
    nearest = numbers["nearest_separation_arcsec"]
    return {
        "leaks": {
            "groups": numbers["leaked_groups"],
            "close_positions": numbers["close_positions"],
            "guarded_positions": numbers["guarded_positions"],
            "twins": numbers["twins"],
            "near_twins": numbers["near_twins"],
            "nearest_separation_arcsec": nearest if np.isfinite(nearest) else None,
        },
        "moved": moved,
        "balance": compare_splits(split, _homes(cube, config), split_quantities(cube)),
    }


def _homes(cube, config):
    catalog = cube.catalog
    columns = {"groups": cube.group, "digest": cube.digest, "brickname": catalog.get("brickname")}
    return find_homes(catalog["ra"], catalog["dec"], catalog["host_id"], config, **columns)[0]
