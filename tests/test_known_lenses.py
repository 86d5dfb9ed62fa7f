import dataclasses

import numpy as np
import pytest

from gen5astro.io.pairs import BlockRef
from gen5astro.known_lenses import WithoutKnownLenses, lens_names, nearest_lens
from gen5astro.sample import load_known_lenses
from gen5astro.sky import separation_arcsec
from tests.factories import make_pairs
from tests.sources import MemorySource


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(12, np.random.default_rng(2), size=32)


def moved(pairs, row, far_arcsec):
    """The same pairs, one of them that far north of a known lens."""
    lens = load_known_lenses()[3]
    ra, dec = pairs.catalog["ra"].copy(), pairs.catalog["dec"].copy()
    ra[row], dec[row] = lens["ra"], lens["dec"] + far_arcsec / 3600
    return dataclasses.replace(pairs, catalog=pairs.catalog | {"ra": ra, "dec": dec})


def test_the_nearest_lens_is_that_of_all_separations():
    rng, lenses = np.random.default_rng(0), load_known_lenses()
    ra, dec = rng.uniform(0, 360, 20), rng.uniform(-80, 80, 20)
    every = separation_arcsec(ra[:, None], dec[:, None], np.asarray(lenses["ra"]), np.asarray(lenses["dec"]))
    number, separation = nearest_lens(ra, dec)
    np.testing.assert_array_equal(lens_names(number), np.asarray(lenses["name"])[every.argmin(axis=1)])
    np.testing.assert_allclose(separation, every.min(axis=1), rtol=1e-9)


def test_a_pair_on_a_lens_is_a_reject_among_the_others_in_their_order(pairs):
    source = WithoutKnownLenses(MemorySource(moved(pairs, 5, 2.0), bad={2: "torn", 9: "torn"}), 5.0)
    block, rejects = source.read(BlockRef(0, 12))
    assert [each.row for each in rejects] == [2, 5, 9]
    assert [each.digest for each in rejects] == [None, tuple(pairs.digest[5].tolist()), None]
    assert "2.0 arcsec away" in rejects[1].reason
    kept = np.delete(np.arange(12), [2, 5, 9])
    assert block.psf is None
    np.testing.assert_array_equal(block.row, kept)
    np.testing.assert_array_equal(block.ctrl, pairs.ctrl[kept])
    np.testing.assert_array_equal(block.catalog["ra"], pairs.catalog["ra"][kept])
    assert (source.n_rows, source.bands, source.label) == (12, pairs.bands, "memory")


def test_pairs_keep_their_own_psfs(pairs):
    psf = np.random.default_rng(0).random((12, 3, 5, 5), np.float32)
    source = WithoutKnownLenses(MemorySource(dataclasses.replace(moved(pairs, 5, 2.0), psf=psf)), 5.0)
    np.testing.assert_array_equal(source.read(BlockRef(0, 12))[0].psf, np.delete(psf, 5, axis=0))


def test_where_the_pairs_are_is_known_before_any_is_read(pairs):
    block = moved(pairs, 5, 2.0)
    for name, found in zip(("ra", "dec"), WithoutKnownLenses(MemorySource(block), 5.0).positions(), strict=True):
        np.testing.assert_array_equal(found, block.catalog[name])


def test_what_is_farther_or_nowhere_stays(pairs):
    for block in (
        moved(pairs, 5, 5.1),
        dataclasses.replace(pairs, catalog=pairs.catalog | {"ra": np.full(12, np.nan)}),
    ):
        read, rejects = WithoutKnownLenses(MemorySource(block), 5.0).read(BlockRef(0, 12))
        assert (len(read), rejects) == (12, [])


def test_what_the_source_does_not_have_is_missing(pairs):
    with pytest.raises(AttributeError):
        _ = WithoutKnownLenses(MemorySource(pairs), 5.0).survey
