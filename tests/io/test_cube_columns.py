"""Columns of a cube: whole when they are asked for, or the rows of a block, and the same either way."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from gen5astro.build import build_cube
from gen5astro.errors import FormatError
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.hdf5 import Cube
from gen5astro.settings import from_dict
from tests.factories import make_pairs
from tests.sources import MemorySource


@pytest.fixture(scope="module")
def pairs():
    block = make_pairs(40, np.random.default_rng(3), size=24)
    names = np.array([f"{at}\N{GREEK SMALL LETTER THETA}" * (at % 3) for at in range(40)])
    return replace(block, catalog=block.catalog | {"a name/of mine": names, "row": np.arange(40.0)[::-1]})


@pytest.fixture(scope="module")
def built(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("cube") / "cube.h5"
    build_cube(MemorySource(pairs), path, config=from_dict({"build": {"block": 7}}))
    return path


@pytest.mark.parametrize(("start", "stop"), [(0, 40), (3, 4), (0, 0), (33, 40)])
def test_some_rows_are_those_of_the_whole_columns(built, pairs, start, stop):
    with Cube(built) as cube:
        rows = cube.catalog.rows(start, stop)
        assert list(rows) == list(cube.catalog) == list(pairs.catalog)
        for name, values in rows.items():
            np.testing.assert_array_equal(values, cube.catalog[name][start:stop])
            np.testing.assert_array_equal(values, pairs.catalog[name][start:stop])


def test_a_column_is_read_when_it_is_asked_for_and_kept(built, monkeypatch):
    cube = Cube(built)
    assert "ra" in cube.catalog
    assert "nothing" not in cube.catalog
    assert cube.catalog.get("nothing") is None
    asked = []
    read = h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: asked.append(self.name) or read(self, key))
    assert cube.catalog["ra"] is cube.catalog["ra"]
    assert asked == ["/catalog/ra"]


def test_a_column_in_pieces_is_read_as_well(built, pairs, tmp_path):
    path = tmp_path / "cube.h5"
    path.write_bytes(built.read_bytes())
    with h5py.File(path, "r+") as file:
        del file["catalog/ra"]
        file["catalog"].create_dataset("ra", data=pairs.catalog["ra"], chunks=(16,)).attrs["column"] = "ra"
    with Cube(path) as cube:
        np.testing.assert_array_equal(cube.catalog.rows(5, 30)["ra"], pairs.catalog["ra"][5:30])


def test_text_that_is_no_text_is_refused_by_name(built, tmp_path):
    path = tmp_path / "cube.h5"
    with h5py.File(built) as file:
        offset = file["catalog/host_id"].id.get_offset()
    content = bytearray(built.read_bytes())
    content[offset] = 0xFF
    path.write_bytes(content)
    with Cube(path) as cube:
        for read in (lambda: cube.catalog["host_id"], lambda: cube.catalog.rows(0, 2)):
            with pytest.raises(FormatError, match=r"cube\.h5"):
                read()


def test_checking_a_block_finds_what_reading_it_does(built, tmp_path):
    path = tmp_path / "cube.h5"
    path.write_bytes(built.read_bytes())
    with h5py.File(path, "r+") as file:
        file["stamp"][3, 0, 0, 0] += 1.0
        file["ctrl"][11, 1, 2, 3] += 1.0
    source = CubeSource(path)
    read = [each for ref in source.blocks(8) for each in source.read(ref)[1]]
    assert [each.row for each in read] == [3, 11]
    assert [each for ref in source.blocks(8) for each in source.check(ref)] == read


def test_numbers_among_text_are_kept_whole(pairs, tmp_path):
    """Columns of many files may be numbers in one block and text in the next."""

    class Changing(MemorySource):
        def read(self, ref):
            block, rejects = super().read(ref)
            values = np.full(len(block), -1 / 3) if ref.start == 0 else np.full(len(block), "a")
            return replace(block, catalog=block.catalog | {"mixed": values}), rejects

    build_cube(Changing(pairs), tmp_path / "cube.h5", config=from_dict({"build": {"block": 10}}))
    with Cube(tmp_path / "cube.h5") as cube:
        assert cube.catalog["mixed"][:10].tolist() == [str(-1 / 3)] * 10
        assert cube.catalog["mixed"][10:].tolist() == ["a"] * 30
