"""Known lenses among the ctrls: found by position, and kept out of a cube.

A ctrl that is a lens teaches a network that lenses are no lenses, and its stamp shows two.
"""

import numpy as np

from gen5astro.io.pairs import ChangedPairs, Reject
from gen5astro.sample import load_known_lenses
from gen5astro.sky import nearest_object

__all__ = ["WithoutKnownLenses", "nearest_lens"]


def nearest_lens(ra, dec):
    """Find the known lens nearest to each position.

    Parameters
    ----------
    ra, dec : float64 array, (n,)
        Positions [deg], all finite.

    Returns
    -------
    name : str array, (n,)
        Of the lens.
    separation : float64 array, (n,)
        How far away it is [arcsec].
    """
    lenses = load_known_lenses()
    nearest, separation = nearest_object(ra, dec, np.asarray(lenses["ra"]), np.asarray(lenses["dec"]))
    return np.asarray(lenses["name"])[nearest].astype(str), separation


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
        names, separation = nearest_lens(block.catalog["ra"][located], block.catalog["dec"][located])
        met = separation <= self._radius_arcsec
        if not met.any():
            return block, rejects
        digests = block.digest[located[met]].tolist()
        found = [
            Reject(row, f"the ctrl is the known lens {name}, {far:.1f} arcsec away", tuple(digest))
            for row, name, far, digest in zip(
                block.row[located[met]].tolist(), names[met], separation[met], digests, strict=True
            )
        ]
        kept = np.ones(len(block), bool)
        kept[located[met]] = False
        return block.choose(kept), sorted([*rejects, *found], key=lambda each: each.row)
