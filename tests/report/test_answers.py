"""Each question is answered by a measurement or said not to be; what a record lacks is never a yes."""

import copy
import io
import json

import pytest
from rich.console import Console

from gen5astro.report.answers import (
    NOT_MEASURED,
    QUESTIONS,
    answer_questions,
    answers_record,
    finding_text,
    print_answers,
)
from gen5astro.report.json import encode
from tests.report.records import make_audit, make_finding, make_gate

BLOCK, MEND, INFERENCE, SNR_ZERO, PHYSICAL, CONTRASTIVE, BRIGHT, REAL = range(8)


def viable(record):
    finding = make_finding("paired_unexplained_auc", 0.0, "FAIL", high=0.03, note="no room to see a fault")
    record["gates"]["six_channel_viability"] = make_gate("FAIL", finding, advisory=True)
    return record


CLEAN, FAULTY = viable(make_audit()), viable(make_audit(excess=0.14))


def answer(record, which):
    return answer_questions(record)[which]


def test_there_are_eight_and_each_rests_on_a_measurement_or_says_that_it_has_none():
    for record in (CLEAN, FAULTY):
        answers = answer_questions(record)
        assert [each.question for each in answers] == list(QUESTIONS)
        assert len(answers) == 8
        for each in answers:
            assert each.measured == bool(each.evidence) != each.answer.startswith(NOT_MEASURED)
            assert each.answer.endswith(".")
            assert "None" not in each.answer


@pytest.mark.parametrize(
    "record", [{}, {"status": "PASS", "gates": {}}, {"status": "ERROR", "gates": {"core_leakage": make_gate("ERROR")}}]
)
def test_a_record_that_lacks_the_numbers_answers_nothing(record):
    assert not any(each.measured for each in answer_questions(record))


def test_a_clean_injection_need_not_be_mended_and_a_faulty_one_must():
    assert answer(CLEAN, MEND).answer.startswith("No.")
    faulty = answer(FAULTY, MEND)
    assert faulty.answer.startswith("Yes. core_leakage and sky_leakage failed.")
    for words in ("pedestal", "g 0.00250 ± 0.00010 nmgy / pix", "the constant that is added"):
        assert words in faulty.answer
    assert {each["gate"] for each in faulty.evidence} == {"core_leakage", "sky_leakage"}
    nameless = copy.deepcopy(FAULTY)
    del nameless["diagnosis"]
    assert "names no cause" in answer(nameless, MEND).answer
    for name, words in (("unknown", "No known cause explains it."), ("physical", "No mark of a fault was found.")):
        nameless["diagnosis"] = {"top": name, "causes": [{"name": name}]}
        assert answer(nameless, MEND).answer.endswith(words)


@pytest.mark.parametrize("status", ["INSUFFICIENT", "ERROR"])
def test_what_could_not_be_judged_is_not_said_to_be_sound(status):
    record = copy.deepcopy(CLEAN)
    record["status"] = record["gates"]["core_leakage"]["status"] = status
    for finding in record["gates"]["core_leakage"]["findings"]:
        finding["status"] = "SKIP" if finding["status"] == "SKIP" else status
    assert "cannot be said yet: core_leakage" in answer(record, MEND).answer
    assert "could not be judged" in answer(record, BLOCK).answer
    assert answer(record, PHYSICAL).answer.startswith("Not judged")


def test_blocking_six_channels_is_not_enough_where_one_image_leaks():
    clean, faulty = (answer(record, BLOCK).answer for record in (CLEAN, FAULTY))
    assert clean.startswith("Yes, block it: no room to see a fault. Three channels")
    assert "are sound" in clean
    assert "not enough" in faulty
    assert "+0.14 ± 0.02" in faulty
    allowed = copy.deepcopy(CLEAN)
    allowed["gates"]["six_channel_viability"]["status"] = "PASS"
    assert answer(allowed, BLOCK).answer.startswith("Six channels may be used")


def test_the_excess_is_split_into_what_physics_explains_and_what_it_does_not():
    assert answer(CLEAN, PHYSICAL).answer.startswith("Physical, at θ_E < 1″: of a core AUC of 0.89, 0.89 is PSF")
    faulty = copy.deepcopy(FAULTY)
    budget = [
        make_finding("excess_fraction", value, "FAIL", band=band) for band, value in zip("gr", (0.1, 0.2), strict=True)
    ]
    faulty["gates"]["flux_budget"] = make_gate("FAIL", *budget)
    said = answer(faulty, PHYSICAL)
    assert said.answer.startswith("In part artificial, over all pairs")
    assert "In r the core holds more than PSF and lens can bring, by 20.0 %" in said.answer
    for each in faulty["gates"]["flux_budget"]["findings"]:
        each["value"], each["stratum"] = -0.1, "theta_e>=2"
    assert (
        "In g, at θ_E ≥ 2″, the core holds less than PSF and lens can bring, by 10.0 %"
        in answer(faulty, PHYSICAL).answer
    )
    for each in faulty["gates"]["flux_budget"]["findings"]:
        each["value"] = 0.0
    assert "In every band the core holds what PSF and lens can bring" in answer(faulty, PHYSICAL).answer


def test_a_failed_budget_is_not_called_physical():
    clean = copy.deepcopy(CLEAN)
    clean["gates"]["flux_budget"] = make_gate(
        "FAIL", make_finding("excess_fraction", 0.03, "FAIL", stratum="theta_e>=2")
    )
    assert answer(clean, PHYSICAL).answer.startswith("In part artificial")


def labels(zero, invisible, status):
    names = {"zero_arc_snr": zero, "invisible_arcs": invisible}
    return make_gate(status, *(make_finding(name, value, status) for name, value in names.items()))


@pytest.mark.parametrize(
    ("zero", "invisible", "status", "words"),
    [
        (0.0, 0.0, "PASS", "There are none: 0.0 % of the pairs"),
        (
            0.005,
            0.02,
            "PASS",
            "They are few enough to stay: 0.5 % of the pairs have an arc_snr of 0 or none, and 2.0 %",
        ),
        (0.2, 0.3, "FAIL", "Leave them out, or weight them: 20.0 % of the pairs"),
        (0.0, 0.3, "INSUFFICIENT", "Leave them out, or weight them: 0.0 %"),
    ],
)
def test_samples_without_signal_are_counted(zero, invisible, status, words):
    record = copy.deepcopy(CLEAN)
    record["gates"]["label_consistency"] = labels(zero, invisible, status)
    assert answer(record, SNR_ZERO).answer.startswith(words)


def test_samples_that_were_not_counted_are_not_called_few():
    record = copy.deepcopy(CLEAN)
    for gate in (labels(None, None, "SKIP"), labels(0.0, 0.0, "SKIP"), labels(None, 0.0, "PASS")):
        record["gates"]["label_consistency"] = gate
        assert not answer(record, SNR_ZERO).measured


def test_inference_is_answered_by_the_normalizer_that_reads_one_image():
    record = copy.deepcopy(CLEAN)
    where = {"view": "single"}
    findings = [
        make_finding("statistics_auc", 0.6, "FAIL", **where),
        make_finding("statistics_auc:sky", 0.5, "SKIP", **where),
        make_finding("statistics_auc:pair", 0.5, "SKIP", **where),
        make_finding("recommended:sky", 0.0, "SKIP", **where),
    ]
    record["gates"]["normalization_leakage"] = make_gate("FAIL", *findings)
    said = answer(record, INFERENCE)
    assert said.answer.endswith("normalization_leakage says FAIL of the one that is configured, and recommends sky.")
    assert [each["name"] for each in said.evidence] == ["statistics_auc", "statistics_auc:sky"]
    record["gates"]["normalization_leakage"]["findings"] = findings[:1]
    assert answer(record, INFERENCE).answer.endswith("is configured.")
    for gate in (make_gate("SKIP", *findings), make_gate("PASS", *findings[1:])):
        record["gates"]["normalization_leakage"] = gate
        assert not answer(record, INFERENCE).measured


def test_what_needs_a_network_or_the_sky_is_not_answered_by_an_audit():
    for which in (CONTRASTIVE, BRIGHT, REAL):
        assert not answer(CLEAN, which).measured
    assert "core AUC of 0.85" in answer(FAULTY, BRIGHT).answer
    assert "do not deploy" in answer(CLEAN, REAL).answer


def test_printed_answers_have_their_numbers_within_80_columns():
    console = Console(file=io.StringIO(), width=80, no_color=True, highlight=False)
    print_answers(answers_record(FAULTY), console=console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for words in ("1. Is it right", "8. Must real lenses", "unexplained_auc", "BLOCKED", NOT_MEASURED):
        assert words in text


def test_a_finding_in_a_line():
    finding = make_finding("auc", 0.144, "FAIL", view="single", stratum="theta_e<1", interval=[0.1, 0.2], gate="core")
    assert finding_text(finding) == "core: auc (single, θ_E < 1″) 0.144, 95 % 0.100 to 0.200, FAIL"


def test_answers_are_plain_data():
    record = answers_record(FAULTY)
    assert json.loads(encode(record)) == record
    assert record["status"] == "FAIL"
