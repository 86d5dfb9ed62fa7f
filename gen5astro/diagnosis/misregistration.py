"""The host under the arc is shifted against its ctrl: resampled, recut, or rounded to another pixel.

A shift also smooths a little and decorrelates the noise; it claims both.
"""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    if not marks.present("shift_x", "shift_y"):
        return None
    (x, x_error), (y, y_error) = marks.mark("shift_x"), marks.mark("shift_y")
    length, error = np.hypot(x, y), np.hypot(x_error, y_error)
    steep = marks.contrast * 2.355 / marks.psf_pix
    size = np.hypot(marks.values["shift_x"], marks.values["shift_y"])
    claim = marks.claim(length, error, "pix", 0.5 * (length * steep) ** 2, size=size)
    marks.clear("shift_x", "shift_y")
    marks.take("blur", length**2 / 2)
    marks.take("noise_power", _decorrelated(length))
    marks.take("noise_gain", np.clip(marks.mark("noise_gain")[0], -_decorrelated(length), 0))
    return claim


def _decorrelated(length):
    """Power that a shift of white noise leaves, at most that of two independent draws."""
    return np.minimum(2.0 * (1 - np.cos(1.8 * length)), 2.0)


CAUSE = Cause(
    order=5,
    look_first="cutout centers: integer against sub-pixel centers, one-based pixels, WCS origin 0 or 1, "
    "reprojection of one of the two.",
    explain=_explain,
)
