"""What became of the ctrl's own noise in the stamp: kept, multiplied, replaced, or taken from another band."""

import math

import numpy as np
from numba import njit

from gen5astro.kernels.median import single_median

__all__ = ["gather", "judge_noise"]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def gather(plane, points, factor, out):
    """Copy some samples of a plane, times a factor.

    Parameters
    ----------
    plane : float64 array, (i, j) or (m,)
        The samples.
    points : int64 array, (k,)
        Flat numbers of those wanted.
    factor : float
        What they are multiplied by.
    out : float64 array, (k,)
        Filled.

    Returns
    -------
    out : float64 array, (k,)
        The same.
    """
    values = plane.ravel()
    for at in range(len(points)):
        out[at] = factor * values[points[at]]
    return out


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def judge_noise(rough, rough_host, band, gain, points, weight, kept, room, numbers):
    """Measure the scatter of a residual's noise, and its regression on the noise of this band's ctrl and the others'.

    Parameters
    ----------
    rough : float64 array, (m,)
        What smoothing took away from the residual, at all samples.
    rough_host : float64 array, (band, m)
        The same of the ctrl.
    band : int
        Which of the bands this is.
    gain : float
        Gain that was fitted; its share of the ctrl's noise does not count as scatter.
    points : int64 array, (k,)
        Samples that were fitted.
    weight : float64 array, (k,)
        Their weights; those of weight 0 take no part in the regression.
    kept : float
        Share of white noise's variance that is in `rough`.
    room : float64 array, (band + 2, k)
        Room to work in.
    numbers : float64 array, (3 or more,)
        Filled with the scatter of white noise that has this much, the regression on this band's noise, and of what that
        leaves on another band's, the coefficient farthest from 0.
    """
    bands = len(rough_host)
    trusted, left = room[bands], room[bands + 1]
    gather(rough, points, 1.0, left)
    for other in range(bands):
        gather(rough_host[other], points, 1.0, room[other])
    for at in range(len(points)):
        trusted[at] = left[at] if weight[at] > 0.0 else 0.0
        left[at] = abs(left[at] - gain * room[band, at])
        for other in range(bands):
            room[other, at] *= 1.0 if weight[at] > 0.0 else 0.0
    own = _regress(trusted, room[band])
    farthest = 0.0
    for at in range(len(points)):
        trusted[at] -= own * room[band, at]
    for other in range(bands):
        along = _regress(trusted, room[other]) if other != band else 0.0
        farthest = along if abs(along) > abs(farthest) else farthest
    numbers[0] = 1.4826 * single_median(left) / math.sqrt(kept)
    numbers[1] = own
    numbers[2] = farthest


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _regress(values, noise):
    square = np.dot(noise, noise)
    return np.dot(noise, values) / square if square > 0.0 else 0.0
