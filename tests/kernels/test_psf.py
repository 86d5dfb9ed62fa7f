"""The PSF's budget: closed forms, Marcum's Q, and the same light measured on blurred images."""

import math
from functools import partial

import numpy as np
import pytest
from photutils.psf import GaussianPSF, MoffatPSF
from scipy.signal import fftconvolve
from scipy.stats import ncx2

from gen5astro.errors import ConfigError, FormatError, ShapeError
from gen5astro.kernels.aperture import aperture_flux, aperture_weights
from gen5astro.kernels.psf import (
    gaussian_encircled_energy,
    image_encircled_energy,
    image_ring_fraction,
    moffat_encircled_energy,
    profile_psf,
    psf_fwhm,
    ring_core_fraction,
    spread_core_flux,
)
from tests.reference import ring_share

SIGMA_PER_FWHM = 1 / math.sqrt(8 * math.log(2))


def psf_image(model, side=101):
    y, x = np.mgrid[:side, :side]
    model.x_0 = model.y_0 = (side - 1) / 2
    image = model(x, y)
    return image / image.sum()


def test_half_of_a_gaussian_is_within_half_its_width():
    assert gaussian_encircled_energy(0.65, fwhm=1.3) == pytest.approx(0.5)
    radius = np.array([0.0, 0.4, 2.0])
    sigma = 1.3 * SIGMA_PER_FWHM
    np.testing.assert_allclose(
        gaussian_encircled_energy(radius, fwhm=1.3), 1 - np.exp(-(radius**2) / (2 * sigma**2)), atol=1e-15
    )


def test_the_encircled_energies_are_those_of_photutils_models():
    radii = np.array([1.0, 3.0, 8.0])
    gaussian = psf_image(GaussianPSF(x_fwhm=5, y_fwhm=5))
    np.testing.assert_allclose(
        image_encircled_energy(gaussian, radii), gaussian_encircled_energy(radii, fwhm=5), atol=0.01
    )
    model = MoffatPSF(alpha=8, beta=4.765)
    np.testing.assert_allclose(
        image_encircled_energy(psf_image(model), radii),
        moffat_encircled_energy(radii, fwhm=model.fwhm, beta=4.765),
        atol=0.01,
    )


def test_a_moffat_tends_to_a_gaussian():
    radii = np.linspace(0, 4, 9)
    np.testing.assert_allclose(
        moffat_encircled_energy(radii, fwhm=1.3, beta=1e6), gaussian_encircled_energy(radii, fwhm=1.3), atol=1e-5
    )


def test_thin_rings_put_into_the_core_what_the_table_says():
    rings = [0.5, 1.0, 1.5, 2.0, 2.5]
    gaussian = ring_core_fraction(rings, 1.31, fwhm=1.3)
    moffat = ring_core_fraction(rings, 1.31, fwhm=1.3, profile="moffat", beta=2.5)
    np.testing.assert_allclose(100 * gaussian, [86.6, 62.2, 29.2, 7.7, 1.0], atol=0.051)
    np.testing.assert_allclose(100 * moffat, [66.1, 49.6, 26.7, 10.9, 4.2], atol=0.051)


def test_a_gaussian_ring_follows_marcum_s_q():
    rng = np.random.default_rng(0)
    ring, core, fwhm = rng.uniform(0, 30, 2000), rng.uniform(0.05, 20, 2000), rng.uniform(0.2, 6, 2000)
    sigma = fwhm * SIGMA_PER_FWHM
    expected = ncx2.cdf((core / sigma) ** 2, 2, (ring / sigma) ** 2)
    np.testing.assert_allclose(ring_core_fraction(ring, core, fwhm=fwhm), expected, atol=1e-11)


@pytest.mark.parametrize("beta", [1.3, 2.5, 4.765])
@pytest.mark.parametrize(("ring", "core"), [(0.2, 1.0), (1.0, 1.0), (2.5, 1.31), (6.0, 2.0), (3.0, 7.0)])
def test_a_moffat_ring_follows_the_area_integral(ring, core, beta):
    alpha = 1.3 / (2 * math.sqrt(2 ** (1 / beta) - 1))
    expected = ring_share(ring, core, lambda t: (beta - 1) / (math.pi * alpha**2) * (1 + (t / alpha) ** 2) ** -beta)
    assert ring_core_fraction(ring, core, fwhm=1.3, profile="moffat", beta=beta) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("profile", ["gaussian", "moffat"])
def test_a_ring_of_no_radius_is_a_point(profile):
    energy = {"gaussian": gaussian_encircled_energy, "moffat": moffat_encircled_energy}[profile]
    assert ring_core_fraction(0.0, 1.1, fwhm=1.3, profile=profile) == pytest.approx(energy(1.1, fwhm=1.3), abs=1e-12)


def test_ring_shares_broadcast_and_depend_on_ratios_only():
    share = ring_core_fraction(np.ones((3, 1)), [0.5, 1.0], fwhm=1.3)
    assert share.shape == (3, 2)
    np.testing.assert_allclose(ring_core_fraction(10.0, [5.0, 10.0], fwhm=13.0), share[0], rtol=1e-12)
    assert np.isscalar(ring_core_fraction(1.0, 1.0, fwhm=1.0))


def test_what_is_not_a_number_or_not_positive_has_no_share():
    share = ring_core_fraction(
        [np.nan, 1.0, 1.0, -1.0, 1.0], [1.0, 0.0, 1.0, 1.0, np.nan], fwhm=[1.0, 1.0, 0.0, 1.0, 1.0]
    )
    assert np.isnan(share).all()


def test_spread_flux_is_what_an_aperture_on_the_blurred_image_measures():
    rng = np.random.default_rng(1)
    arc = np.zeros((2, 41, 43))
    arc[:, 12:30, 12:30] = rng.exponential(1, (2, 18, 18))
    psf = rng.exponential(1, (9, 9))
    blurred = np.array([fftconvolve(image, psf / psf.sum(), mode="same") for image in arc])
    expected = [np.sum(image * aperture_weights(image.shape, (21, 20), 4.0)) for image in blurred]
    np.testing.assert_allclose(spread_core_flux(arc, psf, 4.0), expected, rtol=1e-10)
    np.testing.assert_allclose(spread_core_flux(arc, psf, 4.0, center=(21, 20)), expected, rtol=1e-10)
    measured = aperture_flux(blurred.astype(np.float32), [[21, 20]] * 2, [4.0])[:, 0]
    np.testing.assert_allclose(measured, expected, rtol=1e-6)


def test_an_arc_that_is_not_a_number_spreads_none():
    arc = np.zeros((2, 21, 21))
    arc[1, 0, 0] = np.nan
    assert np.isnan(spread_core_flux(arc, np.ones((3, 3)), 2.0)).tolist() == [False, True]


@pytest.mark.parametrize("fwhm", [2.5, 4.7, 9.0])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.4, -0.3)])
def test_the_width_of_an_image_is_its_model_s(fwhm, offset):
    y, x = np.mgrid[:41, :41]
    at = {"x_0": 20 + offset[0], "y_0": 20 + offset[1]}
    gaussian = GaussianPSF(x_fwhm=fwhm, y_fwhm=fwhm, **at)(x, y)
    assert psf_fwhm(gaussian) == pytest.approx(fwhm, rel=0.01)
    moffat = MoffatPSF(alpha=fwhm / (2 * math.sqrt(2 ** (1 / 2.5) - 1)), beta=2.5, **at)(x, y)
    assert psf_fwhm(7 * moffat) == pytest.approx(fwhm, rel=0.01)


def test_bad_psfs_are_named():
    with pytest.raises(ShapeError, match="odd side"):
        spread_core_flux(np.zeros((9, 9)), np.ones((4, 4)), 2.0)
    with pytest.raises(ShapeError, match=r"expected \(k, k\)"):
        psf_fwhm(np.ones((3, 4)))
    with pytest.raises(FormatError, match="a sum of 0"):
        image_encircled_energy(np.zeros((3, 3)), [1.0])
    with pytest.raises(ConfigError, match="'gaussian' or 'moffat'"):
        ring_core_fraction(1.0, 1.0, fwhm=1.0, profile="airy")
    with pytest.raises(ConfigError, match="Moffat beta: got 1"):
        moffat_encircled_energy(1.0, fwhm=1.0, beta=1)


def test_a_broken_psf_has_no_width():
    image = np.ones((5, 5))
    image[2, 2] = np.nan
    assert math.isnan(psf_fwhm(image))


def test_a_psf_image_shares_a_ring_as_its_profile_does():
    rings = np.array([0.0, 2.0, 5.0, 8.5, 11.0])
    psf = psf_image(GaussianPSF(x_fwhm=6, y_fwhm=6))
    expected = ring_core_fraction(rings, 4.0, fwhm=6.0)
    np.testing.assert_allclose(image_ring_fraction(rings, 4.0, psf=3 * psf), expected, atol=8e-3)


def test_a_psf_image_shares_a_ring_as_an_aperture_on_the_blurred_ring_does():
    y, x = np.mgrid[-30:31, -30:31]
    ring = (np.abs(np.hypot(x, y) - 9) < 0.5).astype(float)
    psf = psf_image(MoffatPSF(alpha=4, beta=2.5), 61)
    blurred = fftconvolve(ring, psf, mode="same").astype(np.float32)
    (share,) = aperture_flux(blurred[None], [[30.0, 30.0]], [4.0])[0] / ring.sum()
    assert image_ring_fraction(np.array([9.0]), 4.0, psf=psf)[0] == pytest.approx(share, rel=0.02)


def test_a_psf_image_of_an_even_side_is_refused():
    with pytest.raises(ShapeError, match="odd side"):
        image_ring_fraction(np.ones(1), 3.0, psf=np.ones((4, 4)))


@pytest.mark.parametrize(
    ("profile", "encircled"),
    [("gaussian", gaussian_encircled_energy), ("moffat", partial(moffat_encircled_energy, beta=3.2))],
)
def test_a_profile_has_its_width_its_energy_and_all_of_its_light(profile, encircled):
    psf = profile_psf(4.5, profile=profile, beta=3.2, half_px=40)
    assert psf.shape == (81, 81)
    assert psf.sum() == pytest.approx(1)
    np.testing.assert_allclose(psf, psf[::-1, ::-1], rtol=1e-12, atol=1e-30)
    # Averaging over pixels adds their variance, 1/12 pix^2 an axis, to the width.
    assert 4.5 < psf_fwhm(psf) < 4.65
    radii = np.array([4.0, 8.0, 12.0])
    np.testing.assert_allclose(image_encircled_energy(psf, radii), encircled(radii, fwhm=4.5), atol=0.015)


@pytest.mark.parametrize("wrong", [{"fwhm_px": 0.0}, {"fwhm_px": math.nan}, {"profile": "airy"}, {"beta": 1.0}])
def test_a_profile_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="got"):
        profile_psf(**{"fwhm_px": 4.0, **wrong})
