"""Which pairs train, which validate, which test: assigned so that nothing leaks, and audited.

The rule. Objects on one host, closer than `min_separation_arcsec`, or of the same pixels are one *group*
(`gen5astro.sky.group_objects`). Groups with members closer than `guard_arcsec` are one *patch*: the guard band. A patch
has a *home*, its smallest cell of the sky of `cell_deg`, or its brick, or its host where it has no position. All
patches of a home share a split, so two objects in different splits are always farther apart than the guard band, on
either side of a cell's edge, and no object is dropped for it. Homes are ordered by a keyed hash of their name and cut
where the fractions of the pairs ask for it (`gen5astro.shares`).

The order of the rows changes nothing. New rows change the fractions' cuts, and so may move a few old homes: pass the
old splits as `known`, and none moves.
"""

import hashlib
import itertools
import math

import numpy as np
from scipy.spatial import cKDTree

from gen5astro.errors import ColumnError, ConfigError, FormatError, ShapeError
from gen5astro.io.hdf5_schema import SPLITS
from gen5astro.known_splits import settle
from gen5astro.shares import deal_shares, hash_place
from gen5astro.sky import chord, connect, distinct_places, group_objects, separation_arcsec, sky_cell, unit_vectors

__all__ = ["SPLITS", "assign_splits", "audit_splits", "find_homes", "map_given", "split_digest"]

_ROWS = 1 << 16
_ALIASES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


def assign_splits(
    ra, dec, host_id, config, *, region_split=None, brickname=None, groups=None, digest=None, known=None, row=None
):
    """Assign every pair to a split: groups whole, a guard band between splits, shares of the pairs as asked.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.
    host_id : str array, (n,)
        Name of the host; '' where unknown.
    config : BuildConfig
        Strategy, fractions, seed, separation, guard band and size of the cells.
    region_split : str array, (n,), optional
        The input's own split; needed by, and only used for, ``split = "given"``, which is taken as it is:
        `audit_splits` says whether it leaks, `gen5astro.split_repair.repair_splits` mends it.
    brickname : str array, (n,), optional
        Brick of each object; needed by, and only used for, ``split = "brick"``.
    groups : int64 array, (n,), optional
        Labels from `gen5astro.sky.group_objects`, where they are at hand.
    digest : uint64 array, (n, 2), optional
        Digest of each stamp and ctrl: names the objects that have neither a position nor a host.
    known : str array, (n,), optional
        Split that a row already has, '' for new rows. Known rows keep theirs; new ones follow their group, then what
        is within the guard band of their patch, then their home.
    row : int64 array, (n,), optional
        Row numbers in the input, for messages; by default the places in the columns.

    Returns
    -------
    split : str array, (n,)
        'train', 'val' or 'test'. With `known`, '' where a new row lies between old ones of different splits, so that
        in any split it would leak.

    Raises
    ------
    ColumnError
        If the strategy's column is absent.
    FormatError
        If a given split has a value that means none of the three, or an object has no brick.
    ConfigError
        If the fractions are not shares of one, or a split that should hold pairs would be empty.
    """
    fractions = _checked_fractions(config.fractions)
    if config.split == "given":
        split = map_given(region_split, row)
        _refuse_empty(split, fractions, "add pairs to it, or use --set build.split=sky")
        return split
    if groups is None:
        groups = group_objects(ra, dec, host_id, min_separation_arcsec=config.min_separation_arcsec)
    columns = {"groups": groups, "brickname": brickname, "digest": digest, "row": row}
    home, names = find_homes(ra, dec, host_id, config, **columns)
    code, settled = np.full(len(groups), -1), np.zeros(len(groups), bool)
    if known is not None:
        place = np.array([ra, dec], np.float64)
        code, settled = settle(_known_codes(known, len(groups)), place, groups, home, config.guard_arcsec)
    if not settled.all():
        size = np.bincount(home[~settled], minlength=len(names))
        dealt = np.flatnonzero(size)
        place = np.array([hash_place(names[each], config.split_seed) for each in dealt.tolist()])
        held = np.bincount(code[settled & (code >= 0)], minlength=len(SPLITS))
        part = np.empty(len(names), np.int64)
        part[dealt] = deal_shares(size[dealt], place, fractions, held=held)
        code[~settled] = part[home[~settled]]
    split = np.array([*SPLITS, ""])[code]
    if len(split):
        _refuse_empty(split, fractions, _remedy(len(names), fractions))
    return split


def _checked_fractions(fractions):
    if any(not 0.0 <= each <= 1.0 for each in fractions) or not math.isclose(sum(fractions), 1.0, abs_tol=1e-6):
        raise ConfigError("build.fractions", got=list(fractions), expected="three shares that add up to 1")
    return fractions


def map_given(region_split, row=None):
    """Read the split that an input declares.

    Parameters
    ----------
    region_split : str array, (n,), or None
        Its column; ``training``, ``valid``, ``validation`` and ``testing`` are understood.
    row : int64 array, (n,), optional
        Row numbers in the input, for messages; by default the places in the column.

    Returns
    -------
    split : str array, (n,)
        'train', 'val' or 'test'.

    Raises
    ------
    ColumnError
        If there is no such column.
    FormatError
        If a value means none of the three.
    """
    if region_split is None:
        raise ColumnError(
            "column region_split", got="no such column", expected="a split for every row", remedy="use build.split=sky"
        )
    names, inverse = np.unique(np.asarray(region_split, dtype=str), return_inverse=True)
    unknown = [name for name in names.tolist() if name.strip().lower() not in _ALIASES]
    if unknown:
        wrong = np.flatnonzero(np.isin(names, unknown)[inverse])
        got = f"{', '.join(map(repr, unknown[:5]))} in {_some_rows(wrong, row)}"
        remedy = "give every row its split, or use --split sky"
        raise FormatError("column region_split", got=got, expected=", ".join(sorted(_ALIASES)), remedy=remedy)
    return np.array([_ALIASES[name.strip().lower()] for name in names.tolist()], dtype="<U5")[inverse]


def _some_rows(at, row):
    """Say how many rows are meant, and which is the first."""
    first = at[0] if row is None else row[at[0]]
    return f"{len(at):,} row{'' if len(at) == 1 else 's'}, the first {first}"


def _checked_bricks(brickname, row):
    if brickname is None:
        raise ColumnError(
            "column brickname", got="no such column", expected="a brick for every row", remedy="use build.split=sky"
        )
    brickname = np.asarray(brickname, dtype=str)
    lost = np.flatnonzero(brickname == "")
    if lost.size:
        raise FormatError(
            "column brickname",
            got=f"no brick in {_some_rows(lost, row)}",
            expected="a brick for every row",
            remedy="use build.split=sky",
        )
    return brickname


def find_homes(ra, dec, host_id, config, *, groups, brickname=None, digest=None, row=None):
    """Find what `assign_splits` deals to a split as a whole.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.
    host_id : str array, (n,)
        Name of the host; '' where unknown.
    config : BuildConfig
        Strategy, guard band and size of the cells.
    groups : int64 array, (n,)
        Labels from `gen5astro.sky.group_objects`.
    brickname : str array, (n,), optional
        Brick of each object, for ``split = "brick"``.
    digest : uint64 array, (n, 2), optional
        Digest of each stamp and ctrl.
    row : int64 array, (n,), optional
        Row numbers in the input, for messages; by default the places in the columns.

    Returns
    -------
    home : int64 array, (n,)
        Label of each object's home; under ``split = "given"``, its group.
    names : list of str
        Name of each home; empty where the split is given.

    Raises
    ------
    ColumnError
        If bricks are asked for and the column is absent.
    FormatError
        If an object has no brick.
    """
    groups = np.asarray(groups)
    if config.split == "given":
        return groups, []
    patches = connect([groups], ra, dec, within_arcsec=config.guard_arcsec)
    bricks = _checked_bricks(brickname, row) if config.split == "brick" else None
    return _homes(patches, ra, dec, host_id, digest, bricks, config.cell_deg)


def _homes(patches, ra, dec, host_id, digest, bricks, cell_deg):
    """Return the home of each object, numbered, and the homes' names: brick, else cell, else host, pixels or row."""
    if bricks is not None:
        marks = [("brick", bricks, bricks != "")]
    else:
        cell, host_id = sky_cell(ra, dec, size_deg=cell_deg), np.asarray(host_id, dtype=str)
        marks = [("cell", cell, cell >= 0), ("host", host_id, host_id != "")]
        if digest is None:
            marks.append(("row", np.arange(len(patches)), True))
        else:
            marks.append(("pixels", np.asarray(digest, np.uint64)[:, -1], True))
    home, names = np.full(int(patches.max(initial=-1)) + 1, -1), []
    for kind, values, known in marks:
        # Of the patches that have no name yet, each by the smallest of its members' values.
        rows = np.flatnonzero(known & (home[patches] < 0))
        unique, at = np.unique(values[rows], return_inverse=True)
        smallest = np.full(len(home), len(unique))
        np.minimum.at(smallest, patches[rows], at)
        named = np.flatnonzero(smallest < len(unique))
        used, at = np.unique(smallest[named], return_inverse=True)
        home[named] = len(names) + at
        names += [f"{kind}:{each}" for each in unique[used].tolist()]
    return home[patches], names


def _known_codes(known, n):
    known = np.asarray(known, dtype=str)
    if len(known) != n:
        raise ShapeError("known splits", got=f"{len(known)} rows", expected=f"{n}")
    code = np.full(n, -1)
    code[known != ""] = [SPLITS.index(each) for each in map_given(known[known != ""]).tolist()]
    return code


def _remedy(n_homes, fractions):
    return (
        f"the pairs make {n_homes} independent patches of sky, and {sum(each > 0.0 for each in fractions)} splits need "
        "as many: add hosts, lower build.guard_arcsec or build.cell_deg, or set a fraction of build.fractions to 0"
    )


def _refuse_empty(split, fractions, remedy):
    empty = [name for name, share in zip(SPLITS, fractions, strict=True) if share > 0.0 and not np.any(split == name)]
    if empty:
        raise ConfigError(f"split {' and '.join(empty)}", got="no pairs", expected="at least one group", remedy=remedy)


def audit_splits(split, groups, ra, dec, digest, *, min_separation_arcsec, guard_arcsec=0.0, twins=None):
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
    guard_arcsec : float
        Width of the guard band [arcsec].
    twins : int64 array, (n,), optional
        Labels from `gen5astro.twins.label_twins`.

    Returns
    -------
    numbers : dict
        ``splits`` (of each: pairs, groups), ``groups``, ``leaked_groups`` (in more than one split), ``leaked_pairs``
        (pairs of those groups), ``nearest_separation_arcsec`` (of two positions in different splits; NaN where no
        two splits have positions), ``close_positions`` (pairs of positions in different splits within the separation),
        ``guarded_positions`` (the same within the guard band), ``twins`` (images, equal to the last bit, that occur
        in more than one split) and ``near_twins`` (labels of `twins`, which also hold what was shifted, turned,
        rescaled or rounded, that occur in more than one split; None where they are not given).

    Raises
    ------
    ShapeError
        If the columns differ in length.
    """
    split, groups = np.asarray(split, dtype=str), np.asarray(groups)
    names, code = np.unique(split, return_inverse=True)
    if not len(split) == len(groups) == len(ra) == len(dec) == len(digest):
        lengths = [len(each) for each in (split, groups, ra, dec, digest)]
        raise ShapeError("split, groups, ra, dec and digest", got=f"lengths {lengths}", expected="one length")
    leaked = _in_several(groups, code)
    images = np.asarray(digest, np.uint64).reshape(len(split), -1)
    same = _in_several(images.ravel(), np.repeat(code, images.shape[1]))
    nearest, close, guarded = _cross_separations(ra, dec, code, min_separation_arcsec, guard_arcsec)
    return {
        "splits": {
            str(name): {"pairs": int(np.sum(code == at)), "groups": int(np.unique(groups[code == at]).size)}
            for at, name in enumerate(names)
        },
        "groups": int(np.unique(groups).size),
        "leaked_groups": int(leaked.size),
        "leaked_pairs": int(np.isin(groups, leaked).sum()),
        "nearest_separation_arcsec": nearest,
        "close_positions": close,
        "guarded_positions": guarded,
        "twins": int(same.size),
        "near_twins": None if twins is None else int(_in_several(twins, code).size),
    }


def _in_several(labels, code):
    """Return the labels that occur with more than one code."""
    unique, inverse = np.unique(labels, return_inverse=True)
    low = np.full(len(unique), np.iinfo(np.int64).max)
    high = np.full(len(unique), -1)
    np.minimum.at(low, inverse, code)
    np.maximum.at(high, inverse, code)
    return unique[low != high]


def _cross_separations(ra, dec, code, *limits_arcsec):
    """Return the smallest separation across splits [arcsec] and the number of pairs of places within each limit."""
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    places = [distinct_places(ra[code == each], dec[code == each])[0] for each in range(code.max(initial=-1) + 1)]
    trees = [(each, cKDTree(unit_vectors(*each))) for each in places if each.size]
    nearest, near = math.nan, [0] * len(limits_arcsec)
    for (some, tree), (others, other_tree) in itertools.combinations(trees, 2):
        distance, at = tree.query(unit_vectors(*others))
        match = np.argmin(distance)
        separation = float(separation_arcsec(*some[:, at[match]], *others[:, match]))
        nearest = separation if math.isnan(nearest) else min(nearest, separation)
        counts = tree.count_neighbors(other_tree, chord(np.asarray(limits_arcsec)))
        near = [before + int(more) for before, more in zip(near, counts, strict=True)]
    return nearest, *near


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
    split = np.asarray(split, dtype=str)
    for start in range(0, len(split), _ROWS):
        hashed.update(("\n" * (start > 0) + "\n".join(split[start : start + _ROWS].tolist())).encode())
    return hashed.hexdigest()
