"""Whether train, val and test are alike in what matters: arcs, seeing and depth.

A split without a leak can still be uneven: a test set of better seeing flatters a network. Each quantity of a split is
compared with the same of the two others together, by the two-sample Kolmogorov-Smirnov test. What counts as one
observation is a *home*, which is dealt to a split as a whole: a hundred injections into ten hosts of one patch of sky
are one observation of its seeing. As homes are dealt by a hash, the test is exact under chance alone.
"""

import numpy as np
from scipy.stats import ks_2samp

from gen5astro.splits import SPLITS

__all__ = ["SIGNIFICANCE", "compare_splits", "split_quantities"]

SIGNIFICANCE = 0.05
"""Chance that any quantity of any split is said to differ although all are dealt by chance."""

_LEAST_HOMES = 5
_NOT_COMPARED = {"ks": None, "p": None}


def split_quantities(cube):
    """Collect what the splits of a cube are compared in.

    Parameters
    ----------
    cube : Cube
        The cube.

    Returns
    -------
    quantities : dict of tuple
        Name to ``(unit, values)``, values a float64 array, (n,): Einstein radius, signal-to-noise of the arc, PSF FWHM
        and the ctrl's sky sigma; of the last two, those of band r, or of the middle band where there is no r. What
        the cube does not hold is left out.
    """
    catalog, bands = cube.catalog, cube.bands
    at = bands.index("r") if "r" in bands else len(bands) // 2
    found = {
        "theta_e": ("arcsec", catalog.get("theta_e_arcsec")),
        "arc_snr": ("", catalog.get("arc_snr")),
        f"psf_fwhm_{bands[at]}": ("arcsec", catalog.get(f"psfsize_{bands[at]}")),
        f"sky_sigma_{bands[at]}": ("nmgy", _sky_sigma(cube, at)),
    }
    return {
        name: (unit, np.asarray(values, np.float64))
        for name, (unit, values) in found.items()
        if values is not None and np.isfinite(values).any()
    }


def _sky_sigma(cube, at):
    """Sky sigma of each ctrl, measured by an embedded audit or by the normalizer; None where neither did."""
    if "ctrl_sky_sigma" in cube.measure:
        return cube.measure["ctrl_sky_sigma"][:, at]
    return cube.normalizer_statistics["ctrl"][:, at, 1] if cube.normalizer_spec.kind == "sky" else None


def compare_splits(split, home, quantities):
    """Compare the splits in some quantities.

    Parameters
    ----------
    split : str array, (n,)
        Split of each pair.
    home : int64 array, (n,)
        Label of what was dealt to a split as a whole, from `gen5astro.splits.find_homes`.
    quantities : dict of tuple
        Name to ``(unit, values)``, values a float64 array, (n,); NaN where unknown.

    Returns
    -------
    balance : dict
        For each quantity ``unit``, ``constant`` (whether all pairs have one value: there is nothing to compare) and
        ``splits``, for each of these ``pairs``, ``median``, ``low`` and ``high`` (16th
        and 84th percentile) over pairs, ``homes``, ``ks`` (greatest distance of the distribution over homes, each by
        its median, from that of the other splits together), ``p`` (chance of as great a distance), ``p_all`` (the same
        with all comparisons counted, by Holm's rule) and ``differs`` (``p_all`` below `SIGNIFICANCE`). The last four
        are None with fewer than 5 homes on either side, and of a constant.
    """
    balance = {name: {"unit": unit, "constant": False, "splits": {}} for name, (unit, _) in quantities.items()}
    for name, (_, values) in quantities.items():
        known = np.isfinite(values)
        constant = balance[name]["constant"] = len(np.unique(values[known])) == 1
        homes, medians = _medians(home[known], values[known])
        at = np.searchsorted(homes, home[known])
        for each in SPLITS:
            inside = split[known] == each
            if inside.any():
                low, median, high = np.percentile(values[known][inside], (16, 50, 84))
                row = {"pairs": int(inside.sum()), "median": median, "low": low, "high": high}
                own, others = (medians[np.unique(at[chosen])] for chosen in (inside, ~inside))
                row |= {"homes": len(own), **(_NOT_COMPARED if constant else _compared(own, others))}
                balance[name]["splits"][each] = {key: _plain(value) for key, value in row.items()}
    _adjust([row for each in balance.values() for row in each["splits"].values()])
    return balance


def _medians(labels, values):
    """Return the different labels, ascending, and the median of the values of each."""
    order = np.lexsort((values, labels))
    unique, first, count = np.unique(labels[order], return_index=True, return_counts=True)
    ordered = values[order]
    return unique, (ordered[first + (count - 1) // 2] + ordered[first + count // 2]) / 2


def _compared(own, others):
    if min(len(own), len(others)) < _LEAST_HOMES:
        return _NOT_COMPARED
    found = ks_2samp(own, others)
    return {"ks": found.statistic, "p": found.pvalue}


def _plain(value):
    return value if value is None or isinstance(value, int) else float(value)


def _adjust(rows):
    """Add to each row what its p is worth among all of them (Holm 1979)."""
    judged = sorted((row for row in rows if row["p"] is not None), key=lambda row: row["p"])
    worst = 0.0
    for rank, row in enumerate(judged):
        worst = max(worst, min(1.0, row["p"] * (len(judged) - rank)))
        row["p_all"] = worst
    for row in rows:
        row.setdefault("p_all", None)
        row["differs"] = None if row["p_all"] is None else row["p_all"] < SIGNIFICANCE
