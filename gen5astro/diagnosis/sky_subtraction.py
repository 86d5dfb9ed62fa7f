"""A sky was subtracted from the stamp once more, estimated on the stamp itself.

The pedestal is then negative where the image's own level is positive, and follows it from pair to pair; a constant does
not. The level may have been a median, a mean, or that of an annulus or of the corners: the one that it follows best
counts.
"""

import numpy as np

from gen5astro.diagnosis import Cause

_LEVELS = ("physical_median", "physical_mean", "physical_sky_level", "physical_corner_level")


def _explain(marks):
    pedestal = marks.values["pedestal"]
    spread = pedestal - np.median(pedestal, axis=0)
    noise = 0.6745 * np.sqrt(np.median(marks.errors["pedestal"] ** 2, axis=0))
    best = None
    for name in _LEVELS:
        level = marks.column(name) / marks.sigma
        share, error = _share(marks, level - np.median(level, axis=0), spread)
        left = spread + share * (level - np.median(level, axis=0))
        left, constant = (np.median(np.abs(each - np.median(each, axis=0)), axis=0) for each in (left, spread))
        left, constant = (np.sqrt(np.maximum(each**2 - noise**2, 0)) for each in (left, constant))
        follows = (left < 0.5 * constant) & (share > np.maximum(0.05, 4 * error)) & (constant > 0.01)
        rest = float(np.mean(left[follows] / constant[follows])) if follows.any() else np.inf
        if best is None or rest < best[0]:
            best = rest, share, error, level
    if not np.isfinite(best[0]):
        return None
    _, share, error, level = best
    claim = marks.claim(share, error, "times the level", np.median((share * level) ** 2, axis=0), size=pedestal)
    marks.take("pedestal", -share * level)
    return claim


def _share(marks, level, pedestal):
    """Robust slope of the pedestal on the level, over hosts, and its error."""
    weight = np.minimum(1.0, 2 * np.median(np.abs(level), axis=0) / np.maximum(np.abs(level), 1e-12))
    cross, square = (
        np.stack([np.bincount(marks.group, band) for band in each.T], axis=1)
        for each in (-weight * level * pedestal, weight * level**2)
    )
    share = cross.sum(axis=0) / np.maximum(square.sum(axis=0), 1e-12)
    off = cross - share * square
    return share, np.sqrt((off**2).sum(axis=0)) / np.maximum(square.sum(axis=0), 1e-12)


CAUSE = Cause(
    order=7,
    removes=("pedestal",),
    look_first="a background step that runs on the stamp after the injection (sep, a median, a mesh): run it "
    "before, or on both.",
    explain=_explain,
)
