"""What the headers of a FITS file claim, looked at before astropy believes it.

A count in a header is a loop in whoever reads it, and a size is memory, or a step to the next header. With a few bytes
changed, a file of 3 kB takes all the memory that there is, or leads its reader in a circle. The headers are walked
here, from one to the next, and nothing but their structure is understood.
"""

import bz2
import gzip
import lzma
import math
import re
from pathlib import Path

from gen5astro.errors import FormatError

__all__ = ["MAX_PIXELS", "check_claims"]

MAX_PIXELS = 1 << 28
"""Most pixels that one HDU may declare."""

_BLOCK = 2880
_MAX_HEADER = 1 << 24
_KEYS = r"Z?NAXIS\d*|Z?BITPIX|[PG]COUNT|TFIELDS|WCSAXES|[AB]P?_ORDER|ZTILE\d+|ZCMPTYPE|ZNAME\d+|ZVAL\d+"
_CARD = re.compile(rf"({_KEYS}) *= +(?:([+-]?\d+)|'([^']*)') *(?:/|$)".encode())
_FIRST, _LATER = re.compile(rb"SIMPLE  = +T *(?:/|$)"), re.compile(rb"XTENSION= '[^']*'")
_UNPACKERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_DEPTHS = (8, 16, 32, 64, -32, -64)
#: Most of what the standard, or SIP (Shupe et al. 2005), counts.
_MOST = {"NAXIS": 999, "ZNAXIS": 999, "TFIELDS": 999, "WCSAXES": 99}
_MOST |= dict.fromkeys(("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"), 9)
#: Those whose decompressors find the ends of damaged bytes; the stream of HCOMPRESS says itself how much it writes.
_COMPRESSIONS = ("GZIP_1", "GZIP_2", "RICE_1", "RICE_ONE", "NOCOMPRESS")
_PARAMETERS = {"BLOCKSIZE": (16, 32), "BYTEPIX": (1, 2, 4, 8)}
#: Pixels of a compressed image that may be claimed in any case, and for each byte of the file.
_PIXELS_AT_LEAST, _PIXELS_A_BYTE = 1 << 22, 1 << 12


def check_claims(path):
    """Refuse a file whose headers claim more than there can be, or do not lead from one to the next.

    Parameters
    ----------
    path : path-like
        The file; plain or packed as a whole.

    Raises
    ------
    FormatError
        If an image is too large, or compressed in a way that cannot be undone safely.
    EOFError
        If it ends within a header.
    ValueError
        If a header lacks what every header has, or has a count that none has.
    """
    path = Path(path)
    most = min(MAX_PIXELS, max(_PIXELS_AT_LEAST, _PIXELS_A_BYTE * path.stat().st_size))
    with open(path, "rb") as file:
        unpack = _UNPACKERS.get(file.read(2), open)
    with unpack(path, "rb") as file:
        start = _FIRST
        while (claims := _read_header(file, start)) is not None:
            axes, packed, tile = (_axes(claims, "NAXIS"), *_packed(claims))
            for shape, limit in (
                (packed, most),
                (tile, most),
                (() if packed or "TFIELDS" in claims else axes, MAX_PIXELS),
            ):
                if math.prod(shape) > limit:
                    got = f"an image of {' x '.join(map(str, shape))}"
                    raise FormatError(f"{path}", got=got, expected=f"at most {limit} pixels")
            kind = claims.get("ZCMPTYPE", "GZIP_1")
            if kind not in _COMPRESSIONS:
                expected = " or ".join(_COMPRESSIONS)
                raise FormatError(f"{path}", got=f"tiles of {kind}", expected=expected, remedy="unpack it with funpack")
            beside, groups = _count(claims, "PCOUNT", 0), _count(claims, "GCOUNT", 1)
            size = abs(claims["BITPIX"]) // 8 * groups * (beside + (math.prod(axes) if axes else 0))
            file.seek(-(-size // _BLOCK) * _BLOCK, 1)
            start = _LATER


def _read_header(file, start):
    """Whole numbers of the next header, by keyword; None where nothing but padding follows."""
    content = bytearray()
    while (end := _end(content)) < 0:
        block = file.read(_BLOCK)
        padding = start is _LATER and not content and not block.strip(b"\0 ")
        if padding and len(block) < _BLOCK:
            return None
        content += b"" if padding else block
        if (content and not start.match(content, 0, 80)) or len(content) > _MAX_HEADER:
            raise ValueError("no header where one should be")
        if len(block) < _BLOCK:
            raise EOFError("it ends within a header")
    claims = {}
    for at in range(0, end, 80):
        if match := _CARD.match(content, at, at + 80):
            key, value = match[1].decode(), match[3].decode("latin-1").strip() if match[2] is None else int(match[2])
            if claims.setdefault(key, value) != value:
                raise ValueError(f"{key} is said twice")
    for key, most in _MOST.items():
        if _count(claims, key, 0) > most:
            raise ValueError(f"{key} is {claims[key]}")
    if claims.get("BITPIX") not in _DEPTHS:
        raise ValueError("no BITPIX that there is")
    _check_compression(claims)
    return claims


def _check_compression(claims):
    """Refuse what leads astropy's decompressors, which are C and trust their header, out of their memory."""
    for key in [key for key in claims if key.startswith("ZNAME")]:
        value = claims.get(f"ZVAL{key.removeprefix('ZNAME')}")
        if claims[key] in _PARAMETERS and value not in _PARAMETERS[claims[key]]:
            raise ValueError(f"{claims[key]} is {value}")
    if "ZNAXIS" in claims and claims.get("ZBITPIX") not in _DEPTHS:
        raise ValueError("no ZBITPIX that there is")


def _end(content):
    """Where the last card of a header begins; below 0 where it is not in these bytes."""
    last = range(max(len(content) - _BLOCK, 0), len(content), 80)
    return next((at for at in last if content[at : at + 8] == b"END     "), -1)


def _axes(claims, key):
    return tuple(_count(claims, f"{key}{axis}") for axis in range(1, _count(claims, key) + 1))


def _packed(claims):
    """Lengths of the axes of a compressed image and of its tiles, by default rows of it."""
    shape = _axes(claims, "ZNAXIS") if "ZNAXIS" in claims else ()
    return shape, tuple(
        _count(claims, f"ZTILE{axis}", size if axis == 1 else 1) for axis, size in enumerate(shape, start=1)
    )


def _count(claims, key, usual=-1):
    number = claims.get(key, usual)
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{key} is {'missing' if key not in claims else number}")
    return number
