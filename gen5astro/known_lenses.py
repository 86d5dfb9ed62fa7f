"""Known lenses among the ctrls: found by position, and kept out of a cube.

A ctrl that is a lens teaches a network that lenses are no lenses, and its stamp shows two.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from gen5astro.io.pairs import Reject
from gen5astro.sample import load_known_lenses
from gen5astro.sky import separation_arcsec, unit_vectors

__all__ = ["LensReject", "WithoutKnownLenses", "nearest_lens"]


@dataclass(frozen=True)
class LensReject(Reject):
    """A row that can be read and is left out because its ctrl is a known lens.

    Parameters
    ----------
    row : int
        Its number in the input, from 0.
    reason : str
        Which lens, in a line.
    digest : tuple of int
        Digest of its stamp and ctrl.
    """

    digest: tuple[int, int] = (0, 0)


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
    tree = cKDTree(unit_vectors(lenses["ra"], lenses["dec"]))
    nearest = tree.query(unit_vectors(ra, dec))[1]
    separation = separation_arcsec(ra, dec, np.asarray(lenses["ra"])[nearest], np.asarray(lenses["dec"])[nearest])
    return np.asarray(lenses["name"]).astype(str)[nearest], separation


class WithoutKnownLenses:
    """A source whose pairs on known lenses are rejects.

    Parameters
    ----------
    source : PairSource
        The pairs.
    radius_arcsec : float
        A ctrl no farther than this from a known lens is that lens [arcsec].
    """

    def __init__(self, source, radius_arcsec):
        self._source, self._radius_arcsec = source, radius_arcsec

    def __getattr__(self, name):
        # All but what `read` changes is the source's own; names of Python's protocols are looked for on the class.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._source, name)

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
            The others, in the order of the rows.
        """
        block, rejects = self._source.read(ref)
        located = np.flatnonzero(np.isfinite(block.catalog["ra"]) & np.isfinite(block.catalog["dec"]))
        if not len(located):
            return block, rejects
        names, separation = nearest_lens(block.catalog["ra"][located], block.catalog["dec"][located])
        met = separation <= self._radius_arcsec
        if not met.any():
            return block, rejects
        found = [
            LensReject(
                int(block.row[at]), f"the ctrl is the known lens {name}, {far:.1f} arcsec away", tuple(block.digest[at])
            )
            for at, name, far in zip(located[met], names[met], separation[met], strict=True)
        ]
        kept = np.ones(len(block), bool)
        kept[located[met]] = False
        return _choose(block, kept), sorted([*rejects, *found], key=lambda each: each.row)


def _choose(block, kept):
    arrays = {name: getattr(block, name)[kept] for name in ("stamp", "ctrl", "row", "digest", "census")}
    return replace(block, catalog={name: values[kept] for name, values in block.catalog.items()}, **arrays)
