"""One streaming pass over the pixels: every number that a gate or a diagnosis may ask for.

`gen5astro.columns` names each number, its unit and its meaning. Gates read columns only, so a new limit costs nothing
and no argument about a threshold touches a pixel again.
"""

from dataclasses import dataclass

import numpy as np

from gen5astro.columns import IMAGES, PROFILE_BINS
from gen5astro.config import NormalizerSpec
from gen5astro.engine import map_blocks
from gen5astro.errors import ColumnError, closest
from gen5astro.kernels.aperture import aperture_flux, centroid, geometric_center
from gen5astro.kernels.arc import measure_arc
from gen5astro.kernels.noise import NOISE_COLUMNS, noise_texture
from gen5astro.kernels.normalize import annulus_pixels, normalizer_statistics, region_statistics
from gen5astro.kernels.psf import ring_core_fraction
from gen5astro.kernels.residual import TERMS, decompose_residual

__all__ = ["MeasureTable", "measure_block", "measure_pairs"]


@dataclass(frozen=True)
class MeasureTable:
    """The measurement table in memory.

    Parameters
    ----------
    columns : dict of array
        (n,) for a column per pair, (n, band) per band; ``residual_profile`` is (n, band, ring).
    bands : tuple of str
        Band names.
    shape : tuple of int
        ``(y, x)`` of the images.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    """

    columns: dict[str, np.ndarray]
    bands: tuple[str, ...]
    shape: tuple[int, int]
    pixel_scale: float

    def __len__(self):
        return len(self.columns["row"])

    def __getitem__(self, name):
        if name not in self.columns:
            raise ColumnError(
                f"column {name!r} of the measurement table", got="none", remedy=closest(name, self.columns)
            )
        return self.columns[name]

    def select(self, rows):
        """Return the table of some rows.

        Parameters
        ----------
        rows : array
            Mask or indices.

        Returns
        -------
        table : MeasureTable
            With those rows only.
        """
        return MeasureTable(
            {name: values[rows] for name, values in self.columns.items()}, self.bands, self.shape, self.pixel_scale
        )


def _corner_pixels(shape):
    """Mask of the pixels beyond the circle that the image's shorter side holds."""
    x, y = geometric_center(shape)
    radius = np.hypot(np.arange(shape[1]) - x, (np.arange(shape[0]) - y)[:, None])
    return radius >= 1.05 * min(shape) / 2


def measure_block(block, config):
    """Measure one block of pairs.

    Parameters
    ----------
    block : PairBlock
        Pixels and catalog.
    config : MeasureConfig
        Radii and regions.

    Returns
    -------
    columns : dict of array
        Every column of `COLUMNS` but ``group``, which needs all pairs.
    """
    scale, bands, shape = block.pixel_scale, block.bands, block.stamp.shape[2:]
    pixels = shape[0] * shape[1]
    catalog = block.catalog
    annulus, corners = annulus_pixels(shape, config.annulus_fraction), _corner_pixels(shape)
    center = centroid(np.nansum(block.ctrl, axis=1))
    residual = block.stamp - block.ctrl
    radius = _arc_radius(catalog["theta_e_arcsec"], residual, center, scale)
    fwhm = np.stack([_psf_fwhm(catalog, band, len(block), config) for band in bands], axis=1)
    ctrl_sky = region_statistics(block.ctrl, annulus)

    found = decompose_residual(
        block.stamp,
        block.ctrl,
        center=center,
        arc_outer_radius=(radius + config.arc_half_width_arcsec) / scale,
        sky_sigma=ctrl_sky[..., 1],
    )
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
        "psf_fwhm_arcsec": fwhm,
        "residual_noise": found.noise,
        "noise_gain": found.noise_gain,
        "noise_gain_other": found.noise_gain_other,
        "outer_correlation": found.correlation,
        "stamp_distinct_fraction": _distinct_fraction(block.stamp[:, :, corners]),
        "ctrl_distinct_fraction": _distinct_fraction(block.ctrl[:, :, corners]),
        "ctrl_median": np.median(block.ctrl, axis=(2, 3)),
    }
    for at, aperture in enumerate(config.apertures_arcsec, start=1):
        columns[f"aperture_area_{at}"] = np.full(len(block), np.pi * (aperture / scale) ** 2)
    for at, image in enumerate(("stamp", "ctrl")):
        columns[f"{image}_finite_fraction"] = block.census[:, at, :, 0] / pixels
        columns[f"{image}_zero_fraction"] = block.census[:, at, :, 1] / pixels
    for at, term in enumerate(TERMS):
        columns[term], columns[f"{term}_error"] = found.terms[..., at], found.errors[..., at]
    for image, values in zip(IMAGES, (block.stamp, block.ctrl, found.physical), strict=True):
        columns |= _image_columns(image, values, center, scale, annulus, corners, config)
        columns |= _normalizer_columns(image, values, scale, config)
    for image, values in (("stamp", block.stamp), ("ctrl", block.ctrl)):
        sky = np.stack([columns[f"{image}_sky_level"], columns[f"{image}_sky_sigma"]], axis=-1)
        texture = noise_texture(values, annulus | corners, sky)
        columns |= {f"{image}_{name}": texture[..., at] for at, name in enumerate(NOISE_COLUMNS)}
    arc = found.physical - block.ctrl
    columns |= _arc_columns(residual, arc, center, radius, ctrl_sky[..., 1], found.noise, scale, config)
    columns |= _budget_columns(columns, radius, scale, config)
    return {name: _compact(values) for name, values in columns.items()}


def _distinct_fraction(values):
    """Share of the values of each image and band that differ from every smaller one."""
    ordered = np.sort(values, axis=-1)
    return (np.diff(ordered, axis=-1) != 0).mean(axis=-1)


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


def _image_columns(image, values, center, scale, annulus, corners, config):
    """Core and sky of one image of each pair."""
    radii = np.array([*config.apertures_arcsec, config.core_radius_arcsec]) / scale
    flux = aperture_flux(values, center, radii)
    sky = region_statistics(values, annulus)
    corner = region_statistics(values, corners)
    return {f"{image}_flux_{at + 1}": flux[..., at] for at in range(len(config.apertures_arcsec))} | {
        f"{image}_core_flux": flux[..., -1],
        f"{image}_core_peak": _core_peak(values, center, radii[-1]),
        f"{image}_sky_level": sky[..., 0],
        f"{image}_sky_sigma": sky[..., 1],
        f"{image}_corner_level": corner[..., 0],
        f"{image}_corner_sigma": corner[..., 1],
    }


def _normalizer_columns(image, values, scale, config):
    """Statistics of the normalizers that read more than the sky, whose own are the sky's level and sigma."""
    columns = {}
    for kind, prefix in (("standard", ""), ("core", "core_")):
        spec = NormalizerSpec(kind=kind, core_radius_arcsec=config.core_radius_arcsec)
        statistics = normalizer_statistics(values, spec, scale)
        columns |= {f"{image}_{prefix}mean": statistics[..., 0], f"{image}_{prefix}std": statistics[..., 1]}
    return columns


def _core_peak(values, center, radius):
    """Brightest pixel within `radius` [pix] of each image's center."""
    height, width = values.shape[2:]
    reach = int(np.ceil(radius)) + 1
    offset = np.arange(-reach, reach + 1)
    column = np.rint(center[:, 0]).astype(np.intp)[:, None] + offset
    row = np.rint(center[:, 1]).astype(np.intp)[:, None] + offset
    inside_image = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None, :]
    distance = np.hypot(row[:, :, None] - center[:, 1, None, None], column[:, None, :] - center[:, 0, None, None])
    index = np.arange(len(values))[:, None, None]
    window = values[index, :, np.clip(row, 0, height - 1)[:, :, None], np.clip(column, 0, width - 1)[:, None, :]]
    keep = inside_image & (distance <= radius)
    return np.where(keep[..., None], window, -np.inf).max(axis=(1, 2)).astype(np.float64)


def _arc_columns(residual, arc, center, radius, sky_sigma, noise, scale, config):
    """Flux, signal-to-noise and place of the arc.

    A multiply imaged source has its images within twice the Einstein radius (singular isothermal lens; Schneider,
    Ehlers & Falco 1992, section 8.1), so that disc, widened by the arc's half width, is the arc's region.
    """
    height, width = residual.shape[2:]
    outer = (2 * radius + config.arc_half_width_arcsec) / scale
    step = np.hypot(height, width) / 2 / PROFILE_BINS
    raw, profile = measure_arc(
        residual, center=center, outer_radius=outer, profile_step=step, profile_bins=PROFILE_BINS
    )
    clean, _ = measure_arc(arc, center=center, outer_radius=outer, profile_step=step, profile_bins=PROFILE_BINS)
    expected = np.sqrt(2 / np.pi) * noise
    inside = np.maximum(raw["absolute_inside"] - expected * raw["pixels_inside"], 0)
    total = np.maximum(raw["absolute_total"] - expected * height * width, inside)
    power = np.maximum(clean["power_inside"] - noise**2 * clean["pixels_inside"], 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "residual_flux": raw["flux_total"],
            "arc_flux": clean["flux_inside"],
            "arc_snr_measured": np.sqrt(power) / sky_sigma,
            "arc_offset_x": clean["moment_x"] / clean["flux_inside"],
            "arc_offset_y": clean["moment_y"] / clean["flux_inside"],
            "arc_radius_measured_arcsec": scale * _light_radius(arc, residual, center, sky_sigma),
            "arc_peak_snr": clean["peak"] / sky_sigma,
            "arc_share": np.where(total > 0, inside / total, np.where(total == 0, 1.0, np.nan)),
            "residual_peak_arcsec": raw["peak_radius"] * scale,
            "residual_profile": (profile / sky_sigma[..., None]).astype(np.float32),
        }


def _light_radius(arc, residual, center, sky_sigma):
    """Mean radius [pix] of the arc above half of its peak, the bands summed in units of their noise.

    Where too little lies outside the declared arc to fit artifacts, the residual itself is taken. NaN without light.
    """
    light = np.where(np.isfinite(arc).all(axis=(2, 3), keepdims=True), arc, residual)
    light = np.einsum("nbyx,nb->nyx", light, 1 / sky_sigma)
    light[light < 0.5 * light.max(axis=(1, 2), keepdims=True)] = 0
    y, x = np.arange(light.shape[1])[:, None], np.arange(light.shape[2])
    distance = np.hypot(x - center[:, 0, None, None], y - center[:, 1, None, None])
    return (light * distance).sum(axis=(1, 2)) / light.sum(axis=(1, 2))


def _budget_columns(columns, radius, scale, config):
    """Core excess, and the bracket of what physics can bring there.

    A compact source at offset y (in units of theta_E) behind a singular isothermal lens has images at theta_E (1 + y)
    and theta_E (1 - y) with flux ratio (1 - y) / (1 + y). The PSF carries a fraction of each into the core. The bracket
    spans y from 0 to 0.9 and the PSF from Gaussian to Moffat; it scales with the arc's flux outside the core.
    """
    core = config.core_radius_arcsec
    excess = columns["stamp_core_flux"] - columns["ctrl_core_flux"]
    physical_core = columns["physical_core_flux"] - columns["ctrl_core_flux"]
    outside = np.maximum(columns["arc_flux"] - physical_core, 0)
    ratios = []
    for profile in ("gaussian", "moffat"):
        for y in (0.0, 0.3, 0.6, 0.9):
            fwhm = columns["psf_fwhm_arcsec"]
            outer, inner = (
                ring_core_fraction(radius[:, None] * side, core, fwhm=fwhm, profile=profile, beta=config.moffat_beta)
                for side in (1 + y, 1 - y)
            )
            within = (1 + y) * outer + (1 - y) * inner
            ratios.append(within / np.maximum(2 - within, 1e-6))
    ratios = np.stack(ratios)
    area = np.pi * (core / scale) ** 2
    return {
        "core_excess": excess,
        "core_excess_error": columns["residual_noise"] * np.sqrt(area),
        "core_budget_low": outside * ratios.min(axis=0),
        "core_budget_high": outside * ratios.max(axis=0),
    }


def measure_pairs(source, config, *, threads=None, block=256, advance=None):
    """Measure every pair of a source in one streaming pass.

    Parameters
    ----------
    source : PairSource
        Where the pairs come from.
    config : MeasureConfig
        Radii and regions.
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
        return (measure_block(pairs, config) if len(pairs) else None), rejected, ref.stop - ref.start

    parts, rejects = [], []
    for columns, rejected, n_rows in map_blocks(work, source.blocks(block), threads=threads):
        if columns is not None:
            parts.append(columns)
        rejects.extend(rejected)
        if advance is not None:
            advance(n_rows)
    names = parts[0] if parts else {}
    joined = {}
    for name in list(names):
        joined[name] = np.concatenate([part.pop(name) for part in parts])
    if not joined:
        joined = {"row": np.empty(0, dtype=np.int64)}
    return MeasureTable(joined, tuple(source.bands), tuple(source.shape), source.pixel_scale), rejects
