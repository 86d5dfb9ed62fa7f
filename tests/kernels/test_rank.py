"""Areas under the curve: those of scikit-learn, ties and weights included, and of every draw at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from gen5astro.errors import ShapeError
from gen5astro.kernels.rank import auc, between_auc, bootstrap_auc, draw_groups
from tests import reference

ROWS = st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 4)), min_size=1, max_size=40)


def draw_rows(n, ties, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    scores = rng.normal(labels * 0.5, 1)
    return (np.round(scores, 1) if ties else scores), labels, rng.random(n)


@given(rows=ROWS)
def test_the_area_is_the_share_of_well_ordered_pairs(rows):
    scores, labels, weights = map(np.array, zip(*rows, strict=True))
    with np.errstate(invalid="ignore"):
        expected = reference.auc(scores, labels, weights)
    np.testing.assert_allclose(auc(scores, labels, weights), expected, rtol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_the_area_is_scikit_learn_s(ties):
    scores, labels, weights = draw_rows(700, ties)
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    weighted = roc_auc_score(labels, scores, sample_weight=weights)
    assert auc(scores, labels, weights) == pytest.approx(weighted, abs=1e-12)


def test_reversed_scores_give_the_rest_of_one():
    scores, labels, _ = draw_rows(99, True)
    assert auc(-scores, labels) == pytest.approx(1 - auc(scores, labels), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_every_draw_is_scikit_learn_s_with_the_counts_as_weights(ties):
    scores, labels, _ = draw_rows(300, ties)
    groups = np.arange(300) // 4
    draws = draw_groups(75, 150, np.random.default_rng(1))
    two = np.stack([scores, -(scores**2)], axis=1)
    areas = bootstrap_auc(two, labels, groups, draws)
    assert areas.shape == (150, 2)
    for draw, area in zip(draws, areas, strict=True):
        expected = [roc_auc_score(labels, column, sample_weight=draw[groups]) for column in two.T]
        np.testing.assert_allclose(area, expected, atol=1e-12)


def test_a_draw_does_not_see_the_others_and_large_counts_are_kept():
    scores, labels, _ = draw_rows(120, True)
    groups = np.arange(120) // 2
    draws = draw_groups(60, 9, np.random.default_rng(2))
    areas = bootstrap_auc(scores, labels, groups, draws)
    alone = np.concatenate([bootstrap_auc(scores, labels, groups, draw[None]) for draw in draws])
    np.testing.assert_array_equal(areas, alone)
    np.testing.assert_allclose(bootstrap_auc(scores, labels, groups, 1000 * draws), areas, rtol=1e-12)


def test_one_draw_of_everything_once_is_the_plain_area():
    scores, labels, _ = draw_rows(80, True)
    area = bootstrap_auc(scores, labels, np.arange(80), np.ones((1, 80), np.int32))
    assert area.tolist() == [[auc(scores, labels)]]


def test_a_class_that_is_absent_or_a_score_that_is_nan_gives_no_area():
    assert np.isnan(auc([1.0, 2.0], [1, 1]))
    assert np.isnan(auc([1.0, np.nan], [0, 1]))
    scores = np.array([[1.0, 1.0], [2.0, np.nan]])
    areas = bootstrap_auc(scores, [0, 1], [0, 1], [[1, 1], [2, 0]])
    assert np.isnan(areas).tolist() == [[False, True], [True, True]]


def test_draws_are_repeatable_and_sum_to_the_number_of_groups():
    draws = draw_groups(40, 500, np.random.default_rng(5))
    np.testing.assert_array_equal(draws, draw_groups(40, 500, np.random.default_rng(5)))
    assert (draws.sum(axis=1) == 40).all()
    assert draws.mean(axis=0) == pytest.approx(np.ones(40), abs=0.25)


def count_between(scores, labels, groups, counts):
    """Share of well-ordered comparisons between two groups, each weighted by both groups' counts, by brute force."""
    won = total = 0.0
    for i in np.flatnonzero(labels):
        for j in np.flatnonzero(~np.asarray(labels, bool)):
            if groups[i] != groups[j]:
                weight = counts[groups[i]] * counts[groups[j]]
                total += weight
                won += weight * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
    return won / total if total else np.nan


@given(rows=ROWS)
def test_comparisons_between_groups_are_counted_one_by_one(rows):
    scores, labels, groups = map(np.array, zip(*rows, strict=True))
    expected = count_between(scores, labels, groups, np.ones(5))
    assert between_auc(scores, labels, groups) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_group_that_is_drawn_twice_is_not_compared_with_itself():
    scores, labels, _ = draw_rows(60, True)
    groups = np.arange(60) // 6
    draws = draw_groups(10, 20, np.random.default_rng(4))
    areas = bootstrap_auc(scores, labels, groups, draws, between=True)[:, 0]
    expected = [count_between(scores, labels, groups, draw) for draw in draws]
    np.testing.assert_allclose(areas, expected, atol=1e-12)


def test_bad_shapes_are_named():
    with pytest.raises(ShapeError, match="equal lengths"):
        auc([1.0, 2.0], [1])
    with pytest.raises(ShapeError, match="0 and 1"):
        auc([1.0, 2.0], [1, 2])
    with pytest.raises(ShapeError, match=r"expected \(m,\)"):
        auc(np.zeros((2, 2)), [0, 1])
    with pytest.raises(ShapeError, match="0 or more"):
        auc([1.0, 2.0], [0, 1], [1.0, -1.0])
    with pytest.raises(ShapeError, match=r"groups: got 0 to 2; expected 0 to 1"):
        bootstrap_auc([1.0, 2.0], [0, 1], [0, 2], [[1, 1]])
    with pytest.raises(ShapeError, match=r"groups: got shape"):
        bootstrap_auc([1.0, 2.0], [0, 1], [0], [[1, 1]])
    with pytest.raises(ShapeError, match=r"draws: got shape"):
        bootstrap_auc([1.0, 2.0], [0, 1], [0, 1], [1, 1])
