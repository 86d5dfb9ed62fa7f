"""An audit as JUnit XML, the format in which continuous integration reads test results.

A gate is a test suite and a number that it judged a test case. The file has a failure or an error exactly where the
audit does not pass, so that it and the exit code never disagree.
"""

import re
from xml.etree import ElementTree

from gen5astro.report.appearance import interval_text, limits_text, look, number
from gen5astro.report.json import write_text
from gen5astro.verdict import Status

__all__ = ["junit_xml", "write_junit"]

# What XML 1.0 cannot hold, not even as a reference.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(record, path):
    """Write an audit as JUnit XML, whole or not at all.

    Parameters
    ----------
    record : dict
        An audit's record.
    path : path-like
        File to make or replace.
    """
    write_text(junit_xml(record), path)


def junit_xml(record):
    """Return an audit as JUnit XML.

    PASS is a test that passed, FAIL a failure, ERROR an error. A number with too few hosts is a failure where its whole
    gate could not be judged, else skipped; so is what the audit's status does not rest on, the paired view and the
    gates that speak of a training option alone. A gate without a number of its own has one test case, its verdict.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    text : str
        An XML document in UTF-8.
    """
    suites = [(name, gate, _cases(gate)) for name, gate in record.get("gates", {}).items()]
    status = record.get("status")
    bad = any(outcome in ("failure", "error") for _, _, cases in suites for _, outcome, _, _ in cases)
    if not bad and status not in (Status.PASS, Status.SKIP):
        gate = {"status": status, "note": "the audit as a whole"}
        suites.append(("audit", gate, [_verdict(gate)]))
    seconds = record.get("provenance", {}).get("seconds")
    root = ElementTree.Element("testsuites", name="gen5astro audit-injection", time=_seconds(seconds))
    totals = dict.fromkeys(("tests", "failures", "errors"), 0)
    for name, gate, cases in suites:
        counts = _add_suite(root, name, gate, cases, record)
        totals = {key: totals[key] + counts[key] for key in totals}
    for key, count in totals.items():
        root.set(key, str(count))
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add_suite(root, name, gate, cases, record):
    kinds = [outcome for _, outcome, _, _ in cases]
    counts = {"tests": len(cases), "failures": kinds.count("failure"), "errors": kinds.count("error")}
    attributes = {key: str(count) for key, count in (counts | {"skipped": kinds.count("skipped")}).items()}
    suite = ElementTree.SubElement(root, "testsuite", name=_legal(name), **attributes, time="0")
    properties = ElementTree.SubElement(suite, "properties")
    source = record.get("input", {}).get("label") or ""
    version = record.get("provenance", {}).get("versions", {}).get("gen5astro", "")
    about = {"question": gate.get("question"), "status": gate.get("status"), "input": source, "gen5astro": version}
    for key, value in about.items():
        if value:
            ElementTree.SubElement(properties, "property", name=key, value=_legal(value))
    for case, outcome, kind, message in cases:
        element = ElementTree.SubElement(suite, "testcase", classname=_legal(f"gen5astro.{name}"), name=_legal(case))
        element.set("time", "0")
        if outcome == "passed":
            ElementTree.SubElement(element, "system-out").text = _legal(message)
        elif outcome == "skipped":
            ElementTree.SubElement(element, "skipped", message=_legal(message))
        else:
            ElementTree.SubElement(element, outcome, type=kind, message=_legal(message)).text = _legal(message)
    return counts


def _cases(gate):
    """Cases of a gate: name, outcome (passed, failure, error or skipped), status, message."""
    judged = [each for each in gate.get("findings") or () if each.get("status") != Status.SKIP]
    cases, seen = [], {}
    for finding in judged:
        name = _case_name(finding)
        seen[name] = seen.get(name, 0) + 1
        name = name if seen[name] == 1 else f"{name} #{seen[name]}"
        cases.append((name, _outcome(finding, gate), str(finding.get("status")), _message(finding, gate)))
    kinds = {outcome for _, outcome, _, _ in cases}
    answered = gate["status"] in (Status.PASS, Status.SKIP) or gate.get("advisory") or kinds & {"failure", "error"}
    return cases if cases and answered else [*cases, _verdict(gate)]


def _verdict(gate):
    """Case of a gate as a whole."""
    message = gate.get("note") or f"the gate says {look(gate['status'], advisory=gate.get('advisory', False)).word}"
    return "verdict", _outcome({"status": gate["status"]}, gate), str(gate["status"]), message


def _outcome(finding, gate):
    status = finding.get("status")
    if status == Status.PASS:
        return "passed"
    rests_on = not gate.get("advisory") and finding.get("view") != "paired"
    if not rests_on or status == Status.SKIP:
        return "skipped"
    if status == Status.INSUFFICIENT:
        return "failure" if gate.get("status") == Status.INSUFFICIENT else "skipped"
    return "failure" if status == Status.FAIL else "error"


def _case_name(finding):
    where = [finding.get(key) for key in ("view", "band", "stratum")]
    return f"{finding['name']}[{', '.join(str(each) for each in where if each)}]"


def _message(finding, gate):
    """Sentence on one number: status, value, limits, interval, note."""
    word = look(finding.get("status"), advisory=gate.get("advisory", False)).word
    value = f"{number(finding.get('value'))} {finding.get('unit') or ''}".strip()
    limits = limits_text(finding.get("low"), finding.get("high"))
    interval = interval_text(finding.get("interval"), places=3)
    parts = [
        f"{word}: {finding['name']} = {value}",
        f"allowed {limits}" if limits else "",
        f"95 % interval {interval}" if interval else "",
        finding.get("note") or "",
    ]
    if finding.get("view") == "paired" and finding.get("status") != Status.PASS:
        parts.append("the audit's status does not rest on the paired view")
    return "; ".join(part for part in parts if part)


def _seconds(value):
    return f"{value:.3f}" if isinstance(value, (int, float)) else "0"


def _legal(text):
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", str(text))
