"""The measurement table: in a spool on disk while and after it is measured, and as a Parquet file.

Numbers of many pairs do not fit in memory, and a gate reads a few columns of them. The table therefore lies in a
temporary file, column after column, and its arrays are windows on that file; the system brings in what is looked at.
"""

import contextlib
import json
import mmap
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.columns import COLUMNS
from gen5astro.errors import ColumnError, FormatError, MissingFileError, closest

__all__ = ["MeasureTable", "Origin", "Spool", "is_table", "read_table", "write_table"]

_ROWS_AT_A_TIME = 1024


@dataclass(frozen=True)
class Origin:
    """Where the pixels of a table came from, and how they were measured.

    Parameters
    ----------
    label : str
        What the source of the pairs is called.
    rejected : int
        Rows of it that could not be read.
    normalizer : str, optional
        Kind of the normalizer that the pixels went through first.
    psf : str
        What the core's budget was bracketed from: ``fwhm`` or ``image``.
    settings : dict
        The section ``measure`` of the config, as plain types.
    """

    label: str = ""
    rejected: int = 0
    normalizer: str | None = None
    psf: str = "fwhm"
    settings: dict = field(default_factory=dict)

    @property
    def unit(self):
        """Unit of a pixel."""
        return "nmgy" if self.normalizer is None else f"{self.normalizer} scales"


@dataclass(frozen=True)
class MeasureTable:
    """The measurement table.

    Parameters
    ----------
    columns : dict of array
        (n,) for a column per pair, (n, band) per band; ``residual_profile`` is (n, band, ring) and
        ``term_correlations`` (n, band, pair of terms).
    bands : tuple of str
        Band names.
    shape : tuple of int
        ``(y, x)`` of the images.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    origin : Origin
        Where it came from.
    """

    columns: dict[str, np.ndarray]
    bands: tuple[str, ...]
    shape: tuple[int, int]
    pixel_scale: float
    origin: Origin = field(default_factory=Origin)

    def __len__(self):
        return len(self.columns["row"])

    def __getitem__(self, name):
        if name not in self.columns:
            raise ColumnError(
                f"column {name!r} of the measurement table", got="none", remedy=closest(name, self.columns)
            )
        return self.columns[name]

    def select(self, rows):
        """Return the table of some rows.

        Parameters
        ----------
        rows : array
            Mask or indices.

        Returns
        -------
        table : MeasureTable
            With those rows only; this table where the mask leaves none out.
        """
        if rows.dtype == bool and rows.all():
            return self
        return self._with({name: values[rows] for name, values in self.columns.items()})

    def keep(self, names):
        """Return the table of some columns.

        Parameters
        ----------
        names : iterable of str
            Columns; those that are not there are left out. ``row`` is always kept.

        Returns
        -------
        table : MeasureTable
            With those columns only.
        """
        return self._with({name: self.columns[name] for name in ("row", *names) if name in self.columns})

    def _with(self, columns):
        return replace(self, columns=columns)


class Spool:
    """Blocks of columns on their way to a table; they wait in temporary files and not in memory.

    A context manager, which closes the files; the columns of `finish` live on.

    Parameters
    ----------
    most : int
        Rows that may come at most.
    """

    def __init__(self, most):
        self._most, self._rows = most, 0
        self._files = contextlib.ExitStack()
        self._numbers = self._open()
        self._texts = {}
        self._layout = {}

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._files.close()

    def _open(self):
        return self._files.enter_context(tempfile.TemporaryFile(prefix="gen5astro-"))

    def add(self, columns):
        """Take the next rows.

        Parameters
        ----------
        columns : dict of array
            The same columns every time, of as many rows each.
        """
        if not self._layout and not self._texts:
            self._lay_out(columns)
        for name, values in columns.items():
            if name in self._texts:
                np.save(self._texts[name], values)
            else:
                offset, dtype, tail = self._layout[name]
                size = dtype.itemsize * int(np.prod(tail, dtype=np.int64))
                os.pwrite(self._numbers.fileno(), np.ascontiguousarray(values, dtype).data, offset + self._rows * size)
        self._rows += len(next(iter(columns.values())))

    def _lay_out(self, columns):
        offset = 0
        for name, values in columns.items():
            if values.dtype.kind in "US":
                self._texts[name] = self._open()
                continue
            self._layout[name] = offset, values.dtype, values.shape[1:]
            size = self._most * values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=np.int64))
            offset += -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        os.truncate(self._numbers.fileno(), max(offset, 1))

    def finish(self):
        """Join the blocks.

        Returns
        -------
        columns : dict of array
            Whole columns, windows on the files; empty where no row came.
        """
        columns = {}
        if self._layout:
            window = mmap.mmap(self._numbers.fileno(), 0, access=mmap.ACCESS_COPY)
            for name, (offset, dtype, tail) in self._layout.items():
                columns[name] = np.ndarray((self._rows, *tail), dtype, buffer=window, offset=offset)
        for name, file in self._texts.items():
            columns[name] = self._join(file)
        return columns

    def _join(self, file):
        """One column of text, of the width of the longest, in a file of its own."""
        widest = np.dtype("U1")
        end = file.tell()
        for part in _parts(file, end):
            widest = max(widest, part.dtype, key=lambda dtype: dtype.itemsize)
        whole = self._open()
        for part in _parts(file, end):
            whole.write(part.astype(widest).data)
        whole.flush()
        window = mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_COPY)
        return np.ndarray((self._rows,), widest, buffer=window)


def _parts(file, end):
    file.seek(0)
    while file.tell() < end:
        yield np.load(file, allow_pickle=False)


def write_table(table, path):
    """Write a measurement table; columns that are one a pair are repeated for each band.

    Parameters
    ----------
    table : MeasureTable
        What to write.
    path : path-like
        File to write; replaced whole if it is there.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    fields = [pa.field("band", pa.string(), metadata={"description": "band name"})]
    for name, values in table.columns.items():
        about = {"unit": COLUMNS[name].unit, "description": COLUMNS[name].meaning}
        fields.append(pa.field(name, _arrow_type(values), metadata=about))
    schema = pa.schema(
        fields,
        metadata={
            "gen5astro.bands": ",".join(table.bands),
            "gen5astro.shape": f"{table.shape[0]},{table.shape[1]}",
            "gen5astro.pixel_scale": repr(table.pixel_scale),
            "gen5astro.origin": json.dumps(asdict(table.origin)),
        },
    )
    try:
        with pq.ParquetWriter(part, schema, compression="zstd") as writer:
            for begin in range(0, len(table), _ROWS_AT_A_TIME):
                chosen = slice(begin, begin + _ROWS_AT_A_TIME)
                writer.write_table(pa.table(_long_columns(table, chosen, schema), schema=schema))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _arrow_type(values):
    if values.dtype.kind in "UO":
        return pa.string()
    plain = pa.from_numpy_dtype(values.dtype)
    return pa.list_(plain, values.shape[2]) if values.ndim == 3 else plain


def _long_columns(table, chosen, schema):
    bands = len(table.bands)
    n = len(table["row"][chosen])
    arrays = [pa.array(np.tile(np.array(table.bands), n))]
    for name, values in table.columns.items():
        part = values[chosen]
        if values.ndim == 1:
            arrays.append(pa.array(np.repeat(part, bands), schema.field(name).type))
        elif values.ndim == 2:
            arrays.append(pa.array(part.ravel(), schema.field(name).type))
        else:
            flat = pa.array(part.ravel())
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, values.shape[2]))
    return arrays


def is_table(path):
    """Tell whether a file is a measurement table.

    Parameters
    ----------
    path : path-like
        Any file, or none.

    Returns
    -------
    is_table : bool
        Whether it is Parquet with what `write_table` says of the images.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError):
        return False
    return b"gen5astro.shape" in metadata


def read_table(path):
    """Read a measurement table written by `write_table`.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    table : MeasureTable
        As it was written.

    Raises
    ------
    MissingFileError
        If the file is not there.
    FormatError
        If it is no measurement table.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"measurement table {path}", got="no such file", remedy="run gen5astro audit-injection")
    try:
        with pq.ParquetFile(path) as file:
            about = {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
            bands = tuple(about["gen5astro.bands"].split(","))
            shape = tuple(map(int, about["gen5astro.shape"].split(",")))
            pixel_scale = float(about["gen5astro.pixel_scale"])
            origin = Origin(**json.loads(about["gen5astro.origin"]))
            columns = _read_columns(file, bands)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"measurement table {path}", got=str(error), expected="measure.parquet of an audit"
        ) from error
    return MeasureTable(columns, bands, shape, pixel_scale, origin)


def _read_columns(file, bands):
    names = [name for name in file.schema_arrow.names if name in COLUMNS]
    with Spool(file.metadata.num_rows // len(bands)) as spool:
        for batch in file.iter_batches(_ROWS_AT_A_TIME * len(bands), columns=names):
            spool.add({name: _from_arrow(name, batch.column(name), len(bands)) for name in names})
        return spool.finish()


def _from_arrow(name, column, bands):
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy().reshape(-1, bands, column.type.list_size)
    values = column.to_numpy(zero_copy_only=False)
    values = values.astype(str) if pa.types.is_string(column.type) else values
    return values[::bands] if COLUMNS[name].per == "pair" else values.reshape(-1, bands)
