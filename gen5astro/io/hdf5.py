"""The cube: pairs of one survey in one HDF5 file, pixels mapped straight from the disk.

`Cube` holds no open file: what is small is read when first asked for, `stamp` and `ctrl` are memory maps at the
datasets' offsets. So a cube can be shared by threads, forked with, and pickled to other processes.
"""

import contextlib
import json
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from gen5astro.config import Config, NormalizerSpec
from gen5astro.errors import FormatError, Gen5Error, MissingFileError, SchemaError
from gen5astro.io.hdf5_schema import ATTRIBUTES, DATASETS, SCHEMA_VERSION, SPLITS, content_digest
from gen5astro.io.hdf5_writer import CubeWriter
from gen5astro.io.ingest import ingest_row
from gen5astro.io.pairs import BlockRef, PairBlock, Reject
from gen5astro.settings import from_dict

__all__ = ["ATTRIBUTES", "DATASETS", "SCHEMA_VERSION", "Cube", "CubeSource", "CubeWriter", "content_digest"]

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
        with self._opened() as file:
            self.attributes = _read_attributes(file, self.path)
            self.bands = tuple(self.attributes["bands"].split(","))
            self.pixel_scale = self.attributes["pixel_scale"]
            self._length = self.attributes["n_ok"]
            self.shape = tuple(file["stamp"].shape[2:])
            self._check_datasets(file)
            self._offsets = {name: file[name].id.get_offset() for name in _NAMES}
        self._check_offsets()

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
    def _opened(self):
        if not self.path.exists():
            raise MissingFileError(f"cube {self.path}", got="nothing there", expected="a file of gen5astro build-hdf5")
        if not self.path.is_file() or not h5py.is_hdf5(self.path):
            raise FormatError(f"cube {self.path}", got="no HDF5 file", expected="a file of gen5astro build-hdf5")
        try:
            with h5py.File(self.path, "r", locking=False) as file:
                yield file
        except Gen5Error:
            raise
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise _damaged(self.path, error) from error

    def _check_datasets(self, file):
        lengths = {"n": self._length, "band": len(self.bands), "y": self.shape[0], "x": self.shape[1]}
        for spec in DATASETS:
            if "*" in spec.name or spec.name == "checksum":
                continue
            expected = tuple(lengths.get(axis, axis) for axis in spec.axes)
            dataset = file[spec.name]
            if dataset.shape != expected or dataset.dtype != np.dtype(spec.dtype):
                raise _damaged(
                    self.path, f"/{spec.name} of {dataset.dtype} {dataset.shape}, not {spec.dtype} {expected}"
                )
        if np.any(np.diff(file["row"][...]) <= 0):
            raise _damaged(self.path, "/row that does not ascend")
        wrong = [name for name, column in file["catalog"].items() if column.shape[:1] != (self._length,)]
        if wrong:
            raise _damaged(self.path, f"/catalog/{wrong[0]} without a value for every pair")

    def _check_offsets(self):
        """Refuse offsets that the mapping could not follow."""
        n_bytes, size = 4 * len(self) * len(self.bands) * self.shape[0] * self.shape[1], self.path.stat().st_size
        for name, offset in self._offsets.items():
            if offset is None:
                raise _damaged(self.path, f"/{name} that is not contiguous")
            if offset + n_bytes > size:
                raise _damaged(self.path, f"/{name} that ends {offset + n_bytes - size:,} bytes behind the file")

    def _map(self, name):
        shape = (len(self), len(self.bands), *self.shape)
        return np.memmap(self.path, dtype="<f4", mode="r", offset=self._offsets[name], shape=shape)

    def _read(self, name):
        with self._opened() as file:
            return file[name][...]

    def _read_columns(self, folder):
        with self._opened() as file:
            return {str(column.attrs["column"]): _decoded(column[...]) for column in file[folder].values()}

    @cached_property
    def stamp(self):
        """Hosts with arcs [nanomaggy]: read-only float32 memory map, (n, band, y, x)."""
        return self._map("stamp")

    @cached_property
    def ctrl(self):
        """The same hosts without arcs [nanomaggy]: read-only float32 memory map, (n, band, y, x)."""
        return self._map("ctrl")

    @cached_property
    def catalog(self):
        """Columns of the catalog: dict of float64 or str array, (n,)."""
        return self._read_columns("catalog")

    @cached_property
    def measure(self):
        """Columns of the embedded audit's measurements: dict of array, (n, ...); empty without an audit."""
        return self._read_columns("measure")

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
    def normalizer_spec(self):
        """The `NormalizerSpec` that the statistics were taken with."""
        return from_dict(self._json("normalizer"), NormalizerSpec)

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
        f"cube {path}", got=what, expected=f"a whole file of {SCHEMA_VERSION}", remedy="copy or build it again"
    )


def _read_attributes(file, path):
    """Read the attributes, refusing a file that is no cube or one of another version."""
    schema = file.attrs.get("schema")
    if schema is None:
        raise FormatError(
            f"cube {path}", got="an HDF5 file without a schema", expected="a finished file of gen5astro build-hdf5"
        )
    if schema != SCHEMA_VERSION:
        writer = file.attrs.get("code_version", "another version")
        raise SchemaError(
            f"cube {path}",
            got=f"schema {schema}",
            expected=SCHEMA_VERSION,
            remedy=f"it was written by gen5astro {writer}: build it again from its pairs, or read it with that version",
        )
    missing = [each.name for each in ATTRIBUTES if each.name not in file.attrs]
    if missing:
        raise _damaged(path, f"no attribute {missing[0]}")
    return {each.name: each.dtype(file.attrs[each.name]) for each in ATTRIBUTES}


def _decoded(values):
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


class CubeSource:
    """The pairs of a cube as a `~gen5astro.io.pairs.PairSource`: same pixels, digests and rows as those of its input.

    Each image is digested again when it is read, and a pair whose pixels do not match the stored digest is rejected: a
    damaged disk is not trained on. The column ``region_split`` is the cube's own split.

    Parameters
    ----------
    cube : path-like or Cube
        The cube.
    """

    def __init__(self, cube):
        self.cube = cube if isinstance(cube, Cube) else Cube(cube)
        self.n_rows = len(self.cube)
        self.bands = self.cube.bands
        self.shape = self.cube.shape
        self.pixel_scale = self.cube.pixel_scale
        self.survey = self.cube.attributes["survey"]
        self.label = str(self.cube.path)
        self.notes = ()

    def blocks(self, size):
        """Yield a `BlockRef` for every `size` pairs, in order.

        Parameters
        ----------
        size : int
            Pairs a block.

        Yields
        ------
        ref : BlockRef
            Rows of the cube's input, from the first to the last pair of the block.
        """
        row = self.cube.row
        for start in range(0, self.n_rows, size):
            yield BlockRef(int(row[start]), int(row[min(start + size, self.n_rows) - 1]) + 1)

    def read(self, ref):
        """Read the pairs of a block; thread-safe.

        Parameters
        ----------
        ref : BlockRef
            Rows of the cube's input; those that it has no pair of are passed over.

        Returns
        -------
        block : PairBlock
            Pairs whose pixels are intact.
        rejects : list of Reject
            The others.
        """
        cube = self.cube
        chosen = slice(*np.searchsorted(cube.row, [ref.start, ref.stop]).tolist())
        row, expected = cube.row[chosen], cube.digest[chosen]
        stamp, ctrl = (np.empty((len(row), len(self.bands), *self.shape), np.float32) for _ in range(2))
        census, digest = np.empty((len(row), 2, len(self.bands), 4)), np.empty_like(expected)
        for at in range(len(row)):
            for number, (stored, out) in enumerate(((cube.stamp, stamp), (cube.ctrl, ctrl))):
                _, digest[at, number] = ingest_row(stored[chosen.start + at], out[at], census=census[at, number])
        intact = (digest == expected).all(axis=1)
        rejects = [
            Reject(
                int(row[at]), f"the {_NAMES[int(digest[at, 0] == expected[at, 0])]} does not match its stored digest"
            )
            for at in np.flatnonzero(~intact)
        ]
        kept = slice(None) if intact.all() else intact
        columns = {**cube.catalog, "region_split": cube.split}
        block = PairBlock(
            stamp=stamp[kept],
            ctrl=ctrl[kept],
            catalog={name: values[chosen][kept] for name, values in columns.items()},
            row=row[kept],
            digest=digest[kept],
            census=census[kept],
            bands=self.bands,
            pixel_scale=self.pixel_scale,
        )
        return block, rejects
