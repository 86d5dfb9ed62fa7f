"""The arcs lie off their lenses on average: a PSF kernel that is not centered shifts what it convolves.

Sources lie on all sides of their lenses, so the mean place of many arcs is the lens. An arc's own place scatters with
the Einstein radius, and its weight falls accordingly; the error is the scatter between hosts.
"""

import numpy as np

from gen5astro.diagnosis import Cause
from gen5astro.diagnosis.marks import SIGNIFICANCE
from gen5astro.population import mean_place


def _explain(marks):
    radius = marks.column("arc_radius_arcsec") / marks.table.pixel_scale
    (x, x_error), (y, y_error) = (
        mean_place(marks.column(f"arc_offset_{axis}"), radius, marks.group) for axis in ("x", "y")
    )
    length, error = np.hypot(x, y), np.hypot(x_error, y_error)
    floor = marks.floors["arc_offset"]
    told = [np.abs(at) > np.maximum(floor, SIGNIFICANCE * error) for at, error in ((x, x_error), (y, y_error))]
    if not np.any(told):
        return None
    size = np.hypot(marks.column("arc_offset_x"), marks.column("arc_offset_y"))
    arc = np.median(marks.column("arc_snr_measured"), axis=0) ** 2 / np.prod(marks.table.shape)
    return marks.claim(length, error, "pix", arc * np.minimum(length / marks.psf_pix, 1) ** 2, size=size)


CAUSE = Cause(
    order=13,
    removes=(),
    look_first="the PSF kernel: even-sized, cut off center, or convolved with mode 'full' and cropped by one "
    "pixel too few.",
    explain=_explain,
)
