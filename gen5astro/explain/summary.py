"""What the fits of a sample say together, by stratum and band."""

import numpy as np

from gen5astro.kernels.rank import draw_groups

__all__ = ["summarize"]

# The median of a few hosts has no interval worth its name: five give one of at most 94 %, from their lowest to highest.
_MIN_HOSTS = 6


def summarize(pairs, table, chosen, masks, bootstraps, rng):
    """Summarize the fitted pairs of a sample.

    Parameters
    ----------
    pairs : list of dict
        What was found for each pair.
    table : MeasureTable
        Measurements, with ``group``.
    chosen : int64 array, (m,)
        Row number in `table` of each pair.
    masks : dict of bool array, (n,)
        Strata.
    bootstraps : int
        Draws over hosts behind an interval.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    rows : list of dict
        For each stratum that the sample touches, and band: ``stratum, band, sample, fitted, hosts`` (of the fitted
        pairs), ``theta_e_arcsec`` and ``misfit`` (their medians), ``with_share`` (fitted pairs whose excess is above
        its noise), ``share`` and ``unaccounted`` (medians over the pairs), ``interval`` and ``unaccounted_interval``
        (95 %, from a bootstrap over hosts; None below six hosts), and ``bracket`` (medians of the lower and upper
        ends; None where a PSF image was given).
    """
    fitted = np.array([pair["fitted"] for pair in pairs], dtype=bool)
    group = np.unique(table["group"][chosen], return_inverse=True)[1]
    draws = draw_groups(int(group.max(initial=-1)) + 1, bootstraps, rng)
    rows = []
    for stratum, mask in masks.items():
        inside = mask[chosen]
        if not inside.any():
            continue
        used = np.flatnonzero(inside & fitted)
        common = {
            "sample": int(inside.sum()),
            "fitted": len(used),
            "hosts": len(np.unique(group[used])),
            "theta_e_arcsec": _median(_numbers((pairs[at] for at in used), "theta_e_arcsec")),
            "misfit": _median(_numbers((pairs[at] for at in used), "misfit")),
        }
        for band in table.bands:
            found = [pairs[at]["bands"][band] for at in used]
            share, rest = (
                np.array([each[key] for each in found], dtype=np.float64) for key in ("share", "unaccounted")
            )
            brackets = np.array([each["bracket"] or (None, None) for each in found], dtype=np.float64).reshape(-1, 2)
            rows.append(
                {
                    "stratum": stratum,
                    "band": band,
                    **common,
                    "with_share": int(np.count_nonzero(np.isfinite(share))),
                    "share": _median(share),
                    "interval": _interval(share, group[used], draws),
                    "bracket": _ends(_median(end) for end in brackets.T),
                    "unaccounted": _median(rest),
                    "unaccounted_interval": _interval(rest, group[used], draws),
                }
            )
    return rows


def _numbers(found, key):
    return np.array([each[key] for each in found], dtype=np.float64)


def _median(values):
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else None


def _ends(ends):
    ends = list(ends)
    return None if None in ends else ends


def _interval(values, group, draws):
    """2.5 % and 97.5 % quantiles of the median over draws of hosts."""
    known = np.isfinite(values)
    values, group = values[known], group[known]
    if len(np.unique(group)) < _MIN_HOSTS:
        return None
    counts = draws[:, group]
    medians = [np.median(np.repeat(values, count)) for count in counts if count.any()]
    return [float(end) for end in np.quantile(medians, [0.025, 0.975])]
