"""The marks that causes read and claim: population values of what was fitted outside the arcs, by band.

A mark is the median over hosts of each host's median; its error comes from the scatter between hosts. A mark counts
when it stands several errors from zero *and* beyond a floor, below which arc wings and pixel noise are known to reach.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

__all__ = ["READS", "Claim", "Marks"]

SIGNIFICANCE = 4.0

#: Smallest mark that counts: sky sigmas for pedestal, gradient and noise; pixels, squared pixels and fractions else.
FLOORS = {
    "pedestal": 0.05,
    "gradient_x": 0.05,
    "gradient_y": 0.05,
    "gain": 0.004,
    "blur": 0.02,
    "shift_x": 0.02,
    "shift_y": 0.02,
    "noise_power": 0.01,
    "noise_gain": 0.02,
    "noise_gain_other": 0.05,
    "arc_offset_x": 0.12,
    "arc_offset_y": 0.12,
}

#: Columns of the measurement table that marks and causes read.
READS = (
    *(name for name in FLOORS if name != "noise_power"),
    "residual_noise",
    "group",
    "theta_e_arcsec",
    "arc_flux",
    "arc_peak_snr",
    "psf_fwhm_arcsec",
    "ctrl_sky_sigma",
    "ctrl_sky_level",
    "ctrl_core_flux",
    "ctrl_median",
    "ctrl_std",
    "physical_std",
    "stamp_distinct_fraction",
    "ctrl_distinct_fraction",
)

_PER_SIGMA = ("pedestal", "gradient_x", "gradient_y")


@dataclass(frozen=True)
class Claim:
    """What a cause explains.

    Parameters
    ----------
    magnitude : dict of dict
        By band: ``value``, ``error``, ``unit``.
    variance : float
        Mean squared artifact a pixel, in units of the sky's variance.
    scaling : dict of float
        Rank correlation, over pairs, of the mark's size with theta_E, arc flux, host flux and sky level.
    """

    magnitude: dict[str, dict]
    variance: float
    scaling: dict[str, float]


class Marks:
    """Marks of a set of pairs; causes take out of them what they explain.

    Parameters
    ----------
    table : MeasureTable
        With ``group``; all rows decomposed.
    """

    def __init__(self, table):
        self.table = table
        self.bands = table.bands
        self.sigma = np.asarray(table["ctrl_sky_sigma"], dtype=np.float64)
        self.group = np.unique(table["group"], return_inverse=True)[1]
        self._count = np.bincount(self.group)
        order = np.argsort(self.group, kind="stable")
        first = np.cumsum(self._count) - self._count
        self._place = np.empty(len(order), dtype=np.intp)
        self._place[order] = np.arange(len(order)) - first[self.group[order]]
        self.values = {name: np.asarray(table[name], dtype=np.float64) for name in FLOORS if name != "noise_power"}
        for name in _PER_SIGMA:
            self.values[name] = self.values[name] / self.sigma
        self.values["noise_power"] = (np.asarray(table["residual_noise"], dtype=np.float64) / self.sigma) ** 2
        self.contrast = np.median(np.asarray(table["ctrl_std"], dtype=np.float64) / self.sigma, axis=0)
        self.psf_pix = np.median(np.asarray(table["psf_fwhm_arcsec"], dtype=np.float64), axis=0) / table.pixel_scale

    def population(self, values):
        """Median over hosts of the hosts' medians, and its standard error.

        Parameters
        ----------
        values : float array, (n, band)
            One number a pair and band.

        Returns
        -------
        value, error : float64 array, (band,)
            Error from the scatter between hosts (of a median: sqrt(pi / 2) times that of a mean).
        """
        hosts = self._host_medians(values)
        value = np.median(hosts, axis=0)
        scatter = 1.4826 * np.median(np.abs(hosts - value), axis=0)
        return value, np.sqrt(np.pi / 2) * scatter / np.sqrt(len(hosts))

    def _host_medians(self, values):
        """Median of each host's pairs, (host, band): all hosts at once, padded to the longest with infinity."""
        padded = np.full((len(self._count), self._count.max(), values.shape[1]), np.inf)
        padded[self.group, self._place] = values
        padded.sort(axis=1)
        host = np.arange(len(self._count))
        return 0.5 * (padded[host, (self._count - 1) // 2] + padded[host, self._count // 2])

    def mark(self, name):
        """Population value and error of a mark.

        Parameters
        ----------
        name : str
            Key of `FLOORS`.

        Returns
        -------
        value, error : float64 array, (band,)
            As `population`.
        """
        return self.population(self.values[name])

    def present(self, *names):
        """Whether one of the marks counts in some band.

        Parameters
        ----------
        *names : str
            Keys of `FLOORS`.

        Returns
        -------
        present : bool
            Beyond floor and errors.
        """
        return any(self._excess(name) > 0 for name in names)

    def _excess(self, name):
        value, error = self.mark(name)
        return float(np.max(np.abs(value) - np.maximum(FLOORS[name], SIGNIFICANCE * error)) / FLOORS[name])

    def excess(self):
        """How far the largest mark stands beyond what counts, in units of its floor.

        Returns
        -------
        excess : float
            0 or less where no mark is left.
        """
        return max(self._excess(name) for name in FLOORS)

    def take(self, name, amount):
        """Take an explained amount out of a mark.

        Parameters
        ----------
        name : str
            Key of `FLOORS`.
        amount : float or array
            Broadcasts to (n, band).
        """
        self.values[name] = self.values[name] - amount

    def clear(self, *names):
        """Take marks out whole.

        Parameters
        ----------
        *names : str
            Keys of `FLOORS`.
        """
        for name in names:
            self.values[name] = np.zeros_like(self.values[name])

    def fresh_power(self):
        """Power of noise that is not the ctrl's own, removed or kept.

        Taking away a share of the ctrl's noise leaves that share squared; what is above it was added.

        Returns
        -------
        power : float64 array, (n, band)
            In units of the sky's variance.
        """
        return np.maximum(self.values["noise_power"] - self.values["noise_gain"] ** 2, 0)

    def claim(self, value, error, unit, variance, *, size):
        """Make a claim.

        Parameters
        ----------
        value, error : float array, (band,)
            Magnitude in its unit.
        unit : str
            The unit.
        variance : float array, (band,)
            Mean squared artifact a pixel, in units of the sky's variance.
        size : float array, (n, band)
            The mark of each pair, for its scaling.

        Returns
        -------
        claim : Claim
            For the record.
        """
        magnitude = {
            band: {"value": float(value[at]), "error": float(error[at]), "unit": unit}
            for at, band in enumerate(self.bands)
        }
        return Claim(magnitude, float(np.mean(variance)), self._scaling(np.abs(size)))

    def _scaling(self, size):
        size = size.mean(axis=1)
        against = {
            "theta_e": self.table["theta_e_arcsec"],
            "arc_flux": np.mean(self.table["arc_flux"], axis=1),
            "host_flux": np.mean(self.table["ctrl_core_flux"], axis=1),
            "sky_level": np.mean(self.table["ctrl_sky_level"], axis=1),
        }
        return {name: _rank_correlation(size, values) for name, values in against.items()}


def _rank_correlation(a, b):
    """Spearman's rank correlation; None where either does not vary."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    use = np.isfinite(a) & np.isfinite(b)
    if use.sum() < 3:
        return None
    a, b = (rankdata(values[use]) for values in (a, b))
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
