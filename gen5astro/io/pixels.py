"""The pixels of a cube: contiguous datasets of one or many HDF5 files, written in place and read through memory maps.

A file is laid out by HDF5 once, with room for all of its pairs, and closed; pixels are then written at their offsets.
HDF5 has nothing to flush, so a process that is killed leaves a file as good as what it wrote.
"""

import bisect
import math
import mmap
import os
from pathlib import Path

import h5py
import numpy as np

from gen5astro.io.forms import decode

__all__ = [
    "IMAGES",
    "MapToWrite",
    "PixelFile",
    "StoredPixels",
    "copy_pairs",
    "create_contiguous",
    "keep_skeleton",
    "lay_out",
    "read_span",
    "restore_skeleton",
    "runs",
]

IMAGES = ("stamp", "ctrl")
_TYPE = np.dtype("<f4")
_COPY_BYTES = 1 << 26


def create_contiguous(group, name, shape, dtype):
    """Create a dataset in one piece whose place in the file is settled at once, and which nobody fills.

    Parameters
    ----------
    group : h5py.Group
        Where.
    name : str
        Its name.
    shape : tuple of int
        Its shape.
    dtype : numpy.dtype
        Its type.

    Returns
    -------
    dataset : h5py.Dataset
        Without an offset where it has no element.
    """
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return group.create_dataset(name, shape, dtype, dcpl=creation)


def lay_out(path, shape, dtype=_TYPE, attributes=None):
    """Make a file with room for the stamps and ctrls of some pairs.

    Parameters
    ----------
    path : path-like
        The file.
    shape : tuple of int
        ``(n, band, y, x)``.
    dtype : numpy.dtype
        How a pixel is stored.
    attributes : dict, optional
        Of the root group.
    """
    with h5py.File(path, "w", alignment_threshold=4096, alignment_interval=4096) as file:
        file.attrs.update(attributes or {})
        for name in IMAGES:
            create_contiguous(file, name, shape, dtype)


class MapToWrite:
    """Datasets of a file as writable arrays, by name, once the disk has set room aside for them; a context manager.

    Where there is none, that is an error; a write through a map to a hole would end the process by a signal.

    Parameters
    ----------
    path : path-like
        The file.
    places : dict of tuple
        Offset, type and shape of each dataset.

    Raises
    ------
    OSError
        If the disk is full.
    """

    def __init__(self, path, places):
        with open(path, "r+b") as file:
            for offset, dtype, shape in places.values() if hasattr(os, "posix_fallocate") else ():
                os.posix_fallocate(file.fileno(), offset, dtype.itemsize * math.prod(shape))
            self._whole = mmap.mmap(file.fileno(), 0)
        self._arrays = {
            name: np.ndarray(shape, np.dtype(dtype.str), self._whole, offset)
            for name, (offset, dtype, shape) in places.items()
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._whole.flush()
        self._arrays.clear()
        self._whole.close()

    def __getitem__(self, name):
        return self._arrays[name]

    def release(self):
        """Stop counting what was written as the process's memory; the system writes it to the disk in its own time."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._whole.madvise(mmap.MADV_DONTNEED)


def copy_pairs(path, target, chosen):
    """Copy pairs to a file that has room for no more: a contiguous dataset cannot be shortened in place.

    Parameters
    ----------
    path : path-like
        The file, from `lay_out`.
    target : path-like
        The file to make or replace.
    chosen : int array, (n,)
        Which, rising.

    Returns
    -------
    target : path-like
        The same.
    """
    with h5py.File(path, "r") as file:
        shape, dtype = file["stamp"].shape[1:], file["stamp"].dtype
    lay_out(target, (len(chosen), *shape), dtype)
    step = max(1, _COPY_BYTES // (dtype.itemsize * math.prod(shape)))
    done = 0
    with PixelFile(path) as source, PixelFile(target) as copy:
        for first, stop in runs(chosen):
            for start in range(first, stop, step):
                end = min(start + step, stop)
                copy.write(done, *source.read(start, end))
                done += end - start
    return target


def runs(numbers):
    """Find the runs of numbers without a gap.

    Parameters
    ----------
    numbers : int array, (n,)
        Rising.

    Returns
    -------
    spans : list of tuple
        First and end, one behind the last, of each run.
    """
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    return [(int(each[0]), int(each[-1]) + 1) for each in np.split(np.asarray(numbers), cuts) if len(each)]


def keep_skeleton(path):
    """Keep, beside a file that `lay_out` made, all of it that is not pixels.

    Parameters
    ----------
    path : path-like
        The file.
    """
    with h5py.File(path, "r") as file:
        begin = [file[name].id.get_offset() for name in IMAGES]
        end = [at + file[name].id.get_storage_size() for at, name in zip(begin, IMAGES, strict=True)]
    size, bones = path.stat().st_size, {}
    # Read, not mapped: on a full disk that is memory, a look at a hole through a map ends the process.
    with open(path, "rb") as content:
        for at, to in zip([0, *end], [*begin, size], strict=True):
            content.seek(at)
            bones[str(at)] = np.frombuffer(content.read(to - at), np.uint8)
    np.savez(_skeleton(path), size=np.int64(size), **bones)


def restore_skeleton(path):
    """Make a file what `lay_out` made it, whatever HDF5 wrote into it since, and leave its pixels.

    Parameters
    ----------
    path : path-like
        The file, of which `keep_skeleton` kept what is needed.
    """
    with np.load(_skeleton(path)) as bones, open(path, "r+b") as file:
        file.truncate(int(bones["size"]))
        for at in bones.files:
            if at != "size":
                file.seek(int(at))
                file.write(bones[at].tobytes())


def _skeleton(path):
    return Path(path).with_suffix(".skeleton.npz")


class PixelFile:
    """A file that `lay_out` made, while pixels are written to it; a context manager.

    Parameters
    ----------
    path : path-like
        The file.
    """

    def __init__(self, path):
        self.path = Path(path)
        with h5py.File(self.path, "r") as file:
            self.shape, self.dtype = file["stamp"].shape, file["stamp"].dtype
            self._offsets = [file[name].id.get_offset() for name in IMAGES]
        self._file = os.open(self.path, os.O_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def write(self, start, stamp, ctrl):
        """Write pairs at their place.

        Parameters
        ----------
        start : int
            Place of the first.
        stamp, ctrl : array, (n, band, y, x)
            Their images, of the type of the file.
        """
        for offset, images in zip(self._offsets, (stamp, ctrl), strict=True):
            content = memoryview(np.ascontiguousarray(images, self.dtype)).cast("B")
            at = offset + start * (content.nbytes // max(len(images), 1))
            while content:
                written = os.pwrite(self._file, content, at)
                content, at = content[written:], at + written

    def read(self, start, stop):
        """Read the stamps and ctrls of some pairs.

        Parameters
        ----------
        start, stop : int
            Places.

        Returns
        -------
        stamp, ctrl : array, (n, band, y, x)
            As they were written; what never was is anything.
        """
        shape = (stop - start, *self.shape[1:])
        size = int(np.prod(shape[1:])) * self.dtype.itemsize
        return tuple(
            np.frombuffer(os.pread(self._file, size * shape[0], offset + start * size), self.dtype).reshape(shape)
            for offset in self._offsets
        )

    def sync(self):
        """Make sure that what was written is on the disk."""
        os.fdatasync(self._file)


def read_span(pieces, start, rows):
    """Read rows of a dataset, such as images, one after the other from the files that hold them.

    Whoever goes through a whole cube reads so: pages of a map would count as the process's memory, and a disk is asked
    for few of them at a time.

    Parameters
    ----------
    pieces : sequence of tuple
        ``(path, offset, count)`` of each file, in the order of the rows.
    start : int
        The first row.
    rows : array, (n, ...)
        Where to put them; of the type that is stored.

    Raises
    ------
    OSError
        If a file ends before its rows do.
    """
    done, begin, stop = 0, 0, start + len(rows)
    size = rows.dtype.itemsize * math.prod(rows.shape[1:])
    for path, offset, count in pieces:
        first, last = max(start, begin), min(stop, begin + count)
        if first < last:
            content = memoryview(rows[done : done + last - first].view(np.uint8)).cast("B")
            with open(path, "rb", buffering=0) as file:
                file.seek(offset + (first - begin) * size)
                while content:
                    got = file.readinto(content)
                    if not got:
                        raise OSError(f"{path} ends before its rows do")
                    content = content[got:]
            done += last - first
        begin += count


class StoredPixels:
    """Images as one read-only array of float32, in however many files and whatever form they lie.

    Rows are read from the files' memory maps, and what is asked for is decoded.

    Parameters
    ----------
    pieces : sequence of tuple
        ``(path, offset, count)`` of each file, in the order of the rows.
    shape : tuple of int
        ``(band, y, x)`` of an image.
    stored : numpy.dtype
        How a pixel is stored.
    step : float32 array, (n, band), optional
        Steps of int16 pixels [nanomaggy].
    """

    def __init__(self, pieces, shape, stored=_TYPE, step=None):
        self._maps = [np.memmap(path, stored, "r", offset, (count, *shape)) for path, offset, count in pieces]
        self._ends = np.cumsum([len(each) for each in self._maps]).tolist()
        self._stored, self._step = stored, step
        self.shape = (self._ends[-1] if self._ends else 0, *shape)
        self.dtype = _TYPE
        self.ndim = len(self.shape)

    def __len__(self):
        return self.shape[0]

    @property
    def maps(self):
        """What each file holds, in the order of the rows: tuple of read-only array, (m, band, y, x), as stored."""
        return tuple(self._maps)

    def __array__(self, dtype=None, copy=None):
        return self._span(0, len(self), 1).astype(dtype or _TYPE, copy=False)

    def __getitem__(self, key):
        rows, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(rows, (int, np.integer)):
            row = rows + len(self) if rows < 0 else rows
            if not 0 <= row < len(self):
                raise IndexError(f"row {rows} of {len(self)}")
            image = self._span(int(row), int(row) + 1, 1)[0]
            return image[tuple(rest)] if rest else image
        if isinstance(rows, slice):
            images = self._span(*rows.indices(len(self)))
        else:
            images = self._gather(np.arange(len(self))[np.asarray(rows)])
        return images[(slice(None), *rest)] if rest else images

    def _decoded(self, stored, rows):
        return decode(stored, None if self._step is None else self._step[rows])

    def _span(self, start, stop, step):
        if step != 1:
            return self._gather(np.arange(start, stop, step))
        parts = []
        for at in range(bisect.bisect_right(self._ends, start), len(self._maps)):
            begin = self._ends[at] - len(self._maps[at])
            if begin >= stop:
                break
            parts.append(self._maps[at][max(start - begin, 0) : stop - begin])
        if len(parts) == 1:
            return self._decoded(parts[0], slice(start, stop))
        stored = np.concatenate(parts) if parts else np.empty((0, *self.shape[1:]), self._stored)
        return self._decoded(stored, slice(start, max(start, stop)))

    def _gather(self, rows):
        out = np.empty((len(rows), *self.shape[1:]), self._stored)
        piece = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(piece):
            chosen = np.flatnonzero(piece == number)
            first = self._ends[number] - len(self._maps[number])
            out[chosen] = self._maps[number][rows[chosen] - first]
        return self._decoded(out, rows)
