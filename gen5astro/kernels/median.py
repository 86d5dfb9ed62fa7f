"""Exact medians by counting: no value is moved that is not near the middle."""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError

__all__ = ["image_medians", "is_finite", "median", "single_median"]

_INFINITY = np.float32(np.inf)
_PROBES = 17
_SLOW_PASSES = 2
_STRETCH = 32
_FEW = 16


def image_medians(images):
    """Measure the median of each band of each image.

    Parameters
    ----------
    images : float32 array, (n, band, h, w)
        Fluxes [nanomaggy].

    Returns
    -------
    medians : float64 array, (n, band)
        Medians [nanomaggy]; NaN where a pixel is not finite.

    Raises
    ------
    ShapeError
        If `images` has not four axes.
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim != 4:
        raise ShapeError("images", got=f"shape {images.shape}", expected="(n, band, h, w)")
    planes = images.reshape(-1, images.shape[-2] * images.shape[-1])
    medians = np.empty(len(planes))
    _take_medians(planes, medians)
    return medians.reshape(images.shape[:2])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _take_medians(planes, medians):
    kept = np.empty(planes.shape[1] + 1, np.float32)
    for i in range(len(planes)):
        medians[i] = median(planes[i], kept) if is_finite(planes[i]) else np.nan


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def is_finite(sample):
    """Tell whether all values are finite; they are counted, since a sum of 32-bit integers fills the vector lanes.

    Parameters
    ----------
    sample : float32 array, (m,)
        The values.

    Returns
    -------
    finite : bool
        Whether there is neither a NaN nor an infinity.
    """
    good = np.int32(0)
    for k in range(len(sample)):
        good = np.int32(good + np.int32(abs(sample[k]) < _INFINITY))
    return np.int64(good) == len(sample)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def median(sample, kept):
    """Find the median, bit for bit NumPy's of float32.

    Parameters
    ----------
    sample : float32 array, (m,)
        Finite values, at least one.
    kept : float32 array, (m + 1,)
        Room to work in.

    Returns
    -------
    median : float32
        The middle value, or the mean of the two.

    Notes
    -----
    A bracket about the two middle values, guessed from every so many-th pixel, is narrowed by counting what lies below
    trial values; the few that are left inside are sorted. Bad guesses (ties, odd distributions) cost time only: where
    passes leave more than three quarters, or trial values overflow, all that is inside is sorted.
    """
    n = len(sample)
    first, second = (n - 1) // 2, n // 2
    low, high, n_low, n_high = -_INFINITY, _INFINITY, 0, n
    lower, upper = _guess(sample, kept)
    inside, slow = n, 0
    while inside > _FEW and slow < _SLOW_PASSES and lower <= upper:
        c_lower, c_upper = _count_up_to(sample, lower, upper)
        if c_upper <= first:
            low, n_low = upper, c_upper
        elif c_lower <= first:
            low, n_low = lower, c_lower
        if c_lower > second:
            high, n_high = lower, c_lower
        elif c_upper > second:
            high, n_high = upper, c_upper
        slow += np.int64(4 * (n_high - n_low) > 3 * inside)
        inside = n_high - n_low
        if low == -_INFINITY:
            lower, upper = lower - np.float32(2) * (upper - lower), lower
        elif high == _INFINITY:
            lower, upper = upper, upper + np.float32(2) * (upper - lower)
        else:
            middle = (0.5 * (first + second + 1) - n_low) / inside
            margin = 0.03 + 1 / math.sqrt(inside)
            width = high - low
            lower = low + width * np.float32(middle - margin)
            upper = low + width * np.float32(middle + margin)
    ordered = kept[: _keep_between(sample, low, high, kept)]
    if len(ordered) > _FEW:
        ordered.sort()
    else:
        _insertion_sort(ordered)
    return np.float32(0.5) * (ordered[first - n_low] + ordered[second - n_low])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def single_median(values):
    """Find the median of values of any precision, rounded to single precision.

    Parameters
    ----------
    values : float array, (m,)
        The values.

    Returns
    -------
    median : float64
        The middle value, or the mean of the two; NaN where there is none, or one is not finite.
    """
    rounded = values.astype(np.float32)
    if len(rounded) == 0 or not is_finite(rounded):
        return np.nan
    return np.float64(median(rounded, np.empty(len(rounded) + 1, np.float32)))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _guess(sample, kept):
    """Two values that the median is between, nearly always."""
    probes = kept[: min(_PROBES, len(sample))]
    for k in range(len(probes)):
        probes[k] = sample[k * len(sample) // len(probes)]
    _insertion_sort(probes)
    return probes[len(probes) * 3 // 10], probes[len(probes) * 7 // 10]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _count_up_to(sample, lower, upper):
    """Count the values up to each bound; 32-bit sums fill the vector lanes."""
    n_lower = n_upper = np.int32(0)
    for k in range(len(sample)):
        n_lower = np.int32(n_lower + np.int32(sample[k] <= lower))
        n_upper = np.int32(n_upper + np.int32(sample[k] <= upper))
    return np.int64(n_lower), np.int64(n_upper)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _keep_between(sample, low, high, kept):
    """Copy the values above `low` and up to `high`; stretches without any are passed over."""
    n_kept = 0
    for begin in range(0, len(sample), _STRETCH):
        part = sample[begin : begin + _STRETCH]
        n_low, n_high = _count_up_to(part, low, high)
        if n_high > n_low:
            for k in range(len(part)):
                kept[n_kept] = part[k]
                n_kept += np.int64(part[k] > low) & np.int64(part[k] <= high)
    return n_kept


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _insertion_sort(values):
    for i in range(1, len(values)):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value
