"""The verb info: what is in a cube, or one clear line."""

import json

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from gen5astro.build import build_cube
from gen5astro.cli import main
from gen5astro.config import Config
from gen5astro.io.hdf5_schema import content_digest
from tests.factories import make_pairs
from tests.sources import MemorySource


def run(*arguments):
    return CliRunner().invoke(main, ["info", *map(str, arguments)])


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(60, np.random.default_rng(3), size=32)


@pytest.fixture(scope="module")
def cube(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("info") / "cube.h5"
    build_cube(MemorySource(pairs), path, config=Config())
    return path


@pytest.fixture(scope="module")
def audited(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    record = {
        "schema": "gen5astro-audit/1",
        "status": "FAIL",
        "gates": {
            "core_leakage": {"status": "FAIL"},
            "sky_leakage": {"status": "INSUFFICIENT"},
            "six_channel_viability": {"status": "FAIL", "advisory": True},
        },
        "provenance": {"input_digest": content_digest(pairs.digest, pairs.row)},
    }
    (folder / "audit.json").write_text(json.dumps(record))
    build_cube(MemorySource(pairs), folder / "cube.h5", config=Config(), audit=folder / "audit.json")
    return folder / "cube.h5"


def test_tables_say_what_is_in_a_cube(cube):
    result = run(cube)
    assert result.exit_code == 0, result.output
    for words in (
        "60 of 60 rows (0 rejected)",
        "g, r, z; 32 x 32 pix",
        "sky (",
        "none embedded",
        "train",
        "arc SNR",
    ):
        assert words in result.output
    assert "0 groups, 0 close positions, 0 twins" in " ".join(result.output.split())


def test_an_embedded_audit_is_named_with_the_gates_that_did_not_pass(audited):
    text = " ".join(run(audited).output.split())
    assert "FAIL; not passed: core_leakage, sky_leakage; advisory, not counted: six_channel_viability BLOCKED" in text


def test_words_of_statistics_are_explained_and_a_constant_is_not_compared(cube):
    text = " ".join(run(cube).output.split())
    for words in ("effective hosts: how many", "KS: Kolmogorov-Smirnov distance", "p: chance of one as large"):
        assert words in text


def test_json_is_the_summary(cube):
    summary = json.loads(run(cube, "--json").output)
    assert {name: each["groups"] for name, each in summary["splits"].items()} == {"train": 21, "val": 4, "test": 5}
    assert summary["counts"] == {"n_in": 60, "n_ok": 60, "n_rejected": 0}
    assert summary["normalizer"]["kind"] == "sky"


def test_strata_follow_the_configuration(cube):
    summary = json.loads(run(cube, "--json", "--set", "audit.theta_e_edges=[1.7]").output)
    assert {name for name in summary["strata"] if "theta_e" in name} == {"theta_e<1.7", "theta_e>=1.7"}


def test_what_is_no_cube_is_one_line_and_exit_code_2(tmp_path, cube):
    other = tmp_path / "other.h5"
    other.write_bytes(cube.read_bytes())
    with h5py.File(other, "r+") as file:
        file.attrs["schema"] = "gen5astro-cube/0"
    (tmp_path / "text.h5").write_text("no cube")
    (tmp_path / "cut.h5").write_bytes(cube.read_bytes()[:-1000])
    for path, words in (
        (other, "build it again"),
        (tmp_path / "text.h5", "no HDF5 file"),
        (tmp_path / "no", "nothing"),
        (tmp_path / "cut.h5", "got a truncated file: "),
    ):
        result = run(path)
        assert result.exit_code == 2
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_cube_whose_build_was_interrupted_is_to_be_gone_on_with(tmp_path):
    (tmp_path / "cube.h5.part").mkdir()
    result = run(tmp_path / "cube.h5")
    assert result.exit_code == 2
    assert "got a build of it that was interrupted" in result.stderr
    assert "with --resume" in result.stderr


def test_a_path_is_not_broken_where_no_terminal_is(tmp_path, cube, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    (folder / "cube.h5").write_bytes(cube.read_bytes())
    assert f"{folder / 'cube.h5'}\n" in run(folder / "cube.h5").stdout
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, run(folder / "cube.h5").stdout.splitlines())) <= 60
