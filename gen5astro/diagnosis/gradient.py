"""A plane was added to the stamp: a background that is tilted, or a flat field."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    found = marks.extent("gradient")
    if not found.present:
        return None
    sky = np.median(marks.sigma, axis=0)
    claim = marks.claim(
        found.value * sky, found.error * sky, f"{marks.unit} / pix at the edge", found.value**2 / 3, size=found.pairs
    )
    marks.clear("gradient_x", "gradient_y")
    return claim


CAUSE = Cause(
    order=11,
    removes=("gradient", "noise"),
    look_first="a background model or flat field that is applied to the stamp and not to the ctrl.",
    explain=_explain,
)
