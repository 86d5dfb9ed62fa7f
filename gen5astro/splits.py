"""Which pairs train, which validate, which test: assigned so that nothing leaks, and audited.

The rule. Objects on one host or closer than `min_separation_arcsec` are one group (`gen5astro.sky.group_objects`). Each
object has a key: its cell of the sky, about 0.1 degrees wide, or its host where it has no position, or its row number
where it has neither; a group's key is the smallest of its members', a cell before a host. A keyed hash of that key and
the seed, uniform in [0, 1), is cut by the fractions. So a split depends on nothing but the group itself:

- the order of the rows, and rows of other groups, change nothing: rows may be added without moving old hosts;
- a patch of sky is in one split, apart from groups that reach over a cell's edge;
- ratios are met on average. With some tens of hosts they may be far off; `assign_splits` refuses an empty split and
  names a seed that gives the best ratios.

A new row moves old ones only where it changes a group's smallest key: where it joins two groups of different cells into
one (both must then share a split, or one host would leak: they go where the smaller key sends them), where it extends a
group over the edge of a cell of smaller key, or where it gives the first position of a host that had none.
"""

import hashlib
import itertools
import math

import numpy as np
from scipy.spatial import cKDTree

from gen5astro.errors import ColumnError, ConfigError, FormatError, ShapeError
from gen5astro.sky import chord, group_objects, separation_arcsec, sky_cell, unit_vectors

__all__ = ["CELL_DEG", "SPLITS", "assign_splits", "audit_splits", "split_digest"]

SPLITS = ("train", "val", "test")
CELL_DEG = 0.1
_ALIASES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_SEEDS_TRIED = 200


def assign_splits(ra, dec, host_id, config, *, region_split=None, groups=None):
    """Assign every pair to a split, groups whole, stable under adding rows.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.
    host_id : str array, (n,)
        Name of the host; '' where unknown.
    config : BuildConfig
        Strategy, fractions, seed and separation.
    region_split : str array, (n,), optional
        The input's own split; needed by, and only used for, ``split = "given"``, which is taken as it is:
        `audit_splits` says whether it leaks.
    groups : int64 array, (n,), optional
        Labels from `gen5astro.sky.group_objects`, where they are at hand.

    Returns
    -------
    split : str array, (n,)
        'train', 'val' or 'test'.

    Raises
    ------
    ColumnError
        If a given split is asked for and the column is absent.
    FormatError
        If a given split has a value that means none of the three.
    ConfigError
        If the fractions are not shares of one, or a split that should hold pairs would be empty.
    """
    fractions = _checked_fractions(config.fractions)
    if config.split == "given":
        split = _map_given(region_split)
        _refuse_empty(split, fractions, lambda: "add pairs to it, or use --set build.split=sky")
        return split
    if groups is None:
        groups = group_objects(ra, dec, host_id, min_separation_arcsec=config.min_separation_arcsec)
    keys = _group_keys(ra, dec, host_id, groups)
    split = np.array(SPLITS)[_hash_splits(keys, config.split_seed, fractions)][groups]
    if len(split):
        _refuse_empty(split, fractions, lambda: _suggest_seed(keys, fractions))
    return split


def _checked_fractions(fractions):
    if any(not 0.0 <= each <= 1.0 for each in fractions) or not math.isclose(sum(fractions), 1.0, abs_tol=1e-6):
        raise ConfigError("build.fractions", got=list(fractions), expected="three shares that add up to 1")
    return fractions


def _map_given(region_split):
    if region_split is None:
        raise ColumnError(
            "column region_split", got="no such column", expected="a split for every row", remedy="use build.split=sky"
        )
    names, inverse = np.unique(np.asarray(region_split, dtype=str), return_inverse=True)
    unknown = [name for name in names.tolist() if name.strip().lower() not in _ALIASES]
    if unknown:
        raise FormatError(
            "column region_split", got=", ".join(map(repr, unknown[:5])), expected=", ".join(sorted(_ALIASES))
        )
    return np.array([_ALIASES[name.strip().lower()] for name in names.tolist()], dtype="<U5")[inverse]


def _group_keys(ra, dec, host_id, groups):
    """Return the key of each group: its smallest cell, or else its smallest host, or else its row."""
    host_id, n_groups = np.asarray(host_id, dtype=str), int(groups.max()) + 1 if len(groups) else 0
    cell = sky_cell(ra, dec, size_deg=CELL_DEG)
    none = np.iinfo(np.int64).max
    smallest = np.full(n_groups, none)
    np.minimum.at(smallest, groups, np.where(cell < 0, none, cell))
    keys = [f"cell:{each}" for each in smallest.tolist()]
    unplaced = np.flatnonzero(smallest[groups] == none)
    for row in sorted(unplaced.tolist(), key=lambda row: host_id[row], reverse=True):
        keys[groups[row]] = f"host:{host_id[row]}" if host_id[row] else f"row:{row}"
    return keys


def _hash_splits(keys, seed, fractions):
    """Return the number of the split of each key."""
    edges = (fractions[0], fractions[0] + fractions[1])
    last = max(number for number, fraction in enumerate(fractions) if fraction > 0.0)
    uniform = np.array([_uniform(key, seed) for key in keys], np.float64)
    return np.minimum(np.digitize(uniform, edges), last)


def _uniform(key, seed):
    """Hash a key to a number in [0, 1)."""
    word = hashlib.blake2b(f"{seed}:{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(word, "little") >> 11) * 2.0**-53


def _suggest_seed(keys, fractions):
    """Name the seed, of the first few, whose splits come nearest to the fractions asked for."""
    independent = sorted(set(keys))
    wanted = sum(fraction > 0.0 for fraction in fractions)
    if len(independent) < wanted:
        return (
            f"the pairs make {len(independent)} independent patches of sky, and {wanted} splits need as many: "
            "add hosts, or set a fraction of build.fractions to 0"
        )
    target = np.array(fractions) * len(keys)

    def distance(seed):
        counts = np.bincount(_hash_splits(keys, seed, fractions), minlength=3)
        return (np.any((counts == 0) & (target > 0.0)), np.abs(counts - target).max())

    best = min(range(_SEEDS_TRIED), key=distance)
    counts = np.bincount(_hash_splits(keys, best, fractions), minlength=3)
    shares = ", ".join(f"{count} {name}" for count, name in zip(counts, SPLITS, strict=True))
    return f"use --set build.split_seed={best}, which gives {shares} groups"


def _refuse_empty(split, fractions, remedy):
    empty = [name for name, share in zip(SPLITS, fractions, strict=True) if share > 0.0 and not np.any(split == name)]
    if empty:
        raise ConfigError(
            f"split {' and '.join(empty)}", got="no pairs", expected="at least one group", remedy=remedy()
        )


def audit_splits(split, groups, ra, dec, digest, *, min_separation_arcsec):
    """Measure whether anything sits in two splits.

    Parameters
    ----------
    split : str array, (n,)
        Split of each pair.
    groups : int64 array, (n,)
        Group of each pair.
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.
    digest : uint64 array, (n, 2)
        Digest of each stamp and ctrl.
    min_separation_arcsec : float
        Separation at and below which two positions are one place [arcsec].

    Returns
    -------
    numbers : dict
        ``splits`` (of each: pairs, groups), ``groups``, ``leaked_groups`` (in more than one split), ``leaked_pairs``
        (pairs of those groups), ``nearest_separation_arcsec`` (of two positions in different splits; NaN where no
        two splits have positions), ``close_positions`` (pairs of positions in different splits within the separation)
        and ``twins`` (images, equal to the last bit, that occur in more than one split).
    """
    split, groups = np.asarray(split, dtype=str), np.asarray(groups)
    names, code = np.unique(split, return_inverse=True)
    if not len(split) == len(groups) == len(ra) == len(dec) == len(digest):
        lengths = [len(each) for each in (split, groups, ra, dec, digest)]
        raise ShapeError("split, groups, ra, dec and digest", got=f"lengths {lengths}", expected="one length")
    leaked = _in_several(groups, code)
    images = np.asarray(digest, np.uint64).reshape(len(split), -1)
    twins = _in_several(images.ravel(), np.repeat(code, images.shape[1]))
    nearest, close = _cross_separations(ra, dec, code, min_separation_arcsec)
    return {
        "splits": {
            str(name): {"pairs": int(np.sum(split == name)), "groups": int(np.unique(groups[split == name]).size)}
            for name in names
        },
        "groups": int(np.unique(groups).size),
        "leaked_groups": int(leaked.size),
        "leaked_pairs": int(np.isin(groups, leaked).sum()),
        "nearest_separation_arcsec": nearest,
        "close_positions": close,
        "twins": int(twins.size),
    }


def _in_several(labels, code):
    """Return the labels that occur with more than one code."""
    unique, inverse = np.unique(labels, return_inverse=True)
    low = np.full(len(unique), np.iinfo(np.int64).max)
    high = np.full(len(unique), -1)
    np.minimum.at(low, inverse, code)
    np.maximum.at(high, inverse, code)
    return unique[low != high]


def _cross_separations(ra, dec, code, min_separation_arcsec):
    """Return the smallest separation across splits [arcsec] and the number of close pairs of places."""
    place = np.stack([ra, dec], axis=1).astype(np.float64)
    located = np.isfinite(place).all(axis=1)
    places = [np.unique(place[located & (code == each)], axis=0) for each in range(code.max(initial=-1) + 1)]
    trees = [(each, cKDTree(unit_vectors(*each.T))) for each in places if len(each)]
    nearest, close = math.nan, 0
    for (some, tree), (others, other_tree) in itertools.combinations(trees, 2):
        distance, at = tree.query(unit_vectors(*others.T))
        match = np.argmin(distance)
        separation = float(separation_arcsec(*some[at[match]], *others[match]))
        nearest = separation if math.isnan(nearest) else min(nearest, separation)
        close += int(tree.count_neighbors(other_tree, chord(min_separation_arcsec)))
    return nearest, close


def split_digest(split, digest):
    """Digest of which pair is in which split.

    Parameters
    ----------
    split : str array, (n,)
        Split of each pair.
    digest : uint64 array, (n, 2)
        Digest of each stamp and ctrl, in the same order.

    Returns
    -------
    text : str
        SHA-256, hexadecimal; two splits of the same pixels in the same order share it only if they are equal.
    """
    hashed = hashlib.sha256(np.ascontiguousarray(digest, dtype="<u8").tobytes())
    hashed.update("\n".join(np.asarray(split, dtype=str).tolist()).encode())
    return hashed.hexdigest()
