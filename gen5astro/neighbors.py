"""Neighbors of the host, found with photutils: what must not be fitted as if it were the host's light.

The host itself is nearly symmetric, its neighbors are not: what an image holds beyond its own half turn about the
host's center belongs to something else, even on the host's wings. A saturated star in a corner is such a neighbor.
"""

import warnings

import numpy as np

from gen5astro.engine import warnings_lock

__all__ = ["mask_neighbors"]

_BIN = 2
_GAP = 1
_SIGNIFICANCE = 5.0
_TOLERANCE = 0.5
_MIN_PIXELS = 3


def mask_neighbors(ctrl, center, sky_sigma):
    """Find the pixels that neighbors of each host cover.

    The bands are summed in units of their noise and binned 2 x 2; a neighbor is a segment of at least three binned
    pixels that exceed their mirror image about the center by half of it and by five times the noise. Segments are
    widened by one binned pixel. All images are laid out side by side, and photutils segments them at once.

    Parameters
    ----------
    ctrl : float32 array, (n, band, y, x)
        Fluxes [nanomaggy].
    center : float64 array, (n, 2)
        Host center (x, y) [pix].
    sky_sigma : float64 array, (n, band)
        Noise of the sky [nanomaggy / pix].

    Returns
    -------
    masked : bool array, (n, y, x)
        Whether a pixel is a neighbor's; nothing is, in an image that is not finite or has no noise.
    """
    from photutils.segmentation import detect_sources
    from photutils.utils.exceptions import NoDetectionsWarning

    n, bands, height, width = ctrl.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = (1 / (np.asarray(sky_sigma) * _BIN * np.sqrt(bands))).astype(np.float32)
        light = np.einsum("nbyx,nb->nyx", ctrl, weight, optimize=False)
    light[~np.isfinite(light).all(axis=(1, 2))] = 0
    light = _binned(light)
    excess = light - (1 + _TOLERANCE) * np.maximum(_half_turned(light, center), 0)
    sheet, place = _side_by_side(excess)
    with warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        segments = detect_sources(sheet, _SIGNIFICANCE, n_pixels=_MIN_PIXELS)
    masked = np.zeros((n, height, width), dtype=bool)
    if segments is None:
        return masked
    wide = _widened(segments.data > 0)[place]
    for row in range(_BIN):
        for column in range(_BIN):
            part = masked[:, row::_BIN, column::_BIN]
            part[...] = wide[:, : part.shape[1], : part.shape[2]]
    return masked


def _binned(images):
    """Sum 2 x 2 pixels; an odd row or column at the edge counts as it is."""
    height, width = images.shape[1:]
    odd = height % _BIN or width % _BIN
    padded = np.pad(images, ((0, 0), (0, height % _BIN), (0, width % _BIN))) if odd else images
    rows = padded[:, 0::_BIN] + padded[:, 1::_BIN]
    return rows[:, :, 0::_BIN] + rows[:, :, 1::_BIN]


def _widened(covered):
    """Each covered pixel with its eight neighbors."""
    rows = covered.copy()
    rows[1:] |= covered[:-1]
    rows[:-1] |= covered[1:]
    wide = rows.copy()
    wide[:, 1:] |= rows[:, :-1]
    wide[:, :-1] |= rows[:, 1:]
    return wide


def _half_turned(light, center):
    """Each image turned by half a turn about its center, to the nearest half of a binned pixel; zero from outside."""
    n, height, width = light.shape
    middle = (np.asarray(center) + 0.5) / _BIN - 0.5
    twice = np.rint(2 * middle).astype(np.intp)
    row, column = twice[:, 1, None] - np.arange(height), twice[:, 0, None] - np.arange(width)
    inside = ((row >= 0) & (row < height))[:, :, None] & ((column >= 0) & (column < width))[:, None, :]
    row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    return np.where(inside, light[np.arange(n)[:, None, None], row[:, :, None], column[:, None, :]], 0)


def _side_by_side(images):
    """One large image with a gap between each two, and the places of all pixels in it."""
    n, height, width = images.shape
    across = int(np.ceil(np.sqrt(n)))
    down = -(-n // across)
    sheet = np.zeros((down * (height + _GAP), across * (width + _GAP)), dtype=images.dtype)
    at = np.arange(n)
    row = (at // across * (height + _GAP))[:, None, None] + np.arange(height)[:, None]
    column = (at % across * (width + _GAP))[:, None, None] + np.arange(width)
    place = tuple(np.broadcast_arrays(row, column))
    sheet[place] = images
    return sheet, place
