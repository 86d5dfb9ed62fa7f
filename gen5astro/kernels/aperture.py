"""Exact photometry in circular apertures, and the sub-pixel center that they are put on.

Pixel (0, 0) is centered on (0, 0) and x is the column. With the disc's center as origin, let Q(x, y) be the area that
the disc of radius r has in common with the rectangle from (0, 0) to (x, y), odd in both arguments. For x, y >= 0,

    Q(x, y) = x y                         inside the circle,
    Q(x, y) = F(x) + F(y) - pi r^2 / 4    outside, with F(t) the integral of sqrt(r^2 - s^2) from 0 to min(t, r),

and the area of a pixel in the disc is the double difference of Q over its corners. F is needed once a pixel line only,
so an aperture takes about 4 r arcsines rather than some for each pixel of its boundary.
"""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError

__all__ = ["annulus_weights", "aperture_flux", "aperture_weights", "centroid", "disc_peak", "geometric_center"]

# A pixel's area is known to a few units of r^2 times the machine epsilon: less than this share of r^2 is none.
_ROUNDING = 1e-14
_MAX_STEPS = 50
_STEP_PX = 1e-5


def geometric_center(shape):
    """Give the center of an image, where a cutout's target is meant to be.

    Parameters
    ----------
    shape : tuple of int
        ``(h, w)``; leading axes are ignored.

    Returns
    -------
    center : tuple of float
        ``(x, y)`` [pix].
    """
    return (shape[-1] - 1) / 2, (shape[-2] - 1) / 2


def aperture_weights(shape, center, radius):
    """Compute the area of every pixel that lies in a disc.

    Parameters
    ----------
    shape : tuple of int
        ``(h, w)`` of the image.
    center : tuple of float
        ``(x, y)`` of the disc [pix].
    radius : float
        Its radius [pix].

    Returns
    -------
    weights : float64 array, (h, w)
        Area in common with the disc [pix^2], 0 to 1.

    Raises
    ------
    ShapeError
        If the radius is not a positive number.
    """
    (radius,) = _checked_radii([radius])
    weights = np.empty(shape[-2:])
    _disc_weights(float(center[0]), float(center[1]), radius, np.empty((5, max(weights.shape) + 1)), weights)
    return weights


def annulus_weights(shape, center, inner_radius, outer_radius):
    """Compute the area of every pixel that lies between two circles.

    Parameters
    ----------
    shape : tuple of int
        ``(h, w)`` of the image.
    center : tuple of float
        ``(x, y)`` of the circles [pix].
    inner_radius, outer_radius : float
        Their radii [pix].

    Returns
    -------
    weights : float64 array, (h, w)
        Area in common with the annulus [pix^2], 0 to 1.

    Raises
    ------
    ShapeError
        If the radii are not positive numbers in rising order.
    """
    if not inner_radius < outer_radius:
        raise ShapeError("annulus", got=f"radii {inner_radius} and {outer_radius} pix", expected="inner below outer")
    outer = aperture_weights(shape, center, outer_radius)
    weights = outer - aperture_weights(shape, center, inner_radius)
    weights[weights < _ROUNDING * outer_radius**2] = 0.0
    return weights


def aperture_flux(images, centers, radii):
    """Sum each image over discs about its own center, every pixel by its exact area inside.

    An aperture over the edge counts the pixels that exist, as photutils does; one wholly outside has no flux but NaN.

    Parameters
    ----------
    images : float32 array, (n, h, w) or (n, band, h, w)
        Fluxes [nanomaggy]. The bands of an image share its center, and the work of weighing its pixels.
    centers : float64 array, (n, 2)
        ``(x, y)`` of each image's discs [pix].
    radii : float64 array, (k,)
        Their radii [pix], in any order.

    Returns
    -------
    flux : float64 array, (n, k) or (n, band, k)
        Flux in each disc [nanomaggy], summed in float64; NaN where the center or a pixel inside is not a number.

    Raises
    ------
    ShapeError
        If the shapes do not fit or a radius is not a positive number.
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim not in (3, 4):
        raise ShapeError("images", got=f"shape {images.shape}", expected="(n, h, w) or (n, band, h, w)")
    centers = _checked_centers(centers, len(images))
    radii = _checked_radii(radii)
    planes = images[:, None] if images.ndim == 3 else images
    flux = np.empty((*planes.shape[:2], len(radii)))
    _sum_discs(planes, centers, radii, flux)
    return flux[:, 0] if images.ndim == 3 else flux


def disc_peak(images, centers, radius_px):
    """Find the brightest pixel of each image within a disc about its own center.

    Parameters
    ----------
    images : float32 array, (n, band, h, w)
        Fluxes [nanomaggy].
    centers : float64 array, (n, 2)
        ``(x, y)`` of each image's disc [pix].
    radius_px : float
        Radius of the disc [pix]; pixels whose center lies in it count.

    Returns
    -------
    peak : float64 array, (n, band)
        Flux of the pixel [nanomaggy]; NaN where the disc holds a pixel that is not a number, or none.

    Raises
    ------
    ShapeError
        If the shapes do not fit or the radius is not a positive number.
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim != 4:
        raise ShapeError("images", got=f"shape {images.shape}", expected="(n, band, h, w)")
    centers = _checked_centers(centers, len(images))
    (radius,) = _checked_radii([radius_px])
    peak = np.empty(images.shape[:2])
    _find_peaks(images, centers, radius, peak)
    return peak


def centroid(images, *, start=None, sigma_px=2.0, box_radius_px=6, max_shift_px=3.0):
    """Find the center of the object in the middle of each image.

    The fixed point of the Gaussian-windowed first moment (SExtractor's ``XWIN_IMAGE``): insensitive to a flat pedestal
    and to what lies farther off than the window.

    Parameters
    ----------
    images : float32 array, (n, h, w)
        Fluxes, sky about zero [nanomaggy].
    start : float64 array, (n, 2), optional
        ``(x, y)`` to begin at and to fall back on [pix]; default: the geometric center.
    sigma_px : float
        Width of the window [pix].
    box_radius_px : int
        Pixels farther off than this in x or y are not looked at.
    max_shift_px : float
        A center that wanders farther than this from the start, in x or y, is given up [pix].

    Returns
    -------
    centers : float64 array, (n, 2)
        ``(x, y)`` [pix]; the start where the window meets pixels that are not finite, where it holds no light, or
        where the center wanders off.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    if images.ndim != 3:
        raise ShapeError("images", got=f"shape {images.shape}", expected="(n, h, w)")
    if start is None:
        start = np.tile(geometric_center(images.shape), (len(images), 1))
    start = _checked_centers(start, len(images))
    centers = np.empty_like(start)
    _windowed_centers(images, start, float(sigma_px), int(box_radius_px), float(max_shift_px), centers)
    return centers


def _checked_centers(centers, n):
    centers = np.ascontiguousarray(centers, dtype=np.float64)
    if centers.shape != (n, 2):
        raise ShapeError("centers", got=f"shape {centers.shape}", expected=f"({n}, 2): x and y of each image")
    return centers


def _checked_radii(radii):
    radii = np.atleast_1d(np.ascontiguousarray(radii, dtype=np.float64))
    if radii.ndim != 1 or not np.all(np.isfinite(radii) & (radii > 0)):
        raise ShapeError("aperture radii", got=radii.tolist(), expected="positive numbers [pix]")
    return radii


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _line_integrals(offset, radius, out):
    """Signed F at the lines ``offset + 0, 1, 2, ...``."""
    for i in range(len(out)):
        t = min(max(offset + i, -radius), radius)
        out[i] = 0.5 * (t * math.sqrt((radius - t) * (radius + t)) + radius * radius * _arcsine(t, radius))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _arcsine(t, radius):
    """Arcsine of t / radius without a branch, so that it fills vector lanes: the rational function of fdlibm's
    ``e_asin.c``.

    Near the ends the distance to the circle comes from the difference, which is exact, and not from the rounded ratio.
    """
    size = abs(t) / radius
    near = size < 0.5
    z = size * size if near else 0.5 * (radius - abs(t)) / radius
    s = size if near else math.sqrt(z)
    p = 3.47933107596021167570e-05 * z + 7.91534994289814532176e-04
    p = p * z - 4.00555345006794114027e-02
    p = p * z + 2.01212532134862925881e-01
    p = p * z - 3.25565818622400915405e-01
    p = p * z + 1.66666666666666657415e-01
    q = 7.70381505559019352791e-02 * z - 6.88283971605453293030e-01
    q = q * z + 2.02094576023350569471e00
    q = q * z - 2.40339491173441421878e00
    angle = s + s * (z * p / (q * z + 1.0))
    return math.copysign(angle if near else 0.5 * math.pi - 2.0 * angle, t)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _corner_areas(y, f_y, x, f_x, radius, out):
    """Signed Q at height `y`, at every line `x`."""
    sign_y = math.copysign(1.0, y)
    rest = f_y - sign_y * 0.25 * math.pi * radius * radius
    reach = radius * radius - y * y
    for j in range(len(out)):
        beyond = sign_y * f_x[j] + math.copysign(1.0, x[j]) * rest
        out[j] = x[j] * y if x[j] * x[j] <= reach else beyond


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _disc_weights(x, y, radius, lines, weights):
    """Areas of the pixels of a box whose pixel (0, 0) has its center at (0, 0)."""
    height, width = weights.shape
    f_x, f_y, below, above = lines[0, : width + 1], lines[1, : height + 1], lines[2, : width + 1], lines[3, : width + 1]
    at = lines[4, : width + 1]
    for j in range(width + 1):
        at[j] = j - 0.5 - x
    _line_integrals(-0.5 - x, radius, f_x)
    _line_integrals(-0.5 - y, radius, f_y)
    _corner_areas(-0.5 - y, f_y[0], at, f_x, radius, below)
    least = _ROUNDING * radius * radius
    for i in range(height):
        _corner_areas(i + 0.5 - y, f_y[i + 1], at, f_x, radius, above)
        for j in range(width):
            area = (above[j + 1] - above[j]) - (below[j + 1] - below[j])
            weights[i, j] = 0.0 if area < least else area
        below, above = above, below


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _sum_discs(planes, centers, radii, flux):
    n, n_bands, height, width = planes.shape
    lines = np.empty((5, max(height, width) + 1))
    area = np.empty(height * width)
    columns = np.empty(width)
    for i in range(n):
        x, y = centers[i]
        for k in range(len(radii)):
            flux[i, :, k] = np.nan
            radius = radii[k]
            if not (-0.5 - radius < x < width - 0.5 + radius and -0.5 - radius < y < height - 0.5 + radius):
                continue
            left, right = max(0, math.floor(x - radius + 0.5)), min(width, math.ceil(x + radius + 0.5))
            top, bottom = max(0, math.floor(y - radius + 0.5)), min(height, math.ceil(y + radius + 0.5))
            shape = (bottom - top, right - left)
            weights = area[: shape[0] * shape[1]].reshape(shape)
            _disc_weights(x - left, y - top, radius, lines, weights)
            for band in range(n_bands):
                flux[i, band, k] = _weighted_sum(planes[i, band, top:bottom], left, weights, columns[: right - left])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _weighted_sum(rows, left, weights, columns):
    """Sum column by column, in vector lanes, then over the columns."""
    columns[:] = 0.0
    for i in range(len(rows)):
        pixels, weight = rows[i][left : left + len(columns)], weights[i]
        for j in range(len(columns)):
            light = weight[j] * pixels[j]
            columns[j] += light if weight[j] > 0.0 else 0.0
    total = 0.0
    for column in columns:
        total += column
    return total


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _find_peaks(planes, centers, radius, peak):
    n, n_bands, height, width = planes.shape
    for i in range(n):
        x, y = centers[i]
        for band in range(n_bands):
            brightest, total = -np.inf, 0.0
            for row in range(max(0, math.ceil(y - radius)), min(height - 1, math.floor(y + radius)) + 1):
                half = math.sqrt(max(radius * radius - (row - y) * (row - y), 0.0))
                for column in range(max(0, math.ceil(x - half)), min(width - 1, math.floor(x + half)) + 1):
                    value = np.float64(planes[i, band, row, column])
                    brightest = max(brightest, value)
                    total += value
            peak[i, band] = brightest if math.isfinite(brightest) and not math.isnan(total) else np.nan


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _windowed_centers(images, start, sigma, box_radius, max_shift, centers):
    for i in range(len(images)):
        centers[i] = start[i]
        x, y = start[i]
        for _ in range(_MAX_STEPS):
            dx, dy = _windowed_shift(images[i], x, y, sigma, box_radius)
            x, y = x + dx, y + dy
            if not (abs(x - start[i, 0]) <= max_shift and abs(y - start[i, 1]) <= max_shift):
                break
            if abs(dx) < _STEP_PX and abs(dy) < _STEP_PX:
                centers[i] = x, y
                break


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _windowed_shift(pixels, x, y, sigma, box_radius):
    """Step of the windowed first moment; NaN without light, or with a pixel that is not finite."""
    height, width = pixels.shape
    if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
        return np.nan, np.nan
    column, row = round(x), round(y)
    total = moment_x = moment_y = 0.0
    for i in range(max(0, row - box_radius), min(height, row + box_radius + 1)):
        for j in range(max(0, column - box_radius), min(width, column + box_radius + 1)):
            dx, dy = j - x, i - y
            light = pixels[i, j] * math.exp(-0.5 * (dx * dx + dy * dy) / (sigma * sigma))
            total += light
            moment_x += light * dx
            moment_y += light * dy
    if not (0.0 < total < np.inf):
        return np.nan, np.nan
    return 2.0 * moment_x / total, 2.0 * moment_y / total
