"""The host was multiplied by a factor: another zero point, exposure time or unit for host and ctrl."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    found = marks.extent("gain")
    if not found.present or not (_scales_noise(marks) | ("noise_gain" in marks.touched)):
        return None
    signed, error = marks.mark("gain")
    varies = found.value > 2 * np.abs(signed)
    value = np.where(varies, found.value, signed)
    claim = marks.claim(
        100 * value,
        100 * np.where(varies, found.error, error),
        "percent",
        (value * marks.contrast) ** 2,
        size=marks.values["gain"],
    )
    own, _ = marks.mark("noise_gain")
    scaled = np.where(varies, marks.values["gain"], np.where(np.abs(own - signed) < 0.5 * np.abs(signed), own, signed))
    marks.take_noise(scaled)
    marks.clear("gain")
    return claim


def _scales_noise(marks):
    """Whether the host's noise was multiplied by half of the gain at least, in the mean or from pair to pair."""
    gain, own = marks.values["gain"], marks.values["noise_gain"]
    slope = (gain * own).sum(axis=0) / np.maximum((gain**2).sum(axis=0), 1e-12)
    (mean, error), (kept, _) = marks.mark("gain"), marks.mark("noise_gain")
    in_the_mean = (np.abs(mean) > np.maximum(marks.floors["gain"], 4 * error)) & (
        np.abs(kept - mean) < 0.5 * np.abs(mean)
    )
    return bool(np.any(in_the_mean | (slope > 0.5)))


CAUSE = Cause(
    order=9,
    removes=("gain", "noise"),
    look_first="zero points and flux units where host and arc are brought together: 22.5 against 30, counts against "
    "nanomaggies, EXPTIME.",
    explain=_explain,
)
