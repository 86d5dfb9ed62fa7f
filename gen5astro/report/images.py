"""Cutouts as small color pictures inside a page."""

import base64
import io
import warnings

import numpy as np

__all__ = ["lupton_uri", "triplet"]

# Relative weights with which the Legacy Surveys viewer balances its bands.
_WEIGHTS = {"g": 1.76, "r": 1.0, "i": 0.82, "z": 0.65}
_SOFTENING = 8.0
# Black point and stretch in sky sigmas: for an image, and for a residual, which is shown four times as hard.
_IMAGE = (-1.5, 12.0)
_RESIDUAL = (-0.3, 3.0)


def triplet(stamp, ctrl, residual, bands):
    """Draw a pair as three pictures: stamp and ctrl in one stretch, the residual in one four times as hard.

    All three are scaled by the noise of the ctrl's border, so that a residual level of one sky sigma is seen.

    Parameters
    ----------
    stamp, ctrl, residual : float array, (band, y, x)
        Fluxes [nanomaggy].
    bands : sequence of str
        Names of the planes.

    Returns
    -------
    uris : list of tuple
        ``(label, data URI)`` for stamp, ctrl and residual.
    """
    level, sigma = _sky(ctrl)
    none = np.zeros_like(level)
    return [
        ("stamp", _uri(_rgb(stamp, level, sigma, bands, *_IMAGE))),
        ("ctrl", _uri(_rgb(ctrl, level, sigma, bands, *_IMAGE))),
        ("residual", _uri(_rgb(residual, none, sigma, bands, *_RESIDUAL))),
    ]


def lupton_uri(image, bands):
    """Draw one cutout.

    Parameters
    ----------
    image : float array, (band, y, x)
        Fluxes [nanomaggy].
    bands : sequence of str
        Names of the planes; of g, r, z the last is red, else the last, middle and first plane are red, green, blue.

    Returns
    -------
    uri : str
        PNG as a ``data:`` URI, with the first row of pixels at the bottom.
    """
    return _uri(_rgb(image, *_sky(image), bands, *_IMAGE))


def _sky(image):
    """Median and robust sigma of each band in a border an eighth of the image wide."""
    image = np.where(np.isfinite(image), image, np.nan).astype(float)
    width = max(min(image.shape[-2:]) // 8, 1)
    border = np.ones(image.shape[-2:], dtype=bool)
    border[width:-width, width:-width] = False
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice encountered")
        level = np.nanmedian(image[:, border], axis=1)
        sigma = 1.4826 * np.nanmedian(np.abs(image[:, border] - level[:, None]), axis=1)
    level = np.nan_to_num(level)
    floor = np.nanmax(np.abs(image), initial=0.0) / 100 or 1.0
    return level, np.where(np.isfinite(sigma) & (sigma > 0), sigma, floor)


def _rgb(image, level, sigma, bands, black, stretch):
    """Lupton et al. (2004, PASP 116, 133) color composite, uint8 (y, x, 3)."""
    from astropy.visualization import make_lupton_rgb

    bands = tuple(bands)
    order = [bands.index(band) for band in "zrg"] if set("grz") <= set(bands) else [-1, len(bands) // 2, 0]
    weight = np.array([_WEIGHTS.get(band, 1.0) for band in bands])
    planes = (np.asarray(image, dtype=float) - level[:, None, None]) * weight[:, None, None]
    planes = np.nan_to_num(planes, nan=0.0, posinf=0.0, neginf=0.0)
    unit = float(np.median((sigma * weight)[order]))
    red, green, blue = (planes[at] / unit for at in order)
    return make_lupton_rgb(red, green, blue, minimum=black, stretch=stretch, Q=_SOFTENING)[::-1]


def _uri(rgb):
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(rgb), format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
