"""A plane was added to the stamp: a background that is tilted, or a flat field."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    if not marks.present("gradient_x", "gradient_y"):
        return None
    (x, x_error), (y, y_error) = marks.mark("gradient_x"), marks.mark("gradient_y")
    length, error = np.hypot(x, y), np.hypot(x_error, y_error)
    sky = np.median(marks.sigma, axis=0)
    size = np.hypot(marks.values["gradient_x"], marks.values["gradient_y"])
    claim = marks.claim(length * sky, error * sky, "nmgy / pix at the edge", length**2 / 3, size=size)
    marks.clear("gradient_x", "gradient_y")
    return claim


CAUSE = Cause(
    order=11,
    look_first="a background model or flat field that is applied to the stamp and not to the ctrl.",
    explain=_explain,
)
