"""The one normalization: how pixels are scaled for measurement, training and inference alike.

Every band of every image gets a location and a scale of its own, from that image alone, then an optional stretch and clip:

========== ==================================================================================================
kind       location and scale
========== ==================================================================================================
sky        median and 1.4826 MAD of the sky annulus: blind to arc and host. A flat pedestal and a gain cancel
standard   mean and standard deviation of the whole image: the classic, which an arc moves, so that it leaks
core       mean and standard deviation of the core's pixels: every core comes out with mean 0 and scatter 1
pair       as ``sky``, of the ctrl: hand `normalizer_statistics` the ctrls and `normalize` both members
========== ==================================================================================================

A scale of zero cannot divide: where the MAD is zero (more than half of the pixels are equal) the standard deviation of
the same pixels stands in, and where that is zero as well, 1. A pixel that is not finite makes its band's statistics NaN.
"""

import math

import numpy as np

from gen5astro.errors import ShapeError
from gen5astro.kernels import compiled
from gen5astro.kernels.aperture import geometric_center

__all__ = ["MAD_TO_SIGMA", "annulus_pixels", "core_pixels", "normalize", "normalizer_statistics"]

#: Standard deviation of a Gaussian in units of its median absolute deviation.
MAD_TO_SIGMA = 1.4826022185056018


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
    planes = images.reshape(-1, chosen.size)
    statistics = np.empty((len(planes), 2))
    _measure(planes, np.flatnonzero(chosen), spec.kind in ("sky", "pair"), statistics)
    return statistics.reshape(*images.shape[:2], 2)


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
    clip = math.inf if spec.clip is None else float(spec.clip)
    softening = float(spec.softening) if spec.stretch == "asinh" else 0.0
    _stretch(images.reshape(-1, size), statistics.reshape(-1, 2), softening, clip, out.reshape(-1, size))
    return out


def _checked_images(images):
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim != 4:
        raise ShapeError("images", got=f"shape {images.shape}", expected="(n, band, h, w)")
    return images


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


@compiled
def _measure(planes, chosen, robust, statistics):
    sample = np.empty(len(chosen), np.float32)
    deviation = np.empty(len(chosen), np.float32)
    for i in range(len(planes)):
        finite = True
        for k in range(len(chosen)):
            sample[k] = planes[i, chosen[k]]
            finite &= math.isfinite(sample[k])
        if not finite:
            statistics[i] = np.nan
        elif robust:
            center = _median(sample)
            for k in range(len(chosen)):
                deviation[k] = abs(sample[k] - center)
            scale = MAD_TO_SIGMA * np.float64(_median(deviation))
            statistics[i, 0] = center
            statistics[i, 1] = scale if scale > 0 else _mean_and_scatter(sample)[1]
        else:
            statistics[i, 0], statistics[i, 1] = _mean_and_scatter(sample)


@compiled
def _median(sample):
    """Median as NumPy gives it for float32."""
    ordered = np.sort(sample)
    half = len(sample) // 2
    return ordered[half] if len(sample) % 2 else np.float32(0.5) * (ordered[half - 1] + ordered[half])


@compiled
def _mean_and_scatter(sample):
    """Mean and standard deviation in float64; a scatter of 0 comes back as 1."""
    mean = 0.0
    for value in sample:
        mean += np.float64(value)
    mean /= len(sample)
    squares = 0.0
    for value in sample:
        squares += (value - mean) ** 2
    scatter = math.sqrt(squares / len(sample))
    return mean, scatter if scatter > 0 else 1.0


@compiled
def _stretch(planes, statistics, softening, clip, out):
    for i in range(len(planes)):
        location, factor = statistics[i, 0], 1.0 / statistics[i, 1]
        for k in range(planes.shape[1]):
            value = (planes[i, k] - location) * factor
            if softening > 0:
                value = math.asinh(value / softening)
            out[i, k] = -clip if value < -clip else clip if value > clip else value
