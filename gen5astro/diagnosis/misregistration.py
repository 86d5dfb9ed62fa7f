"""The host under the arc is shifted against its ctrl: resampled, recut, or rounded to another pixel.

The shift may be one for all pairs or another in each. It also smooths a little and decorrelates the noise; it claims
both.
"""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    found = marks.extent("shift")
    if not found.present:
        return None
    length, pairs = _undamped(found.value), _undamped(found.pairs)
    error = found.error * length / np.maximum(found.value, 1e-9)
    # A shift blurs in its second order, and linear interpolation between pixels by f (1 - f) more.
    blur, part = marks.mark("blur")[0] - length**2 / 2, length % 1.0
    interpolated = np.clip(blur, 0, part * (1 - part))
    share = _share_of_shift(length, blur - interpolated, marks.psf_pix / 2.355)
    claim = marks.claim(length, error, "pix", share * marks.rest_of_power(), size=found.pairs)
    marks.clear("shift_x", "shift_y")
    marks.take("blur", pairs**2 / 2 + interpolated)
    # What a shift leaves of the host in the arc's place draws the arc's mean place along.
    host = np.median(marks.column("ctrl_core_flux") / np.maximum(marks.column("arc_flux"), 1e-9), axis=0)
    marks.raise_floor("arc_offset", 0.05 * length * np.abs(host))
    lost, (own, _) = _decorrelated(pairs), marks.mark("noise_gain")
    middle = np.median(lost, axis=0)
    # Where the noise lost about what such a shift takes, all of it counts as that.
    marks.take_noise(np.where(np.abs(own + middle) < 0.3 * middle, own, -lost))
    marks.take_noise(np.clip(marks.mark("noise_gain")[0], -3.5 * interpolated, 0))
    marks.take_up_to("noise_power", 0, 2.6 * middle)
    return claim


def _share_of_shift(length, blur, sigma):
    """Share of a shift in the power of shift and blur, for a host of Gaussian width `sigma` [pix]."""
    shift = length**2 / (2 * sigma**2)
    return shift / (shift + 0.5 * (blur / sigma**2) ** 2)


def _undamped(shift):
    """Shift whose slope, fitted to white noise smoothed by a pixel, is what was found: s exp(-s^2 / 4), at most 0.86.

    Where noise outweighs structure, differences of a smoothed image understate a shift by that much.
    """
    found = np.minimum(np.asarray(shift, dtype=np.float64), 0.8577)
    length = found
    for _ in range(40):
        length = np.minimum(found * np.exp(length**2 / 4), np.sqrt(2))
    return length


def _decorrelated(length):
    """Share of white noise that a shift takes away, at most all; it leaves twice as much power."""
    return np.minimum(1 - np.cos(np.minimum(2.0 * length, np.pi)), 1.0)


CAUSE = Cause(
    order=3,
    removes=("shift_and_blur", "noise"),
    look_first="cutout centers: integer against sub-pixel centers, one-based pixels, WCS origin 0 or 1, "
    "reprojection of one of the two.",
    explain=_explain,
)
