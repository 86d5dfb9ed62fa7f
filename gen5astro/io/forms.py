"""The forms in which a cube stores its pixels: float32 as they came, or codes of 16 bits.

What is decoded is what counts: digests, statistics and fingerprints are of those float32 pixels, and whoever encodes
them again gets the codes that they came from.
"""

import numpy as np

from gen5astro.config import MeasureConfig

__all__ = ["CORE_RADIUS_ARCSEC", "NAN_CODE", "decode", "encode", "stored_pixels", "summarize_errors"]

NAN_CODE = -32_768
"""The int16 code of a pixel that is no number."""

CORE_RADIUS_ARCSEC = MeasureConfig().core_radius_arcsec
"""Radius of the core whose flux tells how good a form is [arcsec]: that of the audit, whatever is configured."""

_DTYPES = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2"), "int16": np.dtype("<i2")}
_SHARES = {"median": 50.0, "p99_9": 99.9, "max": 100.0}


def stored_pixels(form):
    """Return the type that a form stores a pixel as.

    Parameters
    ----------
    form : {'float32', 'float16', 'int16'}
        The form.

    Returns
    -------
    dtype : numpy.dtype
        Little-endian.
    """
    return _DTYPES[form]


def decode(stored, step=None):
    """Decode pixels.

    Parameters
    ----------
    stored : float32, float16 or int16 array, (..., band, y, x)
        As a cube stores them.
    step : float32 array, (..., band), optional
        Steps of int16 pixels [nanomaggy].

    Returns
    -------
    images : float32 array, (..., band, y, x)
        Fluxes [nanomaggy]: float16 is exact; int16 is ``float32(code) * step``, and NaN where the code is -32,768.
    """
    images = np.asarray(stored).astype(np.float32, copy=False)
    if stored.dtype.kind == "i":
        images *= np.asarray(step, np.float32)[..., None, None]
        images[stored == NAN_CODE] = np.nan
    return images


def encode(images, form, step=None):
    """Encode pixels that are in a form already: what `decode` gave, or will give.

    Parameters
    ----------
    images : float32 array, (n, band, y, x)
        Fluxes [nanomaggy]; as int16 whole numbers of steps, at most 32,767.
    form : {'float32', 'float16', 'int16'}
        The form.
    step : float32 array, (n, band), optional
        Steps of int16 pixels [nanomaggy].

    Returns
    -------
    stored : array, (n, band, y, x)
        As a cube stores them.
    """
    if form == "int16":
        # A quotient of float32 is off by far less than half of a code.
        images = np.nan_to_num(np.rint(images / step[..., None, None]), copy=False, nan=NAN_CODE)
    return images.astype(_DTYPES[form], copy=False)


def summarize_errors(errors):
    """Say how much a form changes the pixels of many pairs.

    Parameters
    ----------
    errors : dict of float32 array, (n, band, 2)
        Datasets of a cube by name: of ``quantization/stamp`` and ``quantization/ctrl`` the root mean square of the
        change [nanomaggy / pix] and that of the core's flux [nanomaggy], of ``quantization/noise`` the sky's scatter in
        a pixel and in the core.

    Returns
    -------
    summary : dict
        Median, 99.9th percentile and largest of ``rms_sky_sigma`` (rms over the sky's scatter), ``core_flux_nmgy``
        (size of the core's change) and ``core_flux_sigma`` (that over the sky's scatter in the core); None where
        nothing can be measured. ``planes`` counts the planes of stamps and ctrls, ``without_noise`` those whose sky
        has no scatter, which are in ``core_flux_nmgy`` alone.
    """
    change = np.stack([errors["quantization/stamp"], errors["quantization/ctrl"]]).astype(np.float64)
    noise = np.where(errors["quantization/noise"] > 0, errors["quantization/noise"], np.nan).astype(np.float64)
    flux = np.abs(change[..., 1])
    return {
        "core_radius_arcsec": CORE_RADIUS_ARCSEC,
        "planes": flux.size,
        "without_noise": 2 * int(np.isnan(noise[..., 0]).sum()),
        "rms_sky_sigma": _spread(change[..., 0] / noise[..., 0]),
        "core_flux_nmgy": _spread(flux),
        "core_flux_sigma": _spread(flux / noise[..., 1]),
    }


def _spread(values):
    known = values[np.isfinite(values)]
    return {name: float(f"{np.percentile(known, at):.4g}") if known.size else None for name, at in _SHARES.items()}
