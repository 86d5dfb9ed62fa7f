"""Each fault does what it says, in its unit, and nothing to the ctrl."""

import numpy as np
import pytest

from gen5astro.errors import ConfigError, ShapeError
from gen5astro.inject.faults import FAULTS, apply_fault, parse_fault
from gen5astro.sample import load_hosts

SIGMA = np.array([0.003, 0.004, 0.012])


@pytest.fixture(scope="module")
def pairs():
    hosts = load_hosts()
    ctrl = np.ascontiguousarray(hosts.image[[0, 9, 20], :, 13:77, 13:77])
    y, x = np.indices((64, 64)) - 31.5
    ring = 0.05 * np.exp(-((np.hypot(x, y) - 6) ** 2) / 4)
    return ctrl + ring.astype(np.float32), ctrl


def plant(pairs, name, strength=None, seed=0):
    sigma = np.tile(SIGMA, (3, 1))
    rng = np.random.default_rng(seed)
    return apply_fault(*pairs, name=name, strength=strength, sky_sigma=sigma, rng=rng).astype(float)


def sky(images):
    y, x = np.indices((64, 64)) - 31.5
    return images[..., np.hypot(x, y) > 20]


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_changes_the_stamp_and_leaves_its_input_alone(pairs, name):
    stamp, ctrl = (each.copy() for each in pairs)
    faulty = plant((stamp, ctrl), name)
    assert np.array_equal(stamp, pairs[0])
    assert np.array_equal(ctrl, pairs[1])
    assert np.isfinite(faulty).all()
    assert np.all((faulty != pairs[0]).any((2, 3)))


@pytest.mark.parametrize("name", FAULTS)
def test_the_default_strength_is_the_one_that_is_listed(pairs, name):
    assert np.array_equal(plant(pairs, name), plant(pairs, name, FAULTS[name].default))


@pytest.mark.parametrize("name", FAULTS)
def test_each_grade_changes_the_stamp_more_than_the_one_before(pairs, name):
    grades = FAULTS[name].grades
    changed = [np.std(plant(pairs, name, grade) - pairs[0]) for grade in grades]
    assert len(grades) == 4
    assert sorted(grades) == list(grades)
    assert 0 < changed[0] < changed[1] < changed[2] < changed[3]


@pytest.mark.parametrize("name", sorted(set(FAULTS) - {"gain", "noise_redrawn", "quantization"}))
def test_no_strength_is_no_fault(pairs, name):
    assert plant(pairs, name, 0.0) == pytest.approx(pairs[0], abs=2e-6)


def test_a_gain_of_one_is_no_fault(pairs):
    assert np.array_equal(plant(pairs, "gain", 1.0), pairs[0])


def test_pedestal_adds_sky_sigmas_to_every_pixel(pairs):
    added = plant(pairs, "pedestal", 0.5) - pairs[0]
    assert added == pytest.approx(np.broadcast_to(0.5 * SIGMA[:, None, None], added.shape), abs=1e-6)


def test_gradient_rises_by_its_strength_from_the_middle_to_the_edge(pairs):
    added = plant(pairs, "gradient", 2.0) - pairs[0]
    assert added[..., -1] == pytest.approx(np.broadcast_to(2 * SIGMA[:, None], (3, 3, 64)), abs=1e-6)
    assert added.mean() == pytest.approx(0, abs=1e-7)


def test_gain_multiplies_the_host_and_not_the_arc(pairs):
    stamp, ctrl = (each.astype(float) for each in pairs)
    assert plant(pairs, "gain", 1.2) == pytest.approx(stamp - ctrl + 1.2 * ctrl, abs=1e-6)


def test_host_light_adds_the_host_and_little_noise(pairs):
    added = plant(pairs, "host_light", 0.1) - pairs[0]
    ctrl = pairs[1].astype(float)
    assert added[..., 30:34, 30:34] == pytest.approx(0.1 * ctrl[..., 30:34, 30:34], abs=0.1 * 0.02)
    assert np.all(np.median(np.abs(sky(added)), axis=-1) < 0.05 * SIGMA)


def test_added_noise_has_the_strength_of_its_sky_sigmas(pairs):
    added = plant(pairs, "noise_added", 0.5) - pairs[0]
    assert added.std((2, 3)) == pytest.approx(np.tile(0.5 * SIGMA, (3, 1)), rel=0.05)


def test_redrawn_noise_is_as_strong_as_the_old_one_and_uncorrelated_with_it(pairs):
    new, old = sky(plant(pairs, "noise_redrawn")), sky(pairs[1].astype(float))
    for row in range(3):
        for band in range(3):
            pixels = new[row, band], old[row, band]
            spread = [np.median(np.abs(each - np.median(each))) * 1.4826 for each in pixels]
            assert spread[0] / SIGMA[band] == pytest.approx(1, abs=0.35)
            near = np.abs(old[row, band]) < 3 * SIGMA[band]
            assert abs(np.corrcoef(pixels[0][near], pixels[1][near])[0, 1]) < 0.45


def test_redrawn_noise_differs_between_seeds(pairs):
    assert not np.array_equal(plant(pairs, "noise_redrawn", seed=1), plant(pairs, "noise_redrawn", seed=2))


def test_own_normalization_gives_the_stamp_the_statistics_of_the_ctrl(pairs):
    faulty, ctrl = plant(pairs, "own_normalization"), pairs[1].astype(float)
    assert faulty.mean((2, 3)) == pytest.approx(ctrl.mean((2, 3)), abs=1e-6)
    assert faulty.std((2, 3)) == pytest.approx(ctrl.std((2, 3)), rel=1e-5)


def test_misregistration_by_a_whole_pixel_is_a_roll(pairs):
    stamp, ctrl = (each.astype(float) for each in pairs)
    faulty = plant(pairs, "misregistration", 1.0)
    assert faulty[..., 8:] == pytest.approx((stamp - ctrl)[..., 8:] + ctrl[..., 7:-1], abs=1e-4)


def test_psf_mismatch_keeps_the_host_flux_and_lowers_its_peak(pairs):
    stamp, ctrl = (each.astype(float) for each in pairs)
    blurred = plant(pairs, "psf_mismatch", 0.7) - (stamp - ctrl)
    assert blurred.sum((2, 3)) == pytest.approx(ctrl.sum((2, 3)), rel=0.02)
    assert np.all(blurred[..., 28:36, 28:36].max((2, 3)) < ctrl[..., 28:36, 28:36].max((2, 3)))


def test_kernel_shift_moves_the_arc_and_not_the_host(pairs):
    stamp, ctrl = (each.astype(float) for each in pairs)
    arc = plant(pairs, "kernel_shift", 1.0) - ctrl
    assert arc[..., 8:-8] == pytest.approx((stamp - ctrl)[..., 7:-9], abs=1e-4)


def test_band_swap_moves_each_host_to_the_next_band(pairs):
    stamp, ctrl = (each.astype(float) for each in pairs)
    assert plant(pairs, "band_swap") - (stamp - ctrl) == pytest.approx(ctrl[:, [2, 0, 1]], abs=1e-5)


def test_sky_subtraction_leaves_a_stamp_of_median_zero(pairs):
    assert np.median(plant(pairs, "sky_subtraction"), axis=(2, 3)) == pytest.approx(0, abs=1e-7)


def test_quantization_leaves_whole_steps(pairs):
    steps = plant(pairs, "quantization", 2.0) / (2.0 * SIGMA[:, None, None])
    assert steps == pytest.approx(np.rint(steps), abs=1e-3)


@pytest.mark.parametrize(("text", "expected"), [("pedestal", ("pedestal", 1.0)), ("gain:1.3", ("gain", 1.3))])
def test_a_fault_is_named_with_or_without_its_strength(text, expected):
    assert parse_fault(text) == expected


@pytest.mark.parametrize("text", ["pedestall", "gain:", "gain:much", "gain:nan", "", ":1"])
def test_a_fault_that_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigError, match="fault"):
        parse_fault(text)


def test_an_unknown_fault_names_the_closest(pairs):
    with pytest.raises(ConfigError, match="did you mean 'pedestal'"):
        plant(pairs, "pedestall")


def test_arrays_that_do_not_fit_are_refused(pairs):
    stamp, ctrl = pairs
    with pytest.raises(ShapeError, match="sky_sigma"):
        apply_fault(stamp, ctrl, name="gain", sky_sigma=SIGMA, rng=np.random.default_rng(0))
