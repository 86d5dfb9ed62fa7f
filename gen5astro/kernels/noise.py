"""The texture of an image's noise: how strong it is from pixel to pixel, and how much neighboring pixels share."""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError

__all__ = ["NOISE_COLUMNS", "noise_texture"]

NOISE_COLUMNS = ("noise_hf", "noise_autocorrelation_x", "noise_autocorrelation_y")

_CLIP = np.float32(3)


def noise_texture(images, inside, statistics):
    """Measure the high-frequency noise and the lag-1 autocorrelation of a region of each band of each image.

    Parameters
    ----------
    images : float32 array, (n, band, h, w)
        Fluxes [nanomaggy].
    inside : bool array, (h, w)
        The region.
    statistics : float64 array, (n, band, 2)
        Its median and robust scatter [nanomaggy / pix], from `gen5astro.kernels.normalize.region_statistics`;
        that of a region like it will do.

    Returns
    -------
    texture : float64 array, (n, band, 3)
        In the order of `NOISE_COLUMNS`: the standard deviation that white noise with the same high-frequency power has
        [nanomaggy / pix], and the correlation of pixels one apart along x and along y. A pixel that is not finite, or
        such a statistic, makes them NaN.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or the region holds no pixel that has all its neighbors.

    Notes
    -----
    The first is the mean of ``|I * N|``, with N = [[1, -2, 1], [-2, 4, -2], [1, -2, 1]], times sqrt(pi / 2) / 6
    (Immerkaer 1996, Computer Vision and Image Understanding 64, 300): N removes whatever varies as slowly as a galaxy.
    Every second pixel is looked at, as on a chessboard, each with its neighbors: so every two neighbors meet once.
    The correlations are of ``(pixel - median) / scatter`` bounded by 3, so that no neighboring galaxy decides them.
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    statistics = np.ascontiguousarray(statistics, dtype=np.float64)
    if images.ndim != 4 or inside.shape != images.shape[-2:]:
        raise ShapeError(
            "images and region", got=f"{images.shape} and {inside.shape}", expected="(n, band, h, w) and (h, w)"
        )
    if statistics.shape != (*images.shape[:2], 2):
        raise ShapeError("statistics", got=f"shape {statistics.shape}", expected=f"{(*images.shape[:2], 2)}")
    inner = np.zeros_like(inside)
    inner[1:-1, 1:-1] = inside[1:-1, 1:-1]
    if not inner.any():
        raise ShapeError("region", got="no pixel with all its neighbors", remedy="widen it, or use larger cutouts")
    texture = np.empty((*images.shape[:2], len(NOISE_COLUMNS)))
    every_second = np.add.outer(np.arange(inner.shape[0]), np.arange(inner.shape[1])) % 2 == 0
    _measure(images, inner & every_second, statistics, texture)
    return texture


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _measure(images, chosen, statistics, texture):
    bend, deviation = np.empty(chosen.shape, np.float32), np.empty(chosen.shape, np.float32)
    columns = np.empty((4, chosen.shape[1]), np.float32)
    count = np.count_nonzero(chosen)
    for i in range(images.shape[0]):
        for band in range(images.shape[1]):
            location, factor = np.float32(statistics[i, band, 0]), np.float32(1.0 / statistics[i, band, 1])
            _sum_columns(images[i, band], chosen, location, factor, bend, deviation, columns)
            _finish(columns, count, texture[i, band])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _sum_columns(image, chosen, location, factor, bend, deviation, columns):
    """Add up roughness, power and both products of neighbors over the chosen pixels of each column.

    Each loop fills one array from few others, without a branch: so the compiler puts it into vector lanes.
    """
    height, width = image.shape
    zero, two = np.float32(0), np.float32(2)
    for y in range(height):
        for x in range(width):
            value = (image[y, x] - location) * factor
            value = -_CLIP if value < -_CLIP else value
            deviation[y, x] = _CLIP if value > _CLIP else value
    for y in range(height):
        for x in range(1, width - 1):
            bend[y, x] = image[y, x - 1] - two * image[y, x] + image[y, x + 1]
    columns[:] = zero
    rough, power, along_x, along_y = columns[0], columns[1], columns[2], columns[3]
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            here = abs(bend[y - 1, x] - two * bend[y, x] + bend[y + 1, x])
            rough[x] += here if chosen[y, x] else zero
        for x in range(1, width - 1):
            here = deviation[y, x] if chosen[y, x] else zero
            power[x] += here * here
        for x in range(1, width - 1):
            here = deviation[y, x] if chosen[y, x] else zero
            along_x[x] += here * (deviation[y, x - 1] + deviation[y, x + 1])
        for x in range(1, width - 1):
            here = deviation[y, x] if chosen[y, x] else zero
            along_y[x] += here * (deviation[y - 1, x] + deviation[y + 1, x])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _finish(columns, count, out):
    """Bring the sums of the columns together."""
    roughness, power, along_x, along_y = 0.0, 0.0, 0.0, 0.0
    for x in range(columns.shape[1]):
        roughness, power = roughness + columns[0, x], power + columns[1, x]
        along_x, along_y = along_x + columns[2, x], along_y + columns[3, x]
    out[0] = math.sqrt(0.5 * math.pi) / 6.0 * roughness / count
    out[1] = 0.5 * along_x / power if power != 0.0 else 0.0
    out[2] = 0.5 * along_y / power if power != 0.0 else 0.0
    if not (math.isfinite(roughness) and math.isfinite(power)):
        out[:] = np.nan
