"""Arcs through lenstronomy: any of its lens and source models in the place of ours.

lenstronomy deflects the rays and gives the source's brightness; pixels, source flux and PSF are handled here as in
`gen5astro.inject.render`, so that flux is conserved whatever the model. Angles are arcsec from the lens.
"""

import math

import numpy as np

from gen5astro.errors import ConfigError
from gen5astro.inject.lenstronomy_models import LENS_PARAMETERS, SOURCE_PARAMETERS, load_models
from gen5astro.inject.render import psf_convolution

__all__ = ["adapt_draws", "needed_columns", "render_arcs"]

_TOLERANCE = 2e-3
_MOST_RAYS = 200
_RAYS_AT_ONCE = 2**17
_SOURCE_RADII_ARCSEC = (1e-3, 3e2)
_FINITE_RADIUS_ARCSEC = 60.0


_ROUND_WITHOUT = ("lens_e1", "lens_e2", "gamma1", "gamma2", "source_e1", "source_e2")
_OF_THETA_E = ("velocity_dispersion_kms", "z_lens", "z_source")


def needed_columns(config):
    """List the columns that the configured models are rendered from.

    Parameters
    ----------
    config : gen5astro.config.InjectConfig
        Keys ``lens_model, source_model, lens_kwargs, source_kwargs``.

    Returns
    -------
    columns : tuple of str
        Without ``center_x``, ``center_y`` and the magnitudes.

    Raises
    ------
    ConfigError
        If lenstronomy is not installed, a model is unknown or cannot be used, or a parameter is given by nobody.
    """
    lens, source = load_models(config)
    fixed = {*lens.fixed, *source.fixed}
    return tuple(name for name in dict.fromkeys((*lens.columns, *source.columns)) if name not in fixed)


def adapt_draws(draws, config):
    """Make the columns say what the configured models render.

    Parameters
    ----------
    draws : dict of array, (n,)
        As `gen5astro.inject.draw.draw_injections` returns them.
    config : gen5astro.config.InjectConfig
        Keys ``lens_model, source_model, lens_kwargs, source_kwargs``.

    Returns
    -------
    draws : dict of array, (n,)
        New: a value of the configuration replaces what was drawn; ellipticities and shears that no model takes are 0,
        other parameters NaN. Where no model takes ``theta_E``, ``theta_e_arcsec`` is the radius whose mean convergence
        is 1, and where it was not drawn there is no velocity dispersion nor redshift.

    Raises
    ------
    ConfigError
        If a model cannot be used.
    """
    lens, source = load_models(config)
    count = len(draws["theta_e_arcsec"])
    used = {*lens.columns, *source.columns}
    known = {name for each in (LENS_PARAMETERS, SOURCE_PARAMETERS) for one in each.values() for name in one.columns}
    adapted = dict(draws)
    for name in known - used - {"theta_e_arcsec"}:
        adapted[name] = np.full(count, 0.0 if name in _ROUND_WITHOUT else np.nan)
    for name, value in {**lens.fixed, **source.fixed}.items():
        adapted[name] = np.full(count, value)
    if "theta_e_arcsec" not in used:
        rows = ({name: values[row] for name, values in adapted.items()} for row in range(count))
        adapted["theta_e_arcsec"] = np.array([_effective_radius(lens.model, lens.keywords(one)) for one in rows])
    if "theta_e_arcsec" not in used or "theta_e_arcsec" in lens.fixed:
        adapted |= {name: np.full(count, np.nan) for name in _OF_THETA_E if name in adapted}
    return adapted


def render_arcs(parameters, shape, pixel_scale, psf, *, bands, config):
    """Render the arcs of some injections in every band, as `gen5astro.inject.render.render_arcs` does.

    Parameters
    ----------
    parameters : dict of array, (n,)
        The columns of `needed_columns`, ``center_x, center_y`` (the lens [pix]), and ``source_mag_<band>``, the
        source's unlensed AB magnitude.
    shape : tuple of int
        ``(y, x)`` of the images.
    pixel_scale : float
        Pixel scale of images and PSF [arcsec / pix].
    psf : float64 array, (band, k, k)
        PSF of each band, of sum 1, centered on pixel (k // 2, k // 2).
    bands : sequence of str
        Names of the bands.
    config : gen5astro.config.InjectConfig
        The models, and the rays a pixel side at first (``supersampling``).

    Returns
    -------
    arcs : float64 array, (n, band, y, x)
        Flux of the arcs [nanomaggy].
    magnification : float64 array, (n,)
        Lensed flux that falls in the image, over the source's flux.

    Raises
    ------
    ConfigError
        If a model cannot be used, or a source has no finite flux.
    """
    lens, source = load_models(config)
    count = len(parameters["theta_e_arcsec"])
    arcs, magnification = np.empty((count, len(bands), *shape)), np.empty(count)
    convolve = psf_convolution(psf, shape)
    for row in range(count):
        one = {name: values[row] for name, values in parameters.items()}
        light = _render_source(lens, source, one, shape, pixel_scale, config.supersampling)
        magnification[row] = light.sum()
        flux = [10 ** (-0.4 * (one[f"source_mag_{band}"] - 22.5)) for band in bands]
        arcs[row] = convolve(light) * np.reshape(flux, (-1, 1, 1))
    return arcs, magnification


def _render_source(lens, source, one, shape, pixel_scale, rays):
    """Fraction of the source's flux in each pixel, before the PSF."""
    to_source, to_light = lens.keywords(one), source.keywords(one)

    def brightness(x, y):
        return source.model.surface_brightness(*lens.model.ray_shooting(x, y, to_source), to_light)

    try:
        flux = _source_flux(lambda x, y: source.model.surface_brightness(x, y, to_light), one)
        center = float(one["center_x"]), float(one["center_y"])
        light = _integrate(brightness, shape, center, pixel_scale, rays) / flux
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"lenstronomy with {to_source} and {to_light}", got=f"{error}") from error
    if not np.isfinite(light).all():
        raise ConfigError(f"lenstronomy with {to_source} and {to_light}", got="light that is not finite")
    return light


def _source_flux(brightness, one):
    """Flux of the unlensed source, summed on a polar grid of logarithmic radii."""
    edges = np.log(_SOURCE_RADII_ARCSEC)
    log_radius = np.linspace(*edges, 4097)
    angle = (np.arange(64) + 0.5) * (2 * math.pi / 64)
    radius = np.exp(log_radius)[:, None]
    x, y = one["source_x"] + radius * np.cos(angle), one["source_y"] + radius * np.sin(angle)
    rings = brightness(x.ravel(), y.ravel()).reshape(x.shape).mean(1) * 2 * math.pi * radius[:, 0] ** 2
    total = rings.sum() * (log_radius[1] - log_radius[0])
    beyond = np.abs(rings[radius[:, 0] > _FINITE_RADIUS_ARCSEC]).sum() * (log_radius[1] - log_radius[0])
    if not (np.isfinite(total) and total > 0 and beyond < 5e-3 * total):
        raise ConfigError(
            "source model",
            got=f"a flux of {total:.3g}, {beyond:.3g} of it beyond {_FINITE_RADIUS_ARCSEC:g} arcsec",
            expected="a positive, finite flux",
            remedy="choose another inject.source_model or other inject.source_kwargs",
        )
    return total


def _integrate(brightness, shape, center, pixel_scale, rays):
    """Light in each pixel; pixels are divided again until the errors left sum to little of the light."""
    y, x = np.indices(shape).reshape(2, -1).astype(np.float64)
    x, y = (x - center[0]) * pixel_scale, (y - center[1]) * pixel_scale
    light = _average(brightness, x, y, pixel_scale, rays)
    error = np.full(light.shape, np.inf)
    while (divide := _worst(error, light)).size and rays < _MOST_RAYS:
        rays *= 2
        finer = _average(brightness, x[divide], y[divide], pixel_scale, rays)
        error[divide] = np.abs(finer - light[divide])
        light[divide] = finer
    return light.reshape(shape) * pixel_scale**2


def _worst(error, light):
    order = np.argsort(error, kind="stable")
    return order[np.cumsum(error[order]) > _TOLERANCE * np.abs(light).sum()]


def _average(brightness, x, y, pixel_scale, rays):
    """Mean brightness of the pixels about x, y on a grid of rays."""
    offsets = ((np.arange(rays) + 0.5) / rays - 0.5) * pixel_scale
    down, aside = (each.ravel() for each in np.meshgrid(offsets, offsets, indexing="ij"))
    mean = np.empty(len(x))
    step = max(1, _RAYS_AT_ONCE // rays**2)
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        rays_x, rays_y = (x[part, None] + aside), (y[part, None] + down)
        mean[part] = brightness(rays_x.ravel(), rays_y.ravel()).reshape(rays_x.shape).mean(1)
    return mean


def _effective_radius(model, keywords):
    """Radius about the lens within which the mean convergence is 1: there the mean radial deflection is the radius."""
    from scipy.optimize import brentq

    angle = np.arange(64) * (2 * math.pi / 64)
    cosine, sine = np.cos(angle), np.sin(angle)

    def excess(radius):
        alpha_x, alpha_y = model.alpha(radius * cosine, radius * sine, keywords)
        return float(np.mean(alpha_x * cosine + alpha_y * sine)) - radius

    radii = np.geomspace(30.0, 1e-2, 200)
    inside = next((at for at, radius in enumerate(radii) if excess(radius) > 0), None)
    if not inside:
        raise ConfigError(
            "inject.lens_model", got="no Einstein radius between 0.01 and 30 arcsec", expected="a stronger lens"
        )
    return brentq(excess, radii[inside], radii[inside - 1])
