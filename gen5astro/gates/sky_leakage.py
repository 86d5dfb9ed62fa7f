"""The corners of an image hold neither host nor arc: there, stamp and ctrl must be the same to any classifier.

The gate trains the same classifier as `core_leakage` on the levels and noises of the sky annulus and the corners; its
AUC must be 0.5. **When it fails**, look first for a sky that was added with the simulated arc, re-estimated, or
subtracted twice, then for noise that was drawn again or added to the stamp alone.
"""

import numpy as np

from gen5astro.gates import Gate, usable_rows
from gen5astro.leakage import measure_leakage
from gen5astro.verdict import Finding, Limit, Status

_NUMBERS = ("sky_level", "corner_level", "sky_sigma", "corner_sigma")
_READS = tuple(f"{image}_{number}" for image in ("stamp", "ctrl", "physical") for number in _NUMBERS)


def sky_features(table, image):
    """Levels and noises of annulus and corners.

    Parameters
    ----------
    table : MeasureTable
        Pairs.
    image : {'stamp', 'ctrl', 'physical'}
        Which image of each pair.

    Returns
    -------
    features : float64 array, (n, 4 band)
        In units of the band's median sky noise.
    """
    sigma = np.median(table["ctrl_sky_sigma"], axis=0)
    return np.concatenate([np.arcsinh(table[f"{image}_{number}"] / sigma) for number in _NUMBERS], axis=1)


def _findings(table, context):
    usable, note = usable_rows(table, _READS)
    if not usable.any():
        yield Finding("measured_auc", None, Status.ERROR, note=note)
        return
    masks = {name: mask[usable] for name, mask in context.masks.items() if mask[usable].any()}
    leakages = measure_leakage(
        table.select(usable),
        sky_features,
        view="single",
        masks=masks,
        config=context.config,
        rng=context.generator("sky_leakage"),
    )
    for leakage in leakages:
        where = {"view": leakage.view, "stratum": leakage.stratum}
        yield context.judge(
            "measured_auc",
            leakage.measured,
            hosts=leakage.hosts,
            interval=leakage.intervals["measured"],
            note=f"sky alone tells stamp from ctrl with AUC {leakage.measured:.3f}; chance gives 0.5",
            **where,
        )
        yield context.show("null_auc", sum(leakage.null) / 2, interval=leakage.null, **where)


GATE = Gate(
    question="Can the corners, where neither arc nor host is, tell stamp from ctrl?",
    reads=(*_READS, "group", "theta_e_arcsec", "arc_snr"),
    limits={"measured_auc": Limit(high=0.55)},
    findings=_findings,
    order=5,
    requires=frozenset({"finite_pixels"}),
)
