import numpy as np
import pytest

from gen5astro.errors import ShapeError
from gen5astro.twins import MOST_BITS, count_copies, label_twins


def draw(rng, n):
    """Digests and fingerprints of unrelated pairs."""
    return rng.integers(1, 2**63, (n, 2)).astype(np.uint64), rng.integers(0, 2**64, (n, 4), dtype=np.uint64)


def flip(rng, marks, bits):
    """The same fingerprints with some bits of each changed."""
    flipped = np.unpackbits(marks.view(np.uint8), axis=1)
    for row in flipped:
        row[rng.choice(256, bits, replace=False)] ^= 1
    return np.packbits(flipped, axis=1).view(np.uint64)


def test_unrelated_pairs_are_no_twins():
    labels = label_twins(*draw(np.random.default_rng(0), 20_000))
    np.testing.assert_array_equal(labels, np.arange(20_000))


@pytest.mark.parametrize(("bits", "share"), [(0, 1.0), (8, 1.0), (16, 0.97), (MOST_BITS, 0.4)])
def test_copies_are_found(bits, share):
    rng = np.random.default_rng(1)
    digest, marks = draw(rng, 5000)
    marks[3000:4000] = flip(rng, marks[:1000], bits)
    labels = label_twins(digest, marks)
    assert np.mean(labels[3000:4000] == labels[:1000]) >= share
    assert len(np.unique(labels[:3000])) == 3000


def test_what_differs_in_more_bits_is_no_twin():
    rng = np.random.default_rng(2)
    digest, marks = draw(rng, 4000)
    marks[2000:] = flip(rng, marks[:2000], MOST_BITS + 1)
    assert len(np.unique(label_twins(digest, marks))) == 4000


def test_many_injections_into_one_host_are_one():
    rng = np.random.default_rng(3)
    digest, marks = draw(rng, 2000)
    labels = label_twins(digest, np.repeat(marks[:2], 1000, axis=0))
    np.testing.assert_array_equal(labels, np.repeat([0, 1], 1000))


def test_an_image_equal_to_the_last_bit_makes_twins_whichever_of_the_two_it_is():
    digest = np.array([[1, 2], [3, 2], [4, 1], [5, 6]], np.uint64)
    assert label_twins(digest, np.zeros((4, 4), np.uint64)).tolist() == [0, 0, 0, 1]


def test_the_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(4)
    digest, marks = draw(rng, 3000)
    marks[2000:] = flip(rng, marks[:1000], 6)
    labels, order = label_twins(digest, marks), rng.permutation(3000)
    again = label_twins(digest[order], marks[order])
    assert len(np.unique(np.stack([labels[order], again]), axis=1).T) == len(np.unique(labels))


def test_columns_of_different_length_are_refused():
    with pytest.raises(ShapeError, match="got 2 and 1"):
        label_twins(np.zeros((2, 2)), np.zeros((1, 4)))


def test_copies_to_the_last_bit_share_both_images():
    digest = np.array([[1, 2], [3, 2], [1, 2], [5, 5], [1, 2], [2, 1]], np.uint64)
    assert count_copies(digest) == {"pairs": 2, "without_arc": 1}
    assert count_copies(digest[:0]) == {"pairs": 0, "without_arc": 0}
