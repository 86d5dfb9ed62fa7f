"""Smoothed light is SciPy's, and noise is not added."""

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from gen5astro.errors import ShapeError
from gen5astro.kernels.derivatives import smoothing_taps
from gen5astro.kernels.quiet import add_smoothed


@pytest.mark.parametrize("shape", [(8, 11), (64, 64)])
def test_without_noise_it_is_what_scipy_correlates(shape):
    rng = np.random.default_rng(1)
    images, light = rng.normal(size=(2, 3, 2, *shape)).astype(np.float32)
    taps = smoothing_taps()[0]
    smooth = correlate1d(correlate1d(light.astype(float), taps, axis=2, mode="nearest"), taps, axis=3, mode="nearest")
    found = add_smoothed(images, light, np.zeros((3, 2)))
    np.testing.assert_allclose(found, images + smooth, atol=1e-6)
    assert add_smoothed(images, light, np.zeros((3, 2)), out=light) is light
    np.testing.assert_array_equal(light, found)


def test_white_noise_is_left_out_and_an_arc_is_kept():
    rng = np.random.default_rng(2)
    images, light = np.zeros((1, 2, 64, 64), np.float32), np.zeros((1, 2, 64, 64))
    light[:, :, 20:30, 20:30] = 5.0
    light += rng.normal(0, [[[[1.0]], [[0.1]]]], light.shape)
    found = add_smoothed(images, light, np.array([[1.0, 0.1]]))
    outside = np.ones((64, 64), bool)
    outside[17:33, 17:33] = False
    assert (found[0, :, outside] != 0).mean() < 1e-3
    assert found[0, :, 22:28, 22:28].mean(axis=(1, 2)) == pytest.approx([5, 5], abs=0.3)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="light"):
        add_smoothed(np.zeros((1, 2, 8, 8)), np.zeros((1, 2, 8, 8)), np.zeros((1, 3)))
