"""Cutouts of single galaxies as a network takes them: which fit, what is cut of them, and which are not whole."""

import numpy as np

from gen5astro.errors import SchemaError
from gen5astro.kernels.gather import not_finite
from gen5astro.training.checkpoint import PIXEL_SCALE_TOLERANCE
from gen5astro.training.score import center_crop

__all__ = ["check_cutouts", "fit_cutouts"]


def check_cutouts(taker, source):
    """Refuse images that a network was not made for.

    Parameters
    ----------
    taker : Finder or Cube
        What says which bands, shape and pixel scale the network takes: it, or the cube that it is trained on.
    source : ParquetCutouts, TableCutouts or MultimodalCutouts
        The images. They may have more bands, in any order, and be larger.

    Returns
    -------
    notes : list of str
        What is done to make them fit.

    Raises
    ------
    SchemaError
        If a band is missing, the pixel scale differs by more than 1 %, or they are smaller.
    """
    label, trained = f"cutouts {source.label}", "as the network has it"
    missing = [band for band in taker.bands if band not in source.bands]
    if missing:
        raise SchemaError(
            f"{label}, bands",
            got=",".join(source.bands),
            expected=f"{','.join(taker.bands)}, {trained}",
            remedy="name the planes with --bands where the images tell none, or use images in these bands",
        )
    if abs(source.pixel_scale / taker.pixel_scale - 1) > PIXEL_SCALE_TOLERANCE:
        raise SchemaError(
            f"{label}, pixel scale",
            got=f"{source.pixel_scale:g} arcsec",
            expected=f"{taker.pixel_scale:g}, {trained} (1 % either way)",
            remedy="use images of that scale; --pixel-scale says theirs where the images tell none",
        )
    have, want = (" x ".join(map(str, shape)) for shape in (source.shape, taker.shape))
    if min(np.subtract(source.shape, taker.shape)) < 0:
        raise SchemaError(
            f"{label}, image size",
            got=f"{have} pix",
            expected=f"{want} or more, {trained}",
            remedy=f"cut them larger: gen5astro cutout ... --size {max(taker.shape)}",
        )
    notes = []
    if tuple(source.bands) != taker.bands:
        notes.append(f"Of bands {','.join(source.bands)} the network sees {','.join(taker.bands)}")
    if tuple(source.shape) != taker.shape:
        notes.append(f"Of {have} pix the network sees the middle {want}")
    return notes


def fit_cutouts(taker, block):
    """Cut the middle out of images, in the network's bands, and find those that no network should be shown.

    Parameters
    ----------
    taker : Finder or Cube
        What says which bands and shape the network takes.
    block : CutoutBlock
        The images, from a source that `check_cutouts` let pass.

    Returns
    -------
    images : float32 array, (n, band, y, x)
        Fluxes [nanomaggy].
    reasons : dict of int to str
        Of those that are not whole: why, by their number in the block.
    """
    order = [block.bands.index(band) for band in taker.bands]
    images = center_crop(block.image, taker.shape)[:, order]
    return images, _unfit(images, taker.bands)


def _unfit(images, bands):
    """Why images cannot be scored: reasons by their numbers."""
    planes = images.reshape(*images.shape[:2], -1)
    reasons = {}
    # A band without a single other value was never measured, whatever number a survey fills it with.
    for at, band in np.argwhere(planes.min(axis=2) == planes.max(axis=2)).tolist():
        reasons.setdefault(at, f"image: got one value in all pixels of band {bands[band]}; expected an image")
    for at in not_finite(images).tolist():
        lost = np.count_nonzero(~np.isfinite(planes[at]).all(axis=0))
        reasons[at] = f"image: got {lost} pixels without a value; expected a whole image"
    return reasons
