"""What a fit may see of a residual, and how the linear part of a model is solved for.

Only pixels that the core's disc does not touch are seen, so whatever a model then says of the core is a prediction.
Beside the lens every model has the marks of a faulty injection, with free amplitudes in each band: a level, a plane,
multiples of the ctrl and of the smoothed ctrl, its shift and its blur. So neither a pedestal nor a gain bends the lens
or passes for it.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from gen5astro.kernels.aperture import aperture_weights

__all__ = ["Target", "see_outside", "solve_amplitudes"]

_SKY_ARCSEC = 3.0  # beyond two Einstein radii, where the light of no image is: it pins the other terms down
_ARC_ARCSEC = 1.2  # beyond two Einstein radii, as far as the arc's own light goes: there a fit is judged
_MARGIN_ARCSEC = 1.5  # rendered beyond what is seen, since the PSF carries light inward
_MIN_PIXELS = 100
_FLOOR = 0.02  # error of the model itself, in the arc's peak
_SMOOTHING_PX = 1.0
_RIDGE = 1e-11
_REWEIGHTINGS = 3


@dataclass(frozen=True)
class Target:
    """What a fit sees of a residual.

    Parameters
    ----------
    values : float64 array, (band, p)
        Residual of the pixels outside the core, in units of `sigma`.
    marks : float64 array, (band, t, p)
        What a faulty injection may have added to them, each of unit length.
    sigma : float64 array, (band,)
        Scale of the robust loss [nanomaggy / pix]: the sky's noise and the model's own error.
    noise : float64 array, (band,)
        Noise of the residual, in units of `sigma`; 0 where the host's pixels were kept.
    seen : bool array, (y, x)
        Which pixels of the rendered box these are.
    arc : bool array, (p,)
        Which of them may hold light of the arc; the fit is judged on these.
    core : float64 array, (y, x)
        Share of each pixel of the box inside the core.
    corner : tuple of int
        Column and row of the box's first pixel in the image.
    center : tuple of float
        The host (x, y) in the image [pix].
    theta_e_arcsec : float
        Where the search for the Einstein radius starts.
    is_declared : bool
        Whether that radius was declared; else it is that of the brightest pixel.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    """

    values: np.ndarray
    marks: np.ndarray
    sigma: np.ndarray
    noise: np.ndarray
    seen: np.ndarray
    arc: np.ndarray
    core: np.ndarray
    corner: tuple[int, int]
    center: tuple[float, float]
    theta_e_arcsec: float
    is_declared: bool
    pixel_scale: float


def see_outside(stamp, ctrl, *, center, theta_e_arcsec, core_radius_arcsec, sky_sigma, noise, pixel_scale):
    """Take what a fit may see of a pair: the residual outside the core, out to two Einstein radii and 3 arcsec.

    Parameters
    ----------
    stamp, ctrl : float32 array, (band, y, x)
        Fluxes [nanomaggy].
    center : tuple of float
        The host (x, y) [pix].
    theta_e_arcsec : float
        Declared Einstein radius [arcsec]; where it is not positive, the radius of the brightest pixel outside the core,
        less the marks of a faulty injection, stands in.
    core_radius_arcsec : float
        Radius of the core [arcsec].
    sky_sigma : float64 array, (band,)
        Noise of the ctrl's sky [nanomaggy / pix].
    noise : float64 array, (band,)
        Noise of the residual [nanomaggy / pix].
    pixel_scale : float
        Pixel scale [arcsec / pix].

    Returns
    -------
    target : Target or None
        None where fewer than 100 pixels can be used.
    """
    residual = np.subtract(stamp, ctrl, dtype=np.float64)
    ctrl = np.asarray(ctrl, dtype=np.float64)
    noise = np.nan_to_num(np.asarray(noise, dtype=np.float64))
    scale = np.maximum(np.asarray(sky_sigma, dtype=np.float64), noise), noise
    place = tuple(map(float, center)), core_radius_arcsec, pixel_scale
    declared = bool(theta_e_arcsec > 0)
    if not declared:
        everything = _target(residual, ctrl, np.inf, np.nan, declared, scale, place)
        theta_e_arcsec = everything and _peak_radius(everything)
    if theta_e_arcsec is None:
        return None
    outer = 2 * theta_e_arcsec + _SKY_ARCSEC
    return _target(residual, ctrl, outer, float(theta_e_arcsec), declared, scale, place)


def _target(residual, ctrl, outer_arcsec, theta_e, declared, scale, place):
    center, core_radius, pixel_scale = place
    sky_sigma, noise = scale
    box, corner = _box(center, (outer_arcsec + _MARGIN_ARCSEC) / pixel_scale, residual.shape[1:])
    inside = center[0] - corner[0], center[1] - corner[1]
    values = residual[:, *box]
    core = aperture_weights(values.shape[1:], inside, core_radius / pixel_scale)
    y, x = np.indices(core.shape)
    plane = [(x - inside[0]) * pixel_scale, (y - inside[1]) * pixel_scale]
    marks = [each[:, *box] for each in _host_marks(ctrl)]
    marks += [np.broadcast_to(each, values.shape) for each in (np.ones(core.shape), *plane)]
    marks = np.stack(marks, axis=1)
    distance = np.hypot(*plane)
    finite = np.isfinite(values).all(axis=0) & np.isfinite(marks).all(axis=(0, 1))
    seen = finite & (core == 0) & (distance <= outer_arcsec)
    if np.count_nonzero(seen) < _MIN_PIXELS:
        return None
    values, marks = values[:, seen], marks[:, :, seen]
    peak = np.maximum(np.quantile(values, 0.995, axis=1) - np.median(values, axis=1), 0)
    sigma = np.hypot(sky_sigma, _FLOOR * peak)
    sigma[~(sigma > 0)] = 1.0
    return Target(
        values=values / sigma[:, None],
        marks=marks / np.maximum(np.linalg.norm(marks, axis=2, keepdims=True), 1e-300),
        sigma=sigma,
        noise=noise / sigma,
        seen=seen,
        arc=distance[seen] <= outer_arcsec - _SKY_ARCSEC + _ARC_ARCSEC,
        core=core,
        corner=corner,
        center=center,
        theta_e_arcsec=theta_e,
        is_declared=declared,
        pixel_scale=pixel_scale,
    )


def _box(center, half_px, shape):
    """Slices of the square about the center that lies in the image, and its first column and row."""
    spans = []
    for middle, size in zip(center[::-1], shape, strict=True):
        low, high = max(middle - half_px, 0), min(middle + half_px, size - 1)
        spans.append(slice(math.floor(low), math.ceil(high) + 1))
    return tuple(spans), (spans[1].start, spans[0].start)


def _host_marks(ctrl):
    """Images that a gain, the host's light once more, a shift and a blur add in multiples, each (band, y, x)."""
    smooth = [ctrl]
    for order in ((0, 0), (0, 1), (1, 0), (0, 2), (2, 0)):
        smooth.append(np.stack([ndimage.gaussian_filter(plane, _SMOOTHING_PX, order=order) for plane in ctrl]))
    return [*smooth[:4], smooth[4] + smooth[5]]


def _peak_radius(target):
    """Distance [arcsec] of the brightest pixel, all bands summed, less the marks of a faulty injection."""
    left = -solve_amplitudes(target, np.zeros_like(target.values))[1]
    image = np.zeros(target.core.shape)
    image[target.seen] = left.sum(axis=0)
    y, x = np.unravel_index(ndimage.gaussian_filter(image, _SMOOTHING_PX).argmax(), image.shape)
    away = x + target.corner[0] - target.center[0], y + target.corner[1] - target.center[1]
    return float(np.hypot(*away)) * target.pixel_scale


def solve_amplitudes(target, seen, weights=None):
    """Solve for the amplitudes of a lens and of the injection's marks that leave least of a residual.

    Parameters
    ----------
    target : Target
        The residual.
    seen : float64 array, (band, p)
        Model of the lens at the pixels of `target`, in units of its sigma.
    weights : float64 array, (band, p), optional
        Weights of the pixels; default: those of Cauchy's loss ln(1 + z^2), from three passes of reweighting.

    Returns
    -------
    amplitude : float64 array, (band,)
        Of the lens; not negative.
    left : float64 array, (band, p)
        Model less residual, in units of sigma.
    weights : float64 array, (band, p)
        As given or found.
    """
    norm = np.maximum(np.linalg.norm(seen, axis=1), 1e-300)
    columns = np.concatenate([(seen / norm[:, None])[:, None], target.marks], axis=1)
    ridge = _RIDGE * np.eye(columns.shape[1])
    passes = _REWEIGHTINGS if weights is None else 1
    fixed, weights = weights, np.ones_like(target.values) if weights is None else weights
    for _ in range(passes):
        weighted = columns * weights[:, None]
        normal = weighted @ columns.transpose(0, 2, 1) + ridge
        known = np.einsum("btp,bp->bt", weighted, target.values)
        amplitude = np.linalg.solve(normal, known[..., None])[..., 0]
        for band in np.flatnonzero(amplitude[:, 0] < 0):
            amplitude[band, 0] = 0.0
            amplitude[band, 1:] = np.linalg.solve(normal[band, 1:, 1:], known[band, 1:])
        left = np.einsum("bt,btp->bp", amplitude, columns) - target.values
        if fixed is None:
            weights = 1 / (1 + left**2)
    return amplitude[:, 0] / norm, left, weights
