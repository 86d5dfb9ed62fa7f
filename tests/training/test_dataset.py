"""Batches keep pairs together, hosts equal, and depend on seed and epoch alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen5astro.config import BuildConfig, Config, TrainConfig
from gen5astro.errors import ConfigError, FormatError, ShapeError
from gen5astro.io.hdf5 import Cube
from gen5astro.kernels.normalize import normalize, normalizer_statistics
from gen5astro.training.dataset import count_batches, draw_balanced, draw_by_host, plan_epoch, size_notes
from gen5astro.training.reader import PairReader
from gen5astro.training.views import VIEWS
from tests.reference import turn
from tests.training.cubes import make_cube


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return Cube(make_cube(tmp_path_factory.mktemp("cube") / "cube.h5"))


def _plans(n_hosts=10, per_host=7, *, epoch=0, **settings):
    groups = np.repeat(np.arange(n_hosts), per_host)
    return plan_epoch(np.arange(len(groups)) + 100, groups, TrainConfig(**settings), epoch=epoch)


def test_an_epoch_over_equal_hosts_shows_each_pair_once():
    shown = np.concatenate([plan.row[plan.label == 1] for plan in _plans(batch_size=16)])
    assert sorted(shown) == list(range(100, 170))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 60), st.integers(0, 9))
def test_hosts_come_equally_often_and_pairs_of_one_host_too(members, n, seed):
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(members)), members))
    drawn = draw_by_host(groups, n, np.random.default_rng(seed))
    assert len(drawn) == n
    of_host = np.bincount(groups[drawn], minlength=len(members))
    assert np.ptp(of_host) <= 1
    of_pair = np.bincount(drawn, minlength=len(groups))
    assert all(np.ptp(of_pair[groups == host]) <= 1 for host in range(len(members)))


def test_a_host_with_many_injections_does_not_outweigh_one_with_few():
    groups = np.array([0] * 90 + [1] * 10)
    plans = plan_epoch(np.arange(100), groups, TrainConfig(batch_size=10), epoch=0)
    shown = np.concatenate([plan.row for plan in plans])
    assert np.bincount(groups[shown]).tolist() == [100, 100]


def test_a_pair_stays_together_and_is_turned_together():
    for plan in _plans(batch_size=12):
        half = len(plan) // 2
        assert np.array_equal(plan.row[:half], plan.row[half:])
        assert np.array_equal(plan.element[:half], plan.element[half:])
        assert np.array_equal(plan.draw[:half], plan.draw[half:])
        assert len({*plan.draw}) == half
        assert plan.label.tolist() == [1] * half + [0] * half


@pytest.mark.parametrize("n_pairs", [1, 7, 240, 251])
@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (1, 3), (2, 1), (3, 5), (1, 0.5), (1, 7)])
@pytest.mark.parametrize("more", [{}, {"n_extra": 9}])
def test_a_batch_has_the_stated_ratio(positives, negatives, n_pairs, more):
    config = TrainConfig(batch_size=25, batch_composition={"positives": positives, "negatives": negatives})
    plans = plan_epoch(np.arange(n_pairs), np.arange(n_pairs) // 3, config, epoch=1, **more)
    assert len(plans) == count_batches(n_pairs, config)
    assert sum(plan.n_pairs for plan in plans) == n_pairs
    for plan in plans:
        n_positive = plan.label.sum()
        assert n_positive == plan.n_pairs
        assert len(plan) - n_positive == max(1, round(n_positive * negatives / positives))
        assert len(plan) <= 25


def _kinds(plan):
    """Count own ctrls, other ctrls and extra images."""
    n_extra = np.count_nonzero(plan.extra >= 0)
    n_own = np.isin(plan.draw[plan.n_pairs :], np.arange(plan.n_pairs)).sum()
    return n_own, len(plan) - plan.n_pairs - n_own - n_extra, n_extra


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.8, 1.0])
@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (1, 3), (2, 1)])
def test_extra_images_have_their_share_and_own_ctrls_come_before_other_ones(positives, negatives, share):
    composition = {"positives": positives, "negatives": negatives}
    config = TrainConfig(batch_size=24, batch_composition=composition, extra_negative_share=share)
    for plan in plan_epoch(np.arange(200), np.arange(200) // 4, config, epoch=0, n_extra=30):
        n_negative = len(plan) - plan.n_pairs
        own, other, extra = _kinds(plan)
        assert extra == round(share * n_negative)
        assert own == min(plan.n_pairs, n_negative - extra)
        assert own + other + extra == n_negative
        assert np.array_equal(plan.row < 0, plan.extra >= 0)
        assert not plan.label[plan.extra >= 0].any()
        assert {*plan.weight} == {1}


@pytest.mark.parametrize("n_extra", [3, 17, 500])
def test_every_extra_image_comes_once_before_any_comes_again(n_extra):
    config = TrainConfig(batch_size=16, extra_negative_share=0.3)
    seen = np.zeros(n_extra, int)
    for epoch in range(6):
        for plan in plan_epoch(np.arange(90), np.arange(90) // 2, config, epoch=epoch, n_extra=n_extra):
            for number in plan.extra[plan.extra >= 0]:
                assert seen[number] == seen.min()
                seen[number] += 1
    assert seen.sum() == 6 * 24


def test_extra_images_are_turned_and_drawn_on_their_own():
    plans = plan_epoch(np.arange(300), np.arange(300), TrainConfig(batch_size=40), epoch=0, n_extra=50)
    for plan in plans:
        lone = plan.draw[plan.extra >= 0]
        assert len({*lone}) == len(lone)
        assert not np.isin(lone, plan.draw[plan.extra < 0]).any()
    assert {*np.concatenate([plan.element[plan.extra >= 0] for plan in plans])} == set(range(8))


def _weighted(**more):
    weight = np.random.default_rng(3).choice([0, 0.25, 0.5, 1.0], 210)
    groups = np.repeat(np.arange(30), 7)
    config = TrainConfig(batch_size=24, batch_composition={"positives": 1, "negatives": 2})
    return weight, plan_epoch(np.arange(210), groups, config, epoch=0, weight=weight, **more)


@pytest.mark.parametrize("more", [{}, {"strata": np.arange(210) % 3}, {"n_extra": 20}])
def test_pairs_of_weight_0_are_not_shown_and_a_pair_has_one_weight(more):
    weight, plans = _weighted(**more)
    assert sum(plan.n_pairs for plan in plans) == np.count_nonzero(weight)
    for plan in plans:
        assert plan.weight.dtype == np.float32
        assert (weight[plan.row[plan.extra < 0]] > 0).all()
        of_pair = np.isin(plan.draw, np.arange(plan.n_pairs))
        np.testing.assert_array_equal(plan.weight[of_pair], weight[plan.row[of_pair]].astype(np.float32))
        assert (plan.weight[~of_pair] == 1).all()
        own = plan.draw[plan.n_pairs :][of_pair[plan.n_pairs :]]
        assert np.array_equal(plan.row[own], plan.row[plan.n_pairs :][: len(own)])


def test_hosts_that_keep_some_pair_come_equally_often():
    weight, plans = _weighted()
    shown = np.concatenate([plan.row[plan.label == 1] for plan in plans])
    kept = np.unique(np.flatnonzero(weight) // 7)
    counts = np.bincount(shown // 7, minlength=30)
    assert np.ptp(counts[kept]) <= 1
    assert counts.sum() == counts[kept].sum()


def test_weights_of_1_change_nothing():
    rows, config = np.arange(60), TrainConfig(batch_size=8)
    plain = plan_epoch(rows, rows // 3, config, epoch=2)
    weighted = plan_epoch(rows, rows // 3, config, epoch=2, weight=np.ones(60))
    for one, two in zip(plain, weighted, strict=True):
        for name in ("row", "label", "element", "draw", "weight", "extra"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.full(70, np.nan), "from 0 to 1"),
        (np.full(70, 1.5), "from 0 to 1"),
        (np.ones(3), "70 numbers"),
        (np.zeros(70), "a pair to show"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(weight, message):
    with pytest.raises(ConfigError, match=message):
        plan_epoch(np.arange(70), np.arange(70), TrainConfig(), epoch=0, weight=weight)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=60), st.integers(0, 80))
def test_strata_come_equally_often_and_so_do_the_hosts_of_each(pairs, n):
    strata, groups = np.array(pairs).T
    drawn = draw_balanced(strata, groups, n, np.random.default_rng(n))
    assert len(drawn) == n
    assert np.ptp([np.count_nonzero(strata[drawn] == each) for each in np.unique(strata)]) <= 1
    for each in np.unique(strata):
        hosts = groups[drawn[strata[drawn] == each]]
        assert np.ptp([np.count_nonzero(hosts == host) for host in np.unique(groups[strata == each])]) <= 1


def test_an_epoch_is_balanced_on_both_sides_of_the_label():
    rng = np.random.default_rng(5)
    strata, groups = (rng.random(600) < 0.05).astype(int), np.repeat(np.arange(60), 10)
    config = TrainConfig(batch_size=30, batch_composition={"positives": 1, "negatives": 2})
    plans = plan_epoch(np.arange(600), groups, config, epoch=0, strata=strata)
    positives = np.concatenate([plan.row[: plan.n_pairs] for plan in plans])
    others = np.concatenate([plan.row[2 * plan.n_pairs :] for plan in plans])
    for rows in (positives, others):
        assert np.bincount(strata[rows]).tolist() == [300, 300]
        for each in (0, 1):
            hosts = np.unique(groups[strata == each])
            counts = np.bincount(groups[rows[strata[rows] == each]], minlength=60)
            assert np.ptp(counts[hosts]) <= 1


def test_without_ctrl_as_negative_a_positive_does_not_bring_its_own():
    together = 0
    for plan in _plans(40, 5, batch_size=10, use_ctrl_as_negative=False):
        assert plan.label.tolist() == [1] * 5 + [0] * 5
        together += np.isin(plan.row[:5], plan.row[5:]).sum()
    assert together < 40


@pytest.mark.parametrize(
    "more", [{}, {"n_extra": 9, "strata": np.arange(70) % 4, "weight": np.tile([0.2, 0, 1, 1, 1], 14)}]
)
def test_the_plan_depends_on_seed_and_epoch_alone(more):
    def plan(epoch, seed=0):
        plans = plan_epoch(
            np.arange(70), np.arange(70) // 7, TrainConfig(seed=seed, batch_size=16), epoch=epoch, **more
        )
        names = ("row", "label", "element", "draw", "weight", "extra")
        return np.concatenate([np.stack([getattr(each, name) for name in names]) for each in plans], axis=1)

    assert np.array_equal(plan(2), plan(2))
    assert not np.array_equal(plan(2), plan(3))
    assert not np.array_equal(plan(2), plan(2, seed=1))


def test_without_augmentation_nothing_is_turned():
    assert all((plan.element == 0).all() for plan in _plans(augment=False))
    assert {*np.concatenate([plan.element for plan in _plans()])} == set(range(8))


def test_images_that_are_not_square_are_flipped_only():
    groups = np.arange(50)
    plans = plan_epoch(groups, groups, TrainConfig(), epoch=0, square=False)
    assert max(plan.element.max() for plan in plans) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_composition": {"positive": 1}}, "did you mean 'positives'"),
        ({"batch_composition": {"positives": 0.0}}, "above 0"),
        ({"batch_size": 1}, "2 or more"),
        ({"batch_size": 8, "batch_composition": {"negatives": 9}}, "got 8; expected 10 or more"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        _plans(**settings)


def test_the_reader_gives_what_one_image_alone_gives(cube):
    row, label = np.array([3, 0, 5, 3]), np.array([1, 0, 0, 0])
    images = np.stack([(cube.ctrl, cube.stamp)[which][at] for at, which in zip(row, label, strict=True)])
    spec = cube.normalizer_spec
    expected = normalize(images, normalizer_statistics(images, spec, cube.pixel_scale), spec)
    np.testing.assert_array_equal(PairReader(cube, VIEWS["single"]).read(row, label), expected)


@pytest.mark.parametrize("view", VIEWS)
def test_a_cube_in_shards_gives_the_batches_of_the_cube_in_one_file(cube, view, tmp_path):
    config = Config(build=BuildConfig(split_seed=20, shard_pairs=12))
    shards = Cube(make_cube(tmp_path / "cube.h5", config=config))
    assert len(shards.files) > 3
    whole, in_shards = PairReader(cube, VIEWS[view]), PairReader(shards, VIEWS[view])
    rng = np.random.default_rng(0)
    row, label, element = rng.integers(len(cube), size=50), rng.integers(2, size=50), rng.integers(8, size=50)
    place = np.argsort(shards.row)[row]
    np.testing.assert_array_equal(in_shards.read(place, label, element), whole.read(row, label, element))
    with pytest.raises(ShapeError, match="row"):
        in_shards.read(np.array([len(shards)]), np.array([1]))


@pytest.mark.parametrize("view", VIEWS)
def test_a_batch_is_read_into_memory_that_is_given_and_fits(cube, view):
    reader, rng = PairReader(cube, VIEWS[view]), np.random.default_rng(0)
    what = (rng.integers(len(cube), size=9), rng.integers(2, size=9), rng.integers(8, size=9))
    room = np.full((9, reader.channels, 32, 32), np.nan, np.float32)
    assert reader.read(*what, out=room) is room
    np.testing.assert_array_equal(room, reader.read(*what))
    for wrong in (room[1:], room[..., ::-1], room.astype(np.float64)):
        with pytest.raises(ShapeError, match=r"out: got float.*; expected a C-contiguous float32"):
            reader.read(*what, out=wrong)


def test_both_halves_of_a_paired_input_are_turned_alike(cube):
    row, label, element = np.array([2, 4, 1]), np.array([1, 0, 1]), np.array([1, 6, 7])
    reader = PairReader(cube, VIEWS["paired"])
    plain, turned = reader.read(row, label), reader.read(row, label, element)
    for at in range(3):
        np.testing.assert_array_equal(turned[at], turn(plain[at], element[at]))


def test_the_paired_view_shows_both_and_the_label_is_the_order(cube):
    row = np.array([2, 2])
    paired = PairReader(cube, VIEWS["paired"]).read(row, np.array([1, 0]))
    single = PairReader(cube, VIEWS["single"]).read(row, np.array([1, 0]))
    assert paired.shape == (2, 6, 32, 32)
    np.testing.assert_array_equal(paired[0], np.concatenate(single))
    np.testing.assert_array_equal(paired[1], np.concatenate(single[::-1]))


def test_a_pixel_that_is_not_finite_stops_the_training(cube):
    reader = PairReader(cube, VIEWS["single"])
    pixels = np.array(cube.stamp)
    pixels[4, 1, 16, 16] = np.nan
    reader.stored = (reader.stored[0], (pixels,))
    with pytest.raises(FormatError, match="row 4"):
        reader.read(np.array([3, 4]), np.array([1, 1]))


@pytest.mark.parametrize(("size", "negatives", "held"), [(33, 1, 32), (32, 1, None), (10, 3, 8), (12, 3, None)])
def test_batches_that_are_smaller_than_asked_for_are_told_of(size, negatives, held):
    config = TrainConfig(batch_size=size, batch_composition={"positives": 1, "negatives": negatives})
    rows = np.arange(200)
    first = plan_epoch(rows, rows // 4, config, epoch=0)[0]
    assert len(first) == (held or size)
    assert [f"batches hold {held}," in note for note in size_notes(config)] == ([True] if held else [])
