"""A normalizer that reads the arc writes the label into every pixel, whatever the injection did.

What a network sees is an image less a location, over a scale. For each kind of normalizer the gate trains the same
classifier as `core_leakage` twice: on the location and scale that the kind takes from an image, whose AUC must be 0.5
(they must not tell of the arc); and on the core after normalization by the image's own statistics, whose AUC must not
exceed that of the same core normalized by the ctrl's. Both are measured on stamps rebuilt without the fitted artifacts,
since a fault of the injection is for other gates to find. Judged is the configured kind (``normalize.kind``); the
others are shown, and of those that need no ctrl the one that leaks least is recommended. **When it fails**, take the
recommended kind: an image's own mean and standard deviation move with the arc, the sky annulus does not. Where
`noise_leakage` fails as well, mend the noise first.
"""

from dataclasses import replace

import numpy as np

from gen5astro.gates import Gate, usable_sample
from gen5astro.gates.core_leakage import core_features
from gen5astro.gates.leaks import beyond_chance
from gen5astro.leakage import VIEWS, measure_leakage
from gen5astro.verdict import Finding, Limit, Status

_STATISTICS = {
    "sky": ("{image}_sky_level", "{image}_sky_sigma"),
    "standard": ("{image}_mean", "{image}_std"),
    "core": ("{image}_core_mean", "{image}_core_std"),
    "pair": ("ctrl_sky_level", "ctrl_sky_sigma"),
}
_DEPLOYABLE = ("sky", "standard", "core")
_EQUAL = 0.005
_APERTURES = (1, 2, 3)
_CORE = ("flux_1", "flux_2", "flux_3", "core_peak")
_READS = tuple(
    name
    for image in ("physical", "ctrl")
    for name in (
        *(f"{image}_{number}" for number in _CORE),
        *(column.format(image=image) for kind in _DEPLOYABLE for column in _STATISTICS[kind]),
    )
)
_AREAS = tuple(f"aperture_area_{at}" for at in _APERTURES)


def _statistics(table, image, kind):
    """Location and scale that a kind of normalizer takes from an image, (n, band) each."""
    return tuple(table[column.format(image=image)] for column in _STATISTICS[kind])


def _statistics_features(kind):
    """Location and scale in units of the band's median sky noise, (n, 2 band)."""

    def features(table, image):
        sigma = np.median(table["ctrl_sky_sigma"], axis=0)
        return np.concatenate([np.arcsinh(each / sigma) for each in _statistics(table, image, kind)], axis=1)

    return features


def _core_features(kind, owner=None):
    """Features of the core, as `core_leakage` takes them, after normalization by its own or another's statistics."""

    def features(table, image):
        location, scale = _statistics(table, owner or image, kind)
        areas = [table[name][:, None] for name in _AREAS] + [1.0]
        columns = {
            f"{image}_{number}": (table[f"{image}_{number}"] - area * location) / scale
            for number, area in zip(_CORE, areas, strict=True)
        }
        return core_features(replace(table, columns=columns | {"ctrl_sky_sigma": np.ones_like(scale)}), image)

    return features


def _findings(table, context):
    table, masks, note = usable_sample(table, (*_READS, *_AREAS), context)
    if not len(table):
        yield Finding("statistics_auc", None, Status.ERROR, note=note)
        return
    leaks, raw = {}, None
    for kind in _STATISTICS:
        configured = kind == context.normalizer.kind
        chosen = masks if configured else {"all": masks["all"]}
        for view in VIEWS if configured else VIEWS[:1]:
            statistics = _measure(table, _statistics_features(kind), core_features, chosen, context, view)
            core = _measure(table, _core_features(kind), _core_features(kind, "ctrl"), chosen, context, view)
            if view == "single":
                leaks[kind] = max(statistics[0].measured - 0.5, core[0].unexplained)
                raw = statistics[0]
                yield from _show(kind, statistics[0], core[0], context)
            if configured:
                yield from _judge(kind, statistics, core, context)
    yield context.show("raw_core_auc", raw.explained, view="single", interval=raw.intervals["explained"])
    if all(np.isfinite(leaks[kind]) for kind in _DEPLOYABLE):
        yield _recommend(leaks, context)


def _measure(table, features, baseline, masks, context, view):
    """Leakage of some features of a faultless stamp beside that of others; every call has the same folds and draws."""
    return measure_leakage(
        table,
        features,
        view=view,
        masks=masks,
        config=replace(context.config, permutations=0),
        rng=context.generator("normalization_leakage"),
        image="physical",
        baseline=(baseline, "physical"),
    )


def _judge(kind, statistics, core, context):
    """Findings of the configured kind, one pair a stratum; the paired view is reported."""
    for each, normalized in zip(statistics, core, strict=True):
        where = {"view": each.view, "stratum": each.stratum, "hosts": each.hosts}
        auc, own = normalized.measured, normalized.explained
        judge = context.judge if each.view == "single" else context.show
        yield judge(
            "statistics_auc",
            each.measured,
            interval=each.intervals["measured"],
            note=f"location and scale of the normalizer {kind} tell a stamp with AUC {each.measured:.3f}",
            **where,
        )
        yield beyond_chance(
            judge(
                "core_excess_auc",
                normalized.unexplained,
                interval=normalized.intervals["unexplained"],
                simultaneous=normalized.simultaneous,
                note=f"core normalized by {kind}: AUC {auc:.3f}, by the ctrl's {own:.3f}",
                **where,
            )
        )


def _show(kind, statistics, core, context):
    """Findings of any kind over all pairs."""
    for name, leakage, number in (
        ("statistics_auc", statistics, "measured"),
        ("core_auc", core, "measured"),
        ("core_excess_auc", core, "unexplained"),
    ):
        value, interval = getattr(leakage, number), leakage.intervals[number]
        yield context.show(f"{name}:{kind}", value, view="single", hosts=leakage.hosts, interval=interval, note=kind)


def _recommend(leaks, context):
    """The first of the kinds that need no ctrl which leaks no more than the best of them, all but equal."""
    least = min(leaks[kind] for kind in _DEPLOYABLE)
    best = next(kind for kind in _DEPLOYABLE if leaks[kind] <= least + _EQUAL)
    numbers = ", ".join(f"{kind} {leaks[kind]:.3f}" for kind in (*_DEPLOYABLE, "pair"))
    note = f"take {best}; AUC beyond physics: {numbers} (pair needs a ctrl, which no survey image has)"
    return context.show(f"recommended:{best}", leaks[best], view="single", note=note)


GATE = Gate(
    question="Does the normalizer itself carry the label?",
    reads=(*_READS, *_AREAS, "group", "theta_e_arcsec", "arc_snr"),
    limits={"statistics_auc": Limit(high=0.55), "core_excess_auc": Limit(high=0.03)},
    findings=_findings,
    order=8,
    requires=frozenset({"finite_pixels"}),
)
