"""The rendered arc against lenstronomy, against a fine integration, and against itself."""

import numpy as np
import pytest
from scipy import signal, special

from gen5astro.errors import ConfigError, ShapeError
from gen5astro.inject.lens import deflection
from gen5astro.inject.render import render_arcs, render_source
from gen5astro.sample import load_hosts, load_psf

SCALE = 0.263
SHAPE = (64, 64)


def random_injection(rng, **fixed):
    theta_e = rng.uniform(0.5, 3.0)
    offset, direction = 0.5 * theta_e * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    angles = rng.uniform(0, np.pi, 3)
    lens, source = rng.uniform(0, 0.33), rng.uniform(0, 0.4)
    shear = rng.uniform(0, 0.08)
    return {
        "theta_e_arcsec": theta_e,
        "lens_e1": lens * np.cos(2 * angles[0]),
        "lens_e2": lens * np.sin(2 * angles[0]),
        "gamma1": shear * np.cos(2 * angles[1]),
        "gamma2": shear * np.sin(2 * angles[1]),
        "source_x": offset * np.cos(direction),
        "source_y": offset * np.sin(direction),
        "source_radius_arcsec": rng.uniform(0.1, 0.4),
        "source_index": rng.uniform(0.5, 2.0),
        "source_e1": source * np.cos(2 * angles[2]),
        "source_e2": source * np.sin(2 * angles[2]),
        "center_x": rng.uniform(31, 32),
        "center_y": rng.uniform(31, 32),
    } | fixed


def as_rows(*injections, magnitude=22.5):
    rows = {name: np.array([each[name] for each in injections]) for name in injections[0]}
    return rows | {f"source_mag_{band}": np.full(len(injections), magnitude) for band in "grz"}


def sersic(x, y, injection):
    """Brightness of a Sersic source of unit flux, from its definition."""
    radius, n = injection["source_radius_arcsec"], injection["source_index"]
    strength = np.hypot(injection["source_e1"], injection["source_e2"])
    phi, q = 0.5 * np.arctan2(injection["source_e2"], injection["source_e1"]), (1 - strength) / (1 + strength)
    dx, dy = x - injection["source_x"], y - injection["source_y"]
    along, across = dx * np.cos(phi) + dy * np.sin(phi), dy * np.cos(phi) - dx * np.sin(phi)
    r = np.sqrt(q * along**2 + across**2 / q) / radius
    b = special.gammaincinv(2 * n, 0.5)
    total = 2 * np.pi * n * radius**2 * np.exp(b) * b ** (-2 * n) * special.gamma(2 * n)
    return np.exp(-b * (r ** (1 / n) - 1)) / total


def positive_psf():
    """A real PSF without its negative wings, at which lenstronomy warns."""
    psf = np.maximum(load_psf()["r"], 0)
    return psf / psf.sum()


def fine_flux(injection, *, rays):
    """Lensed flux in the image by summing many rays a pixel."""
    offsets = (np.arange(rays) + 0.5) / rays - 0.5
    columns = (np.arange(SHAPE[1])[:, None] + offsets).ravel() - injection["center_x"]
    lens = {"theta_e": injection["theta_e_arcsec"], "e1": injection["lens_e1"], "e2": injection["lens_e2"]}
    shear = {name: injection[name] for name in ("gamma1", "gamma2")}
    total = 0.0
    for row in range(SHAPE[0]):
        y, x = np.meshgrid(row + offsets - injection["center_y"], columns, indexing="ij")
        alpha_x, alpha_y = deflection(x * SCALE, y * SCALE, **lens, **shear)
        total += sersic(x * SCALE - alpha_x, y * SCALE - alpha_y, injection).sum()
    return total * (SCALE / rays) ** 2


def lenstronomy_image(injection, psf, *, supersampling):
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    n, radius = injection["source_index"], injection["source_radius_arcsec"]
    b, theirs = special.gammaincinv(2 * n, 0.5), 1.9992 * n - 0.3271
    total = 2 * np.pi * n * radius**2 * np.exp(b) * b ** (-2 * n) * special.gamma(2 * n)
    source = {
        "amp": np.exp(b - theirs) / total,
        "R_sersic": radius * (theirs / b) ** n,
        "n_sersic": n,
        "e1": injection["source_e1"],
        "e2": injection["source_e2"],
        "center_x": injection["source_x"],
        "center_y": injection["source_y"],
    }
    lens = {
        "theta_E": injection["theta_e_arcsec"],
        "e1": injection["lens_e1"],
        "e2": injection["lens_e2"],
        "center_x": 0,
        "center_y": 0,
    }
    grid = ImageData(
        np.zeros(SHAPE),
        ra_at_xy_0=-injection["center_x"] * SCALE,
        dec_at_xy_0=-injection["center_y"] * SCALE,
        transform_pix2angle=np.eye(2) * SCALE,
        background_rms=1,
        exposure_time=1,
    )
    model = ImageModel(
        grid,
        PSF("PIXEL", kernel_point_source=psf),
        LensModel(["SIE", "SHEAR"]),
        LightModel(["SERSIC_ELLIPSE"]),
        kwargs_numerics={"supersampling_factor": supersampling, "supersampling_convolution": False},
    )
    return model.image([lens, {"gamma1": injection["gamma1"], "gamma2": injection["gamma2"]}], [source])


@pytest.mark.filterwarnings("ignore:`axes` should not be:DeprecationWarning")
@pytest.mark.parametrize("supersampling", [1, 3])
def test_the_image_agrees_with_lenstronomy_at_equal_supersampling(supersampling):
    rng = np.random.default_rng(5)
    psf = positive_psf()
    for _ in range(8):
        injection = random_injection(rng)
        peer = lenstronomy_image(injection, psf, supersampling=supersampling)
        options = {"bands": "r", "supersampling": supersampling, "refine": False}
        arcs, _ = render_arcs(as_rows(injection), SHAPE, SCALE, psf[None], **options)
        assert np.abs(arcs[0, 0] - peer).max() <= 2e-6 * peer.max()


@pytest.mark.filterwarnings("ignore:`axes` should not be:DeprecationWarning")
def test_the_refined_image_agrees_with_lenstronomy_at_high_supersampling():
    rng = np.random.default_rng(6)
    psf = positive_psf()
    for _ in range(3):
        injection = random_injection(rng)
        peer = lenstronomy_image(injection, psf, supersampling=21)
        arcs, _ = render_arcs(as_rows(injection), SHAPE, SCALE, psf[None], bands="r", supersampling=3)
        assert np.abs(arcs[0, 0] - peer).max() <= 2e-3 * peer.max()


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"source_radius_arcsec": 0.1, "source_index": 2.0},
        {"source_radius_arcsec": 0.1, "source_index": 1.0},
        {"source_radius_arcsec": 0.4, "source_index": 0.5},
        {"theta_e_arcsec": 3.0, "source_x": 1.5, "source_y": 0.0},
        {"source_x": 0.0, "source_y": 0.0},
    ],
)
def test_the_arc_has_the_magnified_flux_of_the_source(kind):
    injection = random_injection(np.random.default_rng(7), **kind)
    light = render_source(injection, SHAPE, SCALE, supersampling=3)
    assert light.sum() == pytest.approx(fine_flux(injection, rays=24), rel=5e-3)


def test_the_psf_moves_flux_and_makes_none():
    injection = random_injection(np.random.default_rng(8), theta_e_arcsec=1.0, source_radius_arcsec=0.1)
    hosts = load_hosts()
    centered = as_rows(injection | {"center_x": 75.0, "center_y": 75.0}, magnitude=22.0)
    arcs, magnification = render_arcs(centered, (151, 151), SCALE, hosts.psf, bands=hosts.bands, supersampling=3)
    assert arcs[0].sum((1, 2)) == pytest.approx(magnification[0] * 10**0.2, rel=1e-4)


def test_a_far_source_is_magnified_as_an_isothermal_sphere_does():
    injection = random_injection(
        np.random.default_rng(9),
        lens_e1=0.0,
        lens_e2=0.0,
        gamma1=0.0,
        gamma2=0.0,
        theta_e_arcsec=1.0,
        source_x=3.0,
        source_y=0.0,
        source_radius_arcsec=0.1,
        source_index=0.5,
    )
    light = render_source(injection, SHAPE, SCALE, supersampling=5)
    assert light.sum() == pytest.approx(1 + 1 / 3, rel=2e-3)


def test_convolution_agrees_with_scipy():
    rng = np.random.default_rng(10)
    injection = random_injection(rng)
    psf = rng.random((2, 11, 7))
    arcs, _ = render_arcs(as_rows(injection), SHAPE, SCALE, psf, bands="gr", supersampling=2)
    light = render_source(injection, SHAPE, SCALE, supersampling=2)
    for arc, kernel in zip(arcs[0], psf, strict=True):
        assert arc == pytest.approx(signal.convolve(light, kernel, mode="same", method="direct"), abs=1e-12)


def test_a_psf_larger_than_the_image_is_allowed():
    injection = random_injection(np.random.default_rng(11), center_x=7.5, center_y=7.5)
    psf = load_psf()["r"]
    arcs, _ = render_arcs(as_rows(injection), (16, 16), SCALE, psf[None], bands="r", supersampling=2)
    light = render_source(injection, (16, 16), SCALE, supersampling=2)
    full = signal.convolve(light, psf, mode="full", method="direct")
    assert arcs[0, 0] == pytest.approx(full[31:47, 31:47], abs=1e-12)


def test_an_arc_does_not_see_its_neighbors():
    rng = np.random.default_rng(12)
    injections = [random_injection(rng) for _ in range(5)]
    psf = load_hosts().psf
    together, _ = render_arcs(as_rows(*injections), SHAPE, SCALE, psf, bands="grz", supersampling=3)
    for each, injection in zip(together, injections, strict=True):
        alone, _ = render_arcs(as_rows(injection), SHAPE, SCALE, psf, bands="grz", supersampling=3)
        assert np.array_equal(alone[0], each)


def test_the_grid_is_seen_from_the_lens():
    injection = random_injection(np.random.default_rng(13), center_x=30.0, center_y=31.0)
    moved = injection | {"center_x": 33.0, "center_y": 36.0}
    here, there = (render_source(each, SHAPE, SCALE, supersampling=3) for each in (injection, moved))
    assert there[5:, 3:] == pytest.approx(here[:-5, :-3], abs=1e-12)


@pytest.mark.parametrize(
    "bad",
    [
        {"source_x": np.nan},
        {"center_x": np.inf},
        {"source_radius_arcsec": 0.0},
        {"source_index": -1.0},
        {"source_e1": 1.0},
        {"gamma1": np.nan},
        {"theta_e_arcsec": np.nan},
    ],
)
def test_an_impossible_injection_is_refused(bad):
    injection = random_injection(np.random.default_rng(15)) | bad
    with pytest.raises(ConfigError):
        render_source(injection, SHAPE, SCALE, supersampling=2)


def test_a_lens_on_a_ray_renders_finite_light():
    injection = random_injection(np.random.default_rng(16), center_x=31.0, center_y=31.0)
    assert np.isfinite(render_source(injection, SHAPE, SCALE, supersampling=3)).all()


def test_an_even_psf_is_refused():
    injection = random_injection(np.random.default_rng(14))
    with pytest.raises(ShapeError, match="odd k"):
        render_arcs(as_rows(injection), SHAPE, SCALE, np.ones((1, 4, 4)) / 16, bands="r", supersampling=1)
