"""Columns of Parquet files as arrays: their names, and those of numbers and strings whole."""

import os

import numpy as np
import pyarrow as pa

from gen5astro.errors import FormatError
from gen5astro.io.parquet_files import describe_file, list_parquet, open_file

__all__ = ["column_names", "is_plain", "read_columns", "to_numpy"]


def to_numpy(column):
    """Turn a column into an array.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray
        Numbers or text.

    Returns
    -------
    values : masked array, (n,)
        Masked where it is null.
    """
    column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if _is_text(column.type):
        return np.ma.array(np.array(column.fill_null("").to_pylist(), dtype=str), mask=missing)
    if pa.types.is_boolean(column.type) or pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    plain = column.fill_null(0) if column.null_count else column
    return np.ma.array(plain.to_numpy(zero_copy_only=False), mask=missing)


def column_names(path):
    """Names of the columns of a Parquet file, or of the first of many.

    Parameters
    ----------
    path : path-like
        A file, a folder, a glob or a URI.

    Returns
    -------
    names : list of str
        In their order, then those that folders give.
    """
    file = describe_file(list_parquet(path)[0], root=os.fspath(path))
    return [*file.schema.names, *file.partition]


def read_columns(path):
    """Read the numbers and strings of a Parquet file whole, as `~gen5astro.io.catalog.read_table` does.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    columns : dict of masked array, (n,)
        Numbers and strings; columns of anything else are left out.

    Raises
    ------
    FormatError
        If it is no Parquet.
    """
    with open_file(os.fspath(path)) as handle:
        names = [field.name for field in handle.schema_arrow if is_plain(field.type)]
        try:
            table = handle.read(names)
        except (pa.ArrowException, OSError) as error:
            raise FormatError(f"{path}", got=f"a broken column ({error})", expected="intact Parquet") from error
    return {name: to_numpy(table[name]) for name in names}


def _is_text(kind):
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_plain(kind):
    """Tell whether a column can ride along: one of numbers or strings.

    Parameters
    ----------
    kind : pyarrow.DataType
        Type of the column.

    Returns
    -------
    plain : bool
        Whether it is.
    """
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    of_numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return _is_text(kind) or any(is_kind(kind) for is_kind in of_numbers)
