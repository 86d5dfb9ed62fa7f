"""The stamp holds another band's host: its noise is that of another band's ctrl, and its own is gone."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    other, error = marks.mark("noise_gain_other")
    own, _ = marks.mark("noise_gain")
    swapped = (other > np.maximum(0.05, 4 * error)) & (np.abs(own + other) < 0.5 * other)
    if not swapped.any():
        return None
    variance = other**2 * (1 + marks.contrast**2)
    claim = marks.claim(other, error, "parts of the host", variance, size=marks.values["noise_gain_other"])
    marks.clear("noise_gain_other", "noise_gain", "noise_power", "gain", "blur", "shift_x", "shift_y", "pedestal")
    marks.clear("gradient_x", "gradient_y", "arc_offset_x", "arc_offset_y")
    return claim


CAUSE = Cause(
    order=2,
    look_first="the order of bands where host and arc are stacked: 'grz' against 'rgz', a sort by name.",
    explain=_explain,
)
