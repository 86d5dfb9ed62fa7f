import dataclasses

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from gen5astro.build import build_cube
from gen5astro.config import Config
from gen5astro.errors import ConfigError, SchemaError
from gen5astro.io import open_pairs
from gen5astro.io.appended import AppendedPairs
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.hdf5 import Cube
from gen5astro.settings import from_dict
from gen5astro.splits import SPLITS
from gen5astro.verify import verify_cube
from tests.factories import make_pairs
from tests.sources import MemorySource

FEW = {"build": {"shard_pairs": 40, "block": 16}}


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(120, np.random.default_rng(3), size=32)


@pytest.fixture(scope="module")
def old(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("old") / "old.h5"
    build_cube(MemorySource(pairs.choose(slice(0, 60))), path, config=Config())
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "new.h5"


def new_pairs(pairs, **columns):
    """The pairs that are not in the old cube, some of their columns replaced: ``name={row: value}``."""
    block = pairs.choose(np.arange(60, 120))
    block = dataclasses.replace(block, row=np.arange(60))
    for name, values in columns.items():
        column = block.catalog[name].astype("U40" if name == "host_id" else float)
        for row, value in values.items():
            column[row] = value
        block.catalog[name] = column
    return block


def rejected(out):
    table = pq.read_table(out.with_name("new.rejects.parquet")).to_pydict()
    return dict(zip(table["row"], table["reason"], strict=True))


@pytest.mark.parametrize("settings", [{}, FEW], ids=["one file", "shards"])
def test_pairs_are_appended_and_no_old_pair_changes_its_split(old, out, pairs, settings):
    source = AppendedPairs(old, MemorySource(new_pairs(pairs)))
    summary = build_cube(source, out, config=from_dict(settings))
    assert summary["counts"] == {"n_in": 120, "n_ok": 120, "n_rejected": 0}
    assert bool(summary["shards"]) == bool(settings)
    with Cube(old) as before, Cube(out) as after:
        order = np.argsort(after.row)
        np.testing.assert_array_equal(after.row[order], np.arange(120))
        np.testing.assert_array_equal(after.split[order][:60], before.split[np.argsort(before.row)])
        np.testing.assert_array_equal(after.digest[order], pairs.digest)
        np.testing.assert_array_equal(np.asarray(after.stamp)[order], pairs.stamp)
        host, split = after.catalog["host_id"][order], after.split[order]
        for each in set(host):
            assert len(set(split[host == each])) == 1
        assert set(split[60:]) == set(SPLITS)
    assert verify_cube(out)["status"] == "PASS"


@pytest.mark.parametrize("settings", [{}, FEW], ids=["one file", "shards"])
def test_a_new_pair_between_two_splits_is_left_out_and_said(old, out, pairs, settings):
    with Cube(old) as cube:
        names = {split: cube.catalog["host_id"][cube.split == split][0] for split in ("train", "test")}
        places = {name: cube.catalog[name][cube.catalog["host_id"] == names["test"]][0] for name in ("ra", "dec")}
    torn = (5, 6, 30, 59)
    changes = {name: dict.fromkeys(torn, place) for name, place in places.items()}
    block = new_pairs(pairs, host_id=dict.fromkeys(torn, names["train"]), **changes)
    summary = build_cube(AppendedPairs(old, MemorySource(block)), out, config=from_dict(settings))
    assert summary["counts"] == {"n_in": 120, "n_ok": 116, "n_rejected": 4}
    assert list(rejected(out)) == [60 + row for row in torn]
    assert all("in different splits" in reason for reason in rejected(out).values())
    with Cube(out) as cube:
        order, kept = np.argsort(cube.row), np.delete(np.arange(120), [60 + row for row in torn])
        np.testing.assert_array_equal(cube.row[order], kept)
        np.testing.assert_array_equal(np.asarray(cube.ctrl)[order], pairs.ctrl[kept])
        np.testing.assert_array_equal(cube.stamp[np.arange(len(cube))], np.asarray(cube.stamp))
        np.testing.assert_array_equal(cube.digest[order], pairs.digest[kept])
    with h5py.File(out, locking=False) as file, Cube(out) as cube:
        np.testing.assert_array_equal(file["stamp"][...], np.asarray(cube.stamp))
    assert verify_cube(out)["status"] == "PASS"


def test_a_pair_that_is_there_already_is_not_doubled(old, out, pairs):
    again = dataclasses.replace(pairs.choose(np.arange(50, 70)), row=np.arange(20))
    build_cube(AppendedPairs(old, MemorySource(again)), out, config=Config())
    assert rejected(out) == {60 + at: f"the pair is in the cube already, as row {50 + at}" for at in range(10)}
    with Cube(out) as cube:
        np.testing.assert_array_equal(np.sort(cube.row), [*range(60), *range(70, 80)])


def test_cubes_grow_again_and_again(old, tmp_path, pairs):
    block, grown = new_pairs(pairs), old
    for step in range(3):
        part = dataclasses.replace(block.choose(np.arange(20 * step, 20 * step + 20)), row=np.arange(20))
        bigger = tmp_path / f"{step}.h5"
        build_cube(AppendedPairs(grown, MemorySource(part)), bigger, config=Config())
        grown = bigger
    with Cube(old) as before, Cube(grown) as after:
        assert (
            dict(zip(before.row, before.split, strict=True)).items()
            <= dict(zip(after.row, after.split, strict=True)).items()
        )
        np.testing.assert_array_equal(after.digest[np.argsort(after.row)], pairs.digest)


def test_columns_that_one_side_lacks_are_empty_there(old, out, pairs):
    block = new_pairs(pairs)
    block.catalog["seeing"] = np.arange(60.0)
    block.catalog["observer"] = np.full(60, "somebody")
    del block.catalog["arc_snr"]
    build_cube(AppendedPairs(old, MemorySource(block)), out, config=Config())
    with Cube(out) as cube:
        order = np.argsort(cube.row)
        columns = {name: values[order] for name, values in cube.catalog.items()}
        np.testing.assert_array_equal(columns["seeing"], [np.nan] * 60 + list(range(60)))
        assert set(columns["observer"][:60]) == {""}
        assert set(columns["observer"][60:]) == {"somebody"}
        assert np.isnan(columns["arc_snr"][60:]).all()
        assert np.isfinite(columns["arc_snr"][:60]).all()


def test_sizes_of_the_psf_ride_along_where_only_new_pairs_have_images_of_it(old, out, pairs):
    psf = np.zeros((60, len(pairs.bands), 9, 9), np.float32)
    y, x = np.mgrid[-4:5, -4:5]
    psf[:] = np.exp(-(x**2 + y**2) / 2) / np.exp(-(x**2 + y**2) / 2).sum()
    block = dataclasses.replace(new_pairs(pairs), psf=psf)
    for band in pairs.bands:
        del block.catalog[f"psfsize_{band}"]
    build_cube(AppendedPairs(old, MemorySource(block)), out, config=Config())
    with Cube(out) as cube:
        sizes = cube.catalog["psfsize_r"][np.argsort(cube.row)]
        np.testing.assert_allclose(sizes[60:], np.sqrt(8 * np.log(2)) * pairs.pixel_scale, rtol=0.02)


@pytest.mark.parametrize("left", [1, 3, 4])
def test_a_build_that_appends_is_resumed(old, tmp_path, pairs, left, monkeypatch):
    config = from_dict(FEW)
    whole, out = tmp_path / "whole.h5", tmp_path / "new.h5"
    build_cube(AppendedPairs(old, MemorySource(new_pairs(pairs))), whole, config=config)

    class Breaking(MemorySource):
        reads = 0

        def read(self, ref):
            Breaking.reads += 1
            if Breaking.reads > left:
                raise KeyboardInterrupt
            return super().read(ref)

    with pytest.raises(KeyboardInterrupt):
        build_cube(AppendedPairs(old, Breaking(new_pairs(pairs))), out, config=config, threads=1)
    build_cube(AppendedPairs(old, MemorySource(new_pairs(pairs))), out, config=config, resume=True)
    assert Cube(out).attributes["cube_digest"] == Cube(whole).attributes["cube_digest"]
    again = build_cube(AppendedPairs(old, MemorySource(new_pairs(pairs))), out, config=config, resume=True)
    assert again["counts"]["n_ok"] == 120


def test_a_damaged_pair_of_the_old_cube_is_a_reject(old, tmp_path, pairs):
    damaged, out = tmp_path / "damaged.h5", tmp_path / "new.h5"
    damaged.write_bytes(old.read_bytes())
    with h5py.File(damaged, "r+") as file:
        file["stamp"][7, 0, 3, 3] += 1
    source = AppendedPairs(damaged, MemorySource(new_pairs(pairs)))
    build_cube(source, out, config=from_dict({"audit": {"max_reject_fraction": 0.1}}))
    assert list(rejected(out)) == [Cube(old).row[7]]


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({"build": {"split_seed": 5}}, {}, r"build.split_seed: got 5; expected 0, as in .*old.h5; pass --set"),
        ({"normalize": {"kind": "core"}}, {}, "normalize.kind: got core; expected sky"),
        ({"build": {"split": "given", "repair": True}}, {}, "build.repair"),
        ({}, {"audit": "audit.json"}, "audit audit.json: got an audit with pairs to append; build without it"),
    ],
)
def test_what_cannot_be_kept_is_refused(old, out, pairs, settings, options, message):
    with pytest.raises(ConfigError, match=message):
        build_cube(AppendedPairs(old, MemorySource(new_pairs(pairs))), out, config=from_dict(settings), **options)
    assert not list(out.parent.iterdir())


def test_a_cube_is_not_appended_to_in_its_own_place(old, pairs):
    before = old.read_bytes()
    with pytest.raises(ConfigError, match="the cube to append to; expected another place"):
        build_cube(AppendedPairs(old, MemorySource(new_pairs(pairs))), old, config=Config(), force=True)
    assert old.read_bytes() == before


def test_pairs_of_another_kind_are_refused(old, pairs):
    with pytest.raises(SchemaError, match=r"shape of memory: got \(48, 48\); expected \(32, 32\), as in .*old.h5"):
        AppendedPairs(old, MemorySource(make_pairs(30, np.random.default_rng(1), size=48)))


def test_a_cube_is_appended_to_a_cube(old, out, tmp_path, pairs):
    other = tmp_path / "other.h5"
    build_cube(MemorySource(new_pairs(pairs)), other, config=Config())
    build_cube(AppendedPairs(old, CubeSource(other)), out, config=Config())
    with Cube(out) as cube:
        np.testing.assert_array_equal(cube.digest[np.argsort(cube.row)], pairs.digest)


def test_each_quantity_that_differs_has_its_own_remedy(old, pairs, tmp_path):
    for name, remedy in (("bands", "--bands"), ("pixel_scale", "same pixel scale: one cube has one")):
        other = dataclasses.replace(pairs, **{name: ("g", "r", "i") if name == "bands" else 0.3})
        with pytest.raises(SchemaError, match=remedy):
            AppendedPairs(old, MemorySource(other))
    with pytest.raises(SchemaError, match="--size"):
        AppendedPairs(old, MemorySource(make_pairs(4, np.random.default_rng(0))))


def test_a_pixel_scale_that_is_only_assumed_is_to_be_stated(old, pairs, tmp_path):
    np.save(tmp_path / "a.npy", pairs.stamp[0])
    (tmp_path / "table.csv").write_text("stamp_path,ctrl_path\na.npy,a.npy\n")
    said = r"got 0.262, which is assumed; expected 0.263, .*if it is the same, say so with --pixel-scale 0.263"
    with pytest.raises(SchemaError, match=said):
        AppendedPairs(old, open_pairs(tmp_path / "table.csv"))
    AppendedPairs(old, open_pairs(tmp_path / "table.csv", pixel_scale=0.263))
