"""What an audit, a self-test of it, a training run and a committee leave in their folders."""

from pathlib import Path

from gen5astro.report.html import (
    write_audit_page,
    write_committee_page,
    write_selftest_page,
    write_training_page,
)
from gen5astro.report.json import write_json
from gen5astro.report.junit import write_junit
from gen5astro.table import write_table

__all__ = ["write_audit", "write_committee", "write_selftest", "write_training"]


def write_audit(result, out, *, junit=None):
    """Write ``measure.parquet``, ``audit.html`` and, last, ``audit.json``: where that is, all is.

    Parameters
    ----------
    result : AuditResult
        The audit.
    out : path-like
        Folder that is there; files in it are replaced.
    junit : path-like, optional
        Write the gates as JUnit XML here as well.
    """
    out = Path(out)
    write_table(result.table, out / "measure.parquet")
    why = "" if result.worst else "only the measurement table was read; `gen5astro report` reads the pairs"
    write_audit_page(result.record, result.worst, out / "audit.html", rejects=result.rejects, why=why)
    if junit is not None:
        write_junit(result.record, junit)
    write_json(result.record, out / "audit.json")


def write_selftest(record, out):
    """Write ``selftest.html`` and, last, ``selftest.json``.

    Parameters
    ----------
    record : dict
        A self-test's record.
    out : path-like
        Folder that is there; files in it are replaced.
    """
    out = Path(out)
    write_selftest_page(record, out / "selftest.html")
    write_json(record, out / "selftest.json")


def write_training(record, out):
    """Write ``training.html`` and, last, ``training.json`` beside the checkpoints of a run.

    Parameters
    ----------
    record : dict
        A run's record.
    out : path-like
        Folder of the run; files in it are replaced.
    """
    out = Path(out)
    write_training_page(record, out / "training.html")
    write_json(record, out / "training.json")


def write_committee(record, out):
    """Write the page and record of every member, then ``committee.html`` and, last, ``committee.json``.

    Parameters
    ----------
    record : dict
        A committee's record.
    out : path-like
        Folder that the members' folders are in; files in it are replaced.
    """
    out = Path(out)
    for member in record["members"]:
        write_training(member, member["run"])
    write_committee_page(record, out / "committee.html")
    write_json(record, out / "committee.json")
