"""Reading records back, and an audit's worst pairs, so that they can be shown again."""

import json
from pathlib import Path

import numpy as np

from gen5astro.errors import FormatError, Gen5Error
from gen5astro.io.pairs import BlockRef, Reject
from gen5astro.io.records import read_record
from gen5astro.verdict import Status

__all__ = ["is_selftest", "load_audit", "load_selftest", "read_rejects", "read_worst"]

_OF_A_SELFTEST = {
    *("status", "shortfalls", "gates", "clean", "faults", "together", "complete", "notes", "counts", "input", "limits")
}
_OF_A_FAULT = {
    *("fault", "strength", "unit", "grade", "promised", "sets", "right", "named", "mistaken_for", "any_gate", "gates")
}


def load_audit(path):
    """Read an audit's record and check that it has the shape that every view of it rests on.

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
        If there is no such file.
    FormatError
        If it is not JSON, or not an audit's record.
    SchemaError
        If it is not an audit of the version that this code knows.
    """
    from gen5astro.carried_audit import read_audit

    record = read_audit(path)
    known = list(Status)
    if record.get("status") not in known:
        raise FormatError(f"audit {path}", got=f"status {record.get('status')!r}", expected=", ".join(known))
    gates = record.get("gates")
    if not isinstance(gates, dict) or not gates:
        raise FormatError(f"audit {path}", got="no gates", expected="an audit.json as audit-injection writes it")
    for name, gate in gates.items():
        if not isinstance(gate, dict) or gate.get("status") not in known:
            raise FormatError(f"audit {path}", got=f"gate {name} without a status", expected=", ".join(known))
        findings = gate.get("findings") or []
        if not all(isinstance(each, dict) and {"name", "value", "status"} <= set(each) for each in findings):
            raise FormatError(f"audit {path}", got=f"findings of {name} without name, value or status")
    return record


def is_selftest(path):
    """Tell whether a file is the record of a self-test, of whatever version.

    Parameters
    ----------
    path : path-like
        Any file, or none.

    Returns
    -------
    is_selftest : bool
        Whether it is JSON that says so.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and str(record.get("schema")).startswith("gen5astro-selftest/")


def load_selftest(path):
    """Read a self-test's record and check that it has the shape that every view of it rests on.

    Parameters
    ----------
    path : path-like
        ``selftest.json``.

    Returns
    -------
    record : dict
        The record.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is not JSON, or lacks what a self-test has.
    SchemaError
        If it is not a self-test of the version that this code knows.
    """
    from gen5astro.selftest import SCHEMA

    expected = "selftest.json of --self-test"
    record = read_record(path, name="self-test", schema=SCHEMA, expected=expected, remedy="run it again")
    lacking = sorted(_OF_A_SELFTEST - set(record))
    if lacking or record["status"] not in list(Status):
        raise FormatError(f"self-test {path}", got=f"no {', '.join(lacking) or 'status'}", expected="a whole record")
    if not all(isinstance(row, dict) and set(row) >= _OF_A_FAULT for row in record["faults"]):
        raise FormatError(f"self-test {path}", got="faults without their numbers", expected="a whole record")
    return record


def read_worst(record, *, pairs=None):
    """Read the pixels of an audit's worst pairs again, where the pairs are still what they were.

    Parameters
    ----------
    record : dict
        An audit's record.
    pairs : str, optional
        Where the pairs are now; default: where they were when they were audited.

    Returns
    -------
    worst : list of dict
        As `gen5astro.report.html.write_audit_page` takes them; empty where one of them cannot be had.
    why : str
        Why not, in a clause; empty where they are there.
    """
    from gen5astro.io import open_pairs

    listed = record.get("worst_pairs") or []
    label = pairs or record.get("input", {}).get("label")
    if not listed:
        return [], "the record lists none"
    if not label:
        return [], "the record does not say where the pairs are"
    try:
        source = open_pairs(label)
        worst = [_read_pair(source, each) for each in listed]
    except (Gen5Error, OSError) as error:
        return [], str(error)
    if any(each is None for each in worst):
        return [], f"{label} no longer holds the pairs that were audited"
    return worst, ""


def _read_pair(source, listed):
    """One pair with its pixels; None where the row holds another pair now."""
    row = listed["row"]
    if not 0 <= row < source.n_rows:
        return None
    block, _ = source.read(BlockRef(row, row + 1))
    if not len(block) or str(block.catalog["pair_id"][0]) != listed["pair_id"]:
        return None
    stamp, ctrl = block.stamp[0], block.ctrl[0]
    return {**listed, "stamp": stamp, "ctrl": ctrl, "residual": np.subtract(stamp, ctrl)}


def read_rejects(path):
    """Read the rows that an audit could not use.

    Parameters
    ----------
    path : path-like
        ``rejects.parquet``.

    Returns
    -------
    rejects : list of Reject
        Empty where there is no such file.
    """
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["row", "reason"])
    except (OSError, ValueError):
        return []
    return [Reject(each["row"], each["reason"]) for each in table.to_pylist()]
