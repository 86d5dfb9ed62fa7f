"""Write a cube: pixels stream through, a kill loses nothing, and the file appears only when it is whole."""

import contextlib
import json
import math
import os
import re
import shutil
import time
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
from gen5astro.io.forms import stored_pixels, summarize_errors
from gen5astro.io.hdf5_columns import (
    create_datasets,
    describe_datasets,
    encoded,
    fill_datasets,
    stored_name,
    stored_type,
)
from gen5astro.io.hdf5_digest import cube_digest, seal_digest
from gen5astro.io.hdf5_schema import (
    ATTRIBUTES,
    SCHEMA_VERSION,
    SPLITS,
    block_checksums,
    content_digest,
    datasets_of,
)
from gen5astro.io.pixels import IMAGES, copy_pairs, runs
from gen5astro.io.resuming import part_path

__all__ = ["ENDINGS", "CubeWriter", "shards_path"]

ENDINGS = (".h5", ".hdf5")
"""How names of cubes end."""

#: Errors that a build meets again when it is resumed: nothing is kept.
_AGAIN = (ColumnError, ConfigError, FormatError, SchemaError)
#: Seconds of work that are worth keeping when there turn out to be too many bad rows.
_WORTH_KEEPING = 60.0


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
    pixels : {'float32', 'float16', 'int16'}
        Form in which pixels are stored.
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
    FormatError
        If the name does not end as a cube's does.
    ExistsError
        If `path`, or what an interrupted build left, is there, and neither `force` nor `resume` is given.
    MissingFileError
        If its folder is not there.
    SchemaError
        If the interrupted build is another one.
    Gen5Error
        If the disk has no room for it.
    """

    def __init__(
        self,
        path,
        n_rows,
        *,
        bands,
        shape,
        pixel_scale,
        pixels="float32",
        shards=None,
        plan=None,
        force=False,
        resume=False,
    ):
        self.path = Path(path)
        self._n_rows = n_rows
        self._bands, self._pixel_scale = tuple(bands), float(pixel_scale)
        self._image_shape = (len(self._bands), *map(int, shape))
        self._shards, self._form = shards, pixels
        self._plan = {
            "schema": SCHEMA_VERSION,
            "n_rows": n_rows,
            "shape": self._image_shape,
            "bands": list(self._bands),
            "pixel_scale": self._pixel_scale,
            "pixels": pixels,
            "shards": None if shards is None else shards.first_cell.tolist(),
            **(plan or {}),
        }
        self._again = {"force": force, "resume": resume}
        self._state = None
        if self.path.suffix.lower() not in ENDINGS:
            expected = f"{' or '.join(ENDINGS)}: it is HDF5"
            raise FormatError(f"output {path}", got=f"ending {self.path.suffix!r}", expected=expected)
        if self.path.exists() and not force and not (resume and self.part.exists()):
            got = f"a file of {self.path.stat().st_size:,} bytes"
            raise ExistsError(f"cube {self.path}", got=got, remedy="choose another place or pass --force")
        if not self.path.parent.is_dir():
            raise MissingFileError(f"folder {self.path.parent}", got="nothing there", remedy="make it first")
        if not (resume and self.part.exists() and not (self.part / "shards").exists()):
            self._check_shards(force)
        if not (resume and self.part.exists()):
            self._check_room()

    @property
    def part(self):
        """Folder of what is done: Path."""
        return part_path(self.path)

    def _check_shards(self, force):
        """Refuse to take the place of shards whose cube is elsewhere, or of anything else."""
        folder = shards_path(self.path)
        if not folder.exists():
            return
        strangers = [each.name for each in sorted(folder.iterdir()) if not re.fullmatch(r"\d{4,}\.h5", each.name)]
        if strangers:
            got = f"{strangers[0]!r}, which is no shard"
            raise ExistsError(f"folder {folder}", got=got, remedy="move it away, or choose another place")
        if not force and not self.path.exists():
            got = "shards of a cube that is not beside them"
            remedy = f"move that cube back to {self.path}, choose another place, or pass --force"
            raise ExistsError(f"folder {folder}", got=got, remedy=remedy)

    def _check_room(self):
        needed = 2 * stored_pixels(self._form).itemsize * self._n_rows * math.prod(self._image_shape)
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
        layout = {"form": self._form, "sharded": sharded, "plan": self._plan}
        self._began = time.monotonic()
        self._state = BuildState(self.part, capacity, self._image_shape, **layout, **self._again)
        return self

    def __exit__(self, _kind, error, _trace):
        if self._state is None:
            return
        refused = isinstance(error, RejectedError) and not self.is_worth_keeping
        if error is None or refused or isinstance(error, _AGAIN):
            self._state.remove()
        else:
            with contextlib.suppress(OSError):
                self._state.sync()
            self._state.close()

    @property
    def is_worth_keeping(self):
        """Whether what is done is kept where too many rows are bad: bool."""
        return len(self._state) > 0 and time.monotonic() - self._began > _WORTH_KEEPING

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
            Good pairs, in the order of the input; their pixels are in the form of the cube, and `quantization` says
            what that form needs.
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

    def columns(self, *names, group=""):
        """Read back what is known of each pair.

        Parameters
        ----------
        *names : str
            Datasets, or columns; those that are not there are left out.
        group : str
            ``catalog`` for columns of it.

        Returns
        -------
        columns : dict of array, (n, ...)
            They, in the order of the input.
        """
        places = {f"{group}/{name}" if group else name: name for name in names}
        columns, done = {}, 0
        for part in self._state.blocks(places):
            for place, values in part.items():
                whole = columns.get(places[place])
                if whole is None:
                    whole = np.empty((len(self), *values.shape[1:]), self._state.type_of(place, values.dtype))
                    columns[places[place]] = whole
                whole[done : done + len(values)] = values
            done += len(next(iter(part.values()), ()))
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
            Split of each pair, in the order of the input; '' of one that shall not be in the cube.
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
        chosen = np.flatnonzero(split != "")
        order = chosen[np.argsort(state.shard[chosen], kind="stable")]
        index = self._index(order)
        with h5py.File(index, "r+") as file:
            lengths = {"n": len(order), "band": len(self._bands)}
            places = create_datasets(file, self._form, lengths, state.columns, measure or {})
        fill_datasets(index, places, state, order)
        with h5py.File(index, "r+") as file:
            codes = (split[order, None] == np.array(SPLITS)).argmax(axis=1)
            for name, values in (("split", codes), ("group", np.asarray(group)[order])):
                file.create_dataset(name, data=np.asarray(values, stored_type(name)))
            for name, values in (measure or {}).items():
                file[f"measure/{stored_name(name)}"][...] = encoded(values[order])
            digest = file["digest"][...]
            file.create_dataset("checksum", data=np.asarray(block_checksums(digest), stored_type("checksum")))
            describe_datasets(file, self._form)
            content = content_digest(digest, file["row"][...])
            digest_of_all = self._seal(file, {**attributes, "input_digest": content, "n_ok": len(order)})
        self._publish(index)
        return digest_of_all

    def _index(self, order):
        """The file that becomes the cube, with its pixels in it, or naming the shards that they are in."""
        state, index = self._state, self.part / "index.h5"
        if self._shards is None:
            whole = len(order) == self._n_rows
            return state.paths[0] if whole else copy_pairs(state.paths[0], index, order)
        shard, place = state.shard, state.place
        with h5py.File(index, "w", alignment_threshold=4096, alignment_interval=4096) as file:
            for name in IMAGES:
                layout = h5py.VirtualLayout((len(order), *self._image_shape), stored_pixels(self._form))
                start = 0
                for number, (path, capacity) in enumerate(zip(state.paths, state.capacity, strict=True)):
                    where = f"{shards_path(self.path).name}/{path.name}"
                    source = h5py.VirtualSource(where, name, (capacity, *self._image_shape), layout.dtype)
                    for first, stop in runs(place[order[shard[order] == number]]):
                        layout[start : start + stop - first] = source[first:stop]
                        start += stop - first
                file.create_virtual_dataset(name, layout)
        return index

    def _seal(self, file, attributes):
        """Write the attributes, the schema last."""
        own = {
            "schema": SCHEMA_VERSION,
            "bands": ",".join(self._bands),
            "pixel_scale": self._pixel_scale,
            "pixels": self._form,
            "quantization": _error_summary(file, self._form),
            "n_in": self._n_rows,
            "n_rejected": self._n_rows - attributes["n_ok"],
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


def _error_summary(file, form):
    """What the form does to the pixels, as JSON; '' for one that leaves them as they are."""
    errors = {each.name: file[each.name][...] for each in datasets_of(form, only=True)}
    return json.dumps(summarize_errors(errors), sort_keys=True) if errors else ""


def _sync(path):
    """Make sure that a file, or the list of a folder's files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
