"""Shards hold neighbors on the sky, are read as one cube, and can be built through any number of kills."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from gen5astro.build import build_cube
from gen5astro.config import InjectConfig
from gen5astro.errors import ExistsError, FormatError, MissingFileError, SchemaError
from gen5astro.inject import inject_blocks
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.hdf5 import Cube, content_digest
from gen5astro.io.journal import Journal
from gen5astro.io.parquet import PairWriter
from gen5astro.io.paths import TablePairs
from gen5astro.kernels.fingerprint import fingerprint
from gen5astro.sample import load_hosts, load_known_lenses
from gen5astro.settings import from_dict
from gen5astro.shards import plan_shards
from gen5astro.verify import verify_cube
from tests.io.inputs import table_of_paths
from tests.sources import MemorySource

DOCS = Path(__file__).parent.parent / "docs"
SHARDED = from_dict({"build": {"shard_pairs": 25, "block": 16}, "audit": {"max_reject_fraction": 0.5}})
WHOLE = from_dict({"build": {"block": 16}, "audit": {"max_reject_fraction": 0.5}})


@pytest.fixture(scope="module")
def pairs():
    (block,) = inject_blocks(load_hosts(), 90, seed=5, config=InjectConfig(size=32), block=90)
    return block


@pytest.fixture(scope="module")
def built(pairs, tmp_path_factory):
    """The same pairs in shards and in one file; two rows rejected."""
    folder = tmp_path_factory.mktemp("built")
    for name, config in (("shards", SHARDED), ("whole", WHOLE)):
        build_cube(MemorySource(pairs, bad={3: "torn", 40: "torn"}), folder / f"{name}.h5", config=config)
    return folder


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_a_shard_is_a_run_of_cells_and_no_larger_than_asked_for():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 360, 5000), np.degrees(np.arcsin(rng.uniform(-1, 1, 5000)))
    plan = plan_shards(ra, dec, 600)
    shard = plan.find(ra, dec)
    np.testing.assert_array_equal(np.bincount(shard), plan.counts)
    assert plan.counts.max() <= 600
    assert 9 <= len(plan) <= 10
    assert plan.find(ra[:1] + 1e-6, dec[:1]) == shard[0]


def test_neighbors_on_the_sky_are_in_one_shard():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 40, 20_000), rng.uniform(-20, 20, 20_000)
    shard = plan_shards(ra, dec, 2000).find(ra, dec)
    near = plan_shards(ra, dec, 2000).find(ra + 0.1, dec)
    assert (shard == near).mean() > 0.9


def test_few_objects_need_no_shards_and_objects_without_a_place_have_one():
    assert plan_shards(np.zeros(10), np.zeros(10), 10) is None
    ra, dec = np.array([10.0, np.nan, 200.0, 50.0]), np.array([0.0, 0.0, np.nan, 95.0])
    plan = plan_shards(ra, dec, 2)
    assert plan.find(ra, dec).tolist() == [0, 1, 1, 1]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_cube_in_shards_has_the_pairs_of_the_cube_in_one_file(built):
    shards, whole = Cube(built / "shards.h5"), Cube(built / "whole.h5")
    assert len(shards.files) == 5
    order = np.argsort(shards.row)
    for name in ("stamp", "ctrl", "row", "digest", "fingerprint", "split", "group"):
        np.testing.assert_array_equal(np.asarray(getattr(shards, name))[order], getattr(whole, name), err_msg=name)
    for name, column in whole.catalog.items():
        np.testing.assert_array_equal(shards.catalog[name][order], column, err_msg=name)
    for name, values in whole.normalizer_statistics.items():
        np.testing.assert_array_equal(shards.normalizer_statistics[name][order], values)
    for name in ("input_digest", "n_in", "n_ok", "n_rejected"):
        assert shards.attributes[name] == whole.attributes[name]
    assert (built / "whole.rejects.parquet").read_bytes() == (built / "shards.rejects.parquet").read_bytes()


def test_hdf5_alone_reads_the_shards_through_the_index(built):
    shards = Cube(built / "shards.h5")
    with h5py.File(built / "shards.h5") as file:
        np.testing.assert_array_equal(file["stamp"][...], np.asarray(shards.stamp))
        np.testing.assert_array_equal(file["ctrl"][17:61], shards.ctrl[17:61])


def test_the_how_to_maps_the_shards_with_h5py_and_numpy_alone(built):
    page = (DOCS / "howto" / "read_a_cube.rst").read_text(encoding="utf-8")
    codes = [textwrap.dedent(each) for each in re.findall(r"(?:^    .*\n|^\n)+", page, re.M)]
    (plain,), (any_cube,) = ([each for each in codes if words in each] for words in ('np.memmap("cube', "def mapped"))
    assert "gen5astro" not in any_cube
    for name in ("shards", "whole"):
        cube, names = built / f"{name}.h5", {}
        exec(any_cube.replace("cube.h5", str(cube)), names)
        np.testing.assert_array_equal(np.concatenate(names["stamps"]), np.asarray(Cube(cube).stamp))
        np.testing.assert_array_equal(np.concatenate(names["mapped"](cube, "ctrl")), np.asarray(Cube(cube).ctrl))
    exec(plain.replace("cube.h5", str(built / "whole.h5")), names)
    np.testing.assert_array_equal(names["stamp"], Cube(built / "whole.h5").stamp)
    with pytest.raises(AssertionError, match="lie in shards"):
        exec(plain.replace("cube.h5", str(built / "shards.h5")), names)


@pytest.mark.parametrize(
    "key",
    [
        0,
        -1,
        np.int64(50),
        slice(None),
        slice(20, 22),
        slice(10, 70),
        slice(None, None, 7),
        slice(5, 5),
        [80, 3, 3, 41],
        np.arange(88) % 3 == 0,
        (12, 1),
        (slice(10, 40), 0, slice(4, 9)),
        ([60, 2], slice(None), 5),
    ],
    ids=str,
)
def test_shards_are_indexed_as_one_array(built, key):
    shards = Cube(built / "shards.h5")
    np.testing.assert_array_equal(shards.stamp[key], np.asarray(shards.stamp)[key])
    assert (shards.stamp.shape, shards.stamp.ndim, len(shards.stamp)) == ((88, 3, 32, 32), 4, 88)


def test_a_row_that_is_not_there_is_an_index_error(built):
    with pytest.raises(IndexError, match="row 88 of 88"):
        _ = Cube(built / "shards.h5").stamp[88]


def test_a_cube_of_a_cube_in_shards_has_its_content(built, tmp_path):
    build_cube(CubeSource(built / "shards.h5"), tmp_path / "again.h5", config=SHARDED)
    one, two = Cube(built / "shards.h5"), Cube(tmp_path / "again.h5")
    assert one.attributes["input_digest"] == two.attributes["input_digest"]
    np.testing.assert_array_equal(np.asarray(one.ctrl)[np.argsort(one.row)], np.asarray(two.ctrl)[np.argsort(two.row)])


def test_a_cube_in_shards_can_be_moved(built, tmp_path):
    for name in ("shards.h5", "shards.shards"):
        (tmp_path / name).symlink_to(built / name)
    np.testing.assert_array_equal(Cube(tmp_path / "shards.h5").stamp[33], Cube(built / "shards.h5").stamp[33])


def test_a_shard_that_is_gone_or_cut_is_named(pairs, tmp_path):
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=SHARDED)
    shard = Cube(tmp_path / "cube.h5").files[2]
    content = shard.read_bytes()
    shard.write_bytes(content[:-100])
    with pytest.raises(FormatError, match=r"cube .*0001\.h5: got a truncated file: [\d,]+ of [\d,]+ bytes"):
        Cube(tmp_path / "cube.h5")
    shard.unlink()
    with pytest.raises(MissingFileError, match=r"shard .*0001\.h5: got nothing there.*and the folder cube\.shards"):
        Cube(tmp_path / "cube.h5")


def test_a_cube_in_one_file_takes_the_place_of_one_in_shards(pairs, tmp_path):
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=SHARDED)
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=WHOLE, force=True)
    assert [each.name for each in tmp_path.iterdir()] == ["cube.h5"]


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "pairs.parquet"
    with PairWriter(path, pairs.bands, pairs.pixel_scale) as writer:
        writer.write(pairs)
    return path


_BUILD = """
import sys, time
from gen5astro.build import build_cube
from gen5astro.io import open_pairs
from gen5astro.settings import from_dict
source, out, shard = sys.argv[1:]
config = from_dict({"build": {"shard_pairs": int(shard), "block": 6}})

def advance(n):
    print(n, flush=True)
    time.sleep(0.02)

build_cube(open_pairs(source), out, config=config, resume=True, threads=1, advance=advance)
"""


@pytest.mark.parametrize("shard", [1000, 25])
def test_a_build_that_is_killed_again_and_again_ends_as_one_that_is_not(table, tmp_path, shard):
    command = [sys.executable, "-c", _BUILD, str(table)]
    subprocess.run([*command, str(tmp_path / "whole.h5"), str(shard)], check=True, stdout=subprocess.DEVNULL)
    rng, kills = np.random.default_rng(shard), 0
    while kills < 4:
        process = subprocess.Popen([*command, str(tmp_path / "cube.h5"), str(shard)], stdout=subprocess.PIPE, text=True)
        for _ in range(rng.integers(1, 6)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += 1
        assert not (tmp_path / "cube.h5").exists()
    subprocess.run([*command, str(tmp_path / "cube.h5"), str(shard)], check=True, stdout=subprocess.DEVNULL)
    one, two = Cube(tmp_path / "whole.h5"), Cube(tmp_path / "cube.h5")
    assert one.attributes["cube_digest"] == two.attributes["cube_digest"]
    for name in ("stamp", "ctrl"):
        np.testing.assert_array_equal(np.asarray(getattr(one, name)), np.asarray(getattr(two, name)))
    assert not (tmp_path / "cube.h5.part").exists()


class Interrupted(MemorySource):
    """Comes as far as row 40."""

    def read(self, ref):
        if ref.start >= 40:
            raise KeyboardInterrupt
        return super().read(ref)


def interrupted(pairs, out, config=WHOLE):
    with contextlib.suppress(KeyboardInterrupt):
        build_cube(Interrupted(pairs), out, config=config, threads=1)


def test_what_is_left_is_neither_begun_anew_nor_gone_on_with_unasked(pairs, tmp_path):
    interrupted(pairs, tmp_path / "cube.h5")
    with pytest.raises(ExistsError, match=r"got a build that was interrupted; pass --resume to go on with it"):
        build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=WHOLE)
    seen = []
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=WHOLE, resume=True, advance=seen.append)
    assert seen[0] == 48
    assert sum(seen) == 90


@pytest.mark.parametrize("config", [WHOLE, SHARDED], ids=["one file", "shards"])
@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_build_that_is_killed_in_its_last_moment_is_whole_when_it_is_resumed(
    pairs, tmp_path, monkeypatch, config, renames
):
    out, done, rename = tmp_path / "cube.h5", [], os.replace

    def killed(*paths):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(rename(*paths))

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        build_cube(MemorySource(pairs), out, config=config)
    build_cube(MemorySource(pairs), out, config=config, resume=True)
    summary = build_cube(MemorySource(pairs), out, config=config, resume=True)
    assert summary["counts"]["n_ok"] == 90
    cube = Cube(out)
    np.testing.assert_array_equal(np.asarray(cube.stamp)[np.argsort(cube.row)], pairs.stamp)
    assert not (tmp_path / "cube.h5.part").exists()


def test_a_cube_of_another_build_is_not_taken_for_the_one_to_resume(pairs, tmp_path):
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=WHOLE)
    with pytest.raises(ExistsError, match="got a cube of other pairs or with other settings"):
        build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=SHARDED, resume=True)


@pytest.mark.parametrize("config", [WHOLE, SHARDED], ids=["one file", "shards"])
def test_a_build_in_the_place_of_an_older_cube_is_gone_on_with(pairs, tmp_path, config):
    out = tmp_path / "cube.h5"
    build_cube(MemorySource(pairs, bad={0: "torn"}), out, config=config)
    with contextlib.suppress(KeyboardInterrupt):
        build_cube(Interrupted(pairs), out, config=config, threads=1, force=True)
    assert len(Cube(out)) == 89
    assert build_cube(MemorySource(pairs), out, config=config, resume=True)["counts"]["n_ok"] == 90
    assert verify_cube(out)["status"] == "PASS"
    assert not (tmp_path / "cube.h5.part").exists()


def test_another_build_is_not_resumed(pairs, tmp_path):
    interrupted(pairs, tmp_path / "cube.h5")
    other = from_dict({"build": {"block": 16, "split_seed": 11}, "audit": {"max_reject_fraction": 0.5}})
    with pytest.raises(SchemaError, match=r"build\.split_seed of what is to be resumed in .*got 11; expected 0"):
        build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=other, resume=True)
    assert (tmp_path / "cube.h5.part").exists()
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=other, force=True)


def test_a_build_of_images_that_have_changed_since_is_not_resumed(tmp_path):
    (pairs,) = inject_blocks(load_hosts(), 60, seed=5, config=InjectConfig(size=32), block=60)
    table = table_of_paths("npy")(tmp_path, pairs)

    class Broken(TablePairs):
        def read(self, ref):
            if ref.start >= 32:
                raise KeyboardInterrupt
            return super().read(ref)

    def build(source, name, **options):
        return build_cube(source(table), tmp_path / name, config=WHOLE, threads=1, **options)

    for name in ("same.h5", "other.h5"):
        with contextlib.suppress(KeyboardInterrupt):
            build(Broken, name)
    assert build(TablePairs, "same.h5", resume=True)["counts"]["n_ok"] == 60
    np.save(tmp_path / "images" / "ctrl50.npy", pairs.ctrl[3].transpose(1, 2, 0))
    with pytest.raises(SchemaError, match="input files of what is to be resumed"):
        build(TablePairs, "other.h5", resume=True)
    (tmp_path / "images" / "ctrl50.npy").unlink()
    with pytest.raises(SchemaError, match="input files of what is to be resumed"):
        build(TablePairs, "other.h5", resume=True)


@pytest.mark.parametrize("shard", [1000, 25])
def test_pairs_left_out_are_remembered_by_the_build_that_goes_on(tmp_path, shard):
    # Smaller images have no fingerprints.
    (pairs,) = inject_blocks(load_hosts(), 90, seed=5, config=InjectConfig(size=48), block=90)
    ra, dec = pairs.catalog["ra"].copy(), pairs.catalog["dec"].copy()
    ra[[7, 60]], dec[[7, 60]] = (load_known_lenses()[3][name] for name in ("ra", "dec"))
    block = dataclasses.replace(pairs, catalog=pairs.catalog | {"ra": ra, "dec": dec})
    record = {"schema": "gen5astro-audit/1", "status": "PASS", "gates": {}}
    provenance = {"input_digest": content_digest(block.digest, block.row)}
    (tmp_path / "audit.json").write_text(json.dumps(record | {"provenance": provenance}))
    config = from_dict({"build": {"block": 16, "shard_pairs": shard}, "audit": {"max_reject_fraction": 0.0}})
    options = {"config": config, "audit": tmp_path / "audit.json"}
    with contextlib.suppress(KeyboardInterrupt):
        build_cube(Interrupted(block), tmp_path / "cube.h5", threads=1, **options)
    summary = build_cube(MemorySource(block), tmp_path / "cube.h5", resume=True, **options)
    assert summary["counts"] == {"n_in": 90, "n_ok": 88, "n_rejected": 2}
    assert pq.read_table(tmp_path / "cube.rejects.parquet")["row"].to_pylist() == [7, 60]
    cube = Cube(tmp_path / "cube.h5")
    np.testing.assert_array_equal(cube.fingerprint, fingerprint(np.asarray(cube.ctrl)))
    assert cube.fingerprint.any(axis=1).all()
    assert verify_cube(tmp_path / "cube.h5")["status"] == "PASS"
    # The cube as an input has the pairs that it holds; lenses are looked for there too.
    again = build_cube(CubeSource(tmp_path / "cube.h5"), tmp_path / "again.h5", config=config)
    assert again["counts"] == {"n_in": 88, "n_ok": 88, "n_rejected": 0}
    assert again["digests"]["input"] == summary["digests"]["input"]


def test_what_a_repair_moved_is_told_alike_of_shards(pairs, tmp_path):
    host = np.unique(pairs.catalog["host_id"], return_inverse=True)[1]
    given = np.array(["train", "val", "test"])[host % 3]
    given[::9] = "train"
    block = dataclasses.replace(pairs, catalog=pairs.catalog | {"region_split": given})
    told = {}
    for shard in (1000, 25):
        config = from_dict({"build": {"split": "given", "repair": True, "shard_pairs": shard}})
        told[shard] = build_cube(MemorySource(block), tmp_path / f"{shard}.h5", config=config)
        assert told[shard]["moved"] == pq.read_table(tmp_path / f"{shard}.moved.parquet").to_pylist()
        assert verify_cube(tmp_path / f"{shard}.h5")["status"] == "PASS"
    assert told[25]["shards"] > 1
    assert told[1000]["moved"] == told[25]["moved"]
    assert len(told[25]["moved"]) > 1


def test_what_did_not_reach_the_disk_is_read_again(pairs, tmp_path):
    interrupted(pairs, tmp_path / "cube.h5")
    part = tmp_path / "cube.h5.part"
    with Journal(part / "journal") as journal:
        records = [dict(record) for record in journal if "synced" not in record]
        journal.cut(0)
        for record in records:
            journal.append(record)
    with h5py.File(part / "pixels.h5", "r+") as file:
        file["ctrl"][20] = 0
    seen = []
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=WHOLE, resume=True, advance=seen.append)
    assert seen[0] == 16
    np.testing.assert_array_equal(Cube(tmp_path / "cube.h5").ctrl, pairs.ctrl)


def test_a_journal_forgets_a_torn_record_and_goes_on(tmp_path):
    path = tmp_path / "journal"
    with Journal(path) as journal:
        for number in range(3):
            journal.append({"number": np.int64(number), "text": np.array(["a", "\N{GREEK SMALL LETTER THETA}"])})
    whole = path.read_bytes()
    for cut in (1, 30, 200):
        path.write_bytes(whole[:-cut])
        with Journal(path) as journal:
            assert [int(record["number"]) for record in journal] == [0, 1]
            journal.append({"number": np.int64(7)})
            assert [int(record["number"]) for record in journal] == [0, 1, 7]
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    path.write_bytes(damaged)
    with Journal(path) as journal:
        assert [int(record["number"]) for record in journal] == [0]


def test_a_full_disk_ends_with_the_systems_word_and_no_cube(pairs, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left on device"):
        build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=WHOLE)
    assert not (tmp_path / "cube.h5").exists()
