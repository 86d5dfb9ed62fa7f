"""Known lenses among the ctrls: found by position, and kept out of a cube.

A ctrl that is a lens teaches a network that lenses are no lenses, and its stamp shows two.
"""

from functools import cache

import numpy as np
from scipy.spatial import cKDTree

from gen5astro.io.pairs import ChangedPairs
from gen5astro.sample import load_known_lenses
from gen5astro.sky import nearest_object, unit_vectors

__all__ = ["WithoutKnownLenses", "lens_names", "nearest_lens"]


def nearest_lens(ra, dec):
    """Find the known lens nearest to each position.

    The names of many are long: `lens_names` gives those that are wanted.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg], all finite.

    Returns
    -------
    number : int64 array, (n,)
        Of the lens.
    separation : float64 array, (n,)
        How far away it is [arcsec].
    """
    place, tree = _places()
    return nearest_object(ra, dec, *place, tree=tree)


@cache
def _places():
    """Where the lenses are, and a tree to find them by."""
    lenses = load_known_lenses()
    place = np.asarray(lenses["ra"]), np.asarray(lenses["dec"])
    return place, cKDTree(unit_vectors(*place))


def lens_names(number):
    """Return what known lenses are called.

    Parameters
    ----------
    number : int64 array, (n,)
        From `nearest_lens`.

    Returns
    -------
    names : str array, (n,)
        In the catalogs that travel with the package.
    """
    return np.asarray(load_known_lenses()["name"])[number].astype(str)


class WithoutKnownLenses(ChangedPairs):
    """A source whose pairs on known lenses are rejects.

    Parameters
    ----------
    source : PairSource
        The pairs.
    radius_arcsec : float
        A ctrl no farther than this from a known lens is that lens [arcsec].
    """

    def __init__(self, source, radius_arcsec):
        super().__init__(source)
        self._radius_arcsec = radius_arcsec

    def read(self, ref):
        """Read a block; thread-safe where the source is.

        Parameters
        ----------
        ref : BlockRef
            Which rows.

        Returns
        -------
        block : PairBlock
            The good rows that are on no known lens.
        rejects : list of Reject
            The others, in the order of the rows; of those on a lens with their digests.
        """
        block, rejects = self._source.read(ref)
        located = np.flatnonzero(np.isfinite(block.catalog["ra"]) & np.isfinite(block.catalog["dec"]))
        if not len(located):
            return block, rejects
        number, separation = nearest_lens(block.catalog["ra"][located], block.catalog["dec"][located])
        met = np.flatnonzero(separation <= self._radius_arcsec)
        names, places = lens_names(number[met]), located[met].tolist()
        reasons = {
            at: f"the ctrl is the known lens {name}, {far:.1f} arcsec away"
            for at, name, far in zip(places, names, separation[met], strict=True)
        }
        return self._leave_out(block, rejects, reasons)
