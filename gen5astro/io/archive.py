"""A zip of arrays, walked here rather than by `zipfile`, which takes most of the time that a small archive takes.

Sizes are bounded before anything is inflated, and checksums are checked.
"""

import contextlib
import struct
import zlib

from gen5astro.errors import FormatError

try:  # libdeflate, the extra "fast": inflates twice as fast as zlib, and sums at the speed of memory
    from deflate import DeflateError, crc32, deflate_decompress
except ImportError:
    from zlib import crc32

    DeflateError, deflate_decompress = zlib.error, None

__all__ = ["DEFLATED", "END", "ENTRY", "LOCAL", "MAX_BYTES", "STORED", "Archive", "crc32", "inflate"]

MAX_BYTES = 64 << 20
"""Most bytes that the members of one archive may inflate to."""

END = struct.Struct("<4s4H2LH")
ENTRY = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
STORED, DEFLATED = 0, 8


class Archive:
    """The members of a zip, by name without ``.npy``; `read` inflates one and takes its size off what is left.

    Parameters
    ----------
    payload : bytes-like
        The archive.

    Raises
    ------
    FormatError
        If its directory is broken.
    """

    def __init__(self, payload):
        self._payload = memoryview(payload).cast("B")
        self._left = MAX_BYTES
        self._directory, end, count = _find_directory(self._payload)
        self.entries = {}
        at = self._directory
        try:
            for _ in range(count):
                entry = ENTRY.unpack_from(self._payload, at)
                if entry[0] != b"PK\x01\x02":
                    raise FormatError("npz", got="a broken zip directory", expected="an intact archive")
                name_end = at + ENTRY.size + entry[10]
                name = bytes(self._payload[at + ENTRY.size : name_end]).decode("utf-8", "replace")
                self.entries[name.removesuffix(".npy")] = entry
                at = name_end + entry[11] + entry[12]
        except struct.error as error:
            raise FormatError("npz", got="a truncated zip directory", expected="an intact archive") from error
        if at != end:
            raise FormatError("npz", got="a broken zip directory", expected="an intact archive")

    def read(self, name):
        """Read the bytes of a member, checked against its declared size and checksum.

        Parameters
        ----------
        name : str
            Its name, without ``.npy``.

        Returns
        -------
        content : bytes-like
            What it holds.

        Raises
        ------
        FormatError
            If it is broken, encrypted or too large.
        """
        what = f"member {name!r}"
        _, _, _, flags, method, _, _, checksum, packed_size, size, *_, offset = self.entries[name]
        if flags & 1:
            raise FormatError(what, got="an encrypted member", expected="a plain one")
        if size > self._left:
            raise FormatError(what, got=f"{size} bytes declared", expected=f"at most {MAX_BYTES} in an archive")
        self._left -= size
        try:
            signature, *_, name_size, extra_size = LOCAL.unpack_from(self._payload, offset)
        except struct.error:
            signature, name_size, extra_size = b"", 0, 0
        start = offset + LOCAL.size + name_size + extra_size
        if signature != b"PK\x03\x04" or start + packed_size > self._directory:
            raise FormatError(what, got="a broken zip entry", expected="an intact archive")
        content = _unpack(self._payload[start : start + packed_size], method, size, what)
        if len(content) != size or crc32(content) != checksum:
            raise FormatError(what, got="bytes that do not match their CRC-32", expected="an intact archive")
        return content


def _find_directory(payload):
    """Offset of the central directory, where it ends, and number of its entries."""
    at = len(payload) - END.size
    if at < 0 or payload[at : at + 4] != b"PK\x05\x06":
        tail = bytes(payload[-(END.size + 0xFFFF) :])
        found = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - END.size + 4))
        if found < 0:
            got = "no bytes" if len(payload) == 0 else f"{len(payload)} bytes that are no whole zip archive"
            raise FormatError("npz", got=got, expected="an npz archive")
        at = len(payload) - len(tail) + found
    *_, count, size, directory, _ = END.unpack_from(payload, at)
    if directory + size != at:  # with bytes before the archive, other readers count from elsewhere
        raise FormatError("npz", got="a broken zip directory", expected="an intact archive")
    return directory, at, count


def _unpack(packed, method, size, what):
    if method == STORED:
        return packed
    if method != DEFLATED:
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
