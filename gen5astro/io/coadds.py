"""Coadds of a survey: large images with a WCS, one band a plane, and stamps cut out of them.

Where the planes share a grid, or grids that differ by whole pixels, a stamp has the pixels of the coadd, untouched. A
band on another grid is resampled to that of the first band: a cubic B-spline through its pixels
(`scipy.ndimage.map_coordinates`), taken at the middle of each new pixel, or, where the new pixels are larger, at points
inside it and averaged; times the ratio of the pixels' areas, since a pixel holds a flux and not a brightness. That
keeps the flux of a star to 0.01 %, that within 2 arcsec to 0.1 %, and correlates the noise of neighboring pixels.
"""

from dataclasses import dataclass, replace

import numpy as np

from gen5astro.errors import FormatError
from gen5astro.io.beside import SCALE_TOLERANCE, blank_unmeasured, fit_psf
from gen5astro.io.fits_planes import opened_fits, read_lone_planes, read_planes, read_psf_planes

__all__ = ["CoaddPlane", "Stamp", "UncutError", "cut_stamp", "order_bands", "read_coadds", "stacked_psf"]

_ALIGNED_PX = 0.01
_SPLINE_REACH = 12
_COARSER = 1.2


class UncutError(FormatError):
    """A position that no stamp can be cut at."""


@dataclass(frozen=True)
class CoaddPlane:
    """One band of a coadd.

    Parameters
    ----------
    band : str
        Its name.
    pixels : float32 array, (y, x)
        Fluxes [nanomaggy]; NaN where nothing was measured.
    wcs : astropy.wcs.WCS
        Celestial, of two axes.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    label : str
        What to call it in messages: its file.
    flagged : bool array, (y, x), optional
        Pixels that a mask flags.
    psf : float64 array, (k, k), optional
        PSF image, as stored.
    """

    band: str
    pixels: np.ndarray
    wcs: object
    pixel_scale: float
    label: str
    flagged: np.ndarray | None = None
    psf: np.ndarray | None = None


@dataclass(frozen=True)
class Stamp:
    """A stamp cut out of coadds.

    Parameters
    ----------
    pixels : float32 array, (band, y, x)
        Fluxes [nanomaggy].
    center : tuple of float
        The position that was asked for, (x, y) in the stamp [pix].
    plane : CoaddPlane
        That of the first band, whose grid the stamp has.
    wcs : astropy.wcs.WCS
        Of the stamp.
    masked_fraction : float
        Share of the pixels that a mask flags in any band; NaN where no plane has a mask.
    resampled : tuple of str
        Bands that were not on this grid.
    psf : list of array, (k, k), or None
        PSF of each band, where all have one.
    """

    pixels: np.ndarray
    center: tuple[float, float]
    plane: CoaddPlane
    wcs: object
    masked_fraction: float
    resampled: tuple[str, ...]
    psf: list | None


def read_coadds(paths, *, bands=None):
    """Read the planes of coadds.

    Parameters
    ----------
    paths : iterable of path-like
        FITS files: one a band, or of several bands; of one field or of more. Files of weights or masks alone belong to
        the images of their band, or of all bands, on the same grid.
    bands : sequence of str, optional
        Bands to read, in this order; by default all, in the order of the files.

    Returns
    -------
    planes : dict of str to list of CoaddPlane
        Of each band, in the order of the files.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If one is broken or has no WCS, a band is not there, or the pixel scales of the first band differ.
    """
    planes, grids, lone = {}, [], []
    for path in paths:
        with opened_fits(path) as hdus:
            if alone := read_lone_planes(hdus, str(path)):
                primary = hdus[0].header
                lone += [(*each[:3], _find_wcs(each[3], primary, str(path), grids), str(path)) for each in alone]
                continue
            found = read_planes(hdus, str(path))
            psf = read_psf_planes(hdus, str(path), [plane.band for plane in found])
            for plane in found:
                if bands is None or plane.band in bands:
                    wcs = _find_wcs(plane.header, hdus[0].header, f"{path}: band {plane.band}", grids)
                    placed = _placed(plane, wcs, str(path), psf.get(plane.band))
                    planes.setdefault(plane.band, []).append(placed)
    for each in lone:
        _join(planes, each, bands)
    wanted = tuple(planes) if bands is None else tuple(bands)
    missing = [band for band in wanted if band not in planes]
    if missing or not wanted:
        got = f"bands {', '.join(planes)}" if planes else "no images"
        raise FormatError(f"images {', '.join(map(str, paths))}", got=got, expected=f"band {', '.join(missing) or 'g'}")
    first, *others = planes[wanted[0]]
    for other in others:
        if abs(other.pixel_scale / first.pixel_scale - 1) > SCALE_TOLERANCE:
            got, expected = f"{other.pixel_scale:g} arcsec a pixel", f"{first.pixel_scale:g}, as {first.label}"
            raise FormatError(other.label, got=got, expected=expected, remedy="cut them one by one")
    return {band: planes[band] for band in wanted}


def order_bands(planes):
    """Put bands in the order of their wavelength, which a network is trained with.

    Parameters
    ----------
    planes : dict of str to list of CoaddPlane
        From `read_coadds`.

    Returns
    -------
    bands : tuple of str
        u, g, r, i, z, y, then others as they stand.
    """
    known = "ugrizy"
    return tuple(sorted(planes, key=lambda band: known.index(band) if band in known else len(known)))


def _find_wcs(header, primary, what, grids):
    """Celestial WCS of a header, one object for all that are the same."""
    from astropy.wcs import WCS

    wcs = WCS(header)
    if not wcs.has_celestial:
        wcs = WCS(primary)
    if not wcs.has_celestial:
        raise FormatError(what, got="no celestial WCS", expected="CTYPE, CRVAL, CRPIX and CD")
    wcs = wcs.celestial
    same = [grid for grid in grids if not wcs.has_distortion and grid.wcs.compare(wcs.wcs)]
    grids += [] if same else [wcs]
    return same[0] if same else wcs


def _placed(plane, wcs, label, psf):
    from astropy.wcs.utils import proj_plane_pixel_area

    scale = float(np.sqrt(proj_plane_pixel_area(wcs)) * 3600)
    return CoaddPlane(plane.band, plane.pixels, wcs, round(scale, 6), label, plane.flagged, psf)


def _join(planes, lone, bands):
    """Apply weights or a mask from a file of its own to the images that it is of."""
    role, band, pixels, wcs, label = lone
    if bands is not None and band is not None and band not in bands:
        return
    joined = False
    for each in planes.values() if band is None else [planes.get(band, [])]:
        for at, plane in enumerate(each):
            if plane.wcs is not wcs or plane.pixels.shape != pixels.shape:
                continue
            joined = True
            if role == "mask":
                flagged = pixels != 0 if plane.flagged is None else plane.flagged | (pixels != 0)
                each[at] = replace(plane, flagged=flagged)
            else:
                each[at] = replace(plane, pixels=blank_unmeasured(plane.pixels, pixels))
    if not joined:
        of = "all bands" if band is None else f"band {band}"
        raise FormatError(label, got=f"{role} of {of} on a grid of its own", expected="that of an image")


def cut_stamp(planes, position, size, *, max_missing=0.0):
    """Cut a stamp of all bands at a position.

    Parameters
    ----------
    planes : dict of str to list of CoaddPlane
        From `read_coadds`.
    position : astropy.coordinates.SkyCoord
        Of the object.
    size : int
        Side of the stamp [pix].
    max_missing : float
        Largest share of the pixels of a band that were not measured; they are NaN.

    Returns
    -------
    stamp : Stamp
        On whole pixels of the first band's grid, with the position within half a pixel of its middle.

    Raises
    ------
    UncutError
        If the position is off the images or too near their edge, or too many pixels were not measured.
    """
    first, *others = planes
    plane, center, corner = _place(planes[first], position, size)
    stack, flags, resampled, psf = [_window(plane.pixels, corner, size)], [], [], [plane.psf]
    if plane.flagged is not None:
        flags.append(_window(plane.flagged, corner, size))
    for band in others:
        other, pixels, flagged, moved = _cut_band(planes[band], plane, corner, size)
        stack.append(pixels)
        psf.append(other.psf)
        flags += [] if flagged is None else [flagged]
        resampled += [band] if moved else []
    for band, pixels in zip(planes, stack, strict=True):
        lost = np.count_nonzero(~np.isfinite(pixels))
        if not pixels.any() or lost == pixels.size:
            raise UncutError(f"band {band}", got="no data", expected="an image")
        if lost > max_missing * pixels.size:
            remedy = f"allow them with --set cutout.max_missing_fraction={np.ceil(1e3 * lost / pixels.size) / 1e3:g}"
            raise UncutError(f"band {band}", got=f"{lost} pixels without data", expected="whole images", remedy=remedy)
    wcs = plane.wcs.deepcopy()
    wcs.wcs.crpix -= corner
    return Stamp(
        pixels=np.stack(stack).astype(np.float32),
        center=(float(center[0] - corner[0]), float(center[1] - corner[1])),
        plane=plane,
        wcs=wcs,
        masked_fraction=float(np.any(flags, axis=0).mean()) if flags else np.nan,
        resampled=tuple(resampled),
        psf=None if any(each is None for each in psf) else psf,
    )


def _place(planes, position, size):
    """Plane that holds the stamp, position on it (x, y) and the stamp's first pixel; the one with most room."""
    found = []
    for plane in planes:
        height, width = plane.pixels.shape
        x, y = (float(each) for each in plane.wcs.world_to_pixel(position))
        if not (np.isfinite(x) and np.isfinite(y)):
            continue
        corner = np.array([round(x - (size - 1) / 2), round(y - (size - 1) / 2)])
        over = max(-corner[0], -corner[1], corner[0] + size - width, corner[1] + size - height)
        off = max(-0.5 - x, -0.5 - y, x - width + 0.5, y - height + 0.5)
        found.append((over, off, plane, (x, y), corner))
    if not found:
        raise UncutError("position", got="a place on the other side of the sky", expected="one on the images")
    over, off, plane, center, corner = min(found, key=lambda each: each[0])
    if off > 0:
        raise UncutError("position", got=f"a place {off:.0f} pix off {plane.label}", expected="one on the images")
    if over > 0:
        got = f"a stamp that leaves {plane.label} by {over} pix"
        raise UncutError("position", got=got, expected=f"{size} x {size} pix about it on the image")
    return plane, center, corner


def _window(image, corner, size):
    left, bottom = corner
    return image[bottom : bottom + size, left : left + size]


def _cut_band(planes, first, corner, size):
    """Plane, pixels, flags and whether they were resampled, from the first plane that holds the stamp."""
    edge = np.array([[0, 0], [0, size - 1], [size - 1, 0], [size - 1, size - 1], [(size - 1) / 2] * 2]) + corner
    for plane in planes:
        place = _on_plane(edge, first, plane)
        shift = np.rint(place[0] - edge[0])
        height, width = plane.pixels.shape
        if np.all(np.abs(place - edge - shift) < _ALIGNED_PX):
            left, bottom = (corner + shift).astype(int)
            if left >= 0 and bottom >= 0 and left + size <= width and bottom + size <= height:
                flagged = None if plane.flagged is None else _window(plane.flagged, (left, bottom), size)
                return plane, _window(plane.pixels, (left, bottom), size), flagged, False
        elif np.all(place.min(axis=0) >= 1) and np.all(place.max(axis=0) <= (width - 2, height - 2)):
            return plane, *_resample(plane, first, corner, size), True
    raise UncutError(f"band {planes[0].band}", got="no image that holds the stamp", expected="all bands")


def _on_plane(place, first, plane):
    """Pixels (x, y) of one plane as pixels of another, (n, 2)."""
    from astropy.wcs.utils import pixel_to_pixel

    if plane.wcs is first.wcs:
        return place
    return np.stack(pixel_to_pixel(first.wcs, plane.wcs, *place.T), axis=-1)


def _resample(plane, first, corner, size):
    """Pixels of a plane on the grid of another, and its flags."""
    from scipy.ndimage import map_coordinates

    middle = corner + (size - 1) / 2
    step = _on_plane(middle + np.array([[0, 0], [1, 0], [0, 1]]), first, plane)
    area = abs(np.linalg.det(step[1:] - step[0]))
    fine = int(np.ceil(2 * np.sqrt(area))) if area > _COARSER**2 else 1
    at = (np.arange(size * fine) + 0.5) / fine - 0.5
    y, x = np.meshgrid(at + corner[1], at + corner[0], indexing="ij")
    place = _on_plane(np.stack([x.ravel(), y.ravel()], axis=-1), first, plane)
    low = np.maximum(np.floor(place.min(axis=0)).astype(int) - _SPLINE_REACH, 0)
    high = np.ceil(place.max(axis=0)).astype(int) + _SPLINE_REACH + 1
    local = plane.pixels[low[1] : high[1], low[0] : high[0]].astype(np.float64)
    nearest = tuple(np.rint(place - low).astype(int).T[::-1])
    # A spline carries a hole far; it is filled, and opened again for each pixel that would have looked into it.
    unknown = ~np.isfinite(local)
    seen = map_coordinates(np.where(unknown, 0, local), (place - low).T[::-1], order=3, mode="mirror")
    if unknown.any():
        holes = map_coordinates(unknown.astype(np.float64), (place - low).T[::-1], order=1, mode="nearest")
        seen[holes > 0] = np.nan
    pixels = seen.reshape(size, fine, size, fine).mean(axis=(1, 3)) * area
    if plane.flagged is None:
        return pixels, None
    flagged = plane.flagged[low[1] : high[1], low[0] : high[0]][nearest]
    return pixels, flagged.reshape(size, fine, size, fine).any(axis=(1, 3))


def stacked_psf(stamps):
    """PSFs of stamps as one array.

    Parameters
    ----------
    stamps : sequence of Stamp
        Each with a PSF of every band.

    Returns
    -------
    psf : float32 array, (n, band, k, k)
        Of sum 1; k is that of the largest, to which the others are padded.
    """
    side = max(len(plane) for stamp in stamps for plane in stamp.psf)
    return np.stack([fit_psf(stamp.psf, side, what=f"PSF of {stamp.plane.label}") for stamp in stamps])
