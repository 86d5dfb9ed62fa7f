"""A comparison lists what differs and nothing else, the same numbers with the sign turned when it is turned round."""

import copy
import json

import numpy as np
import pytest

from gen5astro.report.baseline import change_interval, changes, compare_audits, comparison_sentence, of_kind
from gen5astro.report.json import encode
from tests.report.records import make_audit

CLEAN, FAULTY = make_audit(), make_audit(excess=0.14, label="faulty.parquet")


def place(row):
    return tuple(row[key] for key in ("gate", "name", "view", "stratum", "band"))


def test_an_audit_has_not_changed_since_itself():
    comparison = compare_audits(CLEAN, copy.deepcopy(CLEAN))
    assert comparison["changes"] == comparison["settings"] == []
    assert "Still PASS. No number differs." in comparison_sentence(comparison)


def test_a_status_an_auc_and_a_cause_that_changed_are_listed():
    rows = {place(row): row for row in changes(FAULTY, CLEAN)}
    gate = rows["core_leakage", None, None, None, None]
    assert (gate["status_before"], gate["status_after"], gate["before"]) == ("FAIL", "PASS", None)
    core = rows["core_leakage", "unexplained_auc", "single", "theta_e>=2", None]
    assert core["change"] == pytest.approx(core["after"] - core["before"]) == pytest.approx(-0.14)
    assert core["interval"][0] < core["change"] < core["interval"][1] < 0
    cause = rows["diagnosis", "pedestal", None, None, None]
    assert (cause["before"], cause["after"], cause["unit"]) == (0.99, None, "confidence")
    assert rows["diagnosis", "pedestal", None, None, "r"]["before"] == 0.0025


def test_what_did_not_change_is_not_listed():
    gates = {row["gate"] for row in changes(FAULTY, CLEAN)}
    assert gates == {"core_leakage", "sky_leakage", "six_channel_viability", "diagnosis"}


def test_turned_round_it_says_the_same_with_the_sign_turned():
    forth = {place(row): row for row in changes(FAULTY, CLEAN)}
    back = {place(row): row for row in changes(CLEAN, FAULTY)}
    assert set(forth) == set(back)
    for where, row in forth.items():
        other = back[where]
        assert (row["before"], row["status_before"]) == (other["after"], other["status_after"])
        if row["change"] is not None:
            assert row["change"] == -other["change"]
        if row["interval"] is not None:
            assert row["interval"] == pytest.approx([-other["interval"][1], -other["interval"][0]])


def test_a_gate_that_only_one_audit_has_is_listed_and_has_no_status_in_the_other():
    less = copy.deepcopy(CLEAN)
    del less["gates"]["sky_leakage"]
    for before, after, key in ((less, CLEAN, "status_before"), (CLEAN, less, "status_after")):
        rows = [row for row in changes(before, after) if row["gate"] == "sky_leakage"]
        assert [row["name"] for row in rows] == [None, "corner_auc"]
        assert all(row[key] is None and row["change"] is None for row in rows)


def test_the_interval_of_a_difference_of_normal_means_adds_in_quadrature():
    errors = np.array([0.02, 0.03])
    interval = change_interval([0.7, 0.8], [[0.7 - 0.02, 0.7 + 0.02], [0.8 - 0.03, 0.8 + 0.03]])
    assert interval == pytest.approx([0.1 - np.hypot(*errors), 0.1 + np.hypot(*errors)])


def test_the_interval_of_a_difference_covers_it_at_its_level():
    rng = np.random.default_rng(1)
    n, size = 40, 4000
    samples = rng.exponential(1, (2, size, n)) * np.array([1.0, 1.5])[:, None, None]
    means, errors = samples.mean(axis=2), samples.std(axis=2, ddof=1) / np.sqrt(n)
    covered = 0
    for (old, new), (old_error, new_error) in zip(means.T, errors.T, strict=True):
        ends = [[old - 1.96 * old_error, old + 1.96 * old_error], [new - 1.96 * new_error, new + 1.96 * new_error]]
        low, high = change_interval([old, new], ends)
        covered += low <= 0.5 <= high
    assert 0.92 < covered / size < 0.97


@pytest.mark.parametrize("unknown", [None, [None, 0.3], [0.1, None]])
def test_an_interval_that_is_not_known_gives_none(unknown):
    assert change_interval([0.1, 0.2], [unknown, [0.1, 0.3]]) is None


def test_settings_and_pixels_that_differ_are_said():
    other = copy.deepcopy(CLEAN)
    other["provenance"]["config"]["audit"]["seed"] = 7
    CLEAN["provenance"]["input_digest"] = other["provenance"]["input_digest"] = "abc"
    comparison = compare_audits(CLEAN, other)
    assert comparison["settings"] == [{"key": "audit.seed", "before": 0, "after": 7}]
    assert comparison["same_input"] is True
    assert compare_audits(FAULTY, CLEAN)["same_input"] is None
    sentence = comparison_sentence(comparison)
    assert "audit.seed" in sentence
    assert "same pixels" in sentence


def test_every_change_is_shown_once():
    comparison = compare_audits(FAULTY, CLEAN)
    kinds = [of_kind(comparison, kind) for kind in ("gates", "aucs", "causes", "others")]
    assert sum(map(len, kinds)) == len(comparison["changes"])
    assert all(kinds)
    assert {row["view"] for row in kinds[1]} == {"single"}


def test_a_comparison_is_plain_data():
    comparison = compare_audits(FAULTY, CLEAN)
    assert json.loads(encode(comparison)) == comparison
