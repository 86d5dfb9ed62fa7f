"""A constant was added to every pixel of the stamp: a sky level that came with the simulated arc."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    if not marks.present("pedestal"):
        return None
    value, error = marks.mark("pedestal")
    sky = np.median(marks.sigma, axis=0)
    claim = marks.claim(value * sky, error * sky, "nmgy / pix", value**2, size=marks.values["pedestal"])
    marks.clear("pedestal")
    return claim


CAUSE = Cause(
    order=12,
    look_first="the sky of the simulated frame: a background, bias or mean of a noise map that is added "
    "together with the arc.",
    explain=_explain,
)
