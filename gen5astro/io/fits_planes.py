"""What the HDUs of a FITS file are: planes of bands, in nanomaggies, with the weights, masks and PSFs beside them."""

import contextlib
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gen5astro.engine import warnings_lock
from gen5astro.errors import FormatError, Gen5Error, MissingFileError
from gen5astro.io.beside import blank_unmeasured
from gen5astro.io.fits_headers import MAX_PIXELS, check_claims

__all__ = ["Plane", "opened_fits", "planes_are_named", "read_lone_planes", "read_planes", "read_psf_planes"]

#: Magnitudes; beyond, fluxes in nanomaggies leave what float32 holds, and would silently be 0.
_MAX_ZERO_POINT = 50.0
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
_KINDS = {
    "psf": "(?:CO)?PSF",
    "invvar": "INVVAR|IVAR|INVVARIANCE",
    "weight": "WEIGHTS?|WEIGHTMAP|WGT|WHT|WTMAP",
    "mask": "MASK|MASKBITS|BITMASK|MSK|DQ|DQMASK|FLAGS?|BPM|BADPIX",
    "other": r"\w*(?:MODEL|RESID|NEXP|CHI2|DEPTH|VAR|SIGMA|ERR|BKG|BACKGROUND|SEG|NOISE|SIZE|BLOB)\w*",
}
_NAMES = {kind: re.compile(rf"(?:([A-Z]\d?)_)?(?:{names})(?:_([A-Z]\d?))?") for kind, names in _KINDS.items()}
_BAND = re.compile(r"(?:(?:IMAGE|SCI|CUTOUT|COADD)_)?([A-Z]\d?)")
_TYPE_KEYS = ("IMAGETYP", "IMTYPE", "PRODTYPE")
_IMAGES = ("", "image", "cutout", "object")


@dataclass(frozen=True)
class Plane:
    """One band of an image.

    Parameters
    ----------
    band : str
        Its name, lower case.
    pixels : float32 array, (y, x)
        Fluxes [nanomaggy]; NaN where nothing was measured.
    header : astropy.io.fits.Header
        Of its HDU.
    invvar : float32 array, (y, x), optional
        Inverse variances [nanomaggy^-2].
    flagged : bool array, (y, x), optional
        Pixels that a mask flags.
    """

    band: str
    pixels: np.ndarray
    header: object
    invvar: np.ndarray | None = None
    flagged: np.ndarray | None = None


@contextlib.contextmanager
def opened_fits(path):
    """Open a FITS file whole; whatever is wrong with it becomes an error of ours, also what astropy only warns of.

    Parameters
    ----------
    path : path-like
        The file; plain, gzipped or tile-compressed.

    Yields
    ------
    hdus : astropy.io.fits.HDUList
        All of it.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is truncated or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path}", got="no such file", expected="a FITS image")
    from astropy.io import fits

    with warnings_lock, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            check_claims(path)
            # The file is opened here because astropy leaves one open that it cannot read.
            with open(path, "rb") as file, fits.open(file, memmap=False, lazy_load_hdus=False) as hdus:
                if any("truncated" in str(each.message) for each in said):
                    raise EOFError("shorter than its header says")
                yield hdus
        except Gen5Error:
            raise
        except Exception as error:
            truncated = isinstance(error, EOFError) or "too small" in str(error)
            reason = str(error).splitlines()[0].split(". ")[0] if str(error) else type(error).__name__
            got = f"a {'truncated' if truncated else 'broken'} file ({reason})"
            raise FormatError(f"{path}", got=got, expected="whole FITS", remedy="fetch it again") from error


def read_planes(hdus, label):
    """Read the planes of an open file.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        From `opened_fits`.
    label : str
        What to call the file in messages.

    Returns
    -------
    planes : list of Plane
        One a band, in the order of the file.

    Raises
    ------
    FormatError
        If a band or a unit cannot be told, or two planes have one band.
    """
    roles = _roles(hdus, label)
    images = roles["image"]
    if not images:
        raise FormatError(label, got="no image", expected="a cube of bands, or an HDU a band")
    primary = hdus[0].header
    stored = _by_band(images, primary, label)
    beside = {role: _beside(roles[role], primary, label, stored) for role in ("invvar", "weight", "mask")}
    planes = []
    for band, (pixels, hdu) in stored.items():
        factor = _nanomaggies(hdu.header, primary, label)
        pixels = _scaled(pixels, factor)
        found = {role: planes_of[band] for role, planes_of in beside.items() if band in planes_of}
        for role, plane in found.items():
            if plane.shape != pixels.shape:
                got, expected = f"{role} of shape {plane.shape}", f"that of band {band}, {pixels.shape}"
                raise FormatError(label, got=got, expected=expected)
        for role in ("invvar", "weight"):
            if role in found:
                pixels = blank_unmeasured(pixels, found[role])
        invvar = _scaled(found["invvar"], factor**-2) if "invvar" in found else None
        flagged = found["mask"] != 0 if "mask" in found else None
        planes.append(Plane(band, pixels, hdu.header, invvar, flagged))
    return planes


def read_lone_planes(hdus, label):
    """Read the weights and masks of a file that has no image, as a survey writes them beside its coadds.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        From `opened_fits`.
    label : str
        What to call the file in messages.

    Returns
    -------
    planes : list of tuple
        Each ``(role, band, pixels, header)``: ``invvar``, ``weight`` or ``mask``; its band, or None where it names
        none; array (y, x). Empty where the file has an image.
    """
    roles = _roles(hdus, label)
    if roles["image"]:
        return []
    found = [(role, hdu) for role in ("invvar", "weight", "mask") for hdu in roles[role] if len(hdu.shape) == 2]
    return [(role, _named_band(hdu), hdu.data, hdu.header) for role, hdu in found]


def _scaled(pixels, factor):
    """Pixels times a factor, in float32; a coadd is large, so nothing is wider than it has to be."""
    if factor != 1:
        pixels = np.asarray(pixels, np.float64) * factor
    return np.asarray(pixels, np.float32)


def read_psf_planes(hdus, label, bands):
    """Read the PSF images that stand beside the image of an open file.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        From `opened_fits`.
    label : str
        What to call the file in messages.
    bands : sequence of str
        Bands of the image; a PSF without a band of its own is that of all.

    Returns
    -------
    psf : dict of str to float64 array, (k, k)
        Of each band that has one, as stored.
    """
    found = _beside(_roles(hdus, label)["psf"], hdus[0].header, label, bands)
    return {band: np.asarray(plane, np.float64) for band, plane in found.items()}


def _roles(hdus, label):
    """HDUs that hold pixels, by what they hold."""
    from astropy.io import fits

    roles = {role: [] for role in ("image", *_KINDS)}
    primary = hdus[0].header
    planes = [hdu for hdu in hdus if isinstance(hdu, (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)) and hdu.shape]
    for hdu in planes:
        if np.prod(hdu.shape, dtype=float) > MAX_PIXELS:
            raise FormatError(f"{label}[{hdu.name}]", got=f"shape {hdu.shape}", expected=f"at most {MAX_PIXELS} pixels")
        roles[_role(hdu, primary if len(planes) == 1 else {})].append(hdu)
    return roles


def _role(hdu, primary):
    """What an HDU holds; `primary` may say it too where it speaks of this HDU alone."""
    said = [str(header.get(key, "")).strip().lower() for header in (hdu.header, primary) for key in _TYPE_KEYS]
    kind = next(filter(None, said), "")
    for role, pattern in _NAMES.items():
        if pattern.fullmatch(hdu.name) or pattern.fullmatch(kind.upper()):
            return role
    if "psf" in kind:
        return "psf"
    return "image" if kind in _IMAGES else "other"


def _by_band(hdus, primary, label):
    """Plane and HDU of each band, from one cube or from one HDU a band."""
    cubes = [hdu for hdu in hdus if len(hdu.shape) == 3]
    if cubes and len(hdus) > 1:
        shapes = ", ".join(str(hdu.shape) for hdu in hdus)
        raise FormatError(label, got=f"images of shape {shapes}", expected="one cube (band, y, x), or one plane a band")
    planes = {}
    for hdu in hdus:
        if len(hdu.shape) not in (2, 3):
            raise FormatError(f"{label}[{hdu.name}]", got=f"shape {hdu.shape}", expected="(band, y, x) or (y, x)")
        bands = _cube_bands(hdu, primary, label) if cubes else [_plane_band(hdu, primary, label, len(hdus) == 1)]
        for band, plane in zip(bands, hdu.data if cubes else [hdu.data], strict=True):
            if band in planes:
                raise FormatError(label, got=f"two images of band {band}", expected="one a band")
            planes[band] = (plane, hdu)
    return planes


def _beside(hdus, primary, label, bands):
    """Plane of each band from HDUs that stand beside the image; one without a band is of all of them."""
    planes = {}
    for hdu in hdus:
        if len(hdu.shape) == 3:
            own = any(key in hdu.header for key in ("BANDS", "BAND0")) or hdu.shape[0] != len(bands)
            planes |= dict(zip(_cube_bands(hdu, primary, label) if own else bands, hdu.data, strict=True))
        elif len(hdu.shape) == 2:
            band = _named_band(hdu)
            planes |= dict.fromkeys(bands if band is None else [band], hdu.data)
        else:
            raise FormatError(f"{label}[{hdu.name}]", got=f"shape {hdu.shape}", expected="(band, y, x) or (y, x)")
    return planes


def planes_are_named(header, primary):
    """Tell whether a file names the bands of its image; those of a cube that does not are assumed.

    Parameters
    ----------
    header, primary : astropy.io.fits.Header
        Of the HDU of the image, and of the first.

    Returns
    -------
    named : bool
        Whether it does.
    """
    return header.get("NAXIS") != 3 or any(key in each for each in (header, primary) for key in ("BANDS", "BAND0"))


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


def _plane_band(hdu, primary, label, alone):
    """Band of a single plane; the primary header may tell it of the only one."""
    band = _named_band(hdu) or (_filter_band(primary) if alone else None)
    if band is None:
        raise FormatError(f"{label}[{hdu.name}]", got="no band", expected="a keyword BAND, or an EXTNAME such as G")
    return band


def _named_band(hdu):
    """Band that an HDU names, or None."""
    if isinstance(hdu.header.get("BAND"), str) and hdu.header["BAND"].strip():
        return hdu.header["BAND"].strip().lower()
    if match := _BAND.fullmatch(hdu.name):
        return match[1].lower()
    for pattern in _NAMES.values():
        if (match := pattern.fullmatch(hdu.name)) and (match[1] or match[2]):
            return (match[1] or match[2]).lower()
    return _filter_band(hdu.header)


def _filter_band(header):
    """Band of the keywords BAND and FILTER, or None: the first word, as of 'r DECam SDSS c0002 6415.0 1480.0'."""
    words = [word for key in ("BAND", "FILTER") for word in str(header.get(key, "")).split()]
    return words[0].lower() if words else None


def _nanomaggies(header, primary, label):
    """Factor from the stored unit to nanomaggies."""
    unit = str(header.get("BUNIT", primary.get("BUNIT", ""))).strip()
    key = re.sub(r"[\s/]*(?:pix(?:el)?)?$", "", unit.lower())
    if key == "mjy" and unit.startswith("MJ"):
        key = ""
    if key in _NANOMAGGIES:
        return _NANOMAGGIES[key]
    zero_point = header.get("MAGZERO", primary.get("MAGZERO"))
    if zero_point is not None:
        return 10 ** (-0.4 * (_checked_zero_point(zero_point, label) - 22.5))
    if unit == "":
        return 1.0
    raise FormatError(
        label,
        got=f"BUNIT {unit!r} and no MAGZERO",
        expected="nanomaggies, Jy, or a zero point",
        remedy="write the AB zero point of its pixels as MAGZERO",
    )


def _checked_zero_point(value, label):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not abs(number) < _MAX_ZERO_POINT:  # nor where it is NaN
        raise FormatError(label, got=f"MAGZERO {value!r}", expected="the AB magnitude of one unit of flux")
    return number
