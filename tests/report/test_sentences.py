"""What is said follows from the numbers, and what could not be judged is never called clean."""

import pytest

from gen5astro.report.findings import core_rows, deciding_finding
from gen5astro.report.html import audit_page
from gen5astro.report.methods import methods_paragraph
from gen5astro.report.sentences import (
    audit_verdict,
    classic_fails,
    comparison_verdict,
    evaluation_verdict,
    next_steps,
    worst_core_row,
)
from tests.report.records import make_audit, make_evaluation, make_finding, make_gate


def test_a_clean_audit_says_what_physics_explains_and_what_the_classic_rule_would_do():
    verdict = audit_verdict(make_audit())
    assert verdict.headline == "The injection is clean."
    assert "Core AUC 0.89 at θ_E < 1″: 0.89 is PSF and counter-image, 0.00 ± 0.02 is unexplained." in verdict.sentence
    assert "threshold of 0.70 cannot be met" in verdict.sentence


def test_a_faulty_audit_says_how_much_and_why():
    verdict = audit_verdict(make_audit(excess=0.14))
    assert verdict.headline == "The injection changes more than the arc."
    assert "0.14 ± 0.02 is unexplained" in verdict.sentence
    assert (
        "Most likely cause: pedestal of 0.00250 \N{PLUS-MINUS SIGN} 0.00010 nmgy / pix in g (confidence 0.99)."
        in verdict.sentence
    )
    assert "sky_leakage did not pass either." in verdict.sentence


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("ERROR", "incomplete"),
        ("SKIP", "Nothing was judged"),
        (None, "incomplete"),
    ],
)
def test_what_was_not_judged_is_not_called_clean(status, words):
    record = make_audit()
    record["status"] = status
    verdict = audit_verdict(record)
    assert words in verdict.headline
    assert "clean" not in verdict.headline


def test_too_few_hosts_to_judge_the_core_or_only_the_rest():
    record = make_audit()
    record["status"] = "INSUFFICIENT"
    record["gates"]["stratum_diversity"]["status"] = "INSUFFICIENT"
    verdict = audit_verdict(record)
    assert verdict.headline.startswith("No fault found, but")
    assert "stratum_diversity could not be judged for want of independent hosts." in verdict.sentence
    record["gates"]["core_leakage"]["status"] = "INSUFFICIENT"
    assert audit_verdict(record).headline == "Too few independent hosts to judge."
    assert "bring more hosts" in " ".join(next_steps(record))


def test_a_thin_stratum_does_not_speak_for_the_audit():
    record = make_audit()
    for finding in record["gates"]["core_leakage"]["findings"]:
        if finding["stratum"] == "theta_e<1":
            finding.update(status="INSUFFICIENT")
    assert worst_core_row(record).stratum == "1<=theta_e<2"


def test_another_gate_that_fails_is_in_the_headline():
    record = make_audit()
    record["status"] = "FAIL"
    record["gates"]["flux_budget"] = make_gate("FAIL")
    assert audit_verdict(record).headline == "Not clean: flux_budget failed."


def test_an_audit_without_a_core_still_speaks():
    record = {"status": "ERROR", "gates": {"finite_pixels": make_gate("ERROR")}}
    verdict = audit_verdict(record)
    assert verdict.headline == "The audit is incomplete: finite_pixels could not be computed."
    assert verdict.sentence == ""
    assert classic_fails(record) is None
    assert worst_core_row(record) is None
    assert next_steps(record)[0].startswith("finite_pixels could not be computed")


def test_the_cause_may_be_unknown():
    record = make_audit(excess=0.14)
    record["diagnosis"] = {"top": "unknown", "causes": []}
    assert "No single known cause" in audit_verdict(record).sentence


def test_what_to_do_next_fits_the_verdict():
    clean, faulty = next_steps(make_audit(label="mine")), next_steps(make_audit(excess=0.14))
    assert any("build-hdf5 mine" in step for step in clean)
    assert not any("build-hdf5" in step for step in faulty)
    assert faulty[0].startswith("pedestal: ")
    assert any("six-channel view is blocked" in step for step in faulty)
    assert not any("six-channel" in step for step in clean)


def test_the_comparison_says_what_happened_even_where_it_should_not_have():
    clean, faulty = make_audit(), make_audit(excess=0.14)
    assert "condemns both" in comparison_verdict(clean, faulty).headline
    assert "did not tell" in comparison_verdict(clean, clean).headline
    clean["thresholds"]["classic_auc"] = 0.95
    assert comparison_verdict(clean, faulty).headline.startswith("The unexplained AUC tells")
    bare = {"status": "ERROR", "gates": {}}
    assert "did not tell" in comparison_verdict(bare, bare).headline


def test_the_deciding_number_is_the_one_farthest_beyond_its_limits():
    findings = [
        make_finding("a", 0.2, "FAIL", high=0.1), make_finding("b", 0.9, "FAIL", high=0.1),
        make_finding("c", 9.0, "PASS", high=10.0), make_finding("d", 99.0, "SKIP"),
    ]  # fmt: skip
    assert deciding_finding(make_gate("FAIL", *findings))["name"] == "b"
    assert deciding_finding(make_gate("PASS", *findings))["name"] == "c"
    assert deciding_finding(make_gate("SKIP")) is None
    assert deciding_finding(make_gate("ERROR", make_finding("h", None, "ERROR"))) is None
    inside = make_finding("i", 0.0, "FAIL", high=0.1)
    assert deciding_finding(make_gate("FAIL", inside)) is inside
    assert deciding_finding(make_gate("FAIL", inside, note="nothing could show")) is None
    paired = make_finding("g", 99.0, "FAIL", high=0.1, view="paired")
    assert deciding_finding(make_gate("FAIL", *findings, paired))["name"] == "b"
    low = [make_finding("e", 30.0, "PASS", low=20.0), make_finding("f", 21.0, "PASS", low=20.0)]
    assert deciding_finding(make_gate("PASS", *low))["name"] == "f"


def test_core_rows_join_the_three_numbers_of_a_place():
    rows = core_rows(make_audit(), view="paired")
    assert [row.stratum for row in rows][:2] == ["all", "theta_e<1"]
    assert all(row.measured and row.explained and row.unexplained and row.judged for row in rows)
    assert rows[0].hosts == 29.6


def test_an_evaluation_says_what_it_refuses_to_state():
    verdict = evaluation_verdict(make_evaluation())
    assert verdict.headline == "AUC 0.931 on the test split."
    assert "At a false-positive rate of 10 % it finds 82 %" in verdict.sentence
    assert "too few negatives to state completeness at 1 %" in verdict.sentence
    assert evaluation_verdict({"metrics": []}).headline == "No AUC could be stated."


def test_a_mark_that_leaks_nothing_is_not_called_clean():
    record = make_audit()
    record["diagnosis"] = {"top": "gain", "causes": [{"name": "gain", "confidence": 1.0, "look_first": "zero points"}]}
    verdict = audit_verdict(record)
    assert verdict.headline == "No gate fails, but the injection leaves a mark."
    assert "gain (confidence 1.00)" in verdict.sentence
    steps = next_steps(record)
    assert steps[0] == "gain: zero points"
    assert any("Mend it" in step for step in steps)


def test_a_failed_gate_without_a_known_mark_says_so():
    record = make_audit()
    record["status"] = "FAIL"
    record["diagnosis"] = {"top": "physical", "causes": [{"name": "physical", "confidence": 0.9, "look_first": "x"}]}
    assert "no mark of a known fault" in audit_verdict(record).sentence
    assert not any(step.startswith("physical") for step in next_steps(record))


def test_a_command_repeats_how_columns_are_named():
    record = make_audit()
    record["input"]["columns"] = {"theta_e_arcsec": "einstein_radius"}
    assert any(
        "--audit audit/audit.json --column theta_e_arcsec=einstein_radius`" in step for step in next_steps(record)
    )


def test_commands_name_the_folder_of_this_audit():
    clean, faulty = make_audit(), make_audit(excess=0.14)
    for record in (clean, faulty):
        record["input"]["out"] = "strict"
    assert any("--audit strict/audit.json" in step for step in next_steps(clean))
    assert any("--out strict-mended --baseline strict/audit.json" in step for step in next_steps(faulty))


def test_a_cube_is_trained_on_and_not_built_again():
    steps = next_steps(make_audit(label="cube.h5"))
    assert any("gen5astro train cube.h5" in step for step in steps)
    assert not any("build-hdf5" in step for step in steps)


def test_gates_that_fail_for_the_reason_that_is_known_are_told_together():
    record = make_audit(excess=0.14)
    steps = next_steps(record)
    assert steps[0].startswith("pedestal: ")
    assert steps[1] == "Then judge again: core_leakage and sky_leakage fail for the same reason, most likely."
    record["gates"]["sky_leakage"] = make_gate("PASS")
    assert next_steps(record)[1] == "Then judge again: core_leakage fails for that reason, most likely."
    record["gates"]["sky_leakage"] = make_gate("FAIL")
    record["diagnosis"]["causes"][0]["confidence"] = 0.6
    assert any(step.startswith("sky_leakage: ") for step in next_steps(record))


def test_what_failed_comes_before_what_could_not_be_computed():
    record = make_audit()
    record["diagnosis"] = {}
    record["gates"]["core_leakage"] = make_gate("ERROR")
    record["gates"]["label_consistency"] = make_gate("FAIL")
    record["status"] = "ERROR"
    steps = next_steps(record)
    assert steps[0].startswith("label_consistency")
    assert steps[1] == "core_leakage could not be computed; mend that first."


def test_gates_that_could_not_be_computed_for_one_reason_are_told_together_and_name_no_cause():
    record = make_audit()
    for name in ("core_leakage", "sky_leakage"):
        record["gates"][name] = make_gate("ERROR", note="3 of 290 pairs (row 5, 7, 9)")
    record["diagnosis"] = {"top": "unknown", "causes": [{"name": "unknown", "confidence": None, "look_first": "x"}]}
    record["status"] = "ERROR"
    assert next_steps(record)[0] == (
        "core_leakage and sky_leakage could not be computed: 3 of 290 pairs (row 5, 7, 9); mend that first."
    )
    assert "cannot be said before all gates can be computed" in audit_verdict(record).sentence
    assert "could not be told" in methods_paragraph(record)
    assert "No single known cause" not in audit_page(record, [])


def test_an_audit_of_normalized_pixels_speaks_of_the_normalizer():
    clean, faulty = make_audit(), make_audit(excess=0.14)
    recommended = make_gate("FAIL", make_finding("recommended:sky", 0.0, "SKIP", view="single"))
    for record in (clean, faulty):
        record["input"]["normalizer"] = "standard"
        record["gates"]["normalization_leakage"] = recommended
    assert audit_verdict(clean).headline == "As the normalizer standard leaves the pixels: the injection is clean."
    assert "Take sky: `--set normalize.kind=sky`." in next_steps(faulty)[1]
    for record in (clean, faulty):
        assert not any("build-hdf5" in step or "Inject again" in step for step in next_steps(record))
