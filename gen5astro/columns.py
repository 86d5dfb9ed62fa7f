"""The columns of the measurement table: the one place that says what each number is and in which unit."""

from dataclasses import dataclass

from gen5astro.kernels.residual import TERM_PAIRS, TERMS

__all__ = ["COLUMNS", "IMAGES", "PROFILE_BINS", "Column"]

IMAGES = ("stamp", "ctrl", "physical")
PROFILE_BINS = 16


@dataclass(frozen=True)
class Column:
    """What a column of the measurement table is.

    Parameters
    ----------
    unit : str
        Unit of its values; empty for pure numbers.
    meaning : str
        What it says.
    per : {'pair', 'band'}
        One value a pair, or one a pair and band.
    """

    unit: str
    meaning: str
    per: str = "band"


_FLUX, _LEVEL = "nmgy", "nmgy / pix"

_PAIR = {
    "row": Column("", "row number in the input", "pair"),
    "pair_id": Column("", "the pair's name", "pair"),
    "host_id": Column("", "the host's name; empty where the input has none", "pair"),
    "ra": Column("deg", "right ascension, ICRS", "pair"),
    "dec": Column("deg", "declination, ICRS", "pair"),
    "region_split": Column("", "split that the input declares; empty where none", "pair"),
    "group": Column("", "label shared by objects on one host or closer than min_separation_arcsec", "pair"),
    "theta_e_arcsec": Column("arcsec", "declared Einstein radius", "pair"),
    "arc_snr": Column("", "declared signal-to-noise of the arc", "pair"),
    "stamp_digest": Column("", "XXH64 of the stamp's pixels", "pair"),
    "ctrl_digest": Column("", "XXH64 of the ctrl's pixels", "pair"),
    **{
        f"ctrl_fingerprint_{at}": Column("", f"bits {64 * at - 64} to {64 * at - 1} of the ctrl's fingerprint", "pair")
        for at in (1, 2, 3, 4)
    },
    "center_x": Column("pix", "host center, from the ctrl", "pair"),
    "center_y": Column("pix", "host center, from the ctrl", "pair"),
    "arc_radius_arcsec": Column(
        "arcsec", "theta_e_arcsec, or the radius of the residual's peak where undeclared", "pair"
    ),
    **{f"aperture_area_{at}": Column("pix^2", f"area of aperture {at}", "pair") for at in (1, 2, 3)},
    "psf_fwhm_arcsec": Column("arcsec", "psfsize of the band, or the configured default"),
}

_RESIDUAL = {
    "residual_noise": Column(_LEVEL, "robust scatter of the residual's noise, less the gain's share of the ctrl's"),
    "noise_gain": Column("", "regression of the residual's noise on the ctrl's: 0 where pixels were kept"),
    "noise_gain_other": Column("", "the same, of what is left, on the noise of the ctrl's other bands"),
    "fit_misfit": Column(_LEVEL, "rms of what the fit leaves of the smoothed residual outside the arc"),
    "artifact_rms": Column(_LEVEL, "rms over the image of what was fitted as artifacts"),
    "physical_median": Column(_LEVEL, "median of the stamp less artifacts"),
    "outer_correlation": Column("", "Pearson correlation of stamp and ctrl outside the arc"),
    "residual_flux": Column(_FLUX, "sum of the residual over the image"),
    "arc_flux": Column(_FLUX, "flux of the arc: residual less artifacts, within the arc's region"),
    "arc_snr_measured": Column("", "sqrt(sum (arc / sky sigma)^2) within the arc's region, less the noise's share"),
    "arc_offset_x": Column("pix", "flux-weighted mean place of the arc, from the host's center"),
    "arc_offset_y": Column("pix", "flux-weighted mean place of the arc, from the host's center"),
    "arc_radius_measured_arcsec": Column(
        "arcsec", "mean distance from the host of the arc's light above half of its peak", "pair"
    ),
    "arc_peak_snr": Column("", "brightest pixel of the arc over the ctrl's sky sigma"),
    "arc_share": Column("", "share of the residual's absolute flux within the arc's region"),
    "residual_peak_arcsec": Column("arcsec", "distance of the residual's brightest pixel from the host"),
    "core_excess": Column(_FLUX, "core flux of the stamp less that of the ctrl"),
    "core_excess_error": Column(_FLUX, "noise of core_excess, from residual_noise"),
    "core_budget_low": Column(_FLUX, "least that PSF and counter-image can bring into the core"),
    "core_budget_high": Column(_FLUX, "most that PSF and counter-image can bring into the core"),
    "residual_profile": Column("sky sigma / pix", f"mean residual in {PROFILE_BINS} equal rings out to the corner"),
}


def _of_images():
    columns = {}
    for image in ("stamp", "ctrl"):
        columns[f"{image}_finite_fraction"] = Column("", f"finite pixels of the {image}, as a fraction")
        columns[f"{image}_zero_fraction"] = Column("", f"pixels of the {image} that are exactly zero, as a fraction")
        columns[f"{image}_distinct_fraction"] = Column("", f"share of different values in the corners of the {image}")
        columns[f"{image}_step"] = Column(_LEVEL, f"least step between different values in the corners of the {image}")
    notes = {"physical": "ctrl + (residual - fitted artifacts), what a faultless injection of this arc gives"}
    for image in IMAGES:
        what = notes.get(image, f"the {image}")
        for at in (1, 2, 3):
            columns[f"{image}_flux_{at}"] = Column(_FLUX, f"flux in aperture {at} of {what}")
        columns[f"{image}_mean"] = Column(_LEVEL, f"mean of all pixels of {what}")
        columns[f"{image}_std"] = Column(_LEVEL, f"standard deviation of all pixels of {what}")
        columns[f"{image}_core_flux"] = Column(_FLUX, f"flux within core_radius_arcsec of {what}")
        columns[f"{image}_core_peak"] = Column(_LEVEL, f"brightest pixel of the core of {what}")
        columns[f"{image}_sky_level"] = Column(_LEVEL, f"median of the sky annulus of {what}")
        columns[f"{image}_sky_sigma"] = Column(_LEVEL, f"1.4826 MAD of the sky annulus of {what}")
        columns[f"{image}_corner_level"] = Column(_LEVEL, f"median of the corners of {what}")
        columns[f"{image}_corner_sigma"] = Column(_LEVEL, f"1.4826 MAD of the corners of {what}")
        columns[f"{image}_core_mean"] = Column(_LEVEL, f"mean of the core's pixels of {what}")
        columns[f"{image}_core_std"] = Column(_LEVEL, f"standard deviation of the core's pixels of {what}")
    quiet = "the ctrl with a smoothed arc, which adds no noise"
    columns["quiet_sky_sigma"] = Column(_LEVEL, f"1.4826 MAD of the sky annulus of {quiet}")
    for image in ("stamp", "ctrl", "quiet"):
        what = quiet if image == "quiet" else f"the {image}"
        columns[f"{image}_noise_hf"] = Column(_LEVEL, f"pixel-to-pixel noise of annulus and corners of {what}")
        for axis in "xy":
            columns[f"{image}_noise_autocorrelation_{axis}"] = Column(
                "", f"correlation of pixels one apart along {axis} in annulus and corners of {what}"
            )
    return columns


def _of_terms():
    units = dict(zip(TERMS, (_LEVEL, "", "pix^2", "pix", "pix", _LEVEL, _LEVEL), strict=True))
    columns = {}
    for term in TERMS:
        columns[term] = Column(units[term], f"{term} of the residual, fitted outside the arc")
        columns[f"{term}_error"] = Column(units[term], f"standard error of {term}")
    pairs = ", ".join(f"{a} and {b}" for a, b in TERM_PAIRS)
    columns["term_correlations"] = Column("", f"correlation of the errors of two terms each: {pairs}")
    return columns


COLUMNS = _PAIR | _of_images() | _of_terms() | _RESIDUAL
