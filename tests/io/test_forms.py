"""What is encoded is decoded to the bit, however the pixels lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen5astro.config import MeasureConfig
from gen5astro.io.forms import CORE_RADIUS_ARCSEC, NAN_CODE, decode, encode, stored_pixels, summarize_errors
from gen5astro.io.hdf5_schema import FORMS
from gen5astro.io.pixels import StoredPixels

CODES = np.random.default_rng(0).integers(-32768, 32768, (12, 3, 4, 5)).astype("<i2")
STEP = np.random.default_rng(1).uniform(1e-3, 1, (12, 3)).astype(np.float32)


def test_every_code_of_every_step_is_encoded_as_it_was():
    codes = np.arange(-32768, 32768).astype("<i2").reshape(1, 1, 256, 256)
    for step in (1e-38, 3e-7, 0.1, 1 / 3, 12345.678, 1e33):
        step = np.full((1, 1), step, np.float32)
        np.testing.assert_array_equal(encode(decode(codes, step), "int16", step), codes)
    halves = np.arange(2**16, dtype="<u2").view("<f2").reshape(1, 1, 256, 256)
    finite = np.where(np.isnan(halves), np.float16(np.nan), halves)
    np.testing.assert_array_equal(encode(decode(finite), "float16").view(np.uint16), finite.view(np.uint16))


def test_the_code_that_is_no_number_is_none():
    images = decode(np.array([[[NAN_CODE, 0, 7]]], np.int16), np.array([0.5], np.float32))
    np.testing.assert_array_equal(images, [[[np.nan, 0, 3.5]]])
    assert images.dtype == np.float32


@given(st.integers(1, 3), st.sampled_from(FORMS))
def test_stored_pixels_are_indexed_as_one_decoded_array(tmp_path_factory, n_files, form):
    images = decode(CODES, STEP) if form == "int16" else np.arange(720, dtype=np.float32).reshape(CODES.shape)
    step = STEP if form == "int16" else None
    folder, pieces = tmp_path_factory.mktemp("files"), []
    for number, rows in enumerate(np.array_split(np.arange(12), n_files)):
        path = folder / str(number)
        encode(images[rows], form, None if step is None else step[rows]).tofile(path)
        pieces.append((path, 0, len(rows)))
    found = StoredPixels(pieces, images.shape[1:], stored_pixels(form), step)
    assert (found.shape, found.dtype, found.ndim, len(found)) == (images.shape, np.float32, 4, 12)
    np.testing.assert_array_equal(np.asarray(found), images)
    for key in (0, -1, slice(None), slice(3, 9), slice(9, 3), slice(None, None, -5), [7, 7, 0], np.arange(12) % 2 == 1):
        np.testing.assert_array_equal(found[key], images[key])
        assert found[key].dtype == np.float32
    np.testing.assert_array_equal(found[5, 1, 2:], images[5, 1, 2:])
    np.testing.assert_array_equal(found[2:11, 0], images[2:11, 0])
    with pytest.raises(IndexError, match="row 12 of 12"):
        _ = found[12]


def test_a_summary_counts_planes_without_noise_but_takes_no_ratio_of_them():
    error = np.full((2, 1, 2), 0.5, np.float32)
    noise = np.array([[[2, 4]], [[0, 0]]], np.float32)
    errors = {"quantization/stamp": error, "quantization/ctrl": -error, "quantization/noise": noise}
    found = summarize_errors(errors)
    assert found["core_radius_arcsec"] == CORE_RADIUS_ARCSEC == MeasureConfig().core_radius_arcsec == 1
    assert (found["planes"], found["without_noise"]) == (4, 2)
    assert found["core_flux_nmgy"] == {"median": 0.5, "p99_9": 0.5, "max": 0.5}
    assert found["core_flux_sigma"] == {"median": 0.125, "p99_9": 0.125, "max": 0.125}
    silent = summarize_errors(errors | {"quantization/noise": 0 * noise})
    assert silent["core_flux_sigma"] == {"median": None, "p99_9": None, "max": None}
