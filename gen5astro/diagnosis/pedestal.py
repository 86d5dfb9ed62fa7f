"""A constant was added to every pixel of the stamp: a sky level that came with the simulated arc."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    found = marks.extent("pedestal")
    if not found.present:
        return None
    signed, error = marks.mark("pedestal")
    varies = found.value > 2 * np.abs(signed)
    value, error = np.where(varies, found.value, signed), np.where(varies, found.error, error)
    sky = np.median(marks.sigma, axis=0)
    claim = marks.claim(value * sky, error * sky, f"{marks.unit} / pix", value**2, size=marks.values["pedestal"])
    marks.clear("pedestal")
    return claim


CAUSE = Cause(
    order=12,
    removes=("pedestal",),
    look_first="the sky of the simulated frame: a background, bias or mean of a noise map that is added "
    "together with the arc.",
    explain=_explain,
)
