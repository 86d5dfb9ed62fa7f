"""The pairs of a cube as an input, to be audited, built or exported again."""

import numpy as np

from gen5astro.io.hdf5 import Cube
from gen5astro.io.ingest import ingest_row
from gen5astro.io.pairs import BlockRef, PairBlock, Reject, block_refs
from gen5astro.io.pixels import IMAGES, runs

__all__ = ["CubeSource", "PlaceRef"]


class PlaceRef(BlockRef):
    """Pairs ``start`` to ``stop`` of a cube, by their place in it."""


class CubeSource:
    """The pairs of a cube as a `~gen5astro.io.pairs.PairSource`: same pixels, digests and rows as those of its input.

    Each image is digested again when it is read, and a pair whose pixels do not match the stored digest is rejected: a
    damaged disk is not trained on. The column ``region_split`` is the cube's own split.

    Parameters
    ----------
    cube : path-like or Cube
        The cube.
    """

    def __init__(self, cube):
        self.cube = cube if isinstance(cube, Cube) else Cube(cube)
        self.n_rows = len(self.cube)
        self.bands = self.cube.bands
        self.shape = self.cube.shape
        self.pixel_scale = self.cube.pixel_scale
        self.form = self.cube.form
        self.survey = self.cube.attributes["survey"]
        self.label = str(self.cube.path)
        self.notes = ()

    def blocks(self, size):
        """Cut the pairs into blocks, in their order.

        Parameters
        ----------
        size : int
            Pairs a block.

        Yields
        ------
        ref : PlaceRef
            Places of pairs in the cube.
        """
        for ref in block_refs(self.n_rows, size):
            yield PlaceRef(ref.start, ref.stop)

    def positions(self):
        """Read where on the sky all pairs are.

        Returns
        -------
        ra, dec : float64 array, (n,)
            Positions [deg]; NaN where unknown.
        """
        return self.cube.catalog["ra"], self.cube.catalog["dec"]

    def identify(self, rows):
        """Say what tells pairs beside the number of their row.

        Parameters
        ----------
        rows : int array, (n,)
            Rows of the cube's input.

        Returns
        -------
        columns : dict of array, (n,)
            ``pair_id``.
        """
        order = np.argsort(self.cube.row)
        return {"pair_id": self.cube.catalog["pair_id"][order[np.searchsorted(self.cube.row[order], rows)]]}

    def read(self, ref):
        """Read the pairs of a block; thread-safe.

        Parameters
        ----------
        ref : BlockRef
            Rows of the cube's input, those that it has no pair of passed over; or a `PlaceRef`.

        Returns
        -------
        block : PairBlock
            Pairs whose pixels are intact.
        rejects : list of Reject
            The others.
        """
        cube, chosen = self.cube, self._chosen(ref)
        images = np.empty((2, len(chosen), len(self.bands), *self.shape), np.float32)
        census, digest = np.empty((len(chosen), 2, len(self.bands), 4)), np.empty((len(chosen), 2), np.uint64)
        for at, number, image in self._images(chosen):
            digest[at, number] = ingest_row(image, images[number, at], census=census[at, number])[1]
        intact, rejects = self._judged(chosen, digest)
        block = PairBlock(
            stamp=images[0],
            ctrl=images[1],
            catalog=self._catalog(chosen),
            row=cube.row[chosen],
            digest=digest,
            census=census,
            bands=self.bands,
            pixel_scale=self.pixel_scale,
            quantization={name: values[chosen] for name, values in cube.quantization.items()} or None,
        )
        return block if intact.all() else block.choose(intact), rejects

    def check(self, ref):
        """Read the pairs of a block and keep none of them; thread-safe.

        Parameters
        ----------
        ref : BlockRef
            Which, as `read` takes it.

        Returns
        -------
        rejects : list of Reject
            Pairs whose pixels are not intact.
        """
        chosen = self._chosen(ref)
        room, digest = np.empty((len(self.bands), *self.shape), np.float32), np.empty((len(chosen), 2), np.uint64)
        for at, number, image in self._images(chosen):
            digest[at, number] = ingest_row(image, room)[1]
        return self._judged(chosen, digest)[1]

    def _chosen(self, ref):
        """Places of the pairs of a block, rising where those of its rows are."""
        if isinstance(ref, PlaceRef):
            return np.arange(ref.start, ref.stop)
        return np.flatnonzero((self.cube.row >= ref.start) & (self.cube.row < ref.stop))

    def _images(self, chosen):
        """Number of the pair in the block, of the image in `IMAGES`, and the image."""
        for number, name in enumerate(IMAGES):
            at = 0
            for start, stop in runs(chosen):
                for image in self.cube.read_images(name, start, stop):
                    yield at, number, image
                    at += 1

    def _judged(self, chosen, digest):
        """Whether each pair is intact, and the others as rejects."""
        row, match = self.cube.row[chosen], digest == self.cube.digest[chosen]
        intact = match.all(axis=1)
        rejects = [
            Reject(int(row[at]), f"the {IMAGES[int(match[at, 0])]} does not match its stored digest")
            for at in np.flatnonzero(~intact)
        ]
        return intact, rejects

    def _catalog(self, chosen):
        """The pairs' columns, the cube's own split among them."""
        parts = [self.cube.catalog.rows(start, stop) for start, stop in runs(chosen)] or [self.cube.catalog.rows(0, 0)]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return columns | {"region_split": self.cube.split[chosen]}
