"""A field for tests: real galaxies of the sample on a real candidate's sky, as coadds with a WCS."""

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from gen5astro.sample import load_hosts, load_psf

BANDS = ("g", "r", "z")
SIDE, STEP, TILE = 320, 100, 91
CENTER = (150.1, 2.2)


def field_wcs(*, scale_arcsec=0.263, shift=(0.0, 0.0), angle_deg=0.0, side=SIDE):
    """WCS of the field; another scale, shift [pix] or angle makes another grid on the same sky."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = CENTER
    wcs.wcs.crpix = (side + 1) / 2 + shift[0], (side + 1) / 2 + shift[1]
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    wcs.wcs.cd = np.array([[-cosine, sine], [sine, cosine]]) * scale_arcsec / 3600
    return wcs


def field_pixels():
    """Nine hosts of the sample, three by three, (band, y, x) [nanomaggy], on noise of their own level."""
    hosts = load_hosts()
    rng = np.random.default_rng(3)
    field = rng.normal(size=(3, SIDE, SIDE)).astype(np.float32) * hosts.sky_sigma[0][:, None, None].astype(np.float32)
    for at in range(9):
        y, x = 10 + STEP * (at // 3), 10 + STEP * (at % 3)
        field[:, y : y + TILE, x : x + TILE] = hosts.image[at]
    return field


def field_places():
    """Positions of the nine galaxies, (9, 2) [deg], in the order in which they lie."""
    hosts, wcs = load_hosts(), field_wcs()
    y, x = (10 + STEP * np.array(each) for each in np.divmod(np.arange(9), 3))
    return np.stack(wcs.pixel_to_world_values(x + hosts.center[:9, 0], y + hosts.center[:9, 1]), axis=-1)


def write_cube(path, pixels, *, wcs=None, psf=True, beside=()):
    """One file of all bands, with the PSF of each."""
    header = (wcs or field_wcs()).to_header()
    header.update({"BANDS": "".join(BANDS), "BUNIT": "nanomaggy"})
    hdus = [fits.PrimaryHDU(pixels, header), *beside]
    if psf:
        hdus += [fits.ImageHDU(image, name=f"PSF_{band.upper()}") for band, image in load_psf().items()]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def write_band(path, plane, band, *, wcs=None, **cards):
    """One file of one band, tile-compressed as a survey's coadds are."""
    header = (wcs or field_wcs()).to_header()
    header.update({"FILTER": band, **cards})
    options = {"compression_type": "GZIP_2", "quantize_level": 0}
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(plane, header, **options)]).writeto(path, overwrite=True)
    return path
