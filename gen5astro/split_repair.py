"""Mend a split that leaks by moving the fewest hosts, and say which and why.

What must not be divided is a group: the pairs of one host, of hosts closer than `min_separation_arcsec`, and of the
same pixels. Groups do not touch each other, so each is mended by itself: all of it goes to the split that the fewest of
its hosts must move to. No other choice of splits without a leak moves fewer hosts.
"""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.errors import ConfigError
from gen5astro.sky import distinct_places, group_objects, separation_arcsec
from gen5astro.splits import SPLITS

__all__ = ["Move", "label_hosts", "repair_splits", "write_moves"]


@dataclass(frozen=True)
class Move:
    """A host that a repair moved.

    Parameters
    ----------
    host : str
        Its name; its position, or its row, where it has none.
    group : int
        The group that it belongs to.
    pairs : int
        How many of its pairs were moved.
    before : str
        The splits that they were in, separated by commas.
    after : str
        The split that all its pairs are in now.
    reason : str
        What ties it to that split.
    """

    host: str
    group: int
    pairs: int
    before: str
    after: str
    reason: str


def label_hosts(ra, dec, host_id):
    """Label the hosts: objects of one name, or of one position where they have no name.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.
    host_id : str array, (n,)
        Name of the host; '' where unknown.

    Returns
    -------
    host : int64 array, (n,)
        Label of each object; one that has neither is a host of its own.
    """
    host_id = np.asarray(host_id, dtype=str)
    named = host_id != ""
    names, host = np.unique(host_id, return_inverse=True)
    places, at = distinct_places(ra, dec)
    at = np.where(at < 0, places.shape[1] + np.arange(len(at)), at)
    return np.where(named, host, len(names) + at)


def repair_splits(split, ra, dec, host_id, *, min_separation_arcsec, twins=None):
    """Move the fewest hosts such that no group is in two splits.

    Parameters
    ----------
    split : str array, (n,)
        Split of each pair: 'train', 'val' or 'test'.
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.
    host_id : str array, (n,)
        Name of the host; '' where unknown.
    min_separation_arcsec : float
        Separation at and below which two objects belong together [arcsec].
    twins : int64 array, (n,), optional
        Labels from `gen5astro.twins.label_twins`.

    Returns
    -------
    mended : str array, (n,)
        Split of each pair; of two ways that move as many hosts, the one that moves fewer pairs, then the one that
        keeps the smaller split.
    moves : list of Move
        The hosts that were moved, in the order of their first rows.

    Raises
    ------
    ConfigError
        If a split that had pairs would have none.
    """
    split = np.asarray(split, dtype=str)
    group = group_objects(ra, dec, host_id, min_separation_arcsec=min_separation_arcsec, twins=twins)
    host = label_hosts(ra, dec, host_id)
    code = np.array([SPLITS.index(each) for each in split.tolist()], np.int64)
    mended = _best_splits(group, host, code)[group]
    emptied = np.setdiff1d(code, mended)
    if emptied.size:
        raise ConfigError(
            f"split {SPLITS[emptied[0]]}",
            got="no pairs after the repair: each of its groups has more hosts elsewhere",
            expected="at least one group",
            remedy="use --split sky, which assigns all groups anew",
        )
    moved = np.flatnonzero(mended != code)
    members = _by_label(group, np.flatnonzero(np.isin(group, group[moved])))
    columns = np.asarray(ra, np.float64), np.asarray(dec, np.float64), np.asarray(host_id, dtype=str), host, twins
    moves = []
    for rows in sorted(_by_label(host, moved).values(), key=lambda rows: rows[0]):
        row = int(rows[0])
        moves.append(
            Move(
                host=_named(row, *columns[:3]),
                group=int(group[row]),
                pairs=len(rows),
                before=", ".join(SPLITS[each] for each in np.unique(code[rows]).tolist()),
                after=SPLITS[mended[row]],
                reason=_reason(row, members[int(group[row])], code, mended, columns),
            )
        )
    return np.array(SPLITS)[mended], moves


def _by_label(labels, rows):
    """Sort some rows by their label: dict of label to rows, ascending."""
    rows = rows[np.argsort(labels[rows], kind="stable")]
    unique, first = np.unique(labels[rows], return_index=True)
    return dict(zip(unique.tolist(), np.split(rows, first[1:]), strict=True)) if len(rows) else {}


def _best_splits(group, host, code):
    """Return the split of each group that moves the fewest hosts, then the fewest pairs, then keeps the rarest."""
    n_groups = int(group.max(initial=-1)) + 1
    pairs = np.zeros((n_groups, len(SPLITS)), np.int64)
    np.add.at(pairs, (group, code), 1)
    _, first, at = np.unique(host, return_index=True, return_inverse=True)
    inside = np.zeros((len(first), len(SPLITS)), np.int64)
    np.add.at(inside, (at, code), 1)
    stays = inside == inside.sum(axis=1, keepdims=True)
    kept = np.zeros((n_groups, len(SPLITS)), np.int64)
    np.add.at(kept, group[first], stays)
    rarity = np.argsort(np.argsort(-np.bincount(code, minlength=len(SPLITS)), kind="stable"))
    return np.lexsort((np.broadcast_to(rarity, kept.shape), pairs, kept), axis=1)[:, -1]


def _named(row, ra, dec, host_id):
    if host_id[row]:
        return str(host_id[row])
    return f"{ra[row]:.5f} {dec[row]:+.5f}" if np.isfinite(ra[row] + dec[row]) else f"row {row}"


def _reason(row, members, code, mended, columns):
    """Say what ties the host of a row to the other members of its group."""
    ra, dec, host_id, host, twins = columns
    own = members[host[members] == host[row]]
    if np.any(code[own] == mended[row]):
        return "its pairs were in several splits"
    others = members[host[members] != host[row]]
    if twins is not None and (same := others[np.isin(twins[others], twins[own])]).size:
        return f"the same pixels as {_named(same[0], ra, dec, host_id)}"
    own, others = (rows[_first_of_places(ra[rows], dec[rows])] for rows in (own, others))
    separation = separation_arcsec(ra[own][:, None], dec[own][:, None], ra[others], dec[others])
    # A host is tied to another by pixels or by place, so that here one separation at least is known.
    nearest = np.unravel_index(np.nanargmin(separation), separation.shape)
    return f"{separation[nearest]:.1f} arcsec from {_named(others[nearest[1]], ra, dec, host_id)}"


def _first_of_places(ra, dec):
    """Return the first object of each place: a host may have thousands of pairs, at one place."""
    return np.unique(distinct_places(ra, dec)[1], return_index=True)[1]


def write_moves(moves, path):
    """Write the hosts that were moved as Parquet, one row each.

    Parameters
    ----------
    moves : list of Move
        From `repair_splits`.
    path : path-like
        The file to write; replaced whole if it is there.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    schema = pa.schema([(name, pa.int64() if kind is int else pa.string()) for name, kind in _FIELDS.items()])
    pq.write_table(pa.Table.from_pylist([asdict(each) for each in moves], schema=schema), part)
    os.replace(part, path)


_FIELDS = Move.__annotations__
