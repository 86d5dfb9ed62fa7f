"""Write a cube: pixels stream through, a kill loses nothing, and the file appears only when it is whole."""

import contextlib
import math
import os
import shutil
from pathlib import Path

import h5py
import numpy as np

from gen5astro.errors import (
    ColumnError,
    ConfigError,
    ExistsError,
    FormatError,
    Gen5Error,
    MissingFileError,
    RejectedError,
    SchemaError,
)
from gen5astro.io.build_state import BuildState
from gen5astro.io.hdf5_digest import cube_digest, seal_digest
from gen5astro.io.hdf5_schema import (
    ATTRIBUTES,
    DATASETS,
    SCHEMA_VERSION,
    SPLITS,
    block_checksums,
    content_digest,
)
from gen5astro.io.pixels import IMAGES, copy_first, create_contiguous, map_to_write

__all__ = ["CubeWriter", "part_path", "shards_path"]

#: Errors that a build meets again when it is resumed: nothing is kept.
_AGAIN = (ColumnError, ConfigError, FormatError, RejectedError, SchemaError)
_SPEC = {each.name: each for each in DATASETS}
_BY_BLOCK = ("row", "digest", "fingerprint", "normalizer/stamp", "normalizer/ctrl")


def shards_path(path):
    """Return the folder of the shards of a cube that has any.

    Parameters
    ----------
    path : path-like
        The cube.

    Returns
    -------
    folder : Path
        ``cube.shards`` for ``cube.h5``.
    """
    return Path(path).with_suffix(".shards")


def part_path(path):
    """Return the folder of what is done of a cube that is being built.

    Parameters
    ----------
    path : path-like
        The cube.

    Returns
    -------
    folder : Path
        ``cube.h5.part`` for ``cube.h5``.
    """
    return Path(path).with_name(Path(path).name + ".part")


class CubeWriter:
    """Writes a cube of at most `n_rows` pairs; memory holds one block of pixels.

    A context manager. What is done is kept in the folder ``PATH.part`` until `finish` makes the cube of it; when the
    block is left early, the folder stays for ``resume``, unless the error is one that going on would meet again.

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
    shards : gen5astro.shards.ShardPlan, optional
        How pairs are put into several files by position; without it the cube is one file.
    plan : dict, optional
        What else must be the same for a build to be resumed, in plain types.
    force : bool
        Whether `path`, and what an interrupted build left, may be overwritten.
    resume : bool
        Whether to go on with what an interrupted build left.

    Raises
    ------
    ExistsError
        If `path`, or what an interrupted build left, is there, and neither `force` nor `resume` is given.
    MissingFileError
        If its folder is not there.
    SchemaError
        If the interrupted build is another one.
    Gen5Error
        If the disk has no room for it.
    """

    def __init__(self, path, n_rows, *, bands, shape, pixel_scale, shards=None, plan=None, force=False, resume=False):
        self.path = Path(path)
        self._n_rows = n_rows
        self._bands, self._pixel_scale = tuple(bands), float(pixel_scale)
        self._image_shape = (len(self._bands), *map(int, shape))
        self._shards = shards
        self._plan = {
            "schema": SCHEMA_VERSION,
            "n_rows": n_rows,
            "shape": self._image_shape,
            "bands": list(self._bands),
            "pixel_scale": self._pixel_scale,
            "shards": None if shards is None else shards.first_cell.tolist(),
            **(plan or {}),
        }
        self._again = {"force": force, "resume": resume}
        self._state = None
        if self.path.exists() and not force:
            got = f"a file of {self.path.stat().st_size:,} bytes"
            raise ExistsError(f"cube {self.path}", got=got, remedy="choose another place or pass --force")
        if not self.path.parent.is_dir():
            raise MissingFileError(f"folder {self.path.parent}", got="nothing there", remedy="make it first")
        if not (resume and self.part.exists()):
            self._check_room()

    @property
    def part(self):
        """Folder of what is done: Path."""
        return part_path(self.path)

    def _check_room(self):
        needed = 2 * 4 * self._n_rows * math.prod(self._image_shape)
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise Gen5Error(
                f"cube {self.path}",
                got=f"{free / 1e9:.2f} GB free on its disk",
                expected=f"{needed / 1e9:.2f} GB for {self._n_rows:,} pairs",
                remedy="free some space or choose another place",
            )

    def __enter__(self):
        capacity = [self._n_rows] if self._shards is None else self._shards.counts
        sharded = self._shards is not None
        if sharded and self._again["resume"] and self.part.exists() and not (self.part / "shards").exists():
            # Killed between the two renames of `_publish`: the shards have left, and the index has not.
            os.replace(shards_path(self.path), self.part / "shards")
        self._state = BuildState(
            self.part, capacity, self._image_shape, sharded=sharded, plan=self._plan, **self._again
        )
        return self

    def __exit__(self, _kind, error, _trace):
        if self._state is None:
            return
        if error is None or isinstance(error, _AGAIN):
            self._state.remove()
        else:
            with contextlib.suppress(OSError):
                self._state.sync()
            self._state.close()

    @property
    def done(self):
        """Rows of the input that are done with: int."""
        return self._state.done

    @property
    def rejects(self):
        """Rows that are not used: list of Reject."""
        return self._state.rejects

    def append(self, stop, block, statistics, fingerprint, rejects=()):
        """Write the pairs of a block behind those already there.

        Parameters
        ----------
        stop : int
            Rows of the input that are done with now.
        block : PairBlock
            Good pairs, in the order of the input.
        statistics : tuple of float64 array, (n, band, 2)
            What the normalizer takes from each stamp, and from each ctrl [nanomaggy].
        fingerprint : uint64 array, (n, 4)
            Fingerprint of each ctrl.
        rejects : sequence of Reject
            Rows that are not used.
        """
        catalog = block.catalog
        shard = np.zeros(len(block), int) if self._shards is None else self._shards.find(catalog["ra"], catalog["dec"])
        self._state.append(stop, block, shard, statistics, fingerprint, list(rejects))

    def __len__(self):
        return len(self._state)

    def columns(self, *names):
        """Read columns of the catalog back.

        Parameters
        ----------
        *names : str
            Which; those that are not there are left out.

        Returns
        -------
        columns : dict of array, (n, ...)
            ``row``, ``digest``, ``fingerprint`` and those columns, in the order of the input.
        """
        known = [name for name in names if name in self._state.columns]
        parts = [(*own, *(catalog[name] for name in known)) for *own, _, catalog in self._state.blocks()]
        joined = [np.concatenate(each) for each in zip(*parts, strict=True)]
        columns = dict(zip(("row", "digest", "fingerprint", *known), joined, strict=True))
        for name in known:
            if self._state.columns[name].text:
                columns[name] = columns[name].astype(str)
        return columns

    @property
    def column_names(self):
        """Columns of the catalog: list of str."""
        return list(self._state.columns)

    def finish(self, *, split, group, attributes, measure=None):
        """Write all that is not pixels, and give the file its name.

        Parameters
        ----------
        split : str array, (n,)
            Split of each pair, in the order of the input.
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
        state = self._state
        state.sync()
        order = np.argsort(state.shard, kind="stable")
        index = self._index()
        with h5py.File(index, "r+") as file:
            places = self._create(file, measure or {})
        self._fill(index, places, np.argsort(order))
        with h5py.File(index, "r+") as file:
            names, name_of_row = np.unique(split, return_inverse=True)
            codes = np.array([SPLITS.index(each) for each in names])[name_of_row]
            for name, values in (("split", codes), ("group", np.asarray(group))):
                file.create_dataset(name, data=np.asarray(values[order], _dtype(name)))
            for name, values in (measure or {}).items():
                file[f"measure/{_stored(name)}"][...] = _encoded(values[order])
            digest = file["digest"][...]
            file.create_dataset("checksum", data=np.asarray(block_checksums(digest), _dtype("checksum")))
            for name, spec in _SPEC.items():
                if name in file:
                    file[name].attrs.update(unit=spec.unit, meaning=spec.meaning)
            content = content_digest(digest, file["row"][...])
            digest_of_all = self._seal(file, {**attributes, "input_digest": content})
        self._publish(index)
        return digest_of_all

    def _index(self):
        """The file that becomes the cube, with its pixels in it, or naming the shards that they are in."""
        state, index = self._state, self.part / "index.h5"
        if self._shards is None:
            whole = len(state) == self._n_rows
            return state.paths[0] if whole else copy_first(state.paths[0], index, len(state))
        with h5py.File(index, "w", alignment_threshold=4096, alignment_interval=4096) as file:
            for name in IMAGES:
                layout = h5py.VirtualLayout((len(state), *self._image_shape), "<f4")
                start = 0
                for path, capacity, filled in zip(state.paths, state.capacity, state.filled, strict=True):
                    if filled:
                        where = f"{shards_path(self.path).name}/{path.name}"
                        source = h5py.VirtualSource(where, name, (capacity, *self._image_shape))
                        layout[start : start + filled] = source[:filled]
                    start += filled
                file.create_virtual_dataset(name, layout)
        return index

    def _create(self, file, measure):
        """Make the datasets that are filled block by block, and return the offset and type of each."""
        count = len(self._state)
        lengths = {"n": count, "band": len(self._bands)}
        places = {}
        for name in _BY_BLOCK:
            shape = tuple(lengths.get(axis, axis) for axis in _SPEC[name].axes)
            places[name] = create_contiguous(file, name, shape, _dtype(name))
        kinds = {
            name: h5py.string_dtype("utf-8", column.width) if column.text else np.dtype("<f8")
            for name, column in self._state.columns.items()
        }
        for folder, columns in (("catalog", kinds), ("measure", measure)):
            file.create_group(folder, track_order=True)
            for name, kind in columns.items():
                place = f"{folder}/{_stored(name)}"
                if place in file:
                    raise ColumnError(
                        f"column {name!r}", got=f"a second {_stored(name)!r}", remedy="rename one of the two"
                    )
                if folder == "catalog":
                    places[place] = create_contiguous(file, place, (count,), kind)
                else:
                    file.create_dataset(place, kind.shape, _encoded(kind[:1]).dtype)
                file[place].attrs["column"] = name
        return {name: (each.id.get_offset(), each.dtype, each.shape) for name, each in places.items()}

    def _fill(self, index, places, place_of_pair):
        """Fill the datasets with what the journal holds, each pair at its place."""
        maps = map_to_write(index, places)
        done = 0
        for row, digest, fingerprint, statistics, catalog in self._state.blocks():
            at = place_of_pair[done : done + len(row)]
            for name, values in zip(_BY_BLOCK, (row, digest, fingerprint, *statistics), strict=True):
                maps[name][at] = values
            for name, values in catalog.items():
                text = self._state.columns[name].text
                maps[f"catalog/{_stored(name)}"][at] = (
                    np.char.encode(values.astype(str), "utf-8", "replace") if text else values
                )
            done += len(row)
        for each in maps.values():
            each.flush()

    def _seal(self, file, attributes):
        """Write the attributes, the schema last."""
        own = {
            "schema": SCHEMA_VERSION,
            "bands": ",".join(self._bands),
            "pixel_scale": self._pixel_scale,
            "n_in": self._n_rows,
            "n_ok": len(self._state),
            "n_rejected": self._n_rows - len(self._state),
        }
        known = {**attributes, **own}
        known["cube_digest"] = cube_digest(file, known)
        known = {each.name: each.dtype(known[each.name]) for each in ATTRIBUTES if each.name != "seal"}
        known["seal"] = seal_digest(file, known)
        for attribute in reversed(ATTRIBUTES):
            file.attrs[attribute.name] = known[attribute.name]
        return known["cube_digest"]

    def _publish(self, index):
        """Sync and rename: the shards first, for without the index nobody looks for them."""
        _sync(index)
        shards = shards_path(self.path)
        if self._shards is not None:
            shutil.rmtree(shards, ignore_errors=True)
            os.replace(self.part / "shards", shards)
            _sync(shards)
        os.replace(index, self.path)
        if self._shards is None:
            shutil.rmtree(shards, ignore_errors=True)
        _sync(self.path.parent)
        self._state.remove()


def _dtype(name):
    return np.dtype(_SPEC[name].dtype).newbyteorder("<")


def _stored(name):
    return name.replace("/", "_")


def _encoded(values):
    """Return a column as HDF5 stores it: little-endian numbers, or UTF-8 of fixed length."""
    if values.dtype.kind != "U":
        return values.astype(values.dtype.newbyteorder("<"))
    text = np.char.encode(values, "utf-8", "replace")
    kind = h5py.string_dtype("utf-8", max(text.dtype.itemsize, 1))
    return text.astype(f"S{kind.itemsize}").view(kind)


def _sync(path):
    """Make sure that a file, or the list of a folder's files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
