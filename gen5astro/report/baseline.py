"""What changed between two audits, as plain data and in a sentence."""

import math

from gen5astro.report.appearance import NOTHING, interval_text, look, number

__all__ = ["change_interval", "changes", "compare_audits", "comparison_sentence", "of_kind", "with_baseline"]

ARROW = "\N{RIGHTWARDS ARROW}"


def with_baseline(record, earlier):
    """Add what changed since an earlier audit to a record.

    Parameters
    ----------
    record : dict
        An audit's record.
    earlier : dict or None
        Record of the earlier one; None leaves the record as it is.

    Returns
    -------
    record : dict
        With ``baseline``, from `compare_audits`.
    """
    return record if earlier is None else {**record, "baseline": compare_audits(earlier, record)}


def compare_audits(before, after):
    """Compare an audit with an earlier one.

    Parameters
    ----------
    before, after : dict
        Records of the two audits.

    Returns
    -------
    comparison : dict
        ``label`` of the earlier input; ``same_input``, whether both audits saw the same pixels (None where a record
        does not say); ``status_before`` and ``status_after``; ``cause_before`` and ``cause_after``, the top causes;
        ``settings``, a list of ``{key, before, after}`` of the configuration that differs; and ``changes``, see
        `changes`.
    """
    digests = [record.get("provenance", {}).get("input_digest") for record in (before, after)]
    causes = [(record.get("diagnosis") or {}).get("top") for record in (before, after)]
    return {
        "label": before.get("input", {}).get("label"),
        "same_input": digests[0] == digests[1] if all(digests) else None,
        "status_before": before.get("status"),
        "status_after": after.get("status"),
        "cause_before": causes[0],
        "cause_after": causes[1],
        "settings": _settings(before, after),
        "changes": changes(before, after),
    }


def changes(before, after):
    """List what differs between two audits: statuses of gates, judged numbers and AUCs, causes and their magnitudes.

    Parameters
    ----------
    before, after : dict
        Records of the two audits.

    Returns
    -------
    rows : list of dict
        ``gate``, ``name``, ``view``, ``stratum``, ``band``, ``before``, ``after``, ``change``, ``interval`` (95 % of
        the change, see `change_interval`), ``interval_before``, ``interval_after``, ``unit``, ``status_before`` and
        ``status_after``, None where an audit has none; and ``advisory``, whether the gate speaks of a training option
        alone. A row without a name is the status of the gate itself; rows of the gate ``diagnosis`` are causes: their
        confidence, and with a band their magnitude there.
    """
    gates = [record.get("gates", {}) for record in (before, after)]
    rows = []
    for name in dict.fromkeys([*gates[1], *gates[0]]):
        pair = [each.get(name, {}) for each in gates]
        advisory = any(each.get("advisory") for each in pair)
        status = [{"status": each.get("status")} for each in pair]
        rows += _different((name, None, None, None, None), *status, advisory=advisory)
        found = [_findings(name, each) for each in pair]
        for place in dict.fromkeys([*found[1], *found[0]]):
            rows += _different(place, *(each.get(place, {}) for each in found), advisory=advisory)
    causes = [_causes(record) for record in (before, after)]
    for place in dict.fromkeys([*causes[1], *causes[0]]):
        rows += _different(place, *(each.get(place, {}) for each in causes))
    return rows


def _findings(gate, record):
    """Findings that were judged, and AUCs, by where they were measured."""
    kept = {}
    for each in record.get("findings") or ():
        is_auc = each["name"].endswith("_auc") and not each["name"].startswith("null")
        if each["status"] != "SKIP" or is_auc:
            kept[gate, each["name"], each.get("view"), each.get("stratum"), each.get("band")] = each
    return kept


def _causes(record):
    """Confidence and magnitudes of each cause, as findings."""
    kept = {}
    for cause in (record.get("diagnosis") or {}).get("causes") or ():
        kept["diagnosis", cause["name"], None, None, None] = {"value": cause.get("confidence"), "unit": "confidence"}
        for band, each in (cause.get("magnitude") or {}).items():
            error = each.get("error")
            value, wide = each.get("value"), None if error is None else 1.96 * error
            interval = None if value is None or wide is None else [value - wide, value + wide]
            finding = {"value": value, "interval": interval, "unit": each.get("unit")}
            kept["diagnosis", cause["name"], None, None, band] = finding
    return kept


def _different(place, before, after, *, advisory=False):
    """Row of one number as a list; empty where nothing differs."""
    values, statuses = ([each.get(key) for each in (before, after)] for key in ("value", "status"))
    if values[0] == values[1] and statuses[0] == statuses[1]:
        return []
    intervals = [each.get("interval") for each in (before, after)]
    known = None not in values
    return [
        {
            **dict(zip(("gate", "name", "view", "stratum", "band"), place, strict=True)),
            "before": values[0],
            "after": values[1],
            "change": values[1] - values[0] if known else None,
            "interval": change_interval(values, intervals) if known else None,
            "interval_before": intervals[0],
            "interval_after": intervals[1],
            "unit": after.get("unit") or before.get("unit"),
            "status_before": statuses[0],
            "status_after": statuses[1],
            "advisory": advisory,
        }
    ]


def change_interval(values, intervals):
    """Interval of the difference of two numbers from their own, taken as independent.

    The method of variance estimates recovery, after Zou & Donner (2008, Stat. Med. 27, 1693). Where both audits drew on
    the same hosts the numbers are positively correlated, and the interval is wider than it need be.

    Parameters
    ----------
    values : sequence of float
        Before and after.
    intervals : sequence
        The interval of each; None where unknown.

    Returns
    -------
    interval : list of float or None
        Of after less before; None where an end is unknown.
    """
    if any(interval is None or None in interval for interval in intervals):
        return None
    (old_low, old_high), (new_low, new_high) = intervals
    old, new = values
    down = math.hypot(new - new_low, old_high - old)
    up = math.hypot(new_high - new, old - old_low)
    return [new - old - down, new - old + up]


def of_kind(comparison, kind):
    """Choose the rows of a comparison that a reader is shown together.

    Parameters
    ----------
    comparison : dict
        From `compare_audits`.
    kind : {'gates', 'aucs', 'causes', 'others'}
        Statuses of gates; judged AUCs of the single view; causes; the other numbers.

    Returns
    -------
    rows : list of dict
        In the order of the comparison.
    """
    return [row for row in comparison["changes"] if _kind(row) == kind]


def _kind(row):
    if row["gate"] == "diagnosis":
        return "causes"
    if row["name"] is None:
        return "gates"
    judged = {row["status_before"], row["status_after"]} - {"SKIP", None}
    return "aucs" if judged and row["name"].endswith("_auc") and row["view"] == "single" else "others"


def comparison_sentence(comparison):
    """Say what changed between two audits.

    Parameters
    ----------
    comparison : dict
        From `compare_audits`.

    Returns
    -------
    sentence : str
        Status, gates, the unexplained core AUC over all pairs, the top cause, and what makes the two hard to compare.
    """
    words = (look(comparison[key]).word for key in ("status_before", "status_after"))
    old, new = words
    parts = [f"Was {old}, is {new}." if old != new else f"Still {new}."]
    gates = of_kind(comparison, "gates")
    parts.append(f"{len(gates)} {'gate' if len(gates) == 1 else 'gates'} changed status." if gates else "")
    core = [
        row for row in of_kind(comparison, "aucs")
        if (row["gate"], row["name"], row["stratum"]) == ("core_leakage", "unexplained_auc", "all")
    ]  # fmt: skip
    parts += [_core_words(row) for row in core if row["change"] is not None]
    if comparison["cause_before"] != comparison["cause_after"]:
        causes = [comparison[key] or "none named" for key in ("cause_before", "cause_after")]
        parts.append(f"Top cause: {causes[0]} {ARROW} {causes[1]}.")
    if not comparison["changes"]:
        parts.append("No number differs.")
    if comparison["same_input"]:
        parts.append("Both audits saw the same pixels.")
    if comparison["settings"]:
        keys = ", ".join(each["key"] for each in comparison["settings"])
        parts.append(f"The settings differ as well ({keys}), so that not all of it need be the injection's doing.")
    return " ".join(part for part in parts if part)


def _core_words(row):
    old, new = (number(row[key], places=3, signed=True) for key in ("before", "after"))
    interval = interval_text(row["interval"], places=3) or NOTHING
    change = number(row["change"], places=3, signed=True)
    return f"Unexplained core AUC over all pairs {old} {ARROW} {new}: a change of {change} (95 % {interval})."


def _settings(before, after):
    """Keys of the configuration that differ."""
    flat = [_flat(record.get("provenance", {}).get("config") or {}) for record in (before, after)]
    keys = dict.fromkeys([*flat[1], *flat[0]])
    rows = [{"key": key, "before": flat[0].get(key), "after": flat[1].get(key)} for key in keys]
    return [row for row in rows if row["before"] != row["after"]]


def _flat(record, prefix=""):
    flat = {}
    for key, value in record.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
