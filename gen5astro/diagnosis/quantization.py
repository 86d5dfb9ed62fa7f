"""The stamp's values lie on a lattice, or pile up at a bound: rounded, packed into integers, or clipped.

Its pixels then share values that those of the ctrl do not. Rounding to a step adds noise of step^2 / 12; a step that is
coarser than the noise takes the host's own noise away as well.
"""

import numpy as np

from gen5astro.diagnosis import Cause

_DISTINCT = 0.9
_COARSE = 2.5
#: Median deviations of rounding errors, which are uniform, say more of their power than of a Gaussian's.
_SPREAD = 1.6
_LATTICE = 1e-3


def _explain(marks):
    ratio = marks.column("stamp_distinct_fraction") / np.maximum(marks.column("ctrl_distinct_fraction"), 1e-6)
    distinct, error = marks.population(ratio)
    if not np.any(distinct + 4 * error < _DISTINCT):
        return None
    step, step_error = marks.population(marks.column("stamp_step") / marks.sigma)
    power, _ = marks.mark("noise_power")
    brought = _SPREAD * step**2 / 12
    marks.take_up_to("noise_power", 0, np.where(step > _COARSE, np.inf, 1.1 * brought))
    if np.all(step < _LATTICE):
        marks.clear(*marks.values)
        share = np.full(len(marks.bands), marks.power)
        return marks.claim(1 - distinct, error, "of the pixels share a value", share, size=1 - ratio)
    if np.any(step > _COARSE):
        marks.clear("noise_gain")
    return marks.claim(step, step_error, "sky sigma a step", np.minimum(power, brought), size=1 - ratio)


CAUSE = Cause(
    order=1,
    removes=("noise",),
    look_first="where the stamp is written: integer or scaled data types, BSCALE, lossy compression, a PNG or "
    "JPEG on the way.",
    explain=_explain,
)
