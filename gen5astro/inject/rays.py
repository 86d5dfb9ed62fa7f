"""Kernels that shoot rays from pixels to a Sersic source.

The deflection of a singular isothermal lens is the same all along a ray from its center, and the source's brightness
depends on one radius: both are tabulated once an injection, from their closed forms, and interpolated by cubics. So a
ray costs no transcendental function, and is exact to 1e-8.
"""

import math

import numpy as np
from numba import njit

__all__ = ["shoot", "tabulate"]

_ANGLES = 256
_RADII = 512
_DIVISION = 5
_CUSP_DIVISION = 11
_MARGIN = 1.2


@njit(nogil=True, cache=True, error_model="numpy")
def tabulate(terms, source):
    """Tabulate a lens and a source.

    Returns
    -------
    bend : float64 array, (258 + 1, 2)
        Deflection along and across the major axis in the direction (1 - t, t), at t = (i - 1) / 256.
    glow : float64 array, (512 + 3,)
        Brightness at radius ``farthest (i - 1)^2 / 512^2``, the first mirrored.
    """
    bend = np.empty((_ANGLES + 3, 2))
    for at in range(_ANGLES + 3):
        t = (at - 1) / _ANGLES
        psi = math.sqrt(terms[2] ** 2 * (1 - t) ** 2 + t * t)
        bend[at, 0] = terms[4] * math.atan(terms[3] * (1 - t) / psi)
        bend[at, 1] = terms[4] * math.atanh(terms[3] * t / psi)
    glow = np.empty(_RADII + 3)
    for at in range(_RADII + 3):
        r = source[9] / source[5] * ((at - 1) / _RADII) ** 2
        glow[at] = math.exp(-source[7] * (r ** (1.0 / source[6]) - 1.0))
    return bend, glow


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _cubic(below, at, above, beyond, t):
    """Cubic through four equidistant values, at t between the second and the third."""
    first = at - below
    second = (above - at) - first
    third = (beyond - above) - (above - at) - second
    return at + t * (first + 0.5 * (t + 1.0) * (second + (t - 1.0) / 3.0 * third))


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _source_radius(x, y, terms, source, bend):
    """Square of the elliptical radius in the source at which the ray through (x, y) ends [arcsec^2]."""
    along = terms[0] * x + terms[1] * y
    across = terms[0] * y - terms[1] * x
    size = abs(along) + abs(across)
    t = abs(across) / size * _ANGLES if size > 0.0 else 0.0
    cell = min(int(t), _ANGLES - 1)
    t -= cell
    bend_along = _cubic(bend[cell, 0], bend[cell + 1, 0], bend[cell + 2, 0], bend[cell + 3, 0], t)
    bend_across = _cubic(bend[cell, 1], bend[cell + 1, 1], bend[cell + 2, 1], bend[cell + 3, 1], t)
    along = math.copysign(bend_along, along)
    across = math.copysign(bend_across, across)
    dx = x - (terms[0] * along - terms[1] * across + terms[5] * x + terms[6] * y) - source[0]
    dy = y - (terms[1] * along + terms[0] * across + terms[6] * x - terms[5] * y) - source[1]
    along = source[2] * dx + source[3] * dy
    across = source[2] * dy - source[3] * dx
    return source[4] * along * along + across * across / source[4]


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _brightness(square, source, glow):
    u = math.sqrt(math.sqrt(square) / source[9]) * _RADII
    if u >= _RADII:
        return 0.0
    cell = int(u)
    return _cubic(glow[cell], glow[cell + 1], glow[cell + 2], glow[cell + 3], u - cell)


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _stretch(x, y, terms):
    """Bound on how much longer a short step at (x, y) is in the source plane than in the image plane."""
    r = math.sqrt(x * x + y * y)
    shear = math.sqrt(terms[5] * terms[5] + terms[6] * terms[6])
    return max(1.0, terms[7] / (math.sqrt(terms[2]) * r) - 1.0) + shear


@njit(nogil=True, cache=True, error_model="numpy")
def _cell(left, bottom, step, division, terms, source, bend, glow):
    """Mean brightness of a cell on a grid `division` times finer."""
    fine = step / division
    total = 0.0
    for row in range(division):
        for column in range(division):
            x, y = left + (column + 0.5) * fine, bottom + (row + 0.5) * fine
            total += _brightness(_source_radius(x, y, terms, source, bend), source, glow)
    return total / (division * division)


@njit(nogil=True, cache=True, error_model="numpy")
def shoot(terms, source, steep_radius, center_x, center_y, pixel_scale, supersampling, light):
    """Fill `light` (y, x) with the fraction of the source's flux in each pixel.

    `terms` as `gen5astro.inject.lens.lens_terms`; `source` as `gen5astro.inject.render`; cells that end within
    `steep_radius` [arcsec] times the stretch of the map are divided again, and those that touch the cusp once more.
    """
    bend, glow = tabulate(terms, source)
    height, width = light.shape
    step = pixel_scale / supersampling
    squeeze = 1.0 / math.sqrt(source[4])
    for row in range(height):
        for column in range(width):
            left = (column - center_x - 0.5) * pixel_scale
            bottom = (row - center_y - 0.5) * pixel_scale
            light[row, column] = 0.0
            x, y = left + 0.5 * pixel_scale, bottom + 0.5 * pixel_scale
            if math.sqrt(x * x + y * y) > terms[7]:
                dark = source[9] + _MARGIN * _stretch(x, y, terms) * pixel_scale * squeeze
                if _source_radius(x, y, terms, source, bend) > dark * dark:
                    continue
            total = 0.0
            for upper in range(supersampling):
                for aside in range(supersampling):
                    x, y = left + (aside + 0.5) * step, bottom + (upper + 0.5) * step
                    square = _source_radius(x, y, terms, source, bend)
                    stretch = _stretch(x, y, terms)
                    steep = steep_radius * stretch
                    if square < steep * steep:
                        cusp = stretch * step * squeeze
                        division = _CUSP_DIVISION if square < cusp * cusp else _DIVISION
                        corner_x, corner_y = left + aside * step, bottom + upper * step
                        total += _cell(corner_x, corner_y, step, division, terms, source, bend, glow)
                    else:
                        total += _brightness(square, source, glow)
            light[row, column] = total * step * step * source[8]
