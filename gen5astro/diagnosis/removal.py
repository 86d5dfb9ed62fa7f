"""How much of the leakage a cause is to blame for: what is left of it once that cause's artifacts are taken out.

The classifiers of the gates `core_leakage`, `sky_leakage` and `noise_leakage` are trained again on stamps from which
the artifacts of one cause were removed, as far as the columns of the measurement table tell. Fluxes are linear in the
artifacts; where a robust number is not, that of the stamp without any artifact stands in.
"""

import numpy as np

from gen5astro.gates.core_leakage import core_features
from gen5astro.gates.noise_leakage import noise_features
from gen5astro.gates.sky_leakage import sky_features
from gen5astro.kernels.noise import NOISE_COLUMNS
from gen5astro.kernels.residual import TERMS
from gen5astro.kernels.shrinkage import shrink_terms
from gen5astro.leakage import measure_auc

__all__ = ["READS", "leakage_without"]

_IMAGES = ("stamp", "ctrl", "physical")
_CORE = ("flux_1", "flux_2", "flux_3", "core_peak")
_SKY = ("sky_level", "corner_level", "sky_sigma", "corner_sigma")

#: Columns of the measurement table that are read.
READS = (
    *(f"{image}_{number}" for image in _IMAGES for number in (*_CORE, *_SKY)),
    *(f"{image}_{number}" for image in ("stamp", "ctrl") for number in NOISE_COLUMNS),
    *(f"{term}{end}" for term in TERMS for end in ("", "_error")),
    *(f"aperture_area_{at}" for at in (1, 2, 3)),
    "group",
)


def leakage_without(table, config, parts=()):
    """Measure the leakage that is left when parts of the artifacts are taken out of the stamps.

    Parameters
    ----------
    table : MeasureTable
        With ``group``; all rows decomposed.
    config : AuditConfig
        Seed and folds.
    parts : iterable of str
        Of ``pedestal, gain, gradient, shift_and_blur, noise``.

    Returns
    -------
    leakage : float
        Sum over core, sky and noise of how far the AUC of the single view exceeds that of a faultless injection; 0
        where it does not, NaN where there are too few hosts to fold.
    """
    parts = frozenset(parts)
    stamps = _Stamps(table, parts)
    rng = [config.seed, *b"removal"]
    total = 0.0
    for features, baseline in (
        (core_features, "physical"),
        (sky_features, "physical"),
        (noise_features, "ctrl"),
    ):
        found = measure_auc(stamps, features, image="stamp", config=config, rng=np.random.default_rng(rng))
        clean = measure_auc(table, features, image=baseline, config=config, rng=np.random.default_rng(rng))
        total += max(found - clean, 0.0)
    return total


class _Stamps:
    """The table, in which columns of the stamp are those of a stamp without some artifacts."""

    def __init__(self, table, parts):
        self._table, self._parts = table, parts

    def __len__(self):
        return len(self._table)

    def __getitem__(self, name):
        image, _, number = name.partition("_")
        if image != "stamp" or not self._parts:
            return self._table[name]
        if number in _CORE:
            return self._core(number)
        if number in NOISE_COLUMNS or (number in _SKY and number.endswith("sigma")):
            moved = {"noise", "gain", "gradient", "shift_and_blur"} if number.endswith("sigma") else {"noise"}
            return self._table[f"ctrl_{number}" if self._parts & moved else name]
        return self._level(number, name)

    def _core(self, number):
        """Flux or peak less what pedestal, gain and the rest put there."""
        table = self._table
        stamp = table[f"stamp_{number}"].astype(np.float64)
        area = table[f"aperture_area_{number[-1]}"][:, None] if number.startswith("flux") else 1.0
        gain = _shrunk(table, "gain") * table[f"ctrl_{number}"]
        terms = {"pedestal": _shrunk(table, "pedestal") * area, "gain": gain}
        rest = stamp - table[f"physical_{number}"] - terms["pedestal"] - terms["gain"]
        for part in self._parts & terms.keys():
            stamp -= terms[part]
        return stamp - rest if "shift_and_blur" in self._parts else stamp

    def _level(self, number, name):
        """Level of the sky less pedestal, gain and gradient."""
        table = self._table
        level = table[name].astype(np.float64)
        if "gradient" in self._parts:
            return table[f"physical_{number}"]
        if "pedestal" in self._parts:
            level = level - _shrunk(table, "pedestal")
        if "gain" in self._parts:
            level = level - _shrunk(table, "gain") * table[f"ctrl_{number}"]
        return level


def _shrunk(table, term):
    """A fitted term as it was taken out of the stamps."""
    terms, errors = (np.stack([table[f"{name}{end}"] for name in TERMS], axis=-1) for end in ("", "_error"))
    return shrink_terms(terms, errors, table["ctrl_sky_sigma"])[..., TERMS.index(term)]
