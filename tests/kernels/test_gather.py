"""A batch in one pass is what normalizing, choosing and turning give one after another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen5astro.config import NormalizerSpec
from gen5astro.errors import ShapeError
from gen5astro.io.forms import NAN_CODE, decode
from gen5astro.kernels.gather import gather, not_finite
from gen5astro.kernels.normalize import normalize, normalizer_statistics
from tests.reference import on_threads, turn

SPECS = [NormalizerSpec(), NormalizerSpec(stretch="none"), NormalizerSpec(clip=2.0)]
IMAGES = np.random.default_rng(0).normal(0.003, 0.02, (9, 3, 24, 24)).astype(np.float32)
STATISTICS = normalizer_statistics(IMAGES, SPECS[0], 0.262)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 7)), max_size=12), st.sampled_from(SPECS))
def test_a_batch_is_chosen_normalized_and_turned_to_the_bit(wanted, spec):
    row, element = np.array(wanted, np.int64).reshape(-1, 2).T
    batch = gather(IMAGES, STATISTICS, row, spec, element=element)
    plain = normalize(IMAGES, STATISTICS, spec)
    assert batch.shape == (len(wanted), 3, 24, 24)
    for image, (at, which) in zip(batch, wanted, strict=True):
        np.testing.assert_array_equal(image, turn(plain[at], which))


def test_the_eight_elements_are_the_symmetries_of_the_square():
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    same = np.tile([0.0, 1.0], (1, 1, 1))
    turned = gather(image, same, np.zeros(8, int), SPECS[1], element=np.arange(8))
    plane = image[0, 0]
    expected = {tuple(np.rot90(each, k).ravel()) for k in range(4) for each in (plane, plane.T)}
    assert {tuple(each.ravel()) for each in turned} == expected


@pytest.mark.parametrize("element", range(4))
def test_images_that_are_not_square_are_flipped(element):
    images = np.ascontiguousarray(IMAGES[..., :17])
    batch = gather(images, STATISTICS, [2], SPECS[0], element=[element])
    np.testing.assert_array_equal(batch[0], turn(normalize(images, STATISTICS, SPECS[0])[2], element))


def test_places_say_where_an_image_goes_and_the_rest_stays():
    out = np.full((5, 3, 24, 24), 7, np.float32)
    assert gather(IMAGES, STATISTICS, [8, 1], SPECS[0], out=out, place=[3, 0]) is out
    plain = normalize(IMAGES, STATISTICS, SPECS[0])
    np.testing.assert_array_equal(out[[3, 0]], plain[[8, 1]])
    assert (out[[1, 2, 4]] == 7).all()


def test_a_pixel_that_is_not_finite_stays_in_its_image_and_is_found():
    images = IMAGES.copy()
    images[4, 1, 3, 5], images[6, 0, 0, 0] = np.nan, np.inf
    batch = gather(images, STATISTICS, np.arange(9), SPECS[0], element=np.arange(9) % 8)
    assert np.isnan(batch).sum() == 1
    assert not_finite(batch).tolist() == [4, 6]
    assert not_finite(batch[:4]).size == 0
    assert not_finite(batch[:0]).size == 0


def test_threads_do_not_change_a_bit():
    rng = np.random.default_rng(1)
    row, element = rng.integers(0, 9, 64), rng.integers(0, 8, 64)

    def work(row, element):
        return gather(IMAGES, STATISTICS, row, SPECS[0], element=element)

    np.testing.assert_array_equal(on_threads(work, (row, element)), work(row, element))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES.astype(float)}, "float64"),
        ({"images": IMAGES[:, :, ::2]}, "C-contiguous"),
        ({"statistics": STATISTICS[:8]}, "statistics"),
        ({"row": [9]}, "row: got 9 to 9; expected 0 to 8"),
        ({"row": [-1]}, "row: got -1"),
        ({"element": [8]}, "element: got 8 to 8; expected 0 to 7"),
        ({"element": [1, 2]}, "one number for each row"),
        ({"images": np.ascontiguousarray(IMAGES[..., :17]), "element": [4]}, "expected 0 to 3"),
        ({"out": np.empty((1, 3, 24, 25), np.float32)}, "out"),
        ({"out": np.empty((1, 3, 24, 24), np.float32), "place": [1]}, "place: got 1 to 1; expected 0 to 0"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    arguments = {"images": IMAGES, "statistics": STATISTICS, "row": [0], "spec": SPECS[0], **change}
    with pytest.raises(ShapeError, match=message):
        gather(**arguments)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 7)), max_size=12), st.sampled_from(SPECS))
def test_codes_of_16_bits_give_what_decoding_them_first_gives(wanted, spec):
    row, element = np.array(wanted, np.int64).reshape(-1, 2).T
    codes = np.rint(IMAGES / 0.001).astype(np.int16)
    codes[2, 1, 3, 4] = NAN_CODE
    step = np.linspace(1e-3, 2e-3, 27, dtype=np.float32).reshape(9, 3)
    for stored, steps in ((codes, step), (IMAGES.astype(np.float16), None)):
        batch = gather(stored, STATISTICS, row, spec, step=steps, element=element)
        decoded = gather(decode(stored, steps), STATISTICS, row, spec, element=element)
        np.testing.assert_array_equal(batch, decoded)


def test_every_float16_there_is_comes_out_as_numpy_widens_it():
    stored = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(1, 4, 128, 128)
    as_they_are = np.tile([0.0, 1.0], (1, 4, 1))
    batch = gather(stored, as_they_are, [0], SPECS[1])
    expected = stored.astype(np.float32)
    np.testing.assert_array_equal(batch, expected)
    np.testing.assert_array_equal(np.signbit(batch[batch != 0]), np.signbit(expected[expected != 0]))


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        (np.int16, None),
        (np.int16, np.ones((9, 3))),
        (np.int16, np.ones((8, 3), np.float32)),
        (np.float16, np.ones((9, 3), np.float32)),
        (np.float32, np.ones((9, 3), np.float32)),
    ],
)
def test_only_int16_images_have_steps(kind, step):
    with pytest.raises(ShapeError, match=r"step: got .*; expected float32 \(9, 3\) of int16 images, none of others"):
        gather(IMAGES.astype(kind), STATISTICS, [0], SPECS[0], step=step)
