"""One streaming pass over the pixels: every number that a gate or a diagnosis may ask for.

`gen5astro.columns` names each number, its unit and its meaning. Gates read columns only, so a new limit costs nothing
and no argument about a threshold touches a pixel again.
"""

from dataclasses import replace

import numpy as np

from gen5astro.budget import core_budget, rows_by_psf, source_offset
from gen5astro.columns import PROFILE_BINS
from gen5astro.config import NormalizerSpec, as_dict
from gen5astro.engine import map_blocks
from gen5astro.kernels.aperture import aperture_flux, centroid, disc_peak, geometric_center
from gen5astro.kernels.arc import measure_arc, measure_light
from gen5astro.kernels.fingerprint import fingerprint
from gen5astro.kernels.median import image_medians
from gen5astro.kernels.noise import NOISE_COLUMNS, noise_texture
from gen5astro.kernels.normalize import annulus_pixels, normalize, normalizer_statistics, region_statistics
from gen5astro.kernels.psf import psf_fwhm
from gen5astro.kernels.quiet import add_smoothed
from gen5astro.kernels.residual import TERMS, decompose_residual
from gen5astro.neighbors import mask_neighbors
from gen5astro.table import MeasureTable, Origin, Spool

__all__ = ["measure_block", "measure_pairs", "with_psf_sizes"]

_DISTINCT_OF = 128
_NO_NOISE_SKY_SIGMA = 0.01


def _corner_pixels(shape):
    """Mask of the pixels beyond the circle that the image's shorter side holds."""
    x, y = geometric_center(shape)
    radius = np.hypot(np.arange(shape[1]) - x, (np.arange(shape[0]) - y)[:, None])
    return radius >= 1.05 * min(shape) / 2


def measure_block(block, config, *, psf=None):
    """Measure one block of pairs.

    Parameters
    ----------
    block : PairBlock
        Pixels and catalog.
    config : MeasureConfig
        Radii and regions.
    psf : float64 array, (band, k, k), optional
        PSF of each band, of unit sum, for all pairs; without it each pair's own, where the block has them, else the
        core budget is bracketed from the FWHM.

    Returns
    -------
    columns : dict of array
        Every column of `COLUMNS` but ``group``, which needs all pairs.
    """
    block = with_psf_sizes(block)
    psf = block.psf if psf is None else psf
    scale, shape = block.pixel_scale, block.stamp.shape[2:]
    annulus, corners = annulus_pixels(shape, config.annulus_fraction), _corner_pixels(shape)
    center = centroid(block.ctrl.sum(axis=1))
    residual = block.stamp - block.ctrl
    radius = _arc_radius(block.catalog["theta_e_arcsec"], residual, center, scale)
    columns = _catalog_columns(block, center, radius, config)
    regions = {"sky": annulus, "corner": corners}
    for image, values in (("stamp", block.stamp), ("ctrl", block.ctrl)):
        columns |= _image_columns(image, values, center, scale, regions, config)
        sky = np.stack([columns[f"{image}_sky_level"], columns[f"{image}_sky_sigma"]], axis=-1)
        columns |= _noise_columns(image, values, annulus | corners, sky)
        columns |= _lattice_columns(image, values, corners)
    sky_sigma = columns["ctrl_sky_sigma"]
    found = decompose_residual(
        block.stamp,
        block.ctrl,
        center=center,
        arc_outer_radius=(radius + config.arc_half_width_arcsec) / scale,
        sky_sigma=sky_sigma,
        masked=mask_neighbors(block.ctrl, center, sky_sigma),
    )
    columns |= {
        "residual_noise": found.noise,
        "noise_gain": found.noise_gain,
        "noise_gain_other": found.noise_gain_other,
        "outer_correlation": found.likeness,
        "term_correlations": found.correlations,
        "fit_misfit": found.misfit,
        "artifact_rms": found.artifact_rms,
        "physical_median": image_medians(found.physical),
    }
    for at, term in enumerate(TERMS):
        columns[term], columns[f"{term}_error"] = found.terms[..., at], found.errors[..., at]
    columns |= _image_columns("physical", found.physical, center, scale, regions, config)
    arc = np.subtract(found.physical, block.ctrl, out=found.physical)
    columns |= _arc_columns(residual, arc, columns, scale, config, psf)
    # Of a clean residual the arc itself is what varies from pixel to pixel, by far less than this.
    noise = np.where(found.noise < _NO_NOISE_SKY_SIGMA * sky_sigma, 0, found.noise)
    quiet = add_smoothed(block.ctrl, arc, noise, out=arc)
    sky = region_statistics(quiet, annulus)
    columns |= {"quiet_sky_sigma": sky[..., 1]} | _noise_columns("quiet", quiet, annulus | corners, sky)
    return {name: _compact(values) for name, values in columns.items()}


def with_psf_sizes(block):
    """Let the catalog state the FWHM of each pair's own PSF, where it states none.

    Parameters
    ----------
    block : PairBlock
        With or without PSF images.

    Returns
    -------
    block : PairBlock
        With columns ``psfsize_<band>`` [arcsec] if it has PSF images; else the same.
    """
    if block.psf is None:
        return block
    measured = np.full((len(block), len(block.bands)), np.nan)
    for rows in rows_by_psf(block.psf):
        images = block.psf[rows[0]]
        if np.isfinite(images).all():
            measured[rows] = [psf_fwhm(image) * block.pixel_scale for image in images]
    catalog = dict(block.catalog)
    for at, band in enumerate(block.bands):
        declared = catalog.get(f"psfsize_{band}", np.full(len(block), np.nan))
        catalog[f"psfsize_{band}"] = np.where(np.isfinite(declared), declared, measured[:, at])
    return replace(block, catalog=catalog)


def _catalog_columns(block, center, radius, config):
    """What the catalog says of the pairs, where they are, and what the ingest counted."""
    catalog, pixels = block.catalog, block.stamp.shape[2] * block.stamp.shape[3]
    columns = {
        "row": block.row,
        "pair_id": catalog["pair_id"],
        "host_id": catalog["host_id"],
        "ra": catalog["ra"],
        "dec": catalog["dec"],
        "region_split": catalog.get("region_split", np.full(len(block), "")),
        "theta_e_arcsec": catalog["theta_e_arcsec"],
        "arc_snr": catalog["arc_snr"],
        "stamp_digest": block.digest[:, 0],
        "ctrl_digest": block.digest[:, 1],
        "center_x": center[:, 0],
        "center_y": center[:, 1],
        "arc_radius_arcsec": radius,
        "psf_fwhm_arcsec": np.stack([_psf_fwhm(catalog, band, len(block), config) for band in block.bands], axis=1),
    }
    for at, words in enumerate(fingerprint(block.ctrl).T, start=1):
        columns[f"ctrl_fingerprint_{at}"] = words
    for at, aperture in enumerate(config.apertures_arcsec, start=1):
        columns[f"aperture_area_{at}"] = np.full(len(block), np.pi * (aperture / block.pixel_scale) ** 2)
    for at, image in enumerate(("stamp", "ctrl")):
        columns[f"{image}_finite_fraction"] = block.census[:, at, :, 0] / pixels
        columns[f"{image}_zero_fraction"] = block.census[:, at, :, 1] / pixels
    return columns


def _noise_columns(image, values, inside, sky):
    """Texture of the noise of one image of each pair."""
    texture = noise_texture(values, inside, sky)
    return {f"{image}_{name}": texture[..., at] for at, name in enumerate(NOISE_COLUMNS)}


def _lattice_columns(image, values, corners):
    """How many values of some pixels of the corners differ from every smaller one, and the least step between two."""
    y, x = np.nonzero(corners)
    chosen = np.linspace(0, len(y) - 1, min(len(y), _DISTINCT_OF)).astype(np.intp)
    ordered = np.sort(values[:, :, y[chosen], x[chosen]], axis=-1)
    steps = np.diff(ordered, axis=-1)
    least = np.where(steps > 0, steps, np.inf).min(axis=-1)
    return {
        f"{image}_distinct_fraction": (steps != 0).mean(axis=-1),
        f"{image}_step": np.where(np.isfinite(least), least, 0.0),
    }


def _compact(values):
    """Numbers of each band in single precision: seven digits are beyond any noise, and the table is half the size."""
    return values.astype(np.float32) if values.ndim > 1 else values


def _psf_fwhm(catalog, band, n, config):
    """FWHM [arcsec] of one band; the configured value where the catalog has none."""
    declared = catalog.get(f"psfsize_{band}", np.full(n, np.nan))
    return np.where(np.isfinite(declared) & (declared > 0), declared, config.psf_fwhm_arcsec)


def _arc_radius(theta_e_arcsec, residual, center, scale):
    """Declared Einstein radius, or the radius of the brightest pixel of the band-summed residual [arcsec]."""
    theta_e = np.asarray(theta_e_arcsec, dtype=np.float64)
    declared = np.isfinite(theta_e) & (theta_e > 0)
    if declared.all():
        return theta_e
    total = np.nansum(residual, axis=1).reshape(len(residual), -1)
    y, x = np.unravel_index(total.argmax(axis=1), residual.shape[2:])
    return np.where(declared, theta_e, np.hypot(x - center[:, 0], y - center[:, 1]) * scale)


def _image_columns(image, values, center, scale, regions, config):
    """Core and sky of one image of each pair, and what normalizers that read more than the sky take from it."""
    radii = np.array([*config.apertures_arcsec, config.core_radius_arcsec]) / scale
    flux = aperture_flux(values, center, radii)
    columns = {f"{image}_flux_{at + 1}": flux[..., at] for at in range(len(config.apertures_arcsec))}
    columns |= {f"{image}_core_flux": flux[..., -1], f"{image}_core_peak": disc_peak(values, center, radii[-1])}
    for region, inside in regions.items():
        statistics = region_statistics(values, inside)
        columns |= {f"{image}_{region}_level": statistics[..., 0], f"{image}_{region}_sigma": statistics[..., 1]}
    for kind, prefix in (("standard", ""), ("core", "core_")):
        spec = NormalizerSpec(kind=kind, core_radius_arcsec=config.core_radius_arcsec)
        statistics = normalizer_statistics(values, spec, scale)
        columns |= {f"{image}_{prefix}mean": statistics[..., 0], f"{image}_{prefix}std": statistics[..., 1]}
    return columns


def _arc_columns(residual, arc, columns, scale, config, psf):
    """Flux, signal-to-noise and place of the arc, and what it can bring into the core.

    A multiply imaged source has its images within twice the Einstein radius (singular isothermal lens; Schneider,
    Ehlers & Falco 1992, section 8.1), so that disc, widened by the arc's half width, is the arc's region.
    """
    height, width = residual.shape[2:]
    center = np.stack([columns["center_x"], columns["center_y"]], axis=-1)
    radius, sky_sigma, noise = columns["arc_radius_arcsec"], columns["ctrl_sky_sigma"], columns["residual_noise"]
    core = config.core_radius_arcsec / scale
    reach = {"center": center, "core_radius": core, "outer_radius": (2 * radius + config.arc_half_width_arcsec) / scale}
    step = np.hypot(height, width) / 2 / PROFILE_BINS
    total, absolute, peak_radius, profile, light_radius = measure_light(
        residual, arc, center=center, sky_sigma=sky_sigma, profile_step=step, profile_bins=PROFILE_BINS
    )
    sums = measure_arc(arc, **reach)
    expected = np.sqrt(2 / np.pi) * noise
    inside = np.maximum(measure_arc(residual, **reach)["absolute"] - expected * sums["pixels"], 0)
    everything = np.maximum(absolute - expected * height * width, inside)
    power = np.maximum(sums["power"] - noise**2 * sums["pixels"], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset_x, offset_y = sums["moment_x"] / sums["flux"], sums["moment_y"] / sums["flux"]
        offset = source_offset(np.hypot(offset_x, offset_y) * scale, radius[:, None])
        share = np.where(everything > 0, inside / everything, np.where(everything == 0, 1.0, np.nan))
    low, high = core_budget(
        sums["outer_flux"],
        offset,
        radius,
        columns["psf_fwhm_arcsec"],
        config=config,
        psf=psf,
        pixel_scale=scale,
    )
    return {
        "residual_flux": total,
        "arc_flux": sums["flux"],
        "arc_snr_measured": np.sqrt(power) / sky_sigma,
        "arc_offset_x": offset_x,
        "arc_offset_y": offset_y,
        "arc_radius_measured_arcsec": scale * light_radius,
        "arc_peak_snr": sums["peak"] / sky_sigma,
        "arc_share": share,
        "residual_peak_arcsec": peak_radius * scale,
        "residual_profile": profile / sky_sigma[..., None],
        "core_excess": columns["stamp_core_flux"] - columns["ctrl_core_flux"],
        "core_excess_error": noise * np.sqrt(np.pi) * core,
        "core_budget_low": low,
        "core_budget_high": high,
    }


def measure_pairs(source, config, *, psf=None, normalizer=None, threads=None, block=128, advance=None):
    """Measure every pair of a source in one streaming pass.

    Parameters
    ----------
    source : PairSource
        Where the pairs come from.
    config : MeasureConfig
        Radii and regions.
    psf : float64 array, (band, k, k), optional
        PSF of each band, of unit sum.
    normalizer : NormalizerSpec, optional
        Measure the pixels as this leaves them, as a network sees them: less the location, over the scale. Stretch and
        clip are the same function for every image and bring no label in; they are left out, so that light stays light.
    threads : int, optional
        Blocks measured at once; does not change the result.
    block : int
        Pairs read at a time.
    advance : callable, optional
        Called with the number of rows done.

    Returns
    -------
    table : MeasureTable
        All rows that could be read, in input order, without ``group``.
    rejects : list of Reject
        The others.
    """

    def work(ref):
        pairs, rejected = source.read(ref)
        if normalizer is not None and len(pairs):
            pairs = _normalized(pairs, normalizer)
        columns = measure_block(pairs, config, psf=psf) if len(pairs) else None
        return columns, rejected, ref.stop - ref.start, pairs.psf is not None

    rejects, own_psf = [], False
    with Spool(source.n_rows) as spool:
        for columns, rejected, n_rows, has_psf in map_blocks(work, source.blocks(block), threads=threads, spread=True):
            own_psf |= has_psf
            if columns is not None:
                spool.add(columns)
            rejects.extend(rejected)
            if advance is not None:
                advance(n_rows)
        columns = spool.finish() or {"row": np.empty(0, dtype=np.int64)}
    kind = None if normalizer is None else normalizer.kind
    budget = "image" if own_psf or psf is not None else "fwhm"
    origin = Origin(source.label, len(rejects), kind, budget, as_dict(config))
    return MeasureTable(columns, tuple(source.bands), tuple(source.shape), source.pixel_scale, origin), rejects


def _normalized(block, spec):
    """The block with both images of each pair less their location, over their scale."""
    plain = replace(spec, stretch="none", clip=None)
    images = {}
    for name in ("stamp", "ctrl"):
        owner = block.ctrl if spec.kind == "pair" else getattr(block, name)
        images[name] = normalize(getattr(block, name), normalizer_statistics(owner, plain, block.pixel_scale), plain)
    return replace(block, **images)
