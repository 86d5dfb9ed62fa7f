"""Kernels that shoot rays from pixels to a Sersic source.

The deflection of a singular isothermal lens is the same all along a ray from its center, and the source's brightness
depends on one radius: both are tabulated once an injection, from their closed forms, and interpolated by cubics. So a
ray costs no transcendental function, and is exact to 1e-8.
"""

import math

import numpy as np
from numba import njit

__all__ = ["shoot"]

_ANGLES = 256
_RADII = 512
_DIVISIONS = (3, 5, 11)
_MARGIN = 1.2


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _tabulate(terms, source):
    """Cubics of the deflection along and across the major axis, and of the brightness.

    The deflection is that in the direction (1 - t, t), for 256 steps of t; the brightness that at a radius ``farthest
    u^2``, for 512 steps of u, and 0 beyond.
    """
    nodes = np.empty((2, _ANGLES + 3))
    for at in range(_ANGLES + 3):
        t = (at - 1) / _ANGLES
        psi = math.sqrt(terms[2] ** 2 * (1 - t) ** 2 + t * t)
        nodes[0, at] = terms[4] * math.atan(terms[3] * (1 - t) / psi)
        nodes[1, at] = terms[4] * math.atanh(terms[3] * t / psi)
    bend = np.empty((_ANGLES, 8))
    for cell in range(_ANGLES):
        _fit_cubic(nodes[0, cell : cell + 4], bend[cell, :4])
        _fit_cubic(nodes[1, cell : cell + 4], bend[cell, 4:])
    shine = np.empty(_RADII + 3)
    for at in range(_RADII + 3):
        r = source[9] / source[5] * ((at - 1) / _RADII) ** 2
        shine[at] = math.exp(-source[7] * (r ** (1.0 / source[6]) - 1.0))
    glow = np.zeros((_RADII + 1, 4))
    for cell in range(_RADII):
        _fit_cubic(shine[cell : cell + 4], glow[cell])
    return bend, glow


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _fit_cubic(values, out):
    """Coefficients, lowest first, of the cubic through four values at -1, 0, 1 and 2."""
    first = values[1] - values[0]
    second = values[2] - 2.0 * values[1] + values[0]
    third = values[3] - 3.0 * values[2] + 3.0 * values[1] - values[0]
    out[0] = values[1]
    out[1] = first + 0.5 * second - third / 6.0
    out[2] = 0.5 * second
    out[3] = third / 6.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _lens_numbers(terms):
    """Tuple of the lens terms: numbers in registers, where an array would be read again after every store."""
    return terms[0], terms[1], terms[2], terms[3], terms[4], terms[5], terms[6], terms[7]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _source_numbers(source):
    """Tuple of the source terms, and 1 / axis ratio and the scale of the table of brightness."""
    scale = _RADII / math.sqrt(source[9])
    inverse = 1.0 / source[4]
    place = source[0], source[1], source[2], source[3], source[4]
    return (*place, source[5], source[6], source[7], source[8], source[9], inverse, scale)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _square_radius(x, y, terms, source, bend):
    """Square of the elliptical radius in the source at which the ray through (x, y) ends [arcsec^2]."""
    along = terms[0] * x + terms[1] * y
    across = terms[0] * y - terms[1] * x
    t = abs(across) / max(abs(along) + abs(across), 1e-300) * _ANGLES
    cell = min(np.uint32(t), np.uint32(_ANGLES - 1))
    t -= cell
    cubic = bend[cell]
    along = math.copysign(cubic[0] + t * (cubic[1] + t * (cubic[2] + t * cubic[3])), along)
    across = math.copysign(cubic[4] + t * (cubic[5] + t * (cubic[6] + t * cubic[7])), across)
    dx = x - (terms[0] * along - terms[1] * across + terms[5] * x + terms[6] * y) - source[0]
    dy = y - (terms[1] * along + terms[0] * across + terms[6] * x - terms[5] * y) - source[1]
    along = source[2] * dx + source[3] * dy
    across = source[2] * dy - source[3] * dx
    return source[4] * along * along + across * across * source[10]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _brightness(square, source, glow):
    """Brightness at a squared radius, in that at the half-light radius."""
    u = min(math.sqrt(math.sqrt(square)) * source[11], 1.0 * _RADII)
    cell = np.uint32(u)
    cubic = glow[cell]
    u -= cell
    return cubic[0] + u * (cubic[1] + u * (cubic[2] + u * cubic[3]))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"}, inline="always")
def _stretch(r, terms):
    """Bound on how much longer a short step is in the source plane than in the image plane, r from the lens."""
    shear = math.sqrt(terms[5] * terms[5] + terms[6] * terms[6])
    return max(1.0, terms[7] / (math.sqrt(terms[2]) * r) - 1.0) + shear


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _divided(x, y, step, division, terms, source, bend, glow):
    """Mean brightness of the cell about (x, y) on a grid `division` times finer."""
    fine = step / division
    total = 0.0
    for row in range(division):
        down = y + (row - 0.5 * (division - 1)) * fine
        for column in range(division):
            aside = x + (column - 0.5 * (division - 1)) * fine
            total += _brightness(_square_radius(aside, down, terms, source, bend), source, glow)
    return total / (division * division)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _lit_columns(y, left, pixel_scale, width, terms, source, bend):
    """First column, and one past the last, of a row of pixels that the source's light can reach."""
    first, last = width, 0
    for column in range(width):
        x = left + column * pixel_scale
        r = math.sqrt(x * x + y * y)
        dark = source[9] + _MARGIN * _stretch(r, terms) * pixel_scale / math.sqrt(source[4])
        if r < terms[7] or _square_radius(x, y, terms, source, bend) < dark * dark:
            first, last = min(first, column), column + 1
    return first, last


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def shoot(terms, source, steep, center_x, center_y, pixel_scale, supersampling, light):
    """Fill an image with the fraction of the source's flux in each pixel.

    Parameters
    ----------
    terms : float64 array, (8,)
        The lens, from `gen5astro.inject.lens.lens_terms`.
    source : float64 array, (10,)
        Position x, y [arcsec from the lens], cos and sin of the position angle, axis ratio, half-light radius [arcsec],
        Sersic index, its b, brightness at the half-light radius for unit flux, radius [arcsec] beyond which it is dark.
    steep : float64 array, (3,)
        Cells that end within these radii [arcsec] times the stretch of the map are divided 3, 5 and 11 times again.
    center_x, center_y : float
        The lens [pix].
    pixel_scale : float
        Pixel scale [arcsec / pix].
    supersampling : int
        Rays a pixel side.
    light : float64 array, (y, x)
        Where the fractions go.
    """
    bend, glow = _tabulate(terms, source)
    terms, source = _lens_numbers(terms), _source_numbers(source)
    height, width = light.shape
    step = pixel_scale / supersampling
    squares, brightness = np.empty(width * supersampling), np.empty(width * supersampling)
    left = -center_x * pixel_scale
    for row in range(height):
        middle = (row - center_y) * pixel_scale
        first, last = _lit_columns(middle, left, pixel_scale, width, terms, source, bend)
        light[row] = 0.0
        start = left + (first - 0.5) * pixel_scale + 0.5 * step
        for upper in range(supersampling):
            y = middle - 0.5 * pixel_scale + (upper + 0.5) * step
            rays = max(last - first, 0) * supersampling
            for ray in range(rays):
                squares[ray] = _square_radius(start + ray * step, y, terms, source, bend)
            for ray in range(rays):
                brightness[ray] = _brightness(squares[ray], source, glow)
            for ray in range(rays):
                x = start + ray * step
                reach = _stretch(math.sqrt(x * x + y * y), terms)
                limit = squares[ray] / (reach * reach)
                if limit < steep[0] * steep[0]:
                    division = _DIVISIONS[0]
                    if limit < steep[1] * steep[1]:
                        division = _DIVISIONS[1]
                    if limit < steep[2] * steep[2]:
                        division = _DIVISIONS[2]
                    brightness[ray] = _divided(x, y, step, division, terms, source, bend, glow)
            for ray in range(rays):
                light[row, first + ray // supersampling] += brightness[ray] * step * step * source[8]
