"""Pairs with pixels that are not finite stay out of a cube, unless they are asked for."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest
import xxhash

from gen5astro.build import build_cube
from gen5astro.holes import WithoutHoles
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.hdf5 import Cube
from gen5astro.io.pairs import BlockRef
from gen5astro.settings import from_dict
from gen5astro.verify import verify_cube
from tests.factories import make_pairs
from tests.sources import MemorySource


@pytest.fixture(scope="module")
def holed():
    """Pairs of which row 5 has a hole in the stamp, row 9 two in one band of the ctrl and one in another."""
    pairs = make_pairs(40, np.random.default_rng(2), size=24)
    stamp, ctrl, census = pairs.stamp.copy(), pairs.ctrl.copy(), pairs.census.copy()
    stamp[5, 1, 3, 3], ctrl[9, 2, 0, :2], ctrl[9, 0, 7, 7] = np.nan, np.inf, np.nan
    for number, images in enumerate((stamp, ctrl)):
        census[:, number, :, 0] = np.isfinite(images).sum(axis=(2, 3))
    digest = [[xxhash.xxh64_intdigest(image.tobytes()) for image in pair] for pair in zip(stamp, ctrl, strict=True)]
    columns = {"digest": np.array(digest, np.uint64), "census": census}
    return dataclasses.replace(pairs, stamp=stamp, ctrl=ctrl, **columns)


def test_a_pair_with_a_hole_is_a_reject_that_says_where(holed):
    source = WithoutHoles(MemorySource(holed, bad={7: "torn"}))
    block, rejects = source.read(BlockRef(0, 40))
    assert [(each.row, each.reason) for each in rejects] == [
        (5, "stamp: 1 pixel that is not finite in band r"),
        (7, "torn"),
        (9, "ctrl: 2 pixels that are not finite in band z"),
    ]
    assert [each.digest for each in rejects] == [tuple(holed.digest[5]), None, tuple(holed.digest[9])]
    np.testing.assert_array_equal(block.row, np.delete(np.arange(40), [5, 7, 9]))
    assert np.isfinite(block.stamp).all()
    assert np.isfinite(block.ctrl).all()
    assert len(source.read(BlockRef(5, 6))[0]) == 0


def test_a_cube_has_no_holes_unless_they_are_kept(holed, tmp_path):
    # Left out on purpose: more than the one row in a hundred that may be bad.
    build_cube(MemorySource(holed), tmp_path / "cube.h5", config=from_dict({}))
    cube = Cube(tmp_path / "cube.h5")
    assert 5 not in cube.row
    assert (cube.attributes["n_ok"], cube.attributes["n_rejected"]) == (38, 2)
    assert pq.read_table(tmp_path / "cube.rejects.parquet")["row"].to_pylist() == [5, 9]
    assert verify_cube(cube)["status"] == "PASS"
    build_cube(MemorySource(holed), tmp_path / "all.h5", config=from_dict({"build": {"nonfinite": "keep"}}))
    assert np.isnan(Cube(tmp_path / "all.h5").stamp[5, 1, 3, 3])
    # A cube with holes loses them when it is built again.
    build_cube(CubeSource(tmp_path / "all.h5"), tmp_path / "again.h5", config=from_dict({}))
    np.testing.assert_array_equal(Cube(tmp_path / "again.h5").digest, cube.digest)
