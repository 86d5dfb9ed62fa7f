"""Which pairs share a file: neighbors on the sky, so that a patch of sky is read from few files.

Positions are ordered by their HEALPix cell (Gorski et al. 2005, ApJ 622, 759; nested numbering, in which cells that
follow each other are close) and cut, between two cells, into runs of about equal length.
"""

import numpy as np

__all__ = ["ORDER", "ShardPlan", "plan_shards"]

#: Order of the HEALPix cells between which shards are cut; a cell of order 8 is 0.23 degrees wide.
ORDER = 8
_NOWHERE = 12 * 4**ORDER


class ShardPlan:
    """Where the sky is cut into shards, and how many pairs each has to hold.

    Parameters
    ----------
    first_cell : int64 array, (shard,)
        First cell of each shard, ascending from 0; objects without a position are in the cell behind the last.
    counts : int64 array, (shard,)
        Rows of the input in each.
    """

    def __init__(self, first_cell, counts):
        self.first_cell = np.asarray(first_cell, np.int64)
        self.counts = np.asarray(counts, np.int64)

    def __len__(self):
        return len(self.first_cell)

    def find(self, ra, dec):
        """Return the shard of each position.

        Parameters
        ----------
        ra, dec : float64 array, (n,)
            Positions [deg]; NaN where unknown.

        Returns
        -------
        shard : int64 array, (n,)
            From 0.
        """
        return np.searchsorted(self.first_cell, _cells(ra, dec), side="right") - 1


def plan_shards(ra, dec, pairs):
    """Cut the sky so that each shard has about as many objects as asked for.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg]; NaN where unknown.
    pairs : int
        Objects of a shard at most, unless one cell has more.

    Returns
    -------
    plan : ShardPlan or None
        None where one shard is enough.
    """
    if len(ra) <= pairs:
        return None
    cells, sizes = np.unique(_cells(ra, dec), return_counts=True)
    first_cell, counts = [0], [0]
    for cell, size in zip(cells.tolist(), sizes.tolist(), strict=True):
        if counts[-1] and counts[-1] + size > pairs:
            first_cell.append(cell)
            counts.append(0)
        counts[-1] += size
    return ShardPlan(first_cell, counts)


def _cells(ra, dec):
    from astropy import units
    from astropy_healpix import lonlat_to_healpix

    ra, dec = np.asarray(ra, np.float64), np.asarray(dec, np.float64)
    cell = np.full(len(ra), _NOWHERE)
    known = np.isfinite(ra) & (np.abs(np.where(np.isfinite(dec), dec, 99.0)) <= 90)
    cell[known] = lonlat_to_healpix(ra[known] * units.deg, dec[known] * units.deg, 2**ORDER, order="nested")
    return cell
