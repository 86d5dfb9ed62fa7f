"""Pixels on a lattice of steps far below the noise, rounded at random so that no flux is gained or lost.

A flux x becomes ``step * code`` with code = floor(x / step + u), where u is uniform in [0, 1): on average that is x,
whatever lies between two codes, and the error has the variance f (1 - f) step^2, with f the part of x / step after the
point; over all f that is step^2 / 6. So a step of a sixteenth of the noise adds 1 / (6 * 256) to its variance, 0.033 %
to the noise. Rounding to the nearest code would add half of that, and bias what is fainter than a step.

Both members of a pair share the step and every u: pixels that are equal stay equal, or else the rounding itself would
tell stamp from ctrl. What is on the lattice already stays to the bit, zero above all.
"""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError
from gen5astro.kernels.median import median
from gen5astro.kernels.normalize import MAD_TO_SIGMA

__all__ = ["STEPS_PER_SIGMA", "lattice_step", "rounding_error", "sky_scatter", "to_lattice"]

#: Steps in a standard deviation of the sky noise.
STEPS_PER_SIGMA = 16

_MOST = 32_767
_TINY = np.finfo(np.float32).tiny
_GOLDEN, _FIRST, _SECOND = (np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def sky_scatter(images, inside):
    """Measure the noise of the sky: 1.4826 MAD of the finite pixels of a region.

    Parameters
    ----------
    images : float32 array, (n, band, h, w)
        Fluxes [nanomaggy].
    inside : bool array, (h, w)
        The region.

    Returns
    -------
    sigma : float64 array, (n, band)
        Noise [nanomaggy / pix]: that of `~gen5astro.kernels.normalize.region_statistics` where all pixels are finite
        and the MAD is above 0; 0 where half of the finite pixels are equal, or where there is none.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    images = _checked(images)
    if inside.shape != images.shape[-2:]:
        raise ShapeError("region", got=f"shape {inside.shape}", expected=f"{images.shape[-2:]}")
    sigma = np.empty(images.shape[:2])
    _scatter(images.reshape(-1, inside.size), np.flatnonzero(inside), sigma.reshape(-1))
    return sigma


def lattice_step(stamp, ctrl, sigma):
    """Choose the step of each band of each pair: a sixteenth of the noise, or what codes of 16 bits can reach with.

    Parameters
    ----------
    stamp, ctrl : float32 array, (n, band, h, w)
        Fluxes [nanomaggy].
    sigma : float64 array, (n, band)
        Noise of the sky [nanomaggy / pix]; where it is 0, the step is the finest that reaches.

    Returns
    -------
    step : float32 array, (n, band)
        Step [nanomaggy], above 0: no finite pixel lies beyond 32,766 of them.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    peak = np.zeros(sigma.shape, np.float32)
    for images in (stamp, ctrl):
        images = _checked(images)
        if images.shape[:2] != sigma.shape:
            raise ShapeError("sigma", got=f"shape {sigma.shape}", expected=f"{images.shape[:2]}")
        _find_peak(images.view(np.int32).reshape(peak.size, -1), peak.view(np.int32).reshape(-1))
    finest = peak.astype(np.float64) / (_MOST - 1)
    return np.maximum(np.maximum(sigma / STEPS_PER_SIGMA, finest), _TINY).astype(np.float32)


def to_lattice(images, step, seed):
    """Round images to whole steps at random, by a hash of seed and pixel: the same wherever and whenever it is done.

    Parameters
    ----------
    images : float32 array, (n, band, h, w)
        Fluxes [nanomaggy].
    step : float32 array, (n, band)
        Steps [nanomaggy].
    seed : uint64 array, (n,)
        One a pair.

    Returns
    -------
    rounded : float32 array, (n, band, h, w)
        ``float32(code) * step`` [nanomaggy] with whole codes up to 32,767; NaN stays NaN, and what lies beyond, or is
        infinite, is infinite.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Notes
    -----
    u is the upper 24 bits of SplitMix64 (Steele, Lea & Flood 2014, OOPSLA), whose state of pixel k of all bands of a
    pair is ``seed + (k + 1) * 0x9E3779B97F4A7C15``.
    """
    images = _checked(images)
    step, seed = np.ascontiguousarray(step, np.float32), np.ascontiguousarray(seed, np.uint64)
    if step.shape != images.shape[:2] or seed.shape != images.shape[:1]:
        got = f"shapes {step.shape} and {seed.shape}"
        raise ShapeError("step and seed", got=got, expected=f"{images.shape[:2]} and {images.shape[:1]}")
    rounded = np.empty_like(images)
    _round(images.reshape(*images.shape[:2], -1), step, seed, rounded.reshape(*images.shape[:2], -1))
    return rounded


def rounding_error(before, after, weights):
    """Measure what a change of form did to the pixels, and to the flux in an aperture.

    Parameters
    ----------
    before, after : float32 array, (n, band, h, w)
        Fluxes [nanomaggy].
    weights : float64 array, (h, w)
        Fraction of each pixel inside the aperture, from `~gen5astro.kernels.aperture.aperture_weights`.

    Returns
    -------
    error : float64 array, (n, band, 2)
        Root mean square of after - before over the pixels that are finite in both [nanomaggy / pix], and its weighted
        sum [nanomaggy]; that is NaN where a pixel inside is not finite.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    before, after = _checked(before), _checked(after)
    if before.shape != after.shape or weights.shape != before.shape[-2:]:
        got = f"shapes {before.shape}, {after.shape} and {weights.shape}"
        raise ShapeError("images and weights", got=got, expected="(n, band, h, w) twice and (h, w)")
    error = np.empty((*before.shape[:2], 2))
    shape = (-1, weights.size)
    _compare(before.reshape(shape), after.reshape(shape), weights.reshape(-1), error.reshape(-1, 2))
    return error


def _checked(images):
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim != 4:
        raise ShapeError("images", got=f"shape {images.shape}", expected="(n, band, h, w)")
    return images


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _scatter(planes, chosen, sigma):
    sample, kept = np.empty(len(chosen), np.float32), np.empty(len(chosen) + 1, np.float32)
    for i in range(len(planes)):
        count = 0
        for k in range(len(chosen)):
            sample[count] = planes[i, chosen[k]]
            count += np.int64(math.isfinite(sample[count]))
        finite = sample[:count]
        sigma[i] = 0.0
        if count:
            center = median(finite, kept)
            for k in range(count):
                finite[k] = abs(finite[k] - center)
            sigma[i] = MAD_TO_SIGMA * np.float64(median(finite, kept))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _find_peak(bits, peak):
    """Raise the peaks to the largest finite size; bits of positive floats order as they do, and fill vector lanes."""
    for i in range(len(bits)):
        most = peak[i]
        for k in range(bits.shape[1]):
            size = np.int32(bits[i, k] & np.int32(0x7FFFFFFF))
            most = max(most, size if size < np.int32(0x7F800000) else np.int32(0))
        peak[i] = most


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _round(images, step, seed, rounded):
    n_pixels = images.shape[2]
    for i in range(len(images)):
        for band in range(images.shape[1]):
            plane, out, size = images[i, band], rounded[i, band], step[i, band]
            inverse = 1.0 / np.float64(size)
            first = seed[i] + np.uint64(band * n_pixels + 1) * _GOLDEN
            for k in range(n_pixels):
                state = first + np.uint64(k) * _GOLDEN
                state = (state ^ (state >> np.uint64(30))) * _FIRST
                state = (state ^ (state >> np.uint64(27))) * _SECOND
                state ^= state >> np.uint64(31)
                share = np.float64(np.int64(state >> np.uint64(40))) * 2.0**-24
                place = np.float64(plane[k]) * inverse
                nearest = np.float32(np.rint(place))
                code = nearest if nearest * size == plane[k] else np.float32(np.floor(place + share))
                code = np.float32(np.inf) * code if abs(code) > _MOST else code
                out[k] = code * size


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _compare(before, after, weights, error):
    for i in range(len(before)):
        power, flux, count = 0.0, 0.0, 0
        for k in range(before.shape[1]):
            change = np.float64(after[i, k]) - np.float64(before[i, k])
            if weights[k] > 0.0:
                flux += weights[k] * change
            if math.isfinite(change):
                power += change * change
                count += 1
        error[i, 0] = math.sqrt(power / count) if count else np.nan
        error[i, 1] = flux
