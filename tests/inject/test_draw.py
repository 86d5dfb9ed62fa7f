"""What is drawn: the same for the same seed and number, within its ranges, and spread over the hosts."""

import dataclasses

import numpy as np
import pytest

from gen5astro.config import InjectConfig
from gen5astro.errors import ConfigError
from gen5astro.inject.draw import draw_injections, item_generator
from gen5astro.inject.lens import deflection, einstein_radius
from gen5astro.sample import load_hosts

CONFIG = InjectConfig()


def draw(start, stop, *, seed=3, config=CONFIG):
    return draw_injections(load_hosts(), start, stop, seed=seed, config=config)


def test_a_draw_depends_on_seed_and_number_only():
    together = draw(0, 20)
    apart = draw(7, 9)
    for name, values in together.items():
        assert np.array_equal(values[7:9], apart[name])
    assert not np.array_equal(together["source_x"], draw(0, 20, seed=4)["source_x"])


def test_purposes_and_numbers_have_independent_generators():
    draws = {item_generator(0, index, purpose=purpose).random() for index in range(10) for purpose in range(3)}
    assert len(draws) == 30


def test_hosts_are_used_evenly():
    counts = np.bincount(draw(0, 95)["host"], minlength=30)
    assert counts.min() == 3
    assert counts.max() == 4
    assert sorted(draw(0, 30)["host"]) == list(range(30))


def test_draws_stay_in_their_ranges():
    draws = draw(0, 200)
    for name in ("theta_e_arcsec", "z_lens", "z_source", "source_mag_r"):
        low, high = getattr(CONFIG, name)
        assert np.all((draws[name] >= low) & (draws[name] <= high)), name
    boost = draws["velocity_dispersion_kms"] / load_hosts().catalog["velocity_dispersion_kms"][draws["host"]]
    assert np.all((boost >= CONFIG.velocity_boost[0]) & (boost <= CONFIG.velocity_boost[1]))
    assert np.hypot(draws["gamma1"], draws["gamma2"]).max() <= CONFIG.shear[1]
    color = draws["source_mag_g"] - draws["source_mag_r"]
    assert np.all((color >= 0) & (color <= 0.5))


def test_theta_e_follows_from_dispersion_and_redshifts():
    draws = draw(0, 50)
    expected = einstein_radius(draws["velocity_dispersion_kms"], draws["z_lens"], draws["z_source"])
    assert draws["theta_e_arcsec"] == pytest.approx(expected, rel=1e-12)


def test_the_lens_has_the_ellipticity_of_the_host():
    draws = draw(0, 30)
    drawn = np.column_stack([draws["lens_e1"], draws["lens_e2"]])
    assert np.array_equal(drawn, load_hosts().ellipticity[draws["host"]])


def test_every_stratum_has_twenty_effective_hosts_in_a_thousand_draws():
    draws = draw(0, 1000)
    strata = np.digitize(draws["theta_e_arcsec"], [1.0, 2.0])
    for stratum in range(3):
        counts = np.bincount(draws["host"][strata == stratum], minlength=30)
        assert np.count_nonzero(counts) >= 20
        assert counts.sum() ** 2 / (counts**2).sum() >= 20


def test_every_source_is_imaged_more_than_once():
    draws = draw(0, 40)
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    for row in range(40):
        one = {name: values[row] for name, values in draws.items()}
        lens = {"theta_e": one["theta_e_arcsec"], "e1": one["lens_e1"], "e2": one["lens_e2"]}
        x, y = 1e-6 * np.cos(angle), 1e-6 * np.sin(angle)
        alpha_x, alpha_y = deflection(x, y, **lens)
        cut = np.hypot(alpha_x, alpha_y).min()
        assert np.hypot(one["source_x"], one["source_y"]) < cut


def test_a_range_out_of_reach_is_refused_with_what_can_be_reached():
    config = dataclasses.replace(CONFIG, theta_e_arcsec=(20.0, 30.0))
    with pytest.raises(ConfigError, match=r"theta_e_arcsec: got \[20, 30\].*km/s.*velocity_boost"):
        draw(0, 5, config=config)


@pytest.mark.parametrize(
    "bad",
    [
        {"z_lens": (0.5, 0.9), "z_source": (0.1, 0.4)},
        {"source_offset": 0.9},
        {"velocity_boost": (2.0, 1.0)},
        {"shear": (-0.1, 0.1)},
    ],
)
def test_ranges_that_cannot_be_used_are_refused(bad):
    with pytest.raises(ConfigError, match="inject"):
        draw(0, 1, config=dataclasses.replace(CONFIG, **bad))


def test_bands_without_colors_are_refused():
    hosts = dataclasses.replace(load_hosts(), bands=("g", "r", "Y"))
    with pytest.raises(ConfigError, match="Y"):
        draw_injections(hosts, 0, 1, seed=0, config=CONFIG)
