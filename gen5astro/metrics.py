"""Numbers that say how well scores tell stamps from ctrls, each with its interval over hosts.

Pairs on one host are not independent, so a bootstrap draw takes hosts whole: `draws` counts how often each group comes,
as `gen5astro.kernels.rank.draw_groups` draws them. A row of ones is the estimate itself.
"""

import numpy as np

from gen5astro.kernels.rank import bootstrap_auc

__all__ = ["auc_of_pairs", "average_precision_of_pairs", "completeness_at", "interval", "roc_points"]

_CHUNK = 16


def auc_of_pairs(stamp, ctrl, groups, draws):
    """Area under the ROC curve of stamps against the ctrls of other groups.

    A search ranks galaxies against each other, and never one against itself with its arc taken off. Where there are few
    groups, that easier comparison would also come oftener in a bootstrap draw, which holds some groups several times,
    than in the data, and push the interval above the estimate.

    Parameters
    ----------
    stamp, ctrl : float64 array, (n,)
        Score of each pair's two images.
    groups : int64 array, (n,)
        Group of each pair, a column number of `draws`.
    draws : int array, (b, G)
        How often each group counts.

    Returns
    -------
    areas : float64 array, (b,)
        Ties counting one half; NaN where a draw holds one group alone.
    """
    scores, labels = np.concatenate([stamp, ctrl]), np.repeat([1, 0], len(stamp))
    return bootstrap_auc(scores, labels, np.tile(groups, 2), draws, between=True)[:, 0]


def average_precision_of_pairs(stamp, ctrl, groups, draws):
    """Average precision, ``sum (R_k - R_(k-1)) P_k`` over the distinct scores, of as many stamps as ctrls.

    Parameters
    ----------
    stamp, ctrl : float64 array, (n,)
        Score of each pair's two images.
    groups : int64 array, (n,)
        Group of each pair, a column number of `draws`.
    draws : int array, (b, G)
        How often each group counts.

    Returns
    -------
    precision : float64 array, (b,)
        From 0 to 1, without interpolation, as scikit-learn defines it.
    """
    scores = np.concatenate([stamp, ctrl])
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(scores[order][1:] != scores[order][:-1], True)
    positive = np.repeat([1.0, 0.0], len(stamp))[order]
    groups = np.tile(groups, 2)[order]
    precision = np.empty(len(draws))
    for begin in range(0, len(draws), _CHUNK):
        weights = draws[begin : begin + _CHUNK, groups].astype(np.float64)
        found = np.cumsum(weights * positive, axis=1)[:, last_of_tie]
        shown = np.cumsum(weights, axis=1)[:, last_of_tie]
        gained = np.diff(found, axis=1, prepend=0.0) / found[:, -1:]
        precision[begin : begin + _CHUNK] = np.sum(gained * found / np.maximum(shown, 1.0), axis=1)
    return precision


def completeness_at(rates, stamp, ctrl, groups, draws, *, chosen=None):
    """Share of stamps found at fixed false-positive rates.

    An image is found if it scores above a threshold, the lowest at which the share of ctrls found is no more than the
    rate. A rate of 0 gives the share of stamps that score above every ctrl.

    Parameters
    ----------
    rates : sequence of float
        False-positive rates.
    stamp, ctrl : float64 array, (n,)
        Score of each pair's two images.
    groups : int64 array, (n,)
        Group of each pair, a column number of `draws`.
    draws : int array, (b, G)
        How often each group counts.
    chosen : bool array, (n,), optional
        Stamps to look at; the threshold is set by all ctrls. Default: all.

    Returns
    -------
    completeness : float64 array, (b, len(rates))
        NaN where a draw holds none of the stamps.
    """
    chosen = np.ones(len(stamp), bool) if chosen is None else chosen
    order = np.argsort(-ctrl, kind="stable")
    falling = -ctrl[order]
    first_of_tie = np.searchsorted(falling, falling, side="left")
    stamp_order = np.flatnonzero(chosen)[np.argsort(-stamp[chosen], kind="stable")]
    n_above = np.searchsorted(-stamp[stamp_order], falling, side="left")
    completeness = np.empty((len(draws), len(rates)))
    for begin in range(0, len(draws), _CHUNK):
        counts = np.asarray(draws[begin : begin + _CHUNK], np.float64)
        above_ctrl = _cumulative(counts[:, groups[order]])
        found = _cumulative(counts[:, groups[stamp_order]])
        false_positives, total = above_ctrl[:, first_of_tie], above_ctrl[:, -1:]
        n_stamps = np.where(found[:, -1] > 0, found[:, -1], np.nan)
        lane = np.arange(len(counts))
        for at, rate in enumerate(rates):
            threshold = np.count_nonzero(false_positives <= rate * total, axis=1) - 1
            completeness[begin : begin + _CHUNK, at] = found[lane, n_above[threshold]] / n_stamps
    return completeness


def _cumulative(weights):
    """Sum of the first 0, 1, ... columns."""
    return np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights, axis=1)], axis=1)


def interval(values):
    """Middle 95 % of bootstrap values.

    Parameters
    ----------
    values : float64 array, (b,)
        One a draw; NaN where the draw could not state it.

    Returns
    -------
    ends : list of float, or None
        None where more than one draw in twenty states nothing.
    """
    stated = values[np.isfinite(values)]
    if not len(stated) or len(stated) < 0.95 * len(values):
        return None
    return np.quantile(stated, [0.025, 0.975]).tolist()


def roc_points(stamp, ctrl, *, n_points=200):
    """Points of the ROC curve, thinned out.

    Parameters
    ----------
    stamp, ctrl : float64 array, (n,)
        Scores.
    n_points : int
        About how many points to keep.

    Returns
    -------
    fpr, tpr : list of float
        False-positive rate, rising from 0 to 1, and completeness.
    """
    thresholds = np.unique(np.concatenate([stamp, ctrl]))[::-1]
    fpr = np.searchsorted(np.sort(-ctrl), -thresholds, side="right") / len(ctrl)
    tpr = np.searchsorted(np.sort(-stamp), -thresholds, side="right") / len(stamp)
    corner = np.ones(len(fpr), bool)
    corner[1:-1] = (fpr[1:-1] != fpr[:-2]) | (fpr[1:-1] != fpr[2:])
    fpr, tpr = np.append(0.0, fpr[corner]), np.append(0.0, tpr[corner])
    kept = np.unique(np.linspace(0, len(fpr) - 1, n_points).round().astype(int))
    return fpr[kept].tolist(), tpr[kept].tolist()
