"""The excess over the half turn is what SciPy's turn of the same image leaves."""

import numpy as np
import pytest

from gen5astro.kernels.mirror import BIN, mirror_excess


def laid_out(images, weight, center, tolerance=0.5, across=2, gap=1):
    rows, columns = (-(-size // BIN) for size in images.shape[2:])
    sheet = np.zeros((-(-len(images) // across), rows + gap, across, columns + gap), dtype=np.float32)
    mirror_excess(images, weight, center, tolerance, sheet)
    return sheet


def binned(image, weight):
    light = np.einsum("byx,b->yx", image.astype(float), weight)
    light = np.pad(light, [(0, size % BIN) for size in light.shape])
    return light.reshape(light.shape[0] // BIN, BIN, -1, BIN).sum(axis=(1, 3))


@pytest.mark.parametrize("shape", [(16, 16), (17, 14)])
def test_a_turn_about_the_middle_is_numpys(shape):
    rng = np.random.default_rng(3)
    images, weight = rng.normal(size=(3, 2, *shape)).astype(np.float32), rng.uniform(1, 2, (3, 2))
    # The middle of the binned image, whose last bin an odd image fills by half.
    middle = [BIN * -(-size // BIN) / 2 - 0.5 for size in shape[::-1]]
    sheet = laid_out(images, weight, np.tile(middle, (3, 1)))
    for at, image in enumerate(images):
        light = binned(image, weight[at])
        expected = light - 1.5 * np.maximum(light[::-1, ::-1], 0)
        found = sheet[at // 2, :, at % 2]
        np.testing.assert_allclose(found[: light.shape[0], : light.shape[1]], expected, atol=1e-5)
        assert not found[light.shape[0] :].any()
        assert not found[:, light.shape[1] :].any()
    assert not sheet[1, :, 1].any()


def test_beyond_the_turned_image_all_light_is_excess():
    image = np.ones((1, 1, 8, 8), dtype=np.float32)
    found = laid_out(image, np.ones((1, 1)), np.array([[1.5, 3.5]]), across=1)[0, :4, 0, :4]
    np.testing.assert_array_equal(found, np.repeat([[-2, -2, 4, 4]], 4, axis=0))


@pytest.mark.parametrize("bad", ["pixel", "center"])
def test_what_is_not_finite_is_left_out(bad):
    images, center = np.ones((2, 1, 8, 8), dtype=np.float32), np.full((2, 2), 3.5)
    if bad == "pixel":
        images[0, 0, 2, 2] = np.nan
    else:
        center[0, 0] = np.nan
    sheet = laid_out(images, np.ones((2, 1)), center)
    assert not sheet[0, :, 0].any()
    assert (sheet[0, :4, 1, :4] == -2).all()
