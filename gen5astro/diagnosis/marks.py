"""The marks that causes read and claim: population values of what was fitted outside the arcs, by band.

A mark is the median over hosts of each host's median; its error comes from the scatter between hosts. A mark counts
when it stands several errors from zero *and* beyond a floor, below which arc wings and pixel noise are known to reach.
What differs from pair to pair about zero, such as a shift by rounded coordinates, has no median but an extent: the
root of the median square, less the square of the fit's own error.
"""

from dataclasses import dataclass

import numpy as np

from gen5astro.diagnosis.claim import Claim, rank_correlation
from gen5astro.population import Population

__all__ = ["FLOORS", "READS", "SIGNIFICANCE", "Extent", "Marks"]

SIGNIFICANCE = 4.0

#: Smallest mark that counts: sky sigmas for pedestal, gradient and noise; pixels for shifts and the arcs' mean place,
#: squared pixels for the blur, and fractions.
FLOORS = {
    "pedestal": 0.04,
    "gradient_x": 0.05,
    "gradient_y": 0.05,
    "gain": 0.004,
    "blur": 0.02,
    "shift_x": 0.02,
    "shift_y": 0.02,
    "noise_power": 0.01,
    "noise_gain": 0.02,
    "noise_gain_other": 0.02,
    "arc_offset": 0.25,
}

#: The marks that make up what has an extent.
EXTENTS = {
    "pedestal": ("pedestal",),
    "gain": ("gain",),
    "gradient": ("gradient_x", "gradient_y"),
    "shift": ("shift_x", "shift_y"),
}

_FITTED = ("pedestal", "gain", "blur", "shift_x", "shift_y", "gradient_x", "gradient_y")
_KEPT_BY_SMOOTHING = 0.25
_LEAST_STRUCTURE = 0.02**2
_PER_SIGMA = ("pedestal", "gradient_x", "gradient_y")

#: Columns of the measurement table that marks and causes read.
READS = (
    *(name for name in FLOORS if name not in ("noise_power", "arc_offset")),
    *(f"{name}_error" for name in _FITTED),
    "group",
    "residual_noise",
    "artifact_rms",
    "fit_misfit",
    "theta_e_arcsec",
    "arc_radius_arcsec",
    "arc_offset_x",
    "arc_offset_y",
    "arc_flux",
    "arc_snr_measured",
    "psf_fwhm_arcsec",
    "ctrl_sky_sigma",
    "ctrl_sky_level",
    "ctrl_corner_level",
    "ctrl_core_flux",
    "ctrl_core_peak",
    "ctrl_mean",
    "ctrl_std",
    "stamp_mean",
    "stamp_std",
    "physical_core_peak",
    "physical_mean",
    "physical_std",
    "physical_median",
    "physical_sky_level",
    "physical_corner_level",
    "stamp_distinct_fraction",
    "ctrl_distinct_fraction",
    "stamp_step",
)


@dataclass(frozen=True)
class Extent:
    """How large something is that may point either way.

    Parameters
    ----------
    value, error : float64 array, (band,)
        Length of the mean, or the rms where it differs from pair to pair about zero.
    pairs : float64 array, (n, band)
        The same for each pair: the length of the mean, or the pair's own.
    present : bool
        Whether it counts in some band.
    """

    value: np.ndarray
    error: np.ndarray
    pairs: np.ndarray
    present: bool


class Marks:
    """Marks of a set of pairs; causes take out of them what they explain.

    Parameters
    ----------
    table : MeasureTable
        With ``group``; all rows decomposed.

    Attributes
    ----------
    unit : str
        Unit of a pixel.
    population : Population
        ``population(values)`` is the median over hosts and its error.
    values, errors : dict of float64 array, (n, band)
        Of each pair, in the units of `FLOORS`; errors of what was fitted.
    floors : dict of float64 array, (band,)
        What each mark must exceed.
    touched : set of str
        Marks that a cause took something out of.
    structure : float
        Mean square of what the fitted terms cannot describe, in units of the sky's variance; 0 where that is nothing.
    power : float
        Mean square of all that is no arc, in the same units.
    """

    def __init__(self, table):
        self.table = table
        self.bands, self.unit = table.bands, table.origin.unit
        self.sigma = self.column("ctrl_sky_sigma")
        self.group = np.unique(table["group"], return_inverse=True)[1]
        self.population = Population(self.group)
        self.values = {name: self.column(name) for name in FLOORS if name not in ("noise_power", "arc_offset")}
        self.errors = {name: self.column(f"{name}_error") for name in _FITTED}
        for name in _PER_SIGMA:
            self.values[name], self.errors[name] = self.values[name] / self.sigma, self.errors[name] / self.sigma
        # It was measured less the fitted gain's share of the ctrl's noise; what the ctrl's own left counts whole.
        own, gain = self.values["noise_gain"], self.values["gain"]
        measured = (self.column("residual_noise") / self.sigma) ** 2
        self.values["noise_power"] = np.maximum(measured - (own - gain) ** 2, 0) + own**2
        self.contrast = np.median(np.hypot(self.column("ctrl_std"), self.column("ctrl_mean")) / self.sigma, axis=0)
        self.psf_pix = np.median(self.column("psf_fwhm_arcsec"), axis=0) / table.pixel_scale
        artifacts = self.population((self.column("artifact_rms") / self.sigma) ** 2)[0]
        self.touched = set()
        self.floors = {name: np.full(len(self.bands), floor) for name, floor in FLOORS.items()}
        self.structure = self._structure()
        self.power = float(np.mean(artifacts + self.population(self.values["noise_power"])[0])) + self.structure

    def _structure(self):
        """Mean square of what the terms cannot describe and noise does not explain, in units of the sky's variance.

        Smoothing leaves a twelfth of white noise's variance; correlated noise keeps up to three times as much.
        """
        left = (self.column("fit_misfit") / self.sigma) ** 2 - _KEPT_BY_SMOOTHING * self.values["noise_power"]
        value, error = self.population(left)
        return float(np.mean(np.where(value > np.maximum(_LEAST_STRUCTURE, SIGNIFICANCE * error), value, 0)))

    def column(self, name):
        """Return a column of the table in double precision.

        Parameters
        ----------
        name : str
            Key of `READS`.

        Returns
        -------
        values : float64 array, (n, band) or (n,)
            Its values.
        """
        return np.asarray(self.table[name], dtype=np.float64)

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

    def extent(self, kind):
        """Measure something that may point either way, or another way in each pair.

        Parameters
        ----------
        kind : str
            Key of `EXTENTS`.

        Returns
        -------
        extent : Extent
            By its mean where that is half of it at least, else by its rms.
        """
        names = EXTENTS[kind]
        floor = self.floors[names[0]]
        means, errors = np.stack([self.mark(name) for name in names], axis=1)
        mean, mean_error = np.sqrt((means**2).sum(axis=0)), np.sqrt((errors**2).sum(axis=0))
        noise = sum(self.errors[name] ** 2 for name in names)
        square, square_error = self.population(np.maximum(sum(self.values[name] ** 2 for name in names) - noise, -1e9))
        # The fit's own error may be off by a quarter of its square; what it could feign does not count.
        told = np.maximum(floor**2, 0.5 * np.median(noise, axis=0))
        varies = (square > 4 * mean**2) & (square > np.maximum(told, SIGNIFICANCE * square_error))
        rms = np.sqrt(np.maximum(square, told))
        value = np.where(varies, rms, mean)
        own = np.sqrt(sum(self.values[name] ** 2 for name in names))
        return Extent(
            value=value,
            error=np.where(varies, square_error / (2 * rms), mean_error),
            pairs=np.where(varies, own, mean),
            present=bool(np.any(varies | (mean > np.maximum(floor, SIGNIFICANCE * mean_error)))),
        )

    def excess(self):
        """How far the largest mark stands beyond what counts, in units of its floor.

        Returns
        -------
        excess : float
            0 or less where no mark is left.
        """
        largest = -np.inf
        for name, values in self.values.items():
            value, error = self.population(values)
            over = np.abs(value) - np.maximum(self.floors[name], SIGNIFICANCE * error)
            largest = max(largest, float(np.max(over / self.floors[name])))
        return largest

    def is_present(self, name):
        """Tell whether a mark counts in some band.

        Parameters
        ----------
        name : str
            Key of `FLOORS`.

        Returns
        -------
        is_present : bool
            Beyond its floor and its errors.
        """
        value, error = self.mark(name)
        return bool(np.any(np.abs(value) > np.maximum(self.floors[name], SIGNIFICANCE * error)))

    def raise_floor(self, name, amount):
        """Let a mark count only above what something that was found may have brought to it.

        Parameters
        ----------
        name : str
            Key of `FLOORS`.
        amount : float or array, (band,)
            Added to the floor.
        """
        self.floors[name] = self.floors[name] + amount

    def take(self, name, amount):
        """Take an explained amount out of a mark.

        Parameters
        ----------
        name : str
            Key of `FLOORS`.
        amount : float or array
            Broadcasts to (n, band).
        """
        self.touched.add(name)
        self.values[name] = self.values[name] - amount

    def take_noise(self, amount):
        """Take out of the marks what was done to the ctrl's own noise: its gain, and the power that this left.

        Parameters
        ----------
        amount : float or array
            Part of the mark ``noise_gain``; broadcasts to (n, band).
        """
        own = self.values["noise_gain"]
        left = own - amount
        self.take("noise_power", own**2 - left**2)
        self.take("noise_gain", amount)

    def take_up_to(self, name, low, high):
        """Take what lies between two bounds out of a mark, and leave what is beyond them.

        Parameters
        ----------
        name : str
            Key of `FLOORS`.
        low, high : float or array
            Broadcast to (n, band).
        """
        self.take(name, np.clip(self.mark(name)[0], low, high))

    def distrust(self, *names):
        """Let only the means of marks count, since from pair to pair they differ by more than their errors say.

        Parameters
        ----------
        *names : str
            Fitted terms.
        """
        for name in names:
            self.errors[name] = np.full_like(self.errors[name], np.inf)

    def clear(self, *names):
        """Take marks out whole.

        Parameters
        ----------
        *names : str
            Keys of `FLOORS`.
        """
        self.touched.update(names)
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

    def rest_of_power(self):
        """Mean squared artifact a pixel that is neither pedestal, gradient nor gain: that of shift and blur.

        Returns
        -------
        power : float64 array, (band,)
            In units of the sky's variance.
        """
        whole = (self.column("artifact_rms") / self.sigma) ** 2
        values = self.values
        others = values["pedestal"] ** 2 + (values["gradient_x"] ** 2 + values["gradient_y"] ** 2) / 3
        host = (self.column("ctrl_std") ** 2 + self.column("ctrl_mean") ** 2) / self.sigma**2
        return np.maximum(self.population(whole - others - values["gain"] ** 2 * host)[0], 0)

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
        size = np.abs(size)
        scaling = {name: rank_correlation(size.mean(axis=1), values) for name, values in self.against().items()}
        return Claim(magnitude, float(np.mean(variance)), scaling, size)

    def against(self):
        """Return what the size of a mark is held against.

        Returns
        -------
        quantities : dict of float64 array, (n,)
            ``theta_e`` [arcsec], ``arc_flux`` and ``host_flux`` [nanomaggy], ``sky_level`` [nanomaggy / pix].
        """
        return {
            "theta_e": self.column("theta_e_arcsec"),
            "arc_flux": self.column("arc_flux").mean(axis=1),
            "host_flux": self.column("ctrl_core_flux").mean(axis=1),
            "sky_level": self.column("ctrl_sky_level").mean(axis=1),
        }
