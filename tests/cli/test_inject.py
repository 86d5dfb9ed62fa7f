"""The verb inject: a file of pairs, or one clear line."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.inject import blocks
from gen5astro.inject.faults import FAULTS
from gen5astro.io.parquet import ParquetPairs


def run(*arguments):
    return CliRunner().invoke(main, ["inject", *map(str, arguments)])


def read(path):
    source = ParquetPairs(path)
    block, rejects = source.read(next(iter(source.blocks(1000))))
    assert not rejects
    return block


def test_pairs_are_written_and_read_back(tmp_path):
    out = tmp_path / "pairs.parquet"
    result = run("sample", "--out", out, "--n", 5, "--seed", 2, "--size", 32)
    assert result.exit_code == 0, result.output
    block = read(out)
    assert block.stamp.shape == (5, 3, 32, 32)
    assert block.bands == ("g", "r", "z")
    assert block.pixel_scale == 0.263
    assert np.all(block.catalog["theta_e_arcsec"] >= 0.5)


def test_the_file_says_what_was_drawn_and_what_is_synthetic(tmp_path):
    out = tmp_path / "pairs.parquet"
    run("sample", "--out", out, "--n", 1, "--seed", 2, "--size", 32, "--fault", "gain:1.3", "--quiet")
    schema = pq.read_schema(out)
    assert b"SYNTHETIC" in schema.field("ra").metadata[b"description"]
    record = json.loads(schema.field("pair_id").metadata[b"description"].decode().split("gen5astro.injection = ")[1])
    assert record["seed"] == 2
    assert record["fault"] == {"name": "gain", "strength": 1.3}


def test_the_same_seed_gives_the_same_pairs_whatever_the_threads(tmp_path):
    for threads in (1, 2):
        run(
            "sample", "--out", tmp_path / f"{threads}.parquet", "--n", 6, "--threads", threads, "--set", "size=32", "-q"
        )
    one, two = read(tmp_path / "1.parquet"), read(tmp_path / "2.parquet")
    assert np.array_equal(one.digest, two.digest)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sample", "--fault", "pedestall"], "did you mean 'pedestal'"),
        (["none.fits"], "none.fits"),
        (["sample", "--size", "200"], "smaller inject.size"),
        (["sample", "--set", "sizes=3"], "sizes"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, arguments, said):
    result = run(*arguments, "--out", tmp_path / "pairs.parquet", "--n", 2, "--quiet")
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_output_is_not_overwritten_without_force(tmp_path):
    out = tmp_path / "pairs.parquet"
    out.write_text("precious")
    assert run("sample", "--out", out, "--n", 1).exit_code == 2
    assert out.read_text() == "precious"
    assert run("sample", "--out", out, "--n", 1, "--size", 32, "--force").exit_code == 0


def test_an_interrupt_removes_the_partial_file_and_says_so(tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        yield from original(*args, **{**kwargs, "block": 1, "threads": 1})
        raise KeyboardInterrupt

    original = blocks.inject_blocks
    monkeypatch.setattr(blocks, "inject_blocks", interrupted)
    result = run("sample", "--out", tmp_path / "pairs.parquet", "--n", 2, "--size", 32)
    assert result.exit_code == 130
    assert "nothing was written" in result.output
    assert not list(tmp_path.iterdir())


def test_help_teaches_with_an_example_and_lists_the_faults():
    result = run("--help")
    assert "gen5astro inject sample --out pairs.parquet" in result.output
    assert all(name in result.output for name in FAULTS)
