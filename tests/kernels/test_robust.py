"""The robust fit is least squares where nothing is wrong, and does not mind what is."""

import numpy as np
import pytest

from gen5astro.kernels.robust import fit_robust, invert, solve


def fit(terms, target, *, floor=1e-9):
    columns, points = terms.shape
    design = np.vstack([terms, target])
    weight, solution, covariance = np.empty(points), np.empty(columns), np.empty((columns, columns))
    variance = fit_robust(design, floor, np.empty_like(design), weight, solution, covariance)
    return solution, covariance, weight, variance


def line(points=400, noise=0.1, seed=1):
    rng = np.random.default_rng(seed)
    terms = np.stack([np.ones(points), rng.normal(size=points), 1e-4 * rng.normal(size=points)])
    return terms, np.array([0.3, -2.0, 5e3]) @ terms + noise * rng.normal(size=points)


def test_without_noise_the_coefficients_are_exact():
    terms, target = line(noise=0.0)
    np.testing.assert_allclose(fit(terms, target)[0], [0.3, -2.0, 5e3], rtol=1e-7)


def test_with_gaussian_noise_it_is_nearly_least_squares():
    terms, target = line()
    solution, covariance, _, variance = fit(terms, target)
    plain = np.linalg.lstsq(terms.T, target, rcond=None)[0]
    errors = np.sqrt(variance * np.diag(covariance))
    assert np.all(np.abs(solution - plain) < 0.5 * errors)
    np.testing.assert_allclose(errors, 0.1 * np.sqrt(np.diag(np.linalg.inv(terms @ terms.T))), rtol=0.15)


def test_one_point_in_five_may_be_anything():
    terms, target = line()
    target[::5] += 40.0
    solution, _, weight, _ = fit(terms, target)
    assert weight[::5].max() == 0
    assert np.all(np.abs(solution - [0.3, -2.0, 5e3]) < [0.03, 0.03, 300])


def test_terms_of_any_size_are_fitted_alike():
    terms, target = line()
    scales = np.array([1e6, 1.0, 1e-6])
    first, second = fit(terms, target)[0], fit(terms * scales[:, None], target)[0]
    np.testing.assert_allclose(second * scales, first, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 4, 9])
def test_systems_are_solved_and_inverted_as_numpy_does(size):
    rng = np.random.default_rng(size)
    half = rng.normal(size=(size, 2 * size))
    matrix, right = half @ half.T, rng.normal(size=size)
    factor, solution, inverse = np.zeros((size, size)), np.empty(size), np.empty((size, size))
    solve(matrix, right, factor, solution)
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, right), rtol=1e-9)
    invert(factor, inverse)
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-8, atol=1e-12)
