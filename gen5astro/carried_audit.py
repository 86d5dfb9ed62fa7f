"""The audit that a cube carries: of the very pixels that it stores, or it is refused."""

from pathlib import Path

import numpy as np

from gen5astro.errors import FormatError, SchemaError
from gen5astro.io.hdf5_schema import content_digest
from gen5astro.io.records import read_record
from gen5astro.table import read_table
from gen5astro.verdict import AUDIT_SCHEMA

__all__ = ["check_audited", "check_form", "read_audit", "read_digest", "read_measure"]

_STORED_ELSEWHERE = {"row", "group", "region_split", "stamp_digest", "ctrl_digest"} | {
    f"ctrl_fingerprint_{at}" for at in (1, 2, 3, 4)
}


def read_audit(path):
    """Read the record of an audit.

    Parameters
    ----------
    path : path-like
        ``audit.json``.

    Returns
    -------
    record : dict
        The record.

    Raises
    ------
    MissingFileError
        If it is not there.
    FormatError
        If it is no JSON.
    SchemaError
        If it is not an audit of the version that this code knows.
    """
    expected = "audit.json of gen5astro audit-injection"
    return read_record(path, name="audit", schema=AUDIT_SCHEMA, expected=expected, remedy="audit the pairs again")


def check_form(record, path, source, form):
    """Refuse at once an audit of pixels before they get another form: it is of other pixels.

    Parameters
    ----------
    record : dict or None
        The audit, from `read_audit`.
    path : path-like
        Where it is.
    source : PairSource
        The pairs of the build.
    form : str
        Form in which the cube stores pixels.

    Raises
    ------
    SchemaError
        If it is not of the pixels that the cube will have.
    """
    if record is None or form in ("float32", getattr(source, "form", None)):
        return
    raise SchemaError(
        f"audit {path}",
        got="an audit of the pixels as they are before they are stored",
        expected=f"one of a cube of {form} pixels, where that cube is what is built from",
        remedy="build without --audit, audit the cube, and build it again from the cube with --audit and --split given",
    )


def read_digest(row, digest, rejects):
    """Digest of all pairs that could be read, as an audit has it: with those left out on purpose.

    Parameters
    ----------
    row : int64 array, (n,)
        Rows of the input that are in the cube.
    digest : uint64 array, (n, 2)
        Digest of each stamp and ctrl.
    rejects : list of Reject
        Rows that are not.

    Returns
    -------
    text : str
        As `gen5astro.io.hdf5_schema.content_digest` makes it.
    """
    left_out = [each for each in rejects if each.digest is not None]
    others = np.array([each.digest for each in left_out], np.uint64).reshape(-1, 2)
    every = np.concatenate([row, np.array([each.row for each in left_out], np.int64)])
    return content_digest(np.concatenate([digest, others]), every)


def check_audited(record, path, input_digest):
    """Refuse an audit of other pixels.

    Parameters
    ----------
    record : dict or None
        The audit, from `read_audit`.
    path : path-like
        Where it is.
    input_digest : str
        Digest of the pairs that were read, from `read_digest`.

    Raises
    ------
    FormatError
        If it is of normalized pixels.
    SchemaError
        If it is of other pairs.
    """
    if record is None:
        return
    if kind := record.get("input", {}).get("normalizer"):
        got = f"an audit of the pixels as the normalizer {kind} leaves them"
        raise FormatError(
            f"audit {path}",
            got=got,
            expected="one of the pixels as they are stored",
            remedy="audit without --normalized",
        )
    audited = record.get("provenance", {}).get("input_digest")
    if audited != input_digest:
        raise SchemaError(
            f"audit {path}",
            got=f"an audit of pairs {str(audited)[:12]}",
            expected=f"one of the pairs given, {input_digest[:12]}",
            remedy="run gen5astro audit-injection on these pairs and pass its audit.json",
        )


def read_measure(audit, row, known):
    """Return the columns of the measurement table beside an audit, for the rows of the cube, where there is one.

    Parameters
    ----------
    audit : path-like
        ``audit.json``.
    row : int64 array, (n,)
        Rows of the input that are in the cube.
    known : set of str
        Columns that the cube has already.

    Returns
    -------
    columns : dict of array, (n, ...) or None
        By name.

    Raises
    ------
    SchemaError
        If the table has other rows.
    """
    path = Path(audit).with_name("measure.parquet")
    if not path.is_file():
        return None
    table = read_table(path)
    table = table.select(np.isin(table["row"], row))
    if not np.array_equal(table["row"], row):
        raise SchemaError(
            f"measurements {path}", got="other rows than the audit beside it", remedy="audit the pairs again"
        )
    return {name: values for name, values in table.columns.items() if name not in known | _STORED_ELSEWHERE}
