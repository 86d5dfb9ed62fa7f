"""Scores judged: against scikit-learn, against plain loops over draws, and where nothing can be said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from gen5astro.kernels.rank import draw_groups
from gen5astro.metrics import (
    auc_of_pairs,
    average_precision_of_pairs,
    completeness_at,
    interval,
    roc_points,
)


def _scores(seed, n=60, *, levels=None):
    rng = np.random.default_rng(seed)
    stamp, ctrl = rng.normal(1, 1, n), rng.normal(0, 1, n)
    if levels:
        stamp, ctrl = np.round(stamp * levels) / levels, np.round(ctrl * levels) / levels
    return stamp, ctrl, rng.integers(0, 7, n), draw_groups(7, 20, rng)


def _expand(counts, groups):
    """Rows of one draw, repeated as often as their group was drawn."""
    return np.repeat(np.arange(len(groups)), counts[groups])


def _completeness(rate, stamp, ctrl):
    """The definition: the lowest threshold among the ctrls that finds no more ctrls than the rate allows."""
    thresholds = [each for each in np.unique(ctrl) if np.mean(ctrl > each) <= rate]
    return np.mean(stamp > min(thresholds)) if len(stamp) else np.nan


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("seed", range(3))
def test_areas_are_the_share_of_stamps_above_the_ctrls_of_other_hosts_in_every_draw(seed, levels):
    stamp, ctrl, groups, draws = _scores(seed, levels=levels)
    for counts, area in zip(draws, auc_of_pairs(stamp, ctrl, groups, draws), strict=True):
        rows = _expand(counts, groups)
        above = (stamp[rows, None] > ctrl[rows]) + 0.5 * (stamp[rows, None] == ctrl[rows])
        assert area == pytest.approx(above[groups[rows, None] != groups[rows]].mean(), abs=1e-12)


def test_areas_of_hosts_of_one_pair_are_those_of_scikit_learn_but_for_the_own_ctrl():
    stamp, ctrl, _, _ = _scores(3, 400)
    area = auc_of_pairs(stamp, ctrl, np.arange(400), np.ones((1, 400), np.int32))[0]
    whole = roc_auc_score(np.repeat([1, 0], 400), np.concatenate([stamp, ctrl]))
    assert area == pytest.approx((400**2 * whole - np.sum(stamp > ctrl)) / (400 * 399), abs=1e-12)


def test_one_host_alone_has_no_area():
    stamp, ctrl, _, _ = _scores(3)
    assert np.isnan(auc_of_pairs(stamp, ctrl, np.zeros(len(stamp), int), np.ones((1, 1), np.int32))).all()


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("seed", range(3))
def test_precisions_are_those_of_scikit_learn(seed, levels):
    stamp, ctrl, groups, draws = _scores(seed, levels=levels)
    precisions = average_precision_of_pairs(stamp, ctrl, groups, draws)
    for counts, precision in zip(draws, precisions, strict=True):
        rows = _expand(counts, groups)
        scores, labels = np.concatenate([stamp[rows], ctrl[rows]]), np.repeat([1, 0], len(rows))
        assert precision == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@given(st.integers(0, 200), st.sampled_from([None, 1, 3]), st.sampled_from([0.0, 0.01, 0.1, 0.33, 1.0]))
def test_completeness_is_its_definition_in_every_draw(seed, levels, rate):
    stamp, ctrl, groups, draws = _scores(seed, 25, levels=levels)
    chosen = stamp > 0.5
    found = completeness_at([rate], stamp, ctrl, groups, draws, chosen=chosen)[:, 0]
    for counts, value in zip(draws, found, strict=True):
        rows = _expand(counts, groups)
        expected = _completeness(rate, stamp[rows[chosen[rows]]], ctrl[rows])
        assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_completeness_grows_with_the_rate_and_is_blind_to_a_monotonic_change_of_scores():
    stamp, ctrl, groups, draws = _scores(5)
    rates = [0.0, 0.05, 0.2, 0.5]
    found = completeness_at(rates, stamp, ctrl, groups, draws)
    assert np.all(np.diff(found, axis=1) >= 0)
    np.testing.assert_array_equal(found, completeness_at(rates, np.exp(stamp), np.exp(ctrl), groups, draws))


def test_the_order_of_the_pairs_does_not_matter():
    stamp, ctrl, groups, draws = _scores(6, levels=2)
    order = np.random.default_rng(0).permutation(len(stamp))
    for function in (auc_of_pairs, average_precision_of_pairs, lambda *args: completeness_at([0.1], *args)):
        expected = function(stamp, ctrl, groups, draws)
        np.testing.assert_allclose(function(stamp[order], ctrl[order], groups[order], draws), expected, rtol=1e-12)


def test_an_interval_needs_draws_that_say_something():
    values = np.linspace(0, 1, 1001)
    assert interval(values) == pytest.approx([0.025, 0.975])
    assert interval(np.where(values < 0.04, np.nan, values)) is not None
    assert interval(np.where(values < 0.06, np.nan, values)) is None
    assert interval(np.array([])) is None


@pytest.mark.parametrize("levels", [None, 2])
def test_the_curve_runs_through_that_of_scikit_learn(levels):
    stamp, ctrl, _, _ = _scores(7, 500, levels=levels)
    fpr, tpr = roc_points(stamp, ctrl, n_points=10_000)
    scores, labels = np.concatenate([stamp, ctrl]), np.repeat([1, 0], len(stamp))
    expected = roc_curve(labels, scores, drop_intermediate=False)[:2]
    mine = {(round(x, 9), round(y, 9)) for x, y in zip(fpr, tpr, strict=True)}
    assert mine <= {(round(x, 9), round(y, 9)) for x, y in zip(*expected, strict=True)}
    assert np.trapezoid(tpr, fpr) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert len(roc_points(stamp, ctrl, n_points=20)[0]) <= 20
