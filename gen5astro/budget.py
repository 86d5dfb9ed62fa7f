"""The physical core budget: what the arc that is seen outside the core implies inside it.

A compact source at offset y (in units of theta_E) behind a singular isothermal lens has images at theta_E (1 + y) and
theta_E (1 - y), with fluxes as (1 + y) to (1 - y) (Schneider, Ehlers & Falco 1992, section 8.1). Their mean place,
weighted with flux, is 2 y theta_E from the lens, which the PSF leaves as it is: so y is read off the arc. The PSF
carries a share of each image into the core; the share of the light outside sets the scale.
"""

import numpy as np

from gen5astro.kernels.psf import image_ring_fraction, ring_core_fraction

__all__ = ["core_budget", "rows_by_psf", "source_offset"]

#: By how much the offset of an extended source behind an elliptical lens may differ from its first estimate.
_OFFSET_LESS, _OFFSET_MORE = 0.1, 0.2
_MOST_OFFSET = 0.95
_RING_STEP_ARCSEC = 0.05


def source_offset(arc_offset_arcsec, radius_arcsec):
    """Estimate the source's offset from the lens, in units of the Einstein radius.

    Parameters
    ----------
    arc_offset_arcsec : float64 array, (...)
        Distance of the arc's flux-weighted mean place from the lens [arcsec].
    radius_arcsec : float64 array, (...)
        Einstein radius [arcsec].

    Returns
    -------
    offset : float64 array, (...)
        From 0 to 0.95.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(arc_offset_arcsec / (2 * radius_arcsec), 0, _MOST_OFFSET)


def core_budget(outer_flux, offset, radius_arcsec, fwhm_arcsec, *, config, psf=None, pixel_scale=None):
    """Bracket the flux that an arc's light outside the core implies inside it.

    The bracket spans what is not known: the source's offset about its first estimate, and the PSF from a Gaussian to a
    Moffat profile of the same width, unless the PSF itself is given.

    Parameters
    ----------
    outer_flux : float64 array, (n, band)
        Flux of the arc outside the core [nanomaggy].
    offset : float64 array, (n, band)
        From `source_offset`.
    radius_arcsec : float64 array, (n,)
        Einstein radius [arcsec].
    fwhm_arcsec : float64 array, (n, band)
        FWHM of the PSF [arcsec].
    config : MeasureConfig
        Core radius, and beta of the Moffat profile.
    psf : float64 array, (band, k, k) or (n, band, k, k), optional
        PSF of each band, on pixels of the images; of each pair, where it has four axes, NaN in a row that has none.
    pixel_scale : float, optional
        Pixel scale of the PSF [arcsec / pix].

    Returns
    -------
    low, high : float64 array, (n, band)
        Flux in the core [nanomaggy].
    """
    if psf is not None and psf.ndim == 4:
        known = (outer_flux, offset, radius_arcsec, fwhm_arcsec)
        return _budget_by_psf(known, config=config, psf=psf, pixel_scale=pixel_scale)
    core = config.core_radius_arcsec
    if psf is None:
        shares = [
            lambda ring, profile=profile: ring_core_fraction(
                ring, core, fwhm=fwhm_arcsec, profile=profile, beta=config.moffat_beta
            )
            for profile in ("gaussian", "moffat")
        ]
    else:
        shares = [_shares_of_images(psf, core, pixel_scale, 2 * np.nanmax(radius_arcsec, initial=0))]
    ratios = []
    for share in shares:
        for y in (np.maximum(offset - _OFFSET_LESS, 0), np.minimum(offset + _OFFSET_MORE, _MOST_OFFSET)):
            ring = radius_arcsec[:, None]
            within = (1 + y) * share(ring * (1 + y)) + (1 - y) * share(ring * (1 - y))
            ratios.append(within / np.maximum(2 - within, 1e-6))
    flux = np.maximum(outer_flux, 0)
    return flux * np.min(ratios, axis=0), flux * np.max(ratios, axis=0)


def _budget_by_psf(known, *, config, psf, pixel_scale):
    """The bracket of each pair from its own PSF; pairs that share one are done at once."""
    low, high = np.empty_like(known[0], np.float64), np.empty_like(known[0], np.float64)
    for rows in rows_by_psf(psf):
        image = psf[rows[0]].astype(np.float64)
        options = {"psf": image if np.isfinite(image).all() else None, "pixel_scale": pixel_scale}
        low[rows], high[rows] = core_budget(*(each[rows] for each in known), config=config, **options)
    return low, high


def rows_by_psf(psf):
    """Group rows that have the same PSF.

    Parameters
    ----------
    psf : float array, (n, band, k, k)
        PSF of each row.

    Returns
    -------
    rows : list of list of int
        In the order of their first row.
    """
    groups = {}
    for row, image in enumerate(psf):
        groups.setdefault(image.tobytes(), []).append(row)
    return list(groups.values())


def _shares_of_images(psf, core_arcsec, pixel_scale, most_arcsec):
    """Function of ring radii (n, band) [arcsec] that looks the shares up in a table made of each band's PSF image."""
    rings = np.arange(0, most_arcsec + 2 * _RING_STEP_ARCSEC, _RING_STEP_ARCSEC)
    tables = [image_ring_fraction(rings / pixel_scale, core_arcsec / pixel_scale, psf=image) for image in psf]

    def share(ring):
        return np.stack([np.interp(ring[:, band], rings, table) for band, table in enumerate(tables)], axis=1)

    return share
