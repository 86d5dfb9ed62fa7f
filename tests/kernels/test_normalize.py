"""One normalization: statistics are NumPy's, a pedestal and a gain cancel, and no image sees another."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gen5astro.config import NormalizerSpec
from gen5astro.errors import ShapeError
from gen5astro.kernels.median import image_medians
from gen5astro.kernels.normalize import (
    MAD_TO_SIGMA,
    annulus_pixels,
    core_pixels,
    normalize,
    normalizer_statistics,
    region_statistics,
)
from tests.reference import median_and_mad, on_threads

SKY = NormalizerSpec()
WHOLE = NormalizerSpec(annulus_fraction=(0.0, 1e9))
KINDS = ["sky", "standard", "core", "pair"]
SCALE = 0.262


def draw_images(n=5, shape=(64, 64), seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(0.003, 0.02, (n, 3, *shape))
    images[..., shape[0] // 2, shape[1] // 2] += 30
    return images.astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 64), (65, 71), (8, 8)])
def test_sky_statistics_are_the_annulus_median_and_mad(shape):
    images = draw_images(20, shape)
    inside = annulus_pixels(shape, SKY.annulus_fraction)
    statistics = normalizer_statistics(images, SKY, SCALE)
    for image, found in zip(images.reshape(-1, *shape), statistics.reshape(-1, 2), strict=True):
        center, mad = median_and_mad(image[inside])
        assert found.tolist() == [center, MAD_TO_SIGMA * float(mad)]


@given(
    pixels=arrays(
        np.float32, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.floats(-1e3, 1e3, width=32)
    )
)
@example(pixels=np.zeros((12, 12), np.float32))
@example(pixels=np.repeat(np.float32([[1, 2]]), 80, axis=0))
@example(pixels=np.arange(196, dtype=np.float32).reshape(14, 14) ** 3)
@example(pixels=np.float32([[3]]))
def test_the_median_is_exact_whatever_the_distribution(pixels):
    statistics = normalizer_statistics(pixels[None, None], WHOLE, SCALE)[0, 0]
    center, mad = median_and_mad(pixels)
    assert statistics[0] == center
    assert statistics[1] > 0
    if mad > 0:
        assert statistics[1] == MAD_TO_SIGMA * float(mad)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.integers(0, 4, 4096),
        lambda rng: np.where(rng.random(4096) < 0.6, 0, rng.normal(size=4096)),
        lambda rng: rng.standard_cauchy(4096) * 1e6,
        lambda rng: np.repeat([1e30, -1e30], 2048),
        lambda rng: np.sort(rng.exponential(size=4096)),
        lambda rng: np.tile(np.r_[np.zeros(123), 1.0], 34)[:4096],
    ],
    ids=["levels", "half zeros", "cauchy", "two far values", "sorted", "probes all alike"],
)
def test_the_median_is_exact_on_large_odd_samples(draw):
    pixels = np.resize(draw(np.random.default_rng(3)), (64, 64)).astype(np.float32)
    statistics = normalizer_statistics(pixels[None, None], WHOLE, SCALE)[0, 0]
    center, mad = median_and_mad(pixels)
    assert statistics[0] == center
    assert statistics[1] == (MAD_TO_SIGMA * float(mad) if mad > 0 else pytest.approx(np.std(pixels, dtype=float)))


def test_the_statistics_of_a_region_are_those_of_its_pixels():
    images = draw_images()
    inside = np.random.default_rng(1).random((64, 64)) < 0.1
    found = region_statistics(images, inside)[2, 1]
    center, mad = median_and_mad(images[2, 1][inside])
    assert found.tolist() == [center, MAD_TO_SIGMA * float(mad)]
    with pytest.raises(ShapeError, match="region: got shape"):
        region_statistics(images, inside[1:])


def test_standard_and_core_statistics_are_mean_and_deviation():
    images = draw_images()
    standard = normalizer_statistics(images, replace(SKY, kind="standard"), SCALE)
    np.testing.assert_allclose(standard[..., 0], images.mean(axis=(2, 3), dtype=float), rtol=1e-12)
    np.testing.assert_allclose(standard[..., 1], images.std(axis=(2, 3), dtype=float), rtol=1e-12)
    core = normalizer_statistics(images, replace(SKY, kind="core"), SCALE)
    pixels = images[..., core_pixels(images.shape, 1 / SCALE)]
    np.testing.assert_allclose(core[..., 0], pixels.mean(axis=-1, dtype=float), rtol=1e-12)
    np.testing.assert_allclose(core[..., 1], pixels.std(axis=-1, dtype=float), rtol=1e-12)


def test_pair_statistics_are_the_ctrl_s_sky():
    ctrl = draw_images()
    np.testing.assert_array_equal(
        normalizer_statistics(ctrl, replace(SKY, kind="pair"), SCALE), normalizer_statistics(ctrl, SKY, SCALE)
    )


def test_sky_statistics_do_not_see_host_and_arc():
    images = draw_images()
    with_arc = images.copy()
    with_arc[..., 20:44, 20:44] += 5
    np.testing.assert_array_equal(
        normalizer_statistics(images, SKY, SCALE), normalizer_statistics(with_arc, SKY, SCALE)
    )


@pytest.mark.parametrize("kind", ["sky", "standard", "core"])
def test_a_pedestal_and_a_gain_cancel(kind):
    spec = replace(SKY, kind=kind)
    images = draw_images()
    changed = (3.7 * images.astype(float) + 0.25).astype(np.float32)
    before = normalize(images, normalizer_statistics(images, spec, SCALE), spec)
    after = normalize(changed, normalizer_statistics(changed, spec, SCALE), spec)
    np.testing.assert_allclose(after, before, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_does_not_see_its_neighbors_nor_the_number_of_threads(kind):
    spec = replace(SKY, kind=kind, clip=4.0)
    images = draw_images(8)

    def whole(part):
        return normalize(part, normalizer_statistics(part, spec, SCALE), spec)

    np.testing.assert_array_equal(whole(images), on_threads(whole, (images,)))
    np.testing.assert_array_equal(whole(images)[::-1], whole(images[::-1]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_image_becomes_zero(kind):
    spec = replace(SKY, kind=kind)
    images = np.full((1, 2, 16, 16), 0.7, np.float32)
    statistics = normalizer_statistics(images, spec, SCALE)
    np.testing.assert_allclose(statistics, [[[0.7, 1.0]] * 2], rtol=1e-7)
    np.testing.assert_allclose(normalize(images, statistics, spec), 0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_not_finite_makes_its_band_nan(kind, bad):
    spec = replace(SKY, kind=kind)
    images = draw_images(2)
    images[0, 1] = bad
    statistics = normalizer_statistics(images, spec, SCALE)
    spoiled = np.isnan(normalize(images, statistics, spec)).all(axis=(2, 3))
    assert np.isnan(statistics).all(axis=2).tolist() == [[False, True, False], [False] * 3]
    assert spoiled.tolist() == [[False, True, False], [False] * 3]


def test_a_nan_outside_the_annulus_stays_where_it_is():
    images = draw_images(1)
    images[0, 0, 32, 30] = np.nan
    normalized = normalize(images, normalizer_statistics(images, SKY, SCALE), SKY)
    assert np.argwhere(np.isnan(normalized)).tolist() == [[0, 0, 32, 30]]


def test_the_stretch_is_asinh():
    pixels = np.concatenate([np.linspace(-20, 20, 20001), np.geomspace(1e-6, 1e30, 999), [0.0, np.inf, -np.inf]])
    images = pixels.astype(np.float32).reshape(1, 1, 1, -1)
    spec = replace(SKY, softening=3.0)
    stretched = normalize(images, [[[0.5, 2.0]]], spec)
    expected = np.arcsinh((images.astype(float) - 0.5) / 2 / 3)
    np.testing.assert_allclose(stretched, expected, rtol=4e-7, atol=4e-7)


def test_the_stretch_is_right_to_2e_7_of_its_result():
    pixels = np.concatenate([np.linspace(-3, 3, 300001), np.geomspace(3, 1e5, 100001)]).astype(np.float32)
    stretched = normalize(pixels.reshape(1, 1, 1, -1), [[[0.0, 1.0]]], replace(SKY, softening=1.0)).ravel()
    expected = np.arcsinh(pixels.astype(float))
    assert (abs(stretched - expected) / np.maximum(1, abs(expected))).max() < 2e-7


def test_without_a_stretch_the_scaling_is_linear_and_the_clip_bounds_it():
    images = np.float32([-30, -1, 0, 2, 40, np.inf]).reshape(1, 1, 1, -1)
    spec = replace(SKY, stretch="none", clip=5.0)
    assert normalize(images, [[[1.0, 2.0]]], spec).ravel().tolist() == [-5, -1, -0.5, 0.5, 5, 5]


def test_the_result_may_replace_the_images():
    images = draw_images()
    statistics = normalizer_statistics(images, SKY, SCALE)
    expected = normalize(images, statistics, SKY)
    assert normalize(images, statistics, SKY, out=images) is images
    np.testing.assert_array_equal(images, expected)


def test_bad_shapes_are_named():
    images = draw_images(1)
    with pytest.raises(ShapeError, match=r"expected \(n, band, h, w\)"):
        normalizer_statistics(images[0], SKY, SCALE)
    with pytest.raises(ShapeError, match="statistics: got shape"):
        normalize(images, np.zeros((1, 2, 2)), SKY)
    with pytest.raises(ShapeError, match="out: got float64"):
        normalize(images, np.ones((1, 3, 2)), SKY, out=np.zeros(images.shape))
    with pytest.raises(ShapeError, match="sky annulus: got no pixel of a 64 x 64 image"):
        normalizer_statistics(images, replace(SKY, annulus_fraction=(3.0, 4.0)), SCALE)
    with pytest.raises(ShapeError, match="core: got no pixel"):
        normalizer_statistics(images, replace(SKY, kind="core", core_radius_arcsec=0.01), SCALE)


@pytest.mark.parametrize("shape", [(64, 64), (65, 71), (8, 8)])
def test_the_median_of_an_image_is_numpys(shape):
    images = draw_images(20, shape)
    images[3, 1, 2, 2] = np.nan
    expected = np.median(images, axis=(2, 3))
    assert np.isnan(expected[3, 1])
    np.testing.assert_array_equal(image_medians(images), expected)
