"""The arcs lie off their lenses on average: a PSF kernel that is not centered shifts what it convolves.

Sources lie on all sides of their lenses, so the mean place of many arcs is the lens. An arc's own place scatters with
the Einstein radius, and its weight falls accordingly; the error is the scatter between hosts.
"""

import numpy as np

from gen5astro.diagnosis import Cause
from gen5astro.diagnosis.marks import SIGNIFICANCE


def _explain(marks):
    x, x_error = _mean_place(marks, "arc_offset_x")
    y, y_error = _mean_place(marks, "arc_offset_y")
    length, error = np.hypot(x, y), np.hypot(x_error, y_error)
    floor = marks.floors["arc_offset"]
    told = [np.abs(at) > np.maximum(floor, SIGNIFICANCE * error) for at, error in ((x, x_error), (y, y_error))]
    if not np.any(told):
        return None
    size = np.hypot(marks.column("arc_offset_x"), marks.column("arc_offset_y"))
    arc = np.median(marks.column("arc_snr_measured"), axis=0) ** 2 / np.prod(marks.table.shape)
    return marks.claim(length, error, "pix", arc * np.minimum(length / marks.psf_pix, 1) ** 2, size=size)


def _mean_place(marks, name):
    """Mean over the hosts' arcs, weighted by the inverse square of the Einstein radius, and its error."""
    place = marks.column(name)
    weight = 1 / (marks.column("arc_radius_arcsec") / marks.table.pixel_scale) ** 2
    weight = np.broadcast_to(weight[:, None], place.shape)
    far = np.abs(place) * np.sqrt(weight) > 2.0
    weight = np.where(far | ~np.isfinite(place), 0.0, weight)
    sums, weights = (
        np.stack([np.bincount(marks.group, band) for band in each.T], axis=1)
        for each in (weight * np.nan_to_num(place), weight)
    )
    total = np.maximum(weights.sum(axis=0), 1e-30)
    mean = sums.sum(axis=0) / total
    return mean, np.sqrt(((sums - mean * weights) ** 2).sum(axis=0)) / total


CAUSE = Cause(
    order=13,
    removes=(),
    look_first="the PSF kernel: even-sized, cut off center, or convolved with mode 'full' and cropped by one "
    "pixel too few.",
    explain=_explain,
)
