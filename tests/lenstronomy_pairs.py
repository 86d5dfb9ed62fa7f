"""Pairs that this package did not make: hosts, lenses, sources and PSF of lenstronomy and astropy, all SYNTHETIC.

Nothing is as in the sample: Sersic hosts with neighbors instead of real galaxies, elliptical power laws, cored sources
with knots, Moffat PSFs, photon noise, four bands, 101 pixels of 0.2 arcsec, a deeper sky.
"""

import dataclasses

import numpy as np
from astropy.convolution import Moffat2DKernel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from scipy.signal import fftconvolve

from gen5astro.inject.arcs import pair_block
from gen5astro.inject.faults import apply_fault

BANDS = ("g", "r", "i", "z")
PIXEL_SCALE = 0.2
SIDE = 101
HOSTS = 40
FWHM_ARCSEC = np.array([0.95, 0.88, 0.80, 0.76])
MOFFAT_BETA = 3.2
SKY_SIGMA = np.array([0.0015, 0.0022, 0.0034, 0.0060])
ELECTRONS_PER_NMGY = 4000.0

_MIDDLE = (SIDE - 1) / 2
_RED, _BLUE = np.array([1.5, 0.0, -0.4, -0.7]), np.array([0.3, 0.0, -0.1, -0.2])


def make_lenstronomy_pairs(n, rng, *, fault=None, strength=None):
    """Make a block of pairs on 40 synthetic hosts, used in turn; the same `rng` gives the same pairs with any fault."""
    hosts = [_host(rng) for _ in range(HOSTS)]
    psf = [_psf(fwhm) for fwhm in FWHM_ARCSEC]
    images = np.stack([_observe(light, psf, rng) for _, light in hosts])
    rows = np.arange(n) % HOSTS
    drawn = [_draw_arc(hosts[row][0], rng) for row in rows]
    arcs = np.stack([_convolve(light, psf) for _, light in drawn])
    ctrl = images[rows].astype(np.float32)
    catalog = {
        "pair_id": np.array([f"lenstronomy-{row:06d}" for row in range(n)]),
        "host_id": np.array([f"synthetic-{row:02d}" for row in rows]),
        "ra": 20.0 + rows * 0.5,
        "dec": -30.0 + rows * 0.25,
        "theta_e_arcsec": np.array([theta_e for theta_e, _ in drawn]),
        "arc_snr": np.sqrt(((arcs / SKY_SIGMA[:, None, None]) ** 2).sum((1, 2, 3))),
    }
    catalog |= {f"psfsize_{band}": np.full(n, fwhm) for band, fwhm in zip(BANDS, FWHM_ARCSEC, strict=True)}
    stamp = ctrl + arcs.astype(np.float32)
    block = pair_block(stamp, ctrl, catalog, np.arange(n), bands=BANDS, pixel_scale=PIXEL_SCALE)
    return block if fault is None else plant_fault(block, rng, fault=fault, strength=strength)


def plant_fault(block, rng, *, fault, strength=None):
    """Plant a fault in clean pairs of `make_lenstronomy_pairs`, which are slow to make."""
    sky_sigma = np.tile(SKY_SIGMA, (len(block), 1))
    stamp = apply_fault(block.stamp, block.ctrl, name=fault, strength=strength, sky_sigma=sky_sigma, rng=rng)
    made = pair_block(stamp, block.ctrl, block.catalog, block.row, bands=BANDS, pixel_scale=PIXEL_SCALE)
    return dataclasses.replace(block, stamp=made.stamp, digest=made.digest, census=made.census)


def psf_images():
    """The PSF of each band, (band, 61, 61), that the pairs are seen through."""
    return np.stack([_psf(fwhm) for fwhm in FWHM_ARCSEC])


# ---- hosts ----


def _host(rng):
    """Center [pix] and light (band, y, x) [nanomaggy] of a galaxy with neighbors."""
    center = _MIDDLE + rng.uniform(-0.5, 0.5, 2)
    light = _galaxy(center, rng.uniform(17.8, 19.5), rng.uniform(0.9, 2.0), rng.uniform(3, 5), _RED, rng)
    for _ in range(rng.integers(2, 6)):
        distance, angle = rng.uniform(4.5, 11) / PIXEL_SCALE, rng.uniform(0, 2 * np.pi)
        place = _MIDDLE + distance * np.array([np.cos(angle), np.sin(angle)])
        shape = rng.uniform(0.15, 0.6), rng.uniform(0.8, 2.5)
        light += _galaxy(place, rng.uniform(20, 24), *shape, rng.choice([_RED, _BLUE]), rng)
    return center, light


def _galaxy(center, magnitude, radius, n_sersic, colors, rng):
    e1, e2 = _ellipticity(rng, 0.3)
    keywords = {"amp": 1.0, "R_sersic": radius, "n_sersic": n_sersic, "e1": e1, "e2": e2}
    x, y = _rays(center, 5)
    light = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(x.ravel(), y.ravel(), [keywords])
    light = _binned(light.reshape(x.shape), 5)
    everything = LightModel(["SERSIC_ELLIPSE"]).total_flux([keywords])[0] / PIXEL_SCALE**2
    return light / everything * _flux(magnitude, colors)[:, None, None]


def _observe(light, psf, rng):
    """Image with photon noise of the galaxies and of the sky."""
    image = _convolve(light, psf)
    variance = np.maximum(image, 0) / ELECTRONS_PER_NMGY + SKY_SIGMA[:, None, None] ** 2
    return image + np.sqrt(variance) * rng.standard_normal(image.shape)


# ---- arcs ----


def _draw_arc(center, rng):
    """Einstein radius [arcsec] and lensed light (band, y, x) of a source with knots behind a power law."""
    theta_e = rng.uniform(0.6, 2.6)
    (e1, e2), (gamma1, gamma2) = _ellipticity(rng, 0.25), _ellipticity(rng, 0.06)
    lens = {"theta_E": theta_e, "gamma": rng.uniform(1.85, 2.15), "e1": e1, "e2": e2}
    shear = {"gamma1": gamma1, "gamma2": gamma2}
    radius = rng.uniform(0.12, 0.35)
    offset, angle = 0.5 * theta_e * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    place = offset * np.array([np.cos(angle), np.sin(angle)])
    names, keywords = _source(place, radius, rng)
    x, y = _rays(center, 3)
    lit = np.hypot(x, y) < 2.2 * theta_e + 6 * radius
    at = LensModel(["EPL_NUMBA", "SHEAR"]).ray_shooting(x[lit], y[lit], [lens, shear])
    light = np.zeros(x.shape)
    light[lit] = LightModel(names).surface_brightness(*at, keywords)
    axis = (np.arange(200) - 99.5) * 0.08 * radius
    grid = place[:, None] + np.stack(np.meshgrid(axis, axis)).reshape(2, -1)
    everything = LightModel(names).surface_brightness(*grid, keywords).sum() * (0.08 * radius) ** 2
    colors = _BLUE + rng.uniform(-0.15, 0.15, 4)
    flux = _flux(rng.uniform(22.8, 25.5), colors) * PIXEL_SCALE**2 / everything
    return theta_e, _binned(light, 3) * flux[:, None, None]


def _source(place, radius, rng):
    e1, e2 = _ellipticity(rng, 0.35)
    body = {"amp": 1.0, "R_sersic": radius, "n_sersic": rng.uniform(0.7, 1.8), "e1": e1, "e2": e2}
    body |= {"Rb": 0.3 * radius, "gamma": 0.1, "center_x": place[0], "center_y": place[1]}
    knots = []
    for _ in range(2):
        x, y = place + radius * rng.uniform(-0.8, 0.8, 2)
        knots.append({"amp": rng.uniform(0.1, 0.4) * radius**2, "sigma": 0.06, "center_x": x, "center_y": y})
    return ["CORE_SERSIC", "GAUSSIAN", "GAUSSIAN"], [body, *knots]


# ---- pixels ----


def _ellipticity(rng, most):
    size, angle = rng.uniform(0, most), rng.uniform(0, 2 * np.pi)
    return size * np.cos(angle), size * np.sin(angle)


def _flux(magnitude, colors):
    return 10 ** (-0.4 * (magnitude + colors - 22.5))


def _rays(center, rays):
    """Coordinates [arcsec from the center] of a grid of rays."""
    axis = (np.arange(SIDE * rays) + 0.5) / rays - 0.5
    return np.meshgrid((axis - center[0]) * PIXEL_SCALE, (axis - center[1]) * PIXEL_SCALE)


def _binned(light, rays):
    return light.reshape(SIDE, rays, SIDE, rays).mean((1, 3))


def _psf(fwhm):
    gamma = fwhm / PIXEL_SCALE / 2 / np.sqrt(2 ** (1 / MOFFAT_BETA) - 1)
    kernel = Moffat2DKernel(gamma, MOFFAT_BETA, x_size=61, y_size=61, mode="oversample").array
    return kernel / kernel.sum()


def _convolve(light, psf):
    return np.stack([fftconvolve(plane, kernel, mode="same") for plane, kernel in zip(light, psf, strict=True)])
