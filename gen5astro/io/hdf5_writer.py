"""Write a cube: pixels stream through, and the file appears under its name only when it is whole."""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

import h5py
import numpy as np

from gen5astro.errors import ColumnError, ExistsError, Gen5Error, MissingFileError
from gen5astro.io.hdf5_schema import (
    ATTRIBUTES,
    DATASETS,
    SCHEMA_VERSION,
    SPLITS,
    block_checksums,
    content_digest,
)

__all__ = ["CubeWriter"]

_STREAMED = ("stamp", "ctrl", "normalizer/stamp", "normalizer/ctrl")
_COPY_ROWS = 256
_SPEC = {each.name: each for each in DATASETS}


class CubeWriter:
    """Writes a cube of at most `n_rows` pairs; memory holds one block of pixels and the catalog.

    A context manager: the file is written as ``PATH.part``, synced to the disk and renamed by `finish`; when the block
    is left without it, for whatever reason, the partial file is removed.

    Parameters
    ----------
    path : path-like
        The cube to write.
    n_rows : int
        Rows of the input; room for as many pairs is taken, and what rejected rows leave free is given back.
    bands : tuple of str
        Band names.
    shape : tuple of int
        ``(y, x)`` of every image.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    force : bool
        Whether `path` may be overwritten.

    Raises
    ------
    ExistsError
        If `path` is there and `force` is not given.
    MissingFileError
        If its folder is not there.
    Gen5Error
        If the disk has no room for it.
    """

    def __init__(self, path, n_rows, *, bands, shape, pixel_scale, force=False):
        self.path = Path(path)
        self._part = self.path.with_name(self.path.name + ".part")
        self._n_rows, self._n_ok = n_rows, 0
        self._bands, self._shape, self._pixel_scale = tuple(bands), tuple(shape), float(pixel_scale)
        self._blocks = []
        if self.path.exists() and not force:
            got = f"a file of {self.path.stat().st_size:,} bytes"
            raise ExistsError(f"cube {self.path}", got=got, remedy="choose another place or pass --force")
        if not self.path.parent.is_dir():
            raise MissingFileError(f"folder {self.path.parent}", got="nothing there", remedy="make it first")
        self._check_room()
        self._file = None

    def _check_room(self):
        needed = 2 * self._n_rows * 4 * len(self._bands) * self._shape[0] * self._shape[1]
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise Gen5Error(
                f"cube {self.path}",
                got=f"{free / 1e9:.2f} GB free on its disk",
                expected=f"{needed / 1e9:.2f} GB for {self._n_rows:,} pairs",
                remedy="free some space or choose another place",
            )

    def __enter__(self):
        self._file = self._create(self._part, self._n_rows)
        return self

    def __exit__(self, *_):
        self._close()
        for path in (self._part, self._smaller):
            path.unlink(missing_ok=True)

    @property
    def _smaller(self):
        return self._part.with_suffix(".part2")

    def _close(self):
        if self._file is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._file.close()
            self._file = None

    def _create(self, path, n_rows):
        """Open a new file with room for the datasets that are streamed."""
        file = h5py.File(path, "w", alignment_threshold=4096, alignment_interval=4096)
        lengths = {"n": n_rows, "band": len(self._bands), "y": self._shape[0], "x": self._shape[1]}
        for name in _STREAMED:
            shape = tuple(lengths.get(axis, axis) for axis in _SPEC[name].axes)
            file.create_dataset(name, shape, _dtype(name), fill_time="never")
        return file

    def append(self, block, stamp_statistics, ctrl_statistics, fingerprint):
        """Write the pairs of a block behind those already there.

        Parameters
        ----------
        block : PairBlock
            Good pairs, in the order of the input.
        stamp_statistics, ctrl_statistics : float64 array, (n, band, 2)
            What the normalizer takes from each image [nanomaggy].
        fingerprint : uint64 array, (n, 4)
            Fingerprint of each ctrl.
        """
        start, stop = self._n_ok, self._n_ok + len(block)
        for name, values in zip(_STREAMED, (block.stamp, block.ctrl, stamp_statistics, ctrl_statistics), strict=True):
            self._file[name][start:stop] = values
        self._n_ok = stop
        self._blocks.append(
            {"row": block.row, "digest": block.digest, "fingerprint": fingerprint, "catalog": block.catalog}
        )

    def __len__(self):
        return self._n_ok

    @property
    def row(self):
        """Rows of the input that were written: int64 array, (n,)."""
        return np.concatenate([each["row"] for each in self._blocks]).astype(np.int64)

    @property
    def digest(self):
        """Digests of the pairs written: uint64 array, (n, 2)."""
        return np.concatenate([each["digest"] for each in self._blocks]).astype(np.uint64)

    @property
    def fingerprint(self):
        """Fingerprints of the ctrls written: uint64 array, (n, 4)."""
        return np.concatenate([each["fingerprint"] for each in self._blocks]).astype(np.uint64)

    @property
    def catalog(self):
        """Columns of the pairs written: dict of float64 or str array, (n,)."""
        names = list(self._blocks[0]["catalog"])
        for each in self._blocks:
            if list(each["catalog"]) != names:
                missing = sorted(set(names) ^ set(each["catalog"]))
                raise ColumnError(f"columns {', '.join(missing)}", got="in some blocks only", expected="in all or none")
        return {name: _as_column(np.concatenate([each["catalog"][name] for each in self._blocks])) for name in names}

    def finish(self, *, split, group, attributes, measure=None):
        """Write all that is not pixels, and give the file its name.

        Parameters
        ----------
        split : str array, (n,)
            Split of each pair.
        group : int64 array, (n,)
            Group of each pair.
        attributes : dict
            Those of `ATTRIBUTES` that the writer does not know itself.
        measure : dict of array, (n, ...), optional
            Columns of an audit's measurements.

        Returns
        -------
        cube_digest : str
            Digest of the cube's content.
        """
        if self._n_ok < self._n_rows:
            self._shrink()
        digest = self.digest
        for folder, columns in (("catalog", self.catalog), ("measure", measure or {})):
            self._file.create_group(folder, track_order=True)
            for name, column in columns.items():
                self._write_column(folder, name, column)
        names, name_of_row = np.unique(split, return_inverse=True)
        for name, values in (
            ("split", np.array([SPLITS.index(each) for each in names])[name_of_row]),
            ("group", group),
            ("row", self.row),
            ("digest", digest),
            ("fingerprint", self.fingerprint),
            ("checksum", block_checksums(digest)),
        ):
            self._file.create_dataset(name, data=np.asarray(values, _dtype(name)))
        for name, spec in _SPEC.items():
            if name in self._file:
                self._file[name].attrs.update(unit=spec.unit, meaning=spec.meaning)
        return self._seal({**attributes, "input_digest": content_digest(digest)})

    def _write_column(self, folder, name, column):
        stored = name.replace("/", "_")
        place = f"{folder}/{stored}"
        if place in self._file:
            raise ColumnError(f"column {name!r}", got=f"a second {stored!r}", remedy="rename one of the two")
        if column.dtype.kind == "U":
            text = np.char.encode(column, "utf-8", "replace")
            kind = h5py.string_dtype("utf-8", max(text.dtype.itemsize, 1))
            self._file.create_dataset(place, data=text.astype(f"S{kind.itemsize}").view(kind))
        else:
            self._file.create_dataset(place, data=column.astype(column.dtype.newbyteorder("<")))
        self._file[place].attrs["column"] = name

    def _shrink(self):
        """Copy the pairs to a file that has room for no more: a contiguous dataset cannot be shortened in place."""
        with self._create(self._smaller, self._n_ok) as smaller:
            for name in _STREAMED:
                for start in range(0, self._n_ok, _COPY_ROWS):
                    stop = min(start + _COPY_ROWS, self._n_ok)
                    smaller[name][start:stop] = self._file[name][start:stop]
        self._file.close()
        os.replace(self._smaller, self._part)
        self._file = h5py.File(self._part, "r+")

    def _seal(self, attributes):
        """Write the attributes, the schema last, sync and rename."""
        own = {
            "schema": SCHEMA_VERSION,
            "bands": ",".join(self._bands),
            "pixel_scale": self._pixel_scale,
            "n_in": self._n_rows,
            "n_ok": self._n_ok,
            "n_rejected": self._n_rows - self._n_ok,
        }
        known = {**attributes, **own}
        known["cube_digest"] = _cube_digest(self._file, known)
        for attribute in reversed(ATTRIBUTES):
            self._file.attrs[attribute.name] = attribute.dtype(known[attribute.name])
        self._file.close()
        self._file = None
        _sync(self._part)
        os.replace(self._part, self.path)
        _sync(self.path.parent)
        return known["cube_digest"]


def _dtype(name):
    return np.dtype(_SPEC[name].dtype).newbyteorder("<")


def _as_column(values):
    """Return a column as float64 or str."""
    values = np.asarray(values)
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    return values.astype(str)


def _cube_digest(file, attributes):
    """Digest all datasets but the audit's, pixels by their own digests, and what says how to read them."""
    hashed = hashlib.sha256()
    for name in ("schema", "bands", "pixel_scale", "zero_point", "survey", "n_in", "normalizer", "split_digest"):
        hashed.update(f"{name}={attributes[name]}\n".encode())
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    for name in sorted(names):
        if name in ("stamp", "ctrl", "checksum") or name.startswith("measure/"):
            continue
        dataset = file[name]
        hashed.update(f"{name} {dataset.dtype} {dataset.shape}\n".encode())
        for start in range(0, len(dataset), 1 << 16):
            hashed.update(np.ascontiguousarray(dataset[start : start + (1 << 16)]).tobytes())
    return hashed.hexdigest()


def _sync(path):
    """Make sure that a file, or the list of a folder's files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
