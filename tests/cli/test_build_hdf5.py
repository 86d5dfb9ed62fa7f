"""The verb build-hdf5: from a file of pairs to a cube, or one clear line and no cube."""

import dataclasses
import json
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.io.hdf5 import Cube, content_digest
from gen5astro.io.parquet import PairWriter
from tests.factories import make_pairs


def run(*arguments):
    return CliRunner().invoke(main, ["build-hdf5", *map(str, arguments)])


@pytest.fixture(scope="module")
def block():
    return make_pairs(60, np.random.default_rng(5), size=32)


@pytest.fixture(scope="module")
def pairs(block, tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    with PairWriter(path, block.bands, block.pixel_scale) as writer:
        writer.write(block)
    return path


@pytest.fixture
def audit(block, tmp_path):
    record = {
        "schema": "gen5astro-audit/1",
        "status": "PASS",
        "gates": {},
        "provenance": {"input_digest": content_digest(block.digest, block.row)},
    }
    (tmp_path / "audit.json").write_text(json.dumps(record))
    return tmp_path / "audit.json"


def test_a_cube_holds_the_pixels_of_the_file_and_its_audit(tmp_path, pairs, block, audit):
    result = run(pairs, "--out", tmp_path / "cube.h5", "--audit", audit)
    assert result.exit_code == 0, result.output
    assert "60 of 60 rows (0 rejected)" in result.output
    assert f"wrote {tmp_path / 'cube.h5'}; next: gen5astro train" in result.stderr
    with Cube(tmp_path / "cube.h5") as cube:
        np.testing.assert_array_equal(cube.stamp, block.stamp)
        np.testing.assert_array_equal(cube.ctrl, block.ctrl)
        assert cube.audit == json.loads(audit.read_text())


@pytest.mark.parametrize("status", ["FAIL", "ERROR", "INSUFFICIENT"])
def test_an_audit_that_did_not_pass_is_warned_of(tmp_path, pairs, audit, status):
    record = json.loads(audit.read_text())
    gates = {"core_leakage": {"status": status}, "six_channel_viability": {"status": "FAIL", "advisory": True}}
    audit.write_text(json.dumps(record | {"status": status, "gates": gates}))
    result = run(pairs, "--out", tmp_path / "cube.h5", "--audit", audit)
    assert result.exit_code == 0, result.output
    what = "not all of it could be judged" if status == "INSUFFICIENT" else "a network may learn the fault"
    assert f"warning: the audit of these pairs says {status} (core_leakage): {what}" in result.stderr
    assert "next:" not in result.stderr


def test_settings_reach_the_cube(tmp_path, pairs):
    settings = ("--set", "fractions=[0.5, 0.25, 0.25]", "--set", "normalize.kind=standard", "--json", "--threads", 1)
    result = run(pairs, "--out", tmp_path / "cube.h5", *settings)
    assert json.loads(result.stdout)["normalizer"]["kind"] == "standard"
    with Cube(tmp_path / "cube.h5") as cube:
        assert cube.config.build.fractions == (0.5, 0.25, 0.25)
        assert cube.normalizer_spec.kind == "standard"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--split", "brick", "--set", "split=sky"), "--split brick: got --set split=sky as well"),
        (("--pixels", "int16", "--set", "build.pixels=float16"), "--pixels int16: got --set build.pixels=float16"),
        (("--repair", "--set", "repair=false"), "--repair: got --set repair=false as well"),
        (("--max-reject-fraction", 0.1, "--set", "audit.max_reject_fraction=0.2"), "--max-reject-fraction 0.1: got"),
    ],
)
def test_an_option_and_a_setting_of_one_key_must_agree(tmp_path, pairs, arguments, said):
    result = run(pairs, "--out", tmp_path / "cube.h5", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert list(tmp_path.iterdir()) == []
    same = ("--pixels", "float16", "--set", "pixels=float16")
    assert run(pairs, "--out", tmp_path / "cube.h5", *same).exit_code == 0
    assert Cube(tmp_path / "cube.h5").form == "float16"


@pytest.mark.parametrize("name", ["cube.txt", "cube", "cube.parquet"])
def test_a_cube_ends_as_hdf5_does(tmp_path, pairs, name):
    result = run(pairs, "--out", tmp_path / name)
    assert result.exit_code == 2
    assert "expected .h5 or .hdf5: it is HDF5" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_given_split_needs_its_column(tmp_path, pairs):
    result = run(pairs, "--out", tmp_path / "cube.h5", "--split", "given")
    assert result.exit_code == 2
    assert "column region_split" in result.stderr
    assert not (tmp_path / "cube.h5").exists()


def test_a_given_split_is_taken(tmp_path, block):
    some = block.choose(slice(None))
    some.catalog["region_split"] = np.resize(["train", "valid", "test"], 60)
    with PairWriter(tmp_path / "pairs.parquet", block.bands, block.pixel_scale) as writer:
        writer.write(some)
    result = run(tmp_path / "pairs.parquet", "--out", tmp_path / "cube.h5", "--split", "given", "--quiet")
    assert result.exit_code == 0, result.output
    assert result.output == ""
    assert Cube(tmp_path / "cube.h5").split.tolist() == ["train", "val", "test"] * 20


def test_a_given_split_is_mended_and_the_moves_are_named(tmp_path, block):
    some = block.choose(slice(None))
    number = np.unique(block.catalog["host_id"], return_inverse=True)[1]
    some.catalog["region_split"] = np.array(["train", "val", "test"])[number % 3]
    some.catalog["region_split"][0] = "val" if some.catalog["region_split"][0] != "val" else "test"
    with PairWriter(tmp_path / "pairs.parquet", block.bands, block.pixel_scale) as writer:
        writer.write(some)
    leaky = run(tmp_path / "pairs.parquet", "--out", tmp_path / "leaky.h5", "--split", "given")
    assert "the given split leaks: 1 host in more than one split; --repair mends it" in leaky.stderr
    result = run(tmp_path / "pairs.parquet", "--out", tmp_path / "cube.h5", "--split", "given", "--repair")
    assert result.exit_code == 0, result.output
    assert "1 host, 1 pair moved, see" in result.stderr
    assert "the given split: 1 host, 1 pair moved" in result.stdout
    assert "differs" in result.stdout
    (row,) = pq.read_table(tmp_path / "cube.moved.parquet").to_pylist()
    assert row["host"] == block.catalog["host_id"][0]


def test_a_repair_needs_a_given_split(tmp_path, pairs):
    result = run(pairs, "--out", tmp_path / "cube.h5", "--repair")
    assert result.exit_code == 2
    assert "add --split given" in result.stderr


def test_pairs_that_are_given_twice_and_stamps_without_an_arc_are_said(tmp_path, block, pairs):
    assert "copies" not in run(pairs, "--out", tmp_path / "sound.h5").output
    ctrl = block.choose([0])
    ctrl = dataclasses.replace(ctrl, stamp=ctrl.ctrl)
    with PairWriter(tmp_path / "twice.parquet", block.bands, block.pixel_scale) as writer:
        for each in (block, block, ctrl):
            writer.write(each)
    result = run(tmp_path / "twice.parquet", "--out", tmp_path / "cube.h5")
    said = "60 pairs are copies of others and 1 stamp is its ctrl, to the last bit"
    assert f"warning: {said}\n" in result.stderr
    shown = CliRunner().invoke(main, ["info", str(tmp_path / "cube.h5"), "--json"])
    assert json.loads(shown.stdout)["copies"] == {"pairs": 60, "without_arc": 1}


def test_a_cube_is_built_of_a_cube(tmp_path, pairs):
    run(pairs, "--out", tmp_path / "one.h5")
    result = run(tmp_path / "one.h5", "--out", tmp_path / "two.h5")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(Cube(tmp_path / "two.h5").stamp, Cube(tmp_path / "one.h5").stamp)


def test_what_is_there_is_kept_unless_forced(tmp_path, pairs):
    out = tmp_path / "cube.h5"
    out.write_text("mine")
    result = run(pairs, "--out", out)
    assert (result.exit_code, out.read_text()) == (2, "mine")
    assert "--force" in result.stderr
    assert run(pairs, "--out", out, "--force").exit_code == 0


def test_an_audit_of_other_pairs_is_one_line_and_no_cube(tmp_path, pairs, audit):
    record = json.loads(audit.read_text())
    record["provenance"]["input_digest"] = "0" * 64
    audit.write_text(json.dumps(record))
    result = run(pairs, "--out", tmp_path / "cube.h5", "--audit", audit, "--quiet")
    assert result.exit_code == 2
    assert "run gen5astro audit-injection on these pairs" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "cube.h5").exists()


def test_what_was_matched_assumed_and_rejected_is_said(tmp_path, pairs):
    table = pq.read_table(pairs)
    stamps = [b"junk" if row == 7 else stamp for row, stamp in enumerate(table["stamp_npz"].to_pylist())]
    table = table.set_column(table.column_names.index("stamp_npz"), "stamp", pa.array(stamps, pa.binary()))
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "theirs.parquet")
    strict = run(tmp_path / "theirs.parquet", "--out", tmp_path / "cube.h5", "-q")
    assert strict.exit_code == 2
    assert "allow more with --max-reject-fraction F" in strict.stderr
    loose = ("--max-reject-fraction", "0.1", "--pixel-scale", "0.3")
    result = run(tmp_path / "theirs.parquet", "--out", tmp_path / "cube.h5", *loose)
    assert result.exit_code == 0, result.output
    assert "stamp_npz = 'stamp'" in result.stderr
    assert "arcsec assumed" not in result.stderr
    assert "the first, row 7: stamp" in result.stderr
    with Cube(tmp_path / "cube.h5") as cube:
        assert cube.pixel_scale == 0.3
    refused = run(tmp_path / "cube.h5", "--out", tmp_path / "second.h5", "--pixel-scale", "0.2")
    assert refused.exit_code == 2
    assert "it states its own" in refused.stderr


def test_pairs_are_appended_to_a_cube(tmp_path, block, pairs):
    some = block.choose(np.arange(40))
    with PairWriter(tmp_path / "some.parquet", block.bands, block.pixel_scale) as writer:
        writer.write(some)
    assert run(tmp_path / "some.parquet", "--out", tmp_path / "some.h5").exit_code == 0
    result = run(pairs, "--append-to", tmp_path / "some.h5", "--out", tmp_path / "all.h5")
    assert result.exit_code == 0, result.output
    assert "60 of 100 rows (40 rejected)" in result.output
    assert "40 rows rejected (40 left out on purpose: they do not count toward the limit), see " in result.stderr
    assert "row 40: the pair is in the cube already, as row 0" in result.output
    with Cube(tmp_path / "some.h5") as old, Cube(tmp_path / "all.h5") as new:
        splits = dict(zip(new.row, new.split, strict=True))
        assert all(splits[row] == split for row, split in zip(old.row, old.split, strict=True))
        np.testing.assert_array_equal(new.digest[np.argsort(new.row)], block.digest)
    result = run(pairs, "--append-to", tmp_path / "none.h5", "--out", tmp_path / "more.h5")
    assert result.exit_code == 2
    assert "none.h5: got nothing there" in result.output


def test_shards_that_the_cube_has_left_are_kept(tmp_path, pairs):
    sharded = ("--set", "shard_pairs=20", "--quiet")
    assert run(pairs, "--out", tmp_path / "cube.h5", *sharded).exit_code == 0
    shards = sorted((tmp_path / "cube.shards").iterdir())
    (tmp_path / "cube.h5").rename(tmp_path / "moved.h5")
    result = run(pairs, "--out", tmp_path / "cube.h5", "--quiet")
    assert result.exit_code == 2
    assert "shards of a cube that is not beside them" in result.stderr
    assert sorted((tmp_path / "cube.shards").iterdir()) == shards
    (tmp_path / "cube.shards" / "notes.txt").write_text("mine")
    result = run(pairs, "--out", tmp_path / "cube.h5", "--quiet", "--force")
    assert result.exit_code == 2
    assert "'notes.txt', which is no shard; move it away" in result.stderr
    (tmp_path / "cube.shards" / "notes.txt").unlink()
    assert run(pairs, "--out", tmp_path / "cube.h5", "--quiet", "--force").exit_code == 0
    assert not (tmp_path / "cube.shards").exists()


def test_a_folder_that_no_build_left_is_kept(tmp_path, pairs):
    (tmp_path / "cube.h5.part").mkdir()
    (tmp_path / "cube.h5.part" / "notes.txt").write_text("mine")
    result = run(pairs, "--out", tmp_path / "cube.h5", "--quiet", "--force")
    assert result.exit_code == 2
    assert "'notes.txt', which no run leaves there" in result.stderr
    assert (tmp_path / "cube.h5.part" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("named", ["pairs.parquet", "*.parquet", "."])
def test_what_is_read_is_never_written_over(tmp_path, pairs, named):
    own = tmp_path / "pairs.parquet"
    own.write_bytes(pairs.read_bytes())
    result = run(tmp_path / named, "--out", own, "--force", "--quiet")
    assert result.exit_code == 2
    assert "got what the command reads; expected another place" in result.stderr
    assert own.read_bytes() == pairs.read_bytes()


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN], ids=["in front", "in the background"])
def test_a_build_that_a_batch_system_ends_says_what_it_keeps(tmp_path, pairs, handler):
    """SIGTERM, in a process of its own, once the first block is in the journal; shells let SIGINT be ignored behind."""
    command = [sys.executable, "-m", "gen5astro", "build-hdf5", pairs, "--out", tmp_path / "cube.h5", "--threads", "1"]
    slow = (
        "import gen5astro.build as b, time; f = b.fingerprint; b.fingerprint = lambda x: (time.sleep(0.5), f(x))[1]\n"
    )
    run_it = "import sys; from gen5astro.cli import main; main(sys.argv[1:])"
    build = subprocess.Popen(
        [command[0], "-c", slow + run_it, *map(str, command[3:]), "--set", "block=4"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    )
    with build:
        journal = tmp_path / "cube.h5.part" / "journal"
        while not (journal.exists() and journal.stat().st_size):
            assert build.poll() is None
        build.terminate()
        said = build.stderr.read()
    assert build.returncode == 130
    assert "interrupted: what is done is kept in" in said
    assert run(pairs, "--out", tmp_path / "cube.h5", "--resume", "--set", "block=4").exit_code == 0


def test_work_of_more_than_a_minute_is_kept_where_too_many_rows_are_bad(tmp_path, pairs, monkeypatch):
    from gen5astro.io import hdf5_writer

    monkeypatch.setattr(hdf5_writer, "_WORTH_KEEPING", 0.0)
    table = pq.read_table(pairs)
    at = table.column_names.index("stamp_npz")
    stamps = [b"junk" if row == 47 else stamp for row, stamp in enumerate(table["stamp_npz"].to_pylist())]
    table = table.set_column(at, table.schema.field(at), pa.array(stamps, pa.binary()))
    pq.write_table(table, tmp_path / "bad.parquet")
    command = (tmp_path / "bad.parquet", "--out", tmp_path / "cube.h5", "--set", "block=10", "--quiet")
    result = run(*command)
    assert result.exit_code == 2
    assert "got 1 rejected up to row 47" in result.stderr
    assert "or go on with --resume --max-reject-fraction F" in result.stderr
    result = run(*command, "--resume", "--max-reject-fraction", "0.1")
    assert result.exit_code == 0, result.output
    assert len(Cube(tmp_path / "cube.h5")) == 59
