"""The table of rows that could not be used."""

import contextlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.errors import Gen5Error, RejectedError

__all__ = ["check_rejects", "keep_rejects", "refuse_early", "rejects_note", "rejects_path", "write_rejects"]


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


def check_rejects(label, rejects, *, n_in, n_ok, allowed, place=None, resumable=False):
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
    resumable : bool
        Whether what is done is kept, so that one can go on with more rejects allowed.

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
            remedy=f"{listed}mend the rows, or {_allow_more(resumable)}",
        )


def refuse_early(label, rejects, *, n_in, allowed, place, resumable=False, source=None):
    """Refuse once more rows are rejected than may be in the end, however good the others are; list those so far.

    Parameters
    ----------
    label : str
        What to call the input in messages.
    rejects : sequence of Reject
        Rows that cannot be used, so far.
    n_in : int
        Rows of the whole input.
    allowed : float
        Largest share of rejects.
    place : path-like
        Where to list them.
    resumable : bool
        As in `check_rejects`.
    source : object, optional
        As in `write_rejects`.

    Raises
    ------
    RejectedError
        Always: whoever counts them knows when.
    """
    keep_rejects(rejects, place, source=source)
    first = rejects[0]
    raise RejectedError(
        label,
        got=f"{len(rejects):,} rejected up to row {rejects[-1].row:,} (row {first.row}: {first.reason})",
        expected=f"at most {allowed:.2%} of {n_in:,}",
        remedy=f"see {place}, mend the rows, or {_allow_more(resumable)}",
    )


def _allow_more(resumable):
    return ("go on with --resume " if resumable else "allow more with ") + "--max-reject-fraction F"


def write_rejects(rejects, path, *, source=None):
    """Write rejected rows as Parquet, one row each.

    These are ``row``, ``reason`` and ``left_out`` (whether the row is as good as any, and is left out on purpose); then
    what tells the row in the input, from the source's `identify`.

    Parameters
    ----------
    rejects : iterable of Reject
        What was rejected, in the order of the input.
    path : path-like
        The file to write; replaced whole if it is there.
    source : PairSource, optional
        Where the rows are from.

    Returns
    -------
    path : Path
        The file.
    """
    path, rejects = Path(path), list(rejects)
    columns = {
        "row": pa.array([each.row for each in rejects], pa.int64()),
        "reason": pa.array([each.reason for each in rejects], pa.string()),
        "left_out": pa.array([each.digest is not None for each in rejects], pa.bool_()),
    }
    # An input that is gone by now must not take the list with it.
    with contextlib.suppress(Gen5Error, OSError):
        told = {} if source is None else source.identify([each.row for each in rejects])
        columns |= {name: pa.array(values) for name, values in told.items()}
    part = path.with_name(path.name + ".part")
    pq.write_table(pa.table(columns), part)
    os.replace(part, path)
    return path


def keep_rejects(rejects, path, *, source=None):
    """Write rejected rows, or remove the list that an earlier run left where there are none.

    Parameters
    ----------
    rejects : sequence of Reject
        What was rejected.
    path : path-like
        The file.
    source : PairSource, optional
        Where the rows are from.
    """
    if rejects:
        write_rejects(rejects, path, source=source)
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
    # Lists of older versions do not tell.
    left_out = sum(each.get("left_out", False) for each in rejects)
    told = f" ({left_out:,} left out on purpose: they do not count toward the limit)" if left_out else ""
    return f"{rows} rejected{told}, see {path}; the first, row {rejects[0]['row']}: {rejects[0]['reason']}"
