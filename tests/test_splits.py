import math

import numpy as np
import pytest

from gen5astro.config import BuildConfig
from gen5astro.errors import ColumnError, ConfigError, FormatError, ShapeError
from gen5astro.sky import group_objects, sky_cell
from gen5astro.splits import SPLITS, assign_splits, audit_splits, split_digest

CONFIG = BuildConfig()
SEPARATIONS = {"min_separation_arcsec": CONFIG.min_separation_arcsec, "guard_arcsec": CONFIG.guard_arcsec}


def distinct(n):
    """Digests of images that are all different."""
    return np.arange(2 * n, dtype=np.uint64).reshape(n, 2)


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


def more_rows(rng, ra, dec, host_id, n):
    """The same objects and new ones anywhere, the split that the old ones have, and who is new."""
    ra, dec = np.append(ra, rng.uniform(0, 360, n)), np.append(dec, rng.uniform(-80, 80, n))
    return ra, dec, np.append(host_id, np.full(n, ""))


def test_new_rows_move_no_known_one():
    rng = np.random.default_rng(1)
    ra, dec, host_id = field(rng, 2000)
    old = assign_splits(ra, dec, host_id, CONFIG)
    ra, dec, host_id = more_rows(rng, ra, dec, host_id, 4000)
    ra[3000:3500], dec[3000:3500] = ra[:500] + 0.001, dec[:500]
    new = assign_splits(ra, dec, host_id, CONFIG, known=np.append(old, np.full(4000, "")))
    np.testing.assert_array_equal(new[:2000], old)
    np.testing.assert_array_equal(new[3000:3500], old[:500])
    shares = [np.mean(new == name) for name in SPLITS]
    np.testing.assert_allclose(shares, CONFIG.fractions, atol=0.01)
    groups = group_objects(ra, dec, host_id, min_separation_arcsec=CONFIG.min_separation_arcsec)
    numbers = audit_splits(new, groups, ra, dec, distinct(6000), **SEPARATIONS)
    assert numbers["leaked_groups"] == numbers["guarded_positions"] == 0


def test_few_old_homes_move_where_new_rows_come_and_nothing_is_known():
    rng = np.random.default_rng(1)
    ra, dec, host_id = field(rng, 2000)
    old = assign_splits(ra, dec, host_id, CONFIG)
    new = assign_splits(*more_rows(rng, ra, dec, host_id, 400), CONFIG)[:2000]
    assert np.mean(new != old) < 0.05


def test_more_injections_into_known_hosts_go_where_the_host_is():
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 60), rng.uniform(-60, 60, 60)
    hosts = np.array([f"h{number}" for number in range(60)])
    old = assign_splits(ra, dec, hosts, CONFIG)
    again = np.append(np.arange(60), rng.integers(0, 60, 5000))
    known = np.append(old, np.full(5000, ""))
    new = assign_splits(ra[again], dec[again], hosts[again], CONFIG, known=known)
    np.testing.assert_array_equal(new, old[again])


def test_a_new_row_between_known_ones_of_different_splits_is_in_none():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 200), rng.uniform(-60, 60, 200)
    old = assign_splits(ra, dec, np.full(200, ""), CONFIG)
    one, other = 0, int(np.flatnonzero(old != old[0])[0])
    bridged = np.full(203, "")
    bridged[200:202] = "bridge"
    ra, dec = np.append(ra, [ra[one], ra[other], ra[one]]), np.append(dec, [dec[one], dec[other], dec[one]])
    new = assign_splits(ra, dec, bridged, CONFIG, known=np.append(old, ["", "", ""]))
    np.testing.assert_array_equal(new[:200], old)
    assert new[200:].tolist() == ["", "", ""]
    unknown = assign_splits(ra, dec, bridged, CONFIG)
    assert unknown[one] == unknown[other]


def test_only_new_rows_near_known_ones_of_different_splits_are_in_none():
    # A row of objects 50 arcsec apart: old ones at the ends, new ones between them.
    ra, dec = 10.0 + np.arange(8) * 50.0 / 3600, np.zeros(8)
    known = np.array(["train", "", "", "", "", "", "test", "train"])
    halves = BuildConfig(fractions=(0.5, 0.0, 0.5))
    split = assign_splits(ra, dec, np.full(8, ""), halves, known=known)
    assert split.tolist() == ["train", "", "", "", "", "", "test", "train"]
    gap = np.array([0.0, 0.0, 0.0, 100.0, 100.0, 100.0, 100.0, 100.0]) / 3600
    split = assign_splits(ra + gap, dec, np.full(8, ""), halves, known=known)
    assert split.tolist() == ["train", "train", "train", "test", "test", "test", "test", "train"]
    # One row within reach of both is left out; its neighbor, which touches but one of them, is not.
    ra, dec = 10.0 + np.array([0.0, 40.0, 90.0, 80.0]) / 3600, np.array([0.0, 0.0, 0.0, 55.0]) / 3600
    split = assign_splits(ra, dec, np.full(4, ""), halves, known=np.array(["train", "", "test", ""]))
    assert split.tolist() == ["train", "", "test", "test"]


def test_known_splits_of_another_number_of_rows_are_refused():
    with pytest.raises(ShapeError, match="got 2 rows; expected 1"):
        assign_splits([1.0], [2.0], ["a"], CONFIG, known=["train", "val"])


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


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [200, 3000])
def test_shares_are_met_within_a_percent_where_no_group_is_too_large(n, seed):
    rng = np.random.default_rng(seed)
    ra, dec, host_id = field(rng, n)
    split = assign_splits(ra, dec, host_id, BuildConfig(split_seed=seed))
    shares = [np.mean(split == name) for name in SPLITS]
    np.testing.assert_allclose(shares, CONFIG.fractions, atol=0.01)


def test_hosts_of_very_different_size_still_meet_the_shares():
    rng = np.random.default_rng(6)
    hosts = np.repeat([f"h{number}" for number in range(400)], rng.zipf(1.6, 400).clip(max=300))
    lost = np.full(len(hosts), np.nan)
    split = assign_splits(lost, lost, hosts, CONFIG)
    shares = [np.mean(split == name) for name in SPLITS]
    np.testing.assert_allclose(shares, CONFIG.fractions, atol=0.01)


def test_no_two_objects_within_the_guard_band_are_in_different_splits():
    rng = np.random.default_rng(7)
    # So dense that most cells have objects within the guard band of a neighbor's.
    ra, dec = rng.uniform(100, 102, 2500), rng.uniform(0, 2, 2500)
    names = np.full(2500, "")
    split = assign_splits(ra, dec, names, CONFIG)
    groups = group_objects(ra, dec, names, min_separation_arcsec=10.0)
    numbers = audit_splits(split, groups, ra, dec, distinct(2500), **SEPARATIONS)
    assert numbers["nearest_separation_arcsec"] > CONFIG.guard_arcsec
    assert numbers["guarded_positions"] == 0
    np.testing.assert_allclose([np.mean(split == name) for name in SPLITS], CONFIG.fractions, atol=0.01)
    without = assign_splits(ra, dec, names, BuildConfig(guard_arcsec=1.0))
    assert audit_splits(without, groups, ra, dec, distinct(2500), **SEPARATIONS)["guarded_positions"] > 10


def test_a_cell_of_the_sky_is_in_one_split():
    rng = np.random.default_rng(8)
    centers = rng.uniform(0, 360, 400)
    ra, dec = np.concatenate([centers, centers + 3.0 / 60]), np.concatenate([np.full(400, 5.01), np.full(400, 5.09)])
    config = BuildConfig(guard_arcsec=1.0)
    split = assign_splits(ra, dec, np.full(800, ""), config)
    cell = sky_cell(ra, dec, size_deg=config.cell_deg)
    assert np.mean(cell[:400] == cell[400:]) > 0.3
    for each in np.unique(cell):
        assert len(set(split[cell == each])) == 1


def test_a_brick_is_in_one_split():
    rng = np.random.default_rng(9)
    ra, dec = rng.uniform(0, 360, 3000), rng.uniform(-60, 60, 3000)
    bricks = np.char.add("b", rng.integers(0, 500, 3000).astype(str))
    config = BuildConfig(split="brick")
    split = assign_splits(ra, dec, np.full(3000, ""), config, brickname=bricks)
    patches = group_objects(ra, dec, np.full(3000, ""), min_separation_arcsec=config.guard_arcsec)
    alone = np.bincount(patches)[patches] == 1
    for each in np.unique(bricks):
        assert len(set(split[alone & (bricks == each)])) == 1
    np.testing.assert_allclose([np.mean(split == name) for name in SPLITS], CONFIG.fractions, atol=0.01)


def test_bricks_that_are_absent_or_empty_are_named():
    config = BuildConfig(split="brick")
    with pytest.raises(ColumnError, match=r"column brickname: got no such column.*build.split=sky"):
        assign_splits([1.0], [1.0], ["a"], config)
    with pytest.raises(FormatError, match="no brick in 2 rows, the first 1"):
        assign_splits(*np.zeros((2, 3)), np.full(3, ""), config, brickname=["b", "", ""])


def test_objects_with_neither_position_nor_host_are_split_by_their_pixels():
    rng = np.random.default_rng(10)
    lost, nameless, digest = np.full(500, np.nan), np.full(500, ""), distinct(500)
    split = assign_splits(lost, lost, nameless, CONFIG, digest=digest)
    order = rng.permutation(500)
    np.testing.assert_array_equal(assign_splits(lost, lost, nameless, CONFIG, digest=digest[order]), split[order])
    assert set(assign_splits(lost, lost, nameless, CONFIG)) == set(SPLITS)


def test_another_seed_gives_another_split():
    rng = np.random.default_rng(8)
    ra, dec, names = rng.uniform(0, 360, 500), rng.uniform(-60, 60, 500), np.full(500, "")
    first, second = (assign_splits(ra, dec, names, BuildConfig(split_seed=seed)) for seed in (0, 1))
    assert 0.3 < np.mean(first != second) < 0.7


@pytest.mark.parametrize("seed", range(10))
def test_no_split_is_empty_as_long_as_there_are_hosts_enough(seed):
    hosts, lost = np.array(["a", "b", "c", "c", "c", "c", "c"]), np.full(7, np.nan)
    assert set(assign_splits(lost, lost, hosts, BuildConfig(split_seed=seed))) == set(SPLITS)


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
    with pytest.raises(FormatError, match=r"region_split: got '', 'south' in 2 rows?, the first \d+; .*--split sky"):
        assign_splits(*np.zeros((2, 3)), np.full(3, ""), config, region_split=["train", "south", ""])


def test_an_audit_of_a_sound_split_finds_nothing():
    ra, dec, host_id = field(np.random.default_rng(10), 1000)
    groups = group_objects(ra, dec, host_id, min_separation_arcsec=10.0)
    split = assign_splits(ra, dec, host_id, CONFIG)
    numbers = audit_splits(split, groups, ra, dec, distinct(1000), min_separation_arcsec=10.0)
    assert numbers["leaked_groups"] == numbers["leaked_pairs"] == numbers["close_positions"] == numbers["twins"] == 0
    assert numbers["nearest_separation_arcsec"] > 10.0
    assert sum(each["pairs"] for each in numbers["splits"].values()) == 1000
    assert sum(each["groups"] for each in numbers["splits"].values()) == numbers["groups"] == groups.max() + 1


def test_an_audit_finds_leaked_groups_close_positions_and_twins():
    split = np.array(["train", "test", "train", "val", "train"])
    ra = np.array([10.0, 10.0, 20.0, 20.0 + 5.0 / 3600, 30.0])
    groups = np.array([0, 0, 1, 1, 2])
    digest = np.array([[1, 2], [3, 2], [5, 6], [7, 8], [9, 7]], np.uint64)
    separations = {"min_separation_arcsec": 10.0, "guard_arcsec": 4.0}
    numbers = audit_splits(split, groups, ra, np.zeros(5), digest, twins=[7, 8, 9, 9, 9], **separations)
    assert numbers["leaked_groups"] == 2
    assert numbers["leaked_pairs"] == 4
    assert numbers["nearest_separation_arcsec"] == 0.0
    assert numbers["close_positions"] == 2
    assert numbers["guarded_positions"] == 1
    assert numbers["twins"] == 2
    assert numbers["near_twins"] == 1


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


@pytest.mark.parametrize("strategy", ["sky", "brick"])
@pytest.mark.parametrize("seed", range(8))
def test_nothing_leaks_whatever_is_split(strategy, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(200, 1500))
    ra, dec, host_id = field(rng, n, width_deg=rng.uniform(2.0, 10.0))
    ra[rng.random(n) < 0.1] = np.nan
    twins = np.where(rng.random(n) < 0.05, n + rng.integers(0, n // 40, n), np.arange(n))
    bricks = np.char.add("b", rng.integers(0, 60, n).astype(str))
    config = BuildConfig(split=strategy, split_seed=seed, guard_arcsec=30.0)
    groups = group_objects(ra, dec, host_id, min_separation_arcsec=10.0, twins=twins)
    split = assign_splits(ra, dec, host_id, config, groups=groups, brickname=bricks, digest=distinct(n))
    numbers = audit_splits(
        split, groups, ra, dec, distinct(n), min_separation_arcsec=10.0, guard_arcsec=30.0, twins=twins
    )
    for name in ("leaked_groups", "close_positions", "guarded_positions", "near_twins"):
        assert numbers[name] == 0, name
    order = rng.permutation(n)
    rows = (column[order] for column in (ra, dec, host_id))
    again = assign_splits(*rows, config, groups=groups[order], brickname=bricks[order], digest=distinct(n)[order])
    np.testing.assert_array_equal(again, split[order])
