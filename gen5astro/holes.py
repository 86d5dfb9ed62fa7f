"""Pairs with pixels that are not finite: no network can be shown them, so they are kept out of a cube."""

import numpy as np

from gen5astro.io.pairs import ChangedPairs
from gen5astro.io.pixels import IMAGES

__all__ = ["WithoutHoles"]


class WithoutHoles(ChangedPairs):
    """A source whose pairs with a pixel that is not finite are rejects.

    Parameters
    ----------
    source : PairSource
        The pairs.
    """

    def read(self, ref):
        """Read a block; thread-safe where the source is.

        Parameters
        ----------
        ref : BlockRef
            Which rows.

        Returns
        -------
        block : PairBlock
            The good rows whose pixels are all finite.
        rejects : list of Reject
            The others, in the order of the rows; of those with holes with their digests.
        """
        block, rejects = self._source.read(ref)
        missing = block.stamp[0, 0].size - block.census[..., 0] if len(block) else np.zeros((0, 2, 1))
        reasons = {}
        for at in np.flatnonzero(missing.any(axis=(1, 2))).tolist():
            image, band = np.unravel_index(missing[at].argmax(), missing[at].shape)
            count = int(missing[at, image, band])
            pixels = f"{count:,} pixel{'s' if count > 1 else ''} that {'are' if count > 1 else 'is'} not finite"
            reasons[at] = f"{IMAGES[image]}: {pixels} in band {block.bands[band]}"
        return self._leave_out(block, rejects, reasons)
