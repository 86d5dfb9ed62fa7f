"""Where the light of a residual is: inside the arc's region or outside, how bright, and its radial profile."""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError

__all__ = ["ARC_COLUMNS", "measure_arc"]

ARC_COLUMNS = (
    "flux_total",
    "flux_inside",
    "absolute_total",
    "absolute_inside",
    "power_inside",
    "pixels_inside",
    "peak",
    "peak_radius",
    "moment_x",
    "moment_y",
)


def measure_arc(residual, *, center, outer_radius, profile_step, profile_bins):
    """Sum each residual inside a disc about the host, find its peak, and average it in rings.

    Parameters
    ----------
    residual : float32 array, (n, band, y, x)
        Stamp minus ctrl [nanomaggy].
    center : float64 array, (n, 2)
        Host center (x, y) [pix].
    outer_radius : float64 array, (n,)
        Radius of the disc that the lens can put light into [pix].
    profile_step : float
        Width of a ring of the profile [pix].
    profile_bins : int
        Number of rings.

    Returns
    -------
    sums : dict of float64 array, (n, band)
        Keys `ARC_COLUMNS`: total flux, flux inside, sums of absolute values over all and inside, sum of squares and
        number of pixels inside, largest value and its radius [pix], first moments about the center of the pixels
        inside. A pixel that is not finite makes them NaN.
    profile : float64 array, (n, band, bins)
        Mean of the pixels in each ring [nanomaggy / pix]; NaN for a ring that the image does not reach.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.
    """
    residual = np.ascontiguousarray(residual, dtype=np.float32)
    center = np.ascontiguousarray(center, dtype=np.float64)
    outer_radius = np.ascontiguousarray(outer_radius, dtype=np.float64)
    if residual.ndim != 4:
        raise ShapeError("residual", got=residual.shape, expected="(n, band, y, x)")
    n, bands = residual.shape[:2]
    if center.shape != (n, 2) or outer_radius.shape != (n,):
        raise ShapeError(
            "center and outer_radius", got=f"{center.shape} and {outer_radius.shape}", expected=f"({n}, 2) and ({n},)"
        )
    sums = np.empty((n, bands, len(ARC_COLUMNS)))
    profile = np.empty((n, bands, profile_bins))
    _measure(residual, center, outer_radius, float(profile_step), sums, profile)
    return {name: sums[:, :, at].copy() for at, name in enumerate(ARC_COLUMNS)}, profile


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _measure(residual, center, outer_radius, step, sums, profile):
    n, bands, height, width = residual.shape
    bins = profile.shape[2]
    count = np.empty(bins)
    for i in range(n):
        for band in range(bands):
            out, rings = sums[i, band], profile[i, band]
            out[:] = 0.0
            out[6], out[7] = -np.inf, np.nan
            rings[:] = 0.0
            count[:] = 0.0
            finite = True
            for y in range(height):
                for x in range(width):
                    value = np.float64(residual[i, band, y, x])
                    finite = finite and math.isfinite(value)
                    radius = math.hypot(x - center[i, 0], y - center[i, 1])
                    out[0] += value
                    out[2] += abs(value)
                    if radius <= outer_radius[i]:
                        out[1] += value
                        out[3] += abs(value)
                        out[4] += value * value
                        out[5] += 1.0
                        out[8] += value * (x - center[i, 0])
                        out[9] += value * (y - center[i, 1])
                    if value > out[6]:
                        out[6], out[7] = value, radius
                    ring = int(radius / step)
                    if ring < bins:
                        rings[ring] += value
                        count[ring] += 1.0
            for ring in range(bins):
                rings[ring] = rings[ring] / count[ring] if count[ring] > 0.0 else np.nan
            if not finite:
                out[:] = np.nan
