"""The cube: pairs of one survey in one HDF5 file, pixels mapped straight from the disk.

`Cube` holds no open file: what is small is read when first asked for, `stamp` and `ctrl` are memory maps at the
datasets' offsets. So a cube can be shared by threads, forked with, and pickled to other processes.
"""

import contextlib
import json
import math
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from gen5astro.config import Config, NormalizerSpec
from gen5astro.errors import FormatError, Gen5Error, MissingFileError, SchemaError
from gen5astro.io.cube_columns import CubeColumns
from gen5astro.io.forms import decode, stored_pixels
from gen5astro.io.hdf5_reason import hdf5_reason
from gen5astro.io.hdf5_schema import (
    ATTRIBUTES,
    DATASETS,
    FORMS,
    OLDER,
    SCHEMA_VERSION,
    SHARD_SCHEMA,
    SPLITS,
    content_digest,
    datasets_of,
)
from gen5astro.io.hdf5_writer import CubeWriter
from gen5astro.io.pixels import StoredPixels, read_span
from gen5astro.io.resuming import part_path
from gen5astro.settings import from_dict

__all__ = ["ATTRIBUTES", "DATASETS", "SCHEMA_VERSION", "Cube", "CubeWriter", "content_digest"]

_NAMES = ("stamp", "ctrl")


class Cube:
    """A cube that is there to be read; a context manager, and safe to pickle and to fork with.

    Parameters
    ----------
    path : path-like
        The HDF5 file.

    Attributes
    ----------
    path : Path
        The file.
    attributes : dict
        Every attribute of the root group, by name.
    bands : tuple of str
        Band names.
    shape : tuple of int
        ``(y, x)`` of every image.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    form : str
        How pixels are stored: float32, float16 or int16.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is not HDF5, not a cube, or damaged.
    SchemaError
        If it is a cube of another version.
    """

    def __init__(self, path):
        self.path = Path(path)
        with self.opened() as file:
            self.attributes = _read_attributes(file, self.path)
            self.bands = tuple(self.attributes["bands"].split(","))
            self.pixel_scale = self.attributes["pixel_scale"]
            self.form = self.attributes.get("pixels", "float32")
            if self.form not in FORMS:
                raise _damaged(self.path, f"attribute pixels: {self.form!r}")
            self._length = self.attributes["n_ok"]
            self.shape = tuple(file["stamp"].shape[2:])
            self._check_datasets(file)
            self._pieces = {name: _pieces(file[name], self.path) for name in _NAMES}
        self._check_pieces()

    def __len__(self):
        return self._length

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __reduce__(self):
        return type(self), (self.path,)

    def __repr__(self):
        return (
            f"<Cube {self.path}: {len(self):,} pairs, bands {','.join(self.bands)}, {self.shape[0]} x {self.shape[1]}>"
        )

    def close(self):
        """Let go of the memory maps and of all that was read; what is asked for next is read anew."""
        cached = [name for name, value in vars(type(self)).items() if isinstance(value, cached_property)]
        for name in cached:
            self.__dict__.pop(name, None)

    @contextlib.contextmanager
    def opened(self):
        """Open the file, for as long as the context lasts.

        Yields
        ------
        file : h5py.File
            To be read; what goes wrong inside is a `FormatError` that names the cube.

        Raises
        ------
        MissingFileError
            If there is no such file.
        FormatError
            If it is not HDF5, or damaged.
        """
        if not self.path.exists():
            begun = part_path(self.path).exists()
            raise MissingFileError(
                f"cube {self.path}",
                got=f"a build of it that was interrupted ({part_path(self.path)})" if begun else "nothing there",
                expected="a file of gen5astro build-hdf5",
                remedy="build it again as it was begun, with --resume" if begun else None,
            )
        if not self.path.is_file() or not h5py.is_hdf5(self.path):
            raise FormatError(f"cube {self.path}", got="no HDF5 file", expected="a file of gen5astro build-hdf5")
        with self.guarded(), h5py.File(self.path, "r", locking=False) as file:
            yield file

    @contextlib.contextmanager
    def guarded(self):
        """Name the cube in whatever goes wrong while it is read, for as long as the context lasts.

        Yields
        ------
        None

        Raises
        ------
        FormatError
            If what is read is damaged.
        """
        try:
            yield
        except Gen5Error:
            raise
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise _damaged(self.path, error) from error

    def _check_datasets(self, file):
        lengths = {"n": self._length, "band": len(self.bands), "y": self.shape[0], "x": self.shape[1]}
        for spec in datasets_of(self.form):
            if "*" in spec.name or spec.name == "checksum":
                continue
            expected = tuple(lengths.get(axis, axis) for axis in spec.axes)
            dataset, kind = file[spec.name], self.form if spec.dtype == "pixels" else spec.dtype
            if dataset.shape != expected or dataset.dtype != np.dtype(kind):
                raise _damaged(self.path, f"/{spec.name} of {dataset.dtype} {dataset.shape}, not {kind} {expected}")
        row = file["row"][...]
        if np.any(np.diff(row) <= 0) and np.any(np.diff(np.sort(row)) == 0):
            raise _damaged(self.path, "/row with one row twice")
        # Views of a group hold h5py's lock from one element to the next: an error in between would keep it for good.
        wrong = [name for name in list(file["catalog"]) if file["catalog"][name].shape[:1] != (self._length,)]
        if wrong:
            raise _damaged(self.path, f"/catalog/{wrong[0]} without a value for every pair")

    def _check_pieces(self):
        """Refuse pieces that do not add up to all pairs, and offsets that the mapping could not follow."""
        image_bytes = stored_pixels(self.form).itemsize * len(self.bands) * self.shape[0] * self.shape[1]
        for name, pieces in self._pieces.items():
            if sum(count for _, _, count in pieces) != len(self):
                raise _damaged(self.path, f"/{name} with shards that do not add up to {len(self):,} pairs")
            for path, offset, count in pieces:
                size = path.stat().st_size
                if offset is None:
                    raise _damaged(path, f"/{name} that is not contiguous")
                if offset + count * image_bytes > size:
                    beyond = offset + count * image_bytes - size
                    raise _damaged(path, f"/{name} that ends {beyond:,} bytes behind the file")

    def _map(self, name):
        pieces, shape = self._pieces[name], (len(self.bands), *self.shape)
        if len(pieces) == 1 and self.form == "float32":
            path, offset, count = pieces[0]
            return np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=(count, *shape))
        return StoredPixels(pieces, shape, stored_pixels(self.form), self.step)

    @property
    def files(self):
        """The files that hold the cube, itself the first: list of Path."""
        return list(dict.fromkeys([self.path, *(path for path, _, _ in self._pieces["stamp"])]))

    def _read(self, name):
        with self.opened() as file:
            return file[name][...]

    @cached_property
    def stamp(self):
        """Hosts with arcs [nanomaggy]: read-only float32 (n, band, y, x), a memory map or `StoredPixels` over some."""
        return self._map("stamp")

    @cached_property
    def ctrl(self):
        """The same hosts without arcs [nanomaggy], as `stamp`."""
        return self._map("ctrl")

    def read_images(self, name, start, stop):
        """Read images that follow each other, past the memory maps.

        Parameters
        ----------
        name : {'stamp', 'ctrl'}
            Which.
        start, stop : int
            Their rows.

        Returns
        -------
        images : float32 array, (n, band, y, x)
            Fluxes [nanomaggy].
        """
        stored = np.empty((stop - start, len(self.bands), *self.shape), stored_pixels(self.form))
        read_span(self._pieces[name], start, stored)
        return decode(stored, None if self.step is None else self.step[start:stop])

    @cached_property
    def quantization(self):
        """What the form of the pixels brings: dict of float32 array, (n, band, ...); empty for float32."""
        return {each.name: self._read(each.name) for each in datasets_of(self.form, only=True)}

    @property
    def step(self):
        """Step of the pixels of each pair and band [nanomaggy]: float32 array, (n, band); None but for int16."""
        return self.quantization.get("step")

    @cached_property
    def catalog(self):
        """Columns of the catalog: `CubeColumns` of float64 or str array, (n,), each read when it is asked for."""
        return CubeColumns(self, "catalog")

    @cached_property
    def measure(self):
        """Columns of the embedded audit's measurements, likewise: array, (n, ...); empty without an audit."""
        return CubeColumns(self, "measure")

    @cached_property
    def split(self):
        """Split of each pair: str array, (n,), of 'train', 'val' and 'test'."""
        code = self._read("split")
        if code.max(initial=0) >= len(SPLITS):
            raise _damaged(self.path, f"/split with a code of {code.max()}")
        return np.array(SPLITS)[code]

    @cached_property
    def group(self):
        """Group of each pair: int64 array, (n,)."""
        return self._read("group")

    @cached_property
    def row(self):
        """Number of each pair's row in the input: int64 array, (n,)."""
        return self._read("row")

    @cached_property
    def digest(self):
        """XXH64 of each stamp and ctrl: uint64 array, (n, 2)."""
        return self._read("digest")

    @cached_property
    def fingerprint(self):
        """Fingerprint of each ctrl: uint64 array, (n, 4)."""
        return self._read("fingerprint")

    @cached_property
    def normalizer_statistics(self):
        """Location and scale of each image, 'stamp' and 'ctrl' [nanomaggy]: dict of float64 array, (n, band, 2)."""
        return {name: self._read(f"normalizer/{name}") for name in _NAMES}

    @property
    def checksum(self):
        """Checksum of the stamps and of the ctrls of each block of pairs: uint64 array, (block, 2)."""
        return self._read("checksum")

    @property
    def normalizer_spec(self):
        """The `NormalizerSpec` that the statistics were taken with."""
        return from_dict(self._json("normalizer"), NormalizerSpec)

    @property
    def pixel_error(self):
        """How large the error of the pixels is, from `summarize_errors`: dict, or None for float32."""
        return self._json("quantization") if self.form != "float32" else None

    @property
    def config(self):
        """The `Config` of the build."""
        return from_dict(self._json("config"), Config)

    @property
    def audit(self):
        """Record of the embedded audit: dict, or None where none was embedded."""
        return self._json("audit") if self.attributes["audit"] else None

    def _json(self, name):
        try:
            return json.loads(self.attributes[name])
        except ValueError as error:
            raise _damaged(self.path, f"attribute {name}: {error}") from error


def _damaged(path, what):
    return FormatError(
        f"cube {path}",
        got=hdf5_reason(what),
        expected=f"a whole file of {SCHEMA_VERSION}",
        remedy="copy or build it again",
    )


def _pieces(dataset, cube):
    """Path, offset and number of pairs of each file that a dataset of pixels lies in."""
    if not dataset.is_virtual:
        return [(cube, dataset.id.get_offset(), len(dataset))]
    pieces, offsets = [], {}
    image_bytes = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    for source in sorted(dataset.virtual_sources(), key=lambda each: each.vspace.get_select_bounds()[0][0]):
        (first, *_), (last, *_) = source.vspace.get_select_bounds()
        path = cube.parent / source.file_name
        if path not in offsets:
            if not path.is_file():
                remedy = f"copy both together: {cube.name} and the folder {path.parent.name} beside it"
                raise MissingFileError(
                    f"shard {path}", got="nothing there", expected=f"a shard of {cube}", remedy=remedy
                )
            offsets[path] = _shard_offset(path, source.dset_name)
        begin = offsets[path]
        if begin is not None:
            begin += int(source.src_space.get_select_bounds()[0][0]) * image_bytes
        pieces.append((path, begin, int(last - first) + 1))
    return pieces


def _shard_offset(path, name):
    try:
        with h5py.File(path, "r", locking=False) as shard:
            if shard.attrs.get("schema") == SHARD_SCHEMA:
                return shard[name].id.get_offset()
            found = f"schema {shard.attrs.get('schema')}"
    except (OSError, KeyError, RuntimeError) as error:
        found = error
    raise _damaged(path, found)


def _read_attributes(file, path):
    """Read the attributes, refusing a file that is no cube or one of another version."""
    schema = file.attrs.get("schema")
    if schema is None:
        raise FormatError(
            f"cube {path}", got="an HDF5 file without a schema", expected="a finished file of gen5astro build-hdf5"
        )
    if schema != SCHEMA_VERSION and schema not in OLDER:
        writer = file.attrs.get("code_version", "another version")
        raise SchemaError(
            f"cube {path}",
            got=f"schema {schema}",
            expected=SCHEMA_VERSION,
            remedy=f"it was written by gen5astro {writer}: build it again from its pairs, or read it with that version",
        )
    known = [each for each in ATTRIBUTES if each.name not in OLDER.get(schema, ())]
    missing = [each.name for each in known if each.name not in file.attrs]
    if missing:
        raise _damaged(path, f"no attribute {missing[0]}")
    return {each.name: each.dtype(file.attrs[each.name]) for each in known}
