"""The table of rejects says what is the matter with a row, and where to find it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gen5astro.io import open_pairs
from gen5astro.io.appended import AppendedPairs
from gen5astro.io.pairs import Reject
from gen5astro.io.rejects import keep_rejects, rejects_note, write_rejects
from tests.factories import make_pairs
from tests.io.inputs import INPUTS, cube, parquet_file
from tests.sources import MemorySource


@pytest.fixture(scope="module")
def pairs():
    """Return four pairs of real galaxies."""
    return make_pairs(4, np.random.default_rng(5))


def listed(source, folder, *rejects):
    write_rejects(rejects, folder / "rejects.parquet", source=source)
    return pq.read_table(folder / "rejects.parquet").to_pylist()


MANY_FILES = {
    "partitioned folder": "all/region=south/part-0.parquet",
    "glob": "all/region=south/part-0.parquet",
    "Multimodal Universe": "all/healpix=5001/001-of-001.hdf5",
}
PATHS = [kind for kind in INPUTS if kind.startswith("table of") or kind.endswith(" table")]


@pytest.mark.parametrize("kind", INPUTS)
def test_a_reject_of_every_kind_of_input_tells_its_row(tmp_path, pairs, kind):
    source = open_pairs(INPUTS[kind][0](tmp_path, pairs))
    (row,) = listed(source, tmp_path, Reject(3, "torn"))
    told = {"row": 3, "reason": "torn", "left_out": False, "pair_id": row["pair_id"]}
    if kind in MANY_FILES:
        told |= {"file": str(tmp_path / MANY_FILES[kind]), "row_in_file": 1}
    elif kind in PATHS:
        told |= {"stamp_path": row["stamp_path"], "ctrl_path": row["ctrl_path"]}
        assert row["stamp_path"].startswith("images/stamp3.")
    assert row == told
    for ref in source.blocks(4):
        assert source.read(ref)[0].catalog["pair_id"][3] == row["pair_id"]


def test_rows_of_one_file_among_many_are_named_by_their_ids(tmp_path, pairs):
    folder = tmp_path / "all"
    folder.mkdir()
    table = pq.read_table(parquet_file(tmp_path, pairs)).append_column("objid", pa.array([11, 12, None, 14]))
    for name, rows in (("a", table[:1]), ("b", table[1:])):
        pq.write_table(rows, folder / f"{name}.parquet")
    rows = listed(open_pairs(folder), tmp_path, *(Reject(row, "torn") for row in (0, 2, 3)))
    assert [row["pair_id"] for row in rows] == ["11", "2", "14"]
    assert [row["row_in_file"] for row in rows] == [0, 1, 2]
    assert [row["file"] for row in rows] == [str(folder / f"{name}.parquet") for name in "abb"]


def test_rows_behind_those_of_a_cube_are_named_as_their_own_source_counts_them(tmp_path, pairs):
    new = open_pairs(INPUTS["table of npy"][0](tmp_path, pairs), pixel_scale=0.263)
    old = cube(tmp_path, pairs)
    source = AppendedPairs(old, MemorySource(pairs, label="more"))
    rows = listed(source, tmp_path, Reject(1, "damaged"), Reject(6, "torn"))
    assert [(row["file"], row["row_in_file"]) for row in rows] == [(str(old), 1), ("more", 2)]
    assert [row["pair_id"] for row in rows] == pairs.catalog["pair_id"][[1, 2]].tolist()
    rows = listed(AppendedPairs(old, new), tmp_path, Reject(1, "damaged"), Reject(6, "torn"))
    assert [row["stamp_path"] for row in rows] == ["", "images/stamp2.npy"]


def test_rows_that_are_left_out_on_purpose_are_said_to_be(tmp_path):
    path = tmp_path / "rejects.parquet"
    keep_rejects([Reject(4, "a known lens", (1, 2)), Reject(7, "torn")], path)
    note = rejects_note(path)
    assert note.startswith("2 rows rejected (1 left out on purpose: they do not count toward the limit), see ")
    assert note.endswith("the first, row 4: a known lens")
    pq.write_table(pa.table({"row": [7], "reason": ["torn"]}), path)
    assert rejects_note(path) == f"1 row rejected, see {path}; the first, row 7: torn"


def test_an_input_that_is_gone_takes_no_list_with_it(tmp_path, pairs):
    source = open_pairs(INPUTS["Multimodal Universe"][0](tmp_path, pairs))
    for path in (tmp_path / "all").rglob("*.hdf5"):
        path.unlink()
    assert listed(source, tmp_path, Reject(3, "torn")) == [{"row": 3, "reason": "torn", "left_out": False}]
