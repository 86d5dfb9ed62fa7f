"""Blocks of pairs: the host untouched, the arc exact, and nothing that depends on how they were made."""

import numpy as np
import pytest

import gen5astro.inject
from gen5astro.config import InjectConfig
from gen5astro.errors import ConfigError
from gen5astro.inject import inject_blocks
from gen5astro.inject.blocks import describe_injection
from gen5astro.inject.draw import draw_injections
from gen5astro.inject.faults import FAULTS
from gen5astro.inject.render import render_arcs
from gen5astro.sample import load_hosts
from tests.factories import make_pairs

SMALL = InjectConfig(size=40)


def inject(n, *, block=256, threads=1, fault=None, config=SMALL, seed=5):
    options = {"seed": seed, "config": config, "fault": fault, "block": block, "threads": threads}
    return list(inject_blocks(load_hosts(), n, **options))


def joined(blocks):
    return np.concatenate([block.stamp for block in blocks]), np.concatenate([block.ctrl for block in blocks])


@pytest.mark.parametrize("fault", [None, "noise_added", "pedestal"])
def test_pairs_do_not_depend_on_blocks_threads_or_number(fault):
    once = inject(11, fault=fault)
    again = inject(14, block=3, threads=2, fault=fault)
    for here, there in zip(joined(once), joined(again), strict=True):
        assert np.array_equal(here, there[:11])
    together = {name: np.concatenate([block.catalog[name] for block in again]) for name in again[0].catalog}
    for name, values in once[0].catalog.items():
        assert np.array_equal(values, together[name][:11]), name


def test_the_ctrl_is_the_host_to_the_bit():
    hosts = load_hosts()
    (block,) = inject(30)
    for row in range(30):
        host = list(hosts.catalog["host_id"]).index(block.catalog["host_id"][row])
        cutout, (x, y) = hosts.cutout(host, 40)
        assert np.array_equal(block.ctrl[row], cutout)
        assert (block.catalog["center_x"][row], block.catalog["center_y"][row]) == (x, y)


def test_stamp_minus_ctrl_is_the_arc_to_float32_rounding():
    hosts = load_hosts()
    (block,) = inject(12)
    draws = draw_injections(hosts, 0, 12, seed=5, config=SMALL)
    draws |= {name: block.catalog[name] for name in ("center_x", "center_y")}
    arcs, _ = render_arcs(draws, (40, 40), hosts.pixel_scale, hosts.psf, bands=hosts.bands, supersampling=3)
    assert np.array_equal(block.stamp, block.ctrl + arcs.astype(np.float32))


def test_arc_snr_is_measured_against_the_sky_noise():
    hosts = load_hosts()
    (block,) = inject(9)
    hosts_of = [list(hosts.catalog["host_id"]).index(name) for name in block.catalog["host_id"]]
    residual = block.stamp.astype(float) - block.ctrl
    expected = np.sqrt(((residual / hosts.sky_sigma[hosts_of][:, :, None, None]) ** 2).sum((1, 2, 3)))
    assert block.catalog["arc_snr"] == pytest.approx(expected, rel=1e-3)
    assert np.all(expected > 1)


def test_arcs_sit_at_their_einstein_radius():
    block = make_pairs(60, np.random.default_rng(1), size=64)
    residual = (block.stamp.astype(float) - block.ctrl).sum(1)
    y, x = np.indices((64, 64))
    for row in range(60):
        r = np.hypot(x - block.catalog["center_x"][row], y - block.catalog["center_y"][row]) * block.pixel_scale
        mean = (residual[row] * r).sum() / residual[row].sum()
        assert 0.5 * block.catalog["theta_e_arcsec"][row] < mean < 1.6 * block.catalog["theta_e_arcsec"][row] + 0.8


def test_the_flux_of_the_arc_is_the_magnified_flux_of_the_source():
    block = make_pairs(20, np.random.default_rng(2), size=88, theta_e_arcsec=(0.5, 1.5))
    flux = (block.stamp.astype(float) - block.ctrl).sum((2, 3))
    for at, band in enumerate(block.bands):
        source = 10 ** (-0.4 * (block.catalog[f"source_mag_{band}"] - 22.5))
        assert flux[:, at] == pytest.approx(block.catalog["magnification"] * source, rel=5e-3)


def test_photon_noise_is_optional_and_of_the_right_size():
    noiseless = make_pairs(8, np.random.default_rng(3))
    noisy = make_pairs(8, np.random.default_rng(3), poisson=True, gain_electrons_per_nmgy=1000.0)
    arc = noiseless.stamp.astype(float) - noiseless.ctrl
    noise = noisy.stamp.astype(float) - noiseless.stamp
    bright = arc > 0.02
    assert (noise[bright] / np.sqrt(arc[bright] / 1000)).std() == pytest.approx(1, abs=0.1)
    assert noise[bright].mean() == pytest.approx(0, abs=1e-3)


def test_digest_and_census_are_of_the_pixels():
    (block,) = inject(4)
    assert block.census[:, :, :, 0] == pytest.approx(1600)
    assert np.array_equal(block.census[:, 0, :, 3], block.stamp.max((2, 3)))
    assert len(np.unique(block.digest)) == 8
    assert block.digest.dtype == np.uint64


def test_the_catalog_names_the_fault_nowhere():
    (clean,) = inject(2)
    (faulty,) = inject(2, fault="gain:1.3")
    assert list(clean.catalog) == list(faulty.catalog)
    for name, values in clean.catalog.items():
        assert np.array_equal(values, faulty.catalog[name])


def test_the_record_says_what_was_asked_for():
    record = describe_injection("sample", seed=5, config=SMALL, fault="gain:1.3")
    assert record["hosts"] == "sample"
    assert record["fault"] == {"name": "gain", "strength": 1.3}
    assert record["config"]["size"] == 40


@pytest.mark.parametrize("bad", [{"n": 0}, {"n": 1, "block": 0}, {"n": 1, "fault": "none"}])
def test_bad_requests_fail_before_any_work(bad):
    with pytest.raises(ConfigError):
        inject(**bad)


def test_every_fault_works_on_a_block():
    for fault in FAULTS:
        assert np.isfinite(make_pairs(2, np.random.default_rng(0), size=32, fault=fault).stamp).all()


def test_the_package_offers_only_what_it_has():
    with pytest.raises(AttributeError, match="inject_everything"):
        _ = gen5astro.inject.inject_everything
