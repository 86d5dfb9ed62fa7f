"""The stamp holds another band's host: its noise is that of another band's ctrl, and its own is gone."""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    share, error = marks.mark("noise_gain_other")
    own, _ = marks.mark("noise_gain")
    swapped = (share > np.maximum(0.02, 4 * error)) & (np.abs(own + share) < 0.5 * share)
    if not swapped.any():
        return None
    size = marks.values["noise_gain_other"]
    claim = marks.claim(share, error, "parts of the host", marks.rest_of_power() + 2 * share**2, size=size)
    for band in np.flatnonzero(swapped):
        _take_other(marks, band, share[band])
    marks.clear("noise_gain_other", "noise_gain", "gain", "blur")
    # The noise of two bands hides some of their host from the fit; a pedestal then stands in for its wings.
    marks.raise_floor("pedestal", 0.5 * share)
    marks.distrust("pedestal", "shift_x", "shift_y")
    return claim


def _take_other(marks, band, share):
    """Take out what comes with the noise and sky of the band that was put into this one."""
    power, pedestal = marks.values["noise_power"], marks.values["pedestal"]
    level, ratio = marks.column("ctrl_sky_level"), marks.sigma / marks.sigma[:, [band]]
    brought = share**2 * (1 + ratio**2)
    left = np.abs(np.median(power[:, [band]] - brought, axis=0))
    left[band] = np.inf
    other = int(np.argmin(left))
    power[:, band] -= np.minimum(power[:, band], 1.15 * brought[:, other])
    pedestal[:, band] -= share * (level[:, other] - level[:, band]) / marks.sigma[:, band]


CAUSE = Cause(
    order=2,
    removes=("gain", "shift_and_blur", "noise"),
    look_first="the order of bands where host and arc are stacked: 'grz' against 'rgz', a sort by name.",
    explain=_explain,
)
