"""Laws of the residual decomposition."""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import correlate1d, fourier_gaussian, gaussian_filter1d, shift

from gen5astro.errors import ShapeError
from gen5astro.kernels.residual import TERM_PAIRS, TERMS, Decomposition, decompose_residual
from tests.factories import make_pairs

SCALE = 0.263


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(60, np.random.default_rng(1), size=64)


def decompose(stamp, ctrl, theta_e, *, masked=None):
    n, bands = ctrl.shape[:2]
    corner = ctrl[..., :8, :8].reshape(n, bands, -1)
    sigma = 1.4826 * np.median(np.abs(corner - np.median(corner, axis=-1, keepdims=True)), axis=-1)
    center = np.full((n, 2), 32.0)
    radius = (theta_e + 1.2) / SCALE
    more = {"sky_sigma": sigma, "masked": masked}
    return sigma, decompose_residual(stamp, ctrl, center=center, arc_outer_radius=radius, **more)


def planted(pairs, name, strength):
    """Stamps with one artifact of the given strength, in the units of the terms."""
    ctrl = pairs.ctrl.astype(np.float64)
    v, u = np.mgrid[-1:1:64j, -1:1:64j]
    added = {
        "pedestal": lambda: strength,
        "gain": lambda: strength * ctrl,
        "blur": lambda: fourier_gaussian(np.fft.fft2(ctrl), (0, 0, *(2 * [strength**0.5]))) - np.fft.fft2(ctrl),
        "shift_x": lambda: shift(ctrl, (0, 0, 0, strength), order=5, mode="nearest") - ctrl,
        "shift_y": lambda: shift(ctrl, (0, 0, strength, 0), order=5, mode="nearest") - ctrl,
        "gradient_x": lambda: strength * u,
        "gradient_y": lambda: strength * v,
    }[name]()
    added = np.fft.ifft2(added).real if name == "blur" else added
    return (pairs.stamp + added).astype(np.float32)


def fields(image):
    """Smoothed image, its slopes and half its Laplacian at every second pixel, by SciPy."""
    offset = np.arange(-3, 4.0)
    value = np.exp(-0.5 * offset**2)
    value /= value.sum()
    first = offset * value
    first /= (offset * first).sum()
    second = (offset**2 - (offset**2 * value).sum()) * value
    second /= (0.5 * offset**2 * second).sum()

    def filtered(along_y, along_x):
        return correlate1d(correlate1d(image, along_y, axis=0), along_x, axis=1)[3:-3:2, 3:-3:2]

    laplacian = filtered(value, second) + filtered(second, value)
    return filtered(value, value), filtered(value, first), filtered(first, value), 0.5 * laplacian


def reference(stamp, ctrl, radius, sky_sigma, masked):
    """The fit of one band by NumPy: Tukey-weighted least squares on the same terms."""
    residual, host = stamp.astype(np.float64) - ctrl.astype(np.float64), ctrl.astype(np.float64)
    smooth, slope_x, slope_y, bend = fields(host)
    target = fields(residual)[0]
    height, width = host.shape
    y, x = np.mgrid[3 : height - 3 : 2, 3 : width - 3 : 2]
    distance = np.hypot(x - 32.0, y - 32.0)
    chessboard = np.add.outer(np.arange(len(y)), np.arange(len(y))) % 2 == 0
    used = (distance > radius) & chessboard & ~masked[3:-3:2, 3:-3:2]
    inner = np.where(distance <= radius, target - np.median(target[used]), 0.0)
    edge = {"mode": "constant", "truncate": 3.0}
    wings = [gaussian_filter1d(gaussian_filter1d(inner, s, axis=1, **edge), s, axis=0, **edge) for s in (1.5, 3.0)]
    plane = 2.0 * x / (width - 1) - 1, 2.0 * y / (height - 1) - 1
    columns = [np.ones_like(smooth), smooth, bend, -slope_x, -slope_y, *plane, *wings]
    design, target = np.stack([column[used] for column in columns], axis=1), target[used]
    weight = np.ones(len(target))
    for _ in range(4):
        scale = np.sqrt((weight[:, None] * design**2).sum(axis=0))
        scaled = design / scale
        normal = scaled.T @ (scaled * weight[:, None]) + 1e-9 * np.eye(design.shape[1])
        solution = np.linalg.solve(normal, scaled.T @ (weight * target)) / scale
        left_over = target - design @ solution
        cut = 5.0 * (1.4826 * np.median(np.abs(left_over)) + 1e-3 * sky_sigma)
        weight = np.clip(1 - (left_over / cut) ** 2, 0, None) ** 2
    return solution[: len(TERMS)]


def test_the_fit_is_the_fit_that_numpy_makes(pairs):
    stamp = planted(pairs, "pedestal", 0.003)
    sigma, found = decompose(stamp, pairs.ctrl, pairs.catalog["theta_e_arcsec"])
    nothing = np.zeros((64, 64), bool)
    for at in (0, 7, 31):
        radius = (pairs.catalog["theta_e_arcsec"][at] + 1.2) / SCALE
        for band in range(3):
            expected = reference(stamp[at, band], pairs.ctrl[at, band], radius, sigma[at, band], nothing)
            np.testing.assert_allclose(found.terms[at, band], expected, rtol=1e-4, atol=1e-6)


def test_masked_pixels_are_not_fitted(pairs):
    masked = np.zeros((60, 64, 64), bool)
    masked[:, 5:14, 40:50] = True
    stamp = pairs.stamp.copy()
    stamp[:, :, 8:11, 43:47] += 5.0
    theta_e = pairs.catalog["theta_e_arcsec"]
    sigma, found = decompose(stamp, pairs.ctrl, theta_e, masked=masked)
    for at in (3, 11):
        expected = reference(stamp[at, 1], pairs.ctrl[at, 1], (theta_e[at] + 1.2) / SCALE, sigma[at, 1], masked[at])
        np.testing.assert_allclose(found.terms[at, 1], expected, rtol=1e-4, atol=1e-6)
    _, clean = decompose(pairs.stamp, pairs.ctrl, theta_e, masked=masked)
    np.testing.assert_allclose(found.terms, clean.terms, atol=1e-9)


def test_errors_and_correlations_say_how_the_terms_scatter(pairs):
    """White noise in the residual: terms scatter by their errors, and together as their correlations say."""
    rng = np.random.default_rng(8)
    ctrl, sigma = np.repeat(pairs.ctrl[4:5], 400, axis=0), 0.01
    stamp = ctrl + rng.normal(0, sigma, ctrl.shape).astype(np.float32)
    _, found = decompose(stamp, ctrl, np.full(400, 1.0))
    pull = found.terms / found.errors
    assert np.abs(pull.mean(axis=0)).max() < 0.25
    np.testing.assert_allclose(pull.std(axis=0), 1.0, atol=0.25)
    for at, (first, second) in enumerate(TERM_PAIRS):
        a, b = (found.terms[:, 1, TERMS.index(name)] for name in (first, second))
        assert np.corrcoef(a, b)[0, 1] == pytest.approx(np.median(found.correlations[:, 1, at]), abs=0.2)


@pytest.mark.parametrize(
    ("name", "strength", "tolerance"),
    [
        ("pedestal", 0.002, 0.0002),
        ("gain", 0.02, 0.001),
        ("blur", 0.02, 0.001),
        ("shift_x", 0.1, 0.003),
        ("shift_y", -0.1, 0.003),
        ("gradient_x", 0.002, 0.0001),
        ("gradient_y", -0.002, 0.0001),
    ],
)
def test_a_planted_artifact_is_read_off_and_no_other(pairs, name, strength, tolerance):
    stamp = planted(pairs, name, strength)
    _, faulty = decompose(stamp, pairs.ctrl, pairs.catalog["theta_e_arcsec"])
    _, clean = decompose(pairs.stamp, pairs.ctrl, pairs.catalog["theta_e_arcsec"])
    moved = np.median(faulty.terms - clean.terms, axis=(0, 1))
    expected = np.where(np.array(TERMS) == name, strength, 0.0)
    bounds = dict.fromkeys(TERMS, 0.006) | {"pedestal": 2e-4, "gradient_x": 1e-4, "gradient_y": 1e-4, name: tolerance}
    for at, term in enumerate(TERMS):
        assert abs(moved[at] - expected[at]) <= bounds[term], term


def test_clean_pairs_have_no_artifacts(pairs):
    sigma, found = decompose(pairs.stamp, pairs.ctrl, pairs.catalog["theta_e_arcsec"])
    mean = found.terms.mean(axis=0)
    assert np.all(np.abs(mean[:, 0]) < 0.01 * sigma.mean(axis=0))
    assert np.all(np.abs(mean[:, 1:5]) < 1e-3)


def test_taking_the_artifacts_out_gives_the_clean_stamp_back(pairs):
    faulty = dataclasses.replace(pairs, stamp=planted(pairs, "pedestal", 0.003))
    stamp = planted(faulty, "gain", 0.05)
    sigma, found = decompose(stamp, pairs.ctrl, pairs.catalog["theta_e_arcsec"])

    def departure(image):
        return np.median(np.abs(image - pairs.stamp).reshape(len(image), 3, -1).max(axis=2) / sigma)

    assert departure(found.physical) < 0.2
    assert departure(stamp) > 1.0


@pytest.mark.parametrize(
    ("fault", "own", "other", "noise"),
    [
        (None, 0.0, 0.0, 0.0),
        ("gain:1.1", 0.1, 0.0, 0.0),
        ("noise_added:0.5", 0.0, 0.0, 0.5),
        ("noise_redrawn:1", -0.9, 0.0, 1.3),
        ("band_swap:1", -1.0, 1.0, None),
    ],
)
def test_the_noise_of_the_residual_says_what_became_of_the_hosts_pixels(fault, own, other, noise):
    faulty = make_pairs(60, np.random.default_rng(2), size=64, fault=fault)
    sigma, found = decompose(faulty.stamp, faulty.ctrl, faulty.catalog["theta_e_arcsec"])
    assert np.median(found.noise_gain) == pytest.approx(own, abs=0.05)
    assert np.median(found.noise_gain_other) == pytest.approx(other, abs=0.05)
    if noise is not None:
        assert np.median(found.noise / sigma) == pytest.approx(noise, abs=0.1)


def test_a_sample_does_not_see_its_neighbors(pairs):
    theta_e = pairs.catalog["theta_e_arcsec"]
    _, whole = decompose(pairs.stamp, pairs.ctrl, theta_e)
    _, part = decompose(pairs.stamp[5:9], pairs.ctrl[5:9], theta_e[5:9])
    for each in dataclasses.fields(Decomposition):
        np.testing.assert_array_equal(getattr(whole, each.name)[5:9], getattr(part, each.name), err_msg=each.name)


def test_a_pixel_that_is_not_finite_makes_its_band_nan_and_no_other(pairs):
    stamp = pairs.stamp[:3].copy()
    stamp[1, 2, 3, 4] = np.nan
    _, found = decompose(stamp, pairs.ctrl[:3], pairs.catalog["theta_e_arcsec"][:3])
    bad = np.zeros((3, 3), dtype=bool)
    bad[1, 2] = True
    np.testing.assert_array_equal(np.isnan(found.terms).all(axis=2), bad)
    np.testing.assert_array_equal(np.isnan(found.errors).any(axis=2), bad)
    np.testing.assert_array_equal(np.isnan(found.noise), bad)


def test_shapes_that_do_not_fit_are_refused(pairs):
    more = {"center": np.zeros((2, 2)), "arc_outer_radius": np.ones(2)}
    with pytest.raises(ShapeError, match="stamp and ctrl"):
        decompose_residual(pairs.stamp[:2], pairs.ctrl[:3], sky_sigma=np.ones((2, 3)), **more)
    with pytest.raises(ShapeError, match="sky_sigma"):
        decompose_residual(pairs.stamp[:2], pairs.ctrl[:2], sky_sigma=np.ones(2), **more)
