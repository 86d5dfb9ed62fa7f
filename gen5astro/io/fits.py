"""Cutouts in FITS: the Legacy Surveys viewer's cubes and files of one HDU a band, with all that they tell."""

import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gen5astro.engine import warnings_lock
from gen5astro.errors import FormatError, MissingFileError

__all__ = ["Image", "read_image"]

MAX_PIXELS = 1 << 28
"""Most pixels that one HDU may declare."""

_DEFAULT_BANDS = ("g", "r", "z")
_NANOMAGGIES = {
    "nanomaggy": 1.0,
    "nanomaggies": 1.0,
    "nmgy": 1.0,
    "maggy": 1e9,
    "maggies": 1e9,
    "mgy": 1e9,
    "jy": 1e9 / 3631,
    "mjy": 1e6 / 3631,
    "ujy": 1e3 / 3631,
    "njy": 1 / 3631,
}
_INVERSE_VARIANCE = re.compile(r"(?:INVVAR|IVAR|INVVARIANCE)(?:_(\w+))?")
_PSF = re.compile(r"(?:CO)?PSF(?:_(\w+))?")
_BAND = re.compile(r"(?:(?:IMAGE|SCI|CUTOUT|COADD)_)?([A-Z]\d?)")


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
    """

    pixels: np.ndarray
    bands: tuple[str, ...]
    pixel_scale: float | None = None
    ra: float | None = None
    dec: float | None = None
    invvar: np.ndarray | None = None
    psf: dict[str, np.ndarray] = field(default_factory=dict)


def read_image(path):
    """Read a cutout: one cube of all bands, or one HDU a band; plain, gzipped or tile-compressed.

    The bands of a cube are those of ``BANDS`` (or ``BAND0``, ``BAND1``, ...), else g, r, z if there are three; that of
    a plane is its ``BAND``, ``EXTNAME`` or ``FILTER``. Fluxes become nanomaggies, m_AB = 22.5 - 2.5 log10(flux),
    as ``BUNIT`` says (maggies or Jy), or else ``MAGZERO``: flux x 10^(-0.4 (MAGZERO - 22.5)); a file that has neither
    is taken to be in nanomaggies.

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
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path}", got="no such file", expected="a FITS image")
    from astropy.io import fits

    with warnings_lock, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
                if any("truncated" in str(each.message) for each in said):
                    raise EOFError("shorter than its header says")
                return _read_hdus(hdus, str(path))
        except FormatError:
            raise
        except Exception as error:
            truncated = isinstance(error, EOFError) or "too small" in str(error)
            reason = str(error).splitlines()[0].split(". ")[0] if str(error) else type(error).__name__
            got = f"a {'truncated' if truncated else 'broken'} file ({reason})"
            raise FormatError(f"{path}", got=got, expected="whole FITS", remedy="fetch it again") from error


def _read_hdus(hdus, label):
    from astropy.io import fits

    primary = hdus[0].header
    planes = [hdu for hdu in hdus if isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)) and hdu.shape]
    for hdu in planes:
        if np.prod(hdu.shape, dtype=float) > MAX_PIXELS:
            raise FormatError(f"{label}[{hdu.name}]", got=f"shape {hdu.shape}", expected=f"at most {MAX_PIXELS} pixels")
    roles = {"image": [], "invvar": [], "psf": []}
    for hdu in planes:
        roles.get(_role(hdu), []).append(hdu)
    if not roles["image"]:
        raise FormatError(label, got="no image", expected="a cube of bands, or an HDU a band")
    pixels = _planes_by_band(roles["image"], primary, label)
    bands = tuple(pixels)
    shapes = {plane.shape for plane, _ in pixels.values()}
    if len(shapes) > 1:
        got = ", ".join(f"{band} {plane.shape}" for band, (plane, _) in pixels.items())
        raise FormatError(label, got=f"planes of several shapes: {got}", expected="one shape")
    invvar = _planes_by_band(roles["invvar"], primary, label) if roles["invvar"] else {}
    psf = _planes_by_band(roles["psf"], primary, label) if roles["psf"] else {}
    scale, ra, dec = _position(roles["image"][0].header, primary)
    return Image(
        pixels=np.stack([plane * factor for plane, factor in pixels.values()]).astype(np.float32),
        bands=bands,
        pixel_scale=scale,
        ra=ra,
        dec=dec,
        invvar=_inverse_variance(invvar, pixels),
        psf={band: plane for band, (plane, _) in psf.items()},
    )


def _role(hdu):
    """What an HDU holds: image, invvar, psf or something else."""
    kind = str(hdu.header.get("IMAGETYP", "")).strip().lower()
    if _PSF.fullmatch(hdu.name) or "psf" in kind:
        return "psf"
    if _INVERSE_VARIANCE.fullmatch(hdu.name) or kind in ("invvar", "ivar"):
        return "invvar"
    other = re.search(r"MASK|MODEL|RESID|NEXP|WEIGHT|CHI2|DEPTH|^DQ", hdu.name)
    return "other" if other or kind not in ("", "image", "cutout", "object") else "image"


def _planes_by_band(hdus, primary, label):
    """Float64 plane and factor to nanomaggies of each band, from one cube or from one HDU a band."""
    cubes = [hdu for hdu in hdus if len(hdu.shape) == 3]
    if cubes and len(hdus) > 1:
        shapes = ", ".join(str(hdu.shape) for hdu in hdus)
        raise FormatError(label, got=f"images of shape {shapes}", expected="one cube (band, y, x), or one plane a band")
    planes = {}
    for hdu in hdus:
        if len(hdu.shape) not in (2, 3):
            raise FormatError(f"{label}[{hdu.name}]", got=f"shape {hdu.shape}", expected="(band, y, x) or (y, x)")
        bands = _cube_bands(hdu, primary, label) if cubes else [_plane_band(hdu, label)]
        factor = _nanomaggies(hdu.header, primary, label)
        for band, plane in zip(bands, hdu.data if cubes else [hdu.data], strict=True):
            if band in planes:
                raise FormatError(label, got=f"two images of band {band}", expected="one a band")
            planes[band] = (np.asarray(plane, np.float64), factor)
    return planes


def _cube_bands(hdu, primary, label):
    """Names of the planes of a cube."""
    count = hdu.shape[0]
    for header in (hdu.header, primary):
        if isinstance(header.get("BANDS"), str):
            text = header["BANDS"].strip()
            bands = re.split(r"[\s,]+", text) if re.search(r"[\s,]", text) else list(text)
            break
        if "BAND0" in header:
            bands = [str(header.get(f"BAND{at}", "")).strip() for at in range(count)]
            break
    else:
        bands = list(_DEFAULT_BANDS)
    if len(bands) != count or not all(bands):
        got = f"{count} planes and bands {','.join(bands)}"
        raise FormatError(label, got=got, expected="one name a plane in the keyword BANDS")
    return [band.lower() for band in bands]


def _plane_band(hdu, label):
    """Band of a single plane."""
    if isinstance(hdu.header.get("BAND"), str) and hdu.header["BAND"].strip():
        return hdu.header["BAND"].strip().lower()
    for pattern in (_BAND, _INVERSE_VARIANCE, _PSF):
        if (match := pattern.fullmatch(hdu.name)) and match[1]:
            return match[1].lower()
    words = str(hdu.header.get("FILTER", "")).split()
    if words:
        return words[0].lower()
    raise FormatError(f"{label}[{hdu.name}]", got="no band", expected="a keyword BAND, or an EXTNAME such as G")


def _nanomaggies(header, primary, label):
    """Factor from the stored unit to nanomaggies."""
    unit = str(header.get("BUNIT", primary.get("BUNIT", ""))).strip()
    key = re.sub(r"[\s/]*(?:pix(?:el)?)?$", "", unit.lower())
    if key == "mjy" and unit.startswith("MJ"):
        raise FormatError(label, got=f"BUNIT {unit!r}", expected="maggies, Jy, or a MAGZERO")
    if key in _NANOMAGGIES:
        return _NANOMAGGIES[key]
    zero_point = header.get("MAGZERO", primary.get("MAGZERO"))
    if zero_point is not None:
        return 10 ** (-0.4 * (float(zero_point) - 22.5))
    if unit == "":
        return 1.0
    raise FormatError(label, got=f"BUNIT {unit!r} and no MAGZERO", expected="nanomaggies, Jy, or a zero point")


def _inverse_variance(invvar, pixels):
    """Inverse variances of all bands [nanomaggy^-2], or None if one is missing."""
    if set(invvar) < set(pixels) or not invvar:
        return None
    return np.stack([invvar[band][0] / factor**2 for band, (_, factor) in pixels.items()]).astype(np.float32)


def _position(header, primary):
    """Pixel scale [arcsec] and ICRS position [deg] of the center, each None where the header does not tell."""
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_area

    wcs = WCS(header)
    if not wcs.has_celestial:
        scale = header.get("PIXSCALE", primary.get("PIXSCALE"))
        return (None if scale is None else float(scale)), None, None
    wcs = wcs.celestial
    center = wcs.pixel_to_world((header["NAXIS1"] - 1) / 2, (header["NAXIS2"] - 1) / 2).icrs
    return float(np.sqrt(proj_plane_pixel_area(wcs)) * 3600), float(center.ra.deg), float(center.dec.deg)
