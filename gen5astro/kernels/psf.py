"""Where the point spread function puts the light: encircled energies, and what spreads from an arc into the core.

A PSF is given by its full width at half maximum and a profile (Gaussian, or Moffat 1969, A&A 3, 455, whose wings
bracket real seeing), or as an image whose middle pixel is its center.
"""

import math

import numpy as np
from numba import njit
from scipy.ndimage import map_coordinates
from scipy.optimize import least_squares
from scipy.signal import fftconvolve

from gen5astro.errors import ConfigError, FormatError, ShapeError
from gen5astro.kernels.aperture import aperture_weights, geometric_center

__all__ = [
    "gaussian_encircled_energy",
    "image_encircled_energy",
    "image_ring_fraction",
    "moffat_encircled_energy",
    "profile_psf",
    "psf_fwhm",
    "ring_core_fraction",
    "spread_core_flux",
]

_FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
_RING_ANGLES = 360
_FINE = 5


def gaussian_encircled_energy(radius, *, fwhm):
    """Compute the share of a Gaussian PSF's light within a radius, ``1 - exp(-r^2 / 2 sigma^2)``.

    Parameters
    ----------
    radius : float or array
        Radius, in the unit of `fwhm`.
    fwhm : float or array
        Full width at half maximum; broadcast against `radius`.

    Returns
    -------
    share : float64 or array
        From 0 to 1.
    """
    return -np.expm1(-0.5 * (np.asarray(radius) * _FWHM_PER_SIGMA / fwhm) ** 2)


def moffat_encircled_energy(radius, *, fwhm, beta=2.5):
    """Compute the share of a Moffat PSF's light within a radius, ``1 - (1 + r^2 / alpha^2)^(1 - beta)``.

    Parameters
    ----------
    radius : float or array
        Radius, in the unit of `fwhm`.
    fwhm : float or array
        Full width at half maximum, ``2 alpha sqrt(2^(1 / beta) - 1)``; broadcast against `radius`.
    beta : float
        Slope of the wings, above 1.

    Returns
    -------
    share : float64 or array
        From 0 to 1.

    Raises
    ------
    ConfigError
        If `beta` is not above 1, where a Moffat profile holds no finite flux.
    """
    alpha = np.asarray(fwhm) / (2 * math.sqrt(2 ** (1 / _checked_beta(beta)) - 1))
    return -np.expm1((1 - beta) * np.log1p((np.asarray(radius) / alpha) ** 2))


def image_encircled_energy(psf, radii_px):
    """Compute the share of a PSF image's light in exact discs about its middle.

    Parameters
    ----------
    psf : array, (k, k)
        The PSF; its sum counts as all of the light.
    radii_px : float64 array, (r,)
        Radii [pix].

    Returns
    -------
    share : float64 array, (r,)
        Encircled energy.

    Raises
    ------
    ShapeError
        If the image is not square.
    FormatError
        If it holds no light.
    """
    psf = _checked_psf(psf)
    center = geometric_center(psf.shape)
    return np.array([np.sum(psf * aperture_weights(psf.shape, center, radius)) for radius in np.atleast_1d(radii_px)])


def ring_core_fraction(ring_radius, core_radius, *, fwhm, profile="gaussian", beta=2.5):
    """Compute the share of a thin ring's light that a PSF puts into a disc about the ring's center.

    For a Gaussian this is ``1 - Q1(ring / sigma, core / sigma)`` with Marcum's Q. In general, with E(d) the encircled
    energy, the divergence theorem on the field ``E(d) / (2 pi d^2) * d`` turns the area integral over the disc into one
    over its rim, ``(1 / pi) * integral over phi from 0 to pi of E(d) c (c - R cos phi) / d^2`` with
    ``d^2 = c^2 + R^2 - 2 c R cos phi``: smooth and periodic, so that the trapezoid rule converges geometrically.

    Parameters
    ----------
    ring_radius : float or array
        Radius of the ring, in the unit of `fwhm`.
    core_radius : float or array
        Radius of the disc.
    fwhm : float or array
        Full width at half maximum of the PSF. All three are broadcast.
    profile : str
        ``'gaussian'`` or ``'moffat'``.
    beta : float
        Slope of the Moffat profile's wings, above 1.

    Returns
    -------
    share : float64 or array
        From 0 to 1, to 1e-10; NaN where an argument is not a number or not positive (a ring radius of 0 is a point).

    Raises
    ------
    ConfigError
        If the profile is not known, or `beta` is not above 1.
    """
    _check_profile(profile)
    given = (np.asarray(each, dtype=np.float64) for each in (ring_radius, core_radius, fwhm))
    ring, core, width = (np.array(each) for each in np.broadcast_arrays(*given))
    share = np.empty(ring.shape)
    slope = _checked_beta(beta) if profile == "moffat" else 0.0
    _ring_shares(ring.ravel(), core.ravel(), width.ravel(), slope, share.reshape(-1))
    return share[()]


def image_ring_fraction(ring_radius_px, core_radius_px, *, psf):
    """Compute the share of a thin ring's light that a PSF image puts into a disc about the ring's center.

    The core's disc correlated with the PSF says what a point at each place puts into it; a ring puts the mean over its
    circle, taken at many angles by cubic interpolation.

    Parameters
    ----------
    ring_radius_px : float64 array, (r,)
        Radii of the rings [pix].
    core_radius_px : float
        Radius of the disc [pix].
    psf : array, (k, k)
        The PSF, k odd; scaled to unit sum here.

    Returns
    -------
    share : float64 array, (r,)
        A little below 0 where the PSF has negative wings.

    Raises
    ------
    ShapeError
        If the PSF is not square with an odd side.
    FormatError
        If the PSF holds no light.
    """
    psf = _checked_odd(psf)
    radius = np.atleast_1d(np.asarray(ring_radius_px, dtype=np.float64))
    reach = math.ceil(radius.max(initial=0.0)) + 2
    margin = psf.shape[0] // 2
    side = 2 * (reach + margin) + 1
    disc = aperture_weights((side, side), (reach + margin, reach + margin), core_radius_px)
    response = fftconvolve(disc, psf[::-1, ::-1], mode="valid")
    angle = 2 * np.pi * (np.arange(_RING_ANGLES) + 0.5) / _RING_ANGLES
    place = reach + radius[:, None] * np.stack([np.sin(angle), np.cos(angle)])[:, None, :]
    return map_coordinates(response, place, order=3).mean(axis=1)


def spread_core_flux(arc, psf, core_radius_px, *, center=None):
    """Compute the flux that an arc, once blurred by a PSF image, puts into the core.

    The sum of the arc times the core disc correlated with the PSF: what an aperture on the blurred image would measure,
    without blurring it.

    Parameters
    ----------
    arc : array, (..., h, w)
        Flux of the arc before the PSF [nanomaggy].
    psf : array, (k, k)
        The PSF, k odd; scaled to unit sum here.
    core_radius_px : float
        Radius of the core [pix].
    center : tuple of float, optional
        ``(x, y)`` of the core [pix]; default: the geometric center.

    Returns
    -------
    flux : float64 or array, (...)
        Flux in the core [nanomaggy].

    Raises
    ------
    ShapeError
        If the PSF is not square with an odd side.
    FormatError
        If the PSF holds no light.
    """
    arc = np.asarray(arc, dtype=np.float64)
    psf = _checked_odd(psf)
    margin = psf.shape[0] // 2
    shape = arc.shape[-2] + 2 * margin, arc.shape[-1] + 2 * margin
    x, y = geometric_center(arc.shape) if center is None else center
    disc = aperture_weights(shape, (x + margin, y + margin), core_radius_px)
    reach = fftconvolve(disc, psf[::-1, ::-1], mode="valid")
    return np.sum(arc * reach, axis=(-2, -1))


def profile_psf(fwhm_px, *, profile="moffat", beta=2.5, half_px=31):
    """Make the image of a PSF that is known by its width alone: its profile averaged over pixels.

    Parameters
    ----------
    fwhm_px : float
        Full width at half maximum [pix].
    profile : str
        ``'gaussian'`` or ``'moffat'``.
    beta : float
        Slope of the Moffat profile's wings, above 1.
    half_px : int
        Half of the side, without the middle pixel [pix].

    Returns
    -------
    psf : float64 array, (2 half_px + 1, 2 half_px + 1)
        Of sum 1, centered on the middle pixel.

    Raises
    ------
    ConfigError
        If the width is not positive, the profile is not known, or `beta` is not above 1.
    """
    _check_profile(profile)
    if not fwhm_px > 0:
        raise ConfigError("PSF FWHM", got=fwhm_px, expected="a positive number of pixels")
    side = 2 * half_px + 1
    place = (np.arange(_FINE * side) + 0.5) / _FINE - (half_px + 0.5)
    squares = (place[:, None] ** 2 + place**2) / fwhm_px**2
    if profile == "moffat":
        beta = _checked_beta(beta)
        light = (1 + 4 * (2 ** (1 / beta) - 1) * squares) ** -beta
    else:
        light = np.exp(-0.5 * _FWHM_PER_SIGMA**2 * squares)
    psf = light.reshape(side, _FINE, side, _FINE).sum((1, 3))
    return psf / psf.sum()


def psf_fwhm(psf):
    """Measure the full width at half maximum of a PSF image.

    The width of the round Moffat profile that fits the pixels best in least squares, with its center and slope free; a
    Gaussian is its limit.

    Parameters
    ----------
    psf : array, (k, k)
        The PSF on an empty sky.

    Returns
    -------
    fwhm : float
        Full width at half maximum [pix]; NaN where a pixel is not finite.

    Raises
    ------
    ShapeError
        If the image is not square.
    FormatError
        If it holds no light.
    """
    psf = _checked_psf(psf)
    if not np.all(np.isfinite(psf)):
        return math.nan
    y, x = np.indices(psf.shape)
    x_0, y_0 = geometric_center(psf.shape)
    area = np.count_nonzero(psf > 0.5 * psf.max())
    begin = [psf.max(), x_0, y_0, math.log(2 * math.sqrt(max(area, 1) / math.pi)), 0.3]

    def misfit(parameters):
        peak, at_x, at_y, log_fwhm, inverse_beta = parameters
        squares = ((x - at_x) ** 2 + (y - at_y) ** 2) * (4 * math.exp(-2 * log_fwhm))
        model = peak * np.exp(-np.log1p((2**inverse_beta - 1) * squares) / inverse_beta)
        return (model - psf).ravel() / begin[0]

    inf = math.inf
    bounds = ([0, x_0 - 3, y_0 - 3, -inf, 1e-3], [inf, x_0 + 3, y_0 + 3, inf, 0.98])
    return float(math.exp(least_squares(misfit, begin, bounds=bounds, x_scale=[begin[0], 1, 1, 1, 1]).x[3]))


def _check_profile(profile):
    if profile not in ("gaussian", "moffat"):
        raise ConfigError("PSF profile", got=repr(profile), expected="'gaussian' or 'moffat'")


def _checked_beta(beta):
    if not beta > 1:
        raise ConfigError("Moffat beta", got=beta, expected="above 1, or the profile holds no finite flux")
    return float(beta)


def _checked_psf(psf):
    """Return a PSF image of unit sum."""
    psf = np.asarray(psf, dtype=np.float64)
    if psf.ndim != 2 or psf.shape[0] != psf.shape[1]:
        raise ShapeError("PSF image", got=f"shape {psf.shape}", expected="(k, k)")
    total = psf.sum()
    if total <= 0:
        raise FormatError("PSF image", got=f"a sum of {total:g}", expected="light: a sum above 0")
    return psf / total


def _checked_odd(psf):
    psf = _checked_psf(psf)
    if psf.shape[0] % 2 == 0:
        raise ShapeError(
            "PSF image", got=f"shape {psf.shape}", expected="an odd side, with its center on the middle pixel"
        )
    return psf


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _ring_shares(ring, core, fwhm, beta, share):
    """Trapezoid over half of the core's rim; `beta` 0 stands for a Gaussian."""
    for i in range(len(ring)):
        share[i] = np.nan
        if not (ring[i] >= 0 and core[i] > 0 and fwhm[i] > 0):
            continue
        if beta > 1:
            scale = fwhm[i] / (2 * math.sqrt(2 ** (1 / beta) - 1))
        else:
            scale = fwhm[i] / _FWHM_PER_SIGMA
        share[i] = _ring_share(ring[i] / scale, core[i] / scale, beta)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _ring_share(ring, core, beta):
    """Lengths in units of sigma or alpha."""
    nearest = (core - ring) * (core - ring)
    if beta > 1:
        strip = math.acosh(1 + (1 + nearest) / max(2 * core * ring, 1e-300))
        nodes = 4 + math.ceil(16.0 / strip)
    else:
        nodes = 12 + math.ceil(5 * math.sqrt(core * ring))
    total, cosine, previous = 0.0, 1.0, math.cos(math.pi / nodes)
    twice = 2 * previous
    for k in range(nodes + 1):
        square = nearest + 2 * core * ring * (1 - cosine)
        if square < 1e-12:
            inside = beta - 1 if beta > 1 else 0.5
        elif beta > 1:
            inside = -math.expm1((1 - beta) * math.log1p(square)) / square
        else:
            inside = -math.expm1(-0.5 * square) / square
        total += (0.5 if k in (0, nodes) else 1.0) * inside * core * (core - ring * cosine)
        cosine, previous = twice * cosine - previous, cosine
    return min(max(total / nodes, 0.0), 1.0)
