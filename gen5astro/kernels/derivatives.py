"""Smoothed values and derivatives of an image on every second pixel, for fits that need no more.

An image is correlated with a Gaussian of one pixel and with its derivatives, which are scaled so that they are exact
for polynomials of the second degree. What varies faster than a PSF is noise; the rest is resolved by every second
pixel. The outermost pixels, over which a kernel would reach out of the image, have no sample.
"""

import numpy as np
from numba import njit

__all__ = ["FIELDS", "REACH", "STEP", "deinterleave", "grid_shape", "sample_fields", "sample_smooth", "smoothing_taps"]

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
def deinterleave(image, out):
    """Put the even columns of an image before its odd ones: what belongs to neighboring samples lies side by side.

    Parameters
    ----------
    image : float array, (y, x)
        The image.
    out : float64 array, (y, x or x + 1)
        Filled; its width is even, and a column that the image has not is 0.
    """
    width, half = image.shape[1], out.shape[1] // 2
    for y in range(image.shape[0]):
        for j in range(width // 2):
            out[y, j] = image[y, STEP * j]
        for j in range(width // 2):
            out[y, half + j] = image[y, STEP * j + 1]
        if width % 2 == 1:
            out[y, half - 1], out[y, 2 * half - 1] = image[y, width - 1], 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def sample_fields(image, taps, out):
    """Fill the samples of all `FIELDS`.

    Parameters
    ----------
    image : float64 array, (y, x)
        The image, from `deinterleave`.
    taps : float64 array, (3, 7)
        From `smoothing_taps`.
    out : float64 array, (4, i, j)
        Filled; i and j as from `grid_shape`.
    """
    columns, rest = np.empty((3, image.shape[1])), np.empty(out.shape[2])
    value, slope, bend = columns[0], columns[1], columns[2]
    for i in range(out.shape[1]):
        _even_along_y(image, STEP * i, taps[0], value)
        _odd_along_y(image, STEP * i, taps[1], slope)
        _even_along_y(image, STEP * i, taps[2], bend)
        _even_along_x(value, taps[0], 1.0, out[0, i])
        _odd_along_x(value, taps[1], out[1, i])
        _even_along_x(slope, taps[0], 1.0, out[2, i])
        _even_along_x(value, taps[2], 0.5, out[3, i])
        _even_along_x(bend, taps[0], 0.5, rest)
        for j in range(len(rest)):
            out[3, i, j] += rest[j]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def sample_smooth(image, taps, out):
    """Fill the samples of the smoothed image alone.

    Parameters
    ----------
    image : float64 array, (y, x)
        The image, from `deinterleave`.
    taps : float64 array, (3, 7)
        From `smoothing_taps`.
    out : float64 array, (i, j)
        Filled; i and j as from `grid_shape`.
    """
    column = np.empty(image.shape[1])
    for i in range(out.shape[0]):
        _even_along_y(image, STEP * i, taps[0], column)
        _even_along_x(column, taps[0], 1.0, out[i])


# Loops that fill one array from at most one other, since the compiler tells few apart, and then gives up its lanes.


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _even_along_y(image, y, taps, out):
    """Correlate the rows from y on with even taps."""
    t0, t1, t2, t3 = taps[3], taps[4], taps[5], taps[6]
    for x in range(len(out)):
        near, next_, far = (
            image[y + 2, x] + image[y + 4, x],
            image[y + 1, x] + image[y + 5, x],
            image[y, x] + image[y + 6, x],
        )
        out[x] = t0 * image[y + 3, x] + t1 * near + t2 * next_ + t3 * far


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _odd_along_y(image, y, taps, out):
    """Correlate the rows from y on with odd taps."""
    t1, t2, t3 = taps[4], taps[5], taps[6]
    for x in range(len(out)):
        near, next_, far = (
            image[y + 4, x] - image[y + 2, x],
            image[y + 5, x] - image[y + 1, x],
            image[y + 6, x] - image[y, x],
        )
        out[x] = t1 * near + t2 * next_ + t3 * far


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _even_along_x(row, taps, factor, out):
    """Correlate a row with even taps, at the samples."""
    t0, t1, t2, t3, odd = factor * taps[3], factor * taps[4], factor * taps[5], factor * taps[6], len(row) // 2
    for j in range(len(out)):
        near, next_, far = row[j + 1] + row[j + 2], row[odd + j] + row[odd + j + 2], row[j] + row[j + 3]
        out[j] = t0 * row[odd + j + 1] + t1 * near + t2 * next_ + t3 * far


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _odd_along_x(row, taps, out):
    """Correlate a row with odd taps, at the samples."""
    t1, t2, t3, odd = taps[4], taps[5], taps[6], len(row) // 2
    for j in range(len(out)):
        near, next_, far = row[j + 2] - row[j + 1], row[odd + j + 2] - row[odd + j], row[j + 3] - row[j]
        out[j] = t1 * near + t2 * next_ + t3 * far
