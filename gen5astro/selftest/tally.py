"""What many sets said together: counts with intervals, the means of the fitted terms, and a status."""

import collections

import numpy as np

from gen5astro.inject.faults import FAULTS
from gen5astro.kernels.residual import TERMS
from gen5astro.verdict import Status

__all__ = ["CONFIDENCE", "LEAST_RIGHT", "MOST_FALSE", "share", "summarize_outcomes", "term_means"]

CONFIDENCE = 0.95
"""Of the intervals."""

LEAST_RIGHT = 0.95
"""Share of the sets with a fault of the third grade in which its cause must be put first."""

MOST_FALSE = 0.02
"""Share of the clean sets in which a cause other than ``physical`` may be named."""

_PHYSICAL = "physical"
_OF_A_FIFTH = 5

# Of each term: the fault that it is the mark of, its unit, and what a strength of that fault puts into it.
_MARKS = {
    "pedestal": ("pedestal", "sky sigma / pix", lambda strength: strength),
    "gain": ("gain", "fraction", lambda strength: strength - 1),
    "blur": ("psf_mismatch", "pix^2", lambda strength: strength**2),
    "shift_x": ("misregistration", "pix", lambda strength: strength),
    "shift_y": ("misregistration", "pix", lambda strength: strength),
    "gradient_x": ("gradient", "sky sigma at the edge", lambda strength: strength),
    "gradient_y": ("gradient", "sky sigma at the edge", lambda strength: strength),
}


def share(count, sets):
    """Say how often something was so.

    Parameters
    ----------
    count, sets : int
        In how many of how many sets, at least one.

    Returns
    -------
    share : dict
        ``count``, ``share`` and ``interval``: Wilson's at 95 %.
    """
    from scipy.stats import binomtest

    interval = binomtest(count, sets).proportion_ci(CONFIDENCE, method="wilson")
    return {"count": count, "share": count / sets, "interval": [float(interval.low), float(interval.high)]}


def term_means(sums, bands):
    """Average each fitted term of clean pairs, and hold it against what a fault that must be named would put there.

    Parameters
    ----------
    sums : list of dict
        Of each set, from `gen5astro.selftest.sets.term_sums`.
    bands : sequence of str
        Band names.

    Returns
    -------
    means : list of dict
        A row a term and band: ``mean``, its standard ``error`` (None with fewer than two hosts; hosts kept together),
        ``unit``, ``pairs``, ``hosts``, the ``cause`` that the term is a mark of, a fifth of what the third grade of
        that fault puts into it as ``limit``, and whether the mean is ``below`` it in absolute value.
    """
    hosts = collections.defaultdict(float)
    for one in sums:
        for name, values in one.items():
            hosts[name] = hosts[name] + values
    if not hosts:
        return []
    count, total = np.moveaxis(np.stack(list(hosts.values())), 1, 0)
    rows = []
    for at, term in enumerate(TERMS):
        cause, unit, size = _MARKS[term]
        limit = size(FAULTS[cause].promised) / _OF_A_FIFTH
        for band, (n, summed) in zip(bands, zip(count[:, at].T, total[:, at].T, strict=True), strict=True):
            mean, error = _clustered_mean(n[n > 0], summed[n > 0])
            where = {"term": term, "band": band, "unit": unit, "pairs": int(n.sum()), "hosts": int((n > 0).sum())}
            below = mean is not None and abs(mean) < limit
            rows.append(where | {"mean": mean, "error": error, "cause": cause, "limit": limit, "below": below})
    return rows


def _clustered_mean(count, total):
    """Mean over all pairs, and its standard error where the pairs of a host are one draw."""
    if not len(count):
        return None, None
    mean = total.sum() / count.sum()
    if len(count) < 2:
        return float(mean), None
    spread = np.sqrt(((total - count * mean) ** 2).sum() * len(count) / (len(count) - 1))
    return float(mean), float(spread / count.sum())


def summarize_outcomes(outcomes, bands, *, complete=True):
    """Count what the audit said of all sets.

    Parameters
    ----------
    outcomes : list of Outcome
        At least one.
    bands : sequence of str
        Band names.
    complete : bool
        Whether these are all sets that were planned; if not, the status cannot be PASS.

    Returns
    -------
    summary : dict
        ``status``, ``shortfalls`` (what keeps it from PASS), ``gates``, ``clean``, ``faults`` and ``together``.
    """
    by_planted = collections.defaultdict(list)
    for outcome in outcomes:
        by_planted[outcome.test.planted].append(outcome)
    clean = _clean(by_planted.get((), []), bands)
    faults = [_fault(*planted[0], found) for planted, found in by_planted.items() if len(planted) == 1]
    places = list(FAULTS)
    faults.sort(key=lambda row: (places.index(row["fault"]), row["strength"]))
    shortfalls = _shortfalls(clean, faults)
    judged = complete and clean is not None and any(row["promised"] for row in faults)
    passed = Status.PASS if judged else Status.INSUFFICIENT
    return {
        "status": (Status.FAIL if shortfalls and judged else passed).value,
        "shortfalls": shortfalls,
        "gates": {name: {"advisory": name in outcomes[0].advisory} for name in outcomes[0].gates},
        "clean": clean,
        "faults": faults,
        "together": [_together(planted, found) for planted, found in by_planted.items() if len(planted) > 1],
    }


def _gates(outcomes):
    """How often each gate fired (said FAIL), and what else it said."""
    fired = {}
    for name in outcomes[0].gates:
        statuses = collections.Counter(outcome.gates[name] for outcome in outcomes)
        fired[name] = share(statuses[Status.FAIL.value], len(outcomes)) | {"statuses": dict(sorted(statuses.items()))}
    return fired


def _any_gate(outcomes):
    """How often a gate that counts fired."""
    fired = [
        any(status == Status.FAIL.value for name, status in outcome.gates.items() if name not in outcome.advisory)
        for outcome in outcomes
    ]
    return share(sum(fired), len(outcomes))


def _clean(outcomes, bands):
    if not outcomes:
        return None
    other = collections.Counter(cause for each in outcomes for cause in {each.top, *each.named} - {_PHYSICAL})
    return {
        "sets": len(outcomes),
        "gates": _gates(outcomes),
        "any_gate": _any_gate(outcomes),
        "other_top": share(sum(each.top != _PHYSICAL for each in outcomes), len(outcomes)),
        "other_named": share(sum(bool({*each.named} - {_PHYSICAL}) for each in outcomes), len(outcomes)),
        "mistaken_for": dict(sorted(other.items())),
        "zero": _zero(outcomes),
        "terms": term_means([each.terms for each in outcomes], bands),
    }


def _zero(outcomes):
    """How often the interval of an unexplained AUC holds 0, and how often a gate with a limit of 0 would fire."""
    return {
        gate: {
            key: share(sum(bool(outcome.zero[gate][at]) for outcome in outcomes), len(outcomes))
            for at, key in enumerate(("holds", "fires"))
        }
        for gate in outcomes[0].zero
        if all(gate in outcome.zero for outcome in outcomes)
    }


def _fault(fault, strength, outcomes):
    grades = FAULTS[fault].grades
    mistaken = collections.Counter(each.top for each in outcomes if each.top != fault)
    return {
        "fault": fault,
        "strength": strength,
        "unit": FAULTS[fault].unit,
        "grade": grades.index(strength) + 1 if strength in grades else None,
        "promised": strength == FAULTS[fault].promised,
        "sets": len(outcomes),
        "right": share(sum(each.top == fault for each in outcomes), len(outcomes)),
        "named": share(sum(fault in each.named for each in outcomes), len(outcomes)),
        "mistaken_for": dict(sorted(mistaken.items())),
        "any_gate": _any_gate(outcomes),
        "gates": _gates(outcomes),
    }


def _together(planted, outcomes):
    faults = [name for name, _ in planted]
    first = [set(faults) == set(each.named[: len(faults)]) for each in outcomes]
    return {
        "faults": faults,
        "strengths": [strength for _, strength in planted],
        "sets": len(outcomes),
        "both": share(sum(first), len(outcomes)),
        "either": share(sum(bool({*faults} & {*each.named[: len(faults)]}) for each in outcomes), len(outcomes)),
    }


def _shortfalls(clean, faults):
    """What the self-test asks for and did not get."""
    short = [
        {"fault": row["fault"], "strength": row["strength"], "share": row["right"]["share"], "at_least": LEAST_RIGHT}
        for row in faults
        if row["promised"] and row["right"]["share"] < LEAST_RIGHT
    ]
    if clean is not None and clean["other_named"]["share"] > MOST_FALSE:
        short.insert(0, {"fault": None, "share": clean["other_named"]["share"], "at_most": MOST_FALSE})
    return short
