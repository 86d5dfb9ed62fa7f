"""The lens against closed forms, astropy and lenstronomy."""

import numpy as np
import pytest
from astropy import constants
from astropy.cosmology import Planck18
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from gen5astro.errors import ConfigError
from gen5astro.inject.lens import deflection, einstein_radius, lens_terms

POSITIONS = np.random.default_rng(0).uniform(-5, 5, (2, 500))


def test_einstein_radius_agrees_with_astropy():
    rng = np.random.default_rng(1)
    z_lens, z_source = rng.uniform(0.05, 1.0, 20), rng.uniform(1.1, 6.0, 20)
    dispersion = rng.uniform(150, 400, 20)
    ratio = [
        integrate.quad(Planck18.inv_efunc, low, high)[0] / integrate.quad(Planck18.inv_efunc, 0, high)[0]
        for low, high in zip(z_lens, z_source, strict=True)
    ]
    expected = 4 * np.pi * (dispersion / constants.c.to_value("km/s")) ** 2 * ratio * np.rad2deg(1) * 3600
    assert einstein_radius(dispersion, z_lens, z_source) == pytest.approx(expected, rel=1e-7)


def test_einstein_radius_is_zero_where_the_source_is_in_front():
    assert einstein_radius(250.0, 0.5, 0.5) == 0
    assert einstein_radius(250.0, 0.5, 0.3) == 0


@pytest.mark.parametrize("redshifts", [(-0.1, 1.0), (0.3, 21.0), (0.3, np.nan)])
def test_einstein_radius_refuses_redshifts_out_of_range(redshifts):
    with pytest.raises(ConfigError, match="redshift"):
        einstein_radius(250.0, *redshifts)


def test_a_round_lens_deflects_by_its_einstein_radius():
    x, y = POSITIONS
    alpha = deflection(x, y, theta_e=1.3, e1=0.0, e2=0.0)
    r = np.hypot(x, y)
    assert np.array(alpha) == pytest.approx(1.3 * np.array([x / r, y / r]), abs=1e-8)


@pytest.mark.parametrize("lens", [(1.0, 0.2, 0.0), (2.3, -0.1, 0.25), (0.6, 0.0, -0.3)])
def test_deflection_agrees_with_lenstronomy(lens):
    from lenstronomy.LensModel.lens_model import LensModel

    theta_e, e1, e2 = lens
    x, y = POSITIONS
    peer = LensModel(["SIE", "SHEAR"]).alpha(
        x, y, [{"theta_E": theta_e, "e1": e1, "e2": e2}, {"gamma1": 0.03, "gamma2": -0.05}]
    )
    ours = deflection(x, y, theta_e=theta_e, e1=e1, e2=e2, gamma1=0.03, gamma2=-0.05)
    assert np.array(ours) == pytest.approx(np.array(peer), abs=1e-8)


@given(theta_e=st.floats(0.3, 3), strength=st.floats(0, 0.4), angle=st.floats(0, np.pi), turn=st.floats(-np.pi, np.pi))
def test_turning_the_lens_turns_the_deflection(theta_e, strength, angle, turn):
    x, y = POSITIONS[:, :50]
    cosine, sine = np.cos(turn), np.sin(turn)
    e, turned = (strength * np.array([np.cos(2 * at), np.sin(2 * at)]) for at in (angle, angle + turn))
    alpha_x, alpha_y = deflection(x, y, theta_e=theta_e, e1=e[0], e2=e[1])
    after = deflection(cosine * x - sine * y, sine * x + cosine * y, theta_e=theta_e, e1=turned[0], e2=turned[1])
    expected = np.array([cosine * alpha_x - sine * alpha_y, sine * alpha_x + cosine * alpha_y])
    assert np.array(after) == pytest.approx(expected, abs=1e-8)


def test_the_deflection_of_the_mass_scales_with_theta_e_and_not_with_distance():
    x, y = POSITIONS
    once = np.array(deflection(x, y, theta_e=1.0, e1=0.2, e2=0.1))
    assert np.array(deflection(x, y, theta_e=2.5, e1=0.2, e2=0.1)) == pytest.approx(2.5 * once, abs=1e-12)
    assert np.array(deflection(7 * x, 7 * y, theta_e=1.0, e1=0.2, e2=0.1)) == pytest.approx(once, abs=1e-12)


def test_the_deflection_is_zero_at_the_center():
    assert deflection(0.0, 0.0, theta_e=1.0, e1=0.1, e2=0.0) == (0.0, 0.0)


def test_nan_positions_give_nan_deflections():
    assert np.isnan(deflection(np.nan, 1.0, theta_e=1.0, e1=0.1, e2=0.0)).all()


@pytest.mark.parametrize("lens", [{"theta_e": 0.0, "e1": 0.0, "e2": 0.0}, {"theta_e": 1.0, "e1": 0.8, "e2": 0.7}])
def test_an_impossible_lens_is_refused(lens):
    with pytest.raises(ConfigError, match="lens"):
        lens_terms(**lens)
