"""Laws of the noise's texture."""

import numpy as np
import pytest
from scipy import ndimage

from gen5astro.errors import ShapeError
from gen5astro.kernels.noise import NOISE_COLUMNS, noise_texture
from gen5astro.kernels.normalize import region_statistics
from tests.reference import noise_texture as slow_texture
from tests.reference import on_threads

SIZE = 40


def region(size=SIZE):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(x, y) > 0.3 * size


def white(n, rng, *, bands=2, sigma=1.0):
    return rng.normal(0, sigma, (n, bands, SIZE, SIZE)).astype(np.float32)


def texture(images, inside=None):
    inside = region() if inside is None else inside
    return noise_texture(images, inside, region_statistics(images, inside))


def test_the_texture_is_what_numpy_computes():
    images, inside = white(3, np.random.default_rng(1)), region()
    images[1, 0, 2:9, 2:9] += 20
    statistics = region_statistics(images, inside)
    found = noise_texture(images, inside, statistics)
    for at in np.ndindex(3, 2):
        np.testing.assert_allclose(found[at], slow_texture(images[at], inside, *statistics[at]), rtol=2e-6, atol=1e-7)


def test_white_noise_has_its_own_standard_deviation_and_no_correlation():
    found = texture(white(60, np.random.default_rng(2), sigma=0.02)).mean(axis=(0, 1))
    np.testing.assert_allclose(found, [0.02, 0, 0], rtol=0.01, atol=0.01)


def test_smoothing_along_an_axis_is_seen_along_that_axis():
    images = ndimage.uniform_filter1d(white(40, np.random.default_rng(3)), 2, axis=-1)
    strength, along_x, along_y = texture(images).mean(axis=(0, 1))
    assert strength < 0.7
    assert along_x == pytest.approx(0.5, abs=0.03)
    assert along_y == pytest.approx(0, abs=0.03)


def test_a_plane_is_no_noise():
    images = np.broadcast_to(np.linspace(0, 5, SIZE, dtype=np.float32), (1, 1, SIZE, SIZE))
    assert texture(images)[0, 0, 0] == pytest.approx(0, abs=1e-6)


def test_units_and_levels_do_not_change_the_correlations():
    images = white(8, np.random.default_rng(4))
    scaled = 2**10 * images + 2**12
    np.testing.assert_allclose(texture(scaled)[..., 0], 2**10 * texture(images)[..., 0], rtol=1e-5)
    np.testing.assert_allclose(texture(scaled)[..., 1:], texture(images)[..., 1:], atol=1e-5)


def test_pixels_away_from_the_region_do_not_matter():
    images = white(4, np.random.default_rng(5))
    bright = images.copy()
    bright[:, :, SIZE // 2 - 5 : SIZE // 2 + 5, SIZE // 2 - 5 : SIZE // 2 + 5] = 1e6
    np.testing.assert_array_equal(texture(bright), texture(images))


def test_an_image_does_not_see_its_neighbors_nor_the_threads():
    images = white(9, np.random.default_rng(6))
    together = texture(images)
    np.testing.assert_array_equal(together[4], texture(images[4:5])[0])
    np.testing.assert_array_equal(together, on_threads(texture, [images]))


def test_a_pixel_that_is_not_finite_makes_its_band_nan():
    images = white(2, np.random.default_rng(7))
    images[1, 0, 3, 3] = np.inf
    found = texture(images)
    assert np.isnan(found[1, 0]).all()
    assert np.isfinite(found).sum() == 3 * len(NOISE_COLUMNS)


def test_an_image_without_noise_has_no_correlation():
    np.testing.assert_array_equal(texture(np.full((1, 1, SIZE, SIZE), 3, np.float32)), np.zeros((1, 1, 3)))


def test_shapes_that_do_not_fit_are_refused():
    images, inside = white(2, np.random.default_rng(8)), region()
    statistics = region_statistics(images, inside)
    with pytest.raises(ShapeError, match="region"):
        noise_texture(images, inside[1:], statistics)
    with pytest.raises(ShapeError, match="statistics"):
        noise_texture(images, inside, statistics[:1])
    edge = np.zeros_like(inside)
    edge[0] = True
    with pytest.raises(ShapeError, match="no pixel with all its neighbors"):
        noise_texture(images, edge, statistics)
