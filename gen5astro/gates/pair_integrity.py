"""A pair is a pair only if the ctrl is this very stamp's host, in the same place, band order and flux scale.

The two must not be one image, nor exchanged. Outside the arc, stamp and ctrl must agree. The gate looks at their
correlation there (a wrong host, a band swap), at the shift between them (registration), and at the ratio of their sky
noise (a stamp rescaled or normalized before it was saved). **When it fails**, look first at the join between the stamp
and ctrl tables, then at the order of bands in the writer, then at any resampling or rescaling between the two.
"""

import numpy as np

from gen5astro.gates import Gate, usable_rows
from gen5astro.verdict import Finding, Limit, Status

_READS = ("arc_flux", "outer_correlation", "shift_x", "shift_y", "stamp_sky_sigma", "ctrl_sky_sigma")
_UNRELATED = 0.3


def _findings(table, context):
    usable, note = usable_rows(table, _READS)
    if not usable.any():
        yield Finding("unrelated_pairs", None, Status.ERROR, note=note)
        return
    same = np.mean(table["stamp_digest"] == table["ctrl_digest"])
    yield context.judge("identical_pairs", same, note="share of pairs whose stamp and ctrl are the same image")
    table = table.select(usable)
    yield context.judge(
        "negative_arcs",
        np.mean((table["arc_flux"] < 0).all(axis=1)),
        note="share of pairs in which the stamp is fainter than its ctrl where the arc should be: columns exchanged?",
    )
    yield context.judge(
        "unrelated_pairs",
        np.mean(table["outer_correlation"].min(axis=1) < _UNRELATED),
        note=f"share of pairs whose stamp and ctrl correlate below {_UNRELATED:g} outside the arc in some band",
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.median(np.log10(table["stamp_sky_sigma"] / table["ctrl_sky_sigma"]), axis=0)
    shift = np.hypot(np.median(table["shift_x"], axis=0), np.median(table["shift_y"], axis=0))
    for at, band in enumerate(table.bands):
        yield context.judge(
            "shift", shift[at], band=band, unit="pix", note="median shift of the stamp against its ctrl"
        )
        yield context.judge("sky_scale", ratio[at], band=band, unit="dex", note="median log ratio of the sky noise")


GATE = Gate(
    question="Is ctrl really this stamp's ctrl?",
    reads=(*_READS, "stamp_digest", "ctrl_digest"),
    limits={
        "identical_pairs": Limit(high=0.01),
        "negative_arcs": Limit(high=0.05),
        "unrelated_pairs": Limit(high=0.01),
        "shift": Limit(high=0.05),
        "sky_scale": Limit(low=-0.3, high=0.3),
    },
    findings=_findings,
    order=2,
)
