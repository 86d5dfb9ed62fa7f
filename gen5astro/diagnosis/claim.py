"""What a cause says that it explains."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

__all__ = ["Claim", "rank_correlation"]


@dataclass(frozen=True)
class Claim:
    """What a cause explains.

    Parameters
    ----------
    magnitude : dict of dict
        By band: ``value``, ``error``, ``unit``.
    variance : float
        Mean squared artifact a pixel, in units of the sky's variance.
    scaling : dict of float
        Rank correlation, over pairs, of the mark's size with theta_E, arc flux, host flux and sky level.
    size : float64 array, (n, band)
        The mark of each pair that the scaling is of.
    """

    magnitude: dict[str, dict]
    variance: float
    scaling: dict[str, float]
    size: np.ndarray


def rank_correlation(a, b):
    """Spearman's rank correlation.

    Parameters
    ----------
    a, b : float64 array, (n,)
        What is held against what.

    Returns
    -------
    correlation : float or None
        From -1 to 1; None where either does not vary.
    """
    use = np.isfinite(a) & np.isfinite(b)
    if use.sum() < 3:
        return None
    a, b = (rankdata(values[use]) for values in (a, b))
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
