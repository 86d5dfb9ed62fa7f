import math

import numpy as np
import pytest

from gen5astro.config import BuildConfig
from gen5astro.errors import ColumnError, ConfigError, FormatError, ShapeError
from gen5astro.sky import group_objects
from gen5astro.splits import SPLITS, assign_splits, audit_splits, split_digest

CONFIG = BuildConfig()


def field(rng, n, *, width_deg=20.0):
    """Objects, some of them close, in a field; every third has a host name."""
    ra, dec = rng.uniform(100.0, 100.0 + width_deg, n), rng.uniform(-5.0, -5.0 + width_deg, n)
    near = rng.choice(n, n // 5, replace=False)
    partner = rng.choice(n, n // 5)
    ra[near], dec[near] = ra[partner] + 0.002, dec[partner]
    host_id = np.where(np.arange(n) % 3 == 0, np.char.add("host", (np.arange(n) % 50).astype(str)), "")
    return ra, dec, host_id


def test_a_group_is_never_divided():
    ra, dec, host_id = field(np.random.default_rng(0), 3000)
    split = assign_splits(ra, dec, host_id, CONFIG)
    groups = group_objects(ra, dec, host_id, min_separation_arcsec=CONFIG.min_separation_arcsec)
    for group in range(groups.max() + 1):
        assert len(set(split[groups == group])) == 1


def test_new_rows_move_no_old_host_unless_they_touch_its_group():
    rng = np.random.default_rng(1)
    ra, dec, host_id = field(rng, 2000)
    old = assign_splits(ra, dec, host_id, CONFIG)
    more_ra, more_dec = rng.uniform(0, 360, 4000), rng.uniform(-80, 80, 4000)
    names = np.concatenate([host_id, np.full(4000, "")])
    ra, dec = np.concatenate([ra, more_ra]), np.concatenate([dec, more_dec])
    groups = group_objects(ra, dec, names, min_separation_arcsec=CONFIG.min_separation_arcsec)
    new = assign_splits(ra, dec, names, CONFIG)[:2000]
    touched = np.isin(groups[:2000], groups[2000:])
    assert touched.mean() < 0.05
    np.testing.assert_array_equal(new[~touched], old[~touched])


def test_more_injections_into_old_hosts_move_nothing():
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 60), rng.uniform(-60, 60, 60)
    hosts = np.array([f"h{number}" for number in range(60)])
    old = assign_splits(ra, dec, hosts, CONFIG)
    again = rng.integers(0, 60, 5000)
    new = assign_splits(
        np.concatenate([ra, ra[again]]),
        np.concatenate([dec, dec[again]]),
        np.concatenate([hosts, hosts[again]]),
        CONFIG,
    )
    np.testing.assert_array_equal(new[:60], old)


def test_a_new_row_that_joins_two_groups_puts_both_in_one_split():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 200), rng.uniform(-60, 60, 200)
    old = assign_splits(ra, dec, np.full(200, ""), CONFIG)
    one, other = 0, int(np.flatnonzero(old != old[0])[0])
    bridged = np.full(202, "")
    bridged[200:] = "bridge"
    new = assign_splits(np.append(ra, ra[[one, other]]), np.append(dec, dec[[one, other]]), bridged, CONFIG)
    assert new[one] == new[other]
    rest = np.setdiff1d(np.arange(200), [one, other])
    np.testing.assert_array_equal(new[rest], old[rest])


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(4)
    ra, dec, host_id = field(rng, 1500)
    order = rng.permutation(1500)
    split = assign_splits(ra, dec, host_id, CONFIG)
    np.testing.assert_array_equal(assign_splits(ra[order], dec[order], host_id[order], CONFIG), split[order])


def test_hosts_without_positions_are_split_by_name():
    hosts = np.repeat([f"h{number}" for number in range(300)], 3)
    lost = np.full(900, np.nan)
    split = assign_splits(lost, lost, hosts, CONFIG)
    assert (split.reshape(300, 3) == split[::3, None]).all()
    order = np.random.default_rng(5).permutation(900)
    np.testing.assert_array_equal(assign_splits(lost, lost, hosts[order], CONFIG), split[order])


def test_ratios_are_met_on_average():
    rng = np.random.default_rng(6)
    split = assign_splits(rng.uniform(0, 360, 40_000), rng.uniform(-80, 80, 40_000), np.full(40_000, ""), CONFIG)
    shares = [np.mean(split == name) for name in SPLITS]
    np.testing.assert_allclose(shares, CONFIG.fractions, atol=0.01)


def test_a_patch_of_sky_is_in_one_split():
    rng = np.random.default_rng(7)
    centers = rng.uniform(0, 360, 400)
    ra = np.concatenate([centers, centers + 0.02 / 60])
    dec = np.concatenate([np.full(400, 5.05), np.full(400, 5.06)])
    split = assign_splits(ra, dec, np.full(800, ""), CONFIG)
    assert np.mean(split[:400] == split[400:]) > 0.98


def test_another_seed_gives_another_split():
    rng = np.random.default_rng(8)
    ra, dec, names = rng.uniform(0, 360, 500), rng.uniform(-60, 60, 500), np.full(500, "")
    first, second = (assign_splits(ra, dec, names, BuildConfig(split_seed=seed)) for seed in (0, 1))
    assert 0.3 < np.mean(first != second) < 0.7


def test_an_empty_split_is_refused_and_the_named_seed_fills_it():
    hosts = np.array([f"h{number}" for number in range(6)])
    lost = np.full(6, np.nan)
    seed = next(each for each in range(50) if _fails(lost, hosts, each))
    with pytest.raises(ConfigError, match=r"got no pairs.*build.split_seed=\d+") as caught:
        assign_splits(lost, lost, hosts, BuildConfig(split_seed=seed))
    named = int(caught.value.remedy.split("split_seed=")[1].split(",")[0])
    assert set(assign_splits(lost, lost, hosts, BuildConfig(split_seed=named))) == set(SPLITS)


def _fails(lost, hosts, seed):
    try:
        assign_splits(lost, lost, hosts, BuildConfig(split_seed=seed))
    except ConfigError:
        return True
    return False


def test_fewer_hosts_than_splits_are_refused_with_a_remedy():
    with pytest.raises(ConfigError, match=r"2 independent patches of sky, and 3 splits need as many: add hosts"):
        assign_splits([1.0, 50.0], [2.0, 3.0], ["a", "b"], CONFIG)


def test_a_split_of_share_zero_stays_empty():
    rng = np.random.default_rng(9)
    config = BuildConfig(fractions=(0.5, 0.5, 0.0))
    split = assign_splits(rng.uniform(0, 360, 400), rng.uniform(-60, 60, 400), np.full(400, ""), config)
    assert set(split) == {"train", "val"}


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (0.0, 0.0, 0.0)])
def test_fractions_that_are_no_shares_are_refused(fractions):
    with pytest.raises(ConfigError, match="add up to 1"):
        assign_splits([1.0], [2.0], ["a"], BuildConfig(fractions=fractions))


def test_a_given_split_is_taken_as_it_is_under_its_usual_names():
    given = np.array(["Train", "validation", "valid", "test ", "training"])
    split = assign_splits(*np.zeros((2, 5)), np.full(5, ""), BuildConfig(split="given"), region_split=given)
    assert split.tolist() == ["train", "val", "val", "test", "train"]


def test_a_given_split_that_is_absent_or_unknown_is_named():
    config = BuildConfig(split="given")
    with pytest.raises(ColumnError, match="region_split: got no such column"):
        assign_splits([1.0], [1.0], ["a"], config)
    with pytest.raises(FormatError, match="region_split: got '', 'south'"):
        assign_splits(*np.zeros((2, 3)), np.full(3, ""), config, region_split=["train", "south", ""])


def test_an_audit_of_a_sound_split_finds_nothing():
    ra, dec, host_id = field(np.random.default_rng(10), 1000)
    groups = group_objects(ra, dec, host_id, min_separation_arcsec=10.0)
    split = assign_splits(ra, dec, host_id, CONFIG)
    digest = np.arange(2000, dtype=np.uint64).reshape(1000, 2)
    numbers = audit_splits(split, groups, ra, dec, digest, min_separation_arcsec=10.0)
    assert numbers["leaked_groups"] == numbers["leaked_pairs"] == numbers["close_positions"] == numbers["twins"] == 0
    assert numbers["nearest_separation_arcsec"] > 10.0
    assert sum(each["pairs"] for each in numbers["splits"].values()) == 1000
    assert sum(each["groups"] for each in numbers["splits"].values()) == numbers["groups"] == groups.max() + 1


def test_an_audit_finds_leaked_groups_close_positions_and_twins():
    split = np.array(["train", "test", "train", "val", "train"])
    ra = np.array([10.0, 10.0, 20.0, 20.0 + 5.0 / 3600, 30.0])
    groups = np.array([0, 0, 1, 1, 2])
    digest = np.array([[1, 2], [3, 2], [5, 6], [7, 8], [9, 7]], np.uint64)
    numbers = audit_splits(split, groups, ra, np.zeros(5), digest, min_separation_arcsec=10.0)
    assert numbers["leaked_groups"] == 2
    assert numbers["leaked_pairs"] == 4
    assert numbers["nearest_separation_arcsec"] == 0.0
    assert numbers["close_positions"] == 2
    assert numbers["twins"] == 2


def test_the_nearest_cross_split_separation_is_exact():
    numbers = audit_splits(
        ["train", "test"], [0, 1], [359.999, 0.001], [0.0, 0.0], np.eye(2, dtype=np.uint64), min_separation_arcsec=1.0
    )
    assert numbers["nearest_separation_arcsec"] == pytest.approx(7.2, rel=1e-9)


def test_what_cannot_be_measured_is_nan():
    lost = np.full(2, np.nan)
    numbers = audit_splits(["train", "test"], [0, 1], lost, lost, np.eye(2, dtype=np.uint64), min_separation_arcsec=1.0)
    assert math.isnan(numbers["nearest_separation_arcsec"])


def test_columns_of_different_length_are_refused():
    with pytest.raises(ShapeError, match="one length"):
        audit_splits(["train"], [0, 1], [0.0], [0.0], np.zeros((1, 2)), min_separation_arcsec=1.0)


def test_the_digest_of_a_split_changes_with_any_assignment_and_any_pixel():
    split, digest = np.array(["train", "val", "test"]), np.arange(6, dtype=np.uint64).reshape(3, 2)
    same = split_digest(split.astype("<U9"), digest.copy())
    assert split_digest(split, digest) == same
    assert split_digest(split[::-1], digest) != same
    assert split_digest(split, digest + np.uint64(1)) != same
