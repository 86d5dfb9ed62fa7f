"""Reading an audit's record: which number decided a gate, and the core AUC row by row."""

import math
from dataclasses import dataclass

from gen5astro.verdict import Status

__all__ = [
    "CoreRow",
    "NormalizerRow",
    "cause_is_open",
    "classic_threshold",
    "core_rows",
    "deciding_finding",
    "gates_with",
    "normalizer_rows",
    "recommended_normalizer",
    "top_cause",
]


@dataclass(frozen=True)
class CoreRow:
    """Core AUC of one view and stratum.

    Parameters
    ----------
    view, stratum : str
        Where it was measured.
    measured, explained, unexplained : dict or None
        The findings; None where the audit has none.
    """

    view: str
    stratum: str
    measured: dict | None = None
    explained: dict | None = None
    unexplained: dict | None = None

    @property
    def status(self):
        """Status of the unexplained AUC; None where there is none."""
        return (self.unexplained or {}).get("status")

    @property
    def judged(self):
        """Whether the unexplained AUC was judged to PASS or FAIL."""
        return self.status in (Status.PASS, Status.FAIL)

    @property
    def hosts(self):
        """Effective number of independent hosts; None where not said."""
        return next((f["hosts"] for f in (self.unexplained, self.measured) if f and f.get("hosts") is not None), None)


def core_rows(record, *, view=None):
    """Core AUC of an audit, a row for each view and stratum in the order of the record.

    Parameters
    ----------
    record : dict
        An audit's record.
    view : str, optional
        Keep this view only.

    Returns
    -------
    rows : list of CoreRow
        Empty where the audit has no gate ``core_leakage``.
    """
    found = {}
    for finding in record.get("gates", {}).get("core_leakage", {}).get("findings", ()):
        kind, _, rest = finding["name"].rpartition("_auc")
        if kind in ("measured", "explained", "unexplained") and not rest:
            place = finding.get("view") or "single", finding.get("stratum") or "all"
            found.setdefault(place, {})[kind] = finding
    rows = [CoreRow(*place, **kinds) for place, kinds in found.items()]
    return [row for row in rows if view is None or row.view == view]


@dataclass(frozen=True)
class NormalizerRow:
    """What one kind of normalizer tells of the arc.

    Parameters
    ----------
    kind : str
        The kind.
    statistics, core, excess : dict or None
        The findings: AUC of location and scale, of the core, and what the core has beyond the ctrl's scaling.
    """

    kind: str
    statistics: dict | None = None
    core: dict | None = None
    excess: dict | None = None


def normalizer_rows(record):
    """Compare the normalizers of an audit.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    rows : list of NormalizerRow
        In the order of the record; empty where it has no gate ``normalization_leakage``.
    """
    fields = {"statistics_auc": "statistics", "core_auc": "core", "core_excess_auc": "excess"}
    found = {}
    for finding in _normalizer_findings(record):
        name, colon, kind = finding["name"].partition(":")
        if colon and name in fields:
            found.setdefault(kind, {})[fields[name]] = finding
    return [NormalizerRow(kind, **numbers) for kind, numbers in found.items()]


def recommended_normalizer(record):
    """Find the normalizer that an audit recommends.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    kind : str or None
        None where it recommends none.
    """
    names = (finding["name"].partition(":") for finding in _normalizer_findings(record))
    return next((kind for name, _, kind in names if name == "recommended"), None)


def _normalizer_findings(record):
    return record.get("gates", {}).get("normalization_leakage", {}).get("findings") or ()


def deciding_finding(gate):
    """Find the number behind a gate's verdict: of those that share its status, the one farthest beyond its limits.

    Where none is beyond, it is the one closest to them. Like the verdict itself it does not rest on the paired view.

    Parameters
    ----------
    gate : dict
        A gate's record.

    Returns
    -------
    finding : dict or None
        None where the gate has no findings, or where its note says what no number does: nothing was measured, or a
        number within its limits did not pass.
    """
    findings = gate.get("findings") or []
    findings = [each for each in findings if each.get("view") != "paired"] or findings
    alike = [each for each in findings if each.get("status") == gate.get("status")] or findings
    finding = max(alike, key=_excess, default=None)
    if finding is None or finding.get("value") is None:
        return None
    passed_over = gate["status"] != Status.PASS and math.isfinite(_excess(finding)) and _excess(finding) <= 0
    return None if passed_over and gate.get("note") else finding


def _excess(finding):
    """How far a finding is beyond its limits, in units of their size; negative inside."""
    value, low, high = (finding.get(key) for key in ("value", "low", "high"))
    if value is None or (low is None and high is None):
        return -math.inf
    sides = [low - value] if low is not None else []
    sides += [value - high] if high is not None else []
    size = max(abs(end) for end in (low, high) if end is not None) or 1.0
    return max(sides) / size


def gates_with(record, *statuses, advisory=False):
    """Names of the gates that have one of some statuses.

    Parameters
    ----------
    record : dict
        An audit's record.
    *statuses : Status
        Which.
    advisory : bool
        Whether to list the gates that speak of a training option alone, instead of all others.

    Returns
    -------
    names : list of str
        In the order of the record.
    """
    gates = record.get("gates", {}).items()
    return [name for name, gate in gates if gate["status"] in statuses and bool(gate.get("advisory")) is advisory]


def classic_threshold(record):
    """Threshold of the classic core-only test.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    threshold : float
        0.70 where the record does not say.
    """
    return record.get("thresholds", {}).get("classic_auc", 0.70)


def cause_is_open(record):
    """Say whether no cause is named because gates that it would explain could not be computed.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    is_open : bool
        True where the diagnosis says ``unknown`` of an audit that is incomplete.
    """
    return (record.get("diagnosis") or {}).get("top") == "unknown" and record.get("status") == Status.ERROR


def top_cause(record):
    """Find the cause that the diagnosis names.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    cause : dict or None
        None where there is no diagnosis, or where the cause that it names is not among those that it describes.
    """
    diagnosis = record.get("diagnosis") or {}
    causes = diagnosis.get("causes") or ()
    return next((each for each in causes if each["name"] == diagnosis.get("top")), None)
