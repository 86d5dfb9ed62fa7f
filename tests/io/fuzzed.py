"""Images in files as the readers meet them, small, and what damage does to them; for the tests and `tests.fuzz`."""

import contextlib
import functools
import gzip
import io
import re
import warnings

import numpy as np
from astropy.io import fits
from hypothesis import strategies as st

from gen5astro.errors import Gen5Error
from gen5astro.io.npz import encode_npz
from gen5astro.sample import load_hosts
from tests.io.inputs import BANDS, hdu_a_band, viewer_cube, wcs_header

SIZE = (6, 5)
_RATIO_TOLERANCE = 1e-5


@functools.cache
def image():
    """Middle of a real galaxy of the sample, (band, y, x)."""
    whole = load_hosts().image[0]
    top, left = (whole.shape[1] - SIZE[0]) // 2, (whole.shape[2] - SIZE[1]) // 2
    return np.ascontiguousarray(whole[:, top : top + SIZE[0], left : left + SIZE[1]])


def _saved(save, *arrays, **named):
    stream = io.BytesIO()
    save(stream, *arrays, **named)
    return stream.getvalue()


@functools.cache
def npz_seeds():
    """Archives of every layout, stored and deflated, by name."""
    pixels, last = image(), image().transpose(1, 2, 0)
    planes = {f"image_{band}": plane for band, plane in zip(BANDS, pixels, strict=True)}
    beside = {"invvar": np.ones_like(pixels), "mask": np.zeros(SIZE, np.int16), "psf": np.eye(3, dtype=np.float32)}
    seeds = {
        "planes": encode_npz(pixels, BANDS, compress=False),
        "planes_deflated": encode_npz(pixels, BANDS),
        "planes_of_numpy": _saved(np.savez, **planes),
        "planes_big_endian": _saved(np.savez, **{name: plane.astype(">f8") for name, plane in planes.items()}),
        "planes_integer": _saved(np.savez, **{name: plane.astype("<i2") for name, plane in planes.items()}),
        "planes_fortran": _saved(np.savez, **{name: np.asfortranarray(plane) for name, plane in planes.items()}),
        "planes_beside": _saved(np.savez, **planes, **beside),
        "planes_seeing": _saved(np.savez_compressed, **planes, seeing=1.2, name="a galaxy"),
    }
    for name, cube in (("chw", pixels), ("hwc", last)):
        seeds[f"cube_{name}"] = _saved(np.savez, image=cube)
        seeds[f"cube_{name}_deflated"] = _saved(np.savez_compressed, cutout=cube)
    return seeds | {"cube_beside": _saved(np.savez_compressed, image=last, **beside)}


@functools.cache
def npy_seeds():
    """Arrays of both layouts, by name."""
    cubes = {"chw": image(), "hwc": image().transpose(1, 2, 0), "hwc_fortran": np.asfortranarray(image().T)}
    return {name: _saved(np.save, cube) for name, cube in cubes.items()}


@functools.cache
def fits_seeds():
    """Files of every kind that is read, by name; the ending says how."""

    def saved(hdus, **options):
        stream = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hdus.writeto(stream, **options)
        return stream.getvalue()

    def written(write, ending):
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            return write(Path(folder) / f"a.{ending}", image()).read_bytes()

    def tiles(kind, **options):
        hdus = [
            fits.CompImageHDU(plane, wcs_header(BAND=band), compression_type=kind, **options)
            for band, plane in zip(BANDS, np.tile(image(), (1, 2, 2)), strict=True)
        ]
        return saved(fits.HDUList([fits.PrimaryHDU(), *hdus]))

    cube = written(viewer_cube, "fits")
    integers = np.round(image() * 100).astype(np.int16)
    beside = [fits.ImageHDU(np.ones_like(image()), name="INVVAR"), fits.ImageHDU(np.eye(5), name="PSF")]
    scaled = fits.Header({"BANDS": "grz", "BSCALE": 0.5, "BZERO": 3.0, "BLANK": -32768})
    return {
        "cube.fits": cube,
        "cube.fits.gz": gzip.compress(cube, mtime=0),
        "cube_beside.fits": saved(fits.HDUList([fits.PrimaryHDU(image(), fits.Header({"BANDS": "grz"})), *beside])),
        "cube_scaled.fits": saved(fits.PrimaryHDU(integers, scaled), output_verify="ignore"),
        "hdu_a_band.fits": written(hdu_a_band, "fits"),
        "hdu_a_band.fits.gz": gzip.compress(written(hdu_a_band, "fits"), mtime=0),
        "gzip.fits.fz": tiles("GZIP_2", quantize_level=0),
        "rice.fits.fz": tiles("RICE_1"),
    }


# ---- damage ----

_NUMBERS = [0, 1, 2, 8, 22, 30, 46, 127, 128, 255, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1]


@st.composite
def damaged(draw, seeds, *, words=(), most=4):
    """Bytes of one of some files, changed, cut, joined with another's, or not at all."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from(["byte", "bit", "number", "word", "cut", "drop", "repeat", "splice", "join"]))
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        size = draw(st.integers(1, 64))
        if kind == "byte":
            content[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "bit" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "number":
            number = draw(st.sampled_from(_NUMBERS)).to_bytes(4, "little")[: draw(st.sampled_from([1, 2, 4]))]
            content[at : at + len(number)] = number
        elif kind == "word" and words:
            word = draw(st.sampled_from(words))
            content[at : at + draw(st.sampled_from([0, len(word)]))] = word
        elif kind == "cut":
            del content[at:]
        elif kind == "drop":
            del content[at : at + size]
        elif kind == "repeat":
            content[at:at] = content[at : at + size]
        elif kind in ("splice", "join"):
            other = draw(st.sampled_from(seeds))
            content = content + other if kind == "join" else content[:at] + other[at:]
    return bytes(content)


_NPY_WORDS = [
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"image_g",
    b"image_q.npy",
    b"psf",
    b"(6, 5)",
    b"(06, 5)",
    b"(30, )",
    b"<f8",
]
_NPY_WORDS += [b"|O", b"True", b"0" * 12, b"(0, 99999999999999999999)", b"1000000000", b"((((((((", b"\x93NUMPY\x03"]


@st.composite
def damaged_members(draw):
    """An archive whose members are damaged, and whose directory and checksums are not."""
    import zipfile

    stream = io.BytesIO()
    seeds = list(npy_seeds().values()) + [_saved(np.save, plane) for plane in image()]
    names = ["image_g", "image_r", "image_z", "image", "cutout", "invvar", "mask", "psf", "psf_g", "weight_r", "name"]
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as file:
        warnings.simplefilter("ignore")
        for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=5)):
            file.writestr(f"{name}.npy", draw(damaged(seeds, words=_NPY_WORDS, most=2)))
    return stream.getvalue()


def npz_payloads():
    """Archives, most of them damaged."""
    return st.one_of(damaged(list(npz_seeds().values()), words=_NPY_WORDS), damaged_members())


def npy_payloads():
    """Arrays, most of them damaged."""
    return damaged(list(npy_seeds().values()), words=_NPY_WORDS)


_KEYS = "SIMPLE XTENSION BITPIX NAXIS NAXIS1 NAXIS2 NAXIS3 PCOUNT GCOUNT BSCALE BZERO BLANK BUNIT MAGZERO BANDS BAND0"
_KEYS += (
    " BAND FILTER EXTNAME EXTEND IMAGETYP PIXSCALE CTYPE1 CUNIT1 CRVAL1 CRPIX1 CD1_1 CDELT1 LONPOLE RADESYS TFIELDS"
)
_KEYS += " EQUINOX WCSAXES A_ORDER PV2_1 TTYPE1 TFORM1 THEAP ZIMAGE ZCMPTYPE ZBITPIX ZNAXIS ZNAXIS1 ZNAXIS2 ZTILE1"
_KEYS += " ZTILE2 ZNAME1 ZVAL1 ZVAL2 ZQUANTIZ ZBLANK ZSCALE ZZERO CONTINUE GROUPS END"
_VALUES = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "5",
    "8",
    "-32",
    "-64",
    "16",
    "999",
    "1000000000",
    "9223372036854775807",
    "99999999999",
]
_VALUES += [
    "T",
    "F",
    "1E400",
    "1E38",
    "-1E-300",
    "NAN",
    "''",
    "'g'",
    "'grz'",
    "'image'",
    "'RICE_1'",
    "'GZIP_1'",
    "'PLIO_1'",
]
_VALUES += [
    "'1PB(9)'",
    "'1QE'",
    "'D'",
    "'RA---TAN'",
    "'GLON-SIN'",
    "'DEC--ZEA'",
    "'PSF'",
    "'adu'",
    "'mJy'",
    "(1,2)",
    "'",
    "",
]
_VALUES += [
    "'BINTABLE'",
    "'IMAGE'",
    "'SUBTRACTIVE_DITHER_1'",
    "'invvar'",
    "'MASK_G'",
    "\u00e9".encode("latin-1").decode("latin-1"),
]


@st.composite
def damaged_fits(draw):
    """Name and bytes of a FITS file with cards of its headers changed, or its bytes damaged, or both or neither."""
    name = draw(st.sampled_from(sorted(fits_seeds())))
    content, zipped = fits_seeds()[name], name.endswith(".gz")
    if zipped and draw(st.integers(0, 3)):
        content = bytearray(gzip.decompress(content))
    else:
        content, zipped = bytearray(content), False
    for _ in range(draw(st.integers(0, 3))):
        cards = [match.start() for match in re.finditer(rb"(?=[A-Z][A-Z0-9_]{0,7} *= )", content)]
        at = draw(st.sampled_from(cards)) if cards else 0
        change = draw(st.sampled_from(["value", "value", "value", "set", "insert", "drop", "double"]))
        key = bytes(content[at : at + 8]) if change == "value" else draw(st.sampled_from(_KEYS.split())).encode()
        card = (key.ljust(8) + b"= " + draw(st.sampled_from(_VALUES)).rjust(20).encode("latin-1")).ljust(80)[:80]
        if change in ("value", "set"):
            content[at : at + 80] = card
        elif change == "insert":
            _insert(content, at, card)
        elif change == "drop":
            del content[at : at + 80]
            _pad(content, at, 80)
        else:
            _insert(content, at, bytes(content[at : at + 80]))
    if draw(st.booleans()):
        content = draw(damaged([bytes(content)], words=[b"\0" * 2880, b" " * 2880, b"END".ljust(80)], most=2))
    return name, gzip.compress(bytes(content), mtime=0) if zipped else bytes(content)


def _insert(content, at, card):
    """Put a card in place, and take away a blank one behind it where the block has room."""
    content[at:at] = card
    end = content.find(b"END".ljust(80), at)
    if end >= 0 and bytes(content[end + 80 : end + 160]) == b" " * 80:
        del content[end + 80 : end + 160]


def _pad(content, at, size):
    end = content.find(b"END".ljust(80), at)
    if end >= 0:
        content[end + 80 : end + 80] = b" " * size


# ---- what must hold ----


@contextlib.contextmanager
def refused_in_one_line():
    """Let a refusal pass that says what is the matter in one line, and is not for want of memory."""
    try:
        yield
    except Gen5Error as error:
        text = str(error)
        assert "\n" not in text
        assert 0 < len(text) < 1000
        assert "Unable to allocate" not in text, text  # as NumPy says it
        assert "MemoryError" not in text, text
