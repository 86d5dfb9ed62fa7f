"""What made a faulty injection faulty: one file a cause, tried from the most specific to the most general.

Each cause reads the *marks* that the measurement pass found outside the arcs (see `gen5astro.diagnosis.marks`), claims
what it explains, and leaves the rest to the next: a shift blurs and decorrelates noise, so noise that a shift explains
is not also called noise. What nobody claims is ``unknown``; a set that bears no mark is ``physical``. The confidence of
a cause is the share of bootstrap draws over hosts in which it is named.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gen5astro.diagnosis.marks import READS, Claim, Marks
from gen5astro.kernels.rank import draw_groups

__all__ = ["Cause", "diagnose", "load_causes"]

_DRAWS = 60
_MOST_PAIRS = 4000
_NAMED = 0.5


@dataclass(frozen=True)
class Cause:
    """A way in which an injection goes wrong.

    Parameters
    ----------
    order : int
        Place in the line of causes; specific ones come first.
    look_first : str
        Where to look in the injection code.
    explain : callable
        ``explain(marks)`` returns a `Claim` and takes what it explains out of the marks, or returns None.
    """

    order: int
    look_first: str
    explain: Callable[[Marks], Claim | None]


def load_causes():
    """Find every cause.

    Returns
    -------
    causes : dict of Cause
        By name, in the order in which they are tried.
    """
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "marks"]
    found = {name: importlib.import_module(f"{__name__}.{name}").CAUSE for name in names}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def diagnose(table, config, *, leaks):
    """Rank the causes of what a measurement table shows beside arcs.

    Parameters
    ----------
    table : MeasureTable
        With ``group``.
    config : AuditConfig
        Seed of the bootstrap.
    leaks : bool
        Whether a gate found what physics does not explain, so that no cause at all would be ``unknown``.

    Returns
    -------
    diagnosis : dict
        ``top``, and ``causes``: each ``name``, ``confidence``, ``share`` of the artifacts' variance, ``magnitude`` by
        band (value, error, unit), ``scaling`` (rank correlations), ``evidence`` and ``look_first``.
    """
    rng = np.random.default_rng([config.seed, *b"diagnosis"])
    rows = np.flatnonzero(np.isfinite(table["pedestal"]).all(axis=1) & np.isfinite(table["arc_flux"]).all(axis=1))
    if not len(rows):
        return {"top": "unknown", "causes": [_plain("unknown", 1.0, "no pair could be decomposed")]}
    rows = np.sort(rng.choice(rows, _MOST_PAIRS, replace=False)) if len(rows) > _MOST_PAIRS else rows
    table = replace(table, columns={name: table[name] for name in READS}).select(rows)
    causes = load_causes()
    claims, rest = _explain(Marks(table), causes)
    group = np.unique(table["group"], return_inverse=True)[1]
    counts = dict.fromkeys(claims, 0)
    clean = 0
    for draw in draw_groups(int(group.max()) + 1, _DRAWS, rng):
        named, left = _explain(Marks(_drawn(table, group, draw)), causes)
        clean += not named and left <= 0
        for name in claims:
            counts[name] += name in named
    total = sum(claim.variance for claim in claims.values()) or 1.0
    ranked = sorted(claims, key=lambda name: -claims[name].variance * counts[name])
    listed = [
        _record(name, claims[name], causes[name], counts[name] / _DRAWS, claims[name].variance / total)
        for name in ranked
        if counts[name]
    ]
    sure = [cause for cause in listed if cause["confidence"] >= _NAMED]
    if sure:
        return {"top": sure[0]["name"], "causes": listed}
    if leaks or rest > 0:
        why = "something besides the arc differs, and no cause on the list explains it"
        return {"top": "unknown", "causes": [_plain("unknown", 1 - clean / _DRAWS, why), *listed]}
    why = "the residuals hold the arcs and nothing else: PSF and counter-image explain the core"
    return {"top": "physical", "causes": [_plain("physical", clean / _DRAWS, why), *listed]}


def _drawn(table, group, draw):
    """The pairs of the drawn hosts; a host that was drawn twice counts as two."""
    copies = [np.flatnonzero(draw[group] > copy) for copy in range(draw.max())]
    rows = np.concatenate(copies)
    label = np.concatenate([group[copy] + at * len(draw) for at, copy in enumerate(copies)])
    chosen = table.select(rows)
    return replace(chosen, columns=chosen.columns | {"group": label})


def _explain(marks, causes):
    """Let every cause claim in turn; return the claims and how far the largest unclaimed mark exceeds its floor."""
    claims = {}
    for name, cause in causes.items():
        claim = cause.explain(marks)
        if claim is not None:
            claims[name] = claim
    return claims, marks.excess()


def _record(name, claim, cause, confidence, share):
    return {
        "name": name,
        "confidence": confidence,
        "share": share,
        "magnitude": claim.magnitude,
        "scaling": claim.scaling,
        "evidence": [
            {
                "label": f"{name} by band",
                "x": list(claim.magnitude),
                "y": [each["value"] for each in claim.magnitude.values()],
                "yerr": [each["error"] for each in claim.magnitude.values()],
                "y_label": next((each["unit"] for each in claim.magnitude.values()), ""),
            }
        ],
        "look_first": cause.look_first,
    }


def _plain(name, confidence, look_first):
    return {
        "name": name,
        "confidence": confidence,
        "share": None,
        "magnitude": {},
        "scaling": {},
        "look_first": look_first,
    }
