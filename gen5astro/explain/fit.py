"""Fit a lens and a source to what is seen of a residual outside the core.

The model is a singular isothermal ellipsoid with external shear and a Sersic source, rendered and convolved by
`gen5astro.inject.render`. All bands share its geometry; in each the source's flux is linear and solved for inside
(variable projection).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from gen5astro.explain.target import Target, solve_amplitudes
from gen5astro.inject.render import psf_convolution, render_source

__all__ = ["MISFIT_LIMIT", "LensFit", "fit_lens"]

MISFIT_LIMIT = 0.2
"""A residual is fitted where what is left of it outside the core has at most this share of the arc's rms there."""

_NAMES = ("theta_e_arcsec", "lens_x", "lens_y", "lens_e1", "lens_e2", "gamma1", "gamma2", "source_x", "source_y")
_NAMES += ("source_radius_arcsec", "source_index", "source_e1", "source_e2")
_LOGARITHMIC = (9, 10)

# In the order of _NAMES: step of the differences, and how far a parameter moves at a time.
_STEP = np.array([4e-3, 4e-3, 4e-3, 5e-3, 5e-3, 3e-3, 3e-3, 4e-3, 4e-3, 2e-2, 3e-2, 1e-2, 1e-2])
_SCALE = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.1, 0.1, 0.4, 0.4, 0.2, 0.2])

_DECLARED, _UNDECLARED = (0.5, 1.5), (0.3, 1.2)  # range of theta_E, in the radius that the fit starts from
_CENTER_PX = 1.0
_LENS_E, _SHEAR, _SOURCE_E = 0.4, 0.2, 0.6
_OFFSET = 0.9  # of the source, in theta_E
_RADIUS_ARCSEC, _INDEX = (0.03, 1.5), (0.3, 6.0)

_SUPERSAMPLING = 2
_STARTS = 3
_GOOD = 0.05  # misfit below which no other start is tried


@dataclass(frozen=True)
class LensFit:
    """A lens and a source that were fitted to a residual.

    Parameters
    ----------
    parameters : dict of float
        As `gen5astro.inject.render.render_source` takes them; empty where nothing could be fitted.
    flux : float64 array, (band,)
        Flux of the source before lensing [nanomaggy].
    core_flux : float64 array, (band,)
        What the model puts into the core [nanomaggy]; the marks of a faulty injection are not in it.
    misfit : float
        Rms of what is left over that of the arc, both outside the core, over noise, and weighted by the robust loss.
    reason : str
        Why this is no fit, in a clause; empty where it is one.
    """

    parameters: dict[str, float]
    flux: np.ndarray
    core_flux: np.ndarray
    misfit: float
    reason: str


def fit_lens(target, psf):
    """Fit lens and source to what is seen outside the core.

    A grid of sources behind a round lens gives the first estimates, with the closed form of the singular isothermal
    sphere: images at theta_E (1 + y) and theta_E (1 - y) in flux ratio (1 - y) / (1 + y), so that the light's centroid
    lies at 2 y theta_E in the source's direction, and its brightest point, where theta_E is not declared, at
    theta_E (1 + y). The best three are followed, until one fits well, by least squares with Cauchy's loss
    ln(1 + z^2), which a neighbor that differs cannot pull far. Bounds hold theta_E within a factor of 0.5 to 1.5 (0.3
    to 1.2 of the brightest point's radius), and on each axis the lens within a pixel of the host's center, the source
    within 0.9 theta_E, its ellipticity within 0.6, the lens's within 0.4 and the shear within 0.2.

    Parameters
    ----------
    target : Target or None
        From `see_outside`.
    psf : float64 array, (band, k, k)
        PSF of each band, of sum 1, k odd.

    Returns
    -------
    fit : LensFit
        With a reason where more is left of the arc than `MISFIT_LIMIT` allows, where the noise is so strong that this
        could not be told, or where theta_E ended at a bound.
    """
    if target is None:
        nothing = np.full(len(psf), np.nan)
        return LensFit({}, nothing, nothing, math.inf, "too few usable pixels outside the core")
    model = _Model(target, psf_convolution(psf, target.seen.shape))
    lower, upper = _bounds(target)
    best, tried = None, []
    for start in _starts(model):
        if any(_alike(start, other, target) for other in tried):
            continue
        tried.append(start)
        found = least_squares(
            lambda point: model.left(point).ravel(),
            np.clip(start, lower + 1e-6, upper - 1e-6),
            jac=lambda point: model.slopes(point, upper),
            bounds=(lower, upper),
            x_scale=_SCALE,
            loss="cauchy",
            ftol=1e-4,
            xtol=1e-5,
            max_nfev=40,
        )
        best = found if best is None or found.cost < best.cost else best
        if len(tried) == _STARTS or model.judge(best.x) < _GOOD:
            break
    return model.describe(best.x)


@dataclass(frozen=True)
class _Model:
    """The forward model of one target; a point is a value for each of `_NAMES`."""

    target: Target
    convolve: Callable[[np.ndarray], np.ndarray]

    def parameters(self, point):
        """Name the values, in the pixels of the image."""
        named = dict(zip(_NAMES, map(float, point), strict=True))
        for at in _LOGARITHMIC:
            named[_NAMES[at]] = math.exp(point[at])
        for axis, middle in zip("xy", self.target.center, strict=True):
            named[f"center_{axis}"] = middle + named.pop(f"lens_{axis}") / self.target.pixel_scale
        return named

    def light(self, point):
        """Image of the box in each band for a source of flux 1, (band, y, x)."""
        named = self.parameters(point)
        for axis, first in zip("xy", self.target.corner, strict=True):
            named[f"center_{axis}"] -= first
        shape, scale = self.target.seen.shape, self.target.pixel_scale
        return self.convolve(render_source(named, shape, scale, supersampling=_SUPERSAMPLING))

    def seen(self, point):
        """Values that the fit sees of it, (band, p)."""
        return self.light(point)[:, self.target.seen] / self.target.sigma[:, None]

    def left(self, point, weights=None):
        """Model less residual, with the best amplitudes, (band, p)."""
        return solve_amplitudes(self.target, self.seen(point), weights)[1]

    def slopes(self, point, upper):
        """Jacobian of `left` by differences, at fixed weights."""
        seen = self.seen(point)
        weights = solve_amplitudes(self.target, seen)[2]
        here = solve_amplitudes(self.target, seen, weights)[1]
        jacobian = np.empty((here.size, len(point)))
        for at, step in enumerate(_STEP):
            moved = point.copy()
            step = step if moved[at] + step < upper[at] else -step
            moved[at] += step
            jacobian[:, at] = (self.left(moved, weights) - here).ravel() / step
        return jacobian

    def judge(self, point):
        """Misfit over the arc's region; infinite where noise hides a misfit of `MISFIT_LIMIT`."""
        seen = self.seen(point)
        flux, left, weights = solve_amplitudes(self.target, seen)
        weights = weights * self.target.arc
        power = self.target.noise**2 * np.sum(weights, axis=1)
        spread = math.sqrt(2 * np.sum(self.target.noise**2 * power))
        kept, arc = (float(np.sum(weights * each**2) - power.sum()) for each in (left, flux[:, None] * seen - left))
        if arc * MISFIT_LIMIT**2 <= spread:
            return math.inf
        return math.sqrt(max(kept, 0.0) / arc)

    def describe(self, point):
        """State what was found."""
        light = self.light(point)
        seen = light[:, self.target.seen] / self.target.sigma[:, None]
        flux = solve_amplitudes(self.target, seen)[0]
        misfit = self.judge(point)
        reason = ""
        if math.isinf(misfit):
            reason = "no arc above the noise outside the core"
        elif misfit > MISFIT_LIMIT:
            reason = f"left over outside the core: {misfit:.0%} of the arc's rms"
        elif min(abs(end[0] - point[0]) for end in _bounds(self.target)) < 0.01 * point[0]:
            reason = "the Einstein radius is at the end of its range"
        return LensFit(self.parameters(point), flux, flux * (light * self.target.core).sum(axis=(1, 2)), misfit, reason)


def _bounds(target):
    """Lower and upper end of each parameter."""
    theta_e = target.theta_e_arcsec
    pixel = _CENTER_PX * target.pixel_scale
    low, high = ([end * theta_e] for end in (_DECLARED if target.is_declared else _UNDECLARED))
    even = [pixel] * 2 + [_LENS_E] * 2 + [_SHEAR] * 2 + [_OFFSET * theta_e] * 2
    sizes = [np.log(each) for each in (_RADIUS_ARCSEC, _INDEX)]
    low += [-each for each in even] + [each[0] for each in sizes] + [-_SOURCE_E] * 2
    high += even + [each[1] for each in sizes] + [_SOURCE_E] * 2
    return np.array(low), np.array(high)


def _starts(model):
    """First estimates, best first: sources behind a round lens, on a grid and where the light's centroid puts one."""
    target = model.target
    places = [(0.05, 0.0)] + [(y, at * math.pi / 4) for y in (0.2, 0.4, 0.6) for at in range(8)]
    places.append(_centroid_source(target))
    found = []
    for y, angle in places:
        theta_e = target.theta_e_arcsec / (1 if target.is_declared else 1 + y)
        for radius in (0.12, 0.3):
            point = np.zeros(len(_NAMES))
            point[0] = theta_e
            point[7:9] = y * theta_e * math.cos(angle), y * theta_e * math.sin(angle)
            point[9] = math.log(radius)
            found.append((float(np.sum(np.log1p(model.left(point) ** 2))), len(found), point))
    return [point for *_, point in sorted(found, key=lambda each: each[:2])]


def _centroid_source(target):
    """Offset of the source in Einstein radii, and its direction, from the centroid of the light outside the core."""
    light = np.maximum(-solve_amplitudes(target, np.zeros_like(target.values))[1], 0).sum(axis=0)
    y, x = np.nonzero(target.seen)
    total = max(light.sum(), 1e-300)
    away = [
        (light @ place / total + first - middle) * target.pixel_scale
        for place, first, middle in zip((x, y), target.corner, target.center, strict=True)
    ]
    offset = math.hypot(*away) / (2 * target.theta_e_arcsec)
    return min(offset, 0.8), math.atan2(away[1], away[0])


def _alike(point, other, target):
    """Whether two first estimates put the source at nearly the same place."""
    return math.hypot(*(point[7:9] - other[7:9])) < 0.25 * target.theta_e_arcsec
