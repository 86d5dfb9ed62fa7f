"""Parquet files as one run of rows: which files there are, what their footers say, and any range of rows from them."""

import glob
import os
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.errors import FormatError, MissingFileError
from gen5astro.io.remote import list_remote

__all__ = [
    "ENDINGS",
    "ParquetFile",
    "Rows",
    "check_ending",
    "describe_file",
    "list_parquet",
    "open_file",
    "partition_of",
]

ENDINGS = (".parquet", ".pq")
"""How names of Parquet files end."""


@dataclass(frozen=True)
class ParquetFile:
    """One Parquet file: where it is, and what its footer says.

    Parameters
    ----------
    path : str
        Path or URI.
    schema : pyarrow.Schema
        Its columns, without metadata of the whole.
    metadata : dict of bytes to bytes
        Metadata of the whole.
    group_rows : tuple of int
        Rows of each row group.
    partition : dict of str to str
        Columns that the names of its folders give, from `partition_of`; without those that it has itself.
    """

    path: str
    schema: pa.Schema
    metadata: dict
    group_rows: tuple[int, ...]
    partition: dict[str, str] = field(default_factory=dict)

    @property
    def n_rows(self):
        """Rows of all row groups."""
        return sum(self.group_rows)


def check_ending(path):
    """Refuse a name of an output that does not end as those of Parquet files do.

    Parameters
    ----------
    path : path-like
        The output.

    Raises
    ------
    FormatError
        If it does not.
    """
    if not os.fspath(path).lower().endswith(ENDINGS):
        raise FormatError(f"output {path}", got="another ending", expected=f"{' or '.join(ENDINGS)}: it is Parquet")


def list_parquet(path):
    """Files that a path, folder, glob or URI stands for.

    Parameters
    ----------
    path : path-like
        What the user named.

    Returns
    -------
    files : list of str
        At least one, in the order of their names.

    Raises
    ------
    MissingFileError
        If there is none.
    """
    text = os.fspath(path)
    if "://" in text:
        files = list_remote(text, _is_data)
    elif os.path.isdir(text):
        found = glob.glob(os.path.join(glob.escape(text), "**", "*"), recursive=True)
        files = [name for name in found if _is_data(name) and os.path.isfile(name)]
    elif os.path.isfile(text):
        files = [text]
    else:
        files = [name for name in glob.glob(text, recursive=True) if os.path.isfile(name)]
    if not files:
        raise MissingFileError(text, got="no Parquet file there", expected="a file, a folder of them, or a glob")
    return sorted(files)


def _is_data(name):
    """Whether a file in a folder is part of the table, and not a note that the writer left."""
    return name.endswith(ENDINGS) and not os.path.basename(name).startswith((".", "_"))


def partition_of(path, root):
    """Columns that folders give: ``region=north/part-0.parquet`` below a root says that ``region`` is ``north``.

    Parameters
    ----------
    path : str
        A file's path or URI.
    root : str
        The folder, glob or URI that it was found under.

    Returns
    -------
    partition : dict of str to str
        Empty for a file that was named itself; '' where the writer marked a value as missing.
    """
    # File systems do not agree on the slashes behind their protocol.
    path, root = (text.rpartition("://")[2].lstrip("/") for text in (path, root))
    static, *magic = re.split(r"[*?\[]", root, maxsplit=1)
    folder = static.rpartition("/")[0] if magic else root.rstrip("/")
    if path == root or not path.startswith(folder):
        return {}
    folders = path[len(folder) :].split("/")[:-1]
    pairs = (folder.split("=", 1) for folder in folders if "=" in folder)
    return {unquote(name): "" if value == _MISSING else unquote(value) for name, value in pairs}


_MISSING = "__HIVE_DEFAULT_PARTITION__"


def open_file(path):
    """Open a Parquet file so that it is read page by page.

    Parameters
    ----------
    path : str
        Path or URI.

    Returns
    -------
    handle : pyarrow.parquet.ParquetFile
        To be closed by the caller.

    Raises
    ------
    FormatError
        If it is no Parquet.
    """
    try:
        if "://" in path:
            import fsspec

            source = fsspec.open(path, "rb").open()
        else:
            source = path
        return pq.ParquetFile(source, pre_buffer=False, buffer_size=1 << 20)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(path, got=f"no readable Parquet ({error})", expected="a Parquet file") from error


def describe_file(path, *, root=None):
    """Read the footer of a Parquet file.

    Parameters
    ----------
    path : str
        Path or URI.
    root : str, optional
        Folder, glob or URI that it was found under, for the columns that folders give.

    Returns
    -------
    file : ParquetFile
        What it says.

    Raises
    ------
    FormatError
        If it is no Parquet.
    """
    with open_file(path) as handle:
        footer = handle.metadata
        groups = tuple(footer.row_group(at).num_rows for at in range(footer.num_row_groups))
        schema = handle.schema_arrow
    given = {} if root is None else partition_of(path, root)
    partition = {name: value for name, value in given.items() if name not in schema.names}
    return ParquetFile(path, schema.remove_metadata(), schema.metadata or {}, groups, partition)


class Rows:
    """Ranges of rows over many files, from any thread.

    A row group can only be decoded from its beginning, and may be as large as its file. So a decoder stays open where
    the last range ended, and batches that it has to pass over are kept for a while for the thread that comes for them.

    Parameters
    ----------
    files : sequence of ParquetFile
        The files, in the order of their rows.
    columns : iterable of str
        Columns to read; those of the files' partitions follow them.

    Attributes
    ----------
    columns : tuple of str
        Columns that are read from the files themselves.
    paths : tuple of str
        The files.
    """

    BATCH = 32
    OPEN = 4
    KEPT_BYTES = 64 << 20

    def __init__(self, files, columns):
        self._files = files
        self.columns, self.paths = tuple(columns), tuple(file.path for file in files)
        self._given = list(dict.fromkeys(name for file in files for name in file.partition))
        self._groups = [(file, group) for file in range(len(files)) for group in range(len(files[file].group_rows))]
        sizes = [files[file].group_rows[group] for file, group in self._groups]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._forget()

    def __getstate__(self):
        live = ("_lock", "_handles", "_decoders", "_kept")
        return {name: value for name, value in self.__dict__.items() if name not in live}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._forget()

    def _forget(self):
        self._lock = threading.Lock()
        self._handles = OrderedDict()
        self._decoders = OrderedDict()
        self._kept = OrderedDict()

    def read(self, start, stop):
        """Read a range of rows.

        Parameters
        ----------
        start, stop : int
            Row numbers; `stop` is the first that is not read.

        Returns
        -------
        batches : list of pyarrow.RecordBatch
            That hold these rows in order.

        Raises
        ------
        FormatError
            If the file is broken there.
        """
        batches = []
        with self._lock:
            at = int(np.searchsorted(self._starts, start, side="right")) - 1
            while start < stop:
                begin, end = int(self._starts[at]), int(self._starts[at + 1])
                last = min(stop, end)
                if start < last:
                    batches += self._read_group(self._groups[at], start - begin, last - begin, end - begin)
                start, at = last, at + 1
        return batches

    def locate(self, rows):
        """Find rows in the files.

        Parameters
        ----------
        rows : int64 array, (n,)
            Row numbers.

        Returns
        -------
        file : int64 array, (n,)
            Number of the file that each is in.
        own : int64 array, (n,)
            Its row number there.
        """
        starts = np.cumsum([0, *(file.n_rows for file in self._files)])
        file = np.searchsorted(starts, rows, side="right") - 1
        return file, rows - starts[file]

    def column(self, name, numbers=None):
        """Read a column whole, and nothing else.

        Parameters
        ----------
        name : str
            The column.
        numbers : sequence of int, optional
            Numbers of the files to read it from; by default all.

        Yields
        ------
        values : pyarrow.ChunkedArray
            Of each file.

        Raises
        ------
        FormatError
            If a file is broken there.
        """
        for number in range(len(self._files)) if numbers is None else numbers:
            file = self._files[number]
            with self._lock:
                try:
                    yield self._open(number).read([name]).column(0)
                except (pa.ArrowException, OSError) as error:
                    raise FormatError(
                        f"column {name!r} of {file.path}", got=f"{error}", expected="intact Parquet"
                    ) from error

    def _read_group(self, group, start, stop, size):
        for number in range(start // self.BATCH, -(-stop // self.BATCH)):
            first = number * self.BATCH
            batch = self._batch(group, number, min(self.BATCH, size - first))
            low, high = max(start - first, 0), min(stop - first, len(batch))
            if high < len(batch):
                self._keep(group, number, batch)
            yield self._with_partition(group[0], batch.slice(low, high - low))

    def _with_partition(self, file, batch):
        for name in self._given:
            value = self._files[file].partition.get(name) or None
            batch = batch.append_column(name, pa.array([value] * len(batch), pa.string()))
        return batch

    def _batch(self, group, number, size):
        kept = self._kept.pop((group, number), None)
        if kept is not None:
            return kept
        after, decoder = self._decoders.pop(group, (0, None))
        if decoder is None or after > number:
            after, decoder = 0, self._decoder(group)
        try:
            for passed in range(after, number):
                self._keep(group, passed, next(decoder))
            batch = next(decoder)
        except (pa.ArrowException, OSError, StopIteration) as error:
            path = self._files[group[0]].path
            raise FormatError(
                path, got=f"a broken row group {group[1]} ({error})", expected="intact Parquet"
            ) from error
        if len(batch) != size:
            raise FormatError(self._files[group[0]].path, got=f"a batch of {len(batch)} rows", expected=f"{size}")
        self._decoders[group] = (number + 1, decoder)
        while len(self._decoders) > self.OPEN:
            self._decoders.popitem(last=False)
        return batch

    def _decoder(self, group):
        file, number = group
        options = {"row_groups": [number], "columns": list(self.columns), "use_threads": False}
        return self._open(file).iter_batches(self.BATCH, **options)

    def _open(self, file):
        """Handle of a file; the footer of a large one is as large, so it is read as seldom as can be."""
        handle = self._handles.pop(file, None) or open_file(self._files[file].path)
        self._handles[file] = handle
        while len(self._handles) > self.OPEN:
            self._handles.popitem(last=False)
        return handle

    def _keep(self, group, number, batch):
        self._kept[group, number] = batch
        while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > self.KEPT_BYTES:
            self._kept.popitem(last=False)
