"""The galaxies that arcs are injected into, with what the injection must know of each.

A hosts file is FITS with one image HDU a band, (n, y, x), named as the band; one image HDU ``PSF_<band>`` a band; and a
table HDU ``HOSTS`` with ``host_id``, ``ra``, ``dec`` and ``velocity_dispersion_kms``, one row a galaxy. The primary
header gives ``BANDS`` and ``PIXSCALE``; pixels are nanomaggies.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from gen5astro.errors import ColumnError, FormatError, MissingFileError, ShapeError, closest
from gen5astro.kernels.psf import psf_fwhm

__all__ = ["Hosts", "measure_moments", "measure_sky_sigma", "read_hosts"]

_REQUIRED = ("host_id", "ra", "dec", "velocity_dispersion_kms")
_WINDOW_PIX = 2.5
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

    def __len__(self):
        return len(self.image)

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


def read_hosts(source):
    """Read the hosts of a file, or those that travel with the package.

    Parameters
    ----------
    source : path-like or 'sample'
        A hosts file (see `gen5astro.sample.hosts`), or the word ``sample``.

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
    """
    from astropy.io import fits

    if str(source) == "sample":
        path, label = resources.files("gen5astro.sample") / "data" / "hosts.fits", "sample"
    else:
        path, label = Path(source), str(source)
    if not path.is_file():
        raise MissingFileError(f"hosts {label}", got="no such file", expected="a FITS file of hosts, or 'sample'")
    try:
        with fits.open(path, memmap=False) as hdus:
            return _from_hdus(hdus, label)
    except (OSError, TypeError, KeyError, ValueError) as error:
        if isinstance(error, (ColumnError, FormatError)):
            raise
        raise FormatError(
            f"hosts {label}",
            got=str(error),
            expected="a FITS file with an HDU a band, PSF_<band> and HOSTS",
            remedy="see the docs, 'inject arcs into your own galaxies'",
        ) from error


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
    reference = image[:, bands.index("r") if "r" in bands else 0]
    center, ellipticity = _measured(reference, catalog["host_id"], label)
    for array in (image, psf, center, ellipticity):
        array.flags.writeable = False
    return Hosts(
        image=image,
        catalog=catalog,
        psf=psf,
        psf_fwhm_arcsec=np.array([psf_fwhm(plane) for plane in psf]) * scale,
        sky_sigma=measure_sky_sigma(image),
        center=center,
        ellipticity=ellipticity,
        bands=bands,
        pixel_scale=scale,
        label=label,
    )


def _measured(reference, host_id, label):
    """Moments of the galaxies; refuses those that have none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        finite = np.isfinite(reference).all((1, 2))
        center, ellipticity = measure_moments(np.where(finite[:, None, None], reference, 0))
    lost = host_id[~(finite & np.isfinite(center).all(1) & np.isfinite(ellipticity).all(1))]
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


def measure_moments(images):
    """Centroid and ellipticity of the galaxy in the middle of each cutout.

    Moments of the light under a round Gaussian window that follows the centroid, freed of the window as for a Gaussian
    galaxy [1]_. The PSF is not taken out, so a galaxy looks rounder than it is; axis ratios are kept above 0.5.

    Parameters
    ----------
    images : float32 array, (n, y, x)
        Fluxes [nanomaggy] in one band.

    Returns
    -------
    center : float64 array, (n, 2)
        Centroid (x, y) [pix].
    ellipticity : float64 array, (n, 2)
        (e1, e2), (1 - q) / (1 + q) times (cos, sin) of twice the angle from x toward y.

    References
    ----------
    .. [1] Bernstein & Jarvis 2002, AJ 123, 583.
    """
    height, width = images.shape[-2:]
    y, x = np.indices((height, width), dtype=np.float64)
    center = np.empty((len(images), 2))
    ellipticity = np.empty((len(images), 2))
    for row, image in enumerate(images):
        x0, y0 = (width - 1) / 2, (height - 1) / 2
        for _ in range(20):
            weight = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * _WINDOW_PIX**2)) * image
            # A windowed centroid is pulled half-way to the window's center, hence the factor 2.
            step = np.array([((x - x0) * weight).sum(), ((y - y0) * weight).sum()]) * 2 / weight.sum()
            x0, y0 = x0 + step[0], y0 + step[1]
            if np.hypot(*step) < 1e-4:
                break
        center[row] = x0, y0
        ellipticity[row] = _ellipticity(weight, x - x0, y - y0)
    return center, ellipticity


def _ellipticity(weight, dx, dy):
    xx, xy, yy = ((weight * product).sum() / weight.sum() for product in (dx * dx, dx * dy, dy * dy))
    free = np.linalg.inv(np.array([[xx, xy], [xy, yy]])) - np.eye(2) / _WINDOW_PIX**2
    small, large = np.sqrt(1 / np.clip(np.linalg.eigvalsh(free)[::-1], 1e-3, None))
    moments = np.linalg.inv(free)
    angle = 0.5 * np.arctan2(2 * moments[0, 1], moments[0, 0] - moments[1, 1])
    q = max(small / large, _MIN_AXIS_RATIO)
    return (1 - q) / (1 + q) * np.array([np.cos(2 * angle), np.sin(2 * angle)])
