"""Exact apertures: photutils and sep agree, areas have their closed form, and what is not there is not counted."""

import math

import numpy as np
import pytest
import sep
from hypothesis import example, given
from hypothesis import strategies as st
from photutils.aperture import CircularAnnulus, CircularAperture, aperture_photometry
from photutils.psf import GaussianPSF, MoffatPSF

from gen5astro.errors import ShapeError
from gen5astro.kernels.aperture import (
    annulus_weights,
    aperture_flux,
    aperture_weights,
    centroid,
    disc_peak,
    geometric_center,
)
from tests.reference import on_threads

RADII = np.array([0.3, 2.0, 3.0, 4.5, 6.0, 9.0])


def draw_images(n=6, shape=(40, 44), seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(1, 1, (n, *shape)).astype(np.float32)
    centers = np.array(geometric_center(shape)) + rng.uniform(-2, 2, (n, 2))
    return images, centers


@given(x=st.floats(10, 30), y=st.floats(10, 30), radius=st.floats(0.01, 9.4))
@example(x=20.0, y=20.0, radius=2.0)
@example(x=20.5, y=19.5, radius=0.5)
@example(x=19.3, y=20.1, radius=9.2)
@example(x=10.0, y=10.999999999999996, radius=1.5)
def test_the_area_of_a_disc_is_pi_r_squared(x, y, radius):
    weights = aperture_weights((41, 41), (x, y), radius)
    assert weights.sum() == pytest.approx(math.pi * radius**2, rel=1e-12)
    assert weights.min() >= 0
    assert weights.max() <= 1 + 1e-12


@given(x=st.floats(-12, 34), y=st.floats(-12, 34), radius=st.floats(0.05, 12))
def test_weights_are_those_of_photutils_wherever_the_disc_is(x, y, radius):
    shape = (19, 23)
    image = CircularAperture((x, y), radius).to_mask(method="exact").to_image(shape)
    theirs = np.zeros(shape) if image is None else image
    np.testing.assert_allclose(aperture_weights(shape, (x, y), radius), theirs, atol=1e-11)


def test_annulus_weights_are_those_of_photutils():
    theirs = CircularAnnulus((15.2, 13.9), 6.5, 11.0).to_mask(method="exact").to_image((29, 31))
    np.testing.assert_allclose(annulus_weights((29, 31), (15.2, 13.9), 6.5, 11.0), theirs, atol=1e-11)


def test_flux_is_that_of_photutils():
    images, centers = draw_images()
    flux = aperture_flux(images, centers, RADII)
    for image, center, mine in zip(images, centers, flux, strict=True):
        theirs = aperture_photometry(image.astype(float), [CircularAperture(center, radius) for radius in RADII])
        np.testing.assert_allclose(mine, [theirs[f"aperture_sum_{k}"][0] for k in range(len(RADII))], rtol=1e-11)


def test_flux_is_that_of_sep():
    images, centers = draw_images()
    flux = aperture_flux(images, centers, RADII)
    for image, (x, y), mine in zip(images, centers, flux, strict=True):
        theirs = sep.sum_circle(image, np.full(len(RADII), x), np.full(len(RADII), y), RADII, subpix=0)[0]
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_an_aperture_over_the_edge_counts_the_pixels_that_exist():
    images = np.ones((3, 21, 25), np.float32)
    centers = [[0.3, 10], [24.4, 20.2], [-2, -2]]
    flux = aperture_flux(images, centers, [4.0])[:, 0]
    theirs = [
        CircularAperture(center, 4.0).do_photometry(image, method="exact")[0][0]
        for center, image in zip(centers, images, strict=True)
    ]
    np.testing.assert_allclose(flux, theirs, rtol=1e-12)


def test_an_aperture_off_the_image_or_without_a_center_has_no_flux():
    flux = aperture_flux(np.ones((4, 9, 9), np.float32), [[-9, 4], [4, 99], [np.nan, 4], [4, np.inf]], [2.0])
    assert np.isnan(flux).all()


def test_a_pixel_that_is_not_a_number_spoils_the_apertures_that_hold_some_of_it():
    images, centers = draw_images(1, (31, 31))
    centers[:] = 15
    images[0, 15, 20] = np.nan
    flux = aperture_flux(images, centers, [4.4, 4.6, 9.0])[0]
    assert np.isnan(flux).tolist() == [False, True, True]


def test_bands_share_their_image_s_center():
    images, centers = draw_images(6)
    bands = images.reshape(2, 3, *images.shape[1:])
    flux = aperture_flux(bands, centers[:2], RADII)
    np.testing.assert_array_equal(flux.reshape(6, -1), aperture_flux(images, np.repeat(centers[:2], 3, axis=0), RADII))


def test_an_image_does_not_see_its_neighbors_nor_the_number_of_threads():
    images, centers = draw_images(12)
    flux = aperture_flux(images, centers, RADII)
    images_alone = np.concatenate(
        [aperture_flux(images[i : i + 1], centers[i : i + 1], RADII) for i in range(len(images))]
    )
    np.testing.assert_array_equal(flux, images_alone)
    np.testing.assert_array_equal(flux, on_threads(lambda *part: aperture_flux(*part, RADII), (images, centers)))
    np.testing.assert_array_equal(flux[:, ::-1], aperture_flux(images, centers, RADII[::-1]))


@pytest.mark.parametrize(
    ("images", "centers", "radii", "message"),
    [
        (np.zeros((9, 9)), np.zeros((1, 2)), [1], "images: got shape (9, 9)"),
        (np.zeros((2, 9, 9)), np.zeros((1, 2)), [1], "expected (2, 2)"),
        (np.zeros((1, 9, 9)), np.zeros((1, 2)), [1, -2], "aperture radii: got [1.0, -2.0]"),
        (np.zeros((1, 9, 9)), np.zeros((1, 2)), [np.nan], "positive numbers"),
    ],
)
def test_bad_shapes_and_radii_are_named(images, centers, radii, message):
    with pytest.raises(ShapeError) as caught:
        aperture_flux(images, centers, radii)
    assert message in str(caught.value)


def test_an_annulus_has_rising_radii():
    with pytest.raises(ShapeError, match="inner below outer"):
        annulus_weights((9, 9), (4, 4), 3.0, 3.0)


@pytest.mark.parametrize("offset", [(0, 0), (0.37, -0.81), (-1.6, 1.2)])
@pytest.mark.parametrize("pedestal", [0.0, 0.02])
def test_the_centroid_is_the_object_s(offset, pedestal):
    y, x = np.mgrid[:41, :41]
    at = {"x_0": 20 + offset[0], "y_0": 20 + offset[1]}
    round_profiles = [
        GaussianPSF(flux=10, x_fwhm=4.5, y_fwhm=4.5, **at)(x, y),
        MoffatPSF(flux=10, alpha=3.5, beta=2.5, **at)(x, y),
    ]
    images = (np.array(round_profiles) + pedestal).astype(np.float32)
    np.testing.assert_allclose(centroid(images), [[at["x_0"], at["y_0"]]] * 2, atol=0.01)


def test_a_faint_or_broken_object_keeps_the_geometric_center():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:31, :31]
    far_off = GaussianPSF(flux=10, x_0=24, y_0=15, x_fwhm=4, y_fwhm=4)(x, y)
    broken = GaussianPSF(flux=10, x_0=15.5, y_0=15, x_fwhm=4, y_fwhm=4)(x, y)
    broken[14, 16] = np.nan
    images = np.array([far_off, broken, np.zeros((31, 31)), -np.ones((31, 31)), rng.normal(-1, 1, (31, 31))])
    np.testing.assert_array_equal(centroid(images), np.full((5, 2), 15.0))


def test_the_centroid_starts_where_it_is_told():
    y, x = np.mgrid[:31, :31]
    image = GaussianPSF(flux=10, x_0=24.2, y_0=9.6, x_fwhm=4, y_fwhm=4)(x, y)[None]
    np.testing.assert_allclose(centroid(image, start=[[23, 10]]), [[24.2, 9.6]], atol=0.01)
    assert centroid(image, start=[[99, 10]]).tolist() == [[99, 10]]


def test_the_centroid_wants_a_stack_of_images():
    with pytest.raises(ShapeError, match=r"expected \(n, h, w\)"):
        centroid(np.zeros((9, 9)))


def test_the_peak_is_the_brightest_pixel_whose_center_is_in_the_disc():
    rng = np.random.default_rng(5)
    images, centers = rng.normal(size=(5, 2, 20, 17)).astype(np.float32), rng.uniform(5, 12, (5, 2))
    centers[4] = -30.0, 5.0
    images[3, 1, 9, 9] = np.nan
    peak = disc_peak(images, centers, 5.5)
    y, x = np.indices((20, 17))
    for i, band in np.ndindex(4, 2):
        inside = np.hypot(x - centers[i, 0], y - centers[i, 1]) <= 5.5
        assert peak[i, band] == images[i, band][inside].max() or np.isnan(images[i, band][inside]).any()
    assert np.isnan(peak[3, 1])
    assert np.isnan(peak[4]).all()
