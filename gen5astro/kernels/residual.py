r"""What the residual (stamp minus ctrl) is made of: the arc, and the marks that a faulty injection leaves.

Outside the arc's own region a faultless residual holds nothing but the arc's far wings. A robust linear fit there of

.. math::

    R = p + g\,C + \tfrac12 b\,\nabla^2 C - s_x\,\partial_x C - s_y\,\partial_y C + a_x u + a_y v + \text{wings}

reads off a pedestal :math:`p`, a gain error :math:`g`, a blur :math:`b` (added variance of the PSF), a shift
:math:`s` and a gradient :math:`a`; :math:`C` is the ctrl and :math:`u, v` run over the image from -1 to 1. The wings
are two Gaussian blurs of the arc region itself with free amplitudes: without them, arc light that the PSF carries
outward reads as host light.

Residual and ctrl are smoothed first, which makes derivatives by differences accurate and keeps pixel noise from posing
as structure. What the smoothing takes away is noise, and is looked at apart: an injection that keeps its host's pixels
leaves nothing there, one that multiplies them leaves that multiple, one that draws the noise anew leaves minus the
ctrl's.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError
from gen5astro.kernels.smooth import gaussian_kernels, smooth_image

__all__ = ["TERMS", "Decomposition", "decompose_residual"]

TERMS = ("pedestal", "gain", "blur", "shift_x", "shift_y", "gradient_x", "gradient_y")

_WING_SIGMAS = (3.0, 6.0)
_SMOOTHING_SIGMA = 1.0
_N_TERMS = len(TERMS)
_N_COLUMNS = _N_TERMS + len(_WING_SIGMAS)
_ITERATIONS = 6
_TUKEY = 5.0
_MIN_PIXELS = 50


@dataclass(frozen=True)
class Decomposition:
    """What each residual is made of.

    Parameters
    ----------
    terms : float64 array, (n, band, 7)
        In the order of `TERMS`: pedestal [nanomaggy / pix], gain [fraction], blur [pix^2 of added variance an axis],
        shift [pix] and gradient [nanomaggy / pix at the image's edge].
    errors : float64 array, (n, band, 7)
        Standard errors of the terms from the weighted scatter about the fit.
    noise : float64 array, (n, band)
        Robust scatter of the residual's noise [nanomaggy / pix], less the gain's share of the ctrl's.
    noise_gain : float64 array, (n, band)
        Regression of the residual's noise on the ctrl's own: 0 where the host's pixels were kept.
    noise_gain_other : float64 array, (n, band)
        Of what that leaves, on the noise of the ctrl's other bands: the coefficient farthest from 0.
    correlation : float64 array, (n, band)
        Pearson correlation of stamp and ctrl over the fitted pixels.
    physical : float32 array, (n, band, y, x)
        ctrl + (residual - artifacts): the stamp that a faultless injection of the same arc would have given. Each term
        is shrunk by 1 - (error / value)^2, at least 0, so that noise is not taken for an artifact.
    """

    terms: np.ndarray
    errors: np.ndarray
    noise: np.ndarray
    noise_gain: np.ndarray
    noise_gain_other: np.ndarray
    correlation: np.ndarray
    physical: np.ndarray


def decompose_residual(stamp, ctrl, *, center, arc_outer_radius, sky_sigma):
    """Fit the artifact terms of each residual outside the arc, and rebuild the stamp without them.

    Parameters
    ----------
    stamp, ctrl : float32 array, (n, band, y, x)
        Fluxes [nanomaggy].
    center : float64 array, (n, 2)
        Host center (x, y) [pix].
    arc_outer_radius : float64 array, (n,)
        Radius that holds the arc; the fit uses pixels beyond it [pix].
    sky_sigma : float64 array, (n, band)
        Sky noise of the ctrl [nanomaggy / pix]; sets the floor of the robust weights.

    Returns
    -------
    decomposition : Decomposition
        Terms, noise and rebuilt stamps.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.

    Notes
    -----
    Least squares are re-weighted with Tukey's biweight (Beaton & Tukey 1974, Technometrics 16, 147). Errors allow for
    the correlation that the smoothing brings. A pixel that is not finite, or fewer than 50 usable pixels, makes the
    terms of that image NaN.
    """
    stamp = np.ascontiguousarray(stamp, dtype=np.float32)
    ctrl = np.ascontiguousarray(ctrl, dtype=np.float32)
    if stamp.ndim != 4 or stamp.shape != ctrl.shape:
        raise ShapeError("stamp and ctrl", got=f"{stamp.shape} and {ctrl.shape}", expected="the same (n, band, y, x)")
    n, bands = stamp.shape[:2]
    center = np.ascontiguousarray(center, dtype=np.float64)
    arc_outer_radius = np.ascontiguousarray(arc_outer_radius, dtype=np.float64)
    sky_sigma = np.ascontiguousarray(sky_sigma, dtype=np.float64)
    for name, array, shape in (
        ("center", center, (n, 2)),
        ("arc_outer_radius", arc_outer_radius, (n,)),
        ("sky_sigma", sky_sigma, (n, bands)),
    ):
        if array.shape != shape:
            raise ShapeError(name, got=array.shape, expected=shape)
    terms, errors = np.empty((2, n, bands, _N_TERMS))
    numbers = np.empty((4, n, bands))
    physical = np.empty_like(stamp)
    smoothing = gaussian_kernels((_SMOOTHING_SIGMA,))[0]
    single = np.concatenate([smoothing[:0:-1], smoothing])
    area = 1 / np.sum(np.outer(single, single) ** 2)
    # Variance of white noise that the smoothing takes away: 1 - 2 k(0) + sum k^2.
    kept = 1 - 2 * smoothing[0] ** 2 + 1 / area
    _decompose(
        stamp,
        ctrl,
        center,
        arc_outer_radius,
        sky_sigma,
        smoothing,
        gaussian_kernels(_WING_SIGMAS),
        area,
        kept,
        terms,
        errors,
        numbers,
        physical,
    )
    noise, noise_gain, noise_gain_other, correlation = numbers
    return Decomposition(terms, errors, noise, noise_gain, noise_gain_other, correlation, physical)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _decompose(
    stamp, ctrl, center, radius, sky_sigma, smoothing, wing_kernels, area, kept, terms, errors, numbers, physical
):
    n, bands, height, width = stamp.shape
    pixels = height * width
    design = np.empty((_N_COLUMNS, pixels))
    target = np.empty(pixels)
    weight = np.empty(pixels)
    residual = np.empty((height, width))
    smooth = np.empty((2, height, width))
    wings = np.empty((len(wing_kernels), height, width))
    rough_host = np.empty((bands, height, width))
    rough = np.empty(pixels)
    for i in range(n):
        x0, y0, outer = center[i, 0], center[i, 1], radius[i]
        index = _outside(height, width, x0, y0, outer)
        for band in range(bands):
            smooth_image(ctrl[i, band], smoothing, smooth[0])
            for y in range(height):
                for x in range(width):
                    rough_host[band, y, x] = np.float64(ctrl[i, band, y, x]) - smooth[0, y, x]
        for band in range(bands):
            image, host = stamp[i, band], ctrl[i, band]
            for y in range(height):
                for x in range(width):
                    residual[y, x] = np.float64(image[y, x]) - np.float64(host[y, x])
                    smooth[0, y, x] = np.float64(host[y, x]) - rough_host[band, y, x]
            smooth_image(residual, smoothing, smooth[1])
            _wings(residual, x0, y0, outer, wing_kernels, wings)
            _fill_design(smooth[0], smooth[1], index, wings, design, target)
            fitted = _fit(design, target, len(index), sky_sigma[i, band], area, weight, terms[i, band], errors[i, band])
            numbers[3, i, band] = _correlation(host, residual, index)
            if fitted:
                for j in range(len(index)):
                    y, x = index[j] // width, index[j] % width
                    rough[j] = residual[y, x] - smooth[1, y, x]
                _judge_noise(rough, rough_host, band, terms[i, band, 1], index, weight, kept, numbers[:, i, band])
            else:
                numbers[:3, i, band] = np.nan
            _rebuild(image, host, terms[i, band], errors[i, band], physical[i, band])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _outside(height, width, x0, y0, radius):
    """Flat indices of the pixels beyond `radius` that have four neighbors."""
    index = np.empty(height * width, np.int64)
    used = 0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if (x - x0) ** 2 + (y - y0) ** 2 > radius * radius:
                index[used] = y * width + x
                used += 1
    return index[:used]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _wings(residual, x0, y0, radius, kernels, wings):
    """Blur the residual inside `radius` with each Gaussian kernel, rows then columns."""
    height, width = residual.shape
    inner = np.zeros((height, width))
    rows = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            if (x - x0) ** 2 + (y - y0) ** 2 <= radius * radius:
                inner[y, x] = residual[y, x]
    reach = kernels.shape[1] - 1
    for k in range(kernels.shape[0]):
        rows[:] = 0.0
        wings[k, :, :] = 0.0
        for y in range(height):
            for x in range(width):
                value = inner[y, x]
                if value != 0.0:
                    for at in range(max(0, x - reach), min(width, x + reach + 1)):
                        rows[y, at] += value * kernels[k, abs(at - x)]
        for y in range(height):
            for at in range(max(0, y - reach), min(height, y + reach + 1)):
                weight = kernels[k, abs(at - y)]
                for x in range(width):
                    wings[k, at, x] += weight * rows[y, x]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _fill_design(host, residual, index, wings, design, target):
    """Fill a row a term with the values at the pixels of `index`."""
    height, width = host.shape
    for j in range(len(index)):
        y, x = index[j] // width, index[j] % width
        here = host[y, x]
        left, right, down, up = host[y, x - 1], host[y, x + 1], host[y - 1, x], host[y + 1, x]
        design[0, j] = 1.0
        design[1, j] = here
        design[2, j] = 0.5 * (left + right + down + up - 4.0 * here)
        design[3, j] = 0.5 * (left - right)
        design[4, j] = 0.5 * (down - up)
        design[5, j] = 2.0 * x / (width - 1) - 1.0
        design[6, j] = 2.0 * y / (height - 1) - 1.0
        for k in range(wings.shape[0]):
            design[_N_TERMS + k, j] = wings[k, y, x]
        target[j] = residual[y, x]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _correlation(host, residual, index):
    """Pearson correlation of host and host + residual over the pixels of `index`."""
    n, width = len(index), host.shape[1]
    mean_host, mean_stamp = 0.0, 0.0
    for j in range(n):
        y, x = index[j] // width, index[j] % width
        mean_host += host[y, x] / n
        mean_stamp += (host[y, x] + residual[y, x]) / n
    hh, hs, ss = 0.0, 0.0, 0.0
    for j in range(n):
        y, x = index[j] // width, index[j] % width
        a, b = host[y, x] - mean_host, host[y, x] + residual[y, x] - mean_stamp
        hh += a * a
        hs += a * b
        ss += b * b
    return hs / math.sqrt(hh * ss)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _judge_noise(rough, rough_host, band, gain, index, weight, kept, numbers):
    """Scatter of the residual's noise, and its regression on the noise of this band's ctrl and of the others'."""
    n, bands, width = len(index), rough_host.shape[0], rough_host.shape[2]
    own, square = 0.0, 0.0
    for j in range(n):
        if weight[j] > 0.0:
            noise = rough_host[band, index[j] // width, index[j] % width]
            own += noise * rough[j]
            square += noise * noise
    own = own / square if square > 0.0 else 0.0
    farthest = 0.0
    for other in range(bands):
        if other == band:
            continue
        along, square = 0.0, 0.0
        for j in range(n):
            if weight[j] > 0.0:
                y, x = index[j] // width, index[j] % width
                noise = rough_host[other, y, x]
                along += noise * (rough[j] - own * rough_host[band, y, x])
                square += noise * noise
        along = along / square if square > 0.0 else 0.0
        farthest = along if abs(along) > abs(farthest) else farthest
    left = np.empty(n)
    for j in range(n):
        left[j] = abs(rough[j] - gain * rough_host[band, index[j] // width, index[j] % width])
    numbers[0] = 1.4826 * np.median(left) / math.sqrt(kept)
    numbers[1] = own
    numbers[2] = farthest


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _fit(design, target, n, sky_sigma, area, weight, value, error):
    """Re-weight least squares over the first `n` pixels; fill weights, values and errors, and say whether it could."""
    columns = design.shape[0]
    scale = np.zeros(columns)
    finite = True
    for j in range(n):
        finite = finite and math.isfinite(target[j])
        for a in range(columns):
            scale[a] += design[a, j] * design[a, j]
            finite = finite and math.isfinite(design[a, j])
    if not finite or n < _MIN_PIXELS or not math.isfinite(sky_sigma):
        value[:] = np.nan
        error[:] = np.nan
        return False
    for a in range(columns):
        scale[a] = math.sqrt(scale[a] / n) if scale[a] > 0 else 1.0
    weight[:n] = 1.0
    left = np.empty(n)
    solution = np.zeros(columns)
    normal = np.zeros((columns, columns))
    right = np.zeros(columns)
    row = np.empty(n)
    for _ in range(_ITERATIONS):
        for a in range(columns):
            for j in range(n):
                row[j] = design[a, j] * weight[j]
            right[a] = np.dot(row, target[:n]) / scale[a]
            for b in range(a + 1):
                normal[a, b] = np.dot(row, design[b, :n]) / (scale[a] * scale[b])
                normal[b, a] = normal[a, b]
            normal[a, a] += 1e-9 * n
        solution = np.linalg.solve(normal, right)
        left[:] = target[:n]
        for a in range(columns):
            step = solution[a] / scale[a]
            for j in range(n):
                left[j] -= step * design[a, j]
        scatter = 1.4826 * np.median(np.abs(left))
        cut = _TUKEY * (scatter + 1e-3 * sky_sigma)
        for j in range(n):
            ratio = left[j] / cut
            weight[j] = (1.0 - ratio * ratio) ** 2 if abs(ratio) < 1.0 else 0.0
    covariance = np.linalg.inv(normal)
    spread, total = 0.0, 0.0
    for j in range(n):
        spread += weight[j] * left[j] * left[j]
        total += weight[j]
    variance = area * spread / max(total - columns, 1.0)
    for a in range(_N_TERMS):
        value[a] = solution[a] / scale[a]
        error[a] = math.sqrt(variance * max(covariance[a, a], 0.0)) / scale[a]
    return True


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _rebuild(image, host, value, error, physical):
    """Take the artifacts, each shrunk by its own significance, out of the stamp."""
    height, width = image.shape
    term = np.empty(_N_TERMS)
    for a in range(_N_TERMS):
        ratio = error[a] / value[a] if value[a] != 0.0 else 1.0
        term[a] = value[a] * max(0.0, 1.0 - ratio * ratio) if math.isfinite(value[a]) else np.nan
    for y in range(height):
        below, above = max(y - 1, 0), min(y + 1, height - 1)
        v = 2.0 * y / (height - 1) - 1.0
        for x in range(width):
            before, after = max(x - 1, 0), min(x + 1, width - 1)
            here = np.float64(host[y, x])
            left, right = np.float64(host[y, before]), np.float64(host[y, after])
            down, up = np.float64(host[below, x]), np.float64(host[above, x])
            u = 2.0 * x / (width - 1) - 1.0
            artifact = term[0] + term[1] * here + term[2] * 0.5 * (left + right + down + up - 4.0 * here)
            artifact += term[3] * 0.5 * (left - right) + term[4] * 0.5 * (down - up) + term[5] * u + term[6] * v
            physical[y, x] = np.float32(np.float64(image[y, x]) - artifact)
