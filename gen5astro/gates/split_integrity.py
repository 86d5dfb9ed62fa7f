"""A host in two splits lets a network recognize the galaxy, and the test set then measures memory.

The gate looks for groups (one host, or neighbors on the sky) with pairs in several splits, for positions in different
splits closer than the minimum separation, and for the same pixels in different splits even where coordinates differ:
equal to the last bit, or a copy that was rounded, rescaled, turned or shifted (see :doc:`/explanation/splits`).
Where the input declares no split there is nothing to judge, and the gate says so. **When it fails**, look first for a
split that was drawn by row instead of by host; ``gen5astro build-hdf5`` assigns one by group, or mends yours with
``--split given --repair``.
"""

import numpy as np

from gen5astro.gates import Gate
from gen5astro.splits import audit_splits
from gen5astro.twins import label_twins
from gen5astro.verdict import Finding, Limit, Status

_FINGERPRINT = tuple(f"ctrl_fingerprint_{at}" for at in (1, 2, 3, 4))


def _findings(table, context):
    split = np.asarray(table["region_split"]).astype(str)
    declared = split != ""
    if not declared.any():
        yield Finding("leaked_groups", None, Status.SKIP, note="the input declares no split (column region_split)")
        return
    yield context.judge("undeclared", np.mean(~declared), note="share of pairs without a split")
    digest = np.stack([table["stamp_digest"], table["ctrl_digest"]], axis=1)[declared]
    numbers = audit_splits(
        split[declared],
        table["group"][declared],
        table["ra"][declared],
        table["dec"][declared],
        digest,
        min_separation_arcsec=context.config.min_separation_arcsec,
        twins=_twins(table, digest, declared),
    )
    yield context.judge("leaked_groups", numbers["leaked_groups"], note="groups with pairs in more than one split")
    yield context.judge("twins", numbers["twins"], note="images equal to the last bit in more than one split")
    if numbers["near_twins"] is None:
        yield Finding(
            "near_twins", None, Status.SKIP, note="the measurements are older than fingerprints: measure again"
        )
    else:
        yield context.judge("near_twins", numbers["near_twins"], note="ctrls that are copies in more than one split")
    yield context.judge(
        "close_positions", numbers["close_positions"], note="positions in different splits closer than allowed"
    )
    nearest = numbers["nearest_separation_arcsec"]
    yield context.show("nearest_separation", nearest if np.isfinite(nearest) else None, unit="arcsec")


def _twins(table, digest, declared):
    """Label the pairs of the same pixels; None where the table has no fingerprints."""
    if any(name not in table.columns for name in _FINGERPRINT):
        return None
    return label_twins(digest, np.stack([table[name] for name in _FINGERPRINT], axis=1)[declared])


GATE = Gate(
    question="Does any host, pair or sky patch sit in two splits?",
    reads=("region_split", "group", "ra", "dec", "stamp_digest", "ctrl_digest"),
    limits={
        "undeclared": Limit(high=0.0),
        "leaked_groups": Limit(high=0),
        "twins": Limit(high=0),
        "near_twins": Limit(high=0),
        "close_positions": Limit(high=0),
    },
    findings=_findings,
    order=11,
)
