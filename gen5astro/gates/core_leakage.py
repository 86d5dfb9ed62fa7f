"""A classifier that sees the core alone should tell stamp from ctrl no better than physics lets it.

Seeing and the counter-image carry arc light into the core, so even a faultless injection gives a core-only AUC well
above 0.5, and above the classic threshold of 0.70 for small Einstein radii. What decides is the **unexplained AUC**:
measured, less what the same classifier reaches on stamps rebuilt without the fitted artifacts. The classifier is a
standardized logistic regression on fluxes, concentrations and colors of the core, cross-validated with hosts kept
together; intervals are a bootstrap over hosts, the null a permutation of stamp and ctrl within pairs. In the view
``paired`` it sees the ordered pair. **When it fails**, look first at whatever the injection does to the whole image:
the sky level of the simulated frame, the zero point of host against arc, a host that is added twice.
"""

import numpy as np

from gen5astro.gates import Gate
from gen5astro.gates.leaks import leak_findings
from gen5astro.leakage import VIEWS
from gen5astro.verdict import Limit

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
    yield from leak_findings(
        table,
        context,
        gate="core_leakage",
        features=core_features,
        reads=(*_READS, "ctrl_sky_sigma"),
        judged=VIEWS,
        classic=context.config.classic_auc,
    )


GATE = Gate(
    question="Can the core alone tell stamp from ctrl beyond physics?",
    reads=(*_READS, "ctrl_sky_sigma", "group", "theta_e_arcsec", "arc_snr"),
    limits={"unexplained_auc": Limit(high=0.03), "saturated_auc": Limit(high=0.95)},
    findings=_findings,
    order=4,
    requires=frozenset({"finite_pixels"}),
)
