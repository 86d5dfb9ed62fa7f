"""Laws of the arc's sums and profile."""

import numpy as np
import pytest

from gen5astro.errors import ShapeError
from gen5astro.kernels.arc import ARC_COLUMNS, measure_arc


def measure(residual, center, radius, *, step=2.0, bins=5):
    return measure_arc(residual, center=center, outer_radius=radius, profile_step=step, profile_bins=bins)


def test_the_sums_are_what_numpy_sums():
    rng = np.random.default_rng(2)
    residual = rng.normal(size=(4, 2, 20, 17)).astype(np.float32)
    center, radius = rng.uniform(7, 10, (4, 2)), rng.uniform(3, 7, 4)
    sums, profile = measure(residual, center, radius)
    y, x = np.mgrid[:20, :17]
    for i, band in np.ndindex(4, 2):
        distance = np.hypot(x - center[i, 0], y - center[i, 1])
        inside, image = distance <= radius[i], residual[i, band].astype(np.float64)
        expected = {
            "flux_total": image.sum(),
            "flux_inside": image[inside].sum(),
            "absolute_total": np.abs(image).sum(),
            "absolute_inside": np.abs(image[inside]).sum(),
            "power_inside": (image[inside] ** 2).sum(),
            "pixels_inside": inside.sum(),
            "peak": image.max(),
            "peak_radius": distance.ravel()[image.argmax()],
            "moment_x": (image * (x - center[i, 0]))[inside].sum(),
            "moment_y": (image * (y - center[i, 1]))[inside].sum(),
        }
        for name in ARC_COLUMNS:
            assert sums[name][i, band] == pytest.approx(expected[name], rel=1e-12)
        for ring in range(5):
            chosen = (distance >= 2 * ring) & (distance < 2 * ring + 2)
            assert profile[i, band, ring] == pytest.approx(image[chosen].mean(), rel=1e-12)


def test_a_ring_that_the_image_does_not_reach_is_nan():
    _, profile = measure(np.ones((1, 1, 5, 5), np.float32), np.array([[2.0, 2.0]]), np.ones(1), step=1.0, bins=6)
    assert np.isfinite(profile[0, 0, :2]).all()
    assert np.isnan(profile[0, 0, 4:]).all()


def test_a_pixel_that_is_not_finite_makes_the_sums_nan():
    residual = np.zeros((2, 1, 5, 5), np.float32)
    residual[1, 0, 0, 0] = np.inf
    sums, _ = measure(residual, np.full((2, 2), 2.0), np.ones(2))
    assert all(np.isfinite(sums[name][0, 0]) for name in ("flux_total", "absolute_inside"))
    assert all(np.isnan(sums[name][1, 0]) for name in ARC_COLUMNS)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="residual"):
        measure(np.zeros((3, 4, 5), np.float32), np.zeros((3, 2)), np.ones(3))
    with pytest.raises(ShapeError, match="center"):
        measure(np.zeros((3, 1, 4, 5), np.float32), np.zeros((2, 2)), np.ones(3))
