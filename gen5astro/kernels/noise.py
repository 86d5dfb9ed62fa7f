"""The texture of an image's noise: how strong it is from pixel to pixel, and how much neighboring pixels share."""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError

__all__ = ["NOISE_COLUMNS", "noise_texture"]

NOISE_COLUMNS = ("noise_hf", "noise_autocorrelation_x", "noise_autocorrelation_y")

_CLIP = 3.0


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
    _measure(images, np.flatnonzero(inner & every_second), statistics, texture)
    return texture


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _measure(images, chosen, statistics, texture):
    n, bands, height, width = images.shape
    planes = images.reshape(n, bands, height * width)
    for i in range(n):
        for band in range(bands):
            location, factor = statistics[i, band, 0], 1.0 / statistics[i, band, 1]
            _measure_plane(planes[i, band], width, chosen, location, factor, texture[i, band])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _measure_plane(plane, width, chosen, location, factor, out):
    roughness, power, along_x, along_y = 0.0, 0.0, 0.0, 0.0
    for k in chosen:
        here, left, right = np.float64(plane[k]), np.float64(plane[k - 1]), np.float64(plane[k + 1])
        below, above = np.float64(plane[k - width]), np.float64(plane[k + width])
        corners = np.float64(plane[k - width - 1]) + np.float64(plane[k - width + 1])
        corners += np.float64(plane[k + width - 1]) + np.float64(plane[k + width + 1])
        roughness += abs(corners - 2.0 * (left + right + below + above) + 4.0 * here)
        deviation = _bounded((here - location) * factor)
        power += deviation * deviation
        along_x += 0.5 * deviation * (_bounded((left - location) * factor) + _bounded((right - location) * factor))
        along_y += 0.5 * deviation * (_bounded((below - location) * factor) + _bounded((above - location) * factor))
    out[0] = math.sqrt(0.5 * math.pi) / 6.0 * roughness / len(chosen)
    out[1] = along_x / power if power != 0.0 else 0.0
    out[2] = along_y / power if power != 0.0 else 0.0
    if not (math.isfinite(roughness) and math.isfinite(power)):
        out[:] = np.nan


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _bounded(value):
    """Bound a deviation; NaN stays NaN."""
    value = -_CLIP if value < -_CLIP else value
    return _CLIP if value > _CLIP else value
