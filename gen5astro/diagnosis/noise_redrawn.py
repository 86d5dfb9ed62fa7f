"""The noise of the host was replaced: the ctrl's own noise is missing from the stamp and other noise is there."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    own, error = marks.mark("noise_gain")
    fresh, fresh_error = marks.population(marks.fresh_power())
    gone = (own < -0.2) & (own < -4 * error) & (fresh > np.maximum(0.15 * own**2, 4 * fresh_error))
    if not gone.any():
        return None
    value, value_error = marks.population(np.sqrt(marks.fresh_power()))
    power, _ = marks.mark("noise_power")
    claim = marks.claim(value, value_error, "sky sigma", power, size=marks.fresh_power())
    marks.clear("noise_power", "noise_gain", "blur", "gain", "noise_gain_other")
    return claim


CAUSE = Cause(
    order=6,
    look_first="a host that is modeled or denoised before the arc is added, with noise drawn anew: add the arc "
    "to the real pixels.",
    explain=_explain,
)
