"""Sources of pairs that live in memory, for tests of what reads them."""

import dataclasses

import numpy as np

from gen5astro.io.pairs import BlockRef, Reject


def choose(block, rows):
    """Take some pairs of a block, as a block."""
    picked = {name: getattr(block, name)[rows] for name in ("stamp", "ctrl", "row", "digest", "census")}
    picked["psf"] = None if block.psf is None else block.psf[rows]
    return dataclasses.replace(block, catalog={name: each[rows] for name, each in block.catalog.items()}, **picked)


class MemorySource:
    """The pairs of one block as a source; rows in `bad` (row: reason) cannot be read."""

    def __init__(self, block, *, bad=None, label="memory"):
        self.block, self.bad, self.label = block, bad or {}, label
        self.n_rows, self.bands, self.pixel_scale = len(block), block.bands, block.pixel_scale
        self.shape = block.stamp.shape[2:]

    def positions(self):
        return self.block.catalog["ra"], self.block.catalog["dec"]

    def blocks(self, size):
        for start in range(0, self.n_rows, size):
            yield BlockRef(start, min(start + size, self.n_rows))

    def read(self, ref):
        rows = np.arange(ref.start, ref.stop)
        bad = np.isin(rows, list(self.bad))
        return choose(self.block, rows[~bad]), [Reject(int(row), self.bad[int(row)]) for row in rows[bad]]
