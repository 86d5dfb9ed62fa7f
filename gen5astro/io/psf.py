"""PSF images from FITS: HDUs ``PSF_<band>``, as a hosts file has, or the file of a survey's PSF service."""

from pathlib import Path

import numpy as np

from gen5astro.errors import FormatError, MissingFileError, ShapeError, closest
from gen5astro.io.beside import SCALE_TOLERANCE
from gen5astro.io.fits_planes import opened_fits, read_planes

__all__ = ["read_psf"]


def read_psf(path, bands, *, pixel_scale=None):
    """Read the PSF of each band.

    Parameters
    ----------
    path : path-like
        FITS file with an image HDU ``PSF_<band>`` a band, centered on its middle pixel; other HDUs are not looked at.
        Where no HDU is named so, the images of the file are the PSFs, as in a ``copsf`` file of the Legacy Surveys.
    bands : sequence of str
        Bands that are needed.
    pixel_scale : float, optional
        Pixel scale of the images that the PSF is for [arcsec / pix]; compared with ``PIXSCALE`` of the primary header,
        where it has one.

    Returns
    -------
    psf : float64 array, (band, k, k)
        In the order of `bands`, each of sum 1; k is odd, and that of the largest, to which the others are padded.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is no whole FITS file, lacks a band, is of another pixel scale, or holds a PSF that is not finite or
        without light.
    ShapeError
        If a PSF is not square with an odd side.
    """
    path = Path(path)
    label = f"PSF {path}"
    if not path.is_file():
        raise MissingFileError(label, got="no such file", expected="a FITS file with an HDU PSF_<band> a band")
    stored, scale = _stored_images(path, label)
    planes = [_checked(stored, band, label) for band in bands]
    if pixel_scale is not None and scale is not None and abs(scale / pixel_scale - 1) > SCALE_TOLERANCE:
        raise FormatError(
            label,
            got=f"PIXSCALE {scale:g} arcsec",
            expected=f"that of the pairs, {pixel_scale:g}",
            remedy="resample the PSF to the pixels of the pairs",
        )
    side = max(len(plane) for plane in planes)
    return np.stack([np.pad(plane, (side - len(plane)) // 2) for plane in planes])


def _stored_images(path, label):
    """Images by the name that their HDU has or should have, and the pixel scale [arcsec] or None."""
    with opened_fits(path) as hdus:
        named = {hdu.name.upper(): hdu.data for hdu in hdus if hdu.name.upper().startswith("PSF") and hdu.is_image}
        found = named or {f"PSF_{plane.band}".upper(): plane.pixels for plane in read_planes(hdus, label)}
        scale = hdus[0].header.get("PIXSCALE")
        images = {name: np.array(image, dtype=np.float64) for name, image in found.items()}
    return images, None if scale is None else float(scale)


def _checked(stored, band, label):
    """PSF of one band, of sum 1."""
    name = f"PSF_{band}".upper()
    if name not in stored:
        raise FormatError(label, got=f"no HDU PSF_{band}", expected="one a band", remedy=closest(name, stored))
    plane, where = stored[name], f"{label}[PSF_{band}]"
    if plane.ndim != 2 or plane.shape[0] != plane.shape[1] or plane.shape[0] % 2 == 0:
        expected = "a square of odd side, with the PSF's center on the middle pixel"
        raise ShapeError(where, got=f"shape {plane.shape}", expected=expected, remedy="pad or cut it")
    bad = np.count_nonzero(~np.isfinite(plane))
    if bad:
        raise FormatError(where, got=f"{bad} pixels that are not finite", expected="finite pixels")
    total = plane.sum()
    if total <= 0:
        raise FormatError(where, got=f"a sum of {total:g}", expected="light: a sum above 0")
    return plane / total
