"""An explanation in words, in a table and in a drawing: what it holds, and nothing where there is none."""

import copy
import io

import pytest
from rich.console import Console

from gen5astro.report.answers import answer_questions
from gen5astro.report.explanation import explanation_sentence, percent, percent_interval, share_plot
from gen5astro.report.html import audit_page
from gen5astro.report.methods import cited, methods_paragraph
from gen5astro.report.terminal import print_audit
from tests.report.records import make_audit, make_explanation

EXPLAINED = "What an SIE and a S\N{LATIN SMALL LETTER E WITH ACUTE}rsic source account for"


def audit(**explanation):
    return make_audit() | {"explanation": make_explanation(**explanation)}


def printed(record):
    console = Console(file=io.StringIO(), width=80, no_color=True, highlight=False)
    print_audit(record, console=console)
    return console.file.getvalue()


def test_without_an_explanation_nothing_is_said_of_one():
    record = make_audit()
    assert explanation_sentence(record) == share_plot(record) == ""
    assert EXPLAINED not in audit_page(record, [])
    assert EXPLAINED not in printed(record)
    assert "kormann1994" not in cited(record)


def test_the_sentence_has_shares_misses_and_the_bracket():
    text = explanation_sentence(audit(share=0.6))
    assert "12 pairs outside the core, account for 60 % (g), 58 % (r) and 56 % (z) of the excess" in text
    assert "1 could not be fitted" in text
    assert "Moffat" not in text
    assert "between a Gaussian and a Moffat of its width, that is 54 to 66 %." in explanation_sentence(
        audit(share=0.6, profiles=True, missed=0)
    )


def test_a_sample_of_which_nothing_could_be_fitted_says_so():
    record = audit()
    for row in record["explanation"]["strata"]:
        row.update(share=None, interval=None, unaccounted=None, unaccounted_interval=None, misfit=None, fitted=0)
        row["theta_e_arcsec"] = None
    for pair in record["explanation"]["pairs"]:
        pair.update(fitted=False, reason="no arc above the noise outside the core")
    assert "Of 12 pairs, none could be fitted" in explanation_sentence(record)
    assert share_plot(record) == ""
    page = audit_page(record, [])
    assert EXPLAINED in page
    assert "Pairs that could not be fitted: 12" in page
    assert EXPLAINED in printed(record)
    assert "Sersic" not in methods_paragraph(record)


def test_the_page_lists_strata_and_what_was_missed_and_escapes_it():
    record = audit(share=0.6)
    record["explanation"]["pairs"][0]["pair_id"] = "<script>alert(1)</script>"
    page = audit_page(record, [])
    for words in (EXPLAINED, "11 of 12", "<strong>60 %</strong>", "56 to 63 %", "Pairs that could not be fitted: 1"):
        assert words in page
    assert "31% of the arc" in page
    assert "<script>" not in page
    assert "Gaussian to Moffat" not in page
    assert "Gaussian to Moffat" in audit_page(audit(profiles=True), [])


def test_the_terminal_shows_a_row_a_stratum_and_band():
    text = printed(audit(share=0.05))
    assert max(map(len, text.splitlines())) <= 80
    for words in ("11 of 12", "5.0 %", "1 to 8 %"):
        assert words in text


def test_the_plot_says_its_numbers_and_keeps_wild_pairs_in_sight():
    record = audit(share=0.6)
    tame = str(share_plot(record))
    assert "1\N{DOUBLE PRIME} \N{LESS-THAN OR EQUAL TO}" in tame
    assert "g 60 %" in tame
    wild = copy.deepcopy(record)
    wild["explanation"]["pairs"][3]["bands"]["g"]["share"] = 40.0
    wild["explanation"]["pairs"][4]["bands"]["r"]["share"] = -7.0
    wild["explanation"]["pairs"][5]["bands"]["z"]["share"] = None
    assert ">20<" not in str(share_plot(wild))
    assert str(share_plot(wild)) != tame


def test_the_methods_cite_the_lens_the_source_and_the_psf():
    image, profiles = audit(), audit(profiles=True)
    assert "(Kormann et al. 1994)" in methods_paragraph(image)
    assert "g: 100 % (96 to 103 %)" in methods_paragraph(image)
    assert {"kormann1994", "sersic1963"} <= set(cited(image))
    assert "through an image of the PSF" in methods_paragraph(image)
    assert "the better of a Gaussian and a Moffat PSF" in methods_paragraph(profiles)


def test_the_answer_on_the_cores_excess_holds_the_share():
    answers = {answer.question: answer.answer for answer in answer_questions(audit(share=0.6))}
    assert "account for 60 % (g)" in answers["Is the excess in the core physical or artificial?"]


@pytest.mark.parametrize(
    ("share", "text"), [(None, "\N{EN DASH}"), (1.0, "100 %"), (0.0996, "10 %"), (0.0994, "9.9 %"), (-0.002, "-0.2 %")]
)
def test_percentages_have_a_decimal_place_only_where_they_are_small(share, text):
    assert percent(share).replace("\N{MINUS SIGN}", "-") == text
    assert percent_interval(None) == ""
