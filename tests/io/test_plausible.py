"""A value that cannot be is a reject with its reason, or refused before anything is read; one that can be is kept."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gen5astro.build import build_cube
from gen5astro.errors import FormatError
from gen5astro.io import open_cutouts, open_pairs
from gen5astro.io.pairs import BlockRef
from gen5astro.io.plausible import wrap_ra
from gen5astro.settings import from_dict
from gen5astro.verify import verify_cube
from tests.factories import make_pairs
from tests.io.inputs import INPUTS, parquet_columns, parquet_file, table_of_paths


@pytest.fixture(scope="module")
def pairs():
    """Return four pairs of real galaxies."""
    return make_pairs(4, np.random.default_rng(5))


def with_values(pairs, row, **values):
    """The pairs with other values in the columns of one row."""
    catalog = {name: column.copy() for name, column in pairs.catalog.items()}
    for name, value in values.items():
        catalog[name][row] = value
    return dataclasses.replace(pairs, catalog=catalog)


def with_column(path, name, values):
    pq.write_table(pq.read_table(path).append_column(name, pa.array(values)), path)
    return path


@pytest.mark.parametrize("kind", [kind for kind in INPUTS if kind != "cube"])
@pytest.mark.parametrize(("name", "value"), [("dec", -95.0), ("ra", 1000.0)])
def test_an_impossible_position_is_a_reject_of_every_kind_of_input(tmp_path, pairs, kind, name, value):
    source = open_pairs(INPUTS[kind][0](tmp_path, with_values(pairs, 1, **{name: value})))
    block, (reject,) = source.read(BlockRef(0, 4))
    assert block.row.tolist() == [0, 2, 3]
    assert reject.row == 1
    assert reject.reason.startswith(f"{name}: got {value:g}; expected ")
    np.testing.assert_allclose(block.stamp, pairs.stamp[[0, 2, 3]], rtol=2e-7)
    np.testing.assert_array_equal(block.catalog["dec"], pairs.catalog["dec"][[0, 2, 3]])


def test_a_build_goes_on_past_an_impossible_position(tmp_path, pairs):
    path = parquet_file(tmp_path, with_values(pairs, 2, dec=-95.0), broken=True)
    options = {"build": {"fractions": [1, 0, 0]}, "audit": {"max_reject_fraction": 0.5}}
    summary = build_cube(open_pairs(path), tmp_path / "cube.h5", config=from_dict(options))
    assert summary["counts"] == {"n_in": 4, "n_ok": 2, "n_rejected": 2}
    listed = pq.read_table(tmp_path / "cube.rejects.parquet").to_pylist()
    assert [each["row"] for each in listed] == [1, 2]
    assert "dec: got -95; expected -90 to 90 degrees" in listed[1]["reason"]


def test_an_impossible_position_of_a_cutout_is_a_reject(tmp_path, pairs):
    columns = parquet_columns(with_values(pairs, 3, dec=91.0))
    table = {"image_npz": columns["stamp_npz"], "ra": columns["ra"], "dec": columns["dec"]}
    pq.write_table(pa.table(table), tmp_path / "cutouts.parquet")
    block, (reject,) = open_cutouts(tmp_path / "cutouts.parquet").read(BlockRef(0, 4))
    assert (block.row.tolist(), reject.row) == ([0, 1, 2], 3)


def test_an_unknown_position_is_no_impossible_one(tmp_path, pairs):
    source = open_pairs(parquet_file(tmp_path, with_values(pairs, 1, ra=np.nan, dec=np.nan)))
    assert source.read(BlockRef(0, 4))[1] == []


def test_right_ascension_may_count_from_minus_180(tmp_path, pairs):
    np.testing.assert_array_equal(wrap_ra(np.array([-180.0, -10.0, 0.0, 360.0])), [180.0, 350.0, 0.0, 0.0])
    source = open_pairs(parquet_file(tmp_path, with_values(pairs, 1, ra=-10.0)))
    block, rejects = source.read(BlockRef(0, 4))
    assert rejects == []
    assert block.catalog["ra"][1] == source.positions()[0][1] == 350.0


def test_an_einstein_radius_is_within_the_image_and_unknown_below_zero(tmp_path, pairs):
    path = with_column(parquet_file(tmp_path, pairs), "theta_e", [1.0, -99.0, 1e5, 17.0])
    block, (reject,) = open_pairs(path).read(BlockRef(0, 4))
    assert (block.row.tolist(), reject.row) == ([0, 1, 3], 2)
    assert reject.reason.startswith("theta_e_arcsec: got 100000; expected at most 17.79 arcsec, the image's diagonal")
    np.testing.assert_array_equal(block.catalog["theta_e_arcsec"], [1.0, np.nan, 17.0])


def test_positions_that_some_images_tell_are_those_of_the_rows(tmp_path):
    pairs = make_pairs(30, np.random.default_rng(5))
    pairs = with_values(pairs, slice(0, None, 2), ra=np.nan, dec=np.nan)
    source = open_pairs(table_of_paths("viewer cube")(tmp_path, with_values(pairs, 1, dec=-95.0)))
    block, rejects = source.read(BlockRef(0, 30))
    ra, dec = source.positions()
    np.testing.assert_array_equal(ra[block.row], block.catalog["ra"])
    np.testing.assert_array_equal(dec[block.row], block.catalog["dec"])
    assert len(rejects) == 1
    options = {"build": {"fractions": [1, 0, 0], "shard_pairs": 10}, "audit": {"max_reject_fraction": 0.5}}
    build_cube(source, tmp_path / "cube.h5", config=from_dict(options))
    assert verify_cube(tmp_path / "cube.h5")["status"] == "PASS"


@pytest.mark.parametrize("scale", [262.0, 7e-5, 9.9 * 600 / 48])
def test_a_pixel_scale_in_another_unit_is_refused_at_once(tmp_path, pairs, scale):
    path = parquet_file(tmp_path, pairs)
    with pytest.raises(FormatError, match=rf"pixel scale of .*: got {scale:g} arcsec a pixel.*--pixel-scale in arcsec"):
        open_pairs(path, pixel_scale=scale)
    assert open_pairs(path, pixel_scale=0.01).pixel_scale == 0.01
