"""Shifts and blurs as matrices: against torch's interpolation, scipy's Bessel functions and NumPy's mirrored edges."""

import numpy as np
import pytest
import scipy.special
import torch
from torch.nn.functional import grid_sample

from gen5astro.training.resample import axis_matrix, blur_taps, shift_taps


def _image(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("offset", [(0.5, -0.25), (-1.7, 2.3), (3.0, 0.0), (0.01, -3.9)])
def test_a_shift_is_torch_s_bicubic_interpolation_mirrored_at_the_edge(offset):
    image = _image(12, 15)
    y, x = (axis_matrix(shift_taps(torch.tensor(each, dtype=torch.float64), 6), size) for each, size in
            zip(offset, image.shape, strict=True))  # fmt: skip
    at = [torch.arange(size, dtype=torch.float64) + each for each, size in zip(offset, image.shape, strict=True)]
    at = [2 * each / (size - 1) - 1 for each, size in zip(at, image.shape, strict=True)]
    grid = torch.stack([at[1].expand(12, 15), at[0][:, None].expand(12, 15)], dim=-1)
    more = {"mode": "bicubic", "padding_mode": "reflection", "align_corners": True}
    expected = grid_sample(image[None, None], grid[None], **more)[0, 0]
    torch.testing.assert_close(y @ image @ x.mT, expected, rtol=1e-10, atol=1e-10)


def test_a_whole_shift_moves_pixels_as_they_are():
    image = _image(9, 9).float()
    matrix = axis_matrix(shift_taps(torch.tensor(2.0), 4), 9)
    expected = np.pad(image.numpy(), ((0, 2), (0, 0)), mode="reflect")[2:]
    np.testing.assert_array_equal(matrix @ image, expected)


def test_a_blur_is_the_discrete_gaussian_and_its_widths_add_in_quadrature():
    variance = torch.tensor([0.01, 0.3, 1.0, 9.0], dtype=torch.float64)
    taps = blur_taps(variance, 20).numpy()
    at = np.arange(-20, 21)
    np.testing.assert_allclose(taps, scipy.special.ive(abs(at), variance[:, None].numpy()), atol=1e-9)
    np.testing.assert_allclose(taps.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose((taps * at**2).sum(1), variance, rtol=1e-6)
    together = np.convolve(taps[1], taps[2])[20:-20]
    np.testing.assert_allclose(blur_taps(variance[1] + variance[2], 20), together, atol=1e-12)


def test_no_blur_is_exactly_none_also_in_single_precision():
    assert blur_taps(torch.zeros(2), 3).tolist() == [[0, 0, 0, 1, 0, 0, 0]] * 2


@pytest.mark.parametrize("reach", [2, 6, 25])
def test_an_axis_matrix_convolves_an_image_that_is_mirrored_however_far_it_reaches(reach):
    taps = _image(2 * reach + 1)
    line = _image(7)
    padded = np.pad(line.numpy(), reach, mode="reflect")
    expected = np.correlate(padded, taps.numpy(), mode="valid")
    np.testing.assert_allclose(axis_matrix(taps, 7) @ line, expected, atol=1e-12)
