"""The table of rows that could not be used."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.errors import RejectedError

__all__ = ["check_rejects", "keep_rejects", "rejects_note", "rejects_path", "write_rejects"]


def rejects_path(out):
    """Return where the rejected rows of an output that is one file are written.

    Parameters
    ----------
    out : path-like
        The output.

    Returns
    -------
    path : Path
        ``cube.rejects.parquet`` for ``cube.h5``.
    """
    return Path(out).with_suffix(".rejects.parquet")


def check_rejects(label, rejects, *, n_in, n_ok, allowed, place=None):
    """Make sure that no row vanished, and refuse too many bad ones.

    Parameters
    ----------
    label : str
        What to call the input in messages.
    rejects : sequence of Reject
        Rows that cannot be used.
    n_in, n_ok : int
        Rows of the input, and those that were used.
    allowed : float
        Largest share of rejects.
    place : path-like, optional
        Where they are listed.

    Raises
    ------
    RejectedError
        If more rows were rejected than are allowed, or all.
    RuntimeError
        If the numbers do not add up.
    """
    if n_in != n_ok + len(rejects):
        raise RuntimeError(f"{label}: {n_in} rows in, but {n_ok} good and {len(rejects)} rejected")
    if rejects and (n_ok == 0 or len(rejects) > allowed * n_in):
        listed = "" if place is None else f"see {place}, "
        raise RejectedError(
            label,
            got=f"{len(rejects):,} of {n_in:,} rows rejected (row {rejects[0].row}: {rejects[0].reason})",
            expected=f"at most {allowed:.2%}, and one good row",
            remedy=f"{listed}mend the rows, or allow more with --max-reject-fraction F",
        )


def write_rejects(rejects, path):
    """Write rejected rows as Parquet, one row each: ``row`` and ``reason``.

    Parameters
    ----------
    rejects : iterable of Reject
        What was rejected, in the order of the input.
    path : path-like
        The file to write; replaced whole if it is there.

    Returns
    -------
    path : Path
        The file.
    """
    path, rejects = Path(path), list(rejects)
    columns = {
        "row": pa.array([each.row for each in rejects], pa.int64()),
        "reason": pa.array([each.reason for each in rejects], pa.string()),
    }
    part = path.with_name(path.name + ".part")
    pq.write_table(pa.table(columns), part)
    os.replace(part, path)
    return path


def keep_rejects(rejects, path):
    """Write rejected rows, or remove the list that an earlier run left where there are none.

    Parameters
    ----------
    rejects : sequence of Reject
        What was rejected.
    path : path-like
        The file.
    """
    if rejects:
        write_rejects(rejects, path)
    else:
        Path(path).unlink(missing_ok=True)


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
