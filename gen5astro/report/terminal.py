"""Records as tables in the terminal; they read as well without color and at a width of 80."""

from collections import Counter

from rich import box
from rich.table import Table
from rich.text import Text

from gen5astro.report.appearance import SERSIC, interval_text, limits_text, look, number, spread, stratum_text
from gen5astro.report.baseline import comparison_sentence, of_kind
from gen5astro.report.causes import shown_magnitudes
from gen5astro.report.console import PROSE, open_console
from gen5astro.report.explanation import explanation_sentence, percent, percent_interval, share_strata
from gen5astro.report.findings import classic_threshold, core_rows, deciding_finding
from gen5astro.report.selftest import (
    alarm_rows,
    grade_grid,
    selftest_verdict,
    share_text,
    shown_gates,
    taken_for,
    terms_sentence,
)
from gen5astro.report.sentences import audit_verdict, comparison_verdict, evaluation_verdict, next_steps

__all__ = ["print_audit", "print_committee", "print_demo", "print_evaluation", "print_selftest", "print_training"]


def print_audit(record, *, console=None):
    """Print an audit: verdict, gates, core AUC by stratum, causes, counts and what to do next.

    Parameters
    ----------
    record : dict
        An audit's record.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    verdict = audit_verdict(record)
    console.print(Text.assemble(_status(record.get("status")), "  ", (verdict.headline, "bold")))
    if verdict.sentence:
        console.print(Text(verdict.sentence))
    console.print(_gates_table(record))
    rows = core_rows(record, view="single")
    if rows:
        console.print(_core_table(rows, classic_threshold(record)))
    if record.get("explanation"):
        console.print(_explanation_table(record))
        console.print(Text(explanation_sentence(record)))
        console.print()
    causes = (record.get("diagnosis") or {}).get("causes")
    if causes:
        console.print(_causes_table(causes))
    if record.get("baseline"):
        _print_baseline(record["baseline"], console)
    console.print(_counts(record.get("counts", {})))
    _print_steps("Next", next_steps(record), console)


def print_demo(record, *, console=None):
    """Print the demo: the two audits side by side, the network's verdict, the pages to open and what to type next.

    Parameters
    ----------
    record : dict
        From `gen5astro.demo.run_demo`.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    verdict = comparison_verdict(record["clean"], record["pedestal"])
    console.print(Text(verdict.headline, style="bold"))
    console.print(Text(verdict.sentence))
    right = [(name, "right") for name in ("clean", "unexplained", "pedestal", "unexplained")]
    table = _table("Core AUC of the clean set and of the one with a pedestal", ("stratum", "kept"), *right)
    rows = [{row.stratum: row for row in core_rows(record[name], view="single")} for name in ("clean", "pedestal")]
    for stratum in rows[0]:
        cells = []
        for row in (each[stratum] for each in rows if stratum in each):
            cells += [number((row.measured or {}).get("value"), places=2), spread(row.unexplained, signed=True)]
        _add(table, stratum_text(stratum), *cells)
    console.print(table)
    network = evaluation_verdict(record["evaluation"])
    console.print(Text(f"{network.headline} {network.sentence}"))
    _print_steps("Open", [f"{link['label']}: {link['href']}" for link in record["links"]], console)
    _print_steps("Next, on your own pairs", record["next"], console)


def print_evaluation(record, *, console=None):
    """Print an evaluation: verdict, metrics with intervals, completeness and the real candidates.

    Parameters
    ----------
    record : dict
        An evaluation's record.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    verdict = evaluation_verdict(record)
    console.print(Text.assemble(_status(record.get("status")), "  ", (verdict.headline, "bold")))
    if verdict.sentence:
        console.print(Text(verdict.sentence))
    table = _table("Metrics", "metric", ("value", "right"), ("95 % interval", "right"), "note")
    for each in record.get("metrics", ()):
        _add(table, each["name"], *_with_interval(each), each.get("note"))
    for each in record.get("completeness", ()):
        _add(table, f"completeness at FPR {number(each['fpr'])}", *_with_interval(each), each.get("note"))
    console.print(table)
    if record.get("candidates"):
        table = _table("Real candidates", "name", ("score", "right"), ("above ctrls", "right"))
        for each in record["candidates"]:
            if each.get("score") is not None:
                share = number(each["percentile_among_ctrl"], places=1)
                _add(table, each["name"], number(each["score"], places=3), f"{share} %")
        if table.row_count:
            console.print(table)
        for why, n in Counter(each.get("note") for each in record["candidates"] if each.get("score") is None).items():
            console.print(Text(f"{n} real candidates are not scored: {why}"))
    console.print(_counts(record.get("counts", {})))
    _print_warnings(record, console)


def print_committee(summary, *, console=None):
    """Print how the members of a committee scatter.

    Parameters
    ----------
    summary : dict
        The record of the committee.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    seeds = [each["config"]["seed"] for each in summary["members"]]
    columns = [("mean", "right"), ("scatter", "right"), *((f"seed {each}", "right") for each in seeds)]
    table = _table("Committee, best epochs on the validation", "what", *columns)
    for name, found in summary["spread"].items():
        values = (found["mean"], found["std"], *found["values"])
        _add(table, name.replace("_", " "), *(number(each, places=4) for each in values))
    console.print(table)
    _print_warnings(summary["members"][0], console)


def print_selftest(record, *, console=None):
    """Print a self-test: verdict, accuracy of the causes and power of the gates by grade, and the false alarms.

    Parameters
    ----------
    record : dict
        A self-test's record.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    verdict = selftest_verdict(record)
    console.print(Text.assemble(_status(record["status"]), "  ", (verdict.headline, "bold")))
    console.print(Text(verdict.sentence))
    for note in record["notes"]:
        console.print(Text(note, style="yellow"))
    if record["faults"]:
        console.print(_grades_table(record, "Sets in which the cause is put first", "right"))
        console.print(_grades_table(record, "Sets in which a gate fires", "any_gate"))
        console.print(_mistakes_table(record))
    if record["clean"]:
        console.print(_alarms_table(record))
        console.print(Text(terms_sentence(record)))
    console.print(_counts(record["counts"]))


def _grades_table(record, title, key):
    header, grid = grade_grid(record)
    table = _table(title, ("fault", "kept"), *((name, "right") for name in header))
    for fault, rows in grid.items():
        cells = (f"{number(row['strength'])}: {share_text(row[key])}" if row else "" for row in rows)
        _add(table, fault, *cells)
    return table


def _mistakes_table(record):
    """What was planted at the promised grade, with the interval, and which gates saw it."""
    table = _table(
        "At the third grade, where the cause is promised",
        ("fault", "kept"),
        ("put first", "right"),
        "taken for",
        "gates that fire",
    )
    fired, _, _ = shown_gates(record)
    for row in (row for row in record["faults"] if row["promised"]):
        shares = {gate: row["gates"][gate] for gate in fired if row["gates"][gate]["count"]}
        gates = [gate if each["share"] == 1 else f"{gate} {share_text(each)}" for gate, each in shares.items()]
        _add(table, row["fault"], share_text(row["right"], interval=True), taken_for(row), ", ".join(gates))
    return table


def _alarms_table(record):
    table = _table(f"False alarms on {number(record['clean']['sets'])} clean sets", "what", ("share", "right"))
    for what, each in alarm_rows(record):
        _add(table, what, share_text(each, interval=True))
    return table


def print_training(summary, *, console=None):
    """Print what a training run did.

    Parameters
    ----------
    summary : dict
        Its single values are printed, a line each, and those of its ``best`` epoch.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    table = _table("Training", "what", ("value", "right"))
    history = summary.get("history") or [{}]
    best = dict(summary.get("best") or history[-1])
    epoch = {"best epoch": f"{best.pop('epoch')} of {len(history)}"} if "epoch" in best else {}
    for key, value in {**summary, **epoch, **best}.items():
        if isinstance(value, (str, int, float)) and key != "schema":
            _add(table, key.replace("_", " "), number(value))
    console.print(table)
    _print_warnings(summary, console)


def _print_warnings(record, console):
    for warning in record.get("warnings") or ():
        console.print(Text(f"Warning: {warning}", style="yellow"))


def _status(status, *, advisory=False):
    looks = look(status, advisory=advisory)
    return Text(looks.word, style=looks.style)


def _table(title, *columns):
    """Table whose columns are names, or names with how they are set: ``right``, or ``kept`` on one line."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        name, how = column if isinstance(column, tuple) else (column, "")
        justify = "right" if how == "right" else "left"
        width = None if how else PROSE
        table.add_column(Text(name), justify=justify, overflow="fold", no_wrap=bool(how), max_width=width)
    return table


def _add(table, *cells):
    """Add a row; plain text is never read as markup."""
    table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell or "")) for cell in cells))


def _with_interval(each):
    return number(each.get("value"), places=3), interval_text(each.get("interval"), places=3)


def _gates_table(record):
    table = _table(
        "Gates", ("gate", "kept"), ("status", "kept"), "deciding number", ("value", "right"), ("allowed", "right")
    )
    for name, gate in record.get("gates", {}).items():
        status = _status(gate["status"], advisory=gate.get("advisory", False))
        finding = deciding_finding(gate)
        if finding is None:
            _add(table, name, status, gate.get("note"), "", "")
            continue
        where = [finding.get("band"), finding.get("stratum")]
        shown = [stratum_text(each) for each in where if each and each != "all"]
        label = ", ".join([finding["name"], *shown])
        limits = limits_text(finding.get("low"), finding.get("high"))
        _add(table, name, status, label, number(finding.get("value")), limits)
    return table


def _core_table(rows, threshold):
    right = [(name, "right") for name in ("measured", "explained", "unexplained", "hosts")]
    title = f"Core AUC (classic threshold {number(threshold, places=2)})"
    table = _table(title, ("stratum", "kept"), *right, ("status", "kept"))
    for row in rows:
        measured, explained = (number((each or {}).get("value"), places=3) for each in (row.measured, row.explained))
        unexplained = spread(row.unexplained, places=3, signed=True)
        hosts = number(row.hosts, places=0)
        status = _status(row.status) if row.status else ""
        _add(table, stratum_text(row.stratum), measured, explained, unexplained, hosts, status)
    return table


def _explanation_table(record):
    title = f"What an SIE and a {SERSIC} source account for of the core's excess"
    right = [(name, "right") for name in ("share", "95 % interval", "left, of host")]
    table = _table(title, ("stratum", "kept"), ("fitted", "right"), "band", *right)
    for stratum, rows in share_strata(record).items():
        for at, row in enumerate(rows):
            first = (stratum_text(stratum), f"{row['fitted']} of {row['sample']}") if not at else ("", "")
            interval = percent_interval(row["interval"])
            _add(table, *first, row["band"], percent(row["share"]), interval, percent(row["unaccounted"]))
    return table


def _causes_table(causes):
    table = _table(
        "Causes, most likely first", ("cause", "kept"), ("confidence", "right"), "magnitude", "look first at"
    )
    for cause in causes:
        confidence = number(cause.get("confidence"), places=2)
        _add(table, cause["name"], confidence, shown_magnitudes(cause, ", "), cause.get("look_first"))
    return table


def _print_baseline(comparison, console):
    label = comparison.get("label")
    console.print(Text(f"Since the audit of {label}" if label else "Since the earlier audit", style="bold"))
    console.print(Text(comparison_sentence(comparison)))
    gates, aucs, causes = (of_kind(comparison, kind) for kind in ("gates", "aucs", "causes"))
    if gates:
        table = _table("Gates that changed status", ("gate", "kept"), ("before", "kept"), ("after", "kept"))
        keys = ("status_before", "status_after")
        for row in gates:
            _add(
                table,
                row["gate"],
                *(_status(row[key], advisory=row["advisory"]) if row[key] else "none" for key in keys),
            )
        console.print(table)
    columns = [(name, "right") for name in ("before", "after", "change", "95 % interval")]
    if aucs:
        table = _table("Judged AUCs in the single view", "gate", ("stratum", "kept"), *columns)
        for row in aucs:
            _add(table, row["gate"], stratum_text(row["stratum"] or "all"), *_moved(row, places=3))
        console.print(table)
    if causes:
        table = _table("Causes and their magnitudes", "cause", *columns)
        for row in causes:
            name = " ".join(each for each in (row["name"], row["band"], f"[{row['unit']}]") if each)
            _add(table, name, *_moved(row))
        console.print(table)


def _moved(row, *, places=None):
    old, new = (number(row[key], places=places) for key in ("before", "after"))
    change = number(row["change"], places=places, signed=True)
    return old, new, change, interval_text(row["interval"], places=places)


def _counts(counts):
    words = [f"{number(value)} {key.replace('_', ' ')}" for key, value in counts.items()]
    return Text(", ".join(words), style="dim")


def _print_steps(title, steps, console):
    console.print(Text(title, style="bold"))
    for step in steps:
        console.print(Text(f"- {step}"))
