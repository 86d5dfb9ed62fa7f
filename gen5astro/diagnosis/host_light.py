"""The host's light was added once more, from a model or a smooth copy: brighter host, the same noise."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    gain, error = marks.mark("gain")
    own, _ = marks.mark("noise_gain")
    counts = (gain > np.maximum(0.004, 4 * error)) & (own < 0.5 * gain)
    if not counts.any():
        return None
    power, _ = marks.mark("noise_power")
    claim = marks.claim(gain, error, "times the host", (gain * marks.contrast) ** 2, size=marks.values["gain"])
    marks.take("noise_power", np.minimum(power, gain**2))
    marks.clear("gain", "blur", "noise_gain")
    marks.take("pedestal", np.clip(marks.mark("pedestal")[0], -0.2 * gain, 0.2 * gain))
    return claim


CAUSE = Cause(
    order=8,
    look_first="a lens-light model that is rendered into the simulated image and then added to the real galaxy.",
    explain=_explain,
)
