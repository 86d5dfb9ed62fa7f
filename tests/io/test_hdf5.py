import concurrent.futures
import multiprocessing
import os
import pickle
import re
import textwrap
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xxhash

from gen5astro.build import build_cube
from gen5astro.config import Config, NormalizerSpec
from gen5astro.engine import DoneBefore
from gen5astro.errors import (
    ColumnError,
    ExistsError,
    FormatError,
    Gen5Error,
    MissingFileError,
    SchemaError,
)
from gen5astro.io import hdf5_writer
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.hdf5 import ATTRIBUTES, DATASETS, SCHEMA_VERSION, Cube, CubeWriter, content_digest
from gen5astro.io.hdf5_schema import FORMS, block_checksums, datasets_of
from gen5astro.io.pairs import BlockRef
from gen5astro.settings import from_dict
from tests.factories import make_pairs
from tests.sources import MemorySource

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(60, np.random.default_rng(7), size=32)


@pytest.fixture(scope="module")
def built(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("cube") / "cube.h5"
    build_cube(MemorySource(pairs), path, config=Config())
    return path


@pytest.fixture
def copy(built, tmp_path):
    """A cube that a test may damage."""
    path = tmp_path / "copy.h5"
    path.write_bytes(built.read_bytes())
    return path


def source_blocks(source, size=17):
    blocks, rejects = zip(*(source.read(ref) for ref in source.blocks(size)), strict=True)
    return blocks, [each for some in rejects for each in some]


def test_pixels_and_catalog_come_back_to_the_bit(built, pairs):
    with Cube(built) as cube:
        np.testing.assert_array_equal(cube.stamp, pairs.stamp)
        np.testing.assert_array_equal(cube.ctrl, pairs.ctrl)
        assert list(cube.catalog) == list(pairs.catalog)
        for name, column in pairs.catalog.items():
            np.testing.assert_array_equal(cube.catalog[name], column)
        np.testing.assert_array_equal(cube.row, pairs.row)
        np.testing.assert_array_equal(cube.digest, pairs.digest)
        assert repr(cube).endswith("cube.h5: 60 pairs, bands g,r,z, 32 x 32>")
        assert (cube.bands, cube.pixel_scale, cube.shape, len(cube)) == (pairs.bands, pairs.pixel_scale, (32, 32), 60)


def test_pixels_are_mapped_from_the_disk_read_only_and_aligned(built):
    with Cube(built) as cube:
        for image in (cube.stamp, cube.ctrl):
            assert isinstance(image, np.memmap)
            assert image.offset % 4096 == 0
            assert not image.flags.writeable


def test_stored_digests_are_those_of_an_independent_xxh64(built):
    with Cube(built) as cube:
        for row in (0, 31, 59):
            assert cube.digest[row, 0] == xxhash.xxh64_intdigest(cube.stamp[row].tobytes())
            assert cube.digest[row, 1] == xxhash.xxh64_intdigest(cube.ctrl[row].tobytes())


def test_a_cube_holds_what_the_schema_says_and_nothing_else(built):
    with h5py.File(built) as file:
        names = {}
        file.visititems(lambda name, item: names.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        lengths = {"n": 60, "band": 3, "y": 32, "x": 32, "block": 1}
        declared = {each.name: each for each in DATASETS}
        for name, dataset in names.items():
            spec = declared.get(name) or declared[name.split("/")[0] + "/*"]
            assert dataset.chunks is None
            assert dataset.shape == tuple(lengths.get(axis, axis) for axis in spec.axes)
            assert spec.dtype in ("column", dataset.dtype.name) or (
                name in ("stamp", "ctrl") and spec.dtype == "pixels"
            )
            if spec.name == name:
                assert (dataset.attrs["unit"], dataset.attrs["meaning"]) == (spec.unit, spec.meaning)
        assert {each.name for each in datasets_of("float32") if "*" not in each.name} <= set(names)
        assert set(file.attrs) == {each.name for each in ATTRIBUTES}


def test_reading_the_cube_as_a_source_gives_what_was_built(built, pairs):
    source = CubeSource(built)
    blocks, rejects = source_blocks(source)
    assert rejects == []
    assert (source.n_rows, source.bands, source.shape) == (60, pairs.bands, (32, 32))
    for name in ("stamp", "ctrl", "row", "digest", "census"):
        np.testing.assert_array_equal(np.concatenate([getattr(block, name) for block in blocks]), getattr(pairs, name))
    assert blocks[0].stamp.flags.carray
    assert blocks[0].stamp.flags.writeable
    np.testing.assert_array_equal(blocks[1].catalog["region_split"], source.cube.split[17:34])


def test_a_source_speaks_of_the_rows_of_the_cubes_input(tmp_path, pairs):
    """What an audit of the pairs calls row 40 is read from the cube as row 40, though row 3 was rejected."""
    source = MemorySource(pairs, bad={3: "broken", 17: "broken"})
    build_cube(source, tmp_path / "cube.h5", config=from_dict({"audit": {"max_reject_fraction": 0.1}}))
    again = CubeSource(tmp_path / "cube.h5")
    block, _ = again.read(BlockRef(40, 41))
    np.testing.assert_array_equal(block.stamp, pairs.stamp[40:41])
    blocks, _ = source_blocks(again, size=10)
    np.testing.assert_array_equal(np.concatenate([each.row for each in blocks]), np.delete(np.arange(60), [3, 17]))


def test_a_flipped_bit_is_a_reject_and_touches_no_other_pair(copy, pairs):
    with Cube(copy) as cube:
        place = cube.ctrl.offset + cube.ctrl[41].nbytes * 41 + 100
    with open(copy, "r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 4]))
    blocks, rejects = source_blocks(CubeSource(copy))
    assert [(each.row, each.reason) for each in rejects] == [(41, "the ctrl does not match its stored digest")]
    rest = np.setdiff1d(np.arange(60), [41])
    np.testing.assert_array_equal(np.concatenate([block.ctrl for block in blocks]), pairs.ctrl[rest])


def test_a_pickled_cube_carries_its_path_and_no_pixels(built):
    cube = Cube(built)
    _ = cube.stamp, cube.catalog
    payload = pickle.dumps(cube)
    assert len(payload) < 300 + len(str(built))
    np.testing.assert_array_equal(pickle.loads(payload).stamp[3], cube.stamp[3])


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_processes_read_one_cube(built, method):
    cube = Cube(built)
    expected = float(np.sum(cube.stamp[5], dtype=np.float64))
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        assert pool.submit(_total, cube).result() == expected


def _total(cube):
    return float(np.sum(cube.stamp[5], dtype=np.float64))


def test_a_child_of_a_fork_reads_the_open_cube(built):
    cube = Cube(built)
    expected = cube.catalog["ra"][0] + cube.stamp[2, 0, 0, 0]
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_send, args=(cube, sender))
    process.start()
    assert receiver.poll(60)
    assert receiver.recv() == expected
    process.join()


def _send(cube, sender):
    cube.close()
    sender.send(cube.catalog["ra"][0] + cube.stamp[2, 0, 0, 0])


def test_a_closed_cube_reads_anew(built):
    with Cube(built) as cube:
        first = cube.catalog["ra"]
    assert cube.catalog["ra"] is not first
    np.testing.assert_array_equal(cube.catalog["ra"], first)


def test_the_normalizer_is_part_of_the_cube(built):
    with Cube(built) as cube:
        assert cube.normalizer_spec == NormalizerSpec()
        assert cube.config == Config()
        assert cube.normalizer_statistics["stamp"].shape == (60, 3, 2)
        assert (cube.normalizer_statistics["ctrl"][..., 1] > 0).all()


def test_text_of_any_script_and_length_comes_back(tmp_path, pairs):
    names = np.array(["", "é" * 40, "銀河", *["x"] * 57])
    block = pairs.choose(slice(None))
    block.catalog["note/of team"] = names
    build_cube(MemorySource(block), tmp_path / "cube.h5", config=Config())
    with Cube(tmp_path / "cube.h5") as cube:
        np.testing.assert_array_equal(cube.catalog["note/of team"], names)


def test_columns_that_differ_between_blocks_are_refused(tmp_path, pairs):
    some, others = pairs.choose(slice(0, 30)), pairs.choose(slice(30, 60))
    del others.catalog["arc_snr"]
    layout = {"bands": pairs.bands, "shape": (32, 32), "pixel_scale": 0.262}
    statistics, marks = np.zeros((2, 30, 3, 2)), np.zeros((30, 4), np.uint64)
    with CubeWriter(tmp_path / "cube.h5", 60, **layout) as writer:
        writer.append(30, some, statistics, marks)
        with pytest.raises(ColumnError, match="columns arc_snr: got in some blocks only"):
            writer.append(60, others, statistics, marks)
    assert list(tmp_path.iterdir()) == []


def test_two_columns_that_would_share_a_place_are_refused(tmp_path, pairs):
    block = pairs.choose(slice(None))
    block.catalog.update({"a/b": block.catalog["ra"], "a_b": block.catalog["ra"]})
    with pytest.raises(ColumnError, match=r"column 'a_b': got a second 'a_b'"):
        build_cube(MemorySource(block), tmp_path / "cube.h5", config=Config())
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(copy, pairs):
    before = copy.read_bytes()
    with pytest.raises(ExistsError, match="pass --force"):
        CubeWriter(copy, 60, bands=pairs.bands, shape=(32, 32), pixel_scale=0.262)
    assert copy.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path, pairs):
    with pytest.raises(MissingFileError, match=r"folder .*nowhere"):
        CubeWriter(tmp_path / "nowhere" / "cube.h5", 60, bands=pairs.bands, shape=(32, 32), pixel_scale=0.262)


def test_a_cube_that_the_disk_cannot_hold_is_refused_at_once(tmp_path, pairs):
    with pytest.raises(Gen5Error, match=r"GB free on its disk; expected .* GB for 1,000,000,000,000 pairs"):
        CubeWriter(tmp_path / "cube.h5", 10**12, bands=pairs.bands, shape=(32, 32), pixel_scale=0.262)


def test_a_missing_cube_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"cube .*no\.h5: got nothing there"):
        Cube(tmp_path / "no.h5")


@pytest.mark.parametrize("content", [b"", b"SIMPLE  =                    T", b"\x89HDF\r\n\x1a\n"])
def test_bytes_that_are_no_hdf5_are_named(tmp_path, content):
    (tmp_path / "cube.h5").write_bytes(content)
    with pytest.raises(FormatError, match=r"cube .*cube\.h5: got"):
        Cube(tmp_path / "cube.h5")


def test_a_folder_is_no_cube(tmp_path):
    with pytest.raises(FormatError, match="no HDF5 file"):
        Cube(tmp_path)


def test_another_hdf5_file_is_no_cube(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(FormatError, match="an HDF5 file without a schema"):
        Cube(tmp_path / "other.h5")


def test_a_cube_of_another_version_says_what_to_do(copy):
    with h5py.File(copy, "r+") as file:
        file.attrs["schema"] = "gen5astro-cube/7"
    with pytest.raises(SchemaError, match=rf"got schema gen5astro-cube/7; expected {SCHEMA_VERSION}; .*build it again"):
        Cube(copy)


def test_truncation_anywhere_is_refused(copy):
    whole = copy.read_bytes()
    for share in np.linspace(0.0, 0.999, 40):
        copy.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(FormatError):
            Cube(copy)


def damage_shape(file):
    del file["group"]
    file["group"] = np.zeros(4, np.int64)


def damage_layout(file):
    pixels = file["stamp"][...]
    del file["stamp"]
    file.create_dataset("stamp", data=pixels, chunks=True)


def damage_column(file):
    file["catalog/short"] = np.zeros(4)


def damage_order(file):
    file["row"][5] = 0


def damage_attribute(file):
    del file.attrs["normalizer"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.__delitem__("digest"), "digest"),
        (damage_shape, r"/group of int64 \(4,\), not int64 \(60,\)"),
        (damage_layout, "/stamp that is not contiguous"),
        (damage_column, "/catalog/short without a value for every pair"),
        (damage_order, "/row with one row twice"),
        (damage_attribute, "no attribute normalizer"),
    ],
)
def test_a_damaged_cube_is_refused(copy, damage, message):
    with h5py.File(copy, "r+") as file:
        damage(file)
    with pytest.raises(FormatError, match=message):
        Cube(copy)


def test_damage_that_shows_late_is_refused_where_it_is_read(copy):
    with h5py.File(copy, "r+") as file:
        file["split"][3] = 9
        file.attrs["normalizer"] = "{"
    cube = Cube(copy)
    with pytest.raises(FormatError, match="/split with a code of 9"):
        _ = cube.split
    with pytest.raises(FormatError, match="attribute normalizer"):
        _ = cube.normalizer_spec


def test_a_write_that_is_interrupted_in_its_last_step_can_be_resumed(tmp_path, pairs, built, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(hdf5_writer, "cube_digest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=Config())
    assert [path.name for path in tmp_path.iterdir()] == ["cube.h5.part"]
    shown = []
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=Config(), resume=True, advance=shown.append)
    assert shown == [len(pairs)]
    assert isinstance(shown[0], DoneBefore)
    assert [path.name for path in tmp_path.iterdir()] == ["cube.h5"]
    assert Cube(tmp_path / "cube.h5").attributes["cube_digest"] == Cube(built).attributes["cube_digest"]


def test_the_name_appears_only_after_the_data_is_on_the_disk(tmp_path, pairs, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, call=original: (order.append(name), call(*args))[1])
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=Config())
    assert order == ["fsync", "fsync", "replace", "fsync"]


def test_digests_of_content_and_blocks_change_with_any_row():
    digests = np.arange(1200, dtype=np.uint64).reshape(600, 2)
    other = digests.copy()
    other[300, 1] += np.uint64(1)
    row = np.arange(600)
    assert content_digest(digests, row) != content_digest(other, row)
    assert content_digest(digests, row) == content_digest(digests.astype(">u8"), row)
    assert content_digest(digests, row) == content_digest(digests[::-1], row[::-1])
    same = block_checksums(digests) == block_checksums(other)
    np.testing.assert_array_equal(same, [[True, True], [True, False], [True, True]])


@pytest.mark.parametrize("form", FORMS)
def test_the_how_to_reads_a_cube_with_h5py_and_numpy_alone(tmp_path, pairs, monkeypatch, form):
    block = replace(pairs, ctrl=pairs.ctrl.copy())
    block.ctrl[3, 1, 2, 5] = np.nan
    build_cube(
        MemorySource(block), tmp_path / "cube.h5", config=from_dict({"build": {"pixels": form, "nonfinite": "keep"}})
    )
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "howto" / "read_a_cube.rst").read_text(encoding="utf-8")
    codes = [textwrap.dedent(text) for text in re.findall(r"code-block:: python\n\n((?:    .*\n|\n)+)", page)]
    assert len(codes) >= 2
    names = {}
    for code in codes:
        assert "gen5astro" not in code
        exec(code, names)
    cube = Cube("cube.h5")
    np.testing.assert_array_equal(names["first"], cube.stamp[:16])
    with h5py.File("cube.h5") as file:
        np.testing.assert_array_equal(names["fluxes"](file, "ctrl", slice(None)), np.asarray(cube.ctrl))
        np.testing.assert_array_equal(names["stamp"], file["stamp"][...])
    assert np.isnan(cube.ctrl[3, 1, 2, 5])
    assert {names["first"].dtype, cube.stamp.dtype} == {np.dtype(np.float32)}
    assert names["bands"] == ["g", "r", "z"]
    np.testing.assert_array_equal(names["train"], cube.split == "train")


def rst_table(headers, rows):
    """A list table, as the format page has it."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (headers, *rows):
        lines += [f"   {'*' if number == 0 else ' '} - {cell}".rstrip() for number, cell in enumerate(row)]
    return "\n".join(lines)


def test_the_format_page_is_the_schema():
    page = (DOCS / "reference" / "file_format.rst").read_text(encoding="utf-8")
    datasets = [
        (f"``/{each.name}``", each.dtype, f"({', '.join(map(str, each.axes))})", each.unit, each.meaning)
        for each in DATASETS
    ]
    kinds = {str: "text", int: "int64", float: "float64"}
    attributes = [(f"``{each.name}``", kinds[each.dtype], each.meaning) for each in ATTRIBUTES]
    for table in (
        rst_table(("Dataset", "Type", "Shape", "Unit", "Meaning"), datasets),
        rst_table(("Attribute", "Type", "Meaning"), attributes),
    ):
        assert table in page, f"the page should have\n{table}"
