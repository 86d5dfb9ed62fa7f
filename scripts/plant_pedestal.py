"""Plant a pedestal that no normalization removes: python scripts/plant_pedestal.py CLEAN.parquet OUT.parquet 0.5

A source that was rendered with a background of its own, into an image smaller than the cutout, leaves a square of
higher sky. It ends inside of the annulus by which a network's input is normalized, so that it is still there in what
the network sees; a pedestal of every pixel is not. The strength is in units of the sky's noise a pixel.
"""

import sys
from dataclasses import replace

import numpy as np

from gen5astro import PairWriter, open_pairs
from gen5astro.kernels.normalize import region_statistics

SIDE = 0.7
"""Side of the square, as a share of the image's."""


def plant(block, strength):
    """Pairs whose stamps have the square."""
    size = block.stamp.shape[-1]
    square = np.abs(np.indices((size, size)) - (size - 1) / 2).max(axis=0) < SIDE * size / 2
    sigma = region_statistics(block.ctrl, ~square)[..., 1, None, None]
    return replace(block, stamp=(block.stamp + strength * sigma * square).astype(np.float32))


def main(clean, out, strength):
    source = open_pairs(clean)
    with PairWriter(out, source.bands, source.pixel_scale, force=True) as writer:
        for ref in source.blocks(250):
            block, _ = source.read(ref)
            writer.write(plant(block, strength))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
