"""Batches keep pairs together, hosts equal, and depend on seed and epoch alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen5astro.config import BuildConfig, Config, TrainConfig
from gen5astro.errors import ConfigError, FormatError, ShapeError
from gen5astro.io.hdf5 import Cube
from gen5astro.kernels.normalize import normalize, normalizer_statistics
from gen5astro.training.dataset import PairReader, draw_by_host, plan_epoch
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


@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (1, 3), (2, 1), (3, 5)])
def test_a_batch_has_the_stated_ratio(positives, negatives):
    composition = {"positives": positives, "negatives": negatives}
    for plan in _plans(20, 12, batch_size=24, batch_composition=composition):
        n_positive = plan.label.sum()
        assert n_positive == plan.n_pairs
        assert abs((len(plan) - n_positive) / n_positive - negatives / positives) < 0.2
        own = np.isin(plan.row[plan.label == 1], plan.row[plan.label == 0])
        assert own.sum() >= min(n_positive, len(plan) - n_positive)


def test_without_ctrl_as_negative_a_positive_does_not_bring_its_own():
    together = 0
    for plan in _plans(40, 5, batch_size=10, use_ctrl_as_negative=False):
        assert plan.label.tolist() == [1] * 5 + [0] * 5
        together += np.isin(plan.row[:5], plan.row[5:]).sum()
    assert together < 40


def test_the_plan_depends_on_seed_and_epoch_alone():
    same = [np.concatenate([plan.row for plan in _plans(epoch=2)]) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], np.concatenate([plan.row for plan in _plans(epoch=3)]))
    assert not np.array_equal(same[0], np.concatenate([plan.row for plan in _plans(epoch=2, seed=1)]))


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
    reader._pixels = (reader._pixels[0], (pixels,))
    with pytest.raises(FormatError, match="row 4"):
        reader.read(np.array([3, 4]), np.array([1, 1]))
