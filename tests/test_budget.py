"""The core budget follows from the light outside the core, whatever is in the core."""

import numpy as np
import pytest
from scipy.signal import fftconvolve

from gen5astro.budget import core_budget, source_offset
from gen5astro.config import MeasureConfig
from gen5astro.kernels.psf import profile_psf, ring_core_fraction

CONFIG = MeasureConfig()


def budget(flux, offset, radius, fwhm, **more):
    shape = np.broadcast_shapes(np.shape(flux), np.shape(offset), np.shape(fwhm))
    return core_budget(
        np.broadcast_to(flux, shape), np.broadcast_to(offset, shape), np.asarray(radius), np.broadcast_to(fwhm, shape),
        config=CONFIG, **more,
    )  # fmt: skip


def test_the_offset_of_two_point_images_is_the_sources():
    """Images at theta_E (1 + y) and -theta_E (1 - y), as bright as their distances (singular isothermal lens)."""
    theta_e, y = 1.4, np.array([0.1, 0.4, 0.8])
    place = theta_e * ((1 + y) ** 2 - (1 - y) ** 2) / 2
    np.testing.assert_allclose(source_offset(place, theta_e), y)
    assert source_offset(5.0, 1.0) == 0.95


@pytest.mark.parametrize("y", [0.1, 0.5])
@pytest.mark.parametrize("profile", ["gaussian", "moffat"])
def test_a_source_of_known_offset_is_within_its_budget(y, profile):
    radius, core = 1.1, CONFIG.core_radius_arcsec
    outer, inner = (ring_core_fraction(radius * side, core, fwhm=1.3, profile=profile) for side in (1 + y, 1 - y))
    within = (1 + y) * outer + (1 - y) * inner
    low, high = budget([[2 - within]], [[y]], [radius], [[1.3]])
    assert low[0, 0] <= within <= high[0, 0]
    assert high[0, 0] < 2.5 * low[0, 0]


def test_the_budget_grows_with_the_light_and_falls_with_the_radius():
    radius = np.array([0.7, 1.2, 2.0, 3.0])
    low, high = budget(np.ones((4, 1)), 0.2, radius, 1.3)
    assert np.all(np.diff(high[:, 0]) < 0)
    assert np.all(np.diff(low[:, 0]) < 0)
    np.testing.assert_allclose(budget(3 * np.ones((4, 1)), 0.2, radius, 1.3)[1], 3 * high)


def test_an_arc_without_light_outside_brings_nothing():
    low, high = budget([[-1.0, 0.0]], 0.2, [1.0], 1.3)
    assert np.all(low == 0)
    assert np.all(high == 0)


def test_the_psf_itself_replaces_the_bracket_of_profiles():
    scale, sigma = 0.262, 1.3 / 2.355 / 0.262
    y, x = np.mgrid[-31:32, -31:32]
    psf = np.exp(-0.5 * (x**2 + y**2) / sigma**2)[None]
    radius = np.array([0.7, 1.3, 2.2])
    low, high = budget(np.ones((3, 1)), 0.3, radius, 1.3, psf=psf / psf.sum(), pixel_scale=scale)
    widest = budget(np.ones((3, 1)), 0.3, radius, 1.3)
    assert np.all(high - low <= widest[1] - widest[0] + 1e-3)
    ring = fftconvolve(np.abs(np.hypot(x, y) - 1.3 / scale) < 0.5, psf[0] / psf.sum(), mode="same")
    assert low[1, 0] < ring[np.hypot(x, y) < 1 / scale].sum() / ring[np.hypot(x, y) >= 1 / scale].sum() < high[1, 0]


def test_each_pair_s_own_psf_gives_what_that_psf_gives_all():
    """Rows that share a PSF, that have another, and that have none, in any order."""
    scale, radius = 0.262, np.array([0.9, 1.3, 1.7, 2.2])
    wide, narrow = (profile_psf(fwhm / scale, half_px=20)[None] for fwhm in (1.6, 0.9))
    own = np.stack([wide, narrow, np.full_like(wide, np.nan), wide])
    found = np.stack(budget(np.ones((4, 1)), 0.3, radius, 1.3, psf=own, pixel_scale=scale))
    for psf, rows in ((wide, [0, 3]), (narrow, [1]), (None, [2])):
        expected = np.stack(budget(np.ones((4, 1)), 0.3, radius, 1.3, psf=psf, pixel_scale=scale))
        np.testing.assert_allclose(found[:, rows], expected[:, rows], rtol=1e-5)
