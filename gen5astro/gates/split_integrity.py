"""A host in two splits lets a network recognize the galaxy, and the test set then measures memory.

The gate looks for groups (one host, or neighbors on the sky) with pairs in several splits, for positions in different
splits closer than the minimum separation, and for identical pixels in different splits even where coordinates differ.
Where the input declares no split there is nothing to judge, and the gate says so. **When it fails**, look first for a
split that was drawn by row instead of by host; `gen5astro build-hdf5` assigns one by group.
"""

import numpy as np

from gen5astro.gates import Gate
from gen5astro.splits import audit_splits
from gen5astro.verdict import Finding, Limit, Status


def _findings(table, context):
    split = np.asarray(table["region_split"]).astype(str)
    declared = split != ""
    if not declared.any():
        yield Finding("leaked_groups", None, Status.SKIP, note="the input declares no split (column region_split)")
        return
    yield context.judge("undeclared", np.mean(~declared), note="share of pairs without a split")
    numbers = audit_splits(
        split[declared],
        table["group"][declared],
        table["ra"][declared],
        table["dec"][declared],
        np.stack([table["stamp_digest"], table["ctrl_digest"]], axis=1)[declared],
        min_separation_arcsec=context.config.min_separation_arcsec,
    )
    yield context.judge("leaked_groups", numbers["leaked_groups"], note="groups with pairs in more than one split")
    yield context.judge("twins", numbers["twins"], note="images equal to the last bit in more than one split")
    yield context.judge(
        "close_positions", numbers["close_positions"], note="positions in different splits closer than allowed"
    )
    nearest = numbers["nearest_separation_arcsec"]
    yield context.show("nearest_separation", nearest if np.isfinite(nearest) else None, unit="arcsec")


GATE = Gate(
    question="Does any host, pair or sky patch sit in two splits?",
    reads=("region_split", "group", "ra", "dec", "stamp_digest", "ctrl_digest"),
    limits={
        "undeclared": Limit(high=0.0),
        "leaked_groups": Limit(high=0),
        "twins": Limit(high=0),
        "close_positions": Limit(high=0),
    },
    findings=_findings,
    order=11,
)
