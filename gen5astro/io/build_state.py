"""A cube that is being built: a folder beside it, which a killed process leaves such that the next can go on.

The folder ``CUBE.part`` holds the pixels (one file, or one a shard), a journal with everything else of each block, and
a plan that says what is being built. Pixels of a block are written before the journal says so. Every few seconds both
are made sure to be on the disk, and the journal notes it: what follows the last such note is checked before it is
believed.
"""

import json
import time
from pathlib import Path

import numpy as np

from gen5astro.errors import ColumnError
from gen5astro.io.forms import decode, encode, stored_pixels
from gen5astro.io.hdf5_schema import SHARD_SCHEMA, datasets_of
from gen5astro.io.ingest import ingest_row
from gen5astro.io.journal import Journal
from gen5astro.io.pairs import Reject
from gen5astro.io.pixels import PixelFile, keep_skeleton, lay_out, restore_skeleton
from gen5astro.io.resuming import PartFolder, check_plan

__all__ = ["BuildState", "Column"]

_SYNC_SECONDS = 10.0
#: Longest text of a float64, such as -1.2345678901234567e-300.
_NUMBER_WIDTH = 24
_LEFT = ("plan.json", "journal", "pixels.h5", "pixels.skeleton.npz", "shards", "index.h5")
_STATISTICS = ("statistics_stamp", "statistics_ctrl")


class Column:
    """What is known of a column of the catalog before all of it is read.

    Attributes
    ----------
    text : bool
        Whether it is text; a column of numbers in some blocks and text in others is text.
    """

    def __init__(self):
        self.text, self._numbers, self._width = False, False, 1

    @property
    def width(self):
        """Bytes of its longest text, in UTF-8: int."""
        return max(self._width, _NUMBER_WIDTH) if self._numbers else self._width

    def see(self, values):
        """Take note of some of its values.

        Parameters
        ----------
        values : float64 or str array, (n,)
            They.
        """
        if values.dtype.kind == "U":
            self.text = True
            self._width = max(self._width, np.char.encode(values, "utf-8", "replace").dtype.itemsize)
        elif len(values):
            self._numbers = True


class BuildState:
    """The folder of a build, opened to write on.

    Parameters
    ----------
    folder : path-like
        ``CUBE.part``.
    capacity : sequence of int
        Pairs that each file of pixels must have room for.
    shape : tuple of int
        ``(band, y, x)`` of an image.
    form : str
        Form in which pixels are stored.
    sharded : bool
        Whether the files are shards, or the one is the cube itself.
    plan : dict
        What is being built, in plain types; a build that is taken up again must have the same.
    resume : bool
        Whether to go on where a folder that is there ends.
    force : bool
        Whether to throw away a folder that is there.

    Attributes
    ----------
    done : int
        Rows of the input that are done with, good or bad.
    rejects : list of Reject
        Those that are not used.
    columns : dict of Column
        Of the catalog, by name.

    Raises
    ------
    ExistsError
        If the folder is there, and neither `resume` nor `force` is given; or it is somebody else's.
    SchemaError
        If the folder is that of another build.
    """

    def __init__(self, folder, capacity, shape, *, form, sharded, plan, resume=False, force=False):
        self.folder, self.shape, self.sharded = Path(folder), tuple(shape), sharded
        self.form, self._added = form, [each.name for each in datasets_of(form, only=True)]
        self.capacity = [int(each) for each in capacity]
        self.done, self.rejects, self.columns = 0, [], {}
        self._filled, self._shard = [0] * len(self.capacity), []
        self._plan = json.dumps(plan, sort_keys=True)
        self._part = PartFolder(self.folder, _LEFT)
        try:
            self._open(resume=resume, force=force)
        except BaseException:
            self._part.close()
            raise

    def _open(self, *, resume, force):
        """Begin, or go on with what is there."""
        if force and not resume:
            self._part.clear()
        planned = self.folder / "plan.json"
        fresh = not planned.exists()
        if fresh:
            self._lay_out()
        else:
            check_plan(planned, self._plan, resume=resume, name="a build", remedy="build as it was begun")
        if not fresh and not self.sharded:
            restore_skeleton(self.paths[0])
        self.files = [PixelFile(path) for path in self.paths]
        self.journal = Journal(self.folder / "journal")
        if not fresh:
            self._take_up()
        self._synced = time.monotonic()

    @property
    def paths(self):
        """Files of the pixels: list of Path."""
        if not self.sharded:
            return [self.folder / "pixels.h5"]
        return [self.folder / "shards" / f"{number:04d}.h5" for number in range(len(self.capacity))]

    def _lay_out(self):
        """Make the folder; the plan comes last, so that a folder with a plan is whole."""
        self._part.clear()
        (self.folder / "shards").mkdir()
        for path, capacity in zip(self.paths, self.capacity, strict=True):
            attributes = {"schema": SHARD_SCHEMA} if self.sharded else {}
            lay_out(path, (capacity, *self.shape), stored_pixels(self.form), attributes)
        if not self.sharded:
            keep_skeleton(self.paths[0])
        (self.folder / "journal").touch()
        (self.folder / "plan.json").write_text(self._plan, encoding="utf-8")

    def _take_up(self):
        """Read the journal; what was not made sure of before the kill counts only where its pixels are there."""
        believed = 0
        for number, record in enumerate(self.journal, start=1):
            if "synced" in record:
                believed = number
        for number, record in enumerate(self.journal, start=1):
            if "synced" in record:
                continue
            if number > believed and not self._is_there(record):
                self.journal.cut(number - 1)
                break
            self._count(record)

    def _places(self, shard):
        """Of some pairs, those of each shard: its number, which they are, place of the first."""
        for number in np.unique(shard).tolist():
            yield number, np.flatnonzero(shard == number), self._filled[number]

    def _is_there(self, record):
        digest = record["digest"]
        for number, chosen, start in self._places(record["shard"]):
            expected = digest[chosen]
            step = record[_added_key("step")][chosen] if "step" in self._added else None
            for at, stored in enumerate(self.files[number].read(start, start + len(expected))):
                images = decode(stored, step)
                found = [ingest_row(image, np.empty(image.shape, np.float32))[1] for image in images]
                if found != expected[:, at].tolist():
                    return False
        return True

    def _count(self, record):
        """Take note of a block that is done."""
        for number, chosen, _ in self._places(record["shard"]):
            self._filled[number] += len(chosen)
        self._shard.append(record["shard"])
        self.done = int(record["stop"])
        columns = (record[f"reject_{name}"].tolist() for name in ("row", "reason", "is_good", "digest"))
        self.rejects += [
            Reject(row, reason, tuple(digest) if is_good else None)
            for row, reason, is_good, digest in zip(*columns, strict=True)
        ]
        names = record["names"].tolist() if len(record["row"]) else list(self.columns)
        if self.columns and list(self.columns) != names:
            missing = sorted(set(names) ^ set(self.columns))
            raise ColumnError(f"columns {', '.join(missing)}", got="in some blocks only", expected="in all or none")
        for at, name in enumerate(names if len(record["row"]) else ()):
            self.columns.setdefault(name, Column()).see(record[f"column_{at}"])

    def __len__(self):
        return sum(self._filled)

    @property
    def shard(self):
        """Number of the file that each pair is in, in the order of the input: int64 array, (n,)."""
        return np.concatenate(self._shard)

    @property
    def place(self):
        """Place of each pair in its file: int64 array, (n,)."""
        shard = self.shard
        order = np.argsort(shard, kind="stable")
        place = np.empty(len(shard), np.int64)
        place[order] = np.arange(len(shard)) - np.repeat(np.cumsum(self._filled) - self._filled, self._filled)
        return place

    def append(self, stop, block, shard, statistics, fingerprint, rejects):
        """Add a block.

        Parameters
        ----------
        stop : int
            Rows of the input that are done with now.
        block : PairBlock
            Good pairs, in the order of the input; pixels are in the form of the cube.
        shard : int array, (n,)
            Number of the file that each belongs into.
        statistics : tuple of float64 array, (n, band, 2)
            What the normalizer takes from each stamp, and from each ctrl [nanomaggy].
        fingerprint : uint64 array, (n, 4)
            Fingerprint of each ctrl.
        rejects : list of Reject
            Rows that are not used.
        """
        record = {
            "stop": np.int64(stop),
            "row": block.row.astype(np.int64),
            "shard": np.asarray(shard, np.int64),
            "digest": block.digest,
            "reject_row": np.array([each.row for each in rejects], np.int64),
            "reject_reason": np.array([each.reason for each in rejects], "U"),
            "reject_is_good": np.array([each.digest is not None for each in rejects], bool),
            "reject_digest": np.array([each.digest or (0, 0) for each in rejects], np.uint64).reshape(-1, 2),
        }
        if len(block):
            record |= dict(zip(_STATISTICS, statistics, strict=True))
            record["fingerprint"] = np.asarray(fingerprint, np.uint64)
            record |= {_added_key(name): block.quantization[name] for name in self._added}
            record["names"] = np.array(list(block.catalog), "U")
            record |= {f"column_{at}": _as_column(values) for at, values in enumerate(block.catalog.values())}
        for number, chosen, start in self._places(record["shard"]):
            step = block.quantization["step"][chosen] if "step" in self._added else None
            images = (encode(each[chosen], self.form, step) for each in (block.stamp, block.ctrl))
            self.files[number].write(start, *images)
        self._count(record)
        self.journal.append(record)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def sync(self):
        """Make sure that all so far is on the disk, and note it."""
        for file in self.files:
            file.sync()
        self.journal.append({"synced": np.True_})
        self.journal.sync()
        self._synced = time.monotonic()

    def blocks(self, names=None):
        """Read back what is not pixels, block by block.

        Parameters
        ----------
        names : collection of str, optional
            Which; those that are not there are left out. Default: all.

        Yields
        ------
        columns : dict of array, (n, ...)
            By the names of the schema, ``catalog/NAME`` for columns of the catalog.
        """
        keys = {name: name for name in ("row", "digest", "fingerprint")}
        keys |= dict(zip(("normalizer/stamp", "normalizer/ctrl"), _STATISTICS, strict=True))
        keys |= {name: _added_key(name) for name in self._added}
        keys |= {f"catalog/{name}": f"column_{at}" for at, name in enumerate(self.columns)}
        wanted = keys if names is None else {name: keys[name] for name in names if name in keys}
        for record in self.journal:
            if "synced" not in record and len(record["row"]):
                yield {name: record[key] for name, key in wanted.items()}

    def type_of(self, name, dtype):
        """Return the type of a whole column.

        Parameters
        ----------
        name : str
            As in `blocks`.
        dtype : numpy.dtype
            Type of it in one of the blocks.

        Returns
        -------
        dtype : numpy.dtype
            Wide enough for all.
        """
        column = self.columns.get(name.removeprefix("catalog/")) if name.startswith("catalog/") else None
        return np.dtype(f"U{column.width}") if column is not None and column.text else dtype

    def close(self):
        """Close all files."""
        try:
            for file in self.files:
                file.close()
            self.journal.close()
        finally:
            self._part.close()

    def remove(self):
        """Remove the folder."""
        self.close()
        self._part.remove()


def _added_key(name):
    return name.replace("/", "_")


def _as_column(values):
    """Return a column as float64 or str."""
    values = np.asarray(values)
    return values.astype(np.float64) if values.dtype.kind in "biuf" else values.astype(str)
