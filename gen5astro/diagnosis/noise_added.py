"""Noise was added to the stamp on top of the host's own."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    power = marks.fresh_power()
    value, error = marks.population(power)
    if not np.any(value > np.maximum(marks.floors["noise_power"], 4 * error)):
        return None
    sigma, sigma_error = marks.population(np.sqrt(power))
    claim = marks.claim(sigma, sigma_error, "sky sigma", value, size=power)
    marks.clear("noise_power")
    return claim


CAUSE = Cause(
    order=10,
    removes=("noise",),
    look_first="noise of the simulated frame: the arc may bring its own photon noise, not a second sky.",
    explain=_explain,
)
