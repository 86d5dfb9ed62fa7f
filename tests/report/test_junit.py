"""JUnit XML fails exactly where the audit does, and every number that was judged is a test case."""

import copy
from xml.etree import ElementTree

import pytest

from gen5astro.report.junit import junit_xml, write_junit
from gen5astro.verdict import Status
from tests.report.records import make_audit, make_finding, make_gate


def parse(record):
    return ElementTree.fromstring(junit_xml(record).encode("utf-8"))


def outcomes(root):
    """Outcome of each test case, by suite and name."""
    return {
        (suite.get("name"), case.get("name")): next((each.tag for each in case if each.tag != "system-out"), "passed")
        for suite in root
        for case in suite.iter("testcase")
    }


def record_of(status, *gates):
    return {"status": status, "gates": {f"gate_{at}": gate for at, gate in enumerate(gates)}}


def test_a_suite_a_gate_and_a_case_a_judged_number():
    record = make_audit(excess=0.14)
    root = parse(record)
    assert root.tag == "testsuites"
    assert [suite.get("name") for suite in root] == list(record["gates"])
    for suite in root:
        judged = [each for each in record["gates"][suite.get("name")]["findings"] if each["status"] != "SKIP"]
        cases = list(suite.iter("testcase"))
        assert len(cases) == max(len(judged), 1)
        assert {case.get("classname") for case in cases} == {f"gen5astro.{suite.get('name')}"}
        assert len({case.get("name") for case in cases}) == len(cases)


@pytest.mark.parametrize("excess", [0.0, 0.14])
def test_counts_are_those_of_the_cases(excess):
    root = parse(make_audit(excess=excess))
    totals = dict.fromkeys(("tests", "failures", "errors"), 0)
    for suite in root:
        cases = list(suite.iter("testcase"))
        tags = [[each.tag for each in case] for case in cases]
        count = {kind: sum(kind in tag for tag in tags) for kind in ("failure", "error", "skipped")}
        assert int(suite.get("tests")) == len(cases)
        assert [int(suite.get(key)) for key in ("failures", "errors", "skipped")] == list(count.values())
        totals = {key: totals[key] + int(suite.get(key)) for key in totals}
    assert {key: int(root.get(key)) for key in totals} == totals


def test_the_message_of_a_failure_has_number_limit_and_interval():
    root = parse(make_audit(excess=0.14))
    failure = root.find(".//testsuite[@name='core_leakage']/testcase[@name='unexplained_auc[single, all]']/failure")
    assert failure.get("type") == "FAIL"
    for word in ("0.144", "≤ 0.03", "0.124 to 0.164"):
        assert word in failure.get("message")


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("findings", [0, 1, 2])
@pytest.mark.parametrize("advisory", [False, True])
def test_it_fails_exactly_where_the_exit_code_does(status, findings, advisory):
    judged = [make_finding(f"number_{at}", 0.1, status) for at in range(findings)]
    overall = Status.PASS if advisory else status
    root = parse(record_of(overall, make_gate("PASS"), make_gate(status, *judged, advisory=advisory)))
    assert (int(root.get("failures")) + int(root.get("errors")) > 0) == (not overall.passed)


@pytest.mark.parametrize("status", ["FAIL", "INSUFFICIENT", "ERROR"])
def test_a_record_whose_gates_do_not_say_why_it_failed_still_fails(status):
    for record in ({"status": status, "gates": {}}, record_of(status, make_gate("PASS"))):
        root = parse(record)
        assert int(root.get("failures")) + int(root.get("errors")) == 1


def test_a_thin_stratum_is_skipped_where_its_gate_was_judged_and_fails_where_it_was_not():
    thin, good = make_finding("auc", 0.1, "INSUFFICIENT", stratum="theta_e<1"), make_finding("auc", 0.1, "PASS")
    judged = outcomes(parse(record_of("PASS", make_gate("PASS", good, thin))))
    assert judged["gate_0", "auc[theta_e<1]"] == "skipped"
    unjudged = outcomes(parse(record_of("INSUFFICIENT", make_gate("INSUFFICIENT", thin))))
    assert unjudged["gate_0", "auc[theta_e<1]"] == "failure"


def test_what_the_status_does_not_rest_on_is_skipped_and_says_so():
    paired = make_finding("auc", 0.1, "FAIL", view="paired")
    blocked = make_gate("FAIL", make_finding("auc", 0.1, "FAIL"), advisory=True)
    root = parse(record_of("PASS", make_gate("PASS", make_finding("auc", 0.1, "PASS"), paired), blocked))
    assert outcomes(root)["gate_0", "auc[paired, all]"] == "skipped"
    assert outcomes(root)["gate_1", "auc[all]"] == "skipped"
    assert "does not rest on" in root.find(".//testcase[@name='auc[paired, all]']/skipped").get("message")
    assert "BLOCKED" in root.find(".//testsuite[@name='gate_1']//skipped").get("message")


def test_a_gate_that_does_not_apply_is_one_skipped_case_with_its_reason():
    root = parse(make_audit())
    case = root.find(".//testsuite[@name='split_integrity']/testcase")
    assert (case.get("name"), case.find("skipped").get("message")) == ("verdict", "the input has no splits")


def test_two_numbers_of_one_name_keep_their_own_cases():
    twice = [make_finding("auc", value, "PASS") for value in (0.1, 0.2)]
    assert list(outcomes(parse(record_of("PASS", make_gate("PASS", *twice))))) == [
        ("gate_0", "auc[all]"),
        ("gate_0", "auc[all] #2"),
    ]


def test_what_xml_cannot_hold_is_replaced_and_the_rest_comes_through(tmp_path):
    record = copy.deepcopy(make_audit(label='<b>&"\x00\x1b\ud800'))
    record["gates"]["split_integrity"]["note"] = "a\x08b <&> é"
    write_junit(record, tmp_path / "junit.xml")
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    value = root.find(".//property[@name='input']").get("value")
    assert value == '<b>&"' + 3 * "\N{REPLACEMENT CHARACTER}"
    message = root.find(".//testsuite[@name='split_integrity']//skipped").get("message")
    assert message == "a\N{REPLACEMENT CHARACTER}b <&> é"
