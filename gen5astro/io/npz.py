"""Images in NumPy's own formats: npz archives, as pair tables hold them, and npy.

An archive holds one plane a band (``image_g``, ``image_r``, ...) or one cube (``image``, ``cutout``, ``arr_0`` or
``data``); other members may stand beside. The zip is walked here rather than by `zipfile`, which takes most of the time
that a small archive takes: sizes are bounded before anything is inflated, checksums are checked, and nothing is ever
unpickled. The usual archive, of planes, is read in C (``ext/npz.c``); all others, and all that is wrong, here.
"""

import contextlib
import io
import math
import re
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gen5astro import _core
from gen5astro.errors import FormatError

try:  # libdeflate, the extra "fast": inflates twice as fast as zlib, and sums at the speed of memory
    from deflate import DeflateError, crc32, deflate_decompress
except ImportError:
    from zlib import crc32

    DeflateError, deflate_decompress = zlib.error, None

__all__ = ["MAX_BYTES", "WireImage", "decode_npy", "decode_npz", "encode_npz", "inflate", "member_names"]

MAX_BYTES = 64 << 20
"""Most bytes that the members of one archive may inflate to."""

_CUBES = ("image", "cutout", "arr_0", "data")
_PLANE = re.compile(r"image_([A-Za-z]\d?)")
_BAND_ORDER = "ugrizy"
_DEFAULT_BANDS = ("g", "r", "z")

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
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
    """

    pixels: np.ndarray
    layout: str
    bands: tuple[str, ...]
    pixel_scale: float | None = None

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
    return _decode_planes(_Archive(payload), bands)


def _decode_planes(archive, bands):
    names = archive.entries
    wanted = [f"image_{band}" for band in bands] if bands is not None else _plane_names(names)
    cube = next((name for name in _CUBES if name in names), None)
    if wanted and (cube is None or any(name in names for name in wanted)):
        missing = [name for name in wanted if name not in names]
        if missing:
            raise FormatError("npz", got=_listing(names), expected=f"a member {missing[0]!r}")
        return _stack([(name, archive.read(name)) for name in wanted])
    if cube is None:
        raise FormatError("npz", got=_listing(names), expected="members image_g, image_r, ... or one cube 'image'")
    return _as_cube(_decode_array(archive.read(cube), f"member {cube!r}"), bands, f"member {cube!r}")


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
        method = _DEFLATED if compress else _STORED
        common = (20, 0x800, method, 0, _EPOCH, crc32(content), len(body), len(content), len(name), 0)
        packed += [_LOCAL.pack(b"PK\x03\x04", *common), name, body]
        directory += [_ENTRY.pack(b"PK\x01\x02", 20, *common, 0, 0, 0, 0, offset), name]
        offset += _LOCAL.size + len(name) + len(body)
    size = sum(map(len, directory))
    end = _END.pack(b"PK\x05\x06", 0, 0, len(bands), len(bands), size, offset, 0)
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


# ---- zip ----


class _Archive:
    """The members of a zip, by name without ``.npy``; `read` inflates one and takes its size off what is left."""

    def __init__(self, payload):
        self._payload = memoryview(payload).cast("B")
        self._left = MAX_BYTES
        self._directory, count = _find_directory(self._payload)
        self.entries = {}
        at = self._directory
        try:
            for _ in range(count):
                entry = _ENTRY.unpack_from(self._payload, at)
                if entry[0] != b"PK\x01\x02":
                    raise FormatError("npz", got="a broken zip directory", expected="an intact archive")
                name_end = at + _ENTRY.size + entry[10]
                name = bytes(self._payload[at + _ENTRY.size : name_end]).decode("utf-8", "replace")
                self.entries[name.removesuffix(".npy")] = entry
                at = name_end + entry[11] + entry[12]
        except struct.error as error:
            raise FormatError("npz", got="a truncated zip directory", expected="an intact archive") from error

    def read(self, name):
        """Bytes of a member, checked against its declared size and checksum."""
        what = f"member {name!r}"
        _, _, _, flags, method, _, _, checksum, packed_size, size, *_, offset = self.entries[name]
        if flags & 1:
            raise FormatError(what, got="an encrypted member", expected="a plain one")
        if size > self._left:
            raise FormatError(what, got=f"{size} bytes declared", expected=f"at most {MAX_BYTES} in an archive")
        self._left -= size
        try:
            signature, *_, name_size, extra_size = _LOCAL.unpack_from(self._payload, offset)
        except struct.error:
            signature, name_size, extra_size = b"", 0, 0
        start = offset + _LOCAL.size + name_size + extra_size
        if signature != b"PK\x03\x04" or start + packed_size > self._directory:
            raise FormatError(what, got="a broken zip entry", expected="an intact archive")
        content = _unpack(self._payload[start : start + packed_size], method, size, what)
        if len(content) != size or crc32(content) != checksum:
            raise FormatError(what, got="bytes that do not match their CRC-32", expected="an intact archive")
        return content


def _find_directory(payload):
    """Offset of the central directory and number of its entries."""
    at = len(payload) - _END.size
    if at < 0 or payload[at : at + 4] != b"PK\x05\x06":
        tail = bytes(payload[-(_END.size + 0xFFFF) :])
        found = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
        if found < 0:
            got = "no bytes" if len(payload) == 0 else f"{len(payload)} bytes that are no whole zip archive"
            raise FormatError("npz", got=got, expected="an npz archive")
        at = len(payload) - len(tail) + found
    *_, count, _, directory, _ = _END.unpack_from(payload, at)
    if directory > at:
        raise FormatError("npz", got="a broken zip directory", expected="an intact archive")
    return directory, count


def _unpack(packed, method, size, what):
    if method == _STORED:
        return packed
    if method != _DEFLATED:
        raise FormatError(what, got=f"zip method {method}", expected="stored or deflated")
    try:
        content = inflate(packed, size)
    except zlib.error as error:
        raise FormatError(what, got=f"bytes that do not inflate ({error})", expected="an intact archive") from error
    if len(content) > size:
        raise FormatError(what, got=f"more bytes than the {size} declared", expected="an intact archive")
    return memoryview(content)


def inflate(packed, size):
    """Inflate the bytes of a member.

    Parameters
    ----------
    packed : bytes-like
        Deflated bytes, without a header.
    size : int
        What they should come to.

    Returns
    -------
    content : bytes-like
        At most one byte more than `size`.

    Raises
    ------
    zlib.error
        If they are broken.
    """
    if deflate_decompress is not None and size > 0:
        with contextlib.suppress(DeflateError):  # zlib knows what is wrong
            return deflate_decompress(packed, size)
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)


# ---- npy ----


def _decode_array(content, what):
    """Array over the bytes of an npy, without copying them."""
    if len(content) < 12 or content[:6] != b"\x93NUMPY" or content[6] not in (1, 2):
        raise FormatError(what, got="bytes that are no npy array", expected="npy of version 1 or 2")
    width = 2 if content[6] == 1 else 4
    start = 8 + width + int.from_bytes(content[8 : 8 + width], "little")
    if start > min(len(content), _MAX_HEADER):
        raise FormatError(what, got="a truncated npy header", expected="an intact array")
    shape, fortran, dtype = _parse_header(bytes(content[:start]), what)
    if dtype.hasobject:
        raise FormatError(what, got="Python objects, which are never unpickled", expected="an array of numbers")
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise FormatError(what, got=f"type {dtype}", expected="integers or floats of at most 8 bytes")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise FormatError(what, got=f"{len(content) - start} bytes", expected=f"those of {dtype} {shape}")
    flat = np.frombuffer(content, np.uint8, offset=start).view(dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


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
        raise FormatError(what, got=f"shape {array.shape}", expected="pixels (band, y, x) or (y, x, band)")
    first, last = array.shape[0] == len(names), array.shape[2] == len(names)
    if first == last:
        got = f"shape {array.shape}, of which {'both ends' if first else 'neither end'} can be the bands"
        remedy = "name them with bands" if bands is None else None
        raise FormatError(what, got=got, expected=f"{len(names)} planes ({', '.join(names)})", remedy=remedy)
    return WireImage(np.ascontiguousarray(array), "chw" if first else "hwc", names)
