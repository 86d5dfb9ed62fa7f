"""What made a faulty injection faulty: one file a cause, tried from the most specific to the most general.

Each cause reads the *marks* that the measurement pass found outside the arcs (see `gen5astro.diagnosis.marks`), claims
what it explains, and leaves the rest to the next: a shift blurs and decorrelates noise, so noise that a shift explains
is not also called noise. What nobody claims is ``unknown``; a set that bears no mark is ``physical``. The confidence of
a cause is the share of bootstrap draws over hosts in which it is named. Causes are ranked by how much each removes: of
the artifacts' variance, and of the leakage (see `gen5astro.diagnosis.removal`).
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gen5astro.diagnosis.claim import Claim
from gen5astro.diagnosis.marks import READS, Marks
from gen5astro.diagnosis.removal import READS as REMOVAL_READS
from gen5astro.diagnosis.removal import leakage_without
from gen5astro.kernels.rank import draw_groups

__all__ = ["Cause", "diagnose", "load_causes"]

_DRAWS = 60
_MOST_PAIRS = 4000
_NAMED = 0.5
_LEAST_LEAKAGE = 0.03
_UNEXPLAINED = 0.5
_BINS = 8


@dataclass(frozen=True)
class Cause:
    """A way in which an injection goes wrong.

    Parameters
    ----------
    order : int
        Place in the line of causes; specific ones come first.
    removes : tuple of str
        What mending it takes out of the stamps, of the parts that `gen5astro.diagnosis.removal.leakage_without` knows.
    look_first : str
        Where to look in the injection code.
    explain : callable
        ``explain(marks)`` returns a `Claim` and takes what it explains out of the marks, or returns None.
    """

    order: int
    removes: tuple[str, ...]
    look_first: str
    explain: Callable[[Marks], Claim | None]


def load_causes():
    """Find every cause.

    Returns
    -------
    causes : dict of Cause
        By name, in the order in which they are tried.
    """
    modules = {each.name: importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)}
    found = {name: module.CAUSE for name, module in modules.items() if hasattr(module, "CAUSE")}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def diagnose(table, config, *, leaks, unanswered=()):
    """Rank the causes of what a measurement table shows beside arcs.

    Parameters
    ----------
    table : MeasureTable
        With ``group``.
    config : AuditConfig
        Seed of the bootstrap.
    leaks : bool
        Whether a gate found what physics does not explain, so that no cause at all would be ``unknown``.
    unanswered : sequence of str
        Gates that could not be computed: what they would have found is not known, and no cause at all is ``unknown``.

    Returns
    -------
    diagnosis : dict
        ``top``, and ``causes``: each ``name``, ``confidence``, ``share`` of the artifacts' variance and of the
        ``leakage`` that it removes (None where there is none), ``magnitude`` by band (value, error, unit), ``scaling``
        (rank correlations), ``evidence`` and ``look_first``.
    """
    rng = np.random.default_rng([config.seed, *b"diagnosis"])
    rows = np.flatnonzero(np.isfinite(table["pedestal"]).all(axis=1) & np.isfinite(table["arc_flux"]).all(axis=1))
    if not len(rows):
        return {"top": "unknown", "causes": [_plain("unknown", 1.0, "no pair could be decomposed")]}
    rows = np.sort(rng.choice(rows, _MOST_PAIRS, replace=False)) if len(rows) > _MOST_PAIRS else rows
    table = table.keep({*READS, *REMOVAL_READS}).select(rows)
    causes = load_causes()
    marks = Marks(table)
    power = marks.power
    claims, rest = _explain(marks, causes)
    confidence, clean = _confidence(table, causes, claims, rng)
    named = [name for name in claims if confidence[name] >= _NAMED]
    leakage, left = _leakage_shares(table, config, causes, named)
    listed = []
    for name in claims:
        if confidence[name]:
            share = min(claims[name].variance / power, 1.0)
            weights = {"confidence": confidence[name], "share": share, "leakage": leakage.get(name)}
            listed.append(_record(name, claims[name], causes[name], marks) | weights)
    unknown = _unknown(marks, 1 - clean, left, bool(named), leaks or rest > 0)
    listed = sorted([*listed, *unknown], key=lambda cause: -_removed(cause))
    sure = [cause["name"] for cause in listed if cause["name"] in named or cause["name"] == "unknown"]
    if sure:
        return {"top": sure[0], "causes": listed}
    if unanswered:
        why = (
            f"the pairs that could be decomposed bear no known mark, but {', '.join(unanswered)} could not be computed"
        )
        return {"top": "unknown", "causes": [_plain("unknown", None, why), *listed]}
    why = "the residuals hold the arcs and nothing else: PSF and counter-image explain the core"
    return {"top": "physical", "causes": [_plain("physical", clean, why), *listed]}


def _unknown(marks, confidence, left, is_named, is_marked):
    """The cause ``unknown``, where structure, leakage or a mark is left that no cause on the list explains."""
    share = marks.structure / marks.power if marks.power > 0 else 0.0
    if share > 0:
        why = "the residuals have structure outside the arcs that no cause on the list describes"
        return [_plain("unknown", confidence, why) | {"share": share, "leakage": left}]
    if is_named and left > _UNEXPLAINED:
        why = f"{left:.0%} of the leakage is left when all named causes are taken out"
        return [_plain("unknown", confidence, why) | {"share": 0.0, "leakage": left}]
    if is_marked and not is_named:
        why = "something besides the arc differs, and no cause on the list explains it"
        return [_plain("unknown", confidence, why)]
    return []


def _removed(cause):
    """What a cause removes, in the mean of variance and leakage, by its confidence."""
    parts = [part for part in (cause["share"], cause["leakage"]) if part is not None]
    return cause["confidence"] * sum(parts) / max(len(parts), 1)


def _confidence(table, causes, claims, rng):
    """Share of bootstrap draws over hosts in which each cause is named, and in which nothing is left to name."""
    group = np.unique(table["group"], return_inverse=True)[1]
    table = table.keep(READS)
    counts, clean = dict.fromkeys(claims, 0), 0
    for draw in draw_groups(int(group.max()) + 1, _DRAWS, rng):
        named, left = _explain(Marks(_drawn(table, group, draw)), causes)
        clean += not named and left <= 0
        for name in claims:
            counts[name] += name in named
    return {name: count / _DRAWS for name, count in counts.items()}, clean / _DRAWS


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


def _leakage_shares(table, config, causes, named):
    """Share of the leakage that each named cause removes, and the share that is left without them all."""
    usable = np.all([np.isfinite(table[name]).reshape(len(table), -1).all(axis=1) for name in REMOVAL_READS], axis=0)
    table = table.select(usable)
    whole = leakage_without(table, config) if named and usable.any() else float("nan")
    if not whole > _LEAST_LEAKAGE:
        return {}, 0.0
    shares = {name: max(1 - leakage_without(table, config, causes[name].removes) / whole, 0.0) for name in named}
    together = {part for name in named for part in causes[name].removes}
    return shares, leakage_without(table, config, together) / whole


def _record(name, claim, cause, marks):
    by_band = {
        "label": f"{name} by band",
        "x": list(claim.magnitude),
        "y": [each["value"] for each in claim.magnitude.values()],
        "yerr": [each["error"] for each in claim.magnitude.values()],
        "y_label": next((each["unit"] for each in claim.magnitude.values()), ""),
    }
    return {
        "name": name,
        "magnitude": claim.magnitude,
        "scaling": claim.scaling,
        "evidence": [by_band, *_against_strongest(name, claim, marks)],
        "look_first": cause.look_first,
    }


def _against_strongest(name, claim, marks):
    """The mark's size against what it goes with most, in bins of as many pairs; nothing where it goes with none."""
    known = {against: abs(value) for against, value in claim.scaling.items() if value is not None}
    if not known:
        return []
    against = max(known, key=known.get)
    x, y = marks.against()[against], claim.size.mean(axis=1)
    order = np.argsort(x[np.isfinite(x)], kind="stable")
    x, y = x[np.isfinite(x)][order], y[np.isfinite(x)][order]
    bins = [part for part in np.array_split(np.arange(len(x)), _BINS) if len(part) > 2]
    scatter = [1.4826 * np.median(np.abs(y[part] - np.median(y[part]))) / len(part) ** 0.5 for part in bins]
    return [
        {
            "label": f"{name}: the mark that a pair bears",
            "x": [float(np.median(x[part])) for part in bins],
            "y": [float(np.median(y[part])) for part in bins],
            "yerr": [float(value) for value in scatter],
            "x_label": _label(against, marks.unit),
            "y_label": "size of the mark",
        }
    ]


def _label(against, unit):
    """Name and unit of what a mark's size is held against."""
    labels = {
        "theta_e": "theta_E [arcsec]",
        "arc_flux": f"flux of the arc [{unit}]",
        "host_flux": f"flux of the host's core [{unit}]",
        "sky_level": f"sky level [{unit} / pix]",
    }
    return labels[against]


def _plain(name, confidence, look_first):
    return {
        "name": name,
        "confidence": confidence,
        "share": None,
        "leakage": None,
        "magnitude": {},
        "scaling": {},
        "look_first": look_first,
    }
