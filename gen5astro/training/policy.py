"""Which pairs an epoch shows, and with which weight: arcs too faint to see, rings too small to resolve.

An arc far below the noise carries the label 1 and looks like a 0. Shown from the start, such pairs teach a network
whatever else tells stamp from ctrl. `PairPolicy` takes them out, makes them count less, or holds them back until the
network knows what an arc is (a curriculum: Bengio et al. 2009).
"""

import itertools
from dataclasses import dataclass

import numpy as np

from gen5astro.errors import ConfigError, closest
from gen5astro.leakage import stratum_name

__all__ = ["PairPolicy", "Strength", "curriculum_threshold", "pair_strata", "pair_strengths", "policy_weights"]

_KINDS = ("arc_snr", "theta_e")
_REMEDY = {
    "arc_snr": "build the cube with --audit, or of pairs with a column arc_snr",
    "theta_e": "build the cube of pairs with columns theta_e_arcsec and psfsize_<band>",
}


@dataclass(frozen=True)
class Strength:
    """How visible the arc of each pair is, in one respect.

    Parameters
    ----------
    value : float64 array, (n,)
        Without unit; NaN where unknown.
    source : str
        Where it comes from; ``unknown`` where from nowhere.
    """

    value: np.ndarray
    source: str


def pair_strengths(cube, rows):
    """Look up how strong the arcs of some pairs are.

    Parameters
    ----------
    cube : Cube
        The cube.
    rows : int64 array, (n,)
        Its rows.

    Returns
    -------
    strengths : dict of Strength
        ``arc_snr``: signal-to-noise of the arc. Where the cube carries measurements, that of each band as the audit
        measured it, in quadrature: independent noise makes the sum over bands of squares that of an optimal
        combination. A band that is not measured or below zero counts 0; NaN if none is measured. Else as declared.
        ``theta_e``: declared Einstein radius over the PSF's FWHM in band r, or the middle one.
    """
    return {"arc_snr": _arc_snr(cube, rows), "theta_e": _resolution(cube, rows)}


def _arc_snr(cube, rows):
    if "arc_snr_measured" in cube.measure:
        bands = cube.measure["arc_snr_measured"][rows].astype(np.float64)
        total = np.sqrt((np.where(bands > 0, bands, 0.0) ** 2).sum(axis=1))
        return Strength(np.where(np.isnan(bands).all(axis=1), np.nan, total), "measured by the audit")
    declared = _column(cube, "arc_snr", rows)
    if np.isnan(declared).all():
        return Strength(declared, "unknown")
    return Strength(np.where(declared < 0, 0.0, declared), "as the catalog declares it")


def _resolution(cube, rows):
    theta_e = _theta_e_arcsec(cube, rows)
    at = cube.bands.index("r") if "r" in cube.bands else len(cube.bands) // 2
    band = cube.bands[at]
    fwhm = _column(cube, f"psfsize_{band}", rows)
    source = f"the catalog's theta_e_arcsec over psfsize_{band}"
    if "psf_fwhm_arcsec" in cube.measure:
        # The audit measures with the catalog's FWHM, and with a configured one where there is none.
        assumed = ~(fwhm > 0)
        fwhm = cube.measure["psf_fwhm_arcsec"][rows, at].astype(np.float64)
        source = f"the catalog's theta_e_arcsec over the audit's psf_fwhm_arcsec in band {band}"
        if assumed.any():
            source += f", which is assumed for {_pairs(assumed)}"
    value = theta_e / np.where(fwhm > 0, fwhm, np.nan)
    return Strength(value, "unknown" if np.isnan(value).all() else source)


def _theta_e_arcsec(cube, rows):
    """Declared Einstein radius; NaN where none above 0 is declared, as the audit has it."""
    theta_e = _column(cube, "theta_e_arcsec", rows)
    return np.where(theta_e > 0, theta_e, np.nan)


def _column(cube, name, rows):
    """A column of the catalog: finite, or NaN."""
    if name not in cube.catalog:
        return np.full(len(rows), np.nan)
    values = cube.catalog[name][rows]
    if values.dtype.kind == "U":
        return np.full(len(rows), np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _pairs(chosen):
    n = np.count_nonzero(chosen)
    return f"{n:,} pair{'s' if n > 1 else ''}"


def curriculum_threshold(threshold, *, epoch, epochs, curriculum_fraction):
    """Threshold of a curriculum in one epoch: it falls linearly from the first epoch on, and then stays 0.

    Parameters
    ----------
    threshold : float
        Threshold in the first epoch.
    epoch : int
        Number of the epoch, from 0.
    epochs : int
        Epochs of the run.
    curriculum_fraction : float
        Share of them after which it is 0.

    Returns
    -------
    threshold : float
        ``threshold * max(0, 1 - epoch / (curriculum_fraction * epochs))``.
    """
    length = curriculum_fraction * epochs
    return threshold * (1 - epoch / length) if epoch < length else 0.0


def policy_weights(strength, policy, threshold, *, epoch, epochs, curriculum_fraction):
    """Weigh pairs by their strength.

    Under ``weight`` a pair below the threshold counts in proportion to its strength, not to its square. The square
    (inverse variance) is for a mean of measurements of one quantity. Here a pair is worth how well its label can be
    seen: a matched filter tells an arc of signal-to-noise s from none with AUC Phi(s / sqrt 2) (Green & Swets 1966),
    which rises above 1/2 linearly in s; the square would all but exclude the faint arcs that completeness is lost on.

    Parameters
    ----------
    strength : float64 array, (n,)
        From `pair_strengths`; NaN where unknown.
    policy : {'include', 'exclude', 'weight', 'curriculum'}
        1 for all; 0 below the threshold, else 1; min(1, strength / threshold); as exclude, with
        `curriculum_threshold`.
    threshold : float
        Threshold, in units of the strength.
    epoch, epochs : int
        Number of the epoch, from 0, and how many there are.
    curriculum_fraction : float
        Share of the epochs in which a curriculum's threshold falls to 0.

    Returns
    -------
    weight : float32 array, (n,)
        From 0 to 1. A pair of unknown strength has 0, except under ``include``.
    """
    if policy == "include":
        return np.ones(len(strength), np.float32)
    if policy == "curriculum":
        threshold = curriculum_threshold(threshold, epoch=epoch, epochs=epochs, curriculum_fraction=curriculum_fraction)
    if policy == "weight" and threshold > 0:
        return np.nan_to_num(np.clip(strength / threshold, 0, 1)).astype(np.float32)
    return (strength >= threshold).astype(np.float32)


def pair_strata(cube, rows, balance):
    """Sort pairs into the strata that shall come equally often.

    The edges are those of the audit (``audit.theta_e_edges`` in arcsec, ``audit.arc_snr_edges``) as the cube was built
    with: quantiles of the training pairs would hold equally many pairs from the start, and leave rare ones rare.

    Parameters
    ----------
    cube : Cube
        The cube.
    rows : int64 array, (n,)
        Its rows.
    balance : sequence of str
        Which of ``theta_e`` and ``arc_snr`` make the strata; of both, every combination is one.

    Returns
    -------
    stratum : int64 array, (n,)
        Number of its stratum; -1 where a value is unknown.
    names : list of str
        Of all strata, such as ``1<=theta_e<2, arc_snr<20``.

    Raises
    ------
    ConfigError
        If a name is none of these, or a value is unknown of every pair.
    """
    audit = cube.config.audit
    stratum, names, unknown = np.zeros(len(rows), np.int64), [""], np.zeros(len(rows), bool)
    for kind in dict.fromkeys(balance):
        if kind not in _KINDS:
            raise ConfigError("train.balance", got=repr(kind), remedy=closest(kind, _KINDS))
        values = _arc_snr(cube, rows).value if kind == "arc_snr" else _theta_e_arcsec(cube, rows)
        if np.isnan(values).all():
            remedy = f"{_REMEDY[kind]}, or leave it out of train.balance"
            raise ConfigError("train.balance", got=f"{kind} of no training pair is known", remedy=remedy)
        bounds = [-np.inf, *getattr(audit, f"{kind}_edges"), np.inf]
        parts = [stratum_name(kind, low, high) for low, high in itertools.pairwise(bounds)]
        stratum = stratum * len(parts) + np.digitize(values, bounds[1:-1])
        names = [", ".join(filter(None, each)) for each in itertools.product(names, parts)]
        unknown |= np.isnan(values)
    stratum[unknown] = -1
    return stratum, names


class PairPolicy:
    """Which of the training pairs each epoch shows, with which weight, and which strata come equally often.

    Parameters
    ----------
    cube : Cube
        The cube.
    rows : int64 array, (n,)
        Its rows to train on.
    config : TrainConfig
        Its `arc_snr_policy`, `theta_e_policy`, their thresholds, `curriculum_fraction`, `epochs` and `balance`.

    Attributes
    ----------
    strengths : dict of Strength
        From `pair_strengths`.
    strata : int64 array, (n,), or None
        From `pair_strata`; None where nothing is to be balanced.
    notes : list of str
        What the user should know: pairs of unknown strength, where a strength comes from, strata of few hosts.

    Raises
    ------
    ConfigError
        If a policy asks for what is unknown of every pair, or no pair is left in some epoch.
    """

    def __init__(self, cube, rows, config):
        self.config = config
        self.strengths = pair_strengths(cube, rows)
        self.strata, self._names = (None, []) if not config.balance else pair_strata(cube, rows, config.balance)
        self._groups, self._few = cube.group[rows], cube.config.audit.min_effective_hosts
        self._active = {kind: policy for kind in _KINDS if (policy := self._policy(kind)[0]) != "include"}
        for kind, policy in self._active.items():
            if np.isnan(self.strengths[kind].value).all():
                raise ConfigError(
                    f"train.{kind}_policy",
                    got=f"{policy!r}, and {kind} of no training pair is known",
                    remedy=f"{_REMEDY[kind]}, or set train.{kind}_policy to include",
                )
        # A threshold never rises: what the first epoch shows, every epoch shows.
        if not self.weights(0).any():
            self._refuse()
        self.notes = [*self._notes()]

    def _policy(self, kind):
        return getattr(self.config, f"{kind}_policy"), getattr(self.config, f"{kind}_threshold")

    def _when(self, epoch):
        more = {"epochs": self.config.epochs, "curriculum_fraction": self.config.curriculum_fraction}
        return {"epoch": epoch, **more}

    def weights(self, epoch):
        """Weigh the pairs of one epoch: the product of both policies.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.

        Returns
        -------
        weight : float32 array, (n,)
            As `plan_epoch` takes it; 0 as well where the stratum is unknown.
        """
        weight = np.ones(len(self._groups), np.float32) if self.strata is None else np.float32(self.strata >= 0)
        for kind in self._active:
            weight *= policy_weights(self.strengths[kind].value, *self._policy(kind), **self._when(epoch))
        return weight

    def _refuse(self):
        below = []
        for kind in self._active:
            value, threshold = self.strengths[kind].value, self._policy(kind)[1]
            below.append(f"{np.count_nonzero(value < threshold):,} are below {kind}_threshold {threshold:g}")
            if unknown := np.count_nonzero(np.isnan(value)):
                below.append(f"{kind} of {unknown:,} is unknown")
        if unknown := 0 if self.strata is None else np.count_nonzero(self.strata < 0):
            below.append(f"{unknown:,} belong to no stratum")
        raise ConfigError(
            " and ".join(f"train.{kind}_policy" for kind in self._active) or "train.balance",
            got=f"no pair in the first epoch: of {len(self._groups):,}, {', '.join(below)}",
            expected="one pair to show",
            remedy="lower the thresholds, or choose include or weight",
        )

    def _notes(self):
        for kind, policy in self._active.items():
            strength = self.strengths[kind]
            yield f"{kind}_policy {policy}: {kind} is {strength.source}"
            threshold = self._policy(kind)[1]
            if below := np.count_nonzero(strength.value < threshold) if policy == "exclude" else 0:
                yield f"{kind}_policy exclude: {_pairs(below)} of {len(self._groups):,} below {threshold:g}: not shown"
            if (unknown := np.isnan(strength.value)).any():
                yield f"{kind}_policy {policy}: {kind} of {_pairs(unknown)} is unknown: not shown"
        if self.strata is None:
            return
        if (unknown := self.strata < 0).any():
            yield f"balance: {_pairs(unknown)} in no stratum, for want of a value: not shown"
        for each in self._strata_record():
            if 0 < each["hosts"] < self._few:
                hosts = f"{each['hosts']} host{'s' if each['hosts'] > 1 else ''}"
                yield f"balance: stratum {each['name']} has {hosts}, shown as often as all of any other"

    def _strata_record(self):
        members = [self.strata == at for at in range(len(self._names))]
        counts = [(np.count_nonzero(each), len(np.unique(self._groups[each]))) for each in members]
        return [
            {"name": name, "pairs": int(pairs), "hosts": int(hosts)}
            for name, (pairs, hosts) in zip(self._names, counts, strict=True)
        ]

    def record(self):
        """Say what is done.

        Returns
        -------
        record : dict
            Plain types. Of ``arc_snr`` and ``theta_e``: policy, threshold, source, how many pairs are below and
            unknown. ``epochs``: of each, its thresholds (None where there is none), the pairs that it shows, how many
            of these at a weight below 1, and the sum of the weights. ``strata``: name, pairs and hosts of each.
        """
        record: dict = {"epochs": [self._epoch_record(epoch) for epoch in range(self.config.epochs)]}
        for kind, strength in self.strengths.items():
            policy, threshold = self._policy(kind)
            record[kind] = {
                "policy": policy,
                "threshold": threshold,
                "source": strength.source,
                "below": int(np.count_nonzero(strength.value < threshold)),
                "unknown": int(np.count_nonzero(np.isnan(strength.value))),
            }
        return record | {"strata": [] if self.strata is None else self._strata_record()}

    def _epoch_record(self, epoch):
        weight = self.weights(epoch)
        record = {}
        for kind in _KINDS:
            policy, threshold = self._policy(kind)
            if policy == "curriculum":
                threshold = curriculum_threshold(threshold, **self._when(epoch))
            record[f"{kind}_threshold"] = None if policy == "include" else threshold
        shown = int(np.count_nonzero(weight))
        weighted = int(np.count_nonzero((weight > 0) & (weight < 1)))
        return record | {"shown": shown, "weighted": weighted, "weight": float(weight.sum(dtype=np.float64))}
