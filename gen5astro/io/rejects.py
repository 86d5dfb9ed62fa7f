"""The table of rows that could not be used."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["write_rejects"]


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
