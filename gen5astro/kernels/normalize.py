"""The one normalization: how pixels are scaled for measurement, training and inference alike.

Every band of every image gets a location and a scale of its own, from that image alone; stretch and clip may follow:

========== ==================================================================================================
kind       location and scale
========== ==================================================================================================
sky        median and 1.4826 MAD of the sky annulus: blind to arc and host. A flat pedestal and a gain cancel
standard   mean and standard deviation of the whole image: the classic, which an arc moves, so that it leaks
core       mean and standard deviation of the core's pixels: every core comes out with mean 0 and scatter 1
pair       as ``sky``, of the ctrl: hand `normalizer_statistics` the ctrls and `normalize` both members
========== ==================================================================================================

A scale of zero cannot divide: where the MAD is zero (half of the pixels are equal) the standard deviation of the same
pixels stands in, and where that is zero as well, 1. A pixel that is not finite makes its band's statistics NaN.
"""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError
from gen5astro.kernels.aperture import geometric_center
from gen5astro.kernels.median import is_finite, median

__all__ = [
    "MAD_TO_SIGMA",
    "annulus_pixels",
    "core_pixels",
    "normalize",
    "normalizer_statistics",
    "region_statistics",
    "stretch_pixels",
    "stretch_room",
    "stretch_terms",
]

#: Standard deviation of a Gaussian in units of its median absolute deviation.
MAD_TO_SIGMA = 1.4826022185056018

_INFINITY = np.float32(np.inf)
_LANES = 64


def annulus_pixels(shape, fraction):
    """Find the pixels of the sky annulus.

    Parameters
    ----------
    shape : tuple of int
        ``(h, w)``; leading axes are ignored.
    fraction : tuple of float
        Inner and outer radius, as fractions of half the image's shorter side.

    Returns
    -------
    inside : bool array, (h, w)
        Whether a pixel's center lies between the radii, both included.

    Raises
    ------
    ShapeError
        If there is no such pixel.
    """
    half = min(shape[-2:]) / 2
    distance = _distance(shape)
    return _some((distance >= fraction[0] * half) & (distance <= fraction[1] * half), "sky annulus", shape)


def core_pixels(shape, radius_px):
    """Find the pixels of the core.

    Parameters
    ----------
    shape : tuple of int
        ``(h, w)``; leading axes are ignored.
    radius_px : float
        Radius of the core [pix].

    Returns
    -------
    inside : bool array, (h, w)
        Whether a pixel's center is no farther than that from the geometric center.

    Raises
    ------
    ShapeError
        If there is no such pixel.
    """
    return _some(_distance(shape) <= radius_px, "core", shape)


def normalizer_statistics(images, spec, pixel_scale):
    """Measure the location and scale that a normalizer takes from each band of each image.

    Parameters
    ----------
    images : float32 array, (n, band, h, w)
        Fluxes [nanomaggy]; the ctrls for kind ``pair``.
    spec : NormalizerSpec
        What to measure.
    pixel_scale : float
        Pixel scale [arcsec / pix], for the core's radius.

    Returns
    -------
    statistics : float64 array, (n, band, 2)
        Location and scale [nanomaggy]; the scale is above 0, both are NaN where a pixel that they read is not finite.

    Raises
    ------
    ShapeError
        If `images` has not four axes, or the annulus or core holds no pixel.
    """
    images = _checked_images(images)
    if spec.kind in ("sky", "pair"):
        chosen = annulus_pixels(images.shape, spec.annulus_fraction)
    elif spec.kind == "core":
        chosen = core_pixels(images.shape, spec.core_radius_arcsec / pixel_scale)
    else:
        chosen = np.ones(images.shape[-2:], bool)
    return _statistics(images, chosen, robust=spec.kind in ("sky", "pair"))


def region_statistics(images, inside):
    """Measure the median and 1.4826 MAD of a region of each band of each image.

    Parameters
    ----------
    images : float32 array, (n, band, h, w)
        Fluxes [nanomaggy].
    inside : bool array, (h, w)
        The region.

    Returns
    -------
    statistics : float64 array, (n, band, 2)
        Median and robust scatter [nanomaggy]; NaN where a pixel of the region is not finite.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or the region holds no pixel.
    """
    images = _checked_images(images)
    if inside.shape != images.shape[-2:]:
        raise ShapeError("region", got=f"shape {inside.shape}", expected=f"{images.shape[-2:]}")
    return _statistics(images, _some(inside, "region", images.shape), robust=True)


def normalize(images, statistics, spec, *, out=None):
    """Scale images by their statistics, then stretch and clip them.

    With ``x = (pixel - location) / scale``, the result is ``x`` or ``asinh(x / softening)``, bounded by the clip.

    Parameters
    ----------
    images : float32 array, (n, band, h, w)
        Fluxes [nanomaggy].
    statistics : float64 array, (n, band, 2)
        Location and scale, from `normalizer_statistics` with the same `spec`.
    spec : NormalizerSpec
        Stretch, softening and clip.
    out : float32 array, (n, band, h, w), optional
        Where to put the result; `images` itself is allowed.

    Returns
    -------
    normalized : float32 array, (n, band, h, w)
        Without unit; NaN where the pixel or a statistic is NaN.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    images = _checked_images(images)
    statistics = np.ascontiguousarray(statistics, dtype=np.float64)
    if statistics.shape != (*images.shape[:2], 2):
        raise ShapeError("statistics", got=f"shape {statistics.shape}", expected=f"{(*images.shape[:2], 2)}")
    out = np.empty_like(images) if out is None else out
    if out.shape != images.shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ShapeError("out", got=f"{out.dtype} {out.shape}", expected=f"C-contiguous float32 {images.shape}")
    size = images.shape[-2] * images.shape[-1]
    _stretch(images.reshape(-1, size), statistics.reshape(-1, 2), *stretch_terms(spec), out.reshape(-1, size))
    return out


def stretch_terms(spec):
    """Give what `stretch_pixels` is told of a normalizer.

    Parameters
    ----------
    spec : NormalizerSpec
        Its stretch, softening and clip.

    Returns
    -------
    softening : float
        0 without a stretch.
    clip : float
        Infinity without one.
    """
    softening = float(spec.softening) if spec.stretch == "asinh" else 0.0
    return softening, math.inf if spec.clip is None else float(spec.clip)


def _checked_images(images):
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim != 4:
        raise ShapeError("images", got=f"shape {images.shape}", expected="(n, band, h, w)")
    return images


def _statistics(images, chosen, *, robust):
    planes = images.reshape(-1, chosen.size)
    statistics = np.empty((len(planes), 2))
    _measure(planes, np.flatnonzero(chosen), robust, statistics)
    return statistics.reshape(*images.shape[:2], 2)


def _distance(shape):
    """Distance of each pixel's center from the geometric center [pix]."""
    x, y = geometric_center(shape)
    return np.hypot(np.arange(shape[-1]) - x, (np.arange(shape[-2]) - y)[:, None])


def _some(inside, name, shape):
    if not inside.any():
        raise ShapeError(
            name, got=f"no pixel of a {shape[-2]} x {shape[-1]} image", remedy="widen it, or use larger cutouts"
        )
    return inside


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _measure(planes, chosen, robust, statistics):
    room = np.empty(len(chosen), np.float32)
    deviation = np.empty(len(chosen), np.float32)
    kept = np.empty(len(chosen) + 1, np.float32)
    for i in range(len(planes)):
        sample = planes[i]
        if len(chosen) < len(sample):
            for k in range(len(chosen)):
                room[k] = sample[chosen[k]]
            sample = room
        if not robust:
            statistics[i, 0], statistics[i, 1] = _mean_and_scatter(sample)
        elif is_finite(sample):
            center = median(sample, kept)
            for k in range(len(chosen)):
                deviation[k] = abs(sample[k] - center)
            scale = MAD_TO_SIGMA * np.float64(median(deviation, kept))
            statistics[i, 0] = center
            statistics[i, 1] = scale if scale > 0 else _mean_and_scatter(sample)[1]
        else:
            statistics[i] = np.nan


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _mean_and_scatter(sample):
    """Mean and standard deviation in float64, in one pass about the first value; a scatter of 0 comes back as 1.

    Both are NaN where a value is not finite.

    Many partial sums fill the vector lanes. A second pass follows where the first value lies so far from the mean that
    digits of the scatter would cancel.
    """
    origin = np.float64(sample[0])
    mean, power = _moments(sample, origin)
    if not math.isfinite(power):
        return np.nan, np.nan
    if mean * mean > 1e6 * (power - mean * mean):
        origin += mean
        mean, power = _moments(sample, origin)
    scatter = math.sqrt(max(power - mean * mean, 0.0))
    return origin + mean, scatter if scatter > 0 else 1.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _moments(sample, origin):
    """Means of the deviations from an origin and of their squares."""
    sums, squares = np.zeros(_LANES), np.zeros(_LANES)
    whole = len(sample) - len(sample) % _LANES
    for begin in range(0, whole, _LANES):
        part = sample[begin : begin + _LANES]
        for lane in range(_LANES):
            deviation = np.float64(part[lane]) - origin
            sums[lane] += deviation
            squares[lane] += deviation * deviation
    for k in range(whole, len(sample)):
        deviation = np.float64(sample[k]) - origin
        sums[k - whole] += deviation
        squares[k - whole] += deviation * deviation
    total, power = 0.0, 0.0
    for lane in range(_LANES):
        total += sums[lane]
        power += squares[lane]
    return total / len(sample), power / len(sample)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _stretch(planes, statistics, softening, clip, out):
    room = np.empty(planes.shape[1], np.float32)
    for i in range(len(planes)):
        stretch_pixels(planes[i], statistics[i, 0], statistics[i, 1], softening, clip, room, out[i])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def stretch_pixels(pixels, location, scale, softening, clip, room, out):
    """Scale, stretch and clip the pixels of a plane, in float32 lanes.

    The location in two parts keeps what a large pedestal would round away. The pixels are copied first: a loop that
    only copies has more reads of memory under way than one that computes, which takes twice as long where they are far.

    Parameters
    ----------
    pixels : float32 array, (m,)
        Fluxes [nanomaggy].
    location, scale : float64
        Statistics of the plane [nanomaggy].
    softening, clip : float64
        From `stretch_terms`.
    room : float32 array, (m,)
        To work in.
    out : float32 array, (m,)
        Where the result goes; `pixels` itself is allowed.
    """
    for k in range(len(pixels)):
        room[k] = pixels[k]
    stretch_room(room, location, scale, softening, clip, out)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def stretch_room(room, location, scale, softening, clip, out):
    """Scale, stretch and clip pixels that are near already.

    Parameters
    ----------
    room : float32 array, (m,)
        Fluxes [nanomaggy].
    location, scale, softening, clip : float64
        As of `stretch_pixels`.
    out : float32 array, (m,)
        Where the result goes; `room` itself is allowed.
    """
    bound = np.float32(clip)
    most = np.float32(location)
    factor = np.float32(1.0 / (scale * (softening if softening > 0 else 1.0)))
    rest = np.float32(location - np.float64(most)) * factor
    for k in range(len(room)):
        value = (room[k] - most) * factor - rest
        if softening > 0:
            value = _asinh(value)
        value = -bound if value < -bound else value
        out[k] = bound if value > bound else value


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _asinh(x):
    """Asinh to 2e-7 of max(1, result), without a branch.

    The logarithm of what is left of a power of two, 0.7 to 1.4, is the polynomial of degree 8 whose greatest error is
    the least, 4e-8.
    """
    size = abs(x)
    value = size + math.sqrt(size * size + np.float32(1)) if size < np.float32(1e18) else np.float32(2) * size
    bits = np.float32(value).view(np.int32)
    exponent = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
    f = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - np.float32(1)
    p = np.float32(-1.0034618527e-1)
    p = p * f + np.float32(1.6335643828e-1)
    p = p * f - np.float32(1.7325994372e-1)
    p = p * f + np.float32(1.9888277352e-1)
    p = p * f - np.float32(2.4961465597e-1)
    p = p * f + np.float32(3.3335262537e-1)
    p = p * f - np.float32(5.0000584126e-1)
    result = np.float32(math.log(2.0)) * np.float32(exponent) + (f + f * f * p)
    return math.copysign(result if size < _INFINITY else size, x)
