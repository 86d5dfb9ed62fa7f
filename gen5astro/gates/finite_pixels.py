"""Pixels that are not numbers, or runs of exact zeros, are data that a survey did not take or a step that went wrong.

A network sees where they are before it sees any arc. The gate counts pairs with a NaN or an infinity in stamp or ctrl,
and pairs in which more than a tenth of a plane is exactly zero. **When it fails**, look first at how the cutouts were
made: masked pixels written as zero, cutouts over the edge of a brick, a division by an inverse variance of zero.
"""

import numpy as np

from gen5astro.gates import Gate
from gen5astro.verdict import Limit

_ZERO_PLANE = 0.1


def _findings(table, context):
    finite = np.minimum(table["stamp_finite_fraction"], table["ctrl_finite_fraction"]).min(axis=1)
    zeros = np.maximum(table["stamp_zero_fraction"], table["ctrl_zero_fraction"]).max(axis=1)
    yield context.judge("nonfinite_pairs", np.mean(finite < 1), note=_count(finite < 1, "pixels that are not finite"))
    yield context.judge("zeroed_pairs", np.mean(zeros > _ZERO_PLANE), note=_count(zeros > _ZERO_PLANE, "zeroed planes"))


def _count(bad, what):
    return f"{int(bad.sum())} of {len(bad)} pairs have {what}"


GATE = Gate(
    question="Are all pixels usable?",
    reads=("stamp_finite_fraction", "ctrl_finite_fraction", "stamp_zero_fraction", "ctrl_zero_fraction"),
    limits={"nonfinite_pairs": Limit(high=0.0), "zeroed_pairs": Limit(high=0.01)},
    findings=_findings,
    order=1,
)
