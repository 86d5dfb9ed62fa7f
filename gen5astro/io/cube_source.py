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
        cube = self.cube
        if isinstance(ref, PlaceRef):
            chosen = np.arange(ref.start, ref.stop)
        else:
            chosen = np.flatnonzero((cube.row >= ref.start) & (cube.row < ref.stop))
        row, expected = cube.row[chosen], cube.digest[chosen]
        stamp, ctrl = (np.empty((len(row), len(self.bands), *self.shape), np.float32) for _ in range(2))
        census, digest = np.empty((len(row), 2, len(self.bands), 4)), np.empty_like(expected)
        for number, (name, out) in enumerate(zip(IMAGES, (stamp, ctrl), strict=True)):
            done = 0
            for start, stop in runs(chosen):
                for image in cube.read_images(name, start, stop):
                    _, digest[done, number] = ingest_row(image, out[done], census=census[done, number])
                    done += 1
        intact = (digest == expected).all(axis=1)
        rejects = [
            Reject(
                int(row[at]), f"the {IMAGES[int(digest[at, 0] == expected[at, 0])]} does not match its stored digest"
            )
            for at in np.flatnonzero(~intact)
        ]
        columns = {**cube.catalog, "region_split": cube.split}
        block = PairBlock(
            stamp=stamp,
            ctrl=ctrl,
            catalog={name: values[chosen] for name, values in columns.items()},
            row=row,
            digest=digest,
            census=census,
            bands=self.bands,
            pixel_scale=self.pixel_scale,
            quantization={name: values[chosen] for name, values in cube.quantization.items()} or None,
        )
        return block if intact.all() else block.choose(intact), rejects
