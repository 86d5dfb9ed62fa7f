"""The galaxies that arcs are injected into, with what the injection must know of each.

A hosts file is FITS with one image HDU a band, (n, y, x), named as the band; one image HDU ``PSF_<band>`` a band; and a
table HDU ``HOSTS`` with ``host_id``, ``ra``, ``dec`` and ``velocity_dispersion_kms``, one row a galaxy. The primary
header gives ``BANDS`` and ``PIXSCALE``; pixels are nanomaggies.
"""

import difflib
import warnings
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from gen5astro.errors import ColumnError, ConfigError, FormatError, MissingFileError, ShapeError, closest
from gen5astro.kernels.psf import psf_fwhm

__all__ = ["Hosts", "measure_moments", "measure_sky_sigma", "read_hosts"]

_ENDINGS = (".fits", ".fit", ".fits.gz", ".fit.gz")
_OPTIONS = {"columns": "--column", "bands": "--bands", "pixel_scale": "--pixel-scale"}
_REQUIRED = ("host_id", "ra", "dec", "velocity_dispersion_kms")
_MIN_PIXELS = 9
_MIDDLE_PIX = 5.0
_MIN_AXIS_RATIO = 0.5


@dataclass(frozen=True)
class Hosts:
    """Real galaxies to inject arcs into.

    Parameters
    ----------
    image : float32 array, (n, band, y, x)
        Fluxes [nanomaggy].
    catalog : dict of array, (n,)
        At least host_id, ra, dec [deg] and velocity_dispersion_kms.
    psf : float64 array, (band, k, k)
        PSF of each band, centered on pixel (k // 2, k // 2), of sum 1.
    psf_fwhm_arcsec : float64 array, (band,)
        Full width at half maximum of each [arcsec].
    sky_sigma : float64 array, (n, band)
        Noise of the sky a pixel [nanomaggy], from `measure_sky_sigma`.
    center : float64 array, (n, 2)
        Centroid (x, y) of the galaxy [pix], from `measure_moments`.
    ellipticity : float64 array, (n, 2)
        (e1, e2) of its light, (1 - q) / (1 + q) times (cos, sin) of twice the position angle.
    bands : tuple of str
        Band names in the order of the planes.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    label : str
        What to call the hosts in messages.
    psfs : float64 array, (m, band, k, k), optional
        Different PSFs, where galaxies have their own; `psf` is then the first.
    psfs_fwhm_arcsec : float64 array, (m, band), optional
        Full width at half maximum of each [arcsec].
    psf_index : int array, (n,), optional
        Which of `psfs` is that of each galaxy.
    rejects : tuple of Reject
        Rows of the input that cannot be hosts.
    notes : tuple of str
        What the user should know of how the input was read.
    """

    image: np.ndarray
    catalog: dict[str, np.ndarray]
    psf: np.ndarray
    psf_fwhm_arcsec: np.ndarray
    sky_sigma: np.ndarray
    center: np.ndarray
    ellipticity: np.ndarray
    bands: tuple[str, ...]
    pixel_scale: float
    label: str = "hosts"
    psfs: np.ndarray | None = None
    psfs_fwhm_arcsec: np.ndarray | None = None
    psf_index: np.ndarray | None = None
    rejects: tuple = ()
    notes: tuple[str, ...] = ()

    def __len__(self):
        return len(self.image)

    def psf_of(self, rows):
        """PSF of some galaxies.

        Parameters
        ----------
        rows : int array, (n,)
            Numbers of the galaxies.

        Returns
        -------
        psf : float64 array, (band, k, k) or (n, band, k, k)
            One for all, or that of each.
        """
        return self.psf if self.psf_index is None else self.psfs[self.psf_index[rows]]

    def fwhm_of(self, rows):
        """Width of the PSF of some galaxies.

        Parameters
        ----------
        rows : int array, (n,)
            Numbers of the galaxies.

        Returns
        -------
        fwhm : float64 array, (n, band)
            Full width at half maximum [arcsec].
        """
        if self.psf_index is None:
            return np.tile(self.psf_fwhm_arcsec, (len(rows), 1))
        return self.psfs_fwhm_arcsec[self.psf_index[rows]]

    def cutout(self, row, size):
        """Cut a square about the galaxy's centroid, whole pixels only.

        Parameters
        ----------
        row : int
            Number of the galaxy.
        size : int
            Side of the square [pix].

        Returns
        -------
        cutout : float32 array, (band, size, size)
            A view of the pixels, untouched.
        center : tuple of float
            Centroid (x, y) in the cutout [pix], within half a pixel of ``(size - 1) / 2``.

        Raises
        ------
        ShapeError
            If the square leaves the image.
        """
        height, width = self.image.shape[-2:]
        x, y = self.center[row]
        left, bottom = (int(np.rint(at - (size - 1) / 2)) for at in (x, y))
        if left < 0 or bottom < 0 or left + size > width or bottom + size > height:
            raise ShapeError(
                f"host {self.catalog['host_id'][row]} of {self.label}",
                got=f"{height} x {width} pix about ({x:.1f}, {y:.1f})",
                expected=f"room for {size} x {size}",
                remedy="choose a smaller inject.size",
            )
        return self.image[row, :, bottom : bottom + size, left : left + size], (x - left, y - bottom)


def read_hosts(source, *, moffat_beta=2.5, max_reject_fraction=0.01, on_rejects=None, advance=None, **reading):
    """Read the hosts of a file, or those that travel with the package.

    Parameters
    ----------
    source : path-like or 'sample'
        A hosts file (see `gen5astro.sample.hosts`), cutouts that `gen5astro.io.open_cutouts` opens, or the word
        ``sample``.
    moffat_beta : float
        Beta of the PSF that is made of ``psfsize_<band>`` where cutouts come without one.
    max_reject_fraction : float
        Largest share of cutouts that cannot be hosts.
    on_rejects : callable, optional
        Called with the list of those and their source, so that they can be kept even where they are too many.
    advance : callable, optional
        Called with the number of cutouts measured since the last call.
    **reading
        ``columns``, ``bands`` and ``pixel_scale`` of `gen5astro.io.open_cutouts`; a hosts file states its own.

    Returns
    -------
    hosts : Hosts
        The galaxies, measured.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is not a hosts file, or is cut short.
    ColumnError
        If its table lacks a column.
    ConfigError
        If `reading` is given for a hosts file.
    RejectedError
        If too many cutouts cannot be hosts.
    """
    if str(source) != "sample" and (not str(source).lower().endswith(_ENDINGS) or _names_images(source)):
        from gen5astro.sample.cutout_hosts import hosts_of_cutouts

        _refuse_misspelled(str(source))
        options = {"on_rejects": on_rejects, "advance": advance, "max_reject_fraction": max_reject_fraction}
        return hosts_of_cutouts(source, moffat_beta=moffat_beta, reading=reading, **options)
    for name, value in reading.items():
        if value:
            expected = "a table of cutouts as HOSTS, or --like PAIRS"
            raise ConfigError(_OPTIONS[name], got=f"hosts {source}, which have no such choice", expected=expected)
    if str(source) == "sample":
        path, label = resources.files("gen5astro.sample") / "data" / "hosts.fits", "sample"
    else:
        path, label = Path(source), str(source)
    if not path.is_file():
        raise MissingFileError(f"hosts {label}", got="no such file", expected="a FITS file of hosts, or 'sample'")
    try:
        with _open_whole(path) as hdus:
            return _from_hdus(hdus, label)
    except (OSError, TypeError, KeyError, ValueError) as error:
        if isinstance(error, (ColumnError, FormatError)):
            raise
        raise FormatError(
            f"hosts {label}",
            got=f"a file that is truncated or of another kind ({error.args[0] if error.args else error!r})",
            expected="a FITS file with an HDU a band, PSF_<band> and HOSTS",
            remedy="fetch it again, or see docs/howto/inject.rst, 'Your own galaxies'",
        ) from error


def _names_images(path):
    """Whether a FITS file is a table of paths to cutouts."""
    from gen5astro.io.catalog import read_table, resolve_columns

    try:
        return "image_path" in resolve_columns(read_table(path))
    except (FormatError, MissingFileError):
        return False


def _refuse_misspelled(source):
    """Refuse what is no file and close to the one word that stands for hosts."""
    if "/" in source or Path(source).exists() or not difflib.get_close_matches(source.lower(), ["sample"]):
        return
    remedy = "did you mean 'sample', the galaxies that travel with the package?"
    raise MissingFileError(f"hosts {source}", got="no such file", expected="hosts or cutouts", remedy=remedy)


def _open_whole(path):
    """Open FITS; make an error of what astropy only warns of, that the file is shorter than its headers say."""
    from astropy.io import fits

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        hdus = fits.open(path, memmap=False, lazy_load_hdus=False)
    short = [str(each.message) for each in said if "truncated" in str(each.message)]
    if short:
        hdus.close()
        raise OSError(short[0])
    return hdus


def _from_hdus(hdus, label):
    bands = tuple(hdus[0].header["BANDS"])
    table = hdus["HOSTS"].data
    names = {name.lower(): name for name in table.names}
    for name in _REQUIRED:
        if name not in names:
            raise ColumnError(f"hosts {label}", got="no such column", expected=repr(name), remedy=closest(name, names))
    catalog = {name: _native(table[original]) for name, original in names.items()}
    image = np.ascontiguousarray(np.stack([hdus[band].data for band in bands], axis=1), dtype=np.float32)
    if len(image) != len(table):
        raise FormatError(f"hosts {label}", got=f"{len(image)} images and {len(table)} rows", expected="as many")
    psf = np.stack([np.asarray(hdus[f"PSF_{band}"].data, dtype=np.float64) for band in bands])
    psf /= psf.sum((1, 2), keepdims=True)
    scale = float(hdus[0].header["PIXSCALE"])
    sky_sigma = measure_sky_sigma(image)
    seen = bands.index("r") if "r" in bands else 0
    center, ellipticity = _measured(image[:, seen], sky_sigma[:, seen], catalog["host_id"], label)
    for array in (image, psf, center, ellipticity):
        array.flags.writeable = False
    return Hosts(
        image=image,
        catalog=catalog,
        psf=psf,
        psf_fwhm_arcsec=np.array([psf_fwhm(plane) for plane in psf]) * scale,
        sky_sigma=sky_sigma,
        center=center,
        ellipticity=ellipticity,
        bands=bands,
        pixel_scale=scale,
        label=label,
    )


def _measured(reference, sky_sigma, host_id, label):
    """Moments of the galaxies; refuses those that have none."""
    finite = np.isfinite(reference).all((1, 2))
    center, ellipticity = np.full((2, len(reference), 2), np.nan)
    center[finite], ellipticity[finite] = measure_moments(reference[finite], sky_sigma[finite])
    lost = host_id[~np.isfinite(center).all(1)]
    if len(lost):
        raise FormatError(
            f"hosts {label}",
            got=f"no galaxy in the middle of, or pixels that are not finite in {', '.join(lost[:5])}",
            expected="a galaxy in each image",
            remedy="leave them out",
        )
    return center, ellipticity


def _native(column):
    column = np.asarray(column)
    if column.dtype.kind in "US":
        return np.char.strip(column.astype(str))
    return column.astype(np.float64)


def measure_sky_sigma(images):
    """Noise of the sky in each cutout: 1.4826 MAD of the pixels beyond three quarters of the half width.

    Parameters
    ----------
    images : float32 array, (..., y, x)
        Fluxes [nanomaggy].

    Returns
    -------
    sigma : float64 array, (...)
        Standard deviation of the sky a pixel [nanomaggy]; a star in a corner hardly moves it.
    """
    height, width = images.shape[-2:]
    y, x = np.indices((height, width))
    outer = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) > 0.75 * min(height, width) / 2
    sky = np.asarray(images[..., outer], dtype=np.float64)
    return 1.4826 * np.median(np.abs(sky - np.median(sky, axis=-1, keepdims=True)), axis=-1)


def measure_moments(images, sky_sigma):
    """Centroid and ellipticity of the galaxy in the middle of each cutout.

    Photutils detects, deblends and measures: the windowed centroid, and the moments of the galaxy's own segment. The
    PSF is not taken out, so a galaxy looks rounder than it is; axis ratios are kept above 0.5.

    Parameters
    ----------
    images : float array, (n, y, x)
        Fluxes [nanomaggy] in one band.
    sky_sigma : float array, (n,)
        Noise of the sky a pixel [nanomaggy].

    Returns
    -------
    center : float64 array, (n, 2)
        Centroid (x, y) [pix]; NaN where no source lies within 5 pixels of the middle.
    ellipticity : float64 array, (n, 2)
        (e1, e2), (1 - q) / (1 + q) times (cos, sin) of twice the angle from x toward y.
    """
    middle = (np.array(images.shape[:0:-1]) - 1) / 2
    center, ellipticity = np.full((2, len(images), 2), np.nan)
    for row, (image, sigma) in enumerate(zip(images, sky_sigma, strict=True)):
        sources = _detect(np.asarray(image, dtype=np.float64), float(sigma))
        if sources is None:
            continue
        place = np.stack([sources.x_centroid_win, sources.y_centroid_win], axis=-1).reshape(-1, 2)
        nearest = np.hypot(*(place - middle).T).argmin()
        if np.hypot(*(place[nearest] - middle)) > _MIDDLE_PIX:
            continue
        q = max(1 / float(np.atleast_1d(sources.elongation)[nearest]), _MIN_AXIS_RATIO)
        angle = np.atleast_1d(sources.orientation.to_value("rad"))[nearest]
        center[row] = place[nearest]
        ellipticity[row] = (1 - q) / (1 + q) * np.array([np.cos(2 * angle), np.sin(2 * angle)])
    return center, ellipticity


def _detect(image, sigma):
    """Deblended sources above 2 sigma, or None."""
    from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources
    from photutils.utils.exceptions import NoDetectionsWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        segments = detect_sources(image, 2 * sigma, n_pixels=_MIN_PIXELS)
    if segments is None:
        return None
    segments = deblend_sources(image, segments, n_pixels=_MIN_PIXELS, contrast=0.005, progress_bar=False)
    return SourceCatalog(image, segments)
