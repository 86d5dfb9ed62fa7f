"""The corners of an image hold neither host nor arc: there, stamp and ctrl must be the same to any classifier.

The gate trains the same classifier as `core_leakage` on the levels and noises of the sky annulus and the corners. A
faultless stamp has the noise of its ctrl, and at its levels what the wings of a wide arc bring there; judged is by how
much the AUC exceeds that, in the view ``single``. In the view ``paired`` the faintest wing shows against a ctrl of the
same pixels, in level and scatter alike; there the stamp without its artifacts explains both, and nothing is judged.
**When it fails**, look first for a sky that was added with the simulated arc, re-estimated, or subtracted twice, then
for noise that was drawn again or added to the stamp alone.
"""

import numpy as np

from gen5astro.gates import Gate
from gen5astro.gates.leaks import leak_findings
from gen5astro.verdict import Limit

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


def _explained(table, image):
    """Features of a faultless stamp: levels without the fitted artifacts, and the noise of the ctrl."""
    features = sky_features(table, image)
    noises = features.shape[1] // 2
    features[:, noises:] = sky_features(table, "ctrl")[:, noises:]
    return features


def _findings(table, context):
    yield from leak_findings(
        table,
        context,
        gate="sky_leakage",
        features=sky_features,
        reads=_READS,
        explained={"single": (_explained, "physical")},
    )


GATE = Gate(
    question="Can the corners, where neither arc nor host is, tell stamp from ctrl?",
    reads=(*_READS, "group", "theta_e_arcsec", "arc_snr"),
    limits={"unexplained_auc": Limit(high=0.05)},
    findings=_findings,
    order=5,
    requires=frozenset({"finite_pixels"}),
)
