"""The terminal shows the same verdict without color, within 80 columns, and never reads markup from a table."""

import io

import pytest
from rich.console import Console

from gen5astro.report.terminal import print_audit, print_evaluation, print_training
from tests.report.records import make_audit, make_evaluation, make_finding, make_gate, make_training


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80, no_color=True, highlight=False)


def _printed(console):
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    return text


def test_an_audit_in_black_and_white(console):
    print_audit(make_audit(excess=0.14), console=console)
    text = _printed(console)
    for word in ("FAIL  The injection changes", "BLOCKED", "SKIP", "+0.144 ± 0.020", "1,000 read", "pedestal", "Next"):
        assert word in text


def test_the_longest_word_stays_whole(console):
    record = make_audit()
    for finding in record["gates"]["core_leakage"]["findings"]:
        finding["status"] = "INSUFFICIENT"
    record["gates"]["core_leakage"]["status"] = "INSUFFICIENT"
    print_audit(record, console=console)
    assert _printed(console).count("INSUFFICIENT") == 6


def test_a_note_stands_where_no_number_decided(console):
    record = make_audit()
    finding = make_finding("paired_unexplained_auc", 0.0, "FAIL", high=0.03)
    record["gates"]["six_channel_viability"] = make_gate("FAIL", finding, note="nothing could show", advisory=True)
    print_audit(record, console=console)
    text = _printed(console)
    assert "nothing could show" in text
    assert "paired_unexplained_auc" not in text


def test_markup_in_a_table_is_text(console):
    record = make_audit(label="[red]pairs[/red]")
    record["gates"]["[bold]x"] = record["gates"].pop("split_integrity")
    print_audit(record, console=console)
    text = _printed(console)
    assert "[bold]x" in text
    assert "[red]pairs[/red]" in text


def test_an_evaluation_shows_intervals_and_refusals(console):
    print_evaluation(make_evaluation(), console=console)
    text = _printed(console)
    for word in ("0.902 to 0.957", "needs 1000 ctrls", "DES J0120-5143", "98.5 %"):
        assert word in text


def test_an_evaluation_says_what_to_be_wary_of_and_why_a_candidate_has_no_score(console):
    unscored = [{"name": name, "score": None, "note": "no band i"} for name in ("one", "two")]
    record = make_evaluation() | {"candidates": unscored, "warnings": ["trained in spite of it"]}
    print_evaluation(record, console=console)
    text = _printed(console)
    assert "2 real candidates are not scored: no band i" in text
    assert "Warning: trained in spite of it" in text


def test_a_training_run_shows_its_best_epoch(console):
    record = make_training()
    print_training(record | {"best": record["history"][3]}, console=console)
    text = _printed(console)
    assert "4 of 8" in text
    assert "0.8096" in text
    print_training(record, console=console)
    text = _printed(console)
    assert "val auc" in text
    assert "0.8662" in text
    assert "Warning: few pairs" in text
    print_training({"run": "empty"}, console=console)


def test_the_default_is_standard_output(capsys):
    print_audit(make_audit())
    print_evaluation(make_evaluation())
    print_training(make_training())
    assert "The injection is clean." in capsys.readouterr().out
