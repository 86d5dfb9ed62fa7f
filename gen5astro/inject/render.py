"""From a lens and a source to the arc's light in every band.

Rays are shot once, on a grid finer than the pixels; the source's surface brightness is evaluated once on them; bands
differ by its color and by their PSF, with which the pixels are convolved. Rays of a pixel that no light reaches are not
shot, and where the source is too steep for the grid (cusps, small counter-images) a cell is divided again.
"""

import math

import numpy as np
from scipy import fft, special

from gen5astro.errors import ConfigError, ShapeError
from gen5astro.inject.lens import lens_terms
from gen5astro.inject.rays import shoot

__all__ = ["psf_convolution", "render_arcs", "render_source"]

_FAINTEST = 1e-7
_STEEPEST = 0.1
_INNER = np.geomspace(0.25, 100, 120)


def render_arcs(parameters, shape, pixel_scale, psf, *, bands, supersampling, refine=True):
    """Render the arcs of some injections in every band.

    Parameters
    ----------
    parameters : dict of array, (n,)
        What `render_source` takes, and ``source_mag_<band>``, the source's unlensed AB magnitude.
    shape : tuple of int
        ``(y, x)`` of the images.
    pixel_scale : float
        Pixel scale of images and PSF [arcsec / pix].
    psf : float64 array, (band, k, k)
        PSF of each band, of sum 1, centered on pixel (k // 2, k // 2).
    bands : sequence of str
        Names of the bands.
    supersampling : int
        Rays a pixel side.
    refine : bool
        Divide cells again where the source is steep.

    Returns
    -------
    arcs : float64 array, (n, band, y, x)
        Flux of the arcs [nanomaggy]. Each is rendered by itself, so none depends on its neighbors.
    magnification : float64 array, (n,)
        Lensed flux that falls in the image, over the source's flux.
    """
    count = len(parameters["theta_e_arcsec"])
    arcs = np.empty((count, len(bands), *shape))
    magnification = np.empty(count)
    convolve = psf_convolution(psf, shape)
    for row in range(count):
        one = {name: values[row] for name, values in parameters.items()}
        light = render_source(one, shape, pixel_scale, supersampling=supersampling, refine=refine)
        magnification[row] = light.sum()
        flux = [10 ** (-0.4 * (one[f"source_mag_{band}"] - 22.5)) for band in bands]
        arcs[row] = convolve(light) * np.reshape(flux, (-1, 1, 1))
    return arcs, magnification


def psf_convolution(psf, shape):
    """Make the function that convolves an image with each PSF and keeps its frame; outside it there is no light.

    Parameters
    ----------
    psf : float64 array, (band, k, k)
        PSF of each band, centered on pixel (k // 2, k // 2).
    shape : tuple of int
        ``(y, x)`` of the images.

    Returns
    -------
    convolve : callable
        ``convolve(light)`` of a float64 array (y, x) is a float64 array (band, y, x).

    Raises
    ------
    ShapeError
        If the PSF has an even side.
    """
    sides = psf.shape[-2:]
    if psf.ndim != 3 or not all(side % 2 for side in sides):
        raise ShapeError("PSF", got=psf.shape, expected="(band, k, k) with odd k")
    half = [side // 2 for side in sides]
    padded = tuple(fft.next_fast_len(size + middle, real=True) for size, middle in zip(shape, half, strict=True))
    if any(side > size for side, size in zip(sides, padded, strict=True)):
        padded = tuple(fft.next_fast_len(max(*pair), real=True) for pair in zip(sides, padded, strict=True))
    kernel = np.zeros((len(psf), *padded))
    kernel[:, : sides[0], : sides[1]] = psf
    transform = fft.rfft2(np.roll(kernel, (-half[0], -half[1]), axis=(1, 2)))

    def convolve(light):
        spectrum = fft.rfft2(light, s=padded)
        return fft.irfft2(spectrum * transform, s=padded)[:, : shape[0], : shape[1]]

    return convolve


def render_source(parameters, shape, pixel_scale, *, supersampling, refine=True):
    """Render lensed light of unit source flux, before the PSF.

    Parameters
    ----------
    parameters : mapping of str to float
        One injection: ``theta_e_arcsec, lens_e1, lens_e2, gamma1, gamma2`` (lens), ``source_x, source_y`` [arcsec from
        the lens], ``source_radius_arcsec, source_index, source_e1, source_e2`` (Sersic source; its half-light radius is
        that of the circle with the same area), ``center_x, center_y`` (the lens [pix]).
    shape : tuple of int
        ``(y, x)`` of the image.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    supersampling : int
        Rays a pixel side.
    refine : bool
        Divide cells again where the source varies by more than they resolve.

    Returns
    -------
    light : float64 array, (y, x)
        Fraction of the source's flux in each pixel; its sum is the magnification of what falls in the image.

    Raises
    ------
    ConfigError
        If a number is not finite or the lens or source impossible.
    """
    get = parameters.__getitem__
    terms = lens_terms(
        theta_e=get("theta_e_arcsec"),
        e1=get("lens_e1"),
        e2=get("lens_e2"),
        gamma1=get("gamma1"),
        gamma2=get("gamma2"),
    )
    source = _source_terms(parameters)
    center_x, center_y, pixel_scale = float(get("center_x")), float(get("center_y")), float(pixel_scale)
    numbers = np.array([*terms, *source, center_x, center_y, pixel_scale])
    if not np.isfinite(numbers).all() or supersampling < 1:
        raise ConfigError(
            "injection", got=f"{dict(parameters)}, supersampling {supersampling}", expected="finite, positive sizes"
        )
    light = np.empty(shape)
    steep = _steep_radii(source, pixel_scale / supersampling) if refine else np.zeros(3)
    shoot(terms, source, steep, center_x, center_y, pixel_scale, int(supersampling), light)
    return light


def _steep_radii(source, step):
    """Radii [arcsec] within which one ray cannot stand for a cell, for each finer grid that then replaces it.

    The midpoint rule errs by about ``(relative change over the step)^2 / 24``; a cell is divided where that, weighted
    with the brightness, is above a limit, which rises with the square of how finely the last grid divides it.
    """
    radius, index, b = source[5:8]
    reach = step / (math.sqrt(source[4]) * radius)
    inner = reach * _INNER
    change = reach * b / index * inner ** (1 / index - 1)
    error = change**2 * np.exp(-b * (inner ** (1 / index) - 1))
    mild, steep = (inner[error > limit].max(initial=0.0) for limit in (_STEEPEST, 9 * _STEEPEST))
    return radius * np.array([mild + 0.5 * reach, steep + 0.5 * reach, reach]) * (mild > 0)


def _source_terms(parameters):
    """Numbers of the Sersic source that the kernel takes; its total flux is 1."""
    radius, index = float(parameters["source_radius_arcsec"]), float(parameters["source_index"])
    e1, e2 = parameters["source_e1"], parameters["source_e2"]
    strength = math.hypot(e1, e2)
    if not (radius > 0 and index > 0 and strength < 1):
        raise ConfigError("source", got=f"radius {radius}, index {index}, |e| {strength}", expected="> 0, > 0 and < 1")
    phi, q = 0.5 * math.atan2(e2, e1), (1 - strength) / (1 + strength)
    b = special.gammaincinv(2 * index, 0.5)
    total = 2 * math.pi * index * radius**2 * math.exp(b) * b ** (-2 * index) * math.gamma(2 * index)
    farthest = radius * (1 - math.log(_FAINTEST) / b) ** index
    return np.array(
        [
            parameters["source_x"],
            parameters["source_y"],
            math.cos(phi),
            math.sin(phi),
            q,
            radius,
            index,
            b,
            1 / total,
            farthest,
        ]
    )
