"""A classifier that sees the core alone should tell stamp from ctrl no better than physics lets it.

Seeing and the counter-image carry arc light into the core, so even a faultless injection gives a core-only AUC well
above 0.5, and above the classic threshold of 0.70 for small Einstein radii. What decides is the **unexplained AUC**:
measured, less what the same classifier reaches on stamps rebuilt without the fitted artifacts. The classifier is a
standardized logistic regression on fluxes, concentrations and colors of the core, cross-validated with hosts kept
together; intervals are a bootstrap over hosts, the null a permutation of stamp and ctrl within pairs. In the view
``paired`` it sees the ordered pair. **When it fails**, look first at whatever the injection does to the whole image:
the sky level of the simulated frame, the zero point of host against arc, a host that is added twice.
"""

from dataclasses import replace

import numpy as np

from gen5astro.gates import Gate, usable_rows
from gen5astro.leakage import VIEWS, measure_leakage
from gen5astro.verdict import Finding, Limit, Status

_READS = tuple(
    f"{image}_{number}"
    for image in ("stamp", "ctrl", "physical")
    for number in ("flux_1", "flux_2", "flux_3", "core_peak")
)


def core_features(table, image):
    """Concentrations, colors and brightness of the core.

    Parameters
    ----------
    table : MeasureTable
        Pairs.
    image : {'stamp', 'ctrl', 'physical'}
        Which image of each pair.

    Returns
    -------
    features : float64 array, (n, k)
        All are differences of asinh(flux / s), with s the median sky sigma of the band, so that faint and negative
        fluxes stay finite: three concentrations a band, two colors an aperture pair of bands, one brightness a band.
    """
    sigma = np.median(table["ctrl_sky_sigma"], axis=0)
    flux = [np.arcsinh(table[f"{image}_flux_{at}"] / sigma) for at in (1, 2, 3)]
    peak = np.arcsinh(table[f"{image}_core_peak"] / sigma)
    inner, core, outer = flux
    colors = [np.diff(values, axis=1) for values in flux]
    return np.concatenate([inner - core, outer - core, peak - core, core, *colors], axis=1)


def _findings(table, context):
    usable, note = usable_rows(table, (*_READS, "ctrl_sky_sigma"))
    if not usable.any():
        yield Finding("unexplained_auc", None, Status.ERROR, note=note)
        return
    masks = {name: mask[usable] for name, mask in context.masks.items() if mask[usable].any()}
    rng = context.generator("core_leakage")
    for view in VIEWS:
        leakages = measure_leakage(
            table.select(usable), core_features, view=view, masks=masks, config=context.config, rng=rng
        )
        for leakage in leakages:
            yield from leakage_findings(leakage, context, classic=context.config.classic_auc)


def leakage_findings(leakage, context, *, classic=None):
    """Findings of one view and stratum: unexplained (judged), measured, explained, null.

    Parameters
    ----------
    leakage : Leakage
        The numbers.
    context : Context
        The gate's limits.
    classic : float, optional
        Threshold of the classic test, mentioned with the measured AUC.

    Returns
    -------
    findings : list of Finding
        In that order.
    """
    where = {"view": leakage.view, "stratum": leakage.stratum}
    limit = context.limits.get("saturated_auc")
    note = f"measured {leakage.measured:.3f}, of which physics explains {leakage.explained:.3f}"
    judged = context.judge(
        "unexplained_auc",
        leakage.unexplained,
        hosts=leakage.hosts,
        interval=leakage.intervals["unexplained"],
        note=note,
        **where,
    )
    if leakage.view == "paired" and limit is not None and judged.status is Status.PASS:
        judged = _unless_saturated(judged, leakage, limit)
    verdict = None
    if classic is not None and np.isfinite(leakage.measured):
        side = "above" if leakage.measured > classic else "below"
        verdict = f"{side} the classic threshold of {classic:.2f}"
    return [
        judged,
        context.show(
            "measured_auc",
            leakage.measured,
            interval=leakage.intervals["measured"],
            hosts=leakage.hosts,
            note=verdict,
            **where,
        ),
        context.show(
            "explained_auc", leakage.explained, interval=leakage.intervals["explained"], hosts=leakage.hosts, **where
        ),
        context.show("null_auc", sum(leakage.null) / 2, interval=leakage.null, **where),
    ]


def _unless_saturated(judged, leakage, limit):
    """Take back a PASS where the explained AUC leaves no room in which a leak could show."""
    if limit.judge(leakage.explained) is Status.PASS:
        return judged
    note = f"physics alone gives {leakage.explained:.3f}: nothing that a fault adds could show above it"
    return replace(judged, status=Status.INSUFFICIENT, note=note)


GATE = Gate(
    question="Can the core alone tell stamp from ctrl beyond physics?",
    reads=(*_READS, "ctrl_sky_sigma", "group", "theta_e_arcsec", "arc_snr"),
    limits={"unexplained_auc": Limit(high=0.03), "saturated_auc": Limit(high=0.95)},
    findings=_findings,
    order=4,
    requires=frozenset({"finite_pixels"}),
)
