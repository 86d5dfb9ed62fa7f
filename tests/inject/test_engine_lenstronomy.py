"""Arcs through lenstronomy: as ours where the models are the same, and flux conserved where they are not."""

import sys

import numpy as np
import pytest

from gen5astro.config import InjectConfig
from gen5astro.errors import ConfigError
from gen5astro.inject import inject_blocks
from gen5astro.inject.draw import draw_injections
from gen5astro.inject.engine_lenstronomy import adapt_draws, needed_columns, render_arcs
from gen5astro.inject.lenstronomy_models import LENS_PARAMETERS, SOURCE_PARAMETERS
from gen5astro.inject.render import render_arcs as render_native
from gen5astro.sample import load_hosts

SCALE, SHAPE, BANDS = 0.263, (64, 64), ("r",)
PSF = np.zeros((1, 3, 3))
PSF[0, 1, 1] = 1.0


def configure(**settings):
    return InjectConfig(engine="lenstronomy", theta_e_arcsec=(0.6, 1.8), **settings)


def draw(config, n=4, seed=3):
    draws = adapt_draws(draw_injections(load_hosts(), 0, n, seed=seed, config=config), config)
    return draws | {"center_x": np.full(n, 31.3), "center_y": np.full(n, 31.8)}


def render(config, draws, psf=PSF, bands=BANDS):
    return render_arcs(draws, SHAPE, SCALE, psf, bands=bands, config=config)


def fine_magnification(lens, lens_keywords, source, source_keywords, draws, row, *, rays=32):
    """Lensed flux in the image over the source's flux: many rays a pixel over a fine grid of the source's plane."""
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    lens, source = LensModel(lens), LightModel(source)
    offsets = (np.arange(rays) + 0.5) / rays - 0.5
    columns = (np.arange(SHAPE[1])[:, None] + offsets).ravel() - draws["center_x"][row]
    lensed = 0.0
    for line in range(SHAPE[0]):
        y, x = np.meshgrid(line + offsets - draws["center_y"][row], columns, indexing="ij")
        at = lens.ray_shooting(x.ravel() * SCALE, y.ravel() * SCALE, lens_keywords)
        lensed += source.surface_brightness(*at, source_keywords).sum()
    axis = (np.arange(4000) + 0.5) * 0.004 - 8
    unlensed = 0.0
    for down in axis:
        place = axis + draws["source_x"][row], np.full(4000, down + draws["source_y"][row])
        unlensed += source.surface_brightness(*place, source_keywords).sum()
    return lensed * (SCALE / rays) ** 2 / (unlensed * 0.004**2)


def test_the_same_models_give_the_arcs_of_our_own_engine():
    config = configure()
    hosts = load_hosts()
    draws = draw(config) | {"source_index": np.full(4, 1.0)}
    theirs, magnification = render(config, draws, hosts.psf, hosts.bands)
    ours, expected = render_native(draws, SHAPE, SCALE, hosts.psf, bands=hosts.bands, supersampling=3)
    assert magnification == pytest.approx(expected, rel=5e-3)
    assert np.all(np.abs(theirs - ours).max((2, 3)) < 0.01 * ours.max((2, 3)))


@pytest.mark.parametrize("n_sersic", [0.5, 4.0])
def test_flux_is_conserved_for_flat_sources_and_for_cusps(n_sersic):
    config = configure(source_kwargs={"n_sersic": n_sersic, "R_sersic": 0.2}, lens_model=("SIS",))
    draws = draw(config, n=2)
    _, magnification = render(config, draws)
    for row in range(2):
        keywords = {"n_sersic": n_sersic, "R_sersic": 0.2, "amp": 1.0}
        keywords |= {name: draws[f"source_{name[-1]}"][row] for name in ("center_x", "center_y")}
        keywords |= {name: draws[f"source_{name}"][row] for name in ("e1", "e2")}
        lens = [{"theta_E": draws["theta_e_arcsec"][row]}]
        expected = fine_magnification(["SIS"], lens, ["SERSIC_ELLIPSE"], [keywords], draws, row)
        assert magnification[row] == pytest.approx(expected, rel=5e-3)


def test_flux_is_conserved_for_other_models():
    config = configure(
        lens_model=("EPL", "SHEAR_GAMMA_PSI"),
        source_model=("GAUSSIAN_ELLIPSE",),
        lens_kwargs={"gamma": 2.15},
        source_kwargs={"sigma": 0.15},
    )
    draws = draw(config, n=2)
    arcs, magnification = render(config, draws)
    for row in range(2):
        get = {name: values[row] for name, values in draws.items()}
        lens = [
            {"theta_E": get["theta_e_arcsec"], "gamma": 2.15, "e1": get["lens_e1"], "e2": get["lens_e2"]},
            {
                "gamma_ext": np.hypot(get["gamma1"], get["gamma2"]),
                "psi_ext": np.arctan2(get["gamma2"], get["gamma1"]) / 2,
            },
        ]
        source = {"amp": 1.0, "sigma": 0.15, "e1": get["source_e1"], "e2": get["source_e2"]}
        source |= {"center_x": get["source_x"], "center_y": get["source_y"]}
        expected = fine_magnification(["EPL", "SHEAR_GAMMA_PSI"], lens, ["GAUSSIAN_ELLIPSE"], [source], draws, row)
        assert magnification[row] == pytest.approx(expected, rel=5e-3)
        flux = 10 ** (-0.4 * (get["source_mag_r"] - 22.5))
        assert arcs[row].sum() == pytest.approx(magnification[row] * flux, rel=1e-9)


def test_a_given_value_stands_in_the_column_that_it_replaces():
    config = configure(lens_kwargs={"theta_E": 1.25}, source_kwargs={"n_sersic": 3.0})
    draws = draw(config)
    assert np.all(draws["theta_e_arcsec"] == 1.25)
    assert np.all(draws["source_index"] == 3.0)
    assert np.isnan(draws["velocity_dispersion_kms"]).all()
    assert {"theta_e_arcsec", "source_index"}.isdisjoint(needed_columns(config))


def test_what_no_model_takes_is_zero_or_missing_in_the_catalog():
    draws = draw(configure(lens_model=("SIS",), source_model=("GAUSSIAN",), source_kwargs={"sigma": 0.1}))
    for name in ("lens_e1", "lens_e2", "gamma1", "gamma2", "source_e1", "source_e2"):
        assert np.all(draws[name] == 0)
    assert np.isnan(draws["source_index"]).all()
    assert np.isnan(draws["source_radius_arcsec"]).all()


def test_the_einstein_radius_of_a_model_without_one_is_measured():
    config = configure(lens_model=("POINT_MASS_LOG_SCALED",), lens_kwargs={"log10_theta_E": np.log10(1.3)})
    assert draw(config)["theta_e_arcsec"] == pytest.approx(1.3, rel=1e-6)


def test_two_models_of_a_kind_are_told_apart_by_place_or_name():
    config = configure(lens_model=("SIE", "SIS"), lens_kwargs={"SIS": {"theta_E": 0.1, "center_x": 1.0}})
    by_place = configure(lens_model=("SIE", "SIS"), lens_kwargs={"2": {"theta_E": 0.1, "center_x": 1.0}})
    draws = draw(config, n=1)
    assert np.array_equal(render(config, draws)[0], render(by_place, draws)[0])
    assert not np.array_equal(render(config, draws)[0], render(configure(lens_model=("SIE",)), draws)[0])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lens_model": ("SIEE",)}, "did you mean 'SIE'"),
        ({"source_model": ("SERSIC_ELIPSE",)}, "did you mean 'SERSIC_ELLIPSE'"),
        ({"lens_model": ("NIE", "SHEAR")}, "'s_scale'.*lens_kwargs.s_scale=VALUE"),
        ({"source_model": ("CORE_SERSIC",)}, "'Rb'"),
        ({"lens_model": ("SIE", "SIS")}, "'theta_E', which an earlier model gets.*lens_kwargs.2.theta_E"),
        ({"lens_kwargs": {"theta": 1.0}}, "did you mean 'theta_E'"),
        ({"lens_kwargs": {"SIE": {"theta": 1.0}}}, "did you mean 'theta_E'"),
        ({"lens_kwargs": {"SIS": {"theta_E": 1.0}}}, "lens_kwargs.SIS"),
        ({"lens_model": ("EPL_Q_PHI",), "lens_kwargs": {"q": 0.7}}, "follows from lens_e1 and lens_e2"),
        ({"lens_model": ("LOS",)}, "lens_model LOS"),
    ],
)
def test_models_that_cannot_be_used_are_refused_before_any_work(settings, said):
    with pytest.raises(ConfigError, match=said):
        inject_blocks(load_hosts(), 2, seed=1, config=configure(**settings))


@pytest.mark.parametrize(
    "source", [("UNIFORM", {}), ("POWER_LAW", {"gamma": 1.5}), ("INTERPOL", {"image": [[0.0, 1.0], [1.0, np.nan]]})]
)
def test_a_source_without_a_finite_flux_is_refused(source):
    config = configure(source_model=source[:1], source_kwargs=source[1])
    with pytest.raises(ConfigError, match="flux"):
        render(config, draw(config, n=1))


def test_an_error_inside_lenstronomy_is_one_line():
    config = configure(source_model=("GAUSSIAN",), source_kwargs={"sigma": "wide"})
    with pytest.raises(ConfigError, match="lenstronomy with"):
        render(config, draw(config, n=1))


def test_models_need_their_engine():
    with pytest.raises(ConfigError, match="--engine lenstronomy"):
        inject_blocks(load_hosts(), 2, seed=1, config=InjectConfig(lens_model=("EPL",)))


def test_without_lenstronomy_a_line_says_how_to_install_it(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("lenstronomy")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lenstronomy", None)
    with pytest.raises(ConfigError, match=r"pip install 'gen5astro\[lenstronomy\]'"):
        inject_blocks(load_hosts(), 2, seed=1, config=configure())


def test_every_drawn_parameter_is_of_a_column_that_is_drawn():
    drawn = draw_injections(load_hosts(), 0, 1, seed=1, config=InjectConfig())
    for parameters in (LENS_PARAMETERS, SOURCE_PARAMETERS):
        assert {name for each in parameters.values() for name in each.columns} <= set(drawn)
