"""What is exported is the cube, to the bit, for programs that are not ours."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner

from gen5astro.build import build_cube
from gen5astro.cli import main
from gen5astro.config import InjectConfig
from gen5astro.errors import ExistsError, FormatError
from gen5astro.export import export_cube
from gen5astro.inject import inject_blocks
from gen5astro.io import open_pairs
from gen5astro.io.hdf5 import Cube
from gen5astro.io.npz import decode_npz
from gen5astro.io.pairs import BlockRef
from gen5astro.sample import load_hosts
from gen5astro.settings import from_dict
from tests.sources import MemorySource


@pytest.fixture(scope="module", params=[1000, 15], ids=["one file", "shards"])
def cube(tmp_path_factory, request):
    (block,) = inject_blocks(load_hosts(), 40, seed=5, config=InjectConfig(size=16), block=40)
    out = tmp_path_factory.mktemp("built") / "cube.h5"
    config = from_dict({"build": {"shard_pairs": request.param}, "audit": {"max_reject_fraction": 0.5}})
    build_cube(MemorySource(block, bad={3: "torn"}), out, config=config)
    return Cube(out)


def test_fits_has_both_images_and_the_catalog(cube, tmp_path):
    summary = export_cube(cube.path, tmp_path / "pairs.fits")
    assert (summary["pairs"], summary["format"]) == (39, "fits")
    with fits.open(tmp_path / "pairs.fits") as file:
        file.verify("exception")
        for name in ("stamp", "ctrl"):
            np.testing.assert_array_equal(file[name.upper()].data, np.asarray(getattr(cube, name)))
            header = file[name.upper()].header
            assert (header["BUNIT"], header["BANDS"]) == ("nanomaggy", "g,r,z")
    table = Table.read(tmp_path / "pairs.fits", "CATALOG")
    np.testing.assert_array_equal(table["row"], cube.row)
    np.testing.assert_array_equal(table["region_split"].astype(str), cube.split)
    for name, column in cube.catalog.items():
        np.testing.assert_array_equal(np.asarray(table[name]).astype(column.dtype), column, err_msg=name)


def test_arrow_has_tensors(cube, tmp_path):
    export_cube(cube.path, tmp_path / "pairs.arrow")
    with pa.ipc.open_file(tmp_path / "pairs.arrow") as file:
        table = file.read_all()
    found = np.concatenate([chunk.to_numpy_ndarray() for chunk in table["ctrl"].chunks])
    np.testing.assert_array_equal(found, np.asarray(cube.ctrl))
    assert table.schema.metadata[b"bands"] == b"g,r,z"
    assert table["region_split"].to_pylist() == cube.split.tolist()


def test_parquet_is_what_every_verb_reads(cube, tmp_path):
    export_cube(cube.path, tmp_path / "pairs.parquet")
    block, rejects = open_pairs(tmp_path / "pairs.parquet").read(BlockRef(0, 39))
    assert rejects == []
    np.testing.assert_array_equal(block.stamp, np.asarray(cube.stamp))
    np.testing.assert_array_equal(block.digest, cube.digest)
    packed = pq.read_table(tmp_path / "pairs.parquet")["ctrl_stamp_npz"][0].as_py()
    assert decode_npz(packed).bands == cube.bands


@pytest.mark.parametrize("ending", ["parquet", "arrow", "fits"])
def test_row_and_group_stay_whole_numbers(cube, tmp_path, ending):
    out = tmp_path / f"pairs.{ending}"
    export_cube(cube.path, out)
    if ending == "fits":
        found = Table.read(out, "CATALOG")
    elif ending == "parquet":
        found = pq.read_table(out)
    else:
        with pa.ipc.open_file(out) as file:
            found = file.read_all()
    for name in ("row", "group"):
        assert np.asarray(found[name]).dtype.kind == "i"
        np.testing.assert_array_equal(found[name], getattr(cube, name))


def test_another_ending_is_refused(cube, tmp_path):
    with pytest.raises(FormatError, match=r"got ending '\.csv'; expected \.parquet or \.arrow or \.fits"):
        export_cube(cube.path, tmp_path / "pairs.csv")


def test_what_is_there_is_kept_unless_forced(cube, tmp_path):
    (tmp_path / "pairs.fits").write_text("mine")
    with pytest.raises(ExistsError, match="--force"):
        export_cube(cube.path, tmp_path / "pairs.fits")
    export_cube(cube.path, tmp_path / "pairs.fits", force=True)
    assert [each.name for each in tmp_path.iterdir()] == ["pairs.fits"]


@pytest.mark.parametrize("ending", ["parquet", "arrow", "fits"])
def test_a_damaged_pair_ends_the_export_and_leaves_nothing(cube, tmp_path, ending):
    (tmp_path / "copy").mkdir()
    for file in cube.files:
        target = tmp_path / "copy" / file.relative_to(cube.path.parent)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    damaged = Cube(tmp_path / "copy" / "cube.h5").files[-1]
    with h5py.File(damaged, "r+") as file:
        file["ctrl"][4] += 1
    with pytest.raises(FormatError, match="the ctrl does not match its stored digest; see gen5astro verify"):
        export_cube(tmp_path / "copy" / "cube.h5", tmp_path / f"pairs.{ending}")
    assert [each.name for each in tmp_path.iterdir()] == ["copy"]


def test_the_verb_says_what_it_wrote(cube, tmp_path):
    out = tmp_path / "pairs.arrow"
    done = CliRunner().invoke(main, ["export", str(cube.path), "--out", str(out)], standalone_mode=False)
    assert f"wrote {out}: 39 pairs" in done.output
