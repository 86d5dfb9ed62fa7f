"""Every planted fault is named, with its size; a clean set is physical; what fits no cause is unknown."""

import dataclasses

import numpy as np
import pytest

from gen5astro.columns import COLUMNS
from gen5astro.config import Config
from gen5astro.diagnosis import diagnose, load_causes
from gen5astro.inject.faults import FAULTS, apply_fault
from gen5astro.measure import measure_pairs
from gen5astro.sample.hosts import measure_sky_sigma
from tests.factories import make_pairs
from tests.sources import MemorySource

N_PAIRS = 240


@pytest.fixture(scope="module")
def clean():
    return make_pairs(N_PAIRS, np.random.default_rng(4), size=64)


def planted(block, *faults):
    """The block with faults planted one after the other."""
    rng = np.random.default_rng(5)
    for fault in faults:
        name, _, strength = fault.partition(":")
        stamp = apply_fault(
            block.stamp,
            block.ctrl,
            name=name,
            strength=float(strength) if strength else None,
            sky_sigma=measure_sky_sigma(block.ctrl),
            rng=rng,
        )
        block = dataclasses.replace(block, stamp=stamp)
    return block


def diagnosis(block, *, leaks=False):
    table, _ = measure_pairs(MemorySource(block), Config().measure, threads=2)
    group = np.unique(table["host_id"], return_inverse=True)[1]
    return diagnose(dataclasses.replace(table, columns=table.columns | {"group": group}), Config().audit, leaks=leaks)


def test_a_clean_set_is_physical(clean):
    found = diagnosis(clean)
    assert found["top"] == "physical"
    assert [cause["name"] for cause in found["causes"] if cause["confidence"] >= 0.5] == ["physical"]


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "kernel_shift"])
def test_a_planted_fault_is_the_top_cause(clean, fault):
    found = diagnosis(planted(clean, fault))
    assert found["top"] == fault
    assert found["causes"][0]["confidence"] > 0.9
    assert found["causes"][0]["look_first"]


def test_an_off_center_kernel_is_the_top_cause(clean):
    assert diagnosis(planted(clean, "kernel_shift:1"))["top"] == "kernel_shift"


@pytest.mark.parametrize(
    ("fault", "expected", "tolerance"),
    [
        ("pedestal:0.2", lambda sky: 0.2 * sky, 0.1),
        ("gradient:0.5", lambda sky: 0.5 * sky, 0.1),
        ("gain:1.02", lambda _: 2.0, 0.05),
        ("misregistration:0.1", lambda _: 0.1, 0.25),
        ("noise_added:0.5", lambda _: 0.5, 0.15),
        ("sky_subtraction:1", lambda _: 1.0, 0.15),
    ],
)
def test_its_size_is_given_in_natural_units(clean, fault, expected, tolerance):
    found = diagnosis(planted(clean, fault))
    sky = np.median(measure_sky_sigma(clean.ctrl), axis=0)
    for at, magnitude in enumerate(found["causes"][0]["magnitude"].values()):
        assert magnitude["value"] == pytest.approx(expected(sky[at]), rel=tolerance)
        assert magnitude["error"] < 0.3 * magnitude["value"]


@pytest.mark.parametrize(
    "faults", [("gain:1.1", "pedestal:0.5"), ("misregistration:0.3", "gradient:1"), ("noise_added:0.5", "gain:1.1")]
)
def test_two_faults_are_both_named(clean, faults):
    found = diagnosis(planted(clean, *faults))
    assert {cause["name"] for cause in found["causes"][:2]} == {fault.partition(":")[0] for fault in faults}


def test_a_leak_without_a_mark_is_unknown_and_not_physical(clean):
    assert diagnosis(clean, leaks=True)["top"] == "unknown"


def test_pairs_that_cannot_be_decomposed_are_unknown(clean):
    stamp = np.full_like(clean.stamp, np.nan)
    assert diagnosis(dataclasses.replace(clean, stamp=stamp))["top"] == "unknown"


def test_the_same_seed_gives_the_same_diagnosis(clean):
    assert diagnosis(planted(clean, "gain")) == diagnosis(planted(clean, "gain"))


def test_every_fault_has_its_cause_and_every_cause_its_file():
    assert set(load_causes()) == set(FAULTS)
    for cause in load_causes().values():
        assert cause.look_first
    assert {"noise_gain", "noise_gain_other", "arc_offset_x"} <= set(COLUMNS)
