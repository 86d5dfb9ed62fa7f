"""What an image holds beyond its own half turn: light that is not symmetric about the host."""

import math

import numpy as np
from numba import njit

__all__ = ["BIN", "mirror_excess"]

#: Pixels that are summed along x and along y.
BIN = 2


def mirror_excess(images, weight, center, tolerance, sheet):
    """Lay out the excess of each image over its half turn about its host.

    Parameters
    ----------
    images : float32 array, (n, band, y, x)
        Fluxes [nanomaggy].
    weight : float32 array, (n, band)
        What each band is multiplied by before the bands, and 2 x 2 pixels, are summed.
    center : float64 array, (n, 2)
        Host center (x, y) [pix]; the turn is about the nearest half of a binned pixel.
    tolerance : float
        Share by which an image may exceed its half turn, where that is positive.
    sheet : float32 array, (down, y / 2 or more, across, x / 2 or more)
        Filled row by row: image ``i`` is at ``[i // across, :, i % across]``. One that is not finite, and what an image
        does not reach, stay as they are.
    """
    images, weight = (np.ascontiguousarray(each, dtype=np.float32) for each in (images, weight))
    twice = np.rint(2 * ((np.asarray(center, dtype=np.float64) + 0.5) / BIN - 0.5))
    _fill(images, weight, twice, np.float32(1 + tolerance), sheet)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _fill(images, weight, twice, factor, sheet):
    height, width = images.shape[2:]
    rows, columns, across = (height + 1) // BIN, (width + 1) // BIN, sheet.shape[2]
    light, along = np.empty((rows, columns), np.float32), np.empty(columns * BIN, np.float32)
    for i in range(len(images)):
        if not (_sum_bins(images[i], weight[i], along, light) and math.isfinite(twice[i, 0] + twice[i, 1])):
            continue
        turn_x, turn_y = int(twice[i, 0]), int(twice[i, 1])
        for y in range(rows):
            out = sheet[i // across, y, i % across]
            out[:columns] = light[y]
            if 0 <= turn_y - y < rows:
                mirror = light[turn_y - y]
                for x in range(max(0, turn_x - columns + 1), min(columns, turn_x + 1)):
                    out[x] -= factor * max(mirror[turn_x - x], np.float32(0))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _sum_bins(image, weight, along, light):
    """Sum bands and bins; whether all is finite. An odd row or column at the edge counts as it is."""
    bands, height, width = image.shape
    total = np.float32(0)
    for y in range(len(light)):
        along[:] = 0
        for band in range(bands):
            for row in range(BIN * y, min(BIN * (y + 1), height)):
                values = image[band, row]
                for x in range(width):
                    along[x] += weight[band] * values[x]
        for x in range(light.shape[1]):
            light[y, x] = along[BIN * x] + along[BIN * x + 1]
            total += abs(light[y, x])
    return math.isfinite(total)
