"""What a self-test says: a verdict, the accuracy by fault and grade, the gates that fire, and a drawing of both."""

import numpy as np
from markupsafe import Markup

from gen5astro.report.appearance import number
from gen5astro.report.drawing import ACCENT, QUIET, RULE, floats, new_figure, to_svg
from gen5astro.report.explanation import percent, percent_interval
from gen5astro.report.sentences import Verdict, join
from gen5astro.verdict import Status

__all__ = [
    "alarm_rows",
    "grade_grid",
    "high_terms",
    "power_plot",
    "selftest_verdict",
    "share_text",
    "shown_gates",
    "taken_for",
    "terms_sentence",
]

_GRADES = 4
_COLUMNS = 2


def share_text(share, *, interval=False):
    """Write how often something was so: ``67 %``, or ``67 % (21 to 94 %)``.

    Parameters
    ----------
    share : dict
        With ``share`` and ``interval``.
    interval : bool
        Whether the interval follows.

    Returns
    -------
    text : str
        A percentage; 0 without decimal places.
    """
    text = percent(share["share"]) if share["share"] else "0 %"
    return f"{text} ({percent_interval(share['interval'])})" if interval else text


def taken_for(row):
    """Say for which causes a fault was taken, and how often.

    Parameters
    ----------
    row : dict
        With ``mistaken_for``.

    Returns
    -------
    text : str
        Such as ``gain (2), unknown (1)``, the most frequent first; empty where it was never mistaken.
    """
    ordered = sorted(row["mistaken_for"].items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name.replace('_', ' ')} ({count})" for name, count in ordered)


def alarm_rows(record):
    """List what goes wrong, or would, on clean sets: named causes, gates that fire, and intervals that miss 0.

    Parameters
    ----------
    record : dict
        A self-test's record.

    Returns
    -------
    rows : list of tuple
        What happens, and its share of the clean sets; none where there were none.
    """
    clean = record["clean"]
    if not clean:
        return []
    fired, silent, _ = shown_gates(record)
    rows = [("a fault is named", clean["other_named"]), ("a fault is put first", clean["other_top"])]
    rows += [("any gate fires", clean["any_gate"])]
    rows += [(f"{gate} fires", clean["gates"][gate]) for gate in (*fired, *silent)]
    for gate, each in clean["zero"].items():
        rows.append((f"95 % interval of {gate} holds 0", each["holds"]))
        rows.append((f"{gate} would fire with a limit of 0", each["fires"]))
    return rows


def selftest_verdict(record):
    """Say in words what a self-test found.

    Parameters
    ----------
    record : dict
        A self-test's record.

    Returns
    -------
    verdict : Verdict
        Headline and sentence.
    """
    promised = [row for row in record["faults"] if row["promised"]]
    least = record["limits"]["least_right"]
    right = sum(row["right"]["share"] >= least for row in promised)
    parts = []
    if promised:
        parts.append(
            f"{right} of {len(promised)} faults, planted at their third grade, are named first in at least "
            f"{percent(least)} of the sets."
        )
    clean = record["clean"]
    if clean:
        false, most = clean["other_named"], number(100 * record["limits"]["most_false"])
        parts.append(
            f"A fault is named in {false['count']} of {clean['sets']} clean sets "
            f"(95 % interval {percent_interval(false['interval'])}; allowed {most} %)."
        )
    short = [f"{_words(each['fault'])} at {number(each['strength'])}" for each in _missed(record)]
    if short:
        parts.append(f"Short of it: {join(short)}.")
    if not record["complete"]:
        counts = record["counts"]
        parts.append(f"Interrupted: {counts['sets_judged']} of {counts['sets_planned']} sets were judged.")
    return Verdict(_headline(record), " ".join(parts))


def _headline(record):
    if record["status"] == Status.PASS:
        return "The audit names what is planted, and is quiet where nothing is."
    if record["status"] != Status.FAIL:
        return "The self-test cannot be judged: sets are missing."
    false = any(each["fault"] is None for each in record["shortfalls"])
    if false and _missed(record):
        return "The audit misses planted faults and raises false alarms."
    return "The audit raises false alarms." if false else "The audit misses faults that it should name."


def _missed(record):
    return [each for each in record["shortfalls"] if each["fault"] is not None]


def _words(name):
    return name.replace("_", " ")


def grade_grid(record):
    """Arrange the faults as a grid: a row a fault, a column a grade.

    Parameters
    ----------
    record : dict
        A self-test's record.

    Returns
    -------
    header : list of str
        Name of each column: the grades; plain numbers where a strength is no grade of its fault.
    grid : dict of str to list of (dict or None)
        Of each fault its rows of the record, weak to strong; None where a grade was not planted.
    """
    faults = {}
    for row in record["faults"]:
        faults.setdefault(row["fault"], []).append(row)
    if all(row["grade"] for row in record["faults"]):
        placed = {name: {row["grade"]: row for row in rows} for name, rows in faults.items()}
        grid = {name: [rows.get(grade) for grade in range(1, _GRADES + 1)] for name, rows in placed.items()}
        return [f"grade {at + 1}" for at in range(_GRADES)], grid
    most = max(map(len, faults.values()))
    return (
        [f"strength {at + 1}" for at in range(most)],
        {name: rows + [None] * (most - len(rows)) for name, rows in faults.items()},
    )


def shown_gates(record):
    """Sort the gates into those that fired somewhere, those that never did, and those that are advisory.

    Parameters
    ----------
    record : dict
        A self-test's record.

    Returns
    -------
    fired, silent, advisory : list of str
        Names, in the order of the audit.
    """
    places = [*record["faults"], *([record["clean"]] if record["clean"] else [])]
    advisory = [name for name, gate in record["gates"].items() if gate["advisory"]]
    judged = [name for name in record["gates"] if name not in advisory]
    fired = [name for name in judged if any(place["gates"][name]["count"] for place in places)]
    return fired, [name for name in judged if name not in fired], advisory


def high_terms(record):
    """List the fitted terms of the clean pairs that are not below their limit.

    Parameters
    ----------
    record : dict
        A self-test's record.

    Returns
    -------
    terms : list of dict
        Rows of the record.
    """
    return [row for row in (record["clean"] or {}).get("terms", ()) if not row["below"]]


def terms_sentence(record):
    """Say whether the fit finds anything in clean pairs.

    Parameters
    ----------
    record : dict
        A self-test's record.

    Returns
    -------
    sentence : str
        Empty where no clean set was judged.
    """
    terms = (record["clean"] or {}).get("terms", ())
    if not terms:
        return ""
    against = "a fifth of what the third grade of its fault puts there"
    high = [f"{_words(row['term'])} ({row['band']})" for row in high_terms(record)]
    if not high:
        return f"The mean of every fitted term over all clean pairs, in every band, is below {against}."
    return f"Over all clean pairs the mean of {join(high)} is not below {against}."


def power_plot(record, *, name="power"):
    """Plot against strength how often a gate fires and how often the cause is put first, a panel a fault.

    Parameters
    ----------
    record : dict
        A self-test's record.
    name : str
        Prefix of the ids inside the drawing.

    Returns
    -------
    svg : Markup
        Empty where nothing was planted.
    """
    faults = {}
    for row in record["faults"]:
        faults.setdefault(row["fault"], []).append(row)
    if not faults:
        return Markup()
    lines = -(-len(faults) // _COLUMNS)
    options = {"squeeze": False, "sharey": True}
    with new_figure(40 + 106 * lines, lines, _COLUMNS, **options) as (figure, grid):
        for axes, (fault, rows) in zip(grid.flat, faults.items(), strict=False):
            _panel(axes, rows)
            axes.set_title(f"{_words(fault)}", loc="left", fontsize=11.5, fontweight="bold")
        for axes in list(grid.flat)[len(faults) :]:
            axes.set_axis_off()
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2, handlelength=1.8)
    words = "; ".join(f"{_words(fault)}: {', '.join(map(_point, rows))}" for fault, rows in faults.items())
    return to_svg(
        figure, name, f"Share of sets in which a gate fires and the cause is put first, by strength: {words}."
    )


def _point(row):
    return f"at {number(row['strength'])} {share_text(row['any_gate'])} and {share_text(row['right'])}"


def _panel(axes, rows):
    x = np.arange(len(rows))
    for at, row in enumerate(rows):
        if row["promised"]:
            axes.axvline(at, color=RULE, lw=7, zorder=0)
        axes.plot([at, at], floats(row["right"]["interval"]), color=ACCENT, lw=1.4, alpha=0.6)
    fired = floats([row["any_gate"]["share"] for row in rows])
    axes.plot(x, fired, "--s", ms=4.5, color=QUIET, mfc="none", label="a gate fires")
    axes.plot(x, floats([row["right"]["share"] for row in rows]), "-o", ms=5, color=ACCENT, label="cause put first")
    axes.set_xticks(x, [number(row["strength"]) for row in rows])
    axes.set_yticks([0, 0.5, 1], ["0", "", "1"])
    axes.set(xlim=(-0.4, len(rows) - 0.6), ylim=(-0.06, 1.08))
    axes.axhline(0.5, color=RULE, lw=0.8)
    axes.tick_params(axis="x", length=0, labelsize=10)
