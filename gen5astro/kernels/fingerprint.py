"""A short mark of an image's own noise and neighbors, the same after what people do to a stored cutout.

No two exposures share their noise, so the noise tells two images of one galaxy, stored twice, from images of two
galaxies that look alike. On a lattice about the host's peak, the mean of 3 x 3 pixels less that of 7 x 7 is taken: a
pedestal cancels, and so does a whole-pixel shift. Each band is scaled by its own median, so that a zero point cancels,
and clipped, so that no star decides. Sums over the places that flips and quarter turns exchange cancel those. What is
left is projected onto 256 fixed directions, of which the signs are kept: of unrelated images half of the bits differ.

Round galaxies without noise are all alike. Where neighboring places of the lattice are alike too, the noise does not
show, and the image has no fingerprint.
"""

import hashlib
from functools import cache

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError

__all__ = ["BITS", "fingerprint"]

BITS = 256
_STEP = 3
_REACH = 3
_CORE_STEPS = 2
_SMOOTH = 4
_CLIP = 3.0
_LEAST_FEATURES = 50
_LEAST_ROUGHNESS = 0.5


def fingerprint(images):
    """Fingerprint of each image.

    Parameters
    ----------
    images : float32 array, (n, band, y, x)
        Fluxes, in any unit.

    Returns
    -------
    marks : uint64 array, (n, 4)
        256 bits; the same, but for a few, after a change of zero point or pedestal of any band, rounding below the
        noise, flips, quarter turns and shifts by up to a tenth of the image. All zero where a band is blank or not
        finite, where the noise does not show (a mock without noise), or the image is too small to have one.

    Raises
    ------
    ShapeError
        If `images` is not of four dimensions.
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim != 4:
        raise ShapeError("images", got=f"{images.shape}", expected="(n, band, y, x)")
    n, bands, height, width = images.shape
    shift = min(height, width) // 10
    side = max((min(height, width) - 1) // 2 - shift - _REACH, 0) // _STEP
    orbits = _orbits(side)
    marks = np.zeros((n, BITS // 64), np.uint64)
    if bands * orbits.shape[1] < _LEAST_FEATURES:
        return marks
    cells = np.empty((n, bands, (2 * side + 1) ** 2))
    _measure(images, shift, side, cells)
    scale = np.median(np.abs(cells), axis=-1, keepdims=True)
    usable = ((scale > 0) & np.isfinite(scale)).all(axis=(1, 2))
    cells = np.clip(cells / np.where(usable[:, None, None], scale, 1.0), -_CLIP, _CLIP)
    usable &= _roughness(cells, 2 * side + 1) >= _LEAST_ROUGHNESS
    features = cells[usable] @ orbits
    features /= np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-300)
    n_features = bands * orbits.shape[1]
    signs = features.reshape(len(features), n_features) @ _directions(n_features) > 0
    marks[usable] = np.packbits(signs, axis=1, bitorder="little").view("<u8")
    return marks


def _roughness(cells, width):
    """Mean square step between neighboring cells over that of white noise, mean of the bands: float64 array, (n,)."""
    lattice = cells.reshape(*cells.shape[:2], width, width)
    steps = sum((np.diff(lattice, axis=axis) ** 2).sum(axis=(2, 3)) for axis in (2, 3))
    power = (cells**2).sum(axis=2)
    return np.divide(steps, 4 * power, out=np.zeros_like(power), where=power > 0).mean(axis=1)


@cache
def _orbits(side):
    """Sums over the cells that flips and quarter turns exchange: float64 array, (cell, orbit)."""
    y, x = (each.ravel() for each in np.indices((2 * side + 1,) * 2) - side)
    far, near = np.maximum(abs(y), abs(x)), np.minimum(abs(y), abs(x))
    kept = np.hypot(y, x) >= _CORE_STEPS
    _, orbit, members = np.unique((far * (side + 1) + near)[kept], return_inverse=True, return_counts=True)
    sums = np.zeros((len(y), len(members)))
    sums[np.flatnonzero(kept), orbit] = 1.0 / np.sqrt(members[orbit])
    # A galaxy's round profile is alike in all galaxies: what is smooth in radius is taken out of the sums.
    radius = (sums**2).T @ np.hypot(y, x)
    smooth = np.linalg.qr(np.sqrt(members)[:, None] * radius[:, None] ** -np.arange(_SMOOTH))[0]
    return sums - (sums @ smooth) @ smooth.T


@cache
def _directions(n_features):
    """Fixed directions of +1 and -1, from SHAKE-256 of a word: float64 array, (n_features, BITS)."""
    stream = hashlib.shake_256(b"gen5astro fingerprint 1").digest(n_features * BITS // 8)
    return np.unpackbits(np.frombuffer(stream, np.uint8)).reshape(n_features, BITS) * 2.0 - 1.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _measure(images, shift, side, cells):
    n, bands, height, width = images.shape
    # Sums over all pixels below and left of each, from which any box takes four; a NaN reaches all that follow it.
    sums = np.zeros((bands, height + 1, width + 1))
    weights = np.empty(bands)
    for i in range(n):
        for band in range(bands):
            weights[band] = _add_up(images[i, band], sums[band])
        top, left = _peak(sums, weights, shift)
        for band in range(bands):
            if weights[band] == 0.0:
                cells[i, band] = np.nan
                continue
            at = 0
            for row in range(-side, side + 1):
                for column in range(-side, side + 1):
                    y, x = top + row * _STEP, left + column * _STEP
                    cells[i, band, at] = _box(sums[band], y, x, 1) / 9.0 - _box(sums[band], y, x, _REACH) / 49.0
                    at += 1


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _add_up(plane, sums):
    """Fill the table of sums; return the band's weight, one over its pixel-to-pixel scatter; 0 if it has none."""
    height, width = plane.shape
    scatter = 0.0
    for y in range(height):
        row = 0.0
        for x in range(width):
            row += plane[y, x]
            sums[y + 1, x + 1] = sums[y, x + 1] + row
            if x > 0:
                scatter += abs(plane[y, x] - plane[y, x - 1])
    return 1.0 / scatter if scatter > 0 else 0.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _peak(sums, weights, shift):
    """Brightest 3 x 3 pixels near the middle."""
    height, width = sums.shape[1] - 1, sums.shape[2] - 1
    best, best_y, best_x = -np.inf, height // 2, width // 2
    for y in range((height - 1) // 2 - shift, height // 2 + shift + 1):
        for x in range((width - 1) // 2 - shift, width // 2 + shift + 1):
            flux = 0.0
            for band in range(len(weights)):
                flux += weights[band] * _box(sums[band], y, x, 1)
            if flux > best:
                best, best_y, best_x = flux, y, x
    return best_y, best_x


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _box(sums, y, x, reach):
    """Sum of the pixels no farther than `reach` rows and columns away."""
    top, bottom, left, right = y - reach, y + reach + 1, x - reach, x + reach + 1
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
