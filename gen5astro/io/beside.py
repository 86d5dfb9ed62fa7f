"""What stands beside an image: how well each pixel was measured, which are flagged, and the PSF.

One rule for every kind of input. A pixel whose inverse variance or weight is zero was not measured: the zero that
surveys write there is no flux, and it becomes NaN, which the gate ``finite_pixels`` counts. A flagged pixel keeps its
value: flags say many things (near a bright star, detected, interpolated), and a hole in every flagged galaxy would be a
fault of our own. The share that is flagged rides along as the column ``masked_fraction``.
"""

import numpy as np

from gen5astro.errors import FormatError, ShapeError

__all__ = ["SCALE_TOLERANCE", "blank_unmeasured", "fit_psf", "flagged_fraction"]

SCALE_TOLERANCE = 0.01
"""Relative difference of two pixel scales from which they are not the same."""


def blank_unmeasured(pixels, weight):
    """Set pixels to NaN where nothing was measured.

    Parameters
    ----------
    pixels : array, (..., y, x)
        Fluxes.
    weight : array
        Inverse variance or weight of each pixel, of a shape that broadcasts to that of `pixels`.

    Returns
    -------
    pixels : array, (..., y, x)
        The same array where every weight is positive; else a floating copy.

    Raises
    ------
    ShapeError
        If the two do not fit.
    """
    try:
        bad = np.broadcast_to(~(weight > 0), pixels.shape)
    except ValueError as error:
        raise _misfit("weights", weight, pixels) from error
    if not bad.any():
        return pixels
    floating = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float32)
    return np.where(bad, np.nan, pixels).astype(floating)


def flagged_fraction(mask, pixels):
    """Share of the pixels that a mask flags in any band.

    Parameters
    ----------
    mask : array, (y, x) or (band, y, x)
        Flags; anything but zero is one.
    pixels : array, (band, y, x)
        Fluxes that the mask is of.

    Returns
    -------
    fraction : float
        From 0 to 1.

    Raises
    ------
    ShapeError
        If the mask is of another shape.
    """
    if mask.shape not in (pixels.shape, pixels.shape[1:]):
        raise _misfit("flags", mask, pixels)
    flagged = mask != 0
    return float(np.mean(flagged.any(axis=0) if flagged.ndim == 3 else flagged))


def _misfit(what, array, pixels):
    return ShapeError(what, got=f"shape {array.shape}", expected=f"that of the image, {pixels.shape}")


def fit_psf(images, side, *, what):
    """PSF images of one object as one array of a given side.

    Parameters
    ----------
    images : sequence of array, (k, k)
        PSF of each band, centered on its middle pixel.
    side : int
        Side of the result [pix], odd; a smaller image is padded with zeros, a larger one loses its rim.
    what : str
        What to call it in messages.

    Returns
    -------
    psf : float32 array, (band, side, side)
        Each of sum 1.

    Raises
    ------
    ShapeError
        If an image is not a square of odd side.
    FormatError
        If one is not finite, or without light.
    """
    psf = np.zeros((len(images), side, side))
    for plane, image in zip(psf, images, strict=True):
        if image.ndim != 2 or image.shape[0] != image.shape[1] or image.shape[0] % 2 == 0:
            expected = "a square of odd side, with the PSF's center on the middle pixel"
            raise ShapeError(what, got=f"shape {image.shape}", expected=expected)
        if not np.isfinite(image).all() or not image.sum() > 0:
            raise FormatError(what, got=f"a PSF of sum {image.sum():g}", expected="finite light: a sum above 0")
        lost = max(len(image) - side, 0) // 2
        kept = image[lost : len(image) - lost, lost : len(image) - lost]
        rim = (side - len(kept)) // 2
        plane[rim : side - rim, rim : side - rim] = kept
        plane /= plane.sum()
    return psf.astype(np.float32)
