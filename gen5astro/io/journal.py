"""A file of records that is only ever added to: after a kill, what was added whole is there and the rest is not.

A record is some arrays, as npz bytes between a length and a checksum. Whoever reads on after a kill takes records up to
the first that is torn; whoever writes on cuts that one off.
"""

import hashlib
import io
import os
import struct
from pathlib import Path

import numpy as np

__all__ = ["Journal"]

_HEAD = struct.Struct("<Q16s")


class Journal:
    """Records in the order in which they were added; a context manager.

    Parameters
    ----------
    path : path-like
        The file; made where it is not there, else written on behind its last whole record.
    """

    def __init__(self, path):
        self.path = Path(path)
        self._file = open(self.path, "a+b")  # noqa: SIM115 - open for as long as the journal is
        self._file.truncate(self._whole())
        self._file.seek(0, os.SEEK_END)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the file."""
        self._file.close()

    def cut(self, count):
        """Keep the first records and forget the others.

        Parameters
        ----------
        count : int
            How many to keep.
        """
        ends = [0, *(end for end, _ in _records(self.path))]
        self._file.truncate(ends[count])
        self._file.seek(0, os.SEEK_END)

    def _whole(self):
        """Length of the file up to its last whole record."""
        end = 0
        for record_end, _ in _records(self.path):
            end = record_end
        return end

    def append(self, record):
        """Add a record.

        Parameters
        ----------
        record : dict of array
            Numbers and text.
        """
        packed = io.BytesIO()
        np.savez(packed, **record)
        content = packed.getbuffer()
        self._file.write(_HEAD.pack(len(content), _digest(content)))
        self._file.write(content)
        self._file.flush()

    def sync(self):
        """Make sure that all records are on the disk."""
        os.fsync(self._file.fileno())

    def __iter__(self):
        """Read the whole records, from the first on: a mapping each, which unpacks an array when it is asked for."""
        for _, content in _records(self.path):
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                yield arrays


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).digest()


def _records(path):
    """Where each whole record ends, and its bytes."""
    with open(path, "rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, digest = _HEAD.unpack(head)
            content = file.read(length) if length <= os.fstat(file.fileno()).st_size - file.tell() else b""
            if len(content) != length or _digest(content) != digest:
                return
            yield file.tell(), content
