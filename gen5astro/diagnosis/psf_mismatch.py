"""The host under the arc is blurrier (or sharper) than its ctrl: convolved once more, or matched to another PSF."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    blur, error = marks.mark("blur")
    own, _ = marks.mark("noise_gain")
    counts = (np.abs(blur) > np.maximum(0.02, 4 * error)) & (blur * own <= 0)
    gain, _ = marks.mark("gain")
    if not counts.any() or np.any(np.abs(gain) > 0.3 * np.abs(blur)):
        return None
    sigma = marks.psf_pix / 2.355
    width = 2.355 * (np.sqrt(np.maximum(sigma**2 + blur, 0)) - sigma) * marks.table.pixel_scale
    width_error = 2.355 * error / (2 * sigma) * marks.table.pixel_scale
    variance = 0.5 * (blur / sigma**2) ** 2 * marks.contrast**2 + own**2
    claim = marks.claim(width, width_error, "arcsec of FWHM", variance, size=marks.values["blur"])
    marks.take("noise_power", own**2)
    marks.clear("blur", "noise_gain")
    marks.take("gain", gain)
    return claim


CAUSE = Cause(
    order=7,
    look_first="a convolution that is applied to host + arc instead of to the arc alone, or resampling of the stamp "
    "only.",
    explain=_explain,
)
