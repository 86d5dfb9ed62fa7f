"""A cause is shown with what its diagnosis says of it, whatever that leaves out."""

import pytest

from gen5astro.report.appearance import MINUS, NOTHING
from gen5astro.report.causes import evidence_plot, magnitude_text, scaling_rows, shown_causes, shown_magnitudes
from gen5astro.report.html import audit_page
from tests.report.records import make_audit


@pytest.mark.parametrize("diagnosis", [None, {}, {"top": None, "causes": None}, {"top": "unknown", "causes": []}])
def test_without_causes_nothing_is_shown(diagnosis):
    record = make_audit(excess=0.14) | {"diagnosis": diagnosis}
    assert shown_causes(record) == []
    assert "Most likely causes" not in audit_page(record, [])


def test_a_cause_may_be_no_more_than_its_name():
    record = make_audit(excess=0.14) | {"diagnosis": {"causes": [{"name": "unknown"}]}}
    (cause,) = shown_causes(record)
    assert (cause.name, cause.confidence, cause.is_named, cause.plots) == ("unknown", None, False, [])
    assert "Most likely causes" in audit_page(record, [])


def test_all_that_is_said_is_shown():
    record = make_audit(excess=0.14)
    top, other = shown_causes(record)
    assert top.is_named
    assert not other.is_named
    assert top.magnitude[0] == ("g", "0.00250 ± 0.00010 nmgy / pix")
    assert top.scaling == [("θ_E", "none"), ("host flux", "0.010 ± 0.020")]
    assert len(top.plots) == 2
    page = audit_page(record, [])
    for words in ("the constant that is added", "0.0025", "confidence 0.99", "evidence-0-0", "evidence-0-1"):
        assert words in page


def test_a_page_that_names_no_known_cause_says_so():
    record = make_audit(excess=0.14)
    record["diagnosis"]["top"] = "unknown"
    assert "No single known cause explains what was measured." in audit_page(record, [])


@pytest.mark.parametrize(
    ("magnitude", "text"),
    [
        ({"value": 0.5, "error": 0.1, "unit": "pix"}, "0.50 ± 0.10 pix"), ({"value": 0.5}, "0.5"), (0.5, "0.5"),
        ({"value": 123.4, "error": 45.6}, "123 ± 46"), ({"value": 1.5, "error": 0.0, "unit": "%"}, "1.5 ± 0 %"),
        ({"value": 1.234e-12, "error": 1e-13}, f"1.234e{MINUS}12 ± 1e{MINUS}13"),
        ({"value": None, "error": None, "unit": "%"}, f"{NOTHING} %"), (None, NOTHING),
    ],
)  # fmt: skip
def test_magnitudes(magnitude, text):
    assert magnitude_text(magnitude) == text


def test_magnitudes_of_all_bands_on_a_line():
    assert shown_magnitudes({"magnitude": {"g": 1.5, "r": {"value": 2, "unit": "%"}}}) == "g 1.5; r 2 %"
    assert shown_magnitudes({"magnitude": None}) == shown_magnitudes({}) == ""


@pytest.mark.parametrize(
    ("scaling", "rows"),
    [
        (None, []), ("does not scale", [("", "does not scale")]), (["a", "b"], [("", "a"), ("", "b")]),
        ({"arc_snr": 0.3, "sky": None}, [("arc SNR", "rank correlation +0.30")]),
    ],
)  # fmt: skip
def test_scaling(scaling, rows):
    assert scaling_rows(scaling) == rows


def test_evidence_without_a_point_is_no_plot():
    for evidence in ({}, {"x": [], "y": []}, {"x": [1, 2], "y": [None, None]}, {"x": [None], "y": [1.0]}):
        assert evidence_plot(evidence, name="plot") == ""


def test_evidence_tells_its_numbers_in_words_and_escapes_its_label():
    plot = evidence_plot({"label": "<b> & theta_E", "x": ["g", "r"], "y": [1.5, 2.5], "yerr": [0.1]}, name="plot")
    assert "g: 1.5; r: 2.5" in plot
    assert "&lt;b&gt; &amp;" in plot
    assert "<b>" not in plot


def test_two_likely_causes_are_both_named_and_one_that_is_no_fault_has_no_place_to_look_at():
    record = make_audit(excess=0.14)
    record["diagnosis"]["causes"][1].update(confidence=0.8, share=0.25)
    page = audit_page(record, [])
    assert page.count("<strong>Look first at:</strong>") == 2
    assert "25 % of the variance" in page
    record["diagnosis"] = {"top": "physical", "causes": [{"name": "physical", "look_first": "PSF and counter-image"}]}
    page = audit_page(record, [])
    assert "PSF and counter-image" in page
    assert "Look first at" not in page
