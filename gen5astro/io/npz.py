"""Images in NumPy's own formats: npz archives, as pair tables hold them, and npy.

An archive holds one plane a band (``image_g``, ``image_r``, ...) or one cube (``image``, ``cutout``, ``arr_0`` or
``data``). Beside it may stand ``invvar``, ``ivar`` or ``weight``, ``mask`` and ``psf``, each as one array or as one
plane a band (``invvar_g``, ...), for what `gen5astro.io.beside` does with them; and any other member. Nothing is ever
unpickled. The usual archive, of planes with nothing beside them that matters, is read in C (``ext/npz.c``); all others,
and all that is wrong, here.
"""

import io
import math
import re
import zlib
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from gen5astro import _core
from gen5astro.errors import FormatError
from gen5astro.io.archive import DEFLATED, END, ENTRY, LOCAL, STORED, Archive, crc32, inflate
from gen5astro.io.beside import blank_unmeasured, flagged_fraction

__all__ = ["WireImage", "decode_npy", "decode_npz", "encode_npz", "member_names"]

_CUBES = ("image", "cutout", "arr_0", "data")
_WEIGHTS = ("invvar", "ivar", "weight")
_BESIDE = re.compile(rf"({'|'.join(_WEIGHTS)}|mask|psf)(?:_[A-Za-z]\d?)?")
_PLANE = re.compile(r"image_([A-Za-z]\d?)")
_BAND_ORDER = "ugrizy"
_DEFAULT_BANDS = ("g", "r", "z")

_MAX_HEADER = 10_000
_EPOCH = 1 << 5 | 1  # 1980-01-01, the earliest date that a zip can tell


@dataclass(frozen=True)
class WireImage:
    """An image as it was stored, not yet converted.

    Parameters
    ----------
    pixels : array, (band, y, x) or (y, x, band)
        Fluxes, C-contiguous, of the stored number type and byte order.
    layout : {'chw', 'hwc'}
        Whether the bands come first or last.
    bands : tuple of str
        Band names in the order of the planes.
    pixel_scale : float, optional
        Pixel scale [arcsec / pix], where the file tells.
    facts : dict of str to float
        Of the columns ``ra``, ``dec`` [deg] and ``masked_fraction`` those that the file tells.
    psf : dict of str to array, (k, k)
        PSF image of each band that has one, as stored.
    named : bool
        Whether the file or the user names the bands; else they are assumed.
    """

    pixels: np.ndarray
    layout: str
    bands: tuple[str, ...]
    pixel_scale: float | None = None
    facts: dict[str, float] = field(default_factory=dict)
    psf: dict[str, np.ndarray] = field(default_factory=dict)
    named: bool = True

    @property
    def shape(self):
        """Rows and columns, ``(y, x)``."""
        return self.pixels.shape[1:] if self.layout == "chw" else self.pixels.shape[:2]


def decode_npz(payload, *, bands=None):
    """Read the image of an npz archive.

    Parameters
    ----------
    payload : bytes-like
        The archive.
    bands : sequence of str, optional
        Band names: which planes to read and in which order, or what the planes of a cube are. Default: the planes that
        are there, blue to red; g, r, z for a cube of three.

    Returns
    -------
    image : WireImage
        Pixels as stored.

    Raises
    ------
    FormatError
        If the archive is broken, too large or encrypted, holds Python objects, or holds no image of these bands.
    """
    planes = None if bands is None else _core.unpack(payload, member_names(tuple(bands)), inflate)
    if planes is not None:
        pixels, dtype, *shape = planes
        return WireImage(np.frombuffer(pixels, dtype).reshape(-1, *shape), "chw", tuple(bands))
    return _decode_planes(Archive(payload), bands)


def _decode_planes(archive, bands):
    names = archive.entries
    wanted = [f"image_{band}" for band in bands] if bands is not None else _plane_names(names)
    cube = next((name for name in _CUBES if name in names), None)
    if wanted and (cube is None or any(name in names for name in wanted)):
        missing = [name for name in wanted if name not in names]
        if missing:
            raise FormatError("npz", got=_listing(names), expected=f"a member {missing[0]!r}")
        image = _stack([(name, archive.read(name)) for name in wanted])
    elif cube is None:
        raise FormatError("npz", got=_listing(names), expected="members image_g, image_r, ... or one cube 'image'")
    else:
        image = _as_cube(_decode_array(archive.read(cube), f"member {cube!r}"), bands, f"member {cube!r}")
    kinds = {match[1] for name in names if (match := _BESIDE.fullmatch(name))}
    return _with_beside(image, archive, kinds) if kinds else image


def decode_npy(payload, *, bands=None):
    """Read the image of an npy file: one cube.

    Parameters
    ----------
    payload : bytes-like
        The file.
    bands : sequence of str, optional
        What the planes are; g, r, z by default if there are three.

    Returns
    -------
    image : WireImage
        Pixels as stored.

    Raises
    ------
    FormatError
        If the file is broken, holds Python objects, or holds no cube of these bands.
    """
    return _as_cube(_decode_array(memoryview(payload).cast("B"), "npy"), bands, "npy")


@lru_cache(maxsize=64)
def member_names(bands):
    """Name the members that hold the planes of bands, as the compiled reader takes them.

    Parameters
    ----------
    bands : tuple of str
        Band names.

    Returns
    -------
    names : bytes
        Each ended by a zero; empty where that reader could not tell them apart.
    """
    if len(set(bands)) < len(bands) or any("\0" in band for band in bands):
        return b""
    return b"".join(f"image_{band}".encode() + b"\0" for band in bands)


def encode_npz(image, bands, *, compress=True):
    """Write an image as an npz archive of one plane a band, the same bytes for the same image.

    Parameters
    ----------
    image : array, (band, y, x)
        Fluxes [nanomaggy].
    bands : sequence of str
        Band names in the order of the planes.
    compress : bool
        Whether to deflate the members; noise hardly shrinks (7 %) and takes a hundred times as long.

    Returns
    -------
    payload : bytes
        The archive, with members ``image_<band>``.
    """
    image = np.asarray(image)
    header = _npy_header(image.dtype.str, image.shape[1:])
    packed, directory, offset = [], [], 0
    for band, plane in zip(bands, image, strict=True):
        name = f"image_{band}.npy".encode()
        content = header + plane.tobytes()
        body = _deflate(content) if compress else content
        method = DEFLATED if compress else STORED
        common = (20, 0x800, method, 0, _EPOCH, crc32(content), len(body), len(content), len(name), 0)
        packed += [LOCAL.pack(b"PK\x03\x04", *common), name, body]
        directory += [ENTRY.pack(b"PK\x01\x02", 20, *common, 0, 0, 0, 0, offset), name]
        offset += LOCAL.size + len(name) + len(body)
    size = sum(map(len, directory))
    end = END.pack(b"PK\x05\x06", 0, 0, len(bands), len(bands), size, offset, 0)
    return b"".join([*packed, *directory, end])


@lru_cache(maxsize=64)
def _npy_header(dtype, shape):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _deflate(content):
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(content) + deflater.flush()


def _plane_names(names):
    """Members that hold a band's plane, blue to red, then as they stand."""
    found = [(match[1], name) for name in names if (match := _PLANE.fullmatch(name))]
    known = [pair for band in _BAND_ORDER for pair in found if pair[0] == band]
    return [name for _, name in known + [pair for pair in found if pair not in known]]


def _listing(names):
    shown = ", ".join(list(names)[:8]) + (", ..." if len(names) > 8 else "")
    return f"members {shown}" if names else "no members"


# ---- npy ----


def _decode_array(content, what):
    """Array of numbers over the bytes of an npy, without copying them."""
    array = _view_array(content, what)
    if array.dtype.kind not in "fiu":
        raise FormatError(what, got=f"type {array.dtype}", expected="integers or floats of at most 8 bytes")
    return array


def _view_array(content, what):
    """Array over the bytes of an npy, also of truth values."""
    start, shape, fortran, dtype = _read_header(content, what)
    if dtype.hasobject:
        raise FormatError(what, got="Python objects, which are never unpickled", expected="an array of numbers")
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise FormatError(what, got=f"type {dtype}", expected="integers or floats of at most 8 bytes")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise FormatError(what, got=f"{len(content) - start} bytes", expected=f"those of {dtype} {shape}")
    flat = np.frombuffer(content, np.uint8, offset=start).view(dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _read_header(content, what):
    """Offset of the numbers of an npy, shape, whether in Fortran's order, and type."""
    if len(content) < 12 or content[:8] not in (b"\x93NUMPY\1\0", b"\x93NUMPY\2\0"):
        raise FormatError(what, got="bytes that are no npy array", expected="npy of version 1 or 2")
    width = 2 if content[6] == 1 else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    if start > min(len(content), _MAX_HEADER):
        raise FormatError(what, got="a truncated npy header", expected="an intact array")
    return start, *_parse_header(bytes(content[:start]), what)


@lru_cache(maxsize=512)
def _parse_header(header, what):
    stream = io.BytesIO(header)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        return read(stream)
    except Exception as error:
        raise FormatError(what, got=f"a broken npy header ({error})", expected="an intact array") from error


# ---- planes and cubes ----


def _with_beside(image, archive, kinds):
    """The image with what the members say that stand beside it."""
    found = {kind: array for kind in kinds if (array := _read_beside(archive, kind, image.bands)) is not None}
    chw = image.layout == "chw"
    pixels = image.pixels if chw else np.moveaxis(image.pixels, -1, 0)
    for kind in _WEIGHTS:
        if kind in found:
            pixels = blank_unmeasured(pixels, found[kind])
    facts = {"masked_fraction": flagged_fraction(found["mask"], pixels)} if "mask" in found else {}
    psf = {}
    if "psf" in found:
        planes = found["psf"] if found["psf"].ndim == 3 else [found["psf"]] * len(image.bands)
        psf = dict(zip(image.bands, planes, strict=True))
    pixels = np.ascontiguousarray(pixels if chw else np.moveaxis(pixels, 0, -1))
    return replace(image, pixels=pixels, facts=facts, psf=psf)


def _read_beside(archive, kind, bands):
    """Array (y, x) or (band, y, x) of one kind; None where its member is no image but metadata of that name."""
    if kind not in archive.entries:
        names = [f"{kind}_{band}" for band in bands]
        missing = [name for name in names if name not in archive.entries]
        if missing:
            raise FormatError("npz", got=_listing(archive.entries), expected=f"a member {missing[0]!r}")
        planes = [_view_array(archive.read(name), f"member {name!r}") for name in names]
        if len({plane.shape for plane in planes}) > 1 or planes[0].ndim != 2:
            got = ", ".join(f"{plane.shape}" for plane in planes)
            raise FormatError(f"members {kind}_<band>", got=f"shapes {got}", expected="one shape (y, x)")
        return np.stack(planes)
    content, what = archive.read(kind), f"member {kind!r}"
    _, shape, _, dtype = _read_header(content, what)
    if dtype.kind not in "fiub" or len(shape) < 2:
        return None
    array = _view_array(content, what)
    if array.ndim == 3 and array.shape[0] != len(bands) == array.shape[2]:
        array = np.moveaxis(array, -1, 0)
    if array.ndim > 3 or (array.ndim == 3 and len(array) != len(bands)):
        raise FormatError(what, got=f"shape {shape}", expected=f"(y, x), or planes of bands {', '.join(bands)}")
    return array


def _stack(members):
    """One image of single planes, each ``(name, bytes)``."""
    planes = {name: _decode_array(content, f"member {name!r}") for name, content in members}
    (first, plane), *others = planes.items()
    for name, other in planes.items():
        if other.ndim != 2 or other.size == 0:
            raise FormatError(f"member {name!r}", got=f"shape {other.shape}", expected="pixels (y, x)")
    for name, other in others:
        if other.shape != plane.shape:
            raise FormatError(
                f"member {name!r}", got=f"shape {other.shape}", expected=f"{plane.shape}, as member {first!r}"
            )
    return WireImage(np.stack(list(planes.values())), "chw", tuple(name.removeprefix("image_") for name in planes))


def _as_cube(array, bands, what):
    """One image of a cube; the axis as long as there are bands is the bands'."""
    names = _DEFAULT_BANDS if bands is None else tuple(bands)
    if array.ndim == 2 and len(names) == 1:
        array = array[np.newaxis]
    if array.ndim != 3 or array.size == 0:
        remedy = "name the one band of a plane with --bands" if array.ndim == 2 and bands is None else None
        expected = "pixels (band, y, x) or (y, x, band)"
        raise FormatError(what, got=f"shape {array.shape}", expected=expected, remedy=remedy)
    first, last = array.shape[0] == len(names), array.shape[2] == len(names)
    if first == last:
        got = f"shape {array.shape}, of which {'both ends' if first else 'neither end'} can be the bands"
        remedy = "name them with --bands" if bands is None else None
        raise FormatError(what, got=got, expected=f"{len(names)} planes ({', '.join(names)})", remedy=remedy)
    return WireImage(np.ascontiguousarray(array), "chw" if first else "hwc", names, named=bands is not None)
