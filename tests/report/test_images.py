"""Pictures of pairs show a level that was added, and survive what pixels can hold."""

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread

from gen5astro.report.images import lupton_uri, triplet
from tests.report.records import make_worst


def _pixels(uri):
    kind, payload = uri.split(",", 1)
    assert kind == "data:image/png;base64"
    return imread(io.BytesIO(base64.b64decode(payload)))[..., :3]


def _triplet(pair):
    return {label: _pixels(uri) for label, uri in triplet(pair["stamp"], pair["ctrl"], pair["residual"], "grz")}


def test_a_pedestal_lifts_the_whole_residual():
    clean, lifted = (_triplet(make_worst(1, pedestal=pedestal)[0])["residual"][:8] for pedestal in (0.0, 0.0025))
    assert np.all(lifted >= clean)
    assert lifted.mean() > 1.5 * clean.mean()


def test_stamp_and_ctrl_share_one_stretch():
    pair = make_worst(1)[0]
    pair["stamp"] = pair["ctrl"]
    pictures = _triplet(pair)
    np.testing.assert_array_equal(pictures["stamp"], pictures["ctrl"])


def test_the_first_row_is_at_the_bottom_and_z_is_red():
    image = np.random.default_rng(0).normal(0, 0.01, (3, 16, 16))
    image[2, 3, 8] = 5.0
    pixels = _pixels(lupton_uri(image, ("g", "r", "z")))
    at = np.unravel_index(np.argmax(pixels[..., 0]), pixels.shape[:2])
    assert at == (16 - 1 - 3, 8)
    assert pixels[at][0] > 2 * pixels[at][2]


@pytest.mark.parametrize("bands", ["r", "gr", "griz", "abc"])
def test_any_list_of_bands(bands):
    assert _pixels(lupton_uri(np.ones((len(bands), 8, 8), np.float32), bands)).shape == (8, 8, 3)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_constant_and_broken_images_are_drawn(value):
    pixels = _pixels(lupton_uri(np.full((3, 8, 8), value, np.float32), "grz"))
    assert np.isfinite(pixels).all()
