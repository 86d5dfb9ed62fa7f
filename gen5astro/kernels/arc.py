"""Where the light of a residual is: how much, inside the arc's region and beyond, how far from the host."""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError

__all__ = ["ARC_COLUMNS", "measure_arc", "measure_light"]

ARC_COLUMNS = (
    "flux",
    "absolute",
    "power",
    "pixels",
    "moment_x",
    "moment_y",
    "outer_flux",
    "outer_moment_x",
    "outer_moment_y",
    "peak",
)


def measure_arc(arc, *, center, core_radius, outer_radius):
    """Sum each arc over its region, a disc about the host, and over what of it lies outside the core.

    Parameters
    ----------
    arc : float32 array, (n, band, y, x)
        Stamp minus ctrl, less artifacts [nanomaggy].
    center : float64 array, (n, 2)
        Host center (x, y) [pix].
    core_radius : float
        Radius of the core [pix].
    outer_radius : float64 array, (n,)
        Radius of the region [pix].

    Returns
    -------
    sums : dict of float64 array, (n, band)
        Keys `ARC_COLUMNS`: within the region the flux, the sums of absolute values and of squares, the number of pixels
        and the first moments about the center; of pixels outside the core the flux and first moments; and the brightest
        pixel. A pixel of the region that is not finite makes them NaN.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.
    """
    arc, center, outer_radius = _checked(arc, center, outer_radius)
    sums = np.empty((*arc.shape[:2], len(ARC_COLUMNS)))
    _sum_region(arc, center, float(core_radius), outer_radius, sums)
    return {name: sums[:, :, at].copy() for at, name in enumerate(ARC_COLUMNS)}


def measure_light(residual, arc, *, center, sky_sigma, profile_step, profile_bins):
    """Sum each residual over the whole image and in rings, and find how far from the host its light and its peak are.

    Parameters
    ----------
    residual, arc : float32 array, (n, band, y, x)
        Stamp minus ctrl, and the same less artifacts [nanomaggy].
    center : float64 array, (n, 2)
        Host center (x, y) [pix].
    sky_sigma : float64 array, (n, band)
        Noise of the sky [nanomaggy / pix].
    profile_step : float
        Width of a ring [pix].
    profile_bins : int
        Number of rings.

    Returns
    -------
    total, absolute, peak_radius : float64 array, (n, band)
        Of the residual: sum and sum of absolute values [nanomaggy], and distance of its brightest pixel [pix]; NaN
        where a pixel is not finite.
    profile : float64 array, (n, band, bins)
        Mean of the residual's pixels in each ring [nanomaggy / pix]; NaN for a ring that the image does not reach.
    light_radius : float64 array, (n,)
        Mean distance [pix] of the arc's light above half of its peak, the bands summed in units of their noise. The
        residual stands for an arc that is not finite. NaN without light.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.
    """
    residual, center, _ = _checked(residual, center, np.zeros(len(residual)))
    arc = np.ascontiguousarray(arc, dtype=np.float32)
    sky_sigma = np.ascontiguousarray(sky_sigma, dtype=np.float64)
    if arc.shape != residual.shape or sky_sigma.shape != residual.shape[:2]:
        got = f"{residual.shape}, {arc.shape} and {sky_sigma.shape}"
        raise ShapeError("residual, arc and sky_sigma", got=got, expected="(n, band, y, x) twice and (n, band)")
    n, bands = residual.shape[:2]
    numbers, profile, light_radius = np.empty((3, n, bands)), np.empty((n, bands, profile_bins)), np.empty(n)
    _sum_image(residual, arc, center, sky_sigma, float(profile_step), numbers, profile, light_radius)
    return *numbers, profile, light_radius


def _checked(images, center, outer_radius):
    images = np.ascontiguousarray(images, dtype=np.float32)
    center = np.ascontiguousarray(center, dtype=np.float64)
    outer_radius = np.ascontiguousarray(outer_radius, dtype=np.float64)
    if images.ndim != 4:
        raise ShapeError("residual", got=images.shape, expected="(n, band, y, x)")
    n = len(images)
    if center.shape != (n, 2) or outer_radius.shape != (n,):
        raise ShapeError(
            "center and outer_radius", got=f"{center.shape} and {outer_radius.shape}", expected=f"({n}, 2) and ({n},)"
        )
    return images, center, outer_radius


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _sum_region(arc, center, core_radius, outer_radius, sums):
    n, bands, height, width = arc.shape
    for i in range(n):
        x0, y0, reach = center[i, 0], center[i, 1], outer_radius[i]
        for band in range(bands):
            out = sums[i, band]
            out[:] = 0.0
            out[9] = -np.inf
        for y in range(max(0, math.floor(y0 - reach)), min(height, math.ceil(y0 + reach) + 1)):
            rest = reach * reach - (y - y0) * (y - y0)
            if rest < 0.0:
                continue
            half = math.sqrt(rest)
            first, last = max(0, math.ceil(x0 - half)), min(width - 1, math.floor(x0 + half))
            for band in range(bands):
                _sum_row(arc[i, band, y], first, last, x0, y - y0, core_radius, sums[i, band])
        for band in range(bands):
            if not math.isfinite(sums[i, band, 1]):
                sums[i, band] = np.nan


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _sum_row(row, first, last, x0, dy, core_radius, out):
    flux, absolute, power, moment, peak = 0.0, 0.0, 0.0, 0.0, -np.inf
    inner_flux, inner_moment = 0.0, 0.0
    for x in range(first, last + 1):
        value = np.float64(row[x])
        flux += value
        absolute += abs(value)
        power += value * value
        moment += value * (x - x0)
        peak = max(peak, value)
    rest = core_radius * core_radius - dy * dy
    if rest >= 0.0:
        half = math.sqrt(rest)
        for x in range(max(first, math.ceil(x0 - half)), min(last, math.floor(x0 + half)) + 1):
            value = np.float64(row[x])
            inner_flux += value
            inner_moment += value * (x - x0)
    out[0] += flux
    out[1] += absolute
    out[2] += power
    out[3] += max(last - first + 1, 0)
    out[4] += moment
    out[5] += flux * dy
    out[6] += flux - inner_flux
    out[7] += moment - inner_moment
    out[8] += (flux - inner_flux) * dy
    out[9] = max(out[9], peak)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _sum_image(residual, arc, center, sky_sigma, step, numbers, profile, light_radius):
    n, bands, height, width = residual.shape
    bins = profile.shape[2]
    distance, ring = np.empty((height, width)), np.empty((height, width), np.int32)
    count = np.empty(bins + 1)
    rings = np.empty((2, bins + 1))
    columns = np.empty((2, width))
    for i in range(n):
        x0, y0 = center[i, 0], center[i, 1]
        count[:] = 0.0
        for y in range(height):
            square = (y - y0) * (y - y0)
            for x in range(width):
                distance[y, x] = math.sqrt((x - x0) * (x - x0) + square)
            for x in range(width):
                ring[y, x] = np.int32(min(distance[y, x] / step, 1.0 * bins))
            for x in range(width):
                count[ring[y, x]] += 1.0
        for band in range(bands):
            image = residual[i, band]
            numbers[1, i, band], numbers[2, i, band] = _sum_plane(image, distance, columns)
            _sum_rings(image, ring, rings)
            numbers[0, i, band] = rings.sum() if math.isfinite(numbers[1, i, band]) else np.nan
            for k in range(bins):
                profile[i, band, k] = (rings[0, k] + rings[1, k]) / count[k] if count[k] > 0.0 else np.nan
        light_radius[i] = _light_radius(residual[i], arc[i], distance, sky_sigma[i])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _sum_plane(image, distance, columns):
    """Sum of absolute values and place of the peak, column by column in vector lanes, then over the columns."""
    height, width = image.shape
    columns[0], columns[1] = 0.0, -np.inf
    for y in range(height):
        row = image[y]
        for x in range(width):
            value = np.float64(row[x])
            columns[0, x] += abs(value)
            columns[1, x] = max(columns[1, x], value)
    absolute, brightest = 0.0, 0
    for x in range(width):
        absolute += columns[0, x]
        brightest = x if columns[1, x] > columns[1, brightest] else brightest
    if not math.isfinite(absolute):
        return np.nan, np.nan
    y = 0
    while np.float64(image[y, brightest]) != columns[1, brightest]:
        y += 1
    return absolute, distance[y, brightest]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _sum_rings(image, ring, rings):
    """Sum even and odd columns apart, so that one sum need not wait for the other."""
    height, width = image.shape
    rings[:] = 0.0
    for y in range(height):
        row, at = image[y], ring[y]
        for x in range(width // 2):
            rings[0, at[2 * x]] += np.float64(row[2 * x])
            rings[1, at[2 * x + 1]] += np.float64(row[2 * x + 1])
        if width % 2:
            rings[0, at[width - 1]] += np.float64(row[width - 1])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _light_radius(residual, arc, distance, sky_sigma):
    bands, height, width = residual.shape
    light, columns = np.zeros((height, width)), np.zeros((2, width))
    for band in range(bands):
        image = arc[band] if math.isfinite(arc[band, 0, 0]) else residual[band]
        factor = 1.0 / sky_sigma[band]
        for y in range(height):
            row = image[y]
            for x in range(width):
                light[y, x] += factor * np.float64(row[x])
    for y in range(height):
        for x in range(width):
            columns[0, x] += light[y, x]
            columns[1, x] = max(columns[1, x], light[y, x])
    brightest, total, moment = 0.0, 0.0, 0.0
    for x in range(width):
        brightest = max(brightest, columns[1, x])
        total += columns[0, x]
    if not (math.isfinite(total) and brightest > 0.0):
        return np.nan
    total = 0.0
    for y in range(height):
        for x in range(width):
            if light[y, x] >= 0.5 * brightest:
                total += light[y, x]
                moment += light[y, x] * distance[y, x]
    return moment / total
