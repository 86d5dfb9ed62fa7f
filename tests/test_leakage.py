"""Laws of the leakage measurement."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gen5astro.config import AuditConfig
from gen5astro.leakage import (
    assign_folds,
    measure_auc,
    measure_leakage,
    sample_hosts,
    strata,
)
from gen5astro.table import MeasureTable

CONFIG = AuditConfig(bootstraps=200, permutations=10)


def table(n_hosts, per_host, *, stamp, physical=0.0, noise=1.0, seed=0):
    """Pairs with one feature: host level + noise, and what stamp and physical have on top."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_hosts), per_host)
    n = len(group)
    level = rng.normal(size=n_hosts)[group]
    common = rng.normal(0, noise, n)
    columns = {
        "row": np.arange(n),
        "group": group,
        "ctrl": level + common,
        "stamp": level + common + stamp,
        "physical": level + common + physical,
        "theta_e_arcsec": rng.uniform(0.5, 3, n),
        "arc_snr": rng.uniform(5, 80, n),
    }
    return MeasureTable(columns, ("g",), (64, 64), 0.263)


def features(measured, image):
    return measured[image][:, None]


def leak(measured, *, view="single", config=CONFIG, seed=1, masks=None):
    masks = {"all": np.ones(len(measured), bool)} if masks is None else masks
    rng = np.random.default_rng(seed)
    return measure_leakage(measured, features, view=view, masks=masks, config=config, rng=rng)


def test_a_stamp_equal_to_what_physics_gives_leaks_nothing():
    (found,) = leak(table(40, 10, stamp=1.0, physical=1.0))
    assert found.unexplained == 0
    assert found.intervals["unexplained"] == (0.0, 0.0)
    assert found.measured > 0.6


def test_what_is_added_beyond_physics_is_found():
    (found,) = leak(table(40, 10, stamp=2.0, physical=0.5))
    assert found.intervals["unexplained"][0] > 0.05
    assert found.unexplained == pytest.approx(found.measured - found.explained)


def test_the_interval_holds_its_point():
    (found,) = leak(table(25, 12, stamp=0.7))
    for name in ("measured", "explained", "unexplained"):
        low, high = found.intervals[name]
        assert low <= getattr(found, name) <= high


def test_the_auc_of_one_feature_is_that_of_its_ranks_where_folds_agree_on_its_sign():
    measured = table(40, 10, stamp=1.5, noise=0.3)
    (found,) = leak(measured)
    values = np.concatenate([measured["stamp"], measured["ctrl"]])
    assert found.measured == pytest.approx(roc_auc_score(np.repeat([1, 0], 400), values), abs=0.02)


def test_the_ordered_pair_tells_more_than_one_image():
    measured = table(40, 10, stamp=0.5)
    assert leak(measured, view="paired")[0].measured > leak(measured)[0].measured + 0.2


def test_the_auc_alone_is_that_of_the_whole_measurement():
    measured = table(40, 10, stamp=0.8)
    alone = measure_auc(measured, features, image="stamp", config=CONFIG, rng=np.random.default_rng(1))
    assert alone == leak(measured)[0].measured


def test_the_interval_for_all_strata_at_once_is_the_wider_one():
    measured = table(60, 6, stamp=1.2, physical=0.3)
    masks = strata(measured, AuditConfig())
    for found in leak(measured, masks=masks):
        (low, high), (least, most) = found.intervals["unexplained"], found.simultaneous
        assert least <= low < high <= most
        assert most - least > high - low


def test_a_host_s_brightness_tells_nothing_of_its_own_pairs():
    """One host alone in a stratum leaves nothing to compare with."""
    measured = table(20, 10, stamp=3.0)
    (_, one) = leak(measured, masks={"all": np.ones(200, bool), "one": measured["group"] == 3})
    assert np.isnan(one.measured)
    assert np.isnan(one.intervals["unexplained"]).all()


@pytest.mark.parametrize(("difference", "least", "most"), [(0.01, 114, 120), (1.0, 107, 119)])
def test_the_interval_holds_zero_as_often_as_it_says_where_nothing_leaks(difference, least, most):
    """Of 120 sets 95 % give 107 to 119; where stamps hardly differ, the interval is too wide and never too short."""
    held = 0
    config = dataclasses.replace(CONFIG, permutations=0)
    for seed in range(120):
        rng = np.random.default_rng(seed)
        measured = table(25, 6, stamp=0.0, seed=seed)
        arc = measured["ctrl"] + rng.exponential(size=150)
        measured.columns["stamp"] = arc + difference * rng.normal(size=150)
        measured.columns["physical"] = arc + difference * rng.normal(size=150)
        low, high = leak(measured, config=config, seed=seed)[0].intervals["unexplained"]
        held += low <= 0 <= high
    assert least <= held <= most


def test_hosts_take_turns_where_pairs_are_too_many():
    groups = np.repeat([0, 1, 2], [500, 30, 3])
    chosen = sample_hosts(groups, 60, np.random.default_rng(0))
    assert np.bincount(groups[chosen]).tolist() == [29, 28, 3] or np.bincount(groups[chosen]).tolist() == [28, 29, 3]
    assert sample_hosts(groups, 533, np.random.default_rng(0)).all()


def test_the_null_is_chance():
    (found,) = leak(table(60, 10, stamp=1.0), config=dataclasses.replace(CONFIG, permutations=40))
    low, high = found.null
    assert low < 0.52
    assert high > 0.48
    assert high - low < 0.2


def test_the_same_seed_gives_the_same_numbers():
    measured = table(30, 5, stamp=0.4)
    assert leak(measured) == leak(measured)
    assert leak(measured) != leak(measured, seed=2)


def test_hosts_are_never_divided_among_folds():
    rng = np.random.default_rng(3)
    groups = rng.integers(0, 37, 1000)
    fold = assign_folds(groups, 5, rng)
    assert all(len(set(fold[groups == group])) == 1 for group in range(37))
    sizes = np.bincount(fold)
    assert sizes.max() < 1.3 * sizes.min()


def test_fewer_hosts_than_folds_are_not_measured():
    (found,) = leak(table(4, 50, stamp=1.0))
    assert np.isnan(found.measured)
    assert found.hosts == pytest.approx(4)
    assert np.isnan(found.intervals["unexplained"]).all()


def test_strata_are_named_as_in_the_record_and_divide_the_pairs():
    masks = strata(table(20, 20, stamp=0.0), AuditConfig())
    assert list(masks) == [
        "all",
        "theta_e<1",
        "1<=theta_e<2",
        "theta_e>=2",
        "arc_snr<20",
        "20<=arc_snr<50",
        "arc_snr>=50",
    ]
    for column in ("theta_e", "arc_snr"):
        counts = sum(mask.astype(int) for name, mask in masks.items() if column in name)
        np.testing.assert_array_equal(counts, 1)


def test_pairs_without_theta_e_are_in_no_stratum_but_all():
    measured = table(10, 5, stamp=0.0)
    measured.columns["theta_e_arcsec"][:] = np.nan
    assert [name for name in strata(measured, AuditConfig()) if "theta_e" in name] == []
