"""How well a few numbers tell stamp from ctrl, and how much of that physics explains.

A classifier's area under the ROC curve (AUC) on stamp and ctrl says that something tells them apart, not what. The same
classifier is therefore trained twice: on the stamps as they are (*measured*), and on stamps rebuilt as ctrl + (residual
- fitted artifacts) (*explained*: what a faultless injection of the same arc gives). *Unexplained* is the difference.
Folds and bootstrap draws are the same for both, and keep all pairs of one host together.
"""

import itertools
import warnings
from dataclasses import dataclass

import numpy as np

from gen5astro.kernels.rank import auc, bootstrap_auc, draw_groups
from gen5astro.sky import effective_number

__all__ = ["VIEWS", "Leakage", "measure_auc", "measure_leakage", "strata"]

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
                masks[_stratum_name(label, low, high)] = mask
    return masks


def _stratum_name(label, low, high):
    if np.isinf(low):
        return f"{label}<{high:g}"
    return f"{label}>={low:g}" if np.isinf(high) else f"{low:g}<={label}<{high:g}"


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
    fold = np.tile(_assign_folds(groups, config.folds, rng), 2)
    draws = draw_groups(n_groups, config.bootstraps, rng)
    labels, scores = np.repeat([1, 0], n), np.empty((2 * n, 2))
    sides = (baseline or (features, "physical")), (features, image)
    for column, (numbers, which) in enumerate(sides):
        rows = _views(numbers(table, which), numbers(table, "ctrl"), view)
        scores[:, column] = _cross_validate(rows, labels, fold)
    null = _permuted(rows, fold, n, masks, config.permutations, rng)
    return [_judge(view, name, mask, groups, scores, labels, draws, null[name]) for name, mask in masks.items()]


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
    return auc(_cross_validate(rows, labels, np.tile(_assign_folds(groups, config.folds, rng), 2)), labels)


def _views(image, ctrl, view):
    """Rows that the classifier sees: first those labelled 1, then those labelled 0."""
    if view == "single":
        return np.concatenate([image, ctrl])
    return np.concatenate([image - ctrl, ctrl - image])


def _assign_folds(groups, folds, rng):
    """Give each group a fold, largest groups first to the emptiest fold, ties in random order."""
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
    with threadpool_limits(1), warnings.catch_warnings():
        # At machine precision its line search may not improve; scikit-learn then finishes with lbfgs and says so.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for held_out in range(fold.max() + 1):
            train, test = fold != held_out, fold == held_out
            seen = rows[train]
            mean, scatter = seen.mean(axis=0), seen.std(axis=0)
            scatter[scatter == 0] = 1.0
            seen -= mean
            seen /= scatter
            model = LogisticRegression(solver="newton-cholesky", max_iter=100)
            model.fit(seen, labels[train])
            scores[test] = model.decision_function((rows[test] - mean) / scatter)
    return scores


def _permuted(rows, fold, n, masks, permutations, rng):
    """AUCs, by stratum, after stamp and ctrl of each pair were exchanged at random."""
    areas = {name: np.empty(permutations) for name in masks}
    for at in range(permutations):
        swapped = rng.integers(0, 2, n)
        labels = np.concatenate([1 - swapped, swapped])
        scores = _cross_validate(rows, labels, fold)
        for name, mask in masks.items():
            both = np.tile(mask, 2)
            areas[name][at] = auc(scores[both], labels[both])
    return areas


def _judge(view, stratum, mask, groups, scores, labels, draws, null):
    both = np.tile(mask, 2)
    inside = scores[both], labels[both]
    explained, measured = (auc(inside[0][:, column], inside[1]) for column in range(2))
    areas = bootstrap_auc(*inside, np.tile(groups[mask], 2), draws)
    samples = {"measured": areas[:, 1], "explained": areas[:, 0], "unexplained": areas[:, 1] - areas[:, 0]}
    points = {"measured": measured, "explained": explained, "unexplained": measured - explained}
    return Leakage(
        view=view,
        stratum=stratum,
        hosts=effective_number(groups[mask]),
        pairs=int(mask.sum()),
        **points,
        intervals={name: _centered_interval(values, points[name]) for name, values in samples.items()},
        null=_interval(null),
    )


def _centered_interval(values, point):
    """Percentile interval less the bootstrap's bias.

    A draw that holds a host twice compares it with itself more often than the data do, which moves every draw's AUC the
    same way; the mean of the draws is brought back to the point estimate.
    """
    values = values[np.isfinite(values)]
    low, high = _interval(values - values.mean() + point) if len(values) else (np.nan, np.nan)
    return max(low, -1.0), min(high, 1.0)


def _interval(values):
    values = values[np.isfinite(values)]
    if not len(values):
        return (np.nan, np.nan)
    low, high = np.quantile(values, [0.025, 0.975])
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
        null=nothing,
    )
