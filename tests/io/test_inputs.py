"""Every kind of input gives the same pairs, and a broken row of it is a reject that says why."""

import re

import numpy as np
import pytest
from astropy.io import fits

from gen5astro.build import build_cube
from gen5astro.errors import FormatError, Gen5Error, MissingFileError
from gen5astro.io import open_cutouts, open_pairs
from gen5astro.io.pairs import BlockRef
from gen5astro.settings import from_dict
from tests.factories import make_pairs
from tests.io.inputs import INPUTS, MEMBERS, multimodal, parquet_file, parquet_folder, table_of_paths, wcs_header
from tests.sources import MemorySource


@pytest.fixture(scope="module")
def pairs():
    """Return four pairs of real galaxies."""
    return make_pairs(4, np.random.default_rng(5))


@pytest.mark.parametrize("kind", INPUTS)
def test_every_kind_gives_the_same_pixels_and_catalog(tmp_path, pairs, kind):
    source = open_pairs(INPUTS[kind][0](tmp_path, pairs), pixel_scale=None)
    assert (source.n_rows, source.bands, source.shape) == (4, ("g", "r", "z"), (48, 48))
    block, rejects = source.read(BlockRef(0, 4))
    assert rejects == []
    for member in MEMBERS:
        read, wrote = getattr(block, member), getattr(pairs, member)
        np.testing.assert_allclose(read, wrote, rtol=2e-7, atol=0)
    np.testing.assert_array_equal(block.catalog["ra"], pairs.catalog["ra"])
    assert block.catalog["host_id"].tolist() == pairs.catalog["host_id"].tolist()
    assert block.pixel_scale == pytest.approx(0.263 if block.pixel_scale != 0.262 else 0.262)


@pytest.mark.parametrize("kind", INPUTS)
def test_a_broken_row_of_every_kind_is_a_reject_in_one_line(tmp_path, pairs, kind):
    write, said = INPUTS[kind]
    source = open_pairs(write(tmp_path, pairs, broken=True))
    good, rejects = [], []
    for ref in source.blocks(3):
        block, bad = source.read(ref)
        good += block.row.tolist()
        rejects += bad
    assert good == [0, 2, 3]
    (reject,) = rejects
    assert reject.row == 1
    assert re.search(said, reject.reason), reject.reason
    assert "\n" not in reject.reason
    assert source.n_rows == len(good) + len(rejects)


@pytest.mark.parametrize("kind", [kind for kind in INPUTS if kind not in ("partitioned folder", "glob", "URI")])
def test_an_input_that_is_cut_off_is_one_line(tmp_path, pairs, kind):
    path = INPUTS[kind][0](tmp_path, pairs)
    path = next(path.rglob("*.hdf5")) if path.is_dir() else path
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(Gen5Error, match=re.escape(path.name)) as caught:
        open_pairs(tmp_path / "all" if path.suffix == ".hdf5" else path)
    assert "\n" not in str(caught.value)


def test_folders_give_columns(tmp_path, pairs):
    source = open_pairs(parquet_folder(tmp_path, pairs))
    block, _ = source.read(BlockRef(1, 3))
    assert block.catalog["region"].tolist() == ["north", "south"]
    assert any("region" in note for note in source.notes)
    glob = open_pairs(f"{tmp_path}/all/*/*.parquet")
    assert glob.read(BlockRef(1, 3))[0].catalog["region"].tolist() == ["north", "south"]
    one = open_pairs(tmp_path / "all" / "region=south" / "part-0.parquet")
    assert "region" not in one.read(BlockRef(0, 2))[0].catalog


def test_images_without_a_ctrl_are_no_pairs(tmp_path, pairs):
    table_of_paths("npy")(tmp_path, pairs)
    table = tmp_path / "table.csv"
    table.write_text(table.read_text().replace("stamp_path", "image_path").replace("ctrl_path", "other"))
    with pytest.raises(FormatError, match=r"images of single galaxies .*expected pairs.*gen5astro inject"):
        open_pairs(table)


def test_a_cube_or_its_shards_where_images_are_looked_for_are_said_to_be_that(tmp_path, pairs):
    sharded = from_dict({"build": {"shard_pairs": 2, "known_lenses": "keep"}})
    (tmp_path / "cubes").mkdir()
    build_cube(MemorySource(pairs), tmp_path / "cubes" / "cube.h5", config=sharded)
    with pytest.raises(FormatError, match=r"got a cube of pairs; .*name one of them: .*cube\.h5"):
        open_pairs(tmp_path / "cubes" / "*.h5")
    with pytest.raises(FormatError, match=r"got a shard of a cube; .*name the cube itself"):
        open_pairs(tmp_path / "cubes" / "cube.shards")
    with pytest.raises(FormatError, match=r"got a cube of pairs; .*evaluate judges a network on a cube"):
        open_cutouts(tmp_path / "cubes" / "cube.h5")


def test_a_column_of_paths_beside_the_bytes_rides_along(tmp_path, pairs):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = parquet_file(tmp_path, pairs)
    table = pq.read_table(path).append_column("stamp_path", pa.array(["a", "b", "c", "d"]))
    pq.write_table(table, path)
    block, _ = open_pairs(path).read(BlockRef(0, 4))
    assert block.catalog["stamp_path"].tolist() == ["a", "b", "c", "d"]


def test_sky_cells_and_psf_widths_of_the_multimodal_universe_are_columns(tmp_path, pairs):
    source = open_pairs(multimodal(tmp_path, pairs))
    block, _ = source.read(BlockRef(1, 3))
    assert block.catalog["healpix"].tolist() == ["5000", "5001"]
    assert block.catalog["pair_id"].tolist() == ["brick-1", "brick-2"]
    np.testing.assert_allclose(block.catalog["psfsize_r"], 1.2, rtol=1e-6)
    assert source.pixel_scale == 0.263


def test_a_folder_on_any_file_system_is_read(pairs, tmp_path):
    import fsspec

    local = parquet_folder(tmp_path, pairs)
    memory = fsspec.filesystem("memory")
    for at, region in enumerate(("north", "__HIVE_DEFAULT_PARTITION__")):
        content = sorted(local.rglob("part-0.parquet"))[at].read_bytes()
        memory.pipe(f"/team/pairs/region={region}/part-0.parquet", content)
    try:
        source = open_pairs("memory://team/pairs")
        block, rejects = source.read(BlockRef(0, 4))
        assert not rejects
        np.testing.assert_array_equal(block.stamp[2:], pairs.stamp[:2])
        assert block.catalog["region"].tolist() == ["", "", "north", "north"]
    finally:
        memory.rm("/team", recursive=True)


def test_a_folder_s_number_can_be_a_column_that_is_known(tmp_path, pairs):
    path = parquet_folder(tmp_path, pairs)
    (path / "region=north").rename(path / "theta_e=1.5")
    (path / "region=south").rename(path / "theta_e=2")
    block, _ = open_pairs(path).read(BlockRef(0, 4))
    assert block.catalog["theta_e_arcsec"].tolist() == [1.5, 1.5, 2, 2]


NAMELESS = {
    "cube in npz": lambda path, image: np.savez(path, image=image),
    "npy": lambda path, image: np.save(path, image),
    "FITS cube": lambda path, image: fits.PrimaryHDU(image.astype(">f4"), wcs_header()).writeto(path),
}


def nameless(folder, images, kind):
    """A table of pairs of one image each in files that name no band."""
    path = folder / {"cube in npz": "a.npz", "npy": "a.npy", "FITS cube": "a.fits"}[kind]
    NAMELESS[kind](path, images)
    (folder / "table.csv").write_text(f"stamp_path,ctrl_path\n{path.name},{path.name}\n")
    return folder / "table.csv"


@pytest.mark.parametrize("kind", NAMELESS)
def test_names_of_bands_that_are_assumed_are_said_and_those_given_are_taken(tmp_path, pairs, kind):
    table = nameless(tmp_path, pairs.stamp[0], kind)
    source = open_pairs(table)
    assert source.bands == ("g", "r", "z")
    assert any(note.startswith("Bands g,r,z assumed") and "--bands" in note for note in source.notes)
    named = open_pairs(table, bands=("z", "i", "g"))
    assert named.bands == ("z", "i", "g")
    assert not any(note.startswith("Bands") for note in named.notes)
    np.testing.assert_array_equal(named.read(BlockRef(0, 1))[0].stamp[0], pairs.stamp[0])


@pytest.mark.parametrize("kind", ["Parquet", "table of viewer cube", "table of an HDU a band", "Multimodal Universe"])
def test_names_of_bands_that_images_state_are_not_said_to_be_assumed(tmp_path, pairs, kind):
    source = open_pairs(INPUTS[kind][0](tmp_path, pairs))
    assert not any(note.startswith("Bands") for note in source.notes)


@pytest.mark.parametrize("kind", ["cube in npz", "npy"])
def test_a_plane_is_an_image_of_the_one_band_that_is_named(tmp_path, pairs, kind):
    table = nameless(tmp_path, pairs.stamp[0, 1], kind)
    with pytest.raises(FormatError, match=r"shape \(48, 48\);.*name the one band of a plane with --bands"):
        open_pairs(table)
    block, _ = open_pairs(table, bands=("r",)).read(BlockRef(0, 1))
    assert block.bands == ("r",)
    np.testing.assert_array_equal(block.stamp[0, 0], pairs.stamp[0, 1])


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("images", r"images: got a folder; expected the file of an image"),
        ("nowhere.npy", r"nowhere.npy: got no such file"),
        ("http://127.0.0.1/a.npy", r"row 0: http://127.0.0.1/a.npy: got a URI; expected a file on this machine; fetch"),
    ],
)
def test_what_a_table_names_is_a_file_here(tmp_path, pairs, named, said):
    table = table_of_paths("npy")(tmp_path, pairs)
    table.write_text(re.sub(r"images/stamp\d.npy", named, table.read_text()))
    with pytest.raises(FormatError, match=said):
        open_pairs(table)


@pytest.mark.parametrize("name", ["pairs.parquet", "folder/"])
def test_a_server_that_does_not_answer_is_no_empty_folder(name):
    with pytest.raises(MissingFileError, match=r"got Cannot connect to host 127.0.0.1:9 .*Connect call failed"):
        open_pairs(f"http://127.0.0.1:9/{name}")
    with pytest.raises(MissingFileError, match="got no Parquet file there"):
        open_pairs(f"memory://nowhere/{name}")
