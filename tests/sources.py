"""Sources of pairs that live in memory, for tests of what reads them."""

import numpy as np

from gen5astro.io.pairs import BlockRef, Reject


class MemorySource:
    """The pairs of one block as a source; rows in `bad` (row: reason) cannot be read."""

    def __init__(self, block, *, bad=None, label="memory"):
        self.block, self.bad, self.label = block, bad or {}, label
        self.n_rows, self.bands, self.pixel_scale = len(block), block.bands, block.pixel_scale
        self.shape = block.stamp.shape[2:]

    def positions(self):
        return self.block.catalog["ra"], self.block.catalog["dec"]

    def identify(self, rows):
        return {"pair_id": self.block.catalog["pair_id"][rows]}

    def blocks(self, size):
        for start in range(0, self.n_rows, size):
            yield BlockRef(start, min(start + size, self.n_rows))

    def read(self, ref):
        rows = np.arange(ref.start, ref.stop)
        bad = np.isin(rows, list(self.bad))
        return self.block.choose(rows[~bad]), [Reject(int(row), self.bad[int(row)]) for row in rows[bad]]
