r"""What the residual (stamp minus ctrl) is made of: the arc, and the marks that a faulty injection leaves.

Outside the arc's own region a faultless residual holds nothing but the arc's far wings. A robust linear fit there of

.. math::

    R = p + g\,C + \tfrac12 b\,\nabla^2 C - s_x\,\partial_x C - s_y\,\partial_y C + a_x u + a_y v + \text{wings}

reads off a pedestal :math:`p`, a gain error :math:`g`, a blur :math:`b` (added variance of the PSF), a shift
:math:`s` and a gradient :math:`a`; :math:`C` is the ctrl and :math:`u, v` run over the image from -1 to 1. The wings
are two Gaussian blurs of the arc region itself with free amplitudes: without them, arc light that the PSF carries
outward reads as host light.
"""

import math

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError

__all__ = ["TERMS", "decompose_residual"]

TERMS = ("pedestal", "gain", "blur", "shift_x", "shift_y", "gradient_x", "gradient_y")

_WING_SIGMAS = (3.0, 6.0)
_N_TERMS = len(TERMS)
_N_COLUMNS = _N_TERMS + len(_WING_SIGMAS)
_ITERATIONS = 6
_TUKEY = 5.0
_MIN_PIXELS = 50


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
    terms : float64 array, (n, band, 7)
        In the order of `TERMS`: pedestal [nanomaggy / pix], gain [fraction], blur [pix^2 of added variance an axis],
        shift [pix] and gradient [nanomaggy / pix at the image's edge].
    errors : float64 array, (n, band, 7)
        Standard errors of the terms from the weighted scatter about the fit.
    noise : float64 array, (n, band)
        Robust scatter of what the fit leaves [nanomaggy / pix].
    correlation : float64 array, (n, band)
        Pearson correlation of stamp and ctrl over the fitted pixels.
    physical : float32 array, (n, band, y, x)
        ctrl + (residual - artifacts): the stamp that a faultless injection of the same arc would have given. Each term
        is shrunk by 1 - (error / value)^2, at least 0, so that noise is not taken for an artifact.

    Raises
    ------
    ShapeError
        If the arrays do not fit each other.

    Notes
    -----
    Least squares are re-weighted with Tukey's biweight (Beaton & Tukey 1974, Technometrics 16, 147). A pixel that is
    not finite, or fewer than 50 usable pixels, makes the terms of that image NaN.
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
    terms = np.empty((n, bands, _N_TERMS))
    errors = np.empty((n, bands, _N_TERMS))
    noise = np.empty((n, bands))
    correlation = np.empty((n, bands))
    physical = np.empty_like(stamp)
    kernels = _gaussian_kernels(_WING_SIGMAS)
    _decompose(stamp, ctrl, center, arc_outer_radius, sky_sigma, kernels, terms, errors, noise, correlation, physical)
    return terms, errors, noise, correlation, physical


def _gaussian_kernels(sigmas):
    """One-sided Gaussian kernels, (kernel, offset), padded with zeros to the widest."""
    reach = math.ceil(3 * max(sigmas))
    offset = np.arange(reach + 1)
    kernels = np.stack([np.exp(-0.5 * (offset / sigma) ** 2) * (offset <= 3 * sigma) for sigma in sigmas])
    return kernels / (2 * kernels.sum(axis=1) - kernels[:, 0])[:, None]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _decompose(stamp, ctrl, center, radius, sky_sigma, kernels, terms, errors, noise, correlation, physical):
    n, bands, height, width = stamp.shape
    design = np.empty((_N_COLUMNS, height * width))
    target = np.empty(height * width)
    wings = np.empty((len(kernels), height, width))
    for i in range(n):
        for band in range(bands):
            image, host = stamp[i, band], ctrl[i, band]
            _wings(image, host, center[i, 0], center[i, 1], radius[i], kernels, wings)
            used = _fill_design(image, host, center[i, 0], center[i, 1], radius[i], wings, design, target)
            correlation[i, band] = _correlation(design[1], target, used)
            noise[i, band] = _fit(design, target, used, sky_sigma[i, band], terms[i, band], errors[i, band])
            _rebuild(image, host, terms[i, band], errors[i, band], physical[i, band])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _wings(image, host, x0, y0, radius, kernels, wings):
    """Blur the residual inside `radius` with each Gaussian kernel, rows then columns."""
    height, width = image.shape
    inner = np.zeros((height, width))
    rows = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            if (x - x0) ** 2 + (y - y0) ** 2 <= radius * radius:
                inner[y, x] = np.float64(image[y, x]) - np.float64(host[y, x])
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
def _fill_design(image, host, x0, y0, radius, wings, design, target):
    """Fill a row a term, over the pixels beyond `radius` with four neighbors; return how many they are."""
    height, width = image.shape
    used = 0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if (x - x0) ** 2 + (y - y0) ** 2 <= radius * radius:
                continue
            here = np.float64(host[y, x])
            left, right = np.float64(host[y, x - 1]), np.float64(host[y, x + 1])
            down, up = np.float64(host[y - 1, x]), np.float64(host[y + 1, x])
            design[0, used] = 1.0
            design[1, used] = here
            design[2, used] = 0.5 * (left + right + down + up - 4.0 * here)
            design[3, used] = 0.5 * (left - right)
            design[4, used] = 0.5 * (down - up)
            design[5, used] = 2.0 * x / (width - 1) - 1.0
            design[6, used] = 2.0 * y / (height - 1) - 1.0
            for k in range(wings.shape[0]):
                design[_N_TERMS + k, used] = wings[k, y, x]
            target[used] = np.float64(image[y, x]) - here
            used += 1
    return used


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _correlation(host, residual, n):
    """Pearson correlation of host and host + residual over the first `n` values."""
    mean_host, mean_stamp = 0.0, 0.0
    for j in range(n):
        mean_host += host[j] / n
        mean_stamp += (host[j] + residual[j]) / n
    hh, hs, ss = 0.0, 0.0, 0.0
    for j in range(n):
        a, b = host[j] - mean_host, host[j] + residual[j] - mean_stamp
        hh += a * a
        hs += a * b
        ss += b * b
    return hs / math.sqrt(hh * ss)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _fit(design, target, n, sky_sigma, value, error):
    """Re-weight least squares over the first `n` pixels; fill `value` and `error`, return the robust scatter."""
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
        return np.nan
    for a in range(columns):
        scale[a] = math.sqrt(scale[a] / n) if scale[a] > 0 else 1.0
    weight = np.ones(n)
    left = np.empty(n)
    solution = np.zeros(columns)
    normal = np.zeros((columns, columns))
    right = np.zeros(columns)
    row = np.empty(n)
    scatter = 0.0
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
    variance = spread / max(total - columns, 1.0)
    for a in range(_N_TERMS):
        value[a] = solution[a] / scale[a]
        error[a] = math.sqrt(variance * max(covariance[a, a], 0.0)) / scale[a]
    return scatter


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
