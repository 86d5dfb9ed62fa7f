"""A lens and a source fitted outside the core: what they recover, and what must not move them."""

import numpy as np
import pytest

from gen5astro.config import MeasureConfig
from gen5astro.explain.fit import MISFIT_LIMIT, fit_lens
from gen5astro.explain.target import see_outside
from gen5astro.measure import measure_block
from gen5astro.sample import load_hosts
from tests.factories import make_pairs

CORE_ARCSEC = 1.0


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(8, np.random.default_rng(1), size=64)


@pytest.fixture(scope="module")
def measured(pairs):
    return measure_block(pairs, MeasureConfig())


def see(pairs, measured, at, *, stamp=None, theta_e=None, noise=None):
    return see_outside(
        pairs.stamp[at] if stamp is None else stamp,
        pairs.ctrl[at],
        center=(measured["center_x"][at], measured["center_y"][at]),
        theta_e_arcsec=measured["theta_e_arcsec"][at] if theta_e is None else theta_e,
        core_radius_arcsec=CORE_ARCSEC,
        sky_sigma=measured["ctrl_sky_sigma"][at],
        noise=np.zeros(3) if noise is None else noise,
        pixel_scale=pairs.pixel_scale,
    )


def from_center(pairs, measured, at):
    y, x = np.indices(pairs.stamp.shape[2:])
    return np.hypot(x - measured["center_x"][at], y - measured["center_y"][at]) * pairs.pixel_scale


@pytest.mark.parametrize("theta_e", [np.nan, 0.85])
def test_a_lens_is_recovered_whatever_its_radius_was_said_to_be(pairs, measured, theta_e):
    found = fit_lens(see(pairs, measured, 4, theta_e=theta_e), load_hosts().psf)
    truth = {name: float(pairs.catalog[name][4]) for name in found.parameters}
    assert found.reason == ""
    assert found.parameters == pytest.approx(truth, abs=0.02)
    flux = 10 ** (-0.4 * (np.array([pairs.catalog[f"source_mag_{band}"][4] for band in pairs.bands]) - 22.5))
    assert found.flux == pytest.approx(flux, rel=0.03)
    assert found.core_flux == pytest.approx(measured["core_excess"][4], rel=0.02)


def test_nothing_in_the_core_is_seen(pairs, measured):
    inside = from_center(pairs, measured, 3) < CORE_ARCSEC
    stamp = pairs.stamp[3].copy()
    stamp[:, inside] = 1e3
    clean, other = (see(pairs, measured, 3, stamp=each) for each in (None, stamp))
    for name in ("values", "marks", "sigma"):
        np.testing.assert_array_equal(getattr(clean, name), getattr(other, name))
    assert not np.any(clean.seen & (clean.core > 0))


def test_marks_of_a_faulty_injection_are_no_lens(pairs, measured):
    clean = fit_lens(see(pairs, measured, 4), load_hosts().psf)
    x = (np.arange(64) - 31.5) / 31.5
    level = measured["ctrl_sky_sigma"][4][:, None, None]
    for added in (level, level * x, 0.15 * pairs.ctrl[4], -0.4 * pairs.ctrl[4]):
        found = fit_lens(see(pairs, measured, 4, stamp=pairs.stamp[4] + added), load_hosts().psf)
        assert found.reason == ""
        assert found.core_flux == pytest.approx(clean.core_flux, rel=0.01)


def test_a_neighbor_that_differs_does_not_pull_the_lens_along(pairs, measured):
    y, x = np.indices((64, 64))
    blob = 20 * measured["ctrl_sky_sigma"][4][:, None, None] * np.exp(-((x - 52) ** 2 + (y - 36) ** 2) / 8)
    found = fit_lens(see(pairs, measured, 4, stamp=pairs.stamp[4] + blob), load_hosts().psf)
    assert found.parameters["theta_e_arcsec"] == pytest.approx(pairs.catalog["theta_e_arcsec"][4], rel=0.25)


def test_what_is_no_arc_is_not_fitted(pairs, measured):
    rng = np.random.default_rng(2)
    sky = measured["ctrl_sky_sigma"][2][:, None, None]
    noise = rng.standard_normal(pairs.stamp[2].shape)
    for stamp, level, words in (
        (pairs.ctrl[2], 0, "no arc above the noise"),
        (pairs.ctrl[2] + sky * noise, measured["ctrl_sky_sigma"][2], "no arc above the noise"),
        (pairs.ctrl[2] + 5 * sky * noise, 0, "left over outside the core: "),
    ):
        found = fit_lens(see(pairs, measured, 2, stamp=stamp, noise=np.full(3, level)), load_hosts().psf)
        assert found.reason.startswith(words)
        assert found.misfit > MISFIT_LIMIT


def test_pixels_that_are_not_finite_are_left_out_and_too_few_are_no_fit(pairs, measured):
    stamp = pairs.stamp[6].copy()
    stamp[0, 40, 40] = np.nan
    found = fit_lens(see(pairs, measured, 6, stamp=stamp), load_hosts().psf)
    assert found.core_flux == pytest.approx(measured["core_excess"][6], rel=0.02)
    stamp[1] = np.inf
    assert see(pairs, measured, 6, stamp=stamp) is None
    lost = fit_lens(None, load_hosts().psf)
    assert lost.reason == "too few usable pixels outside the core"
    assert np.isnan(lost.core_flux).all()
