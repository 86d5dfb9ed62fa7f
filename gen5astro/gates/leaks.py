"""What the gates that train a classifier have in common: a leak is measured in every view and stratum, and judged.

Judged is the unexplained AUC. A number beyond its limit fails the gate where its interval, widened so that all strata
hold theirs at once, lies above 0 as well; where chance alone may have brought it there, it is INSUFFICIENT.
"""

from dataclasses import replace

import numpy as np

from gen5astro.gates import usable_sample
from gen5astro.leakage import VIEWS, measure_leakage
from gen5astro.verdict import Finding, Status

__all__ = ["beyond_chance", "leak_findings", "leakage_findings"]


def leak_findings(table, context, *, gate, features, reads, explained=None, judged=("single",), classic=None):
    """Measure and judge a leak.

    Parameters
    ----------
    table : MeasureTable
        All pairs; those that `Context.sample` chooses are used.
    context : Context
        The gate's limits and the strata.
    gate : str
        Name of the gate, which seeds its draws.
    features : callable
        ``features(table, image)`` gives a float array (n, k), as `gen5astro.leakage.measure_leakage` wants it.
    reads : tuple of str
        Columns that `features` reads.
    explained : dict of str to tuple, optional
        Of a view, ``(features, image)`` of a faultless stamp. Default: the same features of ``physical``.
    judged : tuple of str
        Views that decide; others are shown.
    classic : float, optional
        Threshold of the classic test, mentioned with the measured AUC.

    Yields
    ------
    finding : Finding
        Of each view and stratum: unexplained, measured, explained, null.
    """
    table, masks, note = usable_sample(table, reads, context)
    if not len(table):
        yield Finding("unexplained_auc", None, Status.ERROR, note=note)
        return
    rng = context.generator(gate)
    for view in VIEWS:
        baseline = (explained or {}).get(view, (features, "physical"))
        for leakage in measure_leakage(
            table, features, view=view, masks=masks, config=context.config, rng=rng, baseline=baseline
        ):
            yield from leakage_findings(leakage, context, judged=view in judged, classic=classic)


def leakage_findings(leakage, context, *, judged, classic=None):
    """Findings of one view and stratum: unexplained, measured, explained, null.

    Parameters
    ----------
    leakage : Leakage
        The numbers.
    context : Context
        The gate's limits.
    judged : bool
        Whether the unexplained AUC is held against its limit, or shown.
    classic : float, optional
        Threshold of the classic test, mentioned with the measured AUC.

    Returns
    -------
    findings : list of Finding
        In that order.
    """
    where = {"view": leakage.view, "stratum": leakage.stratum}
    numbers = {"interval": leakage.intervals["unexplained"], "simultaneous": leakage.simultaneous}
    note = f"measured {leakage.measured:.3f}, of which physics explains {leakage.explained:.3f}"
    if judged:
        unexplained = context.judge(
            "unexplained_auc", leakage.unexplained, hosts=leakage.hosts, note=note, **numbers, **where
        )
        unexplained = beyond_chance(unexplained)
        if leakage.view == "paired" and unexplained.status is Status.PASS:
            unexplained = _unless_saturated(unexplained, leakage, context.limits.get("saturated_auc"))
    else:
        note = f"reported, not judged: {note}"
        unexplained = context.show(
            "unexplained_auc", leakage.unexplained, hosts=leakage.hosts, note=note, **numbers, **where
        )
    shown = [unexplained]
    for name in ("measured", "explained"):
        interval, note = leakage.intervals[name], None
        if name == "measured" and classic is not None and np.isfinite(leakage.measured):
            side = "above" if leakage.measured > classic else "below"
            note = f"{side} the classic threshold of {classic:.2f}"
        value = getattr(leakage, name)
        shown.append(context.show(f"{name}_auc", value, interval=interval, hosts=leakage.hosts, note=note, **where))
    return [*shown, context.show("null_auc", sum(leakage.null) / 2, interval=leakage.null, **where)]


def beyond_chance(finding):
    """Take back a FAIL that chance may have brought about.

    Parameters
    ----------
    finding : Finding
        With its simultaneous interval.

    Returns
    -------
    finding : Finding
        INSUFFICIENT instead of FAIL where that interval reaches down to 0.
    """
    if finding.status is not Status.FAIL or finding.simultaneous[0] > 0:
        return finding
    low, high = finding.simultaneous
    note = f"above its limit, but not beyond chance: {low:.3f} to {high:.3f} with all strata together"
    return replace(finding, status=Status.INSUFFICIENT, note=note)


def _unless_saturated(finding, leakage, limit):
    """Take back a PASS where the explained AUC leaves no room in which a leak could show."""
    if limit is None or limit.judge(leakage.explained) is Status.PASS:
        return finding
    note = f"physics alone gives {leakage.explained:.3f}: nothing that a fault adds could show above it"
    return replace(finding, status=Status.INSUFFICIENT, note=note)
