"""A batch as a network sees it, in one pass: any rows of a stored set, normalized, stretched and turned.

Each pixel is read once from where it is stored and written once to where the batch wants it. Apart, the copy, the
scaling, the stretch and the turn would each move the batch through memory again. Codes of 16 bits are decoded in the
same pass, so that half as many bytes are read.
"""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError
from gen5astro.kernels.median import is_finite
from gen5astro.kernels.normalize import stretch_room, stretch_terms

__all__ = ["gather", "not_finite"]

_UNSIGNED = np.uint64
_STORED = (np.float32, np.float16, np.int16)


def gather(images, statistics, row, spec, *, step=None, element=None, out=None, place=None):
    """Normalize some rows of a set of images as `~gen5astro.kernels.normalize.normalize` does, and turn them.

    Parameters
    ----------
    images : float32, float16 or int16 array, (m, band, h, w)
        Fluxes [nanomaggy], as int16 in units of `step`, where -32,768 is NaN; a memory map will do.
    statistics : float64 array, (m, band, 2)
        Location and scale, from `~gen5astro.kernels.normalize.normalizer_statistics` with the same `spec`.
    row : int64 array, (n,)
        Which images, in any order and as often as wanted.
    spec : NormalizerSpec
        Stretch, softening and clip.
    step : float32 array, (m, band), optional
        Steps of int16 images [nanomaggy]; only those have them.
    element : int64 array, (n,), optional
        Element of the square's symmetry group that each image is turned by: bit 0 flips x, bit 1 flips y, bit 2 then
        swaps x and y. Default: all stay as they are.
    out : float32 array, (k, band, h, w), optional
        Where to put them.
    place : int64 array, (n,), optional
        Where in `out` each goes; default: one after another.

    Returns
    -------
    out : float32 array, (k, band, h, w)
        Without unit; NaN where the pixel or a statistic is NaN. To the bit what the images give as float32.

    Raises
    ------
    ShapeError
        If the shapes do not fit, a number is outside its range, or images that are not square shall be transposed.
    """
    _check_images(images, statistics, step)
    row = _checked_numbers("row", row, None, len(images))
    if out is None:
        out = np.empty((len(row), *images.shape[1:]), np.float32)
    if out.dtype != np.float32 or out.shape[1:] != images.shape[1:] or not out.flags.carray:
        raise ShapeError("out", got=f"{out.dtype} {out.shape}", expected=f"float32 (k, *{images.shape[1:]})")
    place = _checked_numbers("place", np.arange(len(row)) if place is None else place, len(row), len(out))
    square = images.shape[2] == images.shape[3]
    element = np.zeros(len(row), np.int64) if element is None else element
    element = _checked_numbers("element", element, len(row), 8 if square else 4)
    # Numba knows no float16.
    halves = images.dtype == np.float16
    _gather(
        images.view(np.uint16) if halves else images,
        halves,
        step,
        statistics,
        row,
        element,
        place,
        *stretch_terms(spec),
        out,
    )
    return out


def not_finite(images):
    """Find the images of a batch that hold a pixel which is not finite.

    Parameters
    ----------
    images : float32 array, (n, ...)
        The batch, C-contiguous.

    Returns
    -------
    at : int64 array, (m,)
        Their numbers, rising.
    """
    bad = np.empty(len(images), np.bool_)
    # The number of columns is spelled out, since no images have none to infer it from.
    shape = len(images), math.prod(images.shape[1:])
    _mark_not_finite(np.ascontiguousarray(images, dtype=np.float32).reshape(shape), bad)
    return np.flatnonzero(bad)


def _check_images(images, statistics, step):
    if images.ndim != 4 or images.dtype not in _STORED or not images.flags.c_contiguous:
        expected = "a C-contiguous float32, float16 or int16 (m, band, h, w)"
        raise ShapeError("images", got=f"{images.dtype} {images.shape}", expected=expected)
    if statistics.shape != (*images.shape[:2], 2) or statistics.dtype != np.float64:
        got = f"{statistics.dtype} {statistics.shape}"
        raise ShapeError("statistics", got=got, expected=f"float64 {(*images.shape[:2], 2)}")
    found = None if step is None else (step.dtype, step.shape)
    if found != ((np.float32, images.shape[:2]) if images.dtype == np.int16 else None):
        expected = f"float32 {images.shape[:2]} of int16 images, none of others"
        raise ShapeError("step", got="none" if step is None else f"{step.dtype} {step.shape}", expected=expected)


def _checked_numbers(name, values, n, end):
    """Whole numbers from 0 to below `end`, `n` of them."""
    values = np.ascontiguousarray(values, dtype=np.int64)
    if values.ndim != 1 or (n is not None and len(values) != n):
        raise ShapeError(name, got=f"shape {values.shape}", expected="one number for each row")
    if len(values) and not (values.min() >= 0 and values.max() < end):
        raise ShapeError(name, got=f"{values.min()} to {values.max()}", expected=f"0 to {end - 1}")
    return values


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _mark_not_finite(images, bad):
    for i in range(len(images)):
        bad[i] = not is_finite(images[i])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _gather(images, halves, step, statistics, row, element, place, softening, clip, out):
    n_bands, height, width = out.shape[1:]
    room, turned = np.empty(height * width, np.float32), np.empty(height * width, np.float32)
    for i in range(len(row)):
        for band in range(n_bands):
            source, target = images[row[i], band].reshape(-1), out[place[i], band].reshape(-1)
            location, scale = statistics[row[i], band]
            if step is not None:
                _decode_codes(source, step[row[i], band], room)
            elif halves:
                _decode_halves(source, room)
            else:
                for k in range(len(source)):
                    room[k] = source[k]
            if element[i] != 0:
                _turn(room, width, element[i], turned)
            stretch_room(turned if element[i] != 0 else room, location, scale, softening, clip, target)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _decode_codes(source, size, room):
    for k in range(len(source)):
        room[k] = np.float32(source[k]) * size if source[k] != np.int16(-32768) else np.float32(np.nan)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _decode_halves(source, room):
    """Widen the bits of float16: exponents move by 112, which a product does for subnormal ones as well."""
    for k in range(len(source)):
        bits = np.int32(source[k])
        size_bits = np.int32(np.int32(bits & np.int32(0x7FFF)) << np.int32(13))
        scaled = np.float32(size_bits.view(np.float32) * np.float32(2.0**112)).view(np.int32)
        special = np.int32(size_bits | np.int32(0x7F800000))
        widened = special if size_bits >= np.int32(0x0F800000) else scaled
        room[k] = np.int32(widened | np.int32(np.int32(bits & np.int32(0x8000)) << np.int32(16))).view(np.float32)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _turn(plane, width, element, out):
    """Flip, then transpose; the plane is small enough to stay in the nearest cache.

    What is read backwards is read at unsigned indices: they cannot count from the end, and so fill vector lanes.
    """
    height = len(plane) // width
    if element == 3:
        for k in range(len(plane)):
            out[k] = plane[_UNSIGNED(len(plane) - 1 - k)]
    elif element < 4:
        for y in range(height):
            to = height - 1 - y if element == 2 else y
            source, target = plane[y * width : y * width + width], out[to * width : to * width + width]
            if element == 1:
                for x in range(width):
                    target[x] = source[_UNSIGNED(width - 1 - x)]
            else:
                for x in range(width):
                    target[x] = source[x]
    else:
        for x in range(width):
            column = width - 1 - x if element & 1 else x
            target = out[x * height : x * height + height]
            if element & 2:
                for y in range(height):
                    target[_UNSIGNED(height - 1 - y)] = plane[_UNSIGNED(y * width + column)]
            else:
                for y in range(height):
                    target[y] = plane[_UNSIGNED(y * width + column)]
