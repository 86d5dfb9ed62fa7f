"""How well a few numbers tell stamp from ctrl, and how much of that physics explains.

A classifier's area under the ROC curve (AUC) on stamp and ctrl says that something tells them apart, not what. The same
classifier is therefore trained twice: on the stamps as they are (*measured*), and on stamps rebuilt as ctrl + (residual
- fitted artifacts) (*explained*: what a faultless injection of the same arc gives). *Unexplained* is the difference.
Folds and bootstrap draws are the same for both, and keep all pairs of one host together. Every comparison behind an AUC
is between a stamp and the ctrl of another host: on the sky no galaxy is seen twice.
"""

import itertools
import warnings
from dataclasses import dataclass

import numpy as np

from gen5astro.engine import warnings_lock
from gen5astro.kernels.rank import between_auc, bootstrap_auc, draw_groups
from gen5astro.sky import effective_number

__all__ = [
    "VIEWS",
    "Leakage",
    "assign_folds",
    "measure_auc",
    "measure_leakage",
    "sample_hosts",
    "strata",
    "stratum_name",
]

VIEWS = ("single", "paired")


@dataclass(frozen=True)
class Leakage:
    """AUCs of one view in one stratum.

    Parameters
    ----------
    view, stratum : str
        Which.
    hosts : float
        Effective number of independent hosts (Kish 1965) in the stratum.
    pairs : int
        Number of pairs.
    measured, explained, unexplained : float
        AUC on the stamps, on the rebuilt stamps, and their difference; NaN where there are too few hosts to fold.
    intervals : dict of tuple
        95 % interval of each of the three from the bootstrap over hosts.
    simultaneous : tuple of float
        Interval of the unexplained AUC that is wide enough for all strata to hold theirs at once (Bonferroni).
    null : tuple of float
        2.5 % and 97.5 % quantiles of the measured AUC under permutation of the labels within pairs.
    """

    view: str
    stratum: str
    hosts: float
    pairs: int
    measured: float
    explained: float
    unexplained: float
    intervals: dict[str, tuple[float, float]]
    simultaneous: tuple[float, float]
    null: tuple[float, float]


def strata(table, config):
    """Masks of the theta_E and arc_snr strata.

    Parameters
    ----------
    table : MeasureTable
        Pairs.
    config : AuditConfig
        Edges.

    Returns
    -------
    masks : dict of bool array, (n,)
        ``all`` first; those that hold no pair, for want of the column or of rows, are left out.
    """
    masks = {"all": np.ones(len(table), dtype=bool)}
    for column, label, edges in (
        ("theta_e_arcsec", "theta_e", config.theta_e_edges),
        ("arc_snr", "arc_snr", config.arc_snr_edges),
    ):
        values = np.where(table[column] >= 0, table[column], np.nan)
        bounds = [-np.inf, *edges, np.inf]
        for low, high in itertools.pairwise(bounds):
            mask = (values >= low) & (values < high)
            if mask.any():
                masks[stratum_name(label, low, high)] = mask
    return masks


def stratum_name(label, low, high):
    """Return what a stratum is called.

    Parameters
    ----------
    label : str
        What is cut into strata.
    low, high : float
        Edges, the lower one within; infinite where there is none.

    Returns
    -------
    name : str
        Such as ``1<=theta_e<2``.
    """
    if np.isinf(low):
        return f"{label}<{high:g}"
    return f"{label}>={low:g}" if np.isinf(high) else f"{low:g}<={label}<{high:g}"


def sample_hosts(groups, most, rng):
    """Choose pairs such that every host is there as evenly as can be.

    Parameters
    ----------
    groups : int array, (n,)
        Host of each pair.
    most : int
        How many pairs to choose.
    rng : numpy.random.Generator
        Source of the choice.

    Returns
    -------
    chosen : bool array, (n,)
        All pairs where there are no more than `most`; else hosts take turns, each with its pairs in random order.
    """
    n = len(groups)
    if n <= most:
        return np.ones(n, dtype=bool)
    shuffled = rng.permutation(n)
    by_host = shuffled[np.argsort(groups[shuffled], kind="stable")]
    _, first, count = np.unique(groups[by_host], return_index=True, return_counts=True)
    turn = np.arange(n) - np.repeat(first, count)
    chosen = np.zeros(n, dtype=bool)
    chosen[by_host[np.lexsort((rng.random(n), turn))[:most]]] = True
    return chosen


def measure_leakage(table, features, *, view, masks, config, rng, image="stamp", baseline=None):
    """Measure how well `features` tell stamp from ctrl, in each stratum.

    Parameters
    ----------
    table : MeasureTable
        Pairs, with ``group``; rows with features that are not finite must have been taken out.
    features : callable
        ``features(table, image)`` gives a float array (n, k) for image ``stamp``, ``ctrl`` or ``physical``.
    view : {'single', 'paired'}
        Whether the classifier sees one image, or the ordered pair as the difference of its two rows of features.
    masks : dict of bool array
        Strata, from `strata`; one classifier is trained on all and judged in each.
    config : AuditConfig
        Folds, draws, permutations.
    rng : numpy.random.Generator
        Source of folds, draws and permutations.
    image : {'stamp', 'physical'}
        What is told from ctrl.
    baseline : tuple, optional
        ``(features, image)`` of the explained AUC. Default: the same features of ``physical``.

    Returns
    -------
    leakages : list of Leakage
        One a stratum.
    """
    groups = np.unique(table["group"], return_inverse=True)[1]
    n, n_groups = len(table), int(groups.max()) + 1 if len(table) else 0
    if n_groups < config.folds:
        return [_unmeasured(view, name, mask, groups) for name, mask in masks.items()]
    fold = assign_folds(groups, config.folds, rng)
    draws = draw_groups(n_groups, config.bootstraps, rng)
    labels, scores = np.repeat([1, 0], n), np.empty((2 * n, 2))
    sides = (baseline or (features, "physical")), (features, image)
    for column, (numbers, which) in enumerate(sides):
        rows = _views(numbers(table, which), numbers(table, "ctrl"), view)
        scores[:, column] = _cross_validate(rows, labels, np.tile(fold, 2))
    null = _permuted(rows, fold, groups, masks, config.permutations, rng)
    judge = {"view": view, "groups": groups, "scores": scores, "labels": labels, "draws": draws}
    return [_judge(name, mask, null[name], strata=len(masks), **judge) for name, mask in masks.items()]


def measure_auc(table, features, *, image, config, rng):
    """Measure how well `features` of one image tell it from the ctrl, and nothing more.

    Parameters
    ----------
    table : MeasureTable
        Pairs, with ``group``; rows with features that are not finite must have been taken out.
    features : callable
        As in `measure_leakage`.
    image : {'stamp', 'physical', 'ctrl'}
        What is told from ctrl.
    config : AuditConfig
        Number of folds.
    rng : numpy.random.Generator
        Source of folds.

    Returns
    -------
    area : float
        AUC of the view ``single`` over all pairs; NaN where there are too few hosts to fold.
    """
    groups = np.unique(table["group"], return_inverse=True)[1]
    if not len(groups) or groups.max() + 1 < config.folds:
        return float("nan")
    rows = np.concatenate([features(table, image), features(table, "ctrl")])
    labels = np.repeat([1, 0], len(groups))
    scores = _cross_validate(rows, labels, np.tile(assign_folds(groups, config.folds, rng), 2))
    return between_auc(scores, labels, np.tile(groups, 2))


def _views(image, ctrl, view):
    """Rows that the classifier sees: first those labelled 1, then those labelled 0."""
    if view == "single":
        return np.concatenate([image, ctrl])
    return np.concatenate([image - ctrl, ctrl - image])


def assign_folds(groups, folds, rng):
    """Give each group a fold, largest groups first to the emptiest fold, ties in random order.

    Parameters
    ----------
    groups : int array, (n,)
        Group of each row, from 0.
    folds : int
        How many there are.
    rng : numpy.random.Generator
        Source of the order.

    Returns
    -------
    fold : int array, (n,)
        Fold of each row, from 0.
    """
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    load, fold_of = np.zeros(folds), np.empty(len(sizes), dtype=np.intp)
    for group in order:
        fold_of[group] = load.argmin()
        load[fold_of[group]] += sizes[group]
    return fold_of[groups]


def _cross_validate(rows, labels, fold):
    """Out-of-fold decision values of a standardized logistic regression."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    scores = np.empty(len(rows))
    with warnings_lock, threadpool_limits(1), warnings.catch_warnings():
        # At machine precision its line search may not improve; scikit-learn then finishes with lbfgs and says so.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for train, test, standardized in _folds(rows, fold):
            model = LogisticRegression(solver="newton-cholesky", max_iter=100)
            model.fit(standardized[train], labels[train])
            scores[test] = model.decision_function(standardized[test])
    return scores


def _folds(rows, fold):
    """Masks of training and test rows of each fold, and all rows standardized by those of the training."""
    for held_out in range(fold.max() + 1):
        train = fold != held_out
        mean, scatter = rows[train].mean(axis=0), rows[train].std(axis=0)
        scatter[scatter == 0] = 1.0
        yield train, ~train, (rows - mean) / scatter


def _permuted(rows, fold, groups, masks, permutations, rng):
    """AUCs, by stratum, after stamp and ctrl of each pair were exchanged at random.

    With labels that mean nothing a logistic regression is its own first step from zero, a linear discriminant; all
    permutations then share one matrix, and are solved for at once.
    """
    from threadpoolctl import threadpool_limits

    n = len(fold)
    areas = {name: np.full(permutations, np.nan) for name in masks}
    if not permutations:
        return areas
    sign = 2.0 * rng.integers(0, 2, (n, permutations)) - 1
    scores = np.empty((2 * n, permutations))
    with threadpool_limits(1):
        for train, test, standardized in _folds(rows, np.tile(fold, 2)):
            seen = standardized[train]
            matrix = seen.T @ seen + 1e-9 * len(seen) * np.eye(rows.shape[1])
            apart = (standardized[:n] - standardized[n:])[train[:n]]
            scores[test] = standardized[test] @ np.linalg.solve(matrix, apart.T @ sign[train[:n]])
    for name, mask in masks.items():
        both, group = np.tile(mask, 2), np.tile(groups[mask], 2)
        for at in range(permutations):
            chosen = sign[mask, at] > 0
            areas[name][at] = between_auc(scores[both, at], np.concatenate([chosen, ~chosen]), group)
    return areas


def _judge(stratum, mask, null, *, view, groups, scores, labels, draws, strata):
    both, group = np.tile(mask, 2), np.tile(groups[mask], 2)
    scores, labels = scores[both], labels[both]
    explained, measured = (between_auc(column, labels, group) for column in scores.T)
    areas = bootstrap_auc(scores, labels, group, draws, between=True)
    unexplained = areas[:, 1] - areas[:, 0]
    return Leakage(
        view=view,
        stratum=stratum,
        hosts=effective_number(groups[mask]),
        pairs=int(mask.sum()),
        measured=measured,
        explained=explained,
        unexplained=measured - explained,
        intervals={
            "measured": _interval(areas[:, 1], 0.05),
            "explained": _interval(areas[:, 0], 0.05),
            "unexplained": _interval(unexplained, 0.05),
        },
        simultaneous=_interval(unexplained, 0.05 / strata),
        null=_interval(null, 0.05),
    )


def _interval(values, level):
    """Central interval that leaves out a share `level` of the values; NaN without any."""
    values = values[np.isfinite(values)]
    if not len(values):
        return (np.nan, np.nan)
    low, high = np.quantile(values, [level / 2, 1 - level / 2])
    return float(low), float(high)


def _unmeasured(view, stratum, mask, groups):
    nothing = (np.nan, np.nan)
    return Leakage(
        view=view,
        stratum=stratum,
        hosts=effective_number(groups[mask]) if mask.any() else 0.0,
        pairs=int(mask.sum()),
        measured=np.nan,
        explained=np.nan,
        unexplained=np.nan,
        intervals=dict.fromkeys(("measured", "explained", "unexplained"), nothing),
        simultaneous=nothing,
        null=nothing,
    )
