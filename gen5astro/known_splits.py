"""Which split a new pair may have among pairs that keep theirs."""

import numpy as np
from scipy.spatial import cKDTree

from gen5astro.io.hdf5_schema import SPLITS
from gen5astro.sky import chord, connect, distinct_places, unit_vectors

__all__ = ["settle", "torn_between"]


def settle(code, place, groups, home, guard_arcsec):
    """Let new rows follow the known ones that they are tied to: by group, by the guard band, by home.

    Parameters
    ----------
    code : int64 array, (n,)
        Number of each known row's split, -1 for a new row.
    place : float64 array, (2, n)
        Right ascension and declination [deg]; NaN where unknown.
    groups : int64 array, (n,)
        Labels from `gen5astro.sky.group_objects`.
    home : int64 array, (n,)
        Labels of homes, from `gen5astro.splits.find_homes`.
    guard_arcsec : float
        Width of the guard band [arcsec].

    Returns
    -------
    code : int64 array, (n,)
        With new rows that follow known ones; -1 where no split may have the row, or nothing says which.
    settled : bool array, (n,)
        Whether it is known which split a row has, or that none may have it.
    """
    code, groups = code.copy(), np.asarray(groups)
    settled = code >= 0
    old, of_group = np.flatnonzero(settled), _splits_of(groups[settled], _held(code[settled]), groups)
    _follow(code, settled, np.flatnonzero(~settled), of_group[~settled])
    # Old rows are where they are: only new ones, and what of the old is near each, decide where new ones may go.
    new = np.flatnonzero(~settled)
    near = _near_splits(place, code, new, guard_arcsec)
    torn = _splits_of(groups[new], near, groups[new]).sum(axis=1) > 1
    settled[new[torn]] = True
    new, near = new[~torn], near[~torn]
    patches = connect([groups[new]], *place[:, new], within_arcsec=guard_arcsec)
    _follow(code, settled, new, _splits_of(patches, near, patches))
    pairs = np.zeros((int(home.max(initial=-1)) + 1, len(SPLITS)), np.int64)
    np.add.at(pairs, (home[old], code[old]), 1)
    new = np.flatnonzero(~settled & pairs.any(axis=1)[home])
    code[new], settled[new] = pairs.argmax(axis=1)[home[new]], True
    return code, settled


def torn_between(known, place, labels, guard_arcsec):
    """Find the new rows that are themselves tied to known rows of different splits.

    Parameters
    ----------
    known : str array, (n,)
        Split of each known row, '' for a new row.
    place : float64 array, (2, n)
        Right ascension and declination [deg]; NaN where unknown.
    labels : sequence of int64 array, (n,)
        Rows of one label belong together; -1 is none.
    guard_arcsec : float
        Width of the guard band [arcsec].

    Returns
    -------
    torn : bool array, (n,)
        Whether no split may have the row, whatever becomes of other new rows.
    """
    code = np.array([SPLITS.index(each) if each else -1 for each in known.tolist()], np.int64)
    old, new = np.flatnonzero(code >= 0), np.flatnonzero(code < 0)
    tied = _near_splits(place, code, new, guard_arcsec)
    for label in labels:
        has = label[old] >= 0
        of_label = _splits_of(label[old][has], _held(code[old][has]), np.maximum(label[new], 0))
        tied |= of_label & (label[new] >= 0)[:, None]
    torn = np.zeros(len(code), bool)
    torn[new] = tied.sum(axis=1) > 1
    return torn


def _held(code):
    """One column a split: whether each row is in it."""
    return code[:, None] == np.arange(len(SPLITS))


def _splits_of(labels, held, asked):
    """Collect which splits the rows of each label hold, for the labels asked for: bool array, (len(asked), split)."""
    splits = np.zeros((int(max(labels.max(initial=-1), asked.max(initial=-1))) + 1, len(SPLITS)), bool)
    np.logical_or.at(splits, labels, held)
    return splits[asked]


def _follow(code, settled, rows, splits):
    """Settle the rows that are tied to splits: in that split where it is one, in none where there are several."""
    tied = splits.any(axis=1)
    code[rows[tied]] = np.where(splits[tied].sum(axis=1) == 1, splits[tied].argmax(axis=1), -1)
    settled[rows[tied]] = True


def _near_splits(place, code, rows, guard_arcsec):
    """Find which splits have a row within the guard band of some rows: bool array, (len(rows), split)."""
    near = np.zeros((len(rows), len(SPLITS)), bool)
    located = np.isfinite(place[:, rows]).all(axis=0)
    for number in range(len(SPLITS)):
        tree = cKDTree(unit_vectors(*distinct_places(*place[:, code == number])[0]))
        distance, _ = tree.query(unit_vectors(*place[:, rows[located]]))
        near[located, number] = distance <= chord(guard_arcsec)
    return near
