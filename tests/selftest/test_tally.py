"""What sets said is counted right, with intervals of the field, and falls short where it should."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.stats import binom_conf_interval

from gen5astro.kernels.residual import TERMS
from gen5astro.selftest.sets import Outcome, TestSet
from gen5astro.selftest.tally import share, summarize_outcomes, term_means

BANDS = ("g", "r")


def outcome(planted=(), number=0, *, top="physical", named=None, terms=None, **gates):
    statuses = {"sky_leakage": "PASS", "core_leakage": "PASS", "six_channel_viability": "FAIL"} | gates
    named = (top,) if named is None else named
    return Outcome(TestSet(planted, number), statuses, frozenset({"six_channel_viability"}), top, named, terms or {})


def clean(count, false=0):
    return [outcome(number=at, top="gain" if at < false else "physical") for at in range(count)]


def gain(count, wrong=0, *, strength=1.02):
    planted = (("gain", strength),)
    return [outcome(planted, at, top="host_light" if at < wrong else "gain") for at in range(count)]


@pytest.mark.parametrize(("count", "sets"), [(0, 1), (1, 1), (0, 50), (3, 20), (19, 20), (20, 20)])
def test_an_interval_is_wilson_s(count, sets):
    found = share(count, sets)
    assert found["share"] == count / sets
    assert found["interval"] == pytest.approx(binom_conf_interval(count, sets, 0.95, interval="wilson"), abs=1e-9)


def test_gates_and_causes_are_counted():
    faulty = (("gain", 1.02),)
    outcomes = [
        *clean(2),
        outcome(faulty, 0, top="gain", named=("gain", "pedestal"), sky_leakage="FAIL"),
        outcome(faulty, 1, top="host_light", named=("host_light", "gain"), sky_leakage="INSUFFICIENT"),
        outcome(faulty, 2, top="unknown", named=(), sky_leakage="FAIL", core_leakage="FAIL"),
    ]
    (row,) = summarize_outcomes(outcomes, BANDS)["faults"]
    assert [row[key]["count"] for key in ("right", "named", "any_gate")] == [1, 2, 2]
    assert row["mistaken_for"] == {"host_light": 1, "unknown": 1}
    assert row["gates"]["sky_leakage"]["count"] == 2
    assert row["gates"]["sky_leakage"]["statuses"] == {"FAIL": 2, "INSUFFICIENT": 1}
    assert row["gates"]["core_leakage"]["count"] == 1


def test_an_advisory_gate_is_no_detection_and_no_false_alarm():
    summary = summarize_outcomes([*clean(3), *gain(3)], BANDS)
    assert summary["gates"]["six_channel_viability"] == {"advisory": True}
    assert summary["clean"]["gates"]["six_channel_viability"]["count"] == 3
    assert summary["clean"]["any_gate"]["count"] == summary["faults"][0]["any_gate"]["count"] == 0


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        (clean(50) + gain(20), "PASS"),
        (clean(50, false=1) + gain(20, wrong=1), "PASS"),
        (clean(50, false=2) + gain(20), "FAIL"),
        (clean(50) + gain(20, wrong=2), "FAIL"),
        (clean(50) + gain(20) + gain(20, wrong=20, strength=1.01), "PASS"),
        (clean(50), "INSUFFICIENT"),
        (gain(20), "INSUFFICIENT"),
        (clean(50) + gain(20, strength=1.05), "INSUFFICIENT"),
    ],
)
def test_the_status_is_that_of_the_promised_grade_and_of_the_clean_sets(outcomes, status):
    assert summarize_outcomes(outcomes, BANDS)["status"] == status


def test_what_falls_short_is_listed():
    short = summarize_outcomes(clean(10, false=1) + gain(20, wrong=2), BANDS)["shortfalls"]
    assert short == [
        {"fault": None, "share": 0.1, "at_most": 0.02},
        {"fault": "gain", "strength": 1.02, "share": 0.9, "at_least": 0.95},
    ]


def test_sets_that_were_not_judged_keep_it_from_passing():
    assert summarize_outcomes(clean(50) + gain(20), BANDS, complete=False)["status"] == "INSUFFICIENT"


def test_a_false_cause_that_is_named_beside_physical_counts():
    summary = summarize_outcomes([*clean(1), outcome(number=1, named=("physical", "gain"))], BANDS)["clean"]
    assert (summary["other_top"]["count"], summary["other_named"]["count"]) == (0, 1)
    assert summary["mistaken_for"] == {"gain": 1}


def test_two_at_once_must_both_be_in_the_top_two():
    planted = (("gain", 1.02), ("pedestal", 0.2))
    named = [("pedestal", "gain"), ("gain", "pedestal", "gradient"), ("gain", "gradient", "pedestal"), ("gradient",)]
    outcomes = [outcome(planted, at, top=each[0], named=each) for at, each in enumerate(named)]
    (row,) = summarize_outcomes(outcomes, BANDS)["together"]
    assert (row["both"]["count"], row["either"]["count"], row["sets"]) == (2, 3, 4)


# ---- terms ----


def sums_of(values, hosts):
    """Sums by host of values that are the same for all terms and bands."""
    everywhere = np.ones((len(TERMS), len(BANDS)))
    return {
        host: np.stack([sum(hosts == host) * everywhere, values[hosts == host].sum() * everywhere])
        for host in np.unique(hosts)
    }


def test_a_mean_is_over_pairs_and_its_error_over_hosts():
    rng = np.random.default_rng(1)
    hosts = np.repeat(np.arange(400), 25)
    values = 0.01 * rng.standard_normal(400)[hosts] + 0.001 * rng.standard_normal(len(hosts)) + 0.002
    sets = [sums_of(values[at::2], hosts[at::2]) for at in (0, 1)]
    row = term_means(sets, BANDS)[0]
    assert (row["pairs"], row["hosts"]) == (10_000, 400)
    assert row["mean"] == pytest.approx(values.mean(), rel=1e-9)
    # 25 pairs of a host are one draw of its 0.01, not 25: taken as independent, the error would be a fifth of this.
    assert row["error"] == pytest.approx(0.01 / np.sqrt(400), rel=0.1)


@pytest.mark.parametrize(("mean", "below"), [(0.0039, True), (-0.0039, True), (0.0041, False), (-0.0041, False)])
def test_a_mean_is_held_against_a_fifth_of_what_must_be_named(mean, below):
    rows = {row["term"]: row for row in term_means([sums_of(np.full(4, mean), np.arange(4))], BANDS)}
    assert rows["gain"]["limit"] == pytest.approx(0.02 / 5)
    assert rows["gain"]["below"] is below
    assert rows["blur"]["limit"] == pytest.approx(0.5**2 / 5)
    assert rows["shift_y"]["limit"] == pytest.approx(0.1 / 5)
    assert (rows["gradient_x"]["cause"], rows["gradient_x"]["limit"]) == ("gradient", pytest.approx(0.1))


def test_a_term_that_is_nowhere_known_is_not_below_anything():
    nothing = {"a": np.zeros((2, len(TERMS), len(BANDS)))}
    row = term_means([nothing], BANDS)[0]
    assert (row["mean"], row["error"], row["pairs"], row["below"]) == (None, None, 0, False)


def test_one_host_has_no_error():
    assert term_means([sums_of(np.ones(3), np.zeros(3, int))], BANDS)[0]["error"] is None


def test_what_intervals_say_of_zero_is_counted_on_clean_sets():
    outcomes = clean(4)
    outcomes = [replace(each, zero={"core_leakage": (at != 1, at == 2)}) for at, each in enumerate(outcomes)]
    found = summarize_outcomes(outcomes, BANDS)["clean"]["zero"]
    assert found["core_leakage"]["holds"]["count"] == 3
    assert found["core_leakage"]["fires"]["count"] == 1
