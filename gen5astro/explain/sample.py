"""Which pairs are fitted: all strata alike, and no host twice while another is left."""

import numpy as np

__all__ = ["choose_pairs"]


def choose_pairs(table, masks, count, rng):
    """Choose a sample of pairs.

    Strata take turns, those with the fewest hosts first, and each takes a pair of a host that was used least so far.
    A pair whose host or core could not be measured is not chosen.

    Parameters
    ----------
    table : MeasureTable
        Pairs, with ``group``.
    masks : dict of bool array, (n,)
        Strata of theta_E, ``all`` first; pairs in no other stratum (those without a theta_E) form one of their own.
    count : int
        Size of the sample; all pairs are taken where there are fewer.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    chosen : int64 array, (m,)
        Row numbers of the table, ascending.
    """
    usable = np.isfinite(table["center_x"]) & np.isfinite(table["center_y"])
    usable &= np.isfinite(table["core_excess"]).all(axis=1)
    narrow = [mask for name, mask in masks.items() if name != "all"]
    narrow.append(~np.logical_or.reduce(narrow, axis=0) if narrow else np.ones(len(table), dtype=bool))
    group = np.unique(table["group"], return_inverse=True)[1]
    order = rng.permutation(len(table))
    pools = [order[(mask & usable)[order]] for mask in narrow]
    pools = sorted((pool for pool in pools if len(pool)), key=lambda pool: len(np.unique(group[pool])))
    used, chosen = np.zeros(len(table), dtype=np.int64), []
    while pools and len(chosen) < count:
        for at, pool in enumerate(pools):
            if len(chosen) == count:
                break
            pick = int(np.argmin(used[group[pool]]))
            used[group[pool[pick]]] += 1
            chosen.append(pool[pick])
            pools[at] = np.delete(pool, pick)
        pools = [pool for pool in pools if len(pool)]
    return np.sort(np.array(chosen, dtype=np.int64))
