"""An injection adds light to an image that has its noise already: the noise of stamp and ctrl must be the same.

The gate trains the same classifier as `core_leakage` on the texture of the noise where no arc is, in the sky annulus
and the corners: its strength from pixel to pixel, that strength over the robust scatter of the whole sky, and the
correlation of neighboring pixels along x and y. A faultless stamp has the very noise of its ctrl, which explains an
AUC of 0.5 in the view ``single``. In the view ``paired`` the faintest wing of an arc shows against a ctrl of the same
pixels; the ctrl with a smoothed arc, which brings no noise of its own, explains that, and the rest is reported and not
judged. **When it fails**, look first for noise that is drawn again or added after the arc, then for resampling, which
smooths the noise of the stamp alone, then for a stamp that was rescaled.
"""

import numpy as np

from gen5astro.gates import Gate
from gen5astro.gates.leaks import leak_findings
from gen5astro.kernels.noise import NOISE_COLUMNS
from gen5astro.verdict import Limit

_READS = tuple(f"{image}_{number}" for image in ("stamp", "ctrl", "quiet") for number in (*NOISE_COLUMNS, "sky_sigma"))


def noise_features(table, image):
    """Strength of the noise, its share of the sky's scatter, and its two correlations.

    Parameters
    ----------
    table : MeasureTable
        Pairs.
    image : {'stamp', 'ctrl', 'quiet'}
        Which image of each pair; 'quiet' is the ctrl with a smoothed arc.

    Returns
    -------
    features : float64 array, (n, 4 band)
        Without unit.
    """
    strength, *correlations = (table[f"{image}_{number}"] for number in NOISE_COLUMNS)
    sigma = np.median(table["ctrl_sky_sigma"], axis=0)
    return np.concatenate([np.arcsinh(strength / sigma), strength / table[f"{image}_sky_sigma"], *correlations], axis=1)


def _findings(table, context):
    yield from leak_findings(
        table,
        context,
        gate="noise_leakage",
        features=noise_features,
        reads=_READS,
        explained={"single": (noise_features, "ctrl"), "paired": (noise_features, "quiet")},
    )


GATE = Gate(
    question="Can the noise tell stamp from ctrl?",
    reads=(*_READS, "group", "theta_e_arcsec", "arc_snr"),
    limits={"unexplained_auc": Limit(high=0.05)},
    findings=_findings,
    order=6,
    requires=frozenset({"finite_pixels"}),
)
