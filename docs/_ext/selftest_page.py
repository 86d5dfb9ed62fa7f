"""The tables of the self-test's page, made from the record that lies beside it.

The directive ``selftest`` is given the file of the record. Another run replaces that file and nothing else.
"""

from pathlib import Path

from from_code import FromCode, code, gate_links, heading, table

from gen5astro.config import SelfTestConfig, as_dict
from gen5astro.report.appearance import number
from gen5astro.report.record import load_selftest
from gen5astro.report.selftest import (
    alarm_rows,
    grade_grid,
    selftest_verdict,
    share_text,
    shown_gates,
    taken_for,
    terms_sentence,
)

RECORD = Path(__file__).resolve().parent.parent / "reference" / "selftest.json"


class SelfTest(FromCode):
    """What a self-test found: causes, gates, false alarms, and what the fit finds in clean pairs."""

    required_arguments = 1

    def lines(self):
        """Return the lines."""
        path, _ = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        record = load_selftest(self.env.srcdir / path)
        lines = [told(record), ""]
        for title, made in SECTIONS.items():
            if content := made(record):
                lines += [*heading(title), *content]
        return lines


def told(record):
    """Return what was run and what it found, in sentences."""
    counts, provenance = record["counts"], record["provenance"]
    default = as_dict(SelfTestConfig())
    section = provenance["config"]["selftest"]
    chosen = [f"--set selftest.{key}={section[key]}".lower() for key in section if section[key] != default.get(key)]
    command = " ".join(["gen5astro audit-injection --self-test", *chosen])
    sets, pairs = (number(counts[name]) for name in ("sets_judged", "pairs_a_set"))
    source = f"``{command}`` with gen5astro {provenance['versions']['gen5astro']}"
    verdict = f"**{record['status']}**. {selftest_verdict(record).sentence}"
    return f"{verdict} These are {sets} sets of {pairs} pairs, from {source}."


def accuracy(record):
    """Return the table of causes: in which share of the sets the planted fault is put first."""
    header, grid = grade_grid(record)
    rows = [[f"{code(fault)} [{unit_of(each)}]", *map(right_cell, each)] for fault, each in grid.items()]
    text = (
        "Share of the sets in which the planted fault is the first cause of the diagnosis, with its 95 % interval, by "
        "strength, and what it was taken for otherwise. The third grade, in bold, is promised."
    )
    return [text, "", *table(["fault [unit of the strength]", *header], rows, [4, *[4] * len(header)])]


def unit_of(rows):
    """Return the unit of a fault's strength."""
    return next(row["unit"] for row in rows if row)


def right_cell(row):
    """Return a cell of the table of causes."""
    if row is None:
        return ""
    share = share_text(row["right"])
    share = f"**{share}**" if row["promised"] else share
    low_high = share_text(row["right"], interval=True).partition(" (")[2].rstrip(")")
    taken = f"; {taken_for(row)}" if row["mistaken_for"] else ""
    return f"{number(row['strength'])}: {share} ({low_high}){taken}"


def power(record):
    """Return the table of gates: which fire, in which share of the sets."""
    fired, silent, advisory = shown_gates(record)
    rows = [
        [
            code(row["fault"]),
            number(row["strength"]),
            share_text(row["any_gate"], interval=True),
            gates_cell(row, fired),
        ]
        for row in record["faults"]
    ]
    text = "Share of the sets in which any gate says FAIL, with its 95 % interval, and which gates do."
    quiet = f"Never fired: {gate_links(silent)}." if silent else ""
    unasked = f"Advisory, and not counted: {gate_links(advisory)}." if advisory else ""
    return [
        " ".join([text, quiet, unasked]),
        "",
        *table(["fault", "strength", "any gate", "gates"], rows, [3, 2, 4, 9]),
    ]


def gates_cell(row, fired):
    """Return the gates that fire, each with its share."""
    return ", ".join(f"{gate} {share_text(row['gates'][gate])}" for gate in fired if row["gates"][gate]["count"])


def alarms(record):
    """Return the table of false alarms on clean sets."""
    rows = []
    for what, each in alarm_rows(record):
        name = what.partition(" ")[0]
        linked = what.replace(name, f":ref:`{name} <gate-{name}>`", 1) if name in record["gates"] else what
        rows.append([linked, f"{each['count']} of {record['clean']['sets']}", share_text(each, interval=True)])
    return table(["on clean sets", "sets", "share and 95 % interval"], rows, [4, 2, 4]) if rows else []


def terms(record):
    """Return the table of the fitted terms' means over clean pairs."""
    if not record["clean"]:
        return []
    rows = [
        [code(row["term"]), row["band"], mean_cell(row), number(row["limit"]), row["unit"], code(row["cause"])]
        for row in record["clean"]["terms"]
    ]
    text = f"{terms_sentence(record)} Errors are standard errors with the pairs of a host kept together."
    return [text, "", *table(["term", "band", "mean", "limit", "unit", "mark of"], rows, [3, 1, 4, 2, 4, 3])]


def mean_cell(row):
    """Return a mean with its error."""
    return f"{number(row['mean'], places=5, signed=True)} ± {number(row['error'], places=5)}"


def together(record):
    """Return the table of two faults at once; nothing where none were planted."""
    if not record["together"]:
        return []
    rows = [
        [" and ".join(map(code, row["faults"])), share_text(row["both"], interval=True), share_text(row["either"])]
        for row in record["together"]
    ]
    text = "Both at their third grade. They are found where they are the first two causes named."
    return [text, "", *table(["faults", "both first", "at least one"], rows, [5, 4, 2])]


SECTIONS = {
    "Causes": accuracy,
    "Gates": power,
    "False alarms": alarms,
    "What the fit finds in clean pairs": terms,
    "Two faults at once": together,
}


def setup(app):
    """Register the directive."""
    app.add_directive("selftest", SelfTest)
    return {"parallel_read_safe": True}
