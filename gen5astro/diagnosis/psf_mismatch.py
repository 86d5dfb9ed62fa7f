"""The host under the arc is blurrier (or sharper) than its ctrl: convolved once more, or matched to another PSF."""

import numpy as np

from gen5astro.diagnosis import Cause
from gen5astro.diagnosis.noise_redrawn import is_redrawn


def _explain(marks):
    blur, error = marks.mark("blur")
    own, _ = marks.mark("noise_gain")
    counts = (np.abs(blur) > np.maximum(0.02, 4 * error)) & (blur * own <= 0)
    gain, _ = marks.mark("gain")
    if not counts.any() or np.any(np.abs(gain) > 0.3 * np.abs(blur)) or is_redrawn(marks):
        return None
    variance = _undamped(blur)
    sigma = marks.psf_pix / 2.355
    width = 2.355 * (np.sqrt(np.maximum(sigma**2 + variance, 0)) - sigma) * marks.table.pixel_scale
    width_error = 2.355 * error / (2 * sigma) * marks.table.pixel_scale
    # Half of (b / s^2)^2 of a Gaussian host's power, where the fit saw as much.
    power = np.minimum(marks.rest_of_power(), 0.5 * (variance / sigma**2 * marks.contrast) ** 2) + own**2
    claim = marks.claim(width, width_error, "arcsec of FWHM", power, size=marks.values["blur"])
    marks.clear("blur")
    lost = np.expm1(-3.5 * variance)
    marks.take_noise(np.clip(own, np.minimum(1.4 * lost, 0), np.maximum(1.4 * lost, 0)))
    # A blur takes away from the gain what its next order, variance^2 / 8, brings.
    marks.take("gain", -0.03 * np.maximum(variance, 0))
    marks.raise_floor("gain", 0.03 * np.abs(variance))
    return claim


def _undamped(blur):
    """Variance whose blur, fitted to white noise smoothed by a pixel, is what was found: 1 - (1 + b / 2)^-2.

    Where noise outweighs structure, the Laplacian of a smoothed image understates a blur by that much.
    """
    return 2 / np.sqrt(np.maximum(1 - blur, 0.05)) - 2


CAUSE = Cause(
    order=4,
    removes=("shift_and_blur", "noise"),
    look_first="a convolution that is applied to host + arc instead of to the arc alone, or resampling of the stamp "
    "only.",
    explain=_explain,
)
