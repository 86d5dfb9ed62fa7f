"""Faults that an injection can have, planted on purpose.

Each changes the stamp and leaves the arc's own light alone unless it says otherwise; the ctrl is never touched. They
are what `audit-injection` must find.

A fault has four *grades*, strengths from weak to strong, at which ``audit-injection --self-test`` plants it. The third
is the one at which the diagnosis promises to name the cause: about as small as a mistake that is made in practice and
that a network would learn. So it is a pedestal of 0.2 sky sigmas a pixel (a background estimated on another mesh), a
gain error of 2 % (a zero point), a shift of 0.1 pix (a resampling by the wrong half pixel, in part), and a PSF that is
too wide by 0.5 pix in quadrature: 4 to 6 % at the seeing of the sample. The first two grades are where detection is
expected to fade, so that the self-test shows where it does; the fourth is gross.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gen5astro.errors import ConfigError, ShapeError, closest

__all__ = ["FAULTS", "Fault", "apply_fault", "parse_fault"]

_WIENER_SIDE = 5
_SPLINE_MARGIN = 16


@dataclass(frozen=True)
class Fault:
    """One way to get an injection wrong.

    Parameters
    ----------
    default : float
        Strength when none is given.
    grades : tuple of float, (4,)
        Strengths of the self-test, weak to strong; at the third the diagnosis promises to name the cause.
    unit : str
        What the strength counts.
    doc : str
        What the fault does.
    apply : callable
        ``apply(pairs, strength)`` returns the faulty stamps, float64.
    """

    default: float
    grades: tuple[float, float, float, float]
    unit: str
    doc: str
    apply: Callable

    @property
    def promised(self):
        """The third grade, at which the diagnosis promises to name the cause."""
        return self.grades[2]


@dataclass(frozen=True)
class _Pairs:
    """Clean pairs (n, band, y, x) in float64, the noise of their sky (n, band, 1, 1), and a source of new noise."""

    stamp: np.ndarray
    ctrl: np.ndarray
    sigma: np.ndarray
    rng: np.random.Generator


def parse_fault(text):
    """Read ``NAME`` or ``NAME:STRENGTH``.

    Parameters
    ----------
    text : str
        As given on the command line.

    Returns
    -------
    name : str
        Key of `FAULTS`.
    strength : float
        The strength given, or the fault's default.

    Raises
    ------
    ConfigError
        If there is no such fault or the strength is not a finite number.
    """
    name, colon, number = text.strip().partition(":")
    if name not in FAULTS:
        raise ConfigError("fault", got=repr(name), expected="a known fault", remedy=closest(name, FAULTS))
    try:
        strength = float(number) if colon else FAULTS[name].default
    except ValueError:
        strength = np.nan
    if not np.isfinite(strength):
        raise ConfigError(f"fault {text}", got=repr(number), expected=f"a number of {FAULTS[name].unit}")
    return name, strength


def apply_fault(stamp, ctrl, *, name, strength=None, sky_sigma, rng):
    """Plant a fault in some stamps.

    Parameters
    ----------
    stamp, ctrl : float32 array, (n, band, y, x)
        Clean pairs [nanomaggy].
    name : str
        Key of `FAULTS`.
    strength : float, optional
        In the unit of the fault; default: the fault's own.
    sky_sigma : float array, (n, band)
        Noise of the sky a pixel [nanomaggy].
    rng : numpy.random.Generator
        Source of new noise.

    Returns
    -------
    stamp : float32 array, (n, band, y, x)
        New array with the fault in it.

    Raises
    ------
    ConfigError
        If there is no such fault.
    ShapeError
        If the arrays do not fit each other.
    """
    if name not in FAULTS:
        raise ConfigError("fault", got=repr(name), expected="a known fault", remedy=closest(name, FAULTS))
    sky_sigma = np.asarray(sky_sigma, dtype=np.float64)
    if stamp.shape != ctrl.shape or stamp.ndim != 4 or sky_sigma.shape != stamp.shape[:2]:
        raise ShapeError(
            "stamp, ctrl and sky_sigma",
            got=f"{stamp.shape}, {ctrl.shape} and {sky_sigma.shape}",
            expected="(n, band, y, x) twice and (n, band)",
        )
    fault = FAULTS[name]
    strength = fault.default if strength is None else strength
    pairs = _Pairs(stamp.astype(np.float64), ctrl.astype(np.float64), sky_sigma[:, :, None, None], rng)
    return np.ascontiguousarray(fault.apply(pairs, strength), dtype=np.float32)


def _pedestal(pair, strength):
    return pair.stamp + strength * pair.sigma


def _gradient(pair, strength):
    return pair.stamp + strength * pair.sigma * np.linspace(-1, 1, pair.stamp.shape[-1])


def _gain(pair, strength):
    return pair.stamp + (strength - 1) * pair.ctrl


def _host_light(pair, strength):
    return pair.stamp + strength * np.maximum(_without_noise(pair.ctrl, pair.sigma), 0)


def _noise_added(pair, strength):
    return pair.stamp + strength * pair.sigma * pair.rng.standard_normal(pair.stamp.shape)


def _noise_redrawn(pair, strength):
    kept = 1 - 1 / _WIENER_SIDE**2
    fresh = strength * np.sqrt(kept) * pair.sigma * pair.rng.standard_normal(pair.stamp.shape)
    return pair.stamp - pair.ctrl + _without_noise(pair.ctrl, pair.sigma) + fresh


def _without_noise(ctrl, sigma):
    """Local mean where pixels vary no more than the sky's noise, the pixel itself where they vary much more."""
    from scipy import ndimage

    size = (1, 1, _WIENER_SIDE, _WIENER_SIDE)
    mean = ndimage.uniform_filter(ctrl, size)
    variance = np.maximum(ndimage.uniform_filter(ctrl**2, size) - mean**2, sigma**2)
    return mean + (1 - sigma**2 / variance) * (ctrl - mean)


def _own_normalization(pair, strength):
    axes = (-2, -1)
    own = (pair.stamp - pair.stamp.mean(axes, keepdims=True)) / pair.stamp.std(axes, keepdims=True)
    restored = own * pair.ctrl.std(axes, keepdims=True) + pair.ctrl.mean(axes, keepdims=True)
    return pair.stamp + strength * (restored - pair.stamp)


def _misregistration(pair, strength):
    return pair.stamp - pair.ctrl + _shifted(pair.ctrl, strength, order=5, mode="edge")


def _shifted(images, shift, *, order, mode):
    """Shift along x by a spline, beyond the edge of which the image goes on (edge) or is dark (constant)."""
    from scipy import interpolate, ndimage

    whole = int(np.floor(shift))
    margin = abs(whole) + _SPLINE_MARGIN
    padded = np.pad(images, [(0, 0)] * (images.ndim - 1) + [(margin, margin)], mode=mode)
    coefficients = ndimage.spline_filter1d(padded, order, axis=-1, mode="mirror")
    reach = order // 2 + 1
    basis = interpolate.BSpline.basis_element(np.arange(order + 2) - (order + 1) / 2, extrapolate=False)
    weights = np.nan_to_num(basis(np.arange(-reach, reach + 1) + shift - whole))
    moved = ndimage.correlate1d(coefficients, weights, axis=-1, mode="nearest")
    first = margin - whole
    return moved[..., first : first + images.shape[-1]]


def _psf_mismatch(pair, strength):
    return pair.stamp - pair.ctrl + _blurred(pair.ctrl, strength)


def _blurred(images, sigma):
    """Convolve with a Gaussian by its transform, which is exact also where it is narrower than a pixel."""
    from scipy import fft

    axes = (-2, -1)
    y, x = (np.pi * np.arange(size) / size for size in images.shape[-2:])
    transfer = np.exp(-0.5 * sigma**2 * (y[:, None] ** 2 + x**2))
    return fft.idctn(fft.dctn(images, axes=axes) * transfer, axes=axes)


def _kernel_shift(pair, strength):
    return pair.ctrl + _shifted(pair.stamp - pair.ctrl, strength, order=3, mode="constant")


def _band_swap(pair, strength):
    return pair.stamp + strength * (np.roll(pair.ctrl, 1, axis=1) - pair.ctrl)


def _sky_subtraction(pair, strength):
    return pair.stamp - strength * np.median(pair.stamp, axis=(-2, -1), keepdims=True)


def _quantization(pair, strength):
    step = strength * pair.sigma
    return np.rint(pair.stamp / step) * step


FAULTS = {
    "pedestal": Fault(
        1.0, (0.05, 0.1, 0.2, 0.5), "sky sigmas a pixel", "adds a constant to every pixel of the stamp", _pedestal
    ),
    "gradient": Fault(
        1.0, (0.1, 0.2, 0.5, 1.0), "sky sigmas at the edge", "adds a plane that rises along x", _gradient
    ),
    "gain": Fault(
        1.15, (1.005, 1.01, 1.02, 1.05), "times the host", "multiplies the host, but not the arc, by a factor", _gain
    ),
    "host_light": Fault(
        0.15,
        (0.01, 0.02, 0.05, 0.15),
        "times the host",
        "adds the host's light, without its noise, once more",
        _host_light,
    ),
    "noise_added": Fault(0.5, (0.1, 0.15, 0.25, 0.5), "sky sigmas", "adds white noise to the stamp", _noise_added),
    "noise_redrawn": Fault(
        1.0,
        (0.9, 1.0, 1.2, 1.5),
        "sky sigmas",
        "replaces the noise of the host's sky by new white noise",
        _noise_redrawn,
    ),
    "own_normalization": Fault(
        1.0,
        (0.1, 0.25, 0.5, 1.0),
        "parts of the effect",
        "scales the stamp by its own mean and standard deviation to the ctrl's",
        _own_normalization,
    ),
    "misregistration": Fault(
        0.3, (0.02, 0.05, 0.1, 0.3), "pixels", "shifts the host under the arc along x", _misregistration
    ),
    "psf_mismatch": Fault(
        0.5, (0.15, 0.3, 0.5, 0.7), "pixels (sigma)", "blurs the host under the arc with a Gaussian", _psf_mismatch
    ),
    "kernel_shift": Fault(
        0.5, (0.25, 0.5, 1.0, 2.0), "pixels", "shifts the arc along x, as an off-center PSF kernel does", _kernel_shift
    ),
    "band_swap": Fault(
        1.0, (0.05, 0.1, 0.25, 1.0), "parts of the host", "puts each band's host into the next band", _band_swap
    ),
    "sky_subtraction": Fault(
        1.0,
        (0.1, 0.25, 0.5, 1.0),
        "times the stamp's median",
        "subtracts the stamp's own median as if it were sky",
        _sky_subtraction,
    ),
    "quantization": Fault(
        1.0, (0.1, 0.3, 1.0, 2.0), "sky sigmas a step", "rounds the stamp to whole steps", _quantization
    ),
}
