"""Neighbors of the host, found with photutils: what must not be fitted as if it were the host's light.

The host itself is nearly symmetric, its neighbors are not: what an image holds beyond its own half turn about the
host's center belongs to something else, even on the host's wings. A saturated star in a corner is such a neighbor.
"""

import math
import warnings

import numpy as np

from gen5astro.engine import warnings_lock
from gen5astro.kernels.mirror import BIN, mirror_excess

__all__ = ["mask_neighbors"]

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
        weight = 1 / (np.asarray(sky_sigma) * BIN * np.sqrt(bands))
    rows, columns = -(-height // BIN), -(-width // BIN)
    across = math.ceil(math.sqrt(n))
    sheet = np.zeros((-(-n // across), rows + _GAP, across, columns + _GAP), dtype=np.float32)
    mirror_excess(ctrl, weight, center, _TOLERANCE, sheet)
    with warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        segments = detect_sources(
            sheet.reshape(sheet.shape[0] * sheet.shape[1], -1), _SIGNIFICANCE, n_pixels=_MIN_PIXELS
        )
    if segments is None:
        return np.zeros((n, height, width), dtype=bool)
    wide = _widened(segments.data > 0).reshape(sheet.shape)[:, :rows, :, :columns]
    binned = wide.transpose(0, 2, 1, 3).reshape(-1, rows, columns)[:n]
    return binned.repeat(BIN, axis=1).repeat(BIN, axis=2)[:, :height, :width]


def _widened(covered):
    """Each covered pixel with its eight neighbors."""
    rows = covered.copy()
    rows[1:] |= covered[:-1]
    rows[:-1] |= covered[1:]
    wide = rows.copy()
    wide[:, 1:] |= rows[:, :-1]
    wide[:, :-1] |= rows[:, 1:]
    return wide
