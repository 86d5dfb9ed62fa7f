"""Which pairs are fitted."""

import numpy as np
import pytest

from gen5astro.config import AuditConfig
from gen5astro.explain.sample import choose_pairs
from gen5astro.leakage import strata
from gen5astro.measure import MeasureTable


def make_table(theta_e, group):
    n = len(theta_e)
    columns = {
        "row": np.arange(n),
        "theta_e_arcsec": np.asarray(theta_e, dtype=np.float64),
        "arc_snr": np.full(n, np.nan),
        "group": np.asarray(group),
        "center_x": np.full(n, 31.5),
        "center_y": np.full(n, 31.5),
        "core_excess": np.ones((n, 2), dtype=np.float32),
    }
    return MeasureTable(columns, ("g", "r"), (64, 64), 0.262)


def choose(table, count, seed=1):
    return choose_pairs(table, strata(table, AuditConfig()), count, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(4)
    return make_table(rng.choice([0.7, 0.7, 0.7, 1.5, 1.5, 2.4], 600), np.arange(600) % 40)


def test_strata_are_alike_and_no_host_comes_twice(table):
    chosen = choose(table, 30)
    counts = np.unique(np.digitize(table["theta_e_arcsec"][chosen], (1, 2)), return_counts=True)[1]
    assert counts.tolist() == [10, 10, 10]
    assert len(np.unique(table["group"][chosen])) == 30


def test_the_seed_alone_decides(table):
    np.testing.assert_array_equal(choose(table, 30), choose(table, 30))
    assert set(choose(table, 30)) != set(choose(table, 30, seed=2))


def test_hosts_come_again_only_when_all_have_come(table):
    groups = table["group"][choose(table, 60)]
    assert np.bincount(groups, minlength=40).max() == 2
    assert np.all(np.bincount(groups, minlength=40) >= 1)


def test_a_stratum_on_few_hosts_is_served_first():
    theta_e = np.r_[np.full(50, 2.5), np.full(300, 0.8), np.full(300, 1.5)]
    group = np.r_[np.arange(50) % 5, np.arange(600) % 15]
    chosen = choose(make_table(theta_e, group), 15)
    assert np.count_nonzero(theta_e[chosen] > 2) == 5
    assert len(np.unique(group[chosen])) == 15


def test_a_small_input_is_taken_whole_but_for_what_was_not_measured():
    table = make_table([0.8, 1.5, np.nan, -1.0, 2.5], np.arange(5))
    assert choose(table, 30).tolist() == [0, 1, 2, 3, 4]
    table["core_excess"][1, 0] = np.nan
    table["center_x"][4] = np.nan
    assert choose(table, 30).tolist() == [0, 2, 3]
