"""How much of a fitted term is believed: neither noise nor the wings of an arc are taken for an artifact."""

import numpy as np
from numba import njit

__all__ = ["WING_TERMS", "shrink", "shrink_terms"]

#: What arc wings that the fit does not follow bring to each term of a faultless pair, at most; in sky sigmas where the
#: term is a flux. In the order of `gen5astro.kernels.residual.TERMS`.
WING_TERMS = (0.004, 0.0025, 0.003, 0.002, 0.002, 0.0025, 0.0025)

_PER_SIGMA = (0, 5, 6)


def shrink_terms(terms, errors, sky_sigma):
    """Shrink fitted terms toward 0 by what noise and arc wings are known to bring to them.

    Parameters
    ----------
    terms, errors : float array, (..., 7)
        In the order of `gen5astro.kernels.residual.TERMS`.
    sky_sigma : float array, (...)
        Sky noise of the ctrl [nanomaggy / pix].

    Returns
    -------
    shrunk : float64 array, (..., 7)
        ``value * max(0, 1 - (error^2 + wings^2) / value^2)``; NaN stays NaN.
    """
    terms, errors, sky_sigma = (np.asarray(each, dtype=np.float64) for each in (terms, errors, sky_sigma))
    shrunk = np.empty_like(terms)
    for at in np.ndindex(sky_sigma.shape):
        shrink(terms[at], errors[at], sky_sigma[at], shrunk[at])
    return shrunk


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def shrink(value, error, sky_sigma, shrunk):
    """Shrink the terms of one image, as `shrink_terms` does.

    Parameters
    ----------
    value, error : float64 array, (7,)
        Terms and their errors.
    sky_sigma : float
        Sky noise of the ctrl [nanomaggy / pix].
    shrunk : float64 array, (7,)
        Where the result goes.
    """
    for a in range(len(value)):
        wings = WING_TERMS[a] * (sky_sigma if a in _PER_SIGMA else 1.0)
        least = error[a] * error[a] + wings * wings
        power = value[a] * value[a]
        shrunk[a] = 0.0 if power <= least else value[a] * (1.0 - least / power)
