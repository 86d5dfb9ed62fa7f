"""The arcs lie off their lenses on average: a PSF kernel that is not centered shifts what it convolves.

Sources lie on all sides of their lenses, so the mean place of many arcs is the lens; the error is the scatter between
hosts.
"""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    if not marks.present("arc_offset_x", "arc_offset_y"):
        return None
    (x, x_error), (y, y_error) = marks.mark("arc_offset_x"), marks.mark("arc_offset_y")
    length, error = np.hypot(x, y), np.hypot(x_error, y_error)
    size = np.hypot(marks.values["arc_offset_x"], marks.values["arc_offset_y"])
    bright = np.median(np.asarray(marks.table["arc_peak_snr"], dtype=np.float64), axis=0)
    variance = (length / marks.psf_pix * bright) ** 2 * 0.01
    claim = marks.claim(length, error, "pix", variance, size=size)
    marks.clear("arc_offset_x", "arc_offset_y")
    return claim


CAUSE = Cause(
    order=13,
    look_first="the PSF kernel: even-sized, cut off center, or convolved with mode 'full' and cropped by one "
    "pixel too few.",
    explain=_explain,
)
