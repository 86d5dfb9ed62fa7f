"""The host's light was added once more, from a model or a smooth copy: brighter host, the same noise."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    gain, error = marks.mark("gain")
    own, own_error = marks.mark("noise_gain")
    # Light that is added with its noise is a gain; only what lacks its noise is this.
    bare = gain - np.clip(own, 0, np.maximum(gain, 0))
    told = np.maximum(marks.floors["gain"], 4 * np.hypot(error, own_error))
    if not np.any((bare > told) & (bare > 0.25 * gain)):
        return None
    claim = marks.claim(bare, error, "times the host", (bare * marks.contrast) ** 2, size=marks.values["gain"])
    marks.take("gain", bare)
    # A smooth copy is blurred, and keeps some of the noise and of the sky.
    blur, _ = marks.mark("blur")
    marks.take("blur", np.clip(blur, 0, 4 * bare))
    marks.take_noise(np.clip(marks.mark("noise_gain")[0], 0, 0.5 * bare))
    marks.take_up_to("pedestal", -0.2 * bare, 0.2 * bare)
    return claim


CAUSE = Cause(
    order=8,
    removes=("gain", "shift_and_blur", "noise"),
    look_first="a lens-light model that is rendered into the simulated image and then added to the real galaxy.",
    explain=_explain,
)
