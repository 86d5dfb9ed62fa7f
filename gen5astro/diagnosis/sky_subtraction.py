"""A sky was subtracted from the stamp once more, estimated on the stamp itself.

The pedestal is then negative where the image's own median is positive, and follows it from pair to pair; a constant
does not.
"""

import numpy as np

from gen5astro.diagnosis import Cause


def _explain(marks):
    level = np.asarray(marks.table["ctrl_median"], dtype=np.float64) / marks.sigma
    pedestal = marks.values["pedestal"]
    share = -(level * pedestal).sum(axis=0) / (level**2).sum(axis=0)
    follows = np.median(np.abs(pedestal + share * level), axis=0)
    constant = np.median(np.abs(pedestal - np.median(pedestal, axis=0)), axis=0)
    _, error = marks.population(-pedestal * level / np.maximum(level**2, 0.01))
    if not np.any((follows < 0.5 * constant) & (share > 0.1)) or not np.any(np.median(np.abs(pedestal), axis=0) > 0.02):
        return None
    claim = marks.claim(share, error, "times the median", np.median((share * level) ** 2, axis=0), size=pedestal)
    marks.clear("pedestal")
    return claim


CAUSE = Cause(
    order=4,
    look_first="a background step that runs on the stamp after the injection (sep, a median, a mesh): run it "
    "before, or on both.",
    explain=_explain,
)
