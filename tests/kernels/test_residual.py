"""Laws of the residual decomposition."""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from gen5astro.errors import ShapeError
from gen5astro.kernels.residual import TERMS, Decomposition, decompose_residual
from tests.factories import make_pairs

SCALE = 0.263


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(60, np.random.default_rng(1), size=64)


def decompose(stamp, ctrl, theta_e):
    n, bands = ctrl.shape[:2]
    corner = ctrl[..., :8, :8].reshape(n, bands, -1)
    sigma = 1.4826 * np.median(np.abs(corner - np.median(corner, axis=-1, keepdims=True)), axis=-1)
    center = np.full((n, 2), 32.0)
    radius = (theta_e + 1.2) / SCALE
    return sigma, decompose_residual(stamp, ctrl, center=center, arc_outer_radius=radius, sky_sigma=sigma)


def planted(pairs, name, strength):
    """Stamps with one artifact of the given strength, in the units of the terms."""
    ctrl = pairs.ctrl.astype(np.float64)
    v, u = np.mgrid[-1:1:64j, -1:1:64j]
    added = {
        "pedestal": np.ones_like(ctrl),
        "gain": ctrl,
        "shift_x": -np.gradient(ctrl, axis=3),
        "shift_y": -np.gradient(ctrl, axis=2),
        "gradient_x": np.broadcast_to(u, ctrl.shape),
        "gradient_y": np.broadcast_to(v, ctrl.shape),
    }[name]
    return (pairs.stamp + strength * added).astype(np.float32)


def design_matrix(host, inner, used):
    """The terms and the wings of one band, (pixel, column)."""
    height, width = host.shape
    y, x = np.mgrid[:height, :width]
    padded = np.pad(host, 1, mode="edge")
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    down, up = padded[:-2, 1:-1], padded[2:, 1:-1]
    edge = {"mode": "constant", "truncate": 3.0}
    wings = [gaussian_filter1d(gaussian_filter1d(inner, s, axis=1, **edge), s, axis=0, **edge) for s in (3.0, 6.0)]
    columns = [
        np.ones_like(host),
        host,
        0.5 * (left + right + down + up - 4 * host),
        0.5 * (left - right),
        0.5 * (down - up),
        2.0 * x / (width - 1) - 1,
        2.0 * y / (height - 1) - 1,
        *wings,
    ]
    return np.stack([column[used] for column in columns], axis=1)


def reference(stamp, ctrl, radius, sky_sigma):
    """The fit of one band by NumPy: Tukey-weighted least squares on the same terms."""
    residual, host = stamp.astype(np.float64) - ctrl.astype(np.float64), ctrl.astype(np.float64)
    smooth = {"sigma": 1.0, "mode": "reflect", "truncate": 3.0}
    y, x = np.mgrid[: host.shape[0], : host.shape[1]]
    distance = np.hypot(x - 32.0, y - 32.0)
    used = distance > radius
    used[[0, -1], :] = used[:, [0, -1]] = False
    design = design_matrix(gaussian_filter(host, **smooth), np.where(distance <= radius, residual, 0.0), used)
    target, weight = gaussian_filter(residual, **smooth)[used], np.ones(used.sum())
    scale = np.sqrt((design**2).mean(axis=0))
    design = design / scale
    for _ in range(6):
        normal = design.T @ (design * weight[:, None]) + 1e-9 * len(target) * np.eye(design.shape[1])
        solution = np.linalg.solve(normal, design.T @ (weight * target))
        left_over = target - design @ solution
        cut = 5.0 * (1.4826 * np.median(np.abs(left_over)) + 1e-3 * sky_sigma)
        weight = np.clip(1 - (left_over / cut) ** 2, 0, None) ** 2
    return (solution / scale)[: len(TERMS)]


def test_the_fit_is_the_fit_that_numpy_makes(pairs):
    stamp = planted(pairs, "pedestal", 0.003)
    sigma, found = decompose(stamp, pairs.ctrl, pairs.catalog["theta_e_arcsec"])
    for at in (0, 7, 31):
        radius = (pairs.catalog["theta_e_arcsec"][at] + 1.2) / SCALE
        for band in range(3):
            expected = reference(stamp[at, band], pairs.ctrl[at, band], radius, sigma[at, band])
            np.testing.assert_allclose(found.terms[at, band], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "strength", "tolerance"),
    [
        ("pedestal", 0.002, 0.0002),
        ("gain", 0.02, 0.001),
        ("shift_x", 0.1, 0.005),
        ("shift_y", -0.1, 0.005),
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
    bounds = dict.fromkeys(TERMS, 0.003) | {"pedestal": 2e-4, "gradient_x": 1e-4, "gradient_y": 1e-4, name: tolerance}
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
