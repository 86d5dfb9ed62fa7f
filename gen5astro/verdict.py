"""Statuses, findings, gate results, and how many of them make one status.

Fail closed: what could not be judged is never PASS.
"""

import enum
import math
from dataclasses import asdict, dataclass, field

__all__ = ["AUDIT_SCHEMA", "Finding", "GateResult", "Limit", "Status", "what_it_means", "worst"]


AUDIT_SCHEMA = "gen5astro-audit/1"
"""Name and version of the record of an audit."""


class Status(enum.StrEnum):
    """What a gate, a finding or an audit may say, from best to worst."""

    PASS = "PASS"
    SKIP = "SKIP"
    INSUFFICIENT = "INSUFFICIENT"
    FAIL = "FAIL"
    ERROR = "ERROR"

    @property
    def passed(self):
        """Whether this status lets a run end with exit code 0."""
        return self in (Status.PASS, Status.SKIP)


_ORDER = list(Status)


def what_it_means(status):
    """Say what an audit that did not pass means to who trains on its pairs.

    Parameters
    ----------
    status : str or Status
        What the audit says.

    Returns
    -------
    meaning : str
        A clause.
    """
    if status == Status.INSUFFICIENT:
        return "not all of it could be judged, so that a network may learn a fault that nobody has seen"
    return "a network may learn the fault, not arcs"


def worst(statuses):
    """Worst of several statuses; SKIP only where nothing was judged, ERROR where nothing is there.

    Parameters
    ----------
    statuses : iterable of Status
        What was found.

    Returns
    -------
    status : Status
        One status for all of them.
    """
    statuses = list(statuses)
    if not statuses:
        return Status.ERROR
    judged = [status for status in statuses if status is not Status.SKIP]
    return max(judged, key=_ORDER.index) if judged else Status.SKIP


@dataclass(frozen=True)
class Limit:
    """Allowed range of a number; an open side is None.

    Parameters
    ----------
    low, high : float or None
        Inclusive bounds in the number's own unit.
    """

    low: float | None = None
    high: float | None = None

    def judge(self, value):
        """Judge one number: NaN is an ERROR, never a PASS.

        Parameters
        ----------
        value : float or None
            The number to judge.

        Returns
        -------
        status : Status
            PASS, FAIL or ERROR.
        """
        if value is None or not math.isfinite(value):
            return Status.ERROR
        too_low = self.low is not None and value < self.low
        too_high = self.high is not None and value > self.high
        return Status.FAIL if too_low or too_high else Status.PASS


@dataclass(frozen=True)
class Finding:
    """One number that a gate looked at.

    Parameters
    ----------
    name : str
        What the number is.
    value : float or None
        The number.
    status : Status
        What the gate makes of it; SKIP where it is shown but not judged.
    view, stratum, band : str, optional
        Where it was measured.
    interval : tuple of float, optional
        95 % interval.
    simultaneous : tuple of float, optional
        95 % interval that is wide enough for all strata to hold theirs at once (Bonferroni).
    low, high : float, optional
        Limits that it was held against.
    hosts : float, optional
        Effective number of independent hosts behind it.
    unit, note : str, optional
        Unit, and a sentence for the reader.
    """

    name: str
    value: float | None
    status: Status
    view: str | None = None
    stratum: str = "all"
    band: str | None = None
    interval: tuple[float, float] | None = None
    simultaneous: tuple[float, float] | None = None
    low: float | None = None
    high: float | None = None
    hosts: float | None = None
    unit: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class GateResult:
    """What one gate says.

    Parameters
    ----------
    name : str
        The gate's name.
    status : Status
        Its verdict.
    question : str
        What it asks.
    findings : tuple of Finding
        The numbers behind the verdict.
    note : str
        A sentence: why it failed, was skipped or could not be judged.
    advisory : bool
        Whether it speaks of a training option alone and leaves the audit's status as it is.
    """

    name: str
    status: Status
    question: str
    findings: tuple[Finding, ...] = field(default=())
    note: str = ""
    advisory: bool = False

    def as_dict(self):
        """Return plain types for JSON; a number that is not finite becomes None.

        Returns
        -------
        record : dict
            Everything but the name, which is the key that it is stored under.
        """
        record = asdict(self)
        del record["name"]
        return _plain(record)


def _plain(thing):
    if isinstance(thing, dict):
        return {key: _plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_plain(value) for value in thing]
    if isinstance(thing, float):
        return float(thing) if math.isfinite(thing) else None
    if isinstance(thing, Status):
        return thing.value
    return thing
