"""The host was multiplied by a factor: another zero point, exposure time or unit for host and ctrl."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    if not marks.present("gain"):
        return None
    gain, error = marks.mark("gain")
    claim = marks.claim(100 * gain, 100 * error, "percent", (gain * marks.contrast) ** 2, size=marks.values["gain"])
    own, _ = marks.mark("noise_gain")
    marks.clear("gain")
    marks.take("noise_gain", np.where(np.abs(own - gain) < 0.5 * np.abs(gain), own, gain))
    return claim


CAUSE = Cause(
    order=9,
    look_first="zero points and flux units where host and arc are brought together: 22.5 against 30, counts against "
    "nanomaggies, EXPTIME.",
    explain=_explain,
)
