import json

import numpy as np

from gen5astro.balance import SIGNIFICANCE, compare_splits
from gen5astro.config import BuildConfig
from gen5astro.splits import SPLITS, assign_splits, find_homes


def draw(seed):
    """Hosts in patches of sky, three pairs each, split; with the seeing of their patch."""
    rng = np.random.default_rng(seed)
    patch = rng.integers(0, 120, 200)
    ra, dec = 10 + patch * 0.3 + rng.uniform(0, 0.08, 200), 0.05 + rng.uniform(-0.04, 0.04, 200)
    seeing = rng.normal(1.3, 0.1, 120)[patch] + rng.normal(0, 0.01, 200)
    host = np.repeat(np.arange(200), 3)
    config = BuildConfig(split_seed=seed)
    columns = ra[host], dec[host], np.char.add("h", host.astype(str)), config
    split = assign_splits(*columns)
    return rng, host, find_homes(*columns, groups=host)[0], split, seeing[host]


def differs(balance):
    return {(name, split) for name, each in balance.items() for split, row in each["splits"].items() if row["differs"]}


def test_splits_dealt_by_chance_differ_no_more_often_than_it_says_and_hosts_would():
    alarms = by_host = 0
    for seed in range(40):
        rng, host, home, split, seeing = draw(seed)
        quantities = {"seeing": ("arcsec", seeing), "theta_e": ("arcsec", rng.uniform(0.5, 2.5, len(split)))}
        alarms += bool(differs(compare_splits(split, home, quantities)))
        by_host += bool(differs(compare_splits(split, host, quantities)))
    assert alarms <= 6  # 97 % of draws at SIGNIFICANCE
    assert SIGNIFICANCE == 0.05
    assert by_host > 10


def test_a_test_set_of_better_seeing_is_found():
    _, _, home, split, seeing = draw(1)
    balance = compare_splits(split, home, {"seeing": ("arcsec", np.where(split == "test", seeing - 0.3, seeing))})
    assert ("seeing", "test") in differs(balance)
    rows = balance["seeing"]["splits"]
    assert rows["test"]["high"] < rows["train"]["median"]
    assert rows["test"]["ks"] > 0.5


def test_percentiles_are_over_pairs_and_missing_values_are_left_out():
    split = np.array(["train"] * 101 + ["test"])
    values = np.append(np.arange(101.0), np.nan)
    balance = compare_splits(split, np.arange(102), {"x": ("", values)})
    row = balance["x"]["splits"]["train"]
    assert (row["low"], row["median"], row["high"], row["pairs"]) == (16.0, 50.0, 84.0, 101)
    assert list(balance["x"]["splits"]) == ["train"]


def test_too_few_homes_are_not_judged():
    split = np.resize(SPLITS, 90)
    balance = compare_splits(split, np.arange(90) % 9, {"x": ("", np.arange(90.0))})
    for row in balance["x"]["splits"].values():
        assert row["homes"] == 3
        assert row["ks"] is row["p"] is row["p_all"] is row["differs"] is None


def test_a_constant_is_not_compared_and_takes_no_part_in_the_correction():
    _, _, home, split, seeing = draw(1)
    varied = {"seeing": ("arcsec", np.where(split == "test", seeing - 0.02, seeing))}
    alone, beside = (
        compare_splits(split, home, {**varied, **more}) for more in ({}, {"same": ("", np.ones(len(split)))})
    )
    assert beside["seeing"] == alone["seeing"]
    assert (beside["seeing"]["constant"], beside["same"]["constant"]) == (False, True)
    assert all(row["ks"] is row["differs"] is None for row in beside["same"]["splits"].values())


def test_a_comparison_is_plain_json():
    _, _, home, split, seeing = draw(2)
    balance = compare_splits(split, home, {"seeing": ("arcsec", seeing)})
    assert json.loads(json.dumps(balance, allow_nan=False)) == balance
