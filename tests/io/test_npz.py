import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gen5astro.errors import FormatError
from gen5astro.io import archive as archives
from gen5astro.io import npz
from gen5astro.io.archive import MAX_BYTES, Archive, inflate
from gen5astro.io.npz import decode_npy, decode_npz, encode_npz

IMAGE = np.random.default_rng(0).normal(size=(3, 8, 6)).astype(np.float32)
PLANES = {f"image_{band}": plane for band, plane in zip("grz", IMAGE, strict=True)}


def archive(compressed=True, **members):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **members)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def zipped(method=zipfile.ZIP_STORED, **contents):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in contents.items():
            file.writestr(f"{name}.npy", content)
    return stream.getvalue()


def pixels(image):
    """Pixels as (band, y, x)."""
    return image.pixels if image.layout == "chw" else image.pixels.transpose(2, 0, 1)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("name", ["image", "cutout", "arr_0", "data"])
@pytest.mark.parametrize("layout", ["chw", "hwc"])
def test_a_cube_is_found_under_each_name_in_either_order(compressed, name, layout):
    cube = IMAGE if layout == "chw" else IMAGE.transpose(1, 2, 0)
    image = decode_npz(archive(compressed, meta_ra=1.5, meta_name="x", **{name: cube}))
    assert image.layout == layout
    assert image.bands == ("g", "r", "z")
    assert image.shape == (8, 6)
    np.testing.assert_array_equal(pixels(image), IMAGE)


@pytest.mark.parametrize("compressed", [True, False])
def test_planes_come_blue_to_red_or_as_asked(compressed):
    payload = archive(compressed, image_z=IMAGE[2], meta=np.arange(3), image_g=IMAGE[0], image_size=6, image_r=IMAGE[1])
    image = decode_npz(payload)
    assert image.bands == ("g", "r", "z")
    np.testing.assert_array_equal(image.pixels, IMAGE)
    np.testing.assert_array_equal(decode_npz(payload, bands=("z", "g")).pixels, IMAGE[[2, 0]])


@given(
    npst.arrays(
        st.sampled_from(["<f4", ">f4", "<f8", ">i2", "|u1"]), npst.array_shapes(min_dims=3, max_dims=3, max_side=6)
    ),
    st.booleans(),
)
def test_what_is_encoded_is_read_back_by_us_and_by_numpy(image, compress):
    bands = tuple("abcdef"[: len(image)])
    payload = encode_npz(image, bands, compress=compress)
    np.testing.assert_array_equal(decode_npz(payload, bands=bands).pixels, image)
    with np.load(io.BytesIO(payload)) as file:
        np.testing.assert_array_equal(np.stack([file[f"image_{band}"] for band in bands]), image)
    with zipfile.ZipFile(io.BytesIO(payload)) as file:
        assert file.testzip() is None


def test_encoding_depends_on_the_image_alone():
    assert encode_npz(IMAGE, "grz") == encode_npz(IMAGE.copy(), "grz")


def test_number_type_and_byte_order_stay_as_stored():
    assert decode_npz(archive(image=IMAGE.astype(">i2"))).pixels.dtype == ">i2"


def test_fortran_order_is_understood():
    np.testing.assert_array_equal(decode_npz(archive(image=np.asfortranarray(IMAGE))).pixels, IMAGE)


def test_bands_tell_the_axes_of_a_cube():
    image = decode_npz(archive(image=IMAGE[:2]), bands=("g", "i"))
    assert (image.layout, image.bands) == ("chw", ("g", "i"))
    one = decode_npz(archive(image=IMAGE[0]), bands=("r",))
    np.testing.assert_array_equal(one.pixels, IMAGE[:1])


def test_npy_holds_a_cube():
    np.testing.assert_array_equal(decode_npy(npy(IMAGE)).pixels, IMAGE)


def test_a_comment_at_the_end_does_not_matter():
    stream = io.BytesIO(archive(**PLANES))
    with zipfile.ZipFile(stream, "a") as file:
        file.comment = b"PK\x05\x06 made by hand"
    np.testing.assert_array_equal(decode_npz(stream.getvalue()).pixels, IMAGE)


@pytest.mark.parametrize(
    ("payload", "bands", "said"),
    [
        (b"", None, "no bytes"),
        (b"not a zip", None, "no whole zip"),
        (archive(**PLANES)[:-30], None, "no whole zip"),
        (archive(**PLANES)[40:], None, "broken zip"),
        (archive(), None, "no members"),
        (archive(x=IMAGE), None, "members x; expected members image_g"),
        (archive(image_g=IMAGE[0]), "gr", "expected a member 'image_r'"),
        (archive(image=IMAGE[0]), None, r"shape \(8, 6\)"),
        (archive(image=IMAGE[np.newaxis]), None, r"shape \(1, 3, 8, 6\)"),
        (archive(image=IMAGE[:2]), None, "neither end"),
        (archive(image=IMAGE[:, :, :3]), None, "both ends"),
        (archive(image=IMAGE[:, :0]), None, r"shape \(3, 0, 6\)"),
        (
            archive(image_g=IMAGE[0], image_r=IMAGE[1, :4]),
            None,
            r"shape \(4, 6\); expected \(8, 6\), as member 'image_g'",
        ),
        (archive(image_g=IMAGE), None, r"member 'image_g': got shape \(3, 8, 6\)"),
        (zipped(image=npy(np.array([[{}]], dtype=object))), None, "Python objects, which are never unpickled"),
        (archive(image=IMAGE.astype(complex)), None, "complex128"),
        (archive(image=IMAGE > 0), None, "bool"),
        (zipped(image=b"text"), None, "no npy array"),
        (zipped(image=npy(IMAGE)[:100]), None, "truncated npy header"),
        (zipped(image=npy(IMAGE)[:-4]), None, r"572 bytes; expected those of float32 \(3, 8, 6\)"),
        (zipped(image=npy(IMAGE).replace(b"'<f4'", b"'<fx'")), None, "broken npy header"),
        (zipped(image=npy(IMAGE).replace(b"(3, 8, 6)", b"(3,-8,-6)")), None, r"\(3, -8, -6\)"),
        (zipped(image=npy(IMAGE).replace(b"{", b"(")), None, "broken npy header"),
        (zipped(zipfile.ZIP_BZIP2, image=npy(IMAGE)), None, "zip method 12"),
    ],
    ids=range(24),
)
def test_each_defect_is_named_in_one_line(payload, bands, said):
    with pytest.raises(FormatError, match=said) as caught:
        decode_npz(payload, bands=bands)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_flipped_bit_is_found(compressed):
    payload = bytearray(archive(compressed, image=IMAGE))
    payload[len(payload) // 2] ^= 1
    with pytest.raises(FormatError, match=r"CRC-32|inflate|more bytes"):
        decode_npz(bytes(payload))


def test_an_encrypted_member_is_refused():
    payload = bytearray(archive(image=IMAGE))
    at = payload.index(b"PK\x01\x02")
    payload[at + 8] |= 1
    with pytest.raises(FormatError, match="encrypted"):
        decode_npz(bytes(payload))


def test_a_bomb_is_refused_before_it_is_inflated():
    payload = zipped(zipfile.ZIP_DEFLATED, image=bytes(MAX_BYTES + 1))
    with pytest.raises(FormatError, match=f"{MAX_BYTES + 1} bytes declared; expected at most {MAX_BYTES}"):
        decode_npz(payload)


def test_many_members_share_one_bound(monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 800)
    with pytest.raises(FormatError, match="at most 800"):
        decode_npz(archive(**PLANES))


def test_a_bomb_that_lies_about_its_size_is_stopped():
    bomb = zlib.compressobj(wbits=-15)
    packed = bomb.compress(bytes(10_000_000)) + bomb.flush()
    payload = bytearray(zipped(zipfile.ZIP_DEFLATED, image=bytes(10_000_000)))
    at = payload.index(b"PK\x01\x02")
    assert struct.unpack_from("<L", payload, at + 20)[0] == len(packed)
    struct.pack_into("<L", payload, at + 24, 1000)
    with pytest.raises(FormatError, match="more bytes than the 1000 declared"):
        decode_npz(bytes(payload))


@given(
    npst.arrays(st.sampled_from(["<f4", ">f4", "<f8", ">i2", "|u1"]), npst.array_shapes(min_dims=3, max_dims=3)),
    st.booleans(),
    st.sampled_from(["compiled", "plain"]),
)
def test_both_readers_read_the_same(image, compress, foreign):
    bands = tuple("abcdefghijklm"[: len(image)])
    members = {f"image_{band}": plane for band, plane in zip(bands, image, strict=True)}
    payload = archive(compress, **members) if foreign == "plain" else encode_npz(image, bands, compress=compress)
    unpacked = npz._core.unpack(payload, npz.member_names(bands), inflate)
    assert unpacked is not None
    plain = npz._decode_planes(Archive(payload), bands)
    assert unpacked[1:] == (image.dtype.str, *image.shape[1:])
    assert bytes(unpacked[0]) == image.tobytes()
    np.testing.assert_array_equal(plain.pixels, image)


@pytest.mark.parametrize(
    ("payload", "bands"),
    [
        (archive(False, image=IMAGE), "grz"),
        (archive(False, **PLANES), "gri"),
        (archive(False, **PLANES), "gg"),
        (archive(False, **PLANES), ["g\0image_r"]),
        (archive(False, **PLANES), ""),
        (archive(False, **{f"image_{at}": IMAGE[0] for at in range(17)}), [str(at) for at in range(17)]),
        (archive(False, image_g=IMAGE[0], image_r=IMAGE[1].astype(float)), "gr"),
        (archive(False, image_g=IMAGE[0], image_r=IMAGE[1, :4]), "gr"),
        (archive(False, image_g=np.asfortranarray(IMAGE[0])), "g"),
        (archive(False, image_g=IMAGE), "g"),
        (archive(False, image_g=IMAGE[0, 0]), "g"),
        (archive(False, image_g=IMAGE[0, :0]), "g"),
        (archive(False, image_g=IMAGE[0] > 0), "g"),
        (archive(False, image_g=IMAGE[0].astype(complex)), "g"),
        (zipped(zipfile.ZIP_BZIP2, image_g=npy(IMAGE[0])), "g"),
        (b"", "g"),
        *(
            (archive(False, **PLANES, **{name: IMAGE[0]}), "grz")
            for name in ("invvar", "ivar_g", "weight", "mask_r", "psf")
        ),
    ],
    ids=range(21),
)
def test_what_is_unusual_is_left_to_the_reader_that_can_say_what_it_is(payload, bands):
    assert npz._core.unpack(payload, npz.member_names(tuple(bands)), inflate) is None


def test_what_interrupts_the_inflater_is_not_lost():
    def interrupted(packed, size):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        npz._core.unpack(archive(**PLANES), npz.member_names(tuple("grz")), interrupted)


@pytest.mark.parametrize("content", [b"", bytes(3), bytes(100_000)])
def test_zlib_and_libdeflate_inflate_alike(content, monkeypatch):
    packed = npz._deflate(content)
    ours = bytes(inflate(packed, len(content)))
    monkeypatch.setattr(archives, "deflate_decompress", None)
    assert ours == bytes(inflate(packed, len(content))) == content
    assert len(inflate(packed, max(len(content) - 1, 0))) <= len(content)


@given(st.data())
def test_damage_is_either_harmless_or_named(data):
    payload = bytearray(encode_npz(IMAGE, "grz", compress=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    payload = payload[: data.draw(st.integers(0, len(payload)))] if data.draw(st.booleans()) else payload
    try:
        image = decode_npz(bytes(payload), bands=("g", "r", "z"))
    except FormatError:
        return
    np.testing.assert_array_equal(image.pixels, IMAGE)


@pytest.mark.parametrize(
    "change",
    [
        lambda payload: payload.replace(b"(8, 6), }", b"(08, 6),}"),
        lambda payload: payload.replace(b"(8, 6), } ", b"(08, 6), }"),
        lambda payload: payload.replace(b"NUMPY\1\0", b"NUMPY\1\7"),
    ],
    ids=["zero and no comma", "zero", "version"],
)
def test_a_header_that_numpy_refuses_is_refused(change):
    content = change(npy(IMAGE[0]))
    payload = zipped(image_g=content)
    with pytest.raises(ValueError):
        np.lib.format.read_array(io.BytesIO(content))
    with pytest.raises(FormatError, match="npy"):
        decode_npz(payload, bands=("g",))


def test_of_two_archives_in_one_file_the_pixels_of_neither_are_taken_for_the_other_s():
    first, second = encode_npz(IMAGE, "grz"), encode_npz(IMAGE + 1, "grz")
    for payload in (first[: len(second)].ljust(len(second), b"\0") + second, b"\0" + second):
        with pytest.raises(FormatError, match="zip directory"):
            decode_npz(payload, bands=("g", "r", "z"))


def test_a_directory_with_more_entries_than_it_counts_is_refused():
    payload = bytearray(encode_npz(IMAGE, "grz"))
    payload[-14:-10] = struct.pack("<2H", 2, 2)
    for bands in (("g", "r"), None):
        with pytest.raises(FormatError, match="zip directory"):
            decode_npz(bytes(payload), bands=bands)
