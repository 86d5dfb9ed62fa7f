import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest

from gen5astro.errors import ConfigError
from gen5astro.sky import group_objects
from gen5astro.split_repair import label_hosts, repair_splits, write_moves
from gen5astro.splits import SPLITS, audit_splits

SEPARATION = {"min_separation_arcsec": 10.0}


def draw(seed):
    """A few pairs, many of them on one host, close, or of the same pixels, in any split."""
    rng = np.random.default_rng(seed)
    n = rng.integers(3, 8)
    ra, dec = 10 + rng.integers(0, 7, n) * 8 / 3600, np.zeros(n)
    ra[rng.random(n) < 0.2] = np.nan
    host_id = rng.choice(["", "a", "b", "c", "d"], n)
    twins = np.where(rng.random(n) < 0.4, 100 + rng.integers(0, 3, n), np.arange(n))
    return np.array(SPLITS)[rng.integers(0, 3, n)], ra, dec, host_id, twins


def fewest_moves(split, ra, dec, host_id, twins):
    """Try every split of the pairs; the least number of hosts that have to move until nothing leaks."""
    groups = group_objects(ra, dec, host_id, twins=twins, **SEPARATION)
    host, members = label_hosts(ra, dec, host_id), [groups == each for each in np.unique(groups)]
    best = len(split)
    for tried in itertools.product(SPLITS, repeat=len(split)):
        tried = np.array(tried)
        if all((tried[inside] == tried[inside][0]).all() for inside in members):
            best = min(best, len(np.unique(host[tried != split])))
    return best


@pytest.mark.parametrize("seed", range(150))
def test_no_way_to_mend_a_split_moves_fewer_hosts(seed):
    split, ra, dec, host_id, twins = draw(seed)
    try:
        mended, moves = repair_splits(split, ra, dec, host_id, twins=twins, **SEPARATION)
    except ConfigError:
        return
    assert len(moves) == fewest_moves(split, ra, dec, host_id, twins)
    assert sum(each.pairs for each in moves) == np.count_nonzero(mended != split)
    groups = group_objects(ra, dec, host_id, twins=twins, **SEPARATION)
    digest = np.arange(2 * len(split), dtype=np.uint64).reshape(-1, 2)
    numbers = audit_splits(mended, groups, ra, dec, digest, twins=twins, **SEPARATION)
    assert numbers["leaked_groups"] == numbers["close_positions"] == numbers["near_twins"] == 0


def test_a_sound_split_is_left_alone():
    split = np.array(["train", "val", "test", "train"])
    mended, moves = repair_splits(split, [1.0, 2.0, 3.0, 1.0], np.zeros(4), ["a", "b", "c", "a"], **SEPARATION)
    np.testing.assert_array_equal(mended, split)
    assert moves == []


def test_what_was_moved_and_why_is_said():
    split = np.array(["train", "train", "test", "train", "train", "val", "val", "test", "val", "test"])
    ra = np.array([1.0, 1.0, 1.0, 5.0, 5.0 + 4 / 3600, 5.0 + 8 / 3600, 9.0, np.nan, 12.0, 15.0])
    host_id = np.array(["a", "a", "a", "b", "c", "", "d", "e", "f", "g"])
    twins = np.array([0, 0, 0, 1, 2, 3, 4, 4, 5, 6])
    mended, moves = repair_splits(split, ra, np.zeros(10), host_id, twins=twins, **SEPARATION)
    assert mended.tolist() == ["train"] * 5 + ["train", "test", "test", "val", "test"]
    said = {each.host: (each.pairs, each.before, each.after, each.reason) for each in moves}
    assert said == {
        "a": (1, "test", "train", "its pairs were in several splits"),
        "5.00222 +0.00000": (1, "val", "train", "4.0 arcsec from c"),
        "d": (1, "val", "test", "the same pixels as e"),
    }


def test_a_tie_keeps_the_smaller_split():
    split = np.array(["train"] * 5 + ["test"] * 2)
    ra = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 5.0 + 1 / 3600, 6.0])
    mended, (move,) = repair_splits(split, ra, np.zeros(7), [f"h{at}" for at in range(7)], **SEPARATION)
    assert (move.host, move.after) == ("h4", "test")
    assert np.count_nonzero(mended == "test") == 3


def test_a_repair_that_would_empty_a_split_is_refused():
    with pytest.raises(ConfigError, match=r"split test: got no pairs after the repair.*--split sky"):
        repair_splits(["train", "train", "test"], [1.0, 1.0, 1.0], np.zeros(3), ["a", "b", "c"], **SEPARATION)


def test_moves_are_written_one_row_each(tmp_path):
    _, moves = repair_splits(
        ["train", "train", "test", "test"], [1.0, 1.0, 1.0, 2.0], np.zeros(4), ["a", "b", "c", "d"], **SEPARATION
    )
    write_moves(moves, tmp_path / "moved.parquet")
    (row,) = pq.read_table(tmp_path / "moved.parquet").to_pylist()
    assert row == {
        "host": "c",
        "group": 0,
        "pairs": 1,
        "before": "test",
        "after": "train",
        "reason": "0.0 arcsec from a",
    }
