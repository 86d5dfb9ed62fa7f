"""The measurement table as a Parquet file: one row a pair and band."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.columns import COLUMNS
from gen5astro.errors import FormatError, MissingFileError
from gen5astro.measure import MeasureTable

__all__ = ["read_table", "write_table"]

_ROWS_AT_A_TIME = 1024


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
        arrow = pq.read_table(path)
        about = {key.decode(): value.decode() for key, value in (arrow.schema.metadata or {}).items()}
        bands = tuple(about["gen5astro.bands"].split(","))
        shape = tuple(map(int, about["gen5astro.shape"].split(",")))
        pixel_scale = float(about["gen5astro.pixel_scale"])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise FormatError(
            f"measurement table {path}", got=str(error), expected="measure.parquet of an audit"
        ) from error
    columns = {}
    for name in arrow.column_names:
        if name not in COLUMNS:
            continue
        column = arrow[name].combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            width = column.type.list_size
            columns[name] = column.flatten().to_numpy().reshape(-1, len(bands), width)
            continue
        values = column.to_numpy(zero_copy_only=False)
        values = values.astype(str) if pa.types.is_string(column.type) else values
        columns[name] = values[:: len(bands)] if COLUMNS[name].per == "pair" else values.reshape(-1, len(bands))
    return MeasureTable(columns, bands, shape, pixel_scale)
