"""Rounding at random: what is on the lattice stays, the rest is right on average, and a pair is rounded alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen5astro.errors import ShapeError
from gen5astro.kernels.aperture import aperture_weights
from gen5astro.kernels.normalize import annulus_pixels, region_statistics
from gen5astro.kernels.quantize import lattice_step, rounding_error, sky_scatter, to_lattice
from tests.reference import on_threads

SHAPE = (40, 3, 32, 32)
SIGMA = 0.02
IMAGES = np.random.default_rng(0).normal(0.003, SIGMA, SHAPE).astype(np.float32)
STEP = np.full(SHAPE[:2], SIGMA / 16, np.float32)
SEED = np.random.default_rng(1).integers(0, 2**64, SHAPE[0], dtype=np.uint64)
ANNULUS = annulus_pixels(SHAPE, (0.75, 1.0))


def splitmix(state):
    """SplitMix64's output function, of whole numbers of any size."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) % 2**64
    return state ^ (state >> 31)


def rounded_one_by_one(image, step, seed):
    """The definition, pixel by pixel."""
    out = np.empty_like(image)
    for k, (band, *at) in enumerate(np.ndindex(image.shape)):
        flux, size = image[(band, *at)], step[band]
        place = float(flux) * (1.0 / float(size))
        code = np.rint(place)
        if np.float32(code) * size != flux:
            uniform = (splitmix((int(seed) + (k + 1) * 0x9E3779B97F4A7C15) % 2**64) >> 40) * 2.0**-24
            code = np.floor(place + uniform)
        out[(band, *at)] = np.float32(code) * size
    return out


def test_the_kernel_is_the_definition_to_the_bit():
    rounded = to_lattice(IMAGES[:2], STEP[:2], SEED[:2])
    for at in (0, 1):
        np.testing.assert_array_equal(rounded[at], rounded_one_by_one(IMAGES[at], STEP[at], SEED[at]))


def test_no_flux_is_gained_or_lost_and_the_error_is_that_of_the_closed_form():
    """The variance of a pixel's error is f (1 - f) step^2, and step^2 / 6 over all f."""
    rounded = to_lattice(IMAGES, STEP, SEED)
    error = rounded.astype(np.float64) - IMAGES
    share = IMAGES / (SIGMA / 16) % 1
    assert abs(error.sum()) < 4 * (SIGMA / 16) * np.sqrt(np.sum(share * (1 - share)))
    assert error.std() == pytest.approx(SIGMA / 16 / np.sqrt(6), rel=0.01)
    assert rounded.std() / IMAGES.std() == pytest.approx(np.sqrt(1 + 1 / (6 * 256)), abs=2e-4)


@pytest.mark.parametrize("share", [0.03, 0.25, 0.5, 0.9])
def test_light_far_fainter_than_a_step_is_there_on_average(share):
    images = np.full(SHAPE, share * SIGMA / 16, np.float32)
    codes = to_lattice(images, STEP, SEED) / (SIGMA / 16)
    assert set(np.rint(np.unique(codes))) == {0, 1}
    assert abs(codes.mean() - share) < 4 * np.sqrt(share * (1 - share) / codes.size)


def test_neighbors_and_bands_and_pairs_are_rounded_independently():
    error = to_lattice(IMAGES, STEP, SEED).astype(np.float64) - IMAGES
    for one, other in (
        (error[..., 1:], error[..., :-1]),
        (error[:, :, 1:], error[:, :, :-1]),
        (error[:, 1:], error[:, :-1]),
        (error[1:], error[:-1]),
        (error, IMAGES),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(one.size)


def test_what_is_equal_stays_equal_and_a_residual_is_right_on_average():
    arc = np.where(np.arange(32) > 20, np.float32(0.3 * SIGMA / 16), np.float32(0))
    stamp = IMAGES + arc
    same = stamp == IMAGES
    residual = to_lattice(stamp, STEP, SEED).astype(np.float64) - to_lattice(IMAGES, STEP, SEED)
    assert (residual[same] == 0).all()
    assert (residual[~same] >= 0).all()
    assert residual[~same].mean() == pytest.approx(0.3 * SIGMA / 16, rel=0.02)


@given(st.integers(0, 2**64 - 1), st.floats(1e-6, 1e3), st.lists(st.integers(-32767, 32767), min_size=16, max_size=16))
def test_what_is_on_the_lattice_stays_to_the_bit(seed, step, codes):
    step = np.full((1, 1), step, np.float32)
    images = (np.array(codes, np.float32) * step[0, 0]).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(to_lattice(images, step, np.array([seed], np.uint64)), images)


def test_zero_nan_and_infinity_keep_their_meaning_and_nothing_is_clipped():
    images = np.zeros((1, 1, 2, 3), np.float32)
    images[0, 0] = [[0, -0.0, np.nan], [np.inf, -np.inf, 1e6]]
    rounded = to_lattice(images, np.ones((1, 1), np.float32), np.zeros(1, np.uint64))
    np.testing.assert_array_equal(rounded[0, 0], [[0, 0, np.nan], [np.inf, -np.inf, np.inf]])


def test_the_step_is_a_sixteenth_of_the_noise_or_as_wide_as_the_pair_needs():
    sigma = sky_scatter(IMAGES, ANNULUS)
    np.testing.assert_array_equal(sigma, region_statistics(IMAGES, ANNULUS)[..., 1])
    stamp = IMAGES.copy()
    stamp[3, 1, 16, 16] = -4000 * SIGMA
    stamp[4, 0, 0, 0], stamp[4, 0, 0, 1] = np.nan, np.inf
    step = lattice_step(stamp, IMAGES, sigma)
    narrow = np.ones(step.shape, bool)
    narrow[3, 1] = False
    np.testing.assert_array_equal(step[narrow], (sigma / 16).astype(np.float32)[narrow])
    assert step[3, 1] == pytest.approx(4000 * SIGMA / 32766)
    codes = to_lattice(stamp, step, SEED)[3] / step[3][:, None, None]
    assert np.rint(codes.min()) in (-32766, -32767)


@given(st.floats(1e-38, 3e38), st.integers(0, 2**64 - 1))
def test_the_finest_step_reaches_every_finite_pixel(peak, seed):
    images = np.linspace(-peak, peak, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    step = lattice_step(images, images, np.zeros((1, 1)))
    rounded = to_lattice(images, step, np.array([seed], np.uint64))
    assert np.isfinite(rounded).all()
    assert np.abs(rounded.astype(np.float64) - images).max() <= step[0, 0] * 1.001


def test_a_sky_without_scatter_or_with_gaps_has_a_noise_all_the_same():
    images = IMAGES[:4].copy()
    images[0, 0] = 0
    images[1, 0, :, ::2] = np.nan
    images[2, 0] = np.nan
    sigma = sky_scatter(images, ANNULUS)
    assert sigma[0, 0] == sigma[2, 0] == 0
    assert sigma[1, 0] == pytest.approx(SIGMA, rel=0.15)
    assert (lattice_step(images, images, sigma)[[0, 2], 0] == np.finfo(np.float32).tiny).all()


def test_the_error_is_that_of_numpy_and_a_nan_counts_only_inside_the_aperture():
    after = to_lattice(IMAGES, STEP, SEED)
    weights = aperture_weights(SHAPE, (15.5, 15.5), 4.0)
    before = IMAGES.copy()
    before[0, 0, 0, 0], before[1, 0, 15, 15] = np.nan, np.nan
    error = rounding_error(before, after, weights)
    change = after.astype(np.float64) - before
    np.testing.assert_allclose(error[..., 0], np.sqrt(np.nanmean(change**2, axis=(2, 3))))
    expected = np.einsum("nbyx,yx->nb", np.nan_to_num(change), weights)
    expected[1, 0] = np.nan
    np.testing.assert_allclose(error[..., 1], expected, atol=1e-15)


def test_threads_do_not_change_a_bit():
    np.testing.assert_array_equal(on_threads(to_lattice, (IMAGES, STEP, SEED)), to_lattice(IMAGES, STEP, SEED))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="step and seed"):
        to_lattice(IMAGES, STEP[:1], SEED)
    with pytest.raises(ShapeError, match="region"):
        sky_scatter(IMAGES, ANNULUS[1:])
    with pytest.raises(ShapeError, match="sigma"):
        lattice_step(IMAGES, IMAGES, np.zeros((2, 2)))
    with pytest.raises(ShapeError, match="images and weights"):
        rounding_error(IMAGES, IMAGES[1:], ANNULUS)
    with pytest.raises(ShapeError, match="images"):
        sky_scatter(IMAGES[0], ANNULUS)
