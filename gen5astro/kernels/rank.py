"""Area under the ROC curve from ranks, and its bootstrap over groups.

The AUC is the share of (positive, negative) pairs in which the positive scores higher, a tie counting one half
(Mann-Whitney). In a bootstrap draw a row weighs as often as its group was drawn, so the scores are sorted once for all.
"""

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError

__all__ = ["auc", "between_auc", "bootstrap_auc", "draw_groups"]

_LANES = 128


def auc(scores, labels, weights=None):
    """Compute the area under the ROC curve.

    Parameters
    ----------
    scores : array, (m,)
        Higher means more probably positive.
    labels : bool or int array, (m,)
        Whether a row is positive (1) or negative (0).
    weights : array, (m,), optional
        Weight of each row, 0 or more; default: 1 each.

    Returns
    -------
    area : float
        From 0 to 1, ties counting one half; NaN where a class is absent or a score is NaN.

    Raises
    ------
    ShapeError
        If the lengths differ or a label is neither 0 nor 1.
    """
    scores, labels = _checked_scores(scores, labels)
    if scores.shape[1] != 1:
        raise ShapeError("scores", got=f"shape {scores.shape}", expected="(m,)")
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    if weights.shape != labels.shape or not np.all(weights >= 0):
        raise ShapeError("weights", got=f"shape {weights.shape}", expected=f"{labels.shape}, 0 or more")
    if np.isnan(scores).any():
        return float("nan")
    area = np.empty(1)
    _weighted_areas(*_ranking(scores[:, 0], labels, np.arange(len(labels))), weights[:, None], area)
    return float(area[0])


def between_auc(scores, labels, groups):
    """Compute the area under the ROC curve of which every comparison is between two groups.

    On the sky a galaxy is not compared with itself; and rows of one group are no independent trials.

    Parameters
    ----------
    scores : array, (m,)
        Higher means more probably positive.
    labels : bool or int array, (m,)
        Whether a row is positive (1) or negative (0).
    groups : int array, (m,)
        Group of each row, from 0.

    Returns
    -------
    area : float
        From 0 to 1, ties counting one half; NaN where a class is absent or in one group alone, or a score is NaN.

    Raises
    ------
    ShapeError
        If the lengths differ or a label is neither 0 nor 1.
    """
    groups = np.asarray(groups, dtype=np.int64)
    everyone = np.ones((1, int(groups.max(initial=-1)) + 1), np.int32)
    return float(bootstrap_auc(scores, labels, groups, everyone, between=True)[0, 0])


def draw_groups(n_groups, n_draws, rng):
    """Draw groups with replacement, as many as there are, again and again.

    Parameters
    ----------
    n_groups : int
        Number of groups.
    n_draws : int
        Number of draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    draws : int32 array, (n_draws, n_groups)
        How often each group was drawn; every row sums to `n_groups`.
    """
    draws = np.empty((n_draws, n_groups), np.int32)
    for draw in draws:
        draw[:] = np.bincount(rng.integers(0, n_groups, n_groups, dtype=np.int32), minlength=n_groups)
    return draws


def bootstrap_auc(scores, labels, groups, draws, *, between=False):
    """Compute the area under the ROC curve for every bootstrap draw over groups.

    Parameters
    ----------
    scores : array, (m, s) or (m,)
        One or several scores of every row; all see the same draws.
    labels : bool or int array, (m,)
        Whether a row is positive (1) or negative (0).
    groups : int array, (m,)
        Group of each row, a column number of `draws`.
    draws : int array, (b, G)
        How often each group counts in each draw, as from `draw_groups`.
    between : bool
        Count only comparisons between two groups; a group that a draw holds twice is not compared with itself.

    Returns
    -------
    areas : float64 array, (b, s)
        NaN where a draw lacks a class, and throughout a column that holds a NaN.

    Raises
    ------
    ShapeError
        If the shapes do not fit, a label is neither 0 nor 1, or a group is not in `draws`.
    """
    scores, labels = _checked_scores(scores, labels)
    groups, draws = np.asarray(groups, dtype=np.int64), np.asarray(draws)
    if draws.ndim != 2:
        raise ShapeError("draws", got=f"shape {draws.shape}", expected="(b, G)")
    if groups.shape != labels.shape:
        raise ShapeError("groups", got=f"shape {groups.shape}", expected=f"{labels.shape}")
    if len(groups) and (groups.min() < 0 or groups.max() >= draws.shape[1]):
        raise ShapeError("groups", got=f"{groups.min()} to {groups.max()}", expected=f"0 to {draws.shape[1] - 1}")
    areas = np.empty((scores.shape[1], len(draws)))
    rankings = [_ranking(column, labels, groups) for column in scores.T]
    small = draws.dtype.kind in "iu" and draws.size and draws.min() >= 0 and draws.max() < 256
    compact = np.uint8 if small else np.float64
    for begin in range(0, len(draws), _LANES):
        counts = np.ascontiguousarray(draws[begin : begin + _LANES].T, dtype=compact)
        for column, ranking in enumerate(rankings):
            _weighted_areas(*ranking, counts, areas[column, begin : begin + _LANES])
    if between:
        _leave_out_own(scores, labels, groups, draws, areas)
    areas[np.isnan(scores).any(axis=0)] = np.nan
    return areas.T


def _leave_out_own(scores, labels, groups, draws, areas):
    """Take the comparisons within groups out of areas (column, draw)."""
    n_groups = draws.shape[1]
    counts = np.column_stack([np.bincount(groups[labels == side], minlength=n_groups) for side in (True, False)])
    won = np.column_stack([_own_wins(column, labels, groups, n_groups) for column in scores.T])
    own = np.column_stack([counts[:, 0] * counts[:, 1], won])
    for begin in range(0, len(draws), _LANES):
        some = slice(begin, begin + _LANES)
        weights = draws[some].astype(np.float64)
        both = np.prod(weights @ counts, axis=1)
        within = np.square(weights, out=weights) @ own
        with np.errstate(divide="ignore", invalid="ignore"):
            areas[:, some] = (areas[:, some] * both - within[:, 1:].T) / (both - within[:, 0])


def _own_wins(scores, labels, groups, n_groups):
    """In how many comparisons within each group the positive scores higher, ties counting one half."""
    order = np.lexsort((scores, groups))
    won = np.zeros(n_groups)
    _win_within(scores[order].astype(np.float64), labels[order], groups[order], won)
    return won


def _checked_scores(scores, labels):
    """Return scores as (m, s) and labels as bool."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    scores = scores[:, None] if scores.ndim == 1 else scores
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ShapeError("scores and labels", got=f"shapes {scores.shape} and {labels.shape}", expected="equal lengths")
    positive = labels.astype(bool)
    if not np.array_equal(positive, labels):
        raise ShapeError("labels", got="other values", expected="0 and 1")
    return scores, positive


def _ranking(scores, labels, groups):
    """Labels and groups in rising order of score, and which rows are the last of their tie."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    last_of_tie = np.ones(len(scores), bool)
    last_of_tie[:-1] = ordered[1:] != ordered[:-1]
    return labels[order], groups[order], last_of_tie


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _win_within(scores, labels, groups, won):
    """Add up, for each group, in how many comparisons within it the positive scores higher; rows are in order."""
    begin = 0
    while begin < len(scores):
        group, k, below = groups[begin], begin, 0.0
        while k < len(scores) and groups[k] == group:
            positive, negative, at = 0.0, 0.0, k
            while at < len(scores) and groups[at] == group and scores[at] == scores[k]:
                positive += labels[at]
                negative += not labels[at]
                at += 1
            won[group] += positive * (below + 0.5 * negative)
            below += negative
            k = max(at, k + 1)
        begin = k


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _weighted_areas(labels, groups, last_of_tie, weights, areas):
    """Mann-Whitney areas of all columns of `weights` (group, draw) in one pass over the ranking."""
    n_draws = weights.shape[1]
    area, positive, below = np.zeros(n_draws), np.zeros(n_draws), np.zeros(n_draws)
    tied_positive, tied_negative = np.zeros(n_draws), np.zeros(n_draws)
    alone = True
    for k in range(len(labels)):
        weight = weights[groups[k]]
        alone &= last_of_tie[k]
        if alone and labels[k]:
            for draw in range(n_draws):
                area[draw] += weight[draw] * below[draw]
                positive[draw] += weight[draw]
        elif alone:
            for draw in range(n_draws):
                below[draw] += weight[draw]
        else:
            tied = tied_positive if labels[k] else tied_negative
            for draw in range(n_draws):
                tied[draw] += weight[draw]
        if last_of_tie[k] and not alone:
            alone = True
            for draw in range(n_draws):
                area[draw] += tied_positive[draw] * (below[draw] + 0.5 * tied_negative[draw])
                positive[draw] += tied_positive[draw]
                below[draw] += tied_negative[draw]
                tied_positive[draw] = tied_negative[draw] = 0.0
    for draw in range(n_draws):
        areas[draw] = area[draw] / (positive[draw] * below[draw])
