"""Deal out units of different size so that given shares are met, by a stable hash and not by the order of the units.

Every unit has a place in [0, 1) from a hash of its name. In the order of these places the units are cut where the
shares ask for it. A unit of more than half the smallest share is dealt before, the largest first, to the part that has
most room. Where a part is still off by more than half a percent, units are moved or exchanged, always those that
mend most.
"""

import hashlib

import numpy as np

__all__ = ["deal_shares", "hash_place"]

_TOLERANCE = 0.005
_MOST_EXCHANGES = 200


def hash_place(name, seed):
    """Hash a name to a place.

    Parameters
    ----------
    name : str
        Name of a unit.
    seed : int
        Another seed gives other places.

    Returns
    -------
    place : float
        In [0, 1), the same on every machine: the first 53 bits of BLAKE2b over ``seed:name``.
    """
    word = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(word, "little") >> 11) * 2.0**-53


def deal_shares(sizes, place, fractions, *, held=None):
    """Deal units to shares; every share above zero gets a unit, as long as there are enough.

    Parameters
    ----------
    sizes : int64 array, (m,)
        Size of each unit, at least 1.
    place : float64 array, (m,)
        Place of each unit, from `hash_place`.
    fractions : tuple of float
        Share of the whole that each part is to have.
    held : int64 array, (k,), optional
        What each part already holds; counts toward its share.

    Returns
    -------
    part : int64 array, (m,)
        Part of each unit.
    """
    sizes, place = np.asarray(sizes, np.int64), np.asarray(place, np.float64)
    open_parts = np.asarray(fractions) > 0.0
    held = np.zeros(len(fractions), np.int64) if held is None else np.asarray(held, np.int64)
    wanted = np.asarray(fractions) * (sizes.sum() + held.sum())
    part = np.empty(len(sizes), np.int64)
    room = np.where(open_parts, wanted - held, -np.inf)
    large = sizes > wanted[open_parts].min() / 2
    for unit in np.flatnonzero(large)[np.lexsort((place[large], -sizes[large]))]:
        part[unit] = np.argmax(room)
        room[part[unit]] -= sizes[unit]
    # What is held may have filled every share: then the rest goes by the shares themselves.
    room = np.maximum(room, 0.0) if (room > 0.0).any() else np.asarray(fractions, np.float64)
    part[~large] = _cut(sizes[~large], place[~large], room)
    _fill_empty(part, sizes, place, open_parts & (held == 0))
    _exchange(part, sizes, place, wanted - held, open_parts)
    return part


def _cut(sizes, place, room):
    """Cut the units, in the order of their places, in proportion to the room of each part."""
    order = np.argsort(place, kind="stable")
    middle = np.cumsum(sizes[order]) - sizes[order] / 2
    part = np.empty(len(sizes), np.int64)
    edges = np.cumsum(room) * (sizes.sum() / room.sum())
    part[order] = np.minimum(np.searchsorted(edges, middle, side="right"), np.flatnonzero(room > 0)[-1])
    return part


def _fill_empty(part, sizes, place, waiting):
    """Give a unit to each part that must have one and has none: the smallest of the part that has the most units."""
    for empty in np.flatnonzero(waiting):
        units = np.bincount(part, minlength=len(waiting))
        if units[empty] or units.max(initial=0) < 2:
            continue
        giving = np.flatnonzero(part == np.argmax(units))
        part[giving[np.lexsort((place[giving], sizes[giving]))[0]]] = empty


def _exchange(part, sizes, place, wanted, open_parts):
    """Move units of one size, or exchange two units, as long as a part is off and that brings the parts nearer."""
    off = np.bincount(part, weights=sizes, minlength=len(wanted)) - wanted
    for _ in range(_MOST_EXCHANGES):
        if not len(sizes) or np.abs(off[open_parts]).max() <= _TOLERANCE * sizes.sum():
            return
        best = min(_offers(part, sizes, off, np.flatnonzero(open_parts)), default=(0.0,))
        if best[0] >= -1e-9 * sizes.sum() ** 2:
            return
        _, giver, taker, given, count, taken = best
        for source, target, size, n_units in ((giver, taker, given, count), (taker, giver, taken, 1)):
            units = np.flatnonzero((part == source) & (sizes == size))
            part[units[np.argsort(place[units])[:n_units]]] = target
        off[giver] -= given * count - taken
        off[taker] += given * count - taken


def _offers(part, sizes, off, parts):
    """Yield the best moves from each part to each that is less full.

    Each is the change of the sum of squared misses, giver, taker, size given, how many of it, size taken back or 0.
    """
    for giver in parts:
        for taker in parts:
            if off[giver] <= off[taker] or np.count_nonzero(part == giver) < 2:
                continue
            gap = off[giver] - off[taker]
            given, there = np.unique(sizes[part == giver], return_counts=True)
            count = np.clip(np.rint(gap / 2 / given), 1, there - (there == np.count_nonzero(part == giver)))
            yield _best(given * count, gap, giver, taker, given, count, np.zeros(1, np.int64))
            taken = np.unique(sizes[part == taker])
            if taken.size:
                once = np.ones(len(given))
                yield _best(given[:, None] - taken, gap, giver, taker, given, once, taken)


def _best(moved, gap, giver, taker, given, count, taken):
    """Pick the offer that changes the sum of squared misses most."""
    change = (2.0 * moved * (moved - gap)).reshape(len(given), len(taken))
    at, other = np.unravel_index(np.argmin(change), change.shape)
    return float(change[at, other]), int(giver), int(taker), int(given[at]), int(count[at]), int(taken[other])
