"""Samples are exact for parabolas, and what SciPy correlates."""

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from gen5astro.kernels.derivatives import (
    FIELDS,
    REACH,
    STEP,
    deinterleave,
    grid_shape,
    sample_fields,
    sample_smooth,
    smoothing_taps,
)


def deinterleaved(image):
    out = np.full((image.shape[0], image.shape[1] + image.shape[1] % 2), np.nan)
    deinterleave(image, out)
    return out


def sample(image):
    fields = np.empty((len(FIELDS), *grid_shape(image.shape)))
    sample_fields(deinterleaved(image), smoothing_taps(), fields)
    return dict(zip(FIELDS, fields, strict=True))


def places(shape):
    rows, columns = grid_shape(shape)
    return np.meshgrid(REACH + STEP * np.arange(columns), REACH + STEP * np.arange(rows))


@pytest.mark.parametrize("shape", [(21, 16), (64, 64), (101, 101)])
def test_slopes_and_curvature_of_a_parabola_are_exact(shape):
    y, x = np.indices(shape).astype(float)
    image = 3 + 0.5 * x - 0.25 * y + 0.02 * x**2 - 0.03 * y**2 + 0.01 * x * y
    found = sample(image)
    at_x, at_y = places(shape)
    np.testing.assert_allclose(found["slope_x"], 0.5 + 0.04 * at_x + 0.01 * at_y, atol=1e-11)
    np.testing.assert_allclose(found["slope_y"], -0.25 - 0.06 * at_y + 0.01 * at_x, atol=1e-11)
    np.testing.assert_allclose(found["half_laplacian"], 0.02 - 0.03, atol=1e-11)


def test_the_samples_are_what_scipy_correlates():
    image = np.random.default_rng(1).normal(size=(30, 25)).astype(np.float32)
    value, first, second = smoothing_taps()

    def filtered(along_y, along_x):
        pixels = correlate1d(correlate1d(image.astype(float), along_y, axis=0), along_x, axis=1)
        return pixels[REACH:-REACH:STEP, REACH:-REACH:STEP]

    found = sample(image)
    np.testing.assert_allclose(found["value"], filtered(value, value), atol=1e-12)
    np.testing.assert_allclose(found["slope_x"], filtered(value, first), atol=1e-12)
    np.testing.assert_allclose(found["slope_y"], filtered(first, value), atol=1e-12)
    laplacian = filtered(value, second) + filtered(second, value)
    np.testing.assert_allclose(found["half_laplacian"], 0.5 * laplacian, atol=1e-12)
    smooth = np.empty_like(found["value"])
    sample_smooth(deinterleaved(image), smoothing_taps(), smooth)
    np.testing.assert_array_equal(smooth, found["value"])


def test_an_image_smaller_than_the_kernel_has_no_sample():
    assert grid_shape((6, 64)) == (0, 29)
    assert sample(np.ones((6, 64)))["value"].size == 0


@pytest.mark.parametrize(("width", "expected"), [(4, [0, 2, 1, 3]), (5, [0, 2, 4, 1, 3, -1])])
def test_even_columns_come_before_odd_ones(width, expected):
    image = np.arange(3.0 * width).reshape(3, width)
    expected = np.where(np.array(expected) >= 0, image[:, expected], 0)
    np.testing.assert_array_equal(deinterleaved(image), expected)
