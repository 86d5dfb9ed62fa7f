"""The lens: a singular isothermal ellipsoid with external shear, in closed form.

Conventions are those of lenstronomy. theta_E is the radius of the circle with the same area: along the axes of the
mass, ``kappa = theta_E / (2 sqrt(q x^2 + y^2 / q))``. Ellipticity is ``(e1, e2) = (1 - q) / (1 + q) (cos 2 phi, sin 2
phi)`` with phi from x toward y. The shear deflects by ``(gamma1 x + gamma2 y, gamma2 x - gamma1 y)``.
"""

import math
from functools import cache

import numpy as np
from numba import njit

from gen5astro.errors import ConfigError

__all__ = ["deflection", "einstein_radius", "lens_terms"]

_ROUND = 1e-9
_MAX_REDSHIFT = 20.0
_LIGHT_KMS = 299792.458


def einstein_radius(velocity_dispersion_kms, z_lens, z_source):
    """Einstein radius of a singular isothermal lens, ``4 pi (sigma / c)^2 D_ls / D_s``.

    Distances are those of astropy's Planck18, which is flat, from a spline that is exact to 1e-8.

    Parameters
    ----------
    velocity_dispersion_kms : float or array
        Velocity dispersion of the lens [km / s].
    z_lens, z_source : float or array
        Redshifts, up to 20.

    Returns
    -------
    theta_e_arcsec : float64 or array
        Einstein radius [arcsec]; 0 where the source is not behind the lens.

    Raises
    ------
    ConfigError
        If a redshift is negative or above 20.

    References
    ----------
    .. [1] Schneider, Ehlers & Falco 1992, Gravitational Lenses, section 8.1.4.
    """
    distance = _comoving_distance()
    redshifts = np.concatenate([np.ravel(z_lens), np.ravel(z_source)])
    if redshifts.size and not (redshifts.min() >= 0 and redshifts.max() <= _MAX_REDSHIFT):
        raise ConfigError("redshift", got=f"{redshifts.min()} to {redshifts.max()}", expected="0 to 20")
    to_lens, to_source = (distance(np.log1p(np.asarray(z, dtype=np.float64))) for z in (z_lens, z_source))
    ratio = np.maximum(to_source - to_lens, 0) / np.where(to_source > 0, to_source, 1)
    angle = 4 * math.pi * (np.asarray(velocity_dispersion_kms, dtype=np.float64) / _LIGHT_KMS) ** 2 * ratio
    return np.rad2deg(angle) * 3600


@cache
def _comoving_distance():
    """Comoving distance [Mpc] as a spline of ln(1 + z)."""
    from astropy.cosmology import Planck18
    from scipy.interpolate import CubicSpline

    nodes = np.linspace(0, math.log1p(_MAX_REDSHIFT), 1200)
    return CubicSpline(nodes, Planck18.comoving_distance(np.expm1(nodes)).value)


def lens_terms(*, theta_e, e1, e2, gamma1=0.0, gamma2=0.0):
    """Rewrite a lens as the eight numbers that the ray-shooting kernels take.

    Parameters
    ----------
    theta_e : float
        Einstein radius [arcsec].
    e1, e2 : float
        Ellipticity of the mass.
    gamma1, gamma2 : float
        External shear.

    Returns
    -------
    terms : float64 array, (8,)
        ``cos phi, sin phi, q, f, scale, gamma1, gamma2, theta_e`` with ``f = sqrt(1 - q^2)`` and ``scale = theta_e
        sqrt(q) / f``. A rounder lens than q = 1 - 2e-9 is taken as that one.

    Raises
    ------
    ConfigError
        If `theta_e` is not positive or the ellipticity not below 1.
    """
    strength = math.hypot(e1, e2)
    if not (theta_e > 0 and strength < 1):
        raise ConfigError("lens", got=f"theta_e {theta_e}, |e| {strength}", expected="theta_e > 0 and |e| < 1")
    phi = 0.5 * math.atan2(e2, e1)
    q = (1 - max(strength, _ROUND)) / (1 + max(strength, _ROUND))
    f = math.sqrt((1 - q) * (1 + q))
    return np.array([math.cos(phi), math.sin(phi), q, f, theta_e * math.sqrt(q) / f, gamma1, gamma2, theta_e])


def deflection(x, y, *, theta_e, e1, e2, gamma1=0.0, gamma2=0.0):
    """Deflection of a singular isothermal ellipsoid with external shear, both centered on the origin.

    Parameters
    ----------
    x, y : float or array
        Position in the image plane [arcsec].
    theta_e : float
        Einstein radius [arcsec].
    e1, e2 : float
        Ellipticity of the mass.
    gamma1, gamma2 : float
        External shear.

    Returns
    -------
    alpha_x, alpha_y : float64 array
        Deflection [arcsec], in the shape of `x`; the source is at ``(x - alpha_x, y - alpha_y)``. It is 0 at the
        origin.

    References
    ----------
    .. [1] Kormann, Schneider & Bartelmann 1994, A&A 284, 285, eq. 27.
    .. [2] Keeton 2001, astro-ph/0102341, eqs. 33-34.
    """
    x, y = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    terms = lens_terms(theta_e=theta_e, e1=e1, e2=e2, gamma1=gamma1, gamma2=gamma2)
    out = np.empty((2, x.size))
    _deflect_all(x.ravel(), y.ravel(), terms, out)
    return out[0].reshape(x.shape), out[1].reshape(x.shape)


@njit(nogil=True, cache=True, error_model="numpy")
def _deflect_all(x, y, terms, out):
    for at in range(x.size):
        out[0, at], out[1, at] = deflect(x[at], y[at], terms)


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def deflect(x, y, terms):
    """Deflect one ray; `terms` from `lens_terms`."""
    cosine, sine, q, f, scale = terms[0], terms[1], terms[2], terms[3], terms[4]
    along = cosine * x + sine * y
    across = cosine * y - sine * x
    psi = math.sqrt(q * q * along * along + across * across)
    if psi == 0.0:
        return 0.0, 0.0
    alpha_along = scale * math.atan(f * along / psi)
    alpha_across = scale * math.atanh(f * across / psi)
    alpha_x = cosine * alpha_along - sine * alpha_across + terms[5] * x + terms[6] * y
    alpha_y = sine * alpha_along + cosine * alpha_across + terms[6] * x - terms[5] * y
    return alpha_x, alpha_y
