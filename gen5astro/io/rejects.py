"""The table of rows that could not be used."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["rejects_note", "write_rejects"]


def write_rejects(rejects, path):
    """Write rejected rows as Parquet, one row each: ``row`` and ``reason``.

    Parameters
    ----------
    rejects : iterable of Reject
        What was rejected, in the order of the input.
    path : path-like
        The file to write; replaced whole if it is there.
    """
    path, rejects = Path(path), list(rejects)
    columns = {
        "row": pa.array([each.row for each in rejects], pa.int64()),
        "reason": pa.array([each.reason for each in rejects], pa.string()),
    }
    part = path.with_name(path.name + ".part")
    pq.write_table(pa.table(columns), part)
    os.replace(part, path)


def rejects_note(path):
    """Say how many rows were rejected, why the first was, and where to read of the others.

    Parameters
    ----------
    path : path-like
        A file that `write_rejects` wrote, or none.

    Returns
    -------
    note : str or None
        One line; None where no row was rejected.
    """
    rejects = pq.read_table(path).to_pylist() if Path(path).is_file() else []
    if not rejects:
        return None
    rows = f"{len(rejects):,} row{'s' if len(rejects) > 1 else ''}"
    return f"{rows} rejected, see {path}; the first, row {rejects[0]['row']}: {rejects[0]['reason']}"
