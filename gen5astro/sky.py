"""Separations on the sky, cells of the sky, and the groups of objects that must stay together.

Positions are ICRS degrees and are turned into unit vectors, so that neither the wrap of right ascension nor the poles
are special. Two injections into one host, or into neighbors that share pixels, are not independent: they are one
group, and every split, fold and bootstrap draw takes a group whole.
"""

import numpy as np
import pyarrow as pa
from astropy.coordinates import angular_separation
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from gen5astro.errors import FormatError, ShapeError

__all__ = [
    "chord",
    "connect",
    "distinct_places",
    "effective_number",
    "group_objects",
    "nearest_object",
    "number_hosts",
    "separation_arcsec",
    "sky_cell",
    "unit_vectors",
]

_ARCSEC = np.pi / 180.0 / 3600.0


def separation_arcsec(ra, dec, other_ra, other_dec):
    """Angle between positions on the sky, by Vincenty's formula, which is exact at every distance.

    Parameters
    ----------
    ra, dec : float or float64 array
        Positions [deg].
    other_ra, other_dec : float or float64 array
        Positions to measure to [deg]; broadcast against the first.

    Returns
    -------
    separation : float64 or float64 array
        Separation [arcsec].
    """
    return angular_separation(*map(np.radians, (ra, dec, other_ra, other_dec))) / _ARCSEC


def unit_vectors(ra, dec):
    """Unit vectors of positions on the sky.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg].

    Returns
    -------
    vectors : float64 array, (n, 3)
        Of unit length; NaN where a position is.
    """
    ra, dec = np.radians(np.asarray(ra, np.float64)), np.radians(np.asarray(dec, np.float64))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def chord(separation_arcsec):
    """Straight distance between two unit vectors that are an angle apart.

    Parameters
    ----------
    separation_arcsec : float or float64 array
        Angle [arcsec].

    Returns
    -------
    distance : float64 or float64 array
        Length of the chord, 0 to 2.
    """
    return 2.0 * np.sin(np.minimum(np.asarray(separation_arcsec) * _ARCSEC, np.pi) / 2.0)


def nearest_object(ra, dec, other_ra, other_dec, *, tree=None):
    """Find the nearest of other objects to each position.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg], all finite.
    other_ra, other_dec : float64 array, (m,)
        Positions of the others [deg], all finite; at least one.
    tree : scipy.spatial.cKDTree, optional
        Of the others' `unit_vectors`, where they are asked for many times.

    Returns
    -------
    nearest : int64 array, (n,)
        Number of the nearest other object.
    separation : float64 array, (n,)
        How far off it is [arcsec].
    """
    tree = cKDTree(unit_vectors(other_ra, other_dec)) if tree is None else tree
    nearest = tree.query(unit_vectors(ra, dec))[1]
    return nearest, separation_arcsec(ra, dec, other_ra[nearest], other_dec[nearest])


def sky_cell(ra, dec, *, size_deg):
    """Cell of the sky that a position is in: stripes of equal declination, cut into cells of about equal area.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg].
    size_deg : float
        Side of a cell [deg].

    Returns
    -------
    cell : int64 array, (n,)
        ``stripe * 2**32 + column``; -1 where a position is not finite.
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    located = np.isfinite(ra) & np.isfinite(dec)
    stripe = np.floor((dec[located] + 90.0) / size_deg)
    middle = np.radians(np.minimum((stripe + 0.5) * size_deg - 90.0, 90.0))
    columns = np.maximum(np.floor(360.0 * np.cos(middle) / size_deg), 1.0)
    column = np.minimum(np.floor(ra[located] % 360.0 / 360.0 * columns), columns - 1.0)
    cell = np.full(ra.shape, -1, np.int64)
    cell[located] = stripe.astype(np.int64) * 2**32 + column.astype(np.int64)
    return cell


def group_objects(ra, dec, host_id, *, min_separation_arcsec, twins=None):
    """Group objects that share a host or pixels, or lie close together, friends of friends.

    Two objects are in one group if they have the same `host_id`, or the same label in `twins`, or lie within
    `min_separation_arcsec` of each other, or are joined by a chain of such objects. An object without a position is
    grouped by the others, one that has none of them is a group of its own.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.
    host_id : str array, (n,)
        Name of the host, unique over the whole input; '' where unknown.
    min_separation_arcsec : float
        Separation at and below which two objects belong together [arcsec].
    twins : int64 array, (n,), optional
        Labels from `gen5astro.twins.label_twins`: objects with one label show the same pixels.

    Returns
    -------
    groups : int64 array, (n,)
        Labels from 0, in the order in which the groups first appear.

    Raises
    ------
    ShapeError
        If the columns differ in length.
    FormatError
        If a declination is outside -90 to 90 degrees.
    """
    ra, dec, host_id = np.asarray(ra, np.float64), np.asarray(dec, np.float64), np.asarray(host_id, dtype=str)
    if not ra.shape == dec.shape == host_id.shape or ra.ndim != 1:
        shapes = f"{ra.shape}, {dec.shape} and {host_id.shape}"
        raise ShapeError("ra, dec and host_id", got=shapes, expected="three columns of one length")
    _check_declinations(dec, np.isfinite(ra) & np.isfinite(dec))
    host = number_hosts(host_id)
    labels = [host] if twins is None else [host, np.asarray(twins)]
    return connect(labels, ra, dec, within_arcsec=min_separation_arcsec)


def number_hosts(host_id):
    """Number the hosts by their names.

    Parameters
    ----------
    host_id : str array, (n,)
        Name of the host; '' where unknown.

    Returns
    -------
    number : int32 array, (n,)
        The same for the same name, from 0; -1 where unknown.
    """
    # By hashing, whose memory is that of the different names; sorting would copy them all.
    host_id = np.asarray(host_id, dtype=str)
    number = np.array(pa.array(host_id, pa.string()).dictionary_encode().indices, np.int32)
    number[host_id == ""] = -1
    return number


def connect(labels, ra, dec, *, within_arcsec):
    """Join objects that share a label or lie close together, friends of friends.

    Parameters
    ----------
    labels : list of int64 array, (n,) or (n, k)
        In each, objects that have a label from 0 in common belong together; -1 says nothing.
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.
    within_arcsec : float
        Separation at and below which two objects belong together [arcsec].

    Returns
    -------
    joined : int64 array, (n,)
        Labels from 0, in the order in which they first appear.
    """
    place, at = distinct_places(ra, dec)
    close = cKDTree(unit_vectors(*place)).query_pairs(chord(within_arcsec), output_type="ndarray")
    # Nodes of the graph: the objects, then distinct places, then the labels of each list in turn.
    n = n_nodes = len(at)
    first, second = [], []
    number = np.int32 if n + at.size + sum(label.size for label in labels) < 2**31 else np.int64
    for node in (at, *labels):
        member, label = np.nonzero(node >= 0)[0].astype(number), node[node >= 0]
        if label.max(initial=-1) >= node.size:
            # Labels of a damaged file may be of any size, and the graph has a node for each number up to the largest.
            label = np.unique(label, return_inverse=True)[1]
        first.append(member)
        second.append(n_nodes + label.astype(number))
        n_nodes += int(label.max(initial=-1)) + 1
    first.append(n + close[:, 0].astype(number))
    second.append(n + close[:, 1].astype(number))
    edges = np.concatenate(first), np.concatenate(second)
    graph = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=(n_nodes, n_nodes))
    return _by_first_appearance(connected_components(graph, directed=False)[1][:n])


def distinct_places(ra, dec):
    """Find the different positions among those of many objects.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.

    Returns
    -------
    places : float64 array, (2, m)
        Right ascension and declination of each different position [deg].
    at : int64 array, (n,)
        Which of them each object has; -1 where it has none.
    """
    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    located = np.isfinite(ra) & np.isfinite(dec)
    # Complex numbers sort by their real part, then by the imaginary: many times faster than rows of two columns.
    places, inverse = np.unique(ra[located] + 1j * dec[located], return_inverse=True)
    at = np.full(ra.shape, -1)
    at[located] = inverse
    return np.stack([places.real, places.imag]), at


def _check_declinations(dec, located):
    wrong = np.flatnonzero(located & (np.abs(dec) > 90.0))
    if wrong.size:
        # No row number: columns may be those of the good rows alone.
        got = f"{dec[wrong[0]]:g}" + (f" and {wrong.size - 1} more such" if wrong.size > 1 else "")
        raise FormatError("column dec", got=got, expected="degrees, -90 to 90", remedy="are ra and dec swapped?")


def _by_first_appearance(labels):
    """Renumber labels from 0 in the order in which they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def effective_number(groups):
    """Effective number of independent groups, ``(sum n)^2 / sum n^2`` (Kish 1965), n the members of each.

    Equal groups count fully; where one group holds nearly all members it tends to 1.

    Parameters
    ----------
    groups : int64 or str array, (n,)
        Label of each object.

    Returns
    -------
    number : float
        From 0 (no objects) to the number of groups.
    """
    _, members = np.unique(np.asarray(groups), return_counts=True)
    members = members.astype(np.float64)
    return float(members.sum() ** 2 / (members**2).sum()) if members.size else 0.0
