"""Cutouts in FITS: the Legacy Surveys viewer's cubes and files of one HDU a band, with all that they tell."""

from dataclasses import dataclass, field

import numpy as np

from gen5astro.errors import FormatError
from gen5astro.io.beside import SCALE_TOLERANCE, flagged_fraction
from gen5astro.io.fits_planes import opened_fits, planes_are_named, read_planes, read_psf_planes

__all__ = ["Image", "read_image"]


@dataclass(frozen=True)
class Image:
    """A cutout of the sky.

    Parameters
    ----------
    pixels : float32 array, (band, y, x)
        Fluxes [nanomaggy]; NaN where there is no value.
    bands : tuple of str
        Band names, lower case, in the order of the planes.
    pixel_scale : float, optional
        Pixel scale [arcsec / pix].
    ra, dec : float, optional
        ICRS position of the center of the image [deg].
    invvar : float32 array, (band, y, x), optional
        Inverse variances [nanomaggy^-2].
    psf : dict of str to float64 array, (k, k)
        PSF image of each band that has one, as stored.
    masked_fraction : float, optional
        Share of the pixels that a mask flags; they keep their values.
    named : bool
        Whether the file names the bands; else they are assumed.
    """

    pixels: np.ndarray
    bands: tuple[str, ...]
    pixel_scale: float | None = None
    ra: float | None = None
    dec: float | None = None
    invvar: np.ndarray | None = None
    psf: dict[str, np.ndarray] = field(default_factory=dict)
    masked_fraction: float | None = None
    named: bool = True


def read_image(path):
    """Read a cutout: one cube of all bands, or one HDU a band; plain, gzipped or tile-compressed.

    The bands of a cube are those of ``BANDS`` (or ``BAND0``, ``BAND1``, ...), else g, r, z if there are three; that of
    a plane is its ``BAND``, ``EXTNAME`` or ``FILTER``. Fluxes become nanomaggies, m_AB = 22.5 - 2.5 log10(flux),
    as ``BUNIT`` says (maggies or Jy), or else ``MAGZERO``: flux x 10^(-0.4 (MAGZERO - 22.5)); a file that has neither
    is taken to be in nanomaggies. Weights, masks and PSFs are known by the names of their HDUs or by ``IMAGETYP``, and
    are no bands; what they do to the pixels is said in `gen5astro.io.beside`.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    image : Image
        Pixels in nanomaggies, with the position, inverse variance and PSF that the file has.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is truncated or broken, or its bands or its unit cannot be told.
    """
    with opened_fits(path) as hdus:
        return _read_hdus(hdus, str(path))


def _read_hdus(hdus, label):
    planes = read_planes(hdus, label)
    shapes = {plane.pixels.shape for plane in planes}
    if len(shapes) > 1:
        got = ", ".join(f"{plane.band} {plane.pixels.shape}" for plane in planes)
        raise FormatError(label, got=f"planes of several shapes: {got}", expected="one shape")
    scale, ra, dec = _position(planes, hdus[0].header, label)
    invvar = [plane.invvar for plane in planes]
    flagged = [plane.flagged for plane in planes if plane.flagged is not None]
    pixels = np.stack([plane.pixels for plane in planes]).astype(np.float32)
    bands = tuple(plane.band for plane in planes)
    return Image(
        pixels=pixels,
        bands=bands,
        pixel_scale=scale,
        ra=ra,
        dec=dec,
        invvar=None if any(each is None for each in invvar) else np.stack(invvar).astype(np.float32),
        psf=read_psf_planes(hdus, label, bands),
        masked_fraction=flagged_fraction(np.any(flagged, axis=0), pixels) if flagged else None,
        named=planes_are_named(planes[0].header, hdus[0].header),
    )


def _position(planes, primary, label):
    """Pixel scale [arcsec] and ICRS position [deg] of the center, each None where no header tells."""
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_area

    header = planes[0].header
    wcs = WCS(header)
    if not wcs.has_celestial:
        scale = header.get("PIXSCALE", primary.get("PIXSCALE"))
        return (None if scale is None else float(scale)), None, None
    wcs = wcs.celestial
    scale = round(float(np.sqrt(proj_plane_pixel_area(wcs)) * 3600), 6)
    center = wcs.pixel_to_world((header["NAXIS1"] - 1) / 2, (header["NAXIS2"] - 1) / 2).icrs
    for plane in planes[1:]:
        other = WCS(plane.header)
        if other.has_celestial:
            its = float(np.sqrt(proj_plane_pixel_area(other.celestial)) * 3600)
            if abs(its / scale - 1) > SCALE_TOLERANCE:
                got = f"{scale:g} arcsec a pixel in band {planes[0].band} and {its:g} in {plane.band}"
                raise FormatError(label, got=got, expected="one pixel scale", remedy="cut it with gen5astro cutout")
    return scale, float(center.ra.deg), float(center.dec.deg)
