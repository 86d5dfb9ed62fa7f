"""How well a network does on the validation split, by the numbers that decide which epoch is best."""

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from gen5astro.metrics import auc_of_pairs, completeness_at

__all__ = ["MIN_FALSE_POSITIVES", "judge_scores", "merit", "stated_rate", "validation_notes"]

MIN_FALSE_POSITIVES = 10
"""Hosts that a rate must leave as false positives; with fewer hosts than that takes, the rate is raised and stated."""
_HIGHEST_RATE = 0.5
"""A threshold that lets more than this pass tells nothing of a search."""

_NOTHING = ("val_loss", "val_auc", "val_completeness", "val_false_positive_rate")


def judge_scores(logits, groups, *, rate):
    """Judge the scores of pairs.

    Parameters
    ----------
    logits : float64 array, (n, 2)
        Of stamp and ctrl.
    groups : int64 array, (n,)
        Host of each pair: however many arcs it was given, its ctrl is one negative.
    rate : float
        False-positive rate at which completeness is asked for.

    Returns
    -------
    numbers : dict
        ``val_loss`` (binary cross-entropy), ``val_auc`` (`~gen5astro.metrics.auc_of_pairs`: against the ctrls of other
        hosts; None of one host), ``val_false_positive_rate`` (`stated_rate`) and ``val_completeness`` (share of stamps
        above the lowest threshold that no more than this rate of the ctrls exceeds; None where no rate can be stated).
        All are None without pairs.
    """
    if not len(logits):
        return dict.fromkeys(_NOTHING)
    labels = np.tile([1, 0], (len(logits), 1))
    loss = binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(labels).double())
    names, groups = np.unique(groups, return_inverse=True)
    each_once = np.ones((1, len(names)), np.int32)
    rate = stated_rate(rate, len(names))
    area = float(auc_of_pairs(*logits.T, groups, each_once)[0])
    found = None if rate is None else float(completeness_at([rate], *logits.T, groups, each_once)[0, 0])
    return dict(zip(_NOTHING, (loss.item(), area if np.isfinite(area) else None, found, rate), strict=True))


def stated_rate(rate, n_hosts):
    """Raise a false-positive rate to one that the hosts can show.

    Parameters
    ----------
    rate : float
        As asked for.
    n_hosts : int
        Hosts with a ctrl.

    Returns
    -------
    rate : float or None
        At which `MIN_FALSE_POSITIVES` of them are false positives, or more; None if that were more than half of them.
    """
    raised = max(rate, MIN_FALSE_POSITIVES / max(n_hosts, 1))
    return raised if raised <= max(rate, _HIGHEST_RATE) else None


def validation_notes(rate, n_hosts):
    """Say where validation cannot state what was asked of it.

    Parameters
    ----------
    rate : float
        The rate asked for.
    n_hosts : int
        Hosts of the validation split.

    Returns
    -------
    notes : list of str
        For the user.
    """
    stated = stated_rate(rate, n_hosts)
    if not n_hosts or stated == rate:
        return []
    has = f"validation has {n_hosts} host{'s' if n_hosts > 1 else ''}"
    if stated is None:
        needed = round(MIN_FALSE_POSITIVES / _HIGHEST_RATE)
        return [f"{has}: too few to state a completeness ({needed} needed), so the AUC decides which epoch is best"]
    return [f"{has}: completeness is stated at a false-positive rate of {stated:.2g}, not {rate:g}"]


def merit(record):
    """Rank an epoch: by completeness at the fixed rate, then by AUC, then by loss, then the later one.

    What could not be stated of one epoch could be of none.

    Parameters
    ----------
    record : dict
        Of the epoch, with the numbers of `judge_scores`.

    Returns
    -------
    merit : tuple of float
        The greater, the better.
    """
    loss = record["val_loss"]
    return record["val_completeness"] or 0.0, record["val_auc"] or 0.0, -loss if loss else 0.0, record["epoch"]
