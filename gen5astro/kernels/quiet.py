"""An image with light added that has no noise of its own."""

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError
from gen5astro.kernels.derivatives import REACH, smoothing_taps

__all__ = ["add_smoothed"]


_SIGNIFICANCE = 4.0


def add_smoothed(images, light, noise, *, out=None):
    """Add light to images after a Gaussian of one pixel, and a threshold, have taken its noise away.

    What is as wide as a PSF hardly changes; of white noise about a fourth of the standard deviation is left, and only
    what is beyond four times that is added.

    Parameters
    ----------
    images, light : float32 array, (n, band, y, x)
        Fluxes [nanomaggy].
    noise : float64 array, (n, band)
        Standard deviation of white noise in `light` [nanomaggy / pix].
    out : float32 array, (n, band, y, x), optional
        Where to put the result; `light` itself is allowed.

    Returns
    -------
    sums : float32 array, (n, band, y, x)
        Images and smoothed light [nanomaggy]; beyond its edge, light goes on as it is there.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    images, light = (np.ascontiguousarray(each, dtype=np.float32) for each in (images, light))
    noise = np.ascontiguousarray(noise, dtype=np.float32)
    if images.ndim != 4 or images.shape != light.shape or noise.shape != images.shape[:2]:
        got = f"{images.shape}, {light.shape} and {noise.shape}"
        raise ShapeError("images, light and noise", got=got, expected="(n, band, y, x) twice and (n, band)")
    sums = np.empty_like(images) if out is None else out
    taps = smoothing_taps()[0].astype(np.float32)
    shape, least = (-1, *images.shape[2:]), _SIGNIFICANCE * np.dot(taps, taps) * noise.ravel()
    _add(images.reshape(shape), light.reshape(shape), taps[REACH:], least, sums.reshape(shape))
    return sums


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _add(images, light, taps, least, sums):
    height, width = images.shape[1:]
    padded = np.empty((height, width + 2 * REACH), np.float32)
    for i in range(len(images)):
        _smooth_along_y(light[i], taps, padded)
        for y in range(height):
            padded[y, :REACH] = padded[y, REACH]
            padded[y, REACH + width :] = padded[y, REACH + width - 1]
        _add_smoothed_along_x(images[i], padded, taps, least[i], sums[i])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _smooth_along_y(light, taps, padded):
    height, width = light.shape
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    for y in range(height):
        b1, b2, b3 = max(y - 1, 0), max(y - 2, 0), max(y - 3, 0)
        a1, a2, a3 = min(y + 1, height - 1), min(y + 2, height - 1), min(y + 3, height - 1)
        for x in range(width):
            near, next_, far = light[b1, x] + light[a1, x], light[b2, x] + light[a2, x], light[b3, x] + light[a3, x]
            padded[y, REACH + x] = t0 * light[y, x] + t1 * near + t2 * next_ + t3 * far


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _add_smoothed_along_x(image, padded, taps, least, out):
    height, width = image.shape
    t0, t1, t2, t3 = taps[0], taps[1], taps[2], taps[3]
    for y in range(height):
        for x in range(width):
            near, next_ = padded[y, x + 2] + padded[y, x + 4], padded[y, x + 1] + padded[y, x + 5]
            out[y, x] = t0 * padded[y, x + 3] + t1 * near + t2 * next_ + t3 * (padded[y, x] + padded[y, x + 6])
    for y in range(height):
        for x in range(width):
            added = np.float32(0) if abs(out[y, x]) < least else out[y, x]
            out[y, x] = image[y, x] + added
