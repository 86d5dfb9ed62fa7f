import threading

import numpy as np
import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gen5astro import _core
from gen5astro.errors import FormatError, ShapeError
from gen5astro.io.ingest import BlockFiller, Reference, find_reference, ingest_row
from gen5astro.io.npz import WireImage

DTYPES = [
    f"{order}{kind}" for order in "<>" for kind in ("f2", "f4", "f8", "i2", "i4", "i8", "u2", "u4", "u8", "i1", "u1")
]
images = st.sampled_from(DTYPES).flatmap(
    lambda dtype: npst.arrays(np.dtype(dtype), npst.array_shapes(min_dims=3, max_dims=3, max_side=9))
)


def census_of(row):
    """The census as NumPy says it."""
    planes = row.reshape(len(row), -1)
    finite = [plane[np.isfinite(plane)] for plane in planes]
    ends = [(some.min(), some.max()) if some.size else (np.nan, np.nan) for some in finite]
    return np.array(
        [(some.size, (plane == 0).sum(), *end) for plane, some, end in zip(planes, finite, ends, strict=True)]
    )


@given(images)
@example(np.full((2, 3, 3), np.nan, ">f4"))
@example(np.array([[[np.inf, -np.inf, -0.0, np.nan, 1e300]]]))
def test_a_row_is_what_numpy_says(image):
    out = np.empty(image.shape, np.float32)
    census, digest = ingest_row(image, out)
    with np.errstate(over="ignore"):
        expected = image.astype(np.float32)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(census, census_of(expected))
    assert digest == xxhash.xxh64_intdigest(out.astype("<f4").tobytes())


@given(images)
def test_the_order_of_axes_does_not_matter(image):
    first, last = np.empty(image.shape, np.float32), np.empty(image.shape, np.float32)
    last_axis = np.ascontiguousarray(image.transpose(1, 2, 0))
    of_first, of_last = ingest_row(image, first), ingest_row(last_axis, last, layout="hwc")
    np.testing.assert_array_equal(first, last)
    np.testing.assert_array_equal(of_first[0], of_last[0])
    assert of_first[1] == of_last[1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["chw", "hwc"])
@pytest.mark.parametrize("offset", [1, 2, 3])
def test_pixels_may_lie_at_any_address(dtype, layout, offset):
    image = np.arange(4 * 5 * 3).reshape(4, 5, 3).astype(dtype)
    wire = np.frombuffer(b"\0" * offset + image.tobytes(), np.uint8)[offset:].view(dtype).reshape(image.shape)
    out = np.empty((4, 5, 3) if layout == "chw" else (3, 4, 5), np.float32)
    ingest_row(wire, out, layout=layout)
    np.testing.assert_array_equal(out if layout == "chw" else out.transpose(1, 2, 0), image.astype(np.float32))


def test_an_image_without_pixels_is_counted_as_such():
    census, digest = ingest_row(np.empty((2, 0, 4), "<f4"), np.empty((2, 0, 4), np.float32))
    np.testing.assert_array_equal(census, [[0, 0, np.nan, np.nan]] * 2)
    assert digest == xxhash.xxh64_intdigest(b"")


def test_large_planes_are_counted_whole():
    image = np.random.default_rng(1).normal(size=(1, 400, 401))
    image[0, 300, 7], image[0, 5, 5] = np.nan, 0
    out = np.empty(image.shape, np.float32)
    census, digest = ingest_row(image, out)
    np.testing.assert_array_equal(census, census_of(out))
    assert digest == xxhash.xxh64_intdigest(out.tobytes())


def test_threads_give_what_one_thread_gives():
    image = np.random.default_rng(2).normal(size=(3, 64, 64)).astype(">f4")
    rows = np.empty((8, 3, 64, 64), np.float32)
    digests = [None] * 8

    def work(at):
        for _ in range(20):
            digests[at] = ingest_row(image, rows[at])[1]

    threads = [threading.Thread(target=work, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(digests)) == 1
    np.testing.assert_array_equal(rows, np.broadcast_to(image, rows.shape))


GOOD, OUT = np.zeros((3, 4, 5), "<f4"), np.zeros((3, 4, 5), np.float32)


@pytest.mark.parametrize(
    ("wire", "out", "options", "error", "said"),
    [
        (GOOD, OUT, {"layout": "wch"}, ShapeError, "'chw' or 'hwc'"),
        (GOOD, OUT, {"layout": "hwc"}, ShapeError, r"got shape \(3, 4, 5\); expected \(4, 5, 3\)"),
        (GOOD[:2], OUT, {}, ShapeError, "shape"),
        (GOOD, OUT.astype(np.float64), {}, ShapeError, "float32"),
        (GOOD, OUT.astype(">f4"), {}, ShapeError, "float32"),
        (GOOD, OUT[::-1], {}, ShapeError, "contiguous"),
        (GOOD, OUT[0], {}, ShapeError, "band, y, x"),
        (GOOD.astype(complex), OUT, {}, FormatError, "complex128"),
        (GOOD.astype(object), OUT, {}, FormatError, "object"),
        (GOOD.astype(bool), OUT, {}, FormatError, "bool"),
        (GOOD[::-1], OUT, {}, FormatError, "contiguous"),
        (GOOD, OUT, {"census": np.zeros((2, 4))}, ShapeError, "census"),
        (GOOD, OUT, {"census": np.zeros((3, 4), np.float32)}, ShapeError, "census"),
    ],
)
def test_what_does_not_fit_is_refused(wire, out, options, error, said):
    with pytest.raises(error, match=said):
        ingest_row(wire, out, **options)


@pytest.mark.parametrize(
    ("wire", "out", "census", "dtype", "layout"),
    [
        (bytes(239), OUT, np.empty((3, 4)), "<f4", "chw"),
        (bytes(241), OUT, np.empty((3, 4)), "<f4", "chw"),
        (bytes(240), OUT, np.empty((3, 4)), "<f3", "chw"),
        (bytes(240), OUT, np.empty((3, 4)), "<f4", "xyz"),
        (bytes(240), OUT.ravel(), np.empty((3, 4)), "<f4", "chw"),
        (bytes(240), OUT.view(np.int32), np.empty((3, 4)), "<f4", "chw"),
        (bytes(240), OUT, np.empty((2, 4)), "<f4", "chw"),
        (bytes(240), OUT, np.empty((3, 4), np.float32), "<f4", "chw"),
        (
            bytes(240),
            np.frombuffer(b"x" + bytes(240), np.uint8).copy()[1:].view("f4").reshape(3, 4, 5),
            np.empty((3, 4)),
            "<f4",
            "chw",
        ),
    ],
)
def test_the_compiled_pass_trusts_no_size(wire, out, census, dtype, layout):
    with pytest.raises(ValueError):
        _core.ingest(wire, out, census, dtype, layout)


def test_the_compiled_pass_writes_to_nothing_that_is_read_only():
    with pytest.raises((BufferError, ValueError)):
        _core.ingest(bytes(240), bytes(240), np.empty((3, 4)), "<f4", "chw")


def image_of(value, *, shape=(3, 4, 5), bands=("g", "r", "z")):
    return WireImage(np.full(shape, value, ">f4"), "chw", bands)


LIKE = Reference(("g", "r", "z"), (4, 5))


def reader(stamp, ctrl):
    return {"stamp": stamp, "ctrl": ctrl}.__getitem__


def test_a_bad_row_leaves_no_hole():
    filler = BlockFiller(4, LIKE, pixel_scale=0.262)
    filler.add(10, reader(image_of(1), image_of(2)))
    filler.add(11, reader(image_of(3), image_of(np.nan)))
    filler.add(12, reader(image_of(3), image_of(3, shape=(3, 5, 4))))
    filler.add(13, reader(image_of(5), image_of(6)))
    block, rejects = filler.finish({"ra": np.array([0.0, 1, 2, 3])}, 10)
    assert block.row.tolist() == [10, 13]
    assert block.catalog["ra"].tolist() == [0, 3]
    assert block.stamp[:, 0, 0, 0].tolist() == [1, 5]
    assert block.ctrl[:, 0, 0, 0].tolist() == [2, 6]
    assert block.census[1, 1].tolist() == [[20, 0, 6, 6]] * 3
    assert [each.row for each in rejects] == [11, 12]
    assert "no finite pixel in band g, r, z" in rejects[0].reason
    assert "(5, 4)" in rejects[1].reason
    assert "(4, 5)" in rejects[1].reason


def test_pixels_that_are_not_finite_pass_while_others_are():
    image = image_of(1)
    image.pixels[:, 0, 0] = np.nan
    filler = BlockFiller(1, LIKE, pixel_scale=0.262)
    filler.add(0, reader(image, image))
    block, rejects = filler.finish({}, 0)
    assert not rejects
    assert np.isnan(block.stamp[0, :, 0, 0]).all()


def test_the_first_pair_that_can_be_read_sets_the_shape():
    candidates = [
        (0, reader(image_of(np.nan), image_of(1))),
        (1, reader(image_of(1), image_of(1, shape=(3, 2, 2)))),
        (2, reader(image_of(1, shape=(2, 6, 7), bands=("g", "i")), image_of(1, shape=(2, 6, 7), bands=("g", "i")))),
    ]
    image = find_reference(candidates, label="x")
    assert (image.bands, image.shape) == (("g", "i"), (6, 7))
    with pytest.raises(FormatError, match="no readable pair in the first 2 rows; row 0: stamp: got no finite pixel"):
        find_reference(candidates[:2], label="x")
    with pytest.raises(FormatError, match="no rows"):
        find_reference([], label="x")


@pytest.mark.parametrize(("odd", "side"), [({0}, 4), ({0, 1, 5}, 4), (set(range(12)), 6), (set(range(25)), 6)])
def test_the_shape_is_that_of_most_of_the_first_pairs(odd, side):
    shapes = [(1, 6, 6) if row in odd else (1, 4, 4) for row in range(40)]
    images = [image_of(1, shape=shape, bands=("g",)) for shape in shapes]
    image = find_reference([(row, reader(each, each)) for row, each in enumerate(images)], label="x")
    assert image.shape == (side, side)


def test_a_psf_that_would_take_all_memory_is_a_reject():
    """Of a kilobyte of archive: room for a PSF is taken for every row, and is the square of its side."""
    wire = WireImage(np.ones((1, 8, 8), np.float32), "chw", ("g",), psf={"g": np.ones((2_000_001, 1), np.uint8)})
    with pytest.raises(FormatError, match="PSF: got 2000001 pixels a side; expected at most 513"):
        find_reference([(0, lambda _: wire)], label="pairs", members=("image",))
