"""Laws of the arc's sums, of the residual's profile and of how far its light is."""

import numpy as np
import pytest

from gen5astro.errors import ShapeError
from gen5astro.kernels.arc import ARC_COLUMNS, measure_arc, measure_light


def draw_residuals(n=4, bands=2, shape=(20, 17), seed=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, bands, *shape)).astype(np.float32), rng.uniform(7, 10, (n, 2)), rng.uniform(3, 7, n)


def distances(shape, center):
    y, x = np.indices(shape)
    return np.hypot(x - center[0], y - center[1]), x - center[0], y - center[1]


def light(residual, center, *, arc=None, step=2.0, bins=5):
    sigma = np.ones(residual.shape[:2])
    arc = residual if arc is None else arc
    return measure_light(residual, arc, center=center, sky_sigma=sigma, profile_step=step, profile_bins=bins)


def test_the_sums_are_what_numpy_sums():
    arc, center, radius = draw_residuals()
    sums = measure_arc(arc, center=center, core_radius=2.5, outer_radius=radius)
    for i, band in np.ndindex(4, 2):
        distance, dx, dy = distances((20, 17), center[i])
        inside, image = distance <= radius[i], arc[i, band].astype(np.float64)
        outer = inside & (distance > 2.5)
        expected = {
            "flux": image[inside].sum(),
            "absolute": np.abs(image[inside]).sum(),
            "power": (image[inside] ** 2).sum(),
            "pixels": inside.sum(),
            "moment_x": (image * dx)[inside].sum(),
            "moment_y": (image * dy)[inside].sum(),
            "outer_flux": image[outer].sum(),
            "outer_moment_x": (image * dx)[outer].sum(),
            "outer_moment_y": (image * dy)[outer].sum(),
            "peak": image[inside].max(),
        }
        for name in ARC_COLUMNS:
            assert sums[name][i, band] == pytest.approx(expected[name], rel=1e-10, abs=1e-12), name


@pytest.mark.parametrize("shape", [(20, 17), (16, 16)])
def test_totals_rings_and_peak_are_numpys(shape):
    residual, center, _ = draw_residuals(shape=shape)
    total, absolute, peak_radius, profile, _ = light(residual, center)
    for i, band in np.ndindex(4, 2):
        distance, image = distances(shape, center[i])[0], residual[i, band].astype(np.float64)
        assert total[i, band] == pytest.approx(image.sum(), rel=1e-10, abs=1e-12)
        assert absolute[i, band] == pytest.approx(np.abs(image).sum(), rel=1e-12)
        assert peak_radius[i, band] == pytest.approx(distance.ravel()[image.argmax()])
        for ring in range(5):
            chosen = (distance >= 2 * ring) & (distance < 2 * ring + 2)
            assert profile[i, band, ring] == pytest.approx(image[chosen].mean(), rel=1e-10)


def test_the_lights_radius_is_the_mean_of_what_is_above_half_of_the_peak():
    residual, center, _ = draw_residuals()
    found = light(residual, center)[4]
    for i in range(4):
        bright = residual[i].astype(np.float64).sum(axis=0)
        chosen = bright >= 0.5 * bright.max()
        expected = (bright * distances((20, 17), center[i])[0])[chosen].sum() / bright[chosen].sum()
        assert found[i] == pytest.approx(expected, rel=1e-10)


def test_the_residual_stands_for_an_arc_that_could_not_be_told_from_artifacts():
    residual, center, _ = draw_residuals()
    lost = residual.copy()
    lost[2] = np.nan
    np.testing.assert_array_equal(light(residual, center, arc=lost)[4], light(residual, center)[4])


def test_no_light_has_no_radius():
    residual = np.zeros((2, 1, 9, 9), np.float32)
    residual[1] = -1.0
    assert np.isnan(light(residual, np.full((2, 2), 4.0))[4]).all()


def test_a_ring_that_the_image_does_not_reach_is_nan():
    profile = light(np.ones((1, 1, 5, 5), np.float32), np.array([[2.0, 2.0]]), step=1.0, bins=6)[3]
    assert np.isfinite(profile[0, 0, :2]).all()
    assert np.isnan(profile[0, 0, 4:]).all()


def test_a_region_beyond_the_image_holds_nothing():
    arc = np.ones((1, 1, 5, 5), np.float32)
    sums = measure_arc(arc, center=np.array([[-9.0, 2.0]]), core_radius=1.0, outer_radius=np.array([3.0]))
    assert sums["flux"] == sums["pixels"] == 0


def test_a_pixel_that_is_not_finite_makes_the_sums_nan():
    residual = np.zeros((2, 1, 5, 5), np.float32)
    residual[1, 0, 1, 2] = np.inf
    center = np.full((2, 2), 2.0)
    sums = measure_arc(residual, center=center, core_radius=1.0, outer_radius=np.full(2, 2.0))
    total, absolute, peak_radius, _, radius = light(residual, center)
    for values in (*sums.values(), total, absolute, peak_radius):
        assert np.isfinite(values[0]).all()
        assert np.isnan(values[1]).all()
    assert np.isnan(radius[1])


def test_a_pair_does_not_see_its_neighbors():
    residual, center, radius = draw_residuals(n=6)
    together = measure_arc(residual, center=center, core_radius=2.0, outer_radius=radius)
    alone = measure_arc(residual[3:4], center=center[3:4], core_radius=2.0, outer_radius=radius[3:4])
    for name in ARC_COLUMNS:
        np.testing.assert_array_equal(together[name][3:4], alone[name])
    for whole, part in zip(light(residual, center), light(residual[3:4], center[3:4]), strict=True):
        np.testing.assert_array_equal(whole[3:4], part)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="residual"):
        measure_arc(np.zeros((3, 4, 5)), center=np.zeros((3, 2)), core_radius=1.0, outer_radius=np.ones(3))
    with pytest.raises(ShapeError, match="center"):
        measure_arc(np.zeros((3, 1, 4, 5)), center=np.zeros((2, 2)), core_radius=1.0, outer_radius=np.ones(3))
    with pytest.raises(ShapeError, match="sky_sigma"):
        light(np.zeros((3, 1, 4, 5)), np.zeros((3, 2)), arc=np.zeros((3, 1, 4, 4)))
