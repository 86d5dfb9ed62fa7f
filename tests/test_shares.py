import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen5astro.shares import deal_shares, hash_place

FRACTIONS = (0.7, 0.15, 0.15)


def shares(part, sizes):
    return np.bincount(part, weights=sizes, minlength=3) / np.sum(sizes)


@given(st.lists(st.integers(1, 40), min_size=3, max_size=60), st.integers(0, 2**32 - 1))
def test_every_part_is_filled_and_the_order_does_not_matter(sizes, seed):
    rng = np.random.default_rng(seed)
    sizes, place, order = np.array(sizes), rng.random(len(sizes)), rng.permutation(len(sizes))
    part = deal_shares(sizes, place, FRACTIONS)
    assert set(part) == {0, 1, 2}
    np.testing.assert_array_equal(deal_shares(sizes[order], place[order], FRACTIONS), part[order])


@given(st.lists(st.integers(1, 9), min_size=200, max_size=300), st.integers(0, 2**32 - 1))
def test_shares_are_met_within_a_percent_where_units_are_small(sizes, seed):
    part = deal_shares(sizes, np.random.default_rng(seed).random(len(sizes)), FRACTIONS)
    np.testing.assert_allclose(shares(part, sizes), FRACTIONS, atol=0.01)


def test_one_large_unit_leaves_the_rest_to_the_others():
    sizes = np.array([700, *[1] * 300])
    part = deal_shares(sizes, np.linspace(0, 0.99, 301), FRACTIONS)
    np.testing.assert_allclose(shares(part, sizes), FRACTIONS, atol=0.005)
    assert part[0] == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_few_large_units_among_many_small_ones_are_balanced_by_these(seed):
    sizes = np.array([*[400] * 15, *[1] * 4000])
    part = deal_shares(sizes, np.random.default_rng(seed).random(len(sizes)), FRACTIONS)
    np.testing.assert_allclose(shares(part, sizes), FRACTIONS, atol=0.005)


def test_what_is_held_counts():
    sizes, place = np.ones(1000, np.int64), np.random.default_rng(0).random(1000)
    part = deal_shares(sizes, place, FRACTIONS, held=[1000, 0, 0])
    counts = np.bincount(part) + np.array([1000, 0, 0])
    np.testing.assert_allclose(counts / 2000, FRACTIONS, atol=0.005)
    overfull = np.bincount(deal_shares(sizes, place, FRACTIONS, held=[0, 90_000, 0]), minlength=3)
    assert overfull[1] == 0


def test_a_share_of_zero_gets_nothing():
    part = deal_shares(np.ones(100, np.int64), np.random.default_rng(1).random(100), (0.0, 0.5, 0.5))
    assert np.bincount(part).tolist() == [0, 50, 50]


def test_nothing_is_dealt_as_nothing():
    assert deal_shares([], [], FRACTIONS).shape == (0,)


def test_places_are_uniform_and_the_same_everywhere():
    places = np.array([hash_place(f"cell:{at}", 0) for at in range(4000)])
    assert hash_place("cell:0", 0) == places[0] != hash_place("cell:0", 1)
    assert places.mean() == pytest.approx(0.5, abs=0.02)
    assert hash_place("host:a", 5) == pytest.approx(0.0, abs=1.0)
