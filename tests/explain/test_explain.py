"""The share of the core excess that a lens accounts for: whole in a clean injection, less by what a fault adds.

The pairs of the sample are fitted with their own PSF, those of lenstronomy are of another lens, source and PSF.
"""

import dataclasses
import json

import numpy as np
import pytest

from gen5astro.errors import ConfigError
from gen5astro.explain import explain_pairs
from gen5astro.measure import measure_pairs
from gen5astro.sample import load_hosts
from gen5astro.settings import load_config
from gen5astro.sky import group_objects
from tests.factories import make_pairs
from tests.lenstronomy_pairs import make_lenstronomy_pairs, psf_images
from tests.sources import MemorySource

CONFIG = load_config(settings=["audit.explain_pairs=12", "audit.bootstraps=200"])


def explain(block, *, config=CONFIG, psf=None, threads=2, bad=None):
    table, _ = measure_pairs(MemorySource(block), config.measure, threads=threads)
    group = group_objects(table["ra"], table["dec"], table["host_id"], min_separation_arcsec=10.0)
    table = dataclasses.replace(table, columns=table.columns | {"group": group})
    return explain_pairs(MemorySource(block, bad=bad), table, config, psf=psf, threads=threads), table


def sample_pairs(fault=None):
    return make_pairs(48, np.random.default_rng(3), size=64, fault=fault)


def shares(explanation, stratum="all"):
    return np.array([row["share"] for row in explanation["strata"] if row["stratum"] == stratum])


@pytest.fixture(scope="module")
def clean():
    return explain(sample_pairs(), psf=load_hosts().psf)


def test_a_clean_injection_is_accounted_for_in_every_band_and_stratum(clean):
    explanation, _ = clean
    assert explanation["psf"] == "image"
    assert explanation["counts"] == {"sample": 12, "fitted": 12, "not_fitted": 0, "hosts": 12}
    for row in explanation["strata"]:
        assert row["share"] == pytest.approx(1, abs=0.03)
        assert abs(row["unaccounted"]) < 0.005
    for pair in explanation["pairs"]:
        assert pair["parameters"]["theta_e_arcsec"] == pytest.approx(pair["theta_e_arcsec"], rel=0.03)


@pytest.mark.parametrize("fault", ["pedestal:1", "gain:1.15"])
def test_a_fault_lowers_the_share_by_what_it_adds_to_the_core(clean, fault):
    explanation, table = explain(sample_pairs(fault), psf=load_hosts().psf)
    arc = {pair["row"]: clean[1]["core_excess"][pair["row"]] for pair in clean[0]["pairs"]}
    assert [pair["row"] for pair in explanation["pairs"]] == list(arc)
    for pair in explanation["pairs"]:
        expected = arc[pair["row"]] / table["core_excess"][pair["row"]]
        assert [each["share"] for each in pair["bands"].values()] == pytest.approx(expected, rel=0.05)
    assert np.all(shares(explanation) < 0.9)
    if fault.startswith("gain"):
        left = np.array([row["unaccounted"] for row in explanation["strata"]])
        np.testing.assert_allclose(left, 0.15, atol=0.005)


def test_another_lens_source_and_psf_are_accounted_for_too():
    explanation, _ = explain(make_lenstronomy_pairs(12, np.random.default_rng(3)), psf=psf_images())
    assert explanation["counts"]["fitted"] >= 11
    assert np.all(np.abs(shares(explanation) - 1) < 0.2)


def test_a_psf_that_is_known_by_its_width_alone_gives_a_bracket():
    explanation, _ = explain(sample_pairs(), config=load_config(settings=["audit.explain_pairs=6"]))
    assert explanation["psf"] == "profiles"
    for row in explanation["strata"]:
        low, high = row["bracket"]
        assert low <= row["share"] <= high
    for pair in explanation["pairs"]:
        assert pair["psf"] in ("gaussian", "moffat")
        for band in pair["bands"].values():
            assert band["share"] in band["bracket"]
    assert np.all(np.abs(shares(explanation) - 1) < 0.2)


def test_the_explanation_is_plain_and_does_not_depend_on_threads():
    first, second = (
        explain(sample_pairs(), config=few(4), psf=load_hosts().psf, threads=threads)[0] for threads in (1, 3)
    )
    assert json.dumps(first, allow_nan=False) == json.dumps(second, allow_nan=False)


def test_what_cannot_be_fitted_is_counted_and_says_why():
    block = sample_pairs()
    first, second = (pair["row"] for pair in explain(block, config=few(2), psf=load_hosts().psf)[0]["pairs"])
    block.stamp[second] = block.ctrl[second]
    explanation, _ = explain(block, config=few(2), psf=load_hosts().psf, bad={first: "broken zip"})
    assert explanation["counts"] == {"sample": 2, "fitted": 0, "not_fitted": 2, "hosts": 2}
    reasons = {pair["row"]: pair["reason"] for pair in explanation["pairs"]}
    assert reasons[first] == "cannot be read again: broken zip"
    assert reasons[second] == "no arc above the noise outside the core"
    for row in explanation["strata"]:
        assert row["share"] is row["interval"] is row["unaccounted"] is row["misfit"] is None
    json.dumps(explanation, allow_nan=False)


def test_an_excess_below_its_noise_has_no_share():
    explanation, _ = explain(sample_pairs("sky_subtraction"), config=few(6), psf=load_hosts().psf)
    told = [band for pair in explanation["pairs"] if pair["fitted"] for band in pair["bands"].values()]
    assert any(band["share"] is None for band in told)
    assert all(band["unaccounted"] < 0 for band in told if band["share"] is None)


def few(count):
    return load_config(settings=[f"audit.explain_pairs={count}"])


def test_a_sample_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"'audit.explain_pairs': got 0; expected 1 or more"):
        explain(sample_pairs(), config=few(0))
