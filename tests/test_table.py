"""The measurement table survives its file."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from gen5astro.columns import COLUMNS
from gen5astro.config import MeasureConfig
from gen5astro.errors import FormatError, MissingFileError
from gen5astro.measure import measure_pairs
from gen5astro.table import Spool, read_table, write_table
from tests.factories import make_pairs
from tests.sources import MemorySource


@pytest.fixture(scope="module")
def table():
    return measure_pairs(MemorySource(make_pairs(30, np.random.default_rng(4))), MeasureConfig())[0]


def test_a_table_read_back_is_the_table_that_was_written(table, tmp_path):
    write_table(table, tmp_path / "measure.parquet")
    again = read_table(tmp_path / "measure.parquet")
    assert (again.bands, again.shape, again.pixel_scale) == (table.bands, table.shape, table.pixel_scale)
    assert again.origin == table.origin
    assert again.origin.settings["core_radius_arcsec"] == 1.0
    assert set(again.columns) == set(table.columns)
    for name, values in table.columns.items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)


def test_the_file_has_a_row_a_pair_and_band_and_says_what_its_columns_are(table, tmp_path):
    write_table(table, tmp_path / "measure.parquet")
    arrow = pq.read_table(tmp_path / "measure.parquet")
    assert arrow.num_rows == 90
    assert arrow["band"].to_pylist()[:4] == ["g", "r", "z", "g"]
    for name in table.columns:
        about = arrow.schema.field(name).metadata
        assert about[b"description"].decode() == COLUMNS[name].meaning


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match="audit-injection"):
        read_table(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(FormatError, match="measurement table"):
        read_table(tmp_path / "text.parquet")


def test_a_spool_joins_blocks_whose_texts_grow():
    first = {"row": np.arange(3), "name": np.array(["a", "b", ""]), "flux": np.arange(6.0).reshape(3, 2)}
    second = {"row": np.arange(3, 5), "name": np.array(["a much longer name", "c"]), "flux": np.ones((2, 2))}
    with Spool(10) as spool:
        spool.add(first)
        spool.add(second)
        columns = spool.finish()
    assert columns["row"].tolist() == [0, 1, 2, 3, 4]
    assert columns["name"].tolist() == ["a", "b", "", "a much longer name", "c"]
    np.testing.assert_array_equal(columns["flux"], np.concatenate([first["flux"], second["flux"]]))
    columns["flux"][0] = 7  # the files are closed, and the windows on them live on


def test_a_spool_that_nothing_was_added_to_is_empty():
    with Spool(10) as spool:
        assert spool.finish() == {}
