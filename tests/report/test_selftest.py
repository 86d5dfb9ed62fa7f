"""A self-test in words, in tables and in a drawing: what is promised, what was missed, what alarmed for nothing."""

import io
import json
import re

import pytest
from rich.console import Console

from gen5astro.errors import FormatError, MissingFileError, SchemaError
from gen5astro.inject.faults import FAULTS
from gen5astro.report.html import selftest_page
from gen5astro.report.json import write_json
from gen5astro.report.record import is_selftest, load_selftest
from gen5astro.report.render import render_selftest
from gen5astro.report.selftest import (
    grade_grid,
    power_plot,
    selftest_verdict,
    share_text,
    shown_gates,
    taken_for,
    terms_sentence,
)
from gen5astro.report.terminal import print_selftest
from tests.report.records import make_audit, make_selftest


def printed(record):
    console = Console(file=io.StringIO(), width=80, no_color=True, highlight=False)
    print_selftest(record, console=console)
    return console.file.getvalue()


def cells(page):
    """Rows of the tables of a page, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.S)
    return [[" ".join(re.sub("<.*?>", " ", cell).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, flags=re.S)]
            for row in rows]  # fmt: skip


@pytest.mark.parametrize(
    ("how", "status", "headline"),
    [
        ({}, "PASS", "names what is planted"),
        ({"missed": ("pedestal",)}, "FAIL", "misses faults"),
        ({"false": 1}, "FAIL", "raises false alarms"),
        ({"missed": ("pedestal",), "false": 1}, "FAIL", "misses planted faults and raises false alarms"),
        ({"complete": False}, "INSUFFICIENT", "cannot be judged"),
    ],
)
def test_the_headline_says_what_is_wrong(how, status, headline):
    record = make_selftest(**how)
    assert record["status"] == status
    assert headline in selftest_verdict(record).headline


def test_the_sentence_has_the_numbers():
    record = make_selftest(missed=("pedestal", "gain"), false=1, complete=False)
    text = selftest_verdict(record).sentence
    assert "11 of 13 faults, planted at their third grade" in text
    assert "A fault is named in 1 of 4 clean sets (95 % interval 5 to 70 %; allowed 2 %)" in text
    assert "Short of it: pedestal at 0.2 and gain at 1.02." in text
    assert "Interrupted: 108 of 109 sets were judged." in text


def test_a_share_is_a_percentage_with_its_interval():
    share = {"count": 2, "share": 2 / 3, "interval": [0.208, 0.939]}
    assert share_text(share) == "67 %"
    assert share_text(share, interval=True) == "67 % (21 to 94 %)"
    assert share_text({"count": 0, "share": 0.0, "interval": [0, 0.5]}) == "0 %"
    assert taken_for({"mistaken_for": {"unknown": 1, "host_light": 3}}) == "host light (3), unknown (1)"


def test_the_grid_has_a_column_a_grade_and_numbers_where_a_strength_is_none():
    record = make_selftest()
    header, grid = grade_grid(record)
    assert (len(header), list(grid)) == (4, list(FAULTS))
    assert [row["strength"] for row in grid["gain"]] == list(FAULTS["gain"].grades)
    record["faults"] = [row for row in record["faults"] if row["grade"] != 2]
    assert [row and row["strength"] for row in grade_grid(record)[1]["gain"]] == [1.005, None, 1.02, 1.05]
    record["faults"][0]["grade"] = None
    assert grade_grid(record)[0] == ["strength 1", "strength 2", "strength 3"]


def test_gates_are_those_that_fired_those_that_did_not_and_the_advisory():
    assert shown_gates(make_selftest()) == (
        ["sky_leakage"],
        ["core_leakage", "split_integrity"],
        ["six_channel_viability"],
    )


def test_a_term_that_is_not_below_its_limit_is_told():
    record = make_selftest()
    assert terms_sentence(record).startswith("The mean of every fitted term")
    record["clean"]["terms"][4]["below"] = False
    assert terms_sentence(record).startswith("Over all clean pairs the mean of gain (r) is not below")


def test_the_page_has_every_fault_and_strength_with_what_the_record_says():
    record = make_selftest(missed=("pedestal",), together=True)
    rows = cells(selftest_page(record))
    accuracy = next(row for row in rows if row[0].startswith("pedestal sky"))
    assert accuracy[3] == "at 0.2 0 % 0 to 66 % gain (2)"
    powers = [row for row in rows if re.match(r"gain [\d.]+$", row[0])]
    assert [row[0] for row in powers] == ["gain 1.005", "gain 1.01", "gain 1.02", "gain 1.05"]
    assert [row[1:] for row in powers] == [["0 %", "0 %"], *[["100 %", "100 %"]] * 3]
    assert ["gain and pedestal", "2", "50 %", "9 to 91 %", "100 %"] in rows


def test_the_drawing_says_in_words_what_it_shows():
    plot = power_plot(make_selftest(missed=("pedestal",)))
    assert "gain: at 1.005 0 % and 0 %, at 1.01 100 % and 50 %, at 1.02 100 % and 100 %" in plot
    assert "pedestal: at 0.05 0 % and 0 %, at 0.1 100 % and 0 %" in plot
    assert power_plot(make_selftest() | {"faults": []}) == ""


def test_the_terminal_has_grades_mistakes_and_alarms():
    text = printed(make_selftest(missed=("pedestal",), false=1, notes=["pairs are [red]not clean[/red]"]))
    assert text.startswith("FAIL  The audit misses")
    for words in (
        "[red]not clean[/red]",
        "1.01: 50 %",
        "1.02: 100 %",
        "gain (2)",
        "25 % (5 to 70 %)",
        "108 sets planned",
    ):
        assert words in text


def test_a_record_is_shown_the_same_when_it_is_read_back(tmp_path):
    record = make_selftest(together=True)
    write_json(record, tmp_path / "selftest.json")
    again = load_selftest(tmp_path / "selftest.json")
    for form in ("html", "json", "text"):
        assert render_selftest(again, form) == render_selftest(record, form)


def test_what_is_no_whole_record_is_refused(tmp_path):
    path = tmp_path / "selftest.json"
    with pytest.raises(MissingFileError):
        load_selftest(path)
    for text, error in (
        ("{", FormatError),
        (json.dumps({"schema": "gen5astro-selftest/0"}), SchemaError),
        (json.dumps({"schema": "gen5astro-selftest/1", "status": "PASS"}), FormatError),
        (json.dumps(make_selftest() | {"faults": [{"fault": "gain"}]}), FormatError),
        (json.dumps(make_selftest() | {"status": "FINE"}), FormatError),
    ):
        path.write_text(text)
        with pytest.raises(error, match=r"selftest\.json"):
            load_selftest(path)


def test_a_self_test_is_told_from_an_audit(tmp_path):
    for name, record in (("selftest.json", make_selftest()), ("audit.json", make_audit())):
        write_json(record, tmp_path / name)
    assert is_selftest(tmp_path / "selftest.json")
    assert not is_selftest(tmp_path / "audit.json")
    assert not is_selftest(tmp_path / "none.json")
