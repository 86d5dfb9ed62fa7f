"""Hosts made of cutouts: images of single galaxies in Parquet, in files that a table names, or in HDF5."""

import numpy as np

from gen5astro.errors import ColumnError
from gen5astro.io import open_cutouts
from gen5astro.io.beside import fit_psf
from gen5astro.io.pairs import Reject
from gen5astro.io.rejects import check_rejects
from gen5astro.kernels.psf import profile_psf, psf_fwhm
from gen5astro.sample.hosts import Hosts, measure_moments, measure_sky_sigma

__all__ = ["hosts_of_cutouts"]

_BLOCK = 64
_MEASURED = ("image", "sky_sigma", "center", "ellipticity")
_PROFILE_HALF_PX = 31


def hosts_of_cutouts(path, *, moffat_beta, max_reject_fraction, reading, on_rejects=None, advance=None):
    """Read cutouts and measure the galaxies in them.

    Parameters
    ----------
    path : path-like
        What `gen5astro.io.open_cutouts` opens.
    moffat_beta : float
        Beta of the PSF that is made of ``psfsize_<band>`` where a cutout comes without one.
    max_reject_fraction : float
        Largest share of cutouts that cannot be hosts.
    reading : dict
        Options of `gen5astro.io.open_cutouts`.
    on_rejects : callable, optional
        Called with the list of those that cannot and the source, before they may be found too many.
    advance : callable, optional
        Called with the number of cutouts measured since the last call.

    Returns
    -------
    hosts : Hosts
        Those that can be hosts; ``rejects`` says why the others cannot.

    Raises
    ------
    ColumnError
        If there is neither a PSF nor its width.
    RejectedError
        If too many cutouts, or all, cannot be hosts.
    """
    source = open_cutouts(path, **reading)
    parts, psfs, rejects = [], [], []
    for ref in source.blocks(_BLOCK):
        block, bad = source.read(ref)
        _check_psf(block, source.label)
        part, own, unfit = _measure(block, moffat_beta)
        parts.append(part)
        psfs += own
        rejects += sorted([*bad, *unfit], key=lambda reject: reject.row)
        if advance is not None:
            advance(ref.stop - ref.start)
    if on_rejects is not None:
        on_rejects(rejects, source)
    counts = {"n_in": source.n_rows, "n_ok": len(psfs)}
    check_rejects(f"hosts {source.label}", rejects, **counts, allowed=max_reject_fraction)
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    measured = {name: columns.pop(name) for name in _MEASURED}
    different, index = _shared(psfs)
    widths = np.array([[psf_fwhm(plane) for plane in psf] for psf in different]) * source.pixel_scale
    return Hosts(
        **measured,
        catalog=_named(columns),
        psf=different[0],
        psf_fwhm_arcsec=widths[0],
        bands=source.bands,
        pixel_scale=source.pixel_scale,
        label=source.label,
        psfs=different,
        psfs_fwhm_arcsec=widths,
        psf_index=index,
        rejects=tuple(rejects),
        notes=source.notes + _notes(columns),
    )


def _check_psf(block, label):
    """Refuse cutouts of which none can have a PSF."""
    missing = [band for band in block.bands if f"psfsize_{band}" not in block.catalog]
    if block.psf is None and missing:
        raise ColumnError(
            f"hosts {label}",
            got=f"no PSF, and no column psfsize_{missing[0]}",
            expected="a PSF for each galaxy, or its FWHM in each band [arcsec]",
            remedy=f"name yours with --column psfsize_{missing[0]}=NAME, or cut with gen5astro cutout --psf FILE",
        )


def _measure(block, moffat_beta):
    """Columns and PSFs of the cutouts that can be hosts, and rejects for the others."""
    finite = np.isfinite(block.image).all((1, 2, 3))
    seen = block.bands.index("r") if "r" in block.bands else 0
    sigma = np.full((len(block), len(block.bands)), np.nan)
    center, ellipticity = np.full((2, len(block), 2), np.nan)
    sigma[finite] = measure_sky_sigma(block.image[finite])
    center[finite], ellipticity[finite] = measure_moments(block.image[finite, seen], sigma[finite, seen])
    kept, psfs, rejects = [], [], []
    for at, row in enumerate(block.row):
        psf = _psf_of(block, at, moffat_beta)
        if not finite[at]:
            lost = np.count_nonzero(~np.isfinite(block.image[at]).all(axis=0))
            rejects.append(Reject(int(row), f"image: got {lost} pixels without a value; expected a whole galaxy"))
        elif not np.isfinite(center[at]).all():
            rejects.append(Reject(int(row), "image: got no galaxy in the middle; expected one within 5 pixels"))
        elif psf is None:
            rejects.append(Reject(int(row), "image: got no PSF and no psfsize; expected one of them"))
        else:
            kept.append(at)
            psfs.append(psf)
    measured = dict(zip(_MEASURED, (block.image, sigma, center, ellipticity), strict=True))
    return {name: values[kept] for name, values in (block.catalog | measured).items()}, psfs, rejects


def _psf_of(block, at, moffat_beta):
    """PSF of a row, float32 (band, k, k): its own, else a Moffat profile of the width that the catalog states."""
    if block.psf is not None and np.isfinite(block.psf[at]).all():
        return block.psf[at]
    widths = [block.catalog.get(f"psfsize_{band}", np.full(len(block), np.nan))[at] for band in block.bands]
    if not all(width > 0 for width in widths):
        return None
    options = {"profile": "moffat", "beta": moffat_beta, "half_px": _PROFILE_HALF_PX}
    side = 2 * _PROFILE_HALF_PX + 1 if block.psf is None else block.psf.shape[-1]
    return fit_psf([profile_psf(width / block.pixel_scale, **options) for width in widths], side, what="PSF")


def _shared(psfs):
    """Different PSFs, float64 of sum 1, and the number of each galaxy's."""
    different, index = {}, []
    for psf in psfs:
        index.append(different.setdefault(psf.tobytes(), (len(different), psf))[0])
    stacked = np.stack([psf for _, psf in different.values()]).astype(np.float64)
    return stacked / stacked.sum((2, 3), keepdims=True), np.array(index)


def _named(catalog):
    """The catalog with a host_id for every galaxy, and a velocity dispersion where one is known."""
    host_id = np.where(catalog["host_id"] == "", catalog["pair_id"], catalog["host_id"])
    unknown = np.full(len(host_id), np.nan)
    return catalog | {
        "host_id": host_id,
        "velocity_dispersion_kms": catalog.get("velocity_dispersion_kms", unknown),
    }


def _notes(catalog):
    known = catalog.get("velocity_dispersion_kms", np.full(len(catalog["host_id"]), np.nan)) > 0
    if known.all():
        return ()
    which = "No host states" if not known.any() else f"{np.count_nonzero(~known)} of {len(known)} hosts do not state"
    hint = "--column velocity_dispersion_kms=NAME says which column does"
    return (f"{which} a velocity dispersion: inject.velocity_dispersion_kms stands in; {hint}",)
