"""How well a network does on the validation split, by the numbers that decide which epoch is best."""

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from gen5astro.kernels.rank import auc
from gen5astro.metrics import completeness_at

__all__ = ["MIN_FALSE_POSITIVES", "judge_scores", "merit"]

MIN_FALSE_POSITIVES = 10
"""False positives that a rate must leave; with fewer negatives than that takes, the rate is raised and stated."""

_NOTHING = ("val_loss", "val_auc", "val_completeness", "val_false_positive_rate")


def judge_scores(logits, *, rate):
    """Judge the scores of pairs.

    Parameters
    ----------
    logits : float64 array, (n, 2)
        Of stamp and ctrl.
    rate : float
        False-positive rate at which completeness is asked for.

    Returns
    -------
    numbers : dict
        ``val_loss`` (binary cross-entropy), ``val_auc``, ``val_completeness`` (share of stamps above the lowest
        threshold that no more than the rate of the ctrls exceeds) and ``val_false_positive_rate`` (the rate, raised
        where it would leave fewer than `MIN_FALSE_POSITIVES` ctrls); None without pairs.
    """
    if not len(logits):
        return dict.fromkeys(_NOTHING)
    labels = np.tile([1, 0], (len(logits), 1))
    loss = binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(labels).double())
    rate = min(max(rate, MIN_FALSE_POSITIVES / len(logits)), 1.0)
    alone = np.zeros(len(logits), np.int64)
    completeness = completeness_at([rate], logits[:, 0], logits[:, 1], alone, np.ones((1, 1)))
    numbers = loss.item(), auc(logits.ravel(), labels.ravel()), float(completeness[0, 0]), rate
    return dict(zip(_NOTHING, numbers, strict=True))


def merit(record):
    """Rank an epoch: by completeness at the fixed rate, then by AUC, then by loss, then the later one.

    Parameters
    ----------
    record : dict
        Of the epoch, with the numbers of `judge_scores`.

    Returns
    -------
    merit : tuple of float
        The greater, the better.
    """
    if record["val_auc"] is None:
        return 0.0, 0.0, 0.0, record["epoch"]
    return record["val_completeness"], record["val_auc"], -record["val_loss"], record["epoch"]
