"""The audit on pairs that this package did not make: it passes the clean ones and fails a pedestal."""

import numpy as np
import pytest

from gen5astro.audit import audit_pairs
from gen5astro.io.pairs import PairBlock
from gen5astro.settings import load_config
from tests.lenstronomy_pairs import BANDS, HOSTS, SKY_SIGMA, make_lenstronomy_pairs, plant_fault
from tests.sources import MemorySource

CONFIG = load_config(settings=["audit.bootstraps=200", "audit.permutations=4"])


@pytest.fixture(scope="module")
def clean():
    return make_lenstronomy_pairs(300, np.random.default_rng(5))


def audit(block):
    return audit_pairs(MemorySource(block, label="lenstronomy"), config=CONFIG, threads=2).record


def unexplained(record):
    return {
        finding["stratum"]: finding["value"]
        for finding in record["gates"]["core_leakage"]["findings"]
        if (finding["name"], finding["view"]) == ("unexplained_auc", "single") and finding["status"] != "INSUFFICIENT"
    }


def test_pairs_are_of_another_survey(clean):
    assert isinstance(clean, PairBlock)
    assert clean.stamp.shape == (300, 4, 101, 101)
    assert clean.bands == BANDS
    assert len(np.unique(clean.catalog["host_id"])) == HOSTS
    assert np.all(clean.catalog["arc_snr"] > 5)


def test_arcs_are_where_their_einstein_radius_says(clean):
    """An isothermal lens puts the light of a source at y theta_E at a mean radius of theta_E (1 + y^2), y up to 0.5.

    The seeing widens that; slope, shear and the source's size are given a tenth.
    """
    residual = (clean.stamp.astype(float) - clean.ctrl).sum(1)
    y, x = np.indices(residual.shape[1:]) - 50.0
    mean = (residual * np.hypot(x, y)).sum((1, 2)) / residual.sum((1, 2)) * clean.pixel_scale
    widened = np.hypot(clean.catalog["theta_e_arcsec"], 0.7 * clean.catalog["psfsize_r"])
    assert np.all(mean > 0.9 * widened)
    assert np.all(mean < 1.1 * 1.25 * widened)


def test_faults_are_planted_into_the_same_pairs():
    first = make_lenstronomy_pairs(2, np.random.default_rng(1))
    second = make_lenstronomy_pairs(2, np.random.default_rng(1), fault="pedestal", strength=0.5)
    added = second.stamp.astype(float) - first.stamp
    assert np.array_equal(second.ctrl, first.ctrl)
    assert added == pytest.approx(np.broadcast_to(0.5 * SKY_SIGMA[:, None, None], added.shape), abs=1e-6)


def test_the_audit_passes_a_clean_injection(clean):
    record = audit(clean)
    assert record["gates"]["core_leakage"]["status"] == "PASS"
    assert len(unexplained(record)) >= 4
    for stratum, value in unexplained(record).items():
        assert abs(value) <= 0.03, stratum


def test_the_audit_fails_a_pedestal(clean):
    record = audit(plant_fault(clean, np.random.default_rng(6), fault="pedestal", strength=1.0))
    assert record["gates"]["core_leakage"]["status"] == "FAIL"
    assert record["gates"]["sky_leakage"]["status"] == "FAIL"
    assert record["status"] == "FAIL"
