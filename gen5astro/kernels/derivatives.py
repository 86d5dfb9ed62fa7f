"""Smoothed values and derivatives of an image on every second pixel, for fits that need no more.

An image is correlated with a Gaussian of one pixel and with its derivatives, which are scaled so that they are exact
for polynomials of the second degree. What varies faster than a PSF is noise; the rest is resolved by every second
pixel. The outermost pixels, over which a kernel would reach out of the image, have no sample.
"""

import numpy as np
from numba import njit

__all__ = ["FIELDS", "REACH", "STEP", "grid_shape", "sample_fields", "sample_smooth", "smoothing_taps"]

#: What `sample_fields` fills, in order; the last is half the Laplacian.
FIELDS = ("value", "slope_x", "slope_y", "half_laplacian")
#: Pixels between samples.
STEP = 2
#: Pixels from a sample to the end of its kernel, and from the image's edge to the first sample.
REACH = 3

_SIGMA_PIX = 1.0


def smoothing_taps():
    """Sample a Gaussian and its first and second derivative.

    Returns
    -------
    taps : float64 array, (3, 7)
        The first sums to 1; the second gives the slope of a line, the third the second derivative of a parabola.
    """
    offset = np.arange(-REACH, REACH + 1.0)
    value = np.exp(-0.5 * (offset / _SIGMA_PIX) ** 2)
    value /= value.sum()
    first = offset * value
    second = (offset**2 - (offset**2 * value).sum()) * value
    return np.stack([value, first / (offset * first).sum(), second / (0.5 * offset**2 * second).sum()])


def grid_shape(shape):
    """Count the samples of an image.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` of the image.

    Returns
    -------
    shape : tuple of int
        Samples along y and x; sample (i, j) is at pixel (REACH + STEP i, REACH + STEP j).
    """
    return tuple(max(0, (size - 2 * REACH - 1) // STEP + 1) for size in shape)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def sample_fields(image, taps, out):
    """Fill the samples of all `FIELDS`.

    Parameters
    ----------
    image : float array, (y, x)
        The image.
    taps : float64 array, (3, 7)
        From `smoothing_taps`.
    out : float64 array, (4, i, j)
        Filled; i and j as from `grid_shape`.
    """
    columns = np.empty((3, image.shape[1]))
    for i in range(out.shape[1]):
        columns[:] = 0.0
        for k in range(taps.shape[1]):
            row = image[STEP * i + k]
            value, first, second = taps[0, k], taps[1, k], taps[2, k]
            for x in range(image.shape[1]):
                pixel = np.float64(row[x])
                columns[0, x] += value * pixel
                columns[1, x] += first * pixel
                columns[2, x] += second * pixel
        for j in range(out.shape[2]):
            smooth, along_x, along_y, bend = 0.0, 0.0, 0.0, 0.0
            for k in range(taps.shape[1]):
                x = STEP * j + k
                smooth += taps[0, k] * columns[0, x]
                along_x += taps[1, k] * columns[0, x]
                along_y += taps[0, k] * columns[1, x]
                bend += taps[2, k] * columns[0, x] + taps[0, k] * columns[2, x]
            out[0, i, j], out[1, i, j], out[2, i, j], out[3, i, j] = smooth, along_x, along_y, 0.5 * bend


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def sample_smooth(image, taps, out):
    """Fill the samples of the smoothed image alone.

    Parameters
    ----------
    image : float array, (y, x)
        The image.
    taps : float64 array, (3, 7)
        From `smoothing_taps`.
    out : float64 array, (i, j)
        Filled; i and j as from `grid_shape`.
    """
    column = np.empty(image.shape[1])
    for i in range(out.shape[0]):
        column[:] = 0.0
        for k in range(taps.shape[1]):
            row, value = image[STEP * i + k], taps[0, k]
            for x in range(image.shape[1]):
                column[x] += value * np.float64(row[x])
        for j in range(out.shape[1]):
            smooth = 0.0
            for k in range(taps.shape[1]):
                smooth += taps[0, k] * column[STEP * j + k]
            out[i, j] = smooth
