"""The noise of the host was replaced: the ctrl's own noise is missing from the stamp and other noise is there."""

import numpy as np

from gen5astro.diagnosis import Cause


def is_redrawn(marks):
    """Tell whether the ctrl's noise is gone and other noise is there.

    Parameters
    ----------
    marks : Marks
        Of the pairs.

    Returns
    -------
    is_redrawn : bool
        In some band.
    """
    own, error = marks.mark("noise_gain")
    fresh, fresh_error = marks.population(marks.fresh_power())
    gone = (own < -0.2) & (own < -4 * error) & (fresh > np.maximum(0.25 * own**2, 4 * fresh_error))
    return bool(gone.any())


def _explain(marks):
    if not is_redrawn(marks):
        return None
    own, _ = marks.mark("noise_gain")
    value, value_error = marks.population(np.sqrt(marks.fresh_power()))
    power, _ = marks.mark("noise_power")
    claim = marks.claim(value, value_error, "sky sigma", power, size=marks.fresh_power())
    marks.clear("noise_power", "noise_gain", "blur", "noise_gain_other")
    # Noise that is gone from both sides of the fit looks like host that is gone, by its share in each pair.
    marks.take("gain", marks.mark("gain")[0])
    marks.raise_floor("gain", 0.2 * np.abs(own))
    marks.distrust("gain", "shift_x", "shift_y")
    return claim


CAUSE = Cause(
    order=5,
    removes=("noise",),
    look_first="a host that is modeled or denoised before the arc is added, with noise drawn anew: add the arc "
    "to the real pixels.",
    explain=_explain,
)
