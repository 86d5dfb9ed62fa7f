"""Robust linear least squares, small enough to be called from inside a kernel for every image."""

import math

import numpy as np
from numba import njit

from gen5astro.kernels.median import single_median

__all__ = ["fit_robust", "invert", "solve"]

_ITERATIONS = 4
_TUKEY = 5.0
_RIDGE = 1e-9


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def fit_robust(design, floor, room, weight, solution, covariance):
    """Fit the last row of a design by the others, with Tukey's biweight.

    The weights fall to zero at five times the robust scatter of what is left (Beaton & Tukey 1974, Technometrics 16,
    147), found in four rounds that begin with equal weights.

    Parameters
    ----------
    design : float64 array, (columns + 1, m)
        A row a term, and the target.
    floor : float
        Scatter below which residuals are not told apart, in the unit of the target.
    room : float64 array, (columns + 1, m)
        Room to work in.
    weight : float64 array, (m,)
        Filled with the weights.
    solution : float64 array, (columns,)
        Filled with the coefficients of the terms.
    covariance : float64 array, (columns, columns)
        Filled with their covariance in units of the variance of one point.

    Returns
    -------
    variance : float
        Weighted mean square of what is left.
    """
    columns, points = design.shape[0] - 1, design.shape[1]
    normal, factor = np.empty((columns + 1, columns + 1)), np.empty((columns, columns))
    scale, scaled, step = np.empty(columns), np.empty(columns), np.empty(columns + 1)
    left = np.empty(points)
    step[columns] = -1.0
    weight[:] = 1.0
    for _ in range(_ITERATIONS):
        for a in range(columns + 1):
            row, weighted = design[a], room[a]
            for j in range(points):
                weighted[j] = row[j] * weight[j]
        np.dot(room, design.T, normal)
        _scale_to_unit_diagonal(normal, scale)
        solve(normal, normal[columns], factor, scaled)
        for a in range(columns):
            step[a] = scaled[a] * scale[a]
        np.dot(step, design, left)
        for j in range(points):
            left[j] = abs(left[j])
        inverse = 1.0 / (_TUKEY * (1.4826 * single_median(left) + floor))
        for j in range(points):
            ratio = left[j] * inverse
            kept = max(1.0 - ratio * ratio, 0.0)
            weight[j] = kept * kept
    spread, total = 0.0, 0.0
    for j in range(points):
        spread += weight[j] * left[j] * left[j]
        total += weight[j]
    invert(factor, covariance)
    for a in range(columns):
        solution[a] = step[a]
        for b in range(columns):
            covariance[a, b] *= scale[a] * scale[b]
    return spread / max(total - columns, 1.0)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _scale_to_unit_diagonal(normal, scale):
    """Bring terms of all sizes to one, with a ridge far below rounding in the data; the last row is the right side."""
    columns = len(scale)
    for a in range(columns):
        scale[a] = 1.0 / math.sqrt(normal[a, a]) if normal[a, a] > 0.0 else 1.0
    for a in range(columns):
        for b in range(columns):
            normal[a, b] *= scale[a] * scale[b]
        normal[columns, a] *= scale[a]
        normal[a, a] += _RIDGE


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def solve(matrix, right, factor, solution):
    """Solve a symmetric positive definite system by Cholesky's method.

    Parameters
    ----------
    matrix : float64 array, (m, m) or larger
        The system; rows and columns from m on are not looked at.
    right : float64 array, (m,) or larger
        Right-hand side.
    factor : float64 array, (m, m)
        Filled with the lower triangular factor.
    solution : float64 array, (m,) or larger
        Filled with the solution.
    """
    size = factor.shape[0]
    for i in range(size):
        for j in range(i + 1):
            value = matrix[i, j]
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            factor[i, j] = value / factor[j, j] if j < i else math.sqrt(max(value, 1e-300))
    for i in range(size):
        value = right[i]
        for k in range(i):
            value -= factor[i, k] * solution[k]
        solution[i] = value / factor[i, i]
    for i in range(size - 1, -1, -1):
        value = solution[i]
        for k in range(i + 1, size):
            value -= factor[k, i] * solution[k]
        solution[i] = value / factor[i, i]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def invert(factor, inverse):
    """Invert a matrix from its Cholesky factor.

    Parameters
    ----------
    factor : float64 array, (m, m)
        Lower triangular, from `solve`.
    inverse : float64 array, (m, m)
        Filled with the inverse of ``factor @ factor.T``.
    """
    size = factor.shape[0]
    half = np.zeros((size, size))
    for i in range(size):
        half[i, i] = 1.0 / factor[i, i]
        for j in range(i):
            value = 0.0
            for k in range(j, i):
                value -= factor[i, k] * half[k, j]
            half[i, j] = value / factor[i, i]
    for i in range(size):
        for j in range(i + 1):
            value = 0.0
            for k in range(i, size):
                value += half[k, i] * half[k, j]
            inverse[i, j] = value
            inverse[j, i] = value
