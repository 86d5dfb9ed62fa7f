"""The stamp was scaled by its own mean and standard deviation, which its arc had moved.

Its host then comes out fainter by the factor std(ctrl) / std(stamp), pair by pair: the brighter the arc, the more. A
gain that follows this factor is this cause and not a zero point.
"""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    wide, own = (np.asarray(marks.table[name], dtype=np.float64) for name in ("physical_std", "ctrl_std"))
    predicted, found = own / wide - 1, marks.values["gain"]
    strength, error = _slope(marks, predicted, found)
    left = np.median(np.abs(found - strength * predicted), axis=0)
    constant = np.median(np.abs(found - np.median(found, axis=0)), axis=0)
    follows = (left < 0.35 * constant) & (strength > np.maximum(0.1, 4 * error))
    if not follows.any():
        return None
    effect = strength * predicted
    variance = np.median(effect**2, axis=0) * marks.contrast**2
    claim = marks.claim(strength, error, "parts of the effect", variance, size=effect)
    marks.clear("gain", "noise_gain", "pedestal")
    return claim


def _slope(marks, x, y):
    """Median over hosts of the least-squares slope through the origin of each host's pairs, and its error."""
    hosts = [marks.group == group for group in range(marks.group.max() + 1)]
    slopes = [(x[mine] * y[mine]).sum(axis=0) / np.maximum((x[mine] ** 2).sum(axis=0), 1e-12) for mine in hosts]
    value = np.median(slopes, axis=0)
    scatter = 1.4826 * np.median(np.abs(slopes - value), axis=0)
    return value, np.sqrt(np.pi / 2) * scatter / np.sqrt(len(slopes))


CAUSE = Cause(
    order=3,
    look_first="any standardization, min-max or percentile scaling between the injection and the file; save physical "
    "flux.",
    explain=_explain,
)
