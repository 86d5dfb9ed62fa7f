"""What could not be judged is never PASS."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen5astro.verdict import Finding, GateResult, Limit, Status, worst


@given(st.lists(st.sampled_from(list(Status)), min_size=1))
def test_the_worst_of_several_does_not_depend_on_their_order(statuses):
    assert worst(statuses) == worst(reversed(statuses)) == worst(sorted(statuses))


@given(st.lists(st.sampled_from(list(Status)), min_size=1))
def test_many_pass_only_if_none_spoke_against_it(statuses):
    assert worst(statuses).passed == all(status.passed for status in statuses)


def test_nothing_judged_is_an_error_and_all_skipped_is_a_skip():
    assert worst([]) is Status.ERROR
    assert worst([Status.SKIP, Status.SKIP]) is Status.SKIP
    assert worst([Status.SKIP, Status.PASS]) is Status.PASS


def test_the_order_from_best_to_worst():
    assert worst([Status.PASS, Status.INSUFFICIENT]) is Status.INSUFFICIENT
    assert worst([Status.INSUFFICIENT, Status.FAIL]) is Status.FAIL
    assert worst([Status.FAIL, Status.ERROR]) is Status.ERROR


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_number_that_is_none_is_an_error_even_without_limits(value):
    assert Limit().judge(value) is Status.ERROR


@pytest.mark.parametrize(("value", "status"), [(0.03, "PASS"), (0.0301, "FAIL"), (-0.03, "PASS"), (-0.0301, "FAIL")])
def test_limits_are_inclusive(value, status):
    assert Limit(low=-0.03, high=0.03).judge(value) == status


def test_an_open_side_lets_everything_through():
    assert Limit(high=1).judge(-1e300) is Status.PASS
    assert Limit(low=1).judge(1e300) is Status.PASS


def test_a_result_becomes_plain_types_without_nan():
    finding = Finding("unexplained_auc", math.nan, Status.ERROR, view="single", interval=(0.1, math.inf), hosts=30.0)
    record = GateResult("core_leakage", Status.ERROR, "Can it?", (finding,), note="no").as_dict()
    assert "name" not in record
    assert record["findings"][0]["value"] is None
    assert record["findings"][0]["interval"] == [0.1, None]
    assert record["findings"][0]["stratum"] == "all"
    assert json.loads(json.dumps(record, allow_nan=False))["status"] == "ERROR"
