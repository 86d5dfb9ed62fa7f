r"""What the residual (stamp minus ctrl) is made of: the arc, and the marks that a faulty injection leaves.

Outside the arc's own region a faultless residual holds nothing but the arc's far wings. A robust linear fit there of

.. math::

    R = p + g\,C + \tfrac12 b\,\nabla^2 C - s_x\,\partial_x C - s_y\,\partial_y C + a_x u + a_y v + \text{wings}

reads off a pedestal :math:`p`, a gain error :math:`g`, a blur :math:`b` (added variance of the PSF), a shift
:math:`s` and a gradient :math:`a`; :math:`C` is the ctrl and :math:`u, v` run over the image from -1 to 1. The wings
are two Gaussian blurs of the arc region itself with free amplitudes: without them, arc light that the PSF carries
outward reads as host light.

Residual and ctrl are smoothed alike, which leaves the relation between them as it is, and sampled on every second pixel
(see `gen5astro.kernels.derivatives`). What the smoothing takes away is noise, and is looked at apart: an injection that
keeps its host's pixels leaves nothing there, one that multiplies them leaves that multiple, one that draws the noise
anew leaves minus the ctrl's.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from gen5astro.errors import ShapeError
from gen5astro.kernels.derivatives import (
    FIELDS,
    REACH,
    STEP,
    deinterleave,
    sample_fields,
    sample_smooth,
    smoothing_taps,
)
from gen5astro.kernels.median import single_median
from gen5astro.kernels.noise_origin import gather, judge_noise
from gen5astro.kernels.robust import fit_robust
from gen5astro.kernels.shrinkage import shrink

__all__ = ["TERMS", "TERM_PAIRS", "Decomposition", "decompose_residual"]

TERMS = ("pedestal", "gain", "blur", "shift_x", "shift_y", "gradient_x", "gradient_y")
#: The pairs of terms whose correlation is given, in order.
TERM_PAIRS = tuple((a, b) for at, a in enumerate(TERMS) for b in TERMS[at + 1 :])

_WING_SIGMAS_PIX = (3.0, 6.0)
_N_TERMS = len(TERMS)
_N_COLUMNS = _N_TERMS + len(_WING_SIGMAS_PIX)
_FLOOR_SKY_SIGMA = 1e-3
_MIN_POINTS = 25


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
    correlations : float64 array, (n, band, 21)
        Correlation of the errors of each of `TERM_PAIRS`.
    noise : float64 array, (n, band)
        Robust scatter of the residual's noise [nanomaggy / pix], less the gain's share of the ctrl's.
    noise_gain : float64 array, (n, band)
        Regression of the residual's noise on the ctrl's own: 0 where the host's pixels were kept.
    noise_gain_other : float64 array, (n, band)
        Of what that leaves, on the noise of the ctrl's other bands: the coefficient farthest from 0.
    likeness : float64 array, (n, band)
        Pearson correlation of stamp and ctrl outside the arc.
    misfit : float64 array, (n, band)
        Weighted rms of what the fit leaves of the smoothed residual [nanomaggy / pix].
    artifact_rms : float64 array, (n, band)
        Root mean square over the image of what is taken out of the stamp to make `physical` [nanomaggy / pix].
    physical : float32 array, (n, band, y, x)
        ctrl + (residual - artifacts): the stamp that a faultless injection of the same arc would have given. Each term
        is shrunk (see `gen5astro.kernels.shrinkage`), so that neither noise nor an arc's wings are taken for artifacts.
    """

    terms: np.ndarray
    errors: np.ndarray
    correlations: np.ndarray
    noise: np.ndarray
    noise_gain: np.ndarray
    noise_gain_other: np.ndarray
    likeness: np.ndarray
    misfit: np.ndarray
    artifact_rms: np.ndarray
    physical: np.ndarray


def decompose_residual(stamp, ctrl, *, center, arc_outer_radius, sky_sigma, masked=None):
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
    masked : bool array, (n, y, x), optional
        Pixels that the fit leaves out, such as neighbors of the host.

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
    The fit is `gen5astro.kernels.robust.fit_robust`. Errors allow for the correlation that the smoothing brings. A
    pixel that is not finite, or fewer than 25 usable points (one in eight pixels is one), makes the terms of that band
    NaN.
    """
    stamp = np.ascontiguousarray(stamp, dtype=np.float32)
    ctrl = np.ascontiguousarray(ctrl, dtype=np.float32)
    if stamp.ndim != 4 or stamp.shape != ctrl.shape:
        raise ShapeError("stamp and ctrl", got=f"{stamp.shape} and {ctrl.shape}", expected="the same (n, band, y, x)")
    n, bands = stamp.shape[:2]
    center = np.ascontiguousarray(center, dtype=np.float64)
    arc_outer_radius = np.ascontiguousarray(arc_outer_radius, dtype=np.float64)
    sky_sigma = np.ascontiguousarray(sky_sigma, dtype=np.float64)
    image_shape = (n, *stamp.shape[2:])
    masked = np.zeros(image_shape, bool) if masked is None else np.ascontiguousarray(masked, dtype=bool)
    for name, array, shape in (
        ("center", center, (n, 2)),
        ("arc_outer_radius", arc_outer_radius, (n,)),
        ("sky_sigma", sky_sigma, (n, bands)),
        ("masked", masked, image_shape),
    ):
        if array.shape != shape:
            raise ShapeError(name, got=array.shape, expected=shape)
    terms, errors = np.empty((2, n, bands, _N_TERMS))
    correlations = np.empty((n, bands, len(TERM_PAIRS)))
    numbers = np.empty((6, n, bands))
    physical = np.empty_like(stamp)
    taps = smoothing_taps()
    places = center, arc_outer_radius, sky_sigma, masked
    _decompose(stamp, ctrl, *places, taps, _wing_taps(), terms, errors, correlations, numbers, physical)
    return Decomposition(terms, errors, correlations, *numbers, physical)


def _wing_taps():
    """One-sided Gaussians out to three sigma, (wing, offset) in samples, of which both sides together sum to 1."""
    sigmas = np.array(_WING_SIGMAS_PIX)[:, None] / STEP
    offset = np.arange(math.ceil(3 * sigmas.max()) + 1)
    taps = np.exp(-0.5 * (offset / sigmas) ** 2) * (offset <= np.floor(3 * sigmas + 0.5))
    return taps / (2 * taps.sum(axis=1, keepdims=True) - taps[:, :1])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _decompose(
    stamp, ctrl, center, radius, sky_sigma, masked, taps, wing_taps, terms, errors, correlations, numbers, physical
):
    n, bands, height, width = stamp.shape
    rows, columns = (height - 2 * REACH - 1) // STEP + 1, (width - 2 * REACH - 1) // STEP + 1
    samples = rows * columns
    hosts, residual = np.empty((bands, height, width + width % 2)), np.empty((height, width + width % 2))
    fields, smooth = np.empty((bands, len(FIELDS), rows, columns)), np.empty((rows, columns))
    wings = np.empty((len(wing_taps), rows, columns))
    host_pixels, rough_host = np.empty((bands, samples)), np.empty((bands, samples))
    pixels, rough = np.empty(samples), np.empty(samples)
    outside, used = np.empty(samples, np.int64), np.empty(samples, np.int64)
    designs, rooms = np.empty((_N_COLUMNS + 1) * samples), np.empty((_N_COLUMNS + 1) * samples)
    weights, noises = np.empty(samples), np.empty((bands + 2) * samples)
    solution, covariance = np.empty(_N_COLUMNS), np.empty((_N_COLUMNS, _N_COLUMNS))
    term = np.empty(_N_TERMS)
    # A sample is the mean of about 4 pi sigma^2 pixels, and each that is used stands for 2 STEP^2 of them.
    square = np.dot(taps[0], taps[0])
    area = 1.0 / (square * square * 2.0 * STEP * STEP)
    kept = 1.0 - 2.0 * taps[0, REACH] * taps[0, REACH] + square * square
    for i in range(n):
        n_outside, n_used = _choose_points(masked[i], center[i, 0], center[i, 1], radius[i], columns, outside, used)
        points = used[:n_used]
        for band in range(bands):
            deinterleave(ctrl[i, band], hosts[band])
            sample_fields(hosts[band], taps, fields[band])
            _sample_pixels(hosts[band], columns, host_pixels[band])
            _subtract(host_pixels[band], fields[band, 0], rough_host[band])
        for band in range(bands):
            deinterleave(stamp[i, band], residual)
            residual -= hosts[band]
            _sample_pixels(residual, columns, pixels)
            numbers[3, i, band] = _likeness(host_pixels[band], pixels, outside[:n_outside])
            sample_smooth(residual, taps, smooth)
            level = single_median(gather(smooth, points, 1.0, weights[:n_used]))
            _spread_wings(smooth, level, center[i, 0], center[i, 1], radius[i], wing_taps, wings)
            design = designs[: (_N_COLUMNS + 1) * n_used].reshape((_N_COLUMNS + 1, n_used))
            _fill_design(fields[band], wings, smooth, points, height, width, design)
            if n_used < _MIN_POINTS or not (_is_finite(design) and math.isfinite(sky_sigma[i, band])):
                terms[i, band], errors[i, band], correlations[i, band] = np.nan, np.nan, np.nan
                numbers[:3, i, band], numbers[4:, i, band] = np.nan, np.nan
                physical[i, band] = np.nan
                continue
            weight = weights[:n_used]
            floor = _FLOOR_SKY_SIGMA * sky_sigma[i, band]
            spare = rooms[: design.size].reshape(design.shape)
            left = fit_robust(design, floor, spare, weight, solution, covariance)
            variance, numbers[4, i, band] = area * left, math.sqrt(left)
            _keep_terms(solution, covariance, variance, terms[i, band], errors[i, band], correlations[i, band])
            _subtract(pixels, smooth, rough)
            noise = noises[: (bands + 2) * n_used].reshape((bands + 2, n_used))
            judge_noise(rough, rough_host, band, terms[i, band, 1], points, weight, kept, noise, numbers[:, i, band])
            shrink(terms[i, band], errors[i, band], sky_sigma[i, band], term)
            numbers[5, i, band] = _rebuild(stamp[i, band], ctrl[i, band], term, physical[i, band])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _choose_points(masked, x0, y0, radius, columns, outside, used):
    """Fill the flat numbers of the samples beyond `radius`, and of those that the fit uses.

    The fit leaves out what is masked, and every second sample, as on a chessboard: the smoothing has spread what they
    hold over those that are left.
    """
    n_outside, n_used = 0, 0
    for i in range(len(outside) // columns):
        for j in range(columns):
            y, x = REACH + STEP * i, REACH + STEP * j
            if (x - x0) ** 2 + (y - y0) ** 2 > radius * radius:
                outside[n_outside] = i * columns + j
                n_outside += 1
                if not masked[y, x] and (i + j) % 2 == 0:
                    used[n_used] = i * columns + j
                    n_used += 1
    return n_outside, n_used


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _sample_pixels(image, columns, out):
    """Fill the pixels at the samples, which all lie in odd columns, from a deinterleaved image."""
    first = image.shape[1] // 2 + REACH // STEP
    for i in range(len(out) // columns):
        for j in range(columns):
            out[i * columns + j] = image[REACH + STEP * i, first + j]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _subtract(pixels, smooth, rough):
    """What the smoothing took away."""
    values = smooth.ravel()
    for k in range(len(pixels)):
        rough[k] = pixels[k] - values[k]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _likeness(host, residual, points):
    """Pearson correlation of host and host + residual at some samples."""
    n = len(points)
    mean_host, mean_stamp = 0.0, 0.0
    for k in points:
        mean_host += host[k]
        mean_stamp += residual[k]
    mean_host, mean_stamp = mean_host / n, (mean_host + mean_stamp) / n
    hh, hs, ss = 0.0, 0.0, 0.0
    for k in points:
        a, b = host[k] - mean_host, host[k] + residual[k] - mean_stamp
        hh += a * a
        hs += a * b
        ss += b * b
    return hs / math.sqrt(hh * ss)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _spread_wings(smooth, level, x0, y0, radius, taps, wings):
    """Blur the samples inside `radius`, less a level that is no arc's, with each Gaussian, rows then columns."""
    rows, columns = smooth.shape
    reach = taps.shape[1] - 1
    inner, along = np.zeros((rows, columns + 2 * reach)), np.empty((rows, columns))
    first, last = rows, -1
    for i in range(rows):
        for j in range(columns):
            y, x = REACH + STEP * i, REACH + STEP * j
            if (x - x0) ** 2 + (y - y0) ** 2 <= radius * radius:
                inner[i, reach + j] = smooth[i, j] - level
                first, last = min(first, i), i
    for k in range(len(taps)):
        for i in range(first, last + 1):
            along[i] = 0.0
            for at in range(-reach, reach + 1):
                weight, part = taps[k, abs(at)], inner[i, reach + at : reach + at + columns]
                for j in range(columns):
                    along[i, j] += weight * part[j]
        wings[k] = 0.0
        for i in range(first, last + 1):
            for at in range(max(0, i - reach), min(rows, i + reach + 1)):
                weight = taps[k, abs(at - i)]
                for j in range(columns):
                    wings[k, at, j] += weight * along[i, j]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _fill_design(fields, wings, smooth, points, height, width, design):
    """Fill a row a term, a row a wing, and the target."""
    columns = smooth.shape[1]
    design[0] = 1.0
    gather(fields[0], points, 1.0, design[1])
    gather(fields[3], points, 1.0, design[2])
    gather(fields[1], points, -1.0, design[3])
    gather(fields[2], points, -1.0, design[4])
    for k in range(len(wings)):
        gather(wings[k], points, 1.0, design[_N_TERMS + k])
    gather(smooth, points, 1.0, design[_N_COLUMNS])
    along, across = 2.0 * STEP / (width - 1), 2.0 * STEP / (height - 1)
    for at in range(len(points)):
        i = np.int32(points[at]) // np.int32(columns)
        design[5, at] = along * (points[at] - i * columns) + 2.0 * REACH / (width - 1) - 1.0
        design[6, at] = across * i + 2.0 * REACH / (height - 1) - 1.0


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _is_finite(design):
    """Whether host, wings and target are finite; slopes are where the host is."""
    total = np.dot(design[1], design[1])
    for a in range(_N_TERMS, len(design)):
        total += np.dot(design[a], design[a])
    return math.isfinite(total)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _keep_terms(solution, covariance, variance, value, error, correlation):
    """Keep what belongs to the terms, and leave the wings."""
    pair = 0
    for a in range(_N_TERMS):
        value[a] = solution[a]
        error[a] = math.sqrt(variance * max(covariance[a, a], 0.0))
        for b in range(a + 1, _N_TERMS):
            correlation[pair] = covariance[a, b] / math.sqrt(covariance[a, a] * covariance[b, b])
            pair += 1


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _rebuild(image, host, term, physical):
    """Take the artifacts out of the stamp, and return their rms.

    Beyond its edge the host goes on.
    """
    height, width = image.shape
    # Coefficients of the pixel itself and of its four neighbors, from differences of the host.
    here, blur = term[1] - 2.0 * term[2], 0.5 * term[2]
    left, right, down, up = blur + 0.5 * term[3], blur - 0.5 * term[3], blur + 0.5 * term[4], blur - 0.5 * term[4]
    along, across = 2.0 / (width - 1), 2.0 / (height - 1)
    artifact, squares = np.empty(width), np.zeros(width)
    for y in range(height):
        middle, below, above = host[y], host[max(y - 1, 0)], host[min(y + 1, height - 1)]
        level = term[0] - term[5] + term[6] * (across * y - 1.0)
        for x in range(width):
            artifact[x] = level + term[5] * along * x + here * middle[x] + down * below[x] + up * above[x]
        for x in range(1, width - 1):
            artifact[x] += left * middle[x - 1] + right * middle[x + 1]
        artifact[0] += left * middle[0] + right * middle[1]
        artifact[width - 1] += left * middle[width - 2] + right * middle[width - 1]
        for x in range(width):
            physical[y, x] = np.float32(np.float64(image[y, x]) - artifact[x])
            squares[x] += artifact[x] * artifact[x]
    return math.sqrt(squares.mean() / height)
