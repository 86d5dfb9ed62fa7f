"""Laws of the measurement pass."""

import dataclasses

import numpy as np
import pytest
from photutils.aperture import CircularAperture, aperture_photometry

from gen5astro.columns import COLUMNS
from gen5astro.config import MeasureConfig, NormalizerSpec
from gen5astro.errors import ColumnError
from gen5astro.kernels.normalize import normalizer_statistics
from gen5astro.kernels.psf import profile_psf, psf_fwhm
from gen5astro.measure import measure_block, measure_pairs
from tests.factories import make_pairs
from tests.sources import MemorySource


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(48, np.random.default_rng(3), size=64)


@pytest.fixture(scope="module")
def columns(pairs):
    return measure_block(pairs, MeasureConfig())


def test_every_column_is_documented_and_every_documented_column_measured(columns):
    assert set(columns) | {"group"} == set(COLUMNS)
    for name, values in columns.items():
        expected = {"pair": (48,), "band": (48, 3)}[COLUMNS[name].per]
        assert values.shape[: len(expected)] == expected, name


def test_core_flux_is_what_photutils_sums(pairs, columns):
    for at in (0, 20):
        center = (columns["center_x"][at], columns["center_y"][at])
        aperture = CircularAperture(center, 1.0 / pairs.pixel_scale)
        table = aperture_photometry(pairs.stamp[at, 1].astype(np.float64), aperture, method="exact")
        assert columns["stamp_core_flux"][at, 1] == pytest.approx(float(table["aperture_sum"][0]), rel=1e-6)


def test_the_core_of_a_clean_pair_stays_within_the_physical_budget(columns):
    over = (columns["core_excess"] - columns["core_budget_high"]) / columns["ctrl_core_flux"]
    under = (columns["core_excess"] - columns["core_budget_low"]) / columns["ctrl_core_flux"]
    assert np.median(over) < 0.005
    assert np.median(under) > -0.005


def test_declared_and_measured_signal_to_noise_agree(pairs, columns):
    measured = np.sqrt((columns["arc_snr_measured"] ** 2).sum(axis=1))
    ratio = measured / pairs.catalog["arc_snr"]
    assert 0.8 < np.median(ratio) < 1.25


def test_the_measured_radius_follows_theta_e_whatever_was_declared(pairs, columns):
    theta_e = pairs.catalog["theta_e_arcsec"]
    assert 0.95 < np.median(columns["arc_radius_measured_arcsec"] / theta_e) < 1.35
    in_pixels = dict(pairs.catalog, theta_e_arcsec=theta_e / pairs.pixel_scale)
    again = measure_block(dataclasses.replace(pairs, catalog=in_pixels), MeasureConfig())
    assert np.median(again["arc_radius_measured_arcsec"] / columns["arc_radius_measured_arcsec"]) == pytest.approx(
        1, 0.05
    )


def test_the_statistics_of_each_normalizer_are_in_the_table(pairs, columns):
    for kind, names in (
        ("sky", ("sky_level", "sky_sigma")),
        ("standard", ("mean", "std")),
        ("core", ("core_mean", "core_std")),
    ):
        statistics = normalizer_statistics(pairs.stamp, NormalizerSpec(kind=kind), pairs.pixel_scale)
        for at, name in enumerate(names):
            np.testing.assert_allclose(columns[f"stamp_{name}"], statistics[..., at], rtol=1e-6, atol=1e-9)


def test_the_noise_of_a_clean_stamp_is_that_of_its_ctrl(columns):
    for name in ("noise_hf", "noise_autocorrelation_x", "noise_autocorrelation_y"):
        assert np.median(np.abs(columns[f"stamp_{name}"] / columns[f"ctrl_{name}"] - 1)) < 1e-3


def test_the_quiet_image_has_the_wings_of_the_arc_and_not_the_noise_of_the_stamp(pairs, columns):
    noise = np.random.default_rng(3).normal(size=pairs.stamp.shape) * columns["ctrl_sky_sigma"][:, :, None, None]
    noisy = dataclasses.replace(pairs, stamp=(pairs.stamp + 0.3 * noise).astype(np.float32))
    again = measure_block(noisy, MeasureConfig())
    for name in ("noise_hf", "sky_sigma"):
        clean, ctrl = columns[f"quiet_{name}"], columns[f"ctrl_{name}"]
        assert np.median(np.abs(clean / columns[f"stamp_{name}"] - 1)) < 1e-3
        assert np.median(again[f"stamp_{name}"] / ctrl) > 1.03
        assert np.median(np.abs(again[f"quiet_{name}"] / ctrl - 1)) < 2e-3


def test_the_light_of_a_clean_pair_is_where_the_lens_can_put_it(columns):
    assert np.median(columns["arc_share"]) > 0.95


@pytest.mark.parametrize("threads", [1, 3])
def test_the_table_does_not_depend_on_blocks_or_threads(pairs, columns, threads):
    table, rejects = measure_pairs(MemorySource(pairs), MeasureConfig(), threads=threads, block=7)
    assert rejects == []
    for name, values in columns.items():
        np.testing.assert_array_equal(table[name], values, err_msg=name)


def test_a_pixel_that_is_not_finite_reaches_the_table(pairs):
    stamp = pairs.stamp.copy()
    stamp[5, 1, 30, 31] = np.nan
    census = pairs.census.copy()
    census[5, 0, 1, 0] -= 1
    columns = measure_block(dataclasses.replace(pairs, stamp=stamp, census=census), MeasureConfig())
    assert columns["stamp_finite_fraction"][5, 1] < 1
    for name in ("stamp_core_flux", "stamp_core_peak", "physical_core_flux", "pedestal", "arc_flux", "core_excess"):
        nan = np.isnan(columns[name])
        assert nan[5, 1], name
        assert nan.sum() == 1, name


def test_without_theta_e_the_residual_says_where_the_arc_is(pairs):
    undeclared = dict(pairs.catalog, theta_e_arcsec=np.full(48, np.nan))
    columns = measure_block(dataclasses.replace(pairs, catalog=undeclared), MeasureConfig())
    ratio = columns["arc_radius_arcsec"] / pairs.catalog["theta_e_arcsec"]
    assert 0.7 < np.median(ratio) < 2.0
    assert np.isfinite(columns["pedestal"]).all()


def test_a_pair_s_own_psf_is_measured_and_a_stated_width_stands_before_it(pairs):
    psf = np.stack([profile_psf(4.0, half_px=15)] * 3).astype(np.float32)
    own = np.stack([psf] * len(pairs))
    own[1] = np.nan
    bare = {name: values for name, values in pairs.catalog.items() if not name.startswith("psfsize")}
    bare["psfsize_g"] = np.full(len(pairs), 1.5)
    columns = measure_block(dataclasses.replace(pairs, catalog=bare, psf=own), MeasureConfig(psf_fwhm_arcsec=1.7))
    expected = psf_fwhm(psf[1]) * pairs.pixel_scale
    np.testing.assert_allclose(columns["psf_fwhm_arcsec"][0], [1.5, expected, expected], rtol=1e-5)
    np.testing.assert_allclose(columns["psf_fwhm_arcsec"][1], [1.5, 1.7, 1.7], rtol=1e-6)
    same = dataclasses.replace(pairs, catalog=bare)
    one = measure_block(same, MeasureConfig(psf_fwhm_arcsec=1.7), psf=psf.astype(np.float64))
    np.testing.assert_allclose(columns["core_budget_low"][0], one["core_budget_low"][0], rtol=1e-5)


def test_without_psfsize_the_configured_fwhm_is_used(pairs):
    catalog = {name: values for name, values in pairs.catalog.items() if not name.startswith("psfsize")}
    columns = measure_block(dataclasses.replace(pairs, catalog=catalog), MeasureConfig(psf_fwhm_arcsec=1.7))
    assert np.all(columns["psf_fwhm_arcsec"] == 1.7)


def test_rows_that_cannot_be_read_are_counted_and_left_out(pairs):
    seen = []
    source = MemorySource(pairs, bad={3: "broken zip", 40: "no stamp"})
    table, rejects = measure_pairs(source, MeasureConfig(), block=8, advance=seen.append)
    assert [(each.row, each.reason) for each in rejects] == [(3, "broken zip"), (40, "no stamp")]
    assert len(table) == 46
    assert sum(seen) == 48
    assert 3 not in table["row"]


def test_a_missing_column_is_named_with_the_closest(pairs):
    table, _ = measure_pairs(MemorySource(pairs), MeasureConfig())
    with pytest.raises(ColumnError, match="did you mean 'stamp_core_flux'"):
        table["stamp_core_fluxes"]
