"""The stamp was scaled by its own statistics, which its arc had moved.

Scaled by its own standard deviation its host comes out fainter by the factor std(ctrl) / std(stamp), pair by pair: the
brighter the arc, the more; by its peak or its sum likewise. A gain that follows such a factor is this cause and not a
zero point. Where all stamps have one mean and one standard deviation the scaling has even been left in place.
"""

import numpy as np

from gen5astro.diagnosis import Cause
from gen5astro.diagnosis.marks import FLOORS

_SAME = 1e-3
_LEAST = 1e-3


def _explain(marks):
    found, (own, own_error) = marks.values["gain"], marks.mark("noise_gain")
    same = _all_alike(marks)
    if same.any():
        claim = marks.claim(*marks.population(np.abs(found)), "of the host", same * marks.contrast**2, size=found)
        marks.clear("gain", "noise_gain", "pedestal", "noise_power")
        return claim
    best = None
    noise = 0.6745 * np.sqrt(np.median(marks.errors["gain"] ** 2, axis=0))
    noise = np.where(np.isfinite(noise), noise, 0)
    for scale, level in _factors(marks, found):
        predicted = 1 / scale - 1
        strength, error = _slope(marks, predicted, found)
        left, constant = (_scatter(each) for each in (found - strength * predicted, found))
        left, constant = (np.sqrt(np.maximum(each**2 - noise**2, 0)) for each in (left, constant))
        least = np.maximum(_LEAST, 0.5 * (marks.floors["gain"] - FLOORS["gain"]))
        follows = (left < 0.35 * constant) & (constant > least) & (strength > np.maximum(0.1, 4 * error))
        # The host's noise is scaled with it.
        middle = strength * np.median(predicted, axis=0)
        scaled = np.abs(own - middle) < np.maximum(0.5 * np.abs(middle), np.maximum(0.02, 4 * own_error))
        follows &= scaled | ("noise_gain" in marks.touched)
        rest = float(np.mean(left[follows] / constant[follows])) if follows.any() else np.inf
        if best is None or rest < best[0]:
            best = rest, strength, error, predicted, level
    if not np.isfinite(best[0]):
        return None
    _, strength, error, predicted, level = best
    effect = strength * predicted
    variance = np.median(effect**2, axis=0) * marks.contrast**2
    claim = marks.claim(strength, error, "parts of the effect", variance, size=effect)
    marks.take("gain", effect)
    marks.raise_floor("gain", 0.3 * np.abs(np.median(effect, axis=0)))
    marks.take_noise(effect)
    marks.take("pedestal", strength * level)
    return claim


def _all_alike(marks):
    """Bands in which all stamps have one standard deviation, which no set of galaxies has."""
    wide = marks.column("stamp_std")
    middle = np.median(wide, axis=0)
    return np.median(np.abs(wide - middle), axis=0) < _SAME * middle


def _factors(marks, gain):
    """By how much the arc raised the standard deviation, sum and peak of each stamp, and the pedestal that follows.

    The arc that was measured has been scaled as well, by 1 + gain; that is undone.
    """
    own, mean = marks.column("ctrl_std"), marks.column("ctrl_mean")
    undo = 1 / np.maximum(1 + gain, 0.1)
    pixels = marks.table.shape[0] * marks.table.shape[1]
    arc = (marks.column("arc_snr_measured") * marks.sigma) ** 2 / pixels
    both = marks.column("physical_std") ** 2 - own**2 - arc
    wide = np.sqrt(np.maximum(own**2 + both * undo + arc * undo**2, 1e-30))
    lifted = mean + (marks.column("physical_mean") - mean) * undo
    yield wide / own, (mean - lifted * own / wide) / marks.sigma
    with np.errstate(divide="ignore", invalid="ignore"):
        yield np.where(mean > 0, np.maximum(lifted / mean, 0.1), 1.0), np.zeros_like(own)
        peak = marks.column("ctrl_core_peak")
        raised = peak + (marks.column("physical_core_peak") - peak) * undo
        yield np.where(peak > 0, np.maximum(raised / peak, 0.1), 1.0), np.zeros_like(own)


def _scatter(values):
    """Median absolute deviation of the pairs."""
    return np.median(np.abs(values - np.median(values, axis=0)), axis=0)


def _slope(marks, x, y):
    """Median over hosts of the least-squares slope of each host's pairs about their mean, and its error."""
    count = np.bincount(marks.group)
    x, y = (each - _host_means(marks.group, count, each)[marks.group] for each in (x, y))
    cross, square = (np.stack([np.bincount(marks.group, band) for band in each.T], axis=1) for each in (x * y, x * x))
    slopes = cross / np.maximum(square, 1e-12)
    value = np.median(slopes, axis=0)
    scatter = 1.4826 * np.median(np.abs(slopes - value), axis=0)
    return value, np.sqrt(np.pi / 2) * scatter / np.sqrt(len(slopes))


def _host_means(group, count, values):
    return np.stack([np.bincount(group, band) for band in values.T], axis=1) / count[:, None]


CAUSE = Cause(
    order=6,
    removes=("gain", "pedestal", "noise"),
    look_first="any standardization, min-max or percentile scaling between the injection and the file; save physical "
    "flux.",
    explain=_explain,
)
