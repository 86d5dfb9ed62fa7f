"""The stamp's values lie on a lattice: rounded, packed into integers, or clipped before they were saved."""

import numpy as np

from gen5astro.diagnosis import Cause

_FEW = 0.5


def _explain(marks):
    ratio = marks.table["stamp_distinct_fraction"] / np.maximum(marks.table["ctrl_distinct_fraction"], 1e-6)
    value, error = marks.population(np.asarray(ratio, dtype=np.float64))
    if not np.any(value + 4 * error < _FEW):
        return None
    power, _ = marks.mark("noise_power")
    step, step_error = marks.population(np.sqrt(12 * np.maximum(marks.values["noise_power"], 0)))
    claim = marks.claim(step, step_error, "sky sigma a step", power, size=1 - ratio)
    marks.take("noise_power", power)
    return claim


CAUSE = Cause(
    order=1,
    look_first="where the stamp is written: integer or scaled data types, BSCALE, lossy compression, a PNG or "
    "JPEG on the way.",
    explain=_explain,
)
