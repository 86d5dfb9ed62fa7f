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
        (["smaple"], "did you mean 'sample'"),
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


def test_a_faulty_file_is_made_again_without_its_fault(tmp_path):
    files = {name: tmp_path / f"{name}.parquet" for name in ("clean", "faulty", "mended")}
    options = ("--n", 4, "--seed", 3, "--size", 32, "--quiet")
    run("sample", "--out", files["clean"], *options)
    run("sample", "--out", files["faulty"], "--fault", "pedestal", *options)
    result = run("sample", "--like", files["faulty"], "--out", files["mended"])
    assert result.exit_code == 0, result.output
    assert "ctrls of" not in result.output
    assert np.array_equal(read(files["mended"]).digest, read(files["clean"]).digest)
    assert not np.array_equal(read(files["faulty"]).digest, read(files["clean"]).digest)


def test_the_ctrls_of_a_table_can_be_the_hosts(tmp_path):
    theirs, ours = tmp_path / "theirs.parquet", tmp_path / "ours.parquet"
    run("sample", "--out", theirs, "--n", 3, "--size", 32, "--quiet")
    result = run("ctrl", "--like", theirs, "--out", ours)
    assert result.exit_code == 0, result.output
    assert np.array_equal(read(ours).ctrl, read(theirs).ctrl)


def test_rows_left_out_and_other_ctrls_are_said(tmp_path):
    theirs, ours = tmp_path / "theirs.parquet", tmp_path / "ours.parquet"
    run("sample", "--out", theirs, "--n", 3, "--size", 32, "--quiet")
    table = pq.read_table(theirs)
    ctrls = table["ctrl_stamp_npz"].to_pylist()
    ctrls[0], ctrls[2] = b"no zip", ctrls[1]
    changed = table.set_column(table.schema.get_field_index("ctrl_stamp_npz"), "ctrl_stamp_npz", [ctrls])
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), theirs)
    result = run("sample", "--like", theirs, "--out", ours, "--max-reject-fraction", 0.5)
    assert result.exit_code == 0, result.output
    assert "1 row rejected, see" in result.output
    assert "3 rows in = 2 used + 1 rejected" in result.output
    assert "1 ctrls of" in result.output
    assert pq.read_table(tmp_path / "ours.rejects.parquet")["row"].to_pylist() == [0]
    refused = run("sample", "--like", theirs, "--out", ours, "--force", "-q")
    assert (refused.exit_code, refused.output.count("\n")) == (2, 1)
    assert "1 of 3 rows rejected" in refused.output
    assert len(read(ours)) == 2


def test_lenstronomy_renders_models_of_its_own(tmp_path):
    out = tmp_path / "pairs.parquet"
    options = ("--engine", "lenstronomy", "--lens-model", "EPL, SHEAR", "--set", "inject.lens_kwargs.gamma=2.1")
    result = run("sample", "--out", out, "--n", 2, "--size", 32, *options)
    assert result.exit_code == 0, result.output
    assert np.all(read(out).catalog["arc_snr"] > 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--n", "3"], "--n"),
        (["--size", "32"], "--size"),
        (["--column", "theta_e_arcsec=r"], "no such column"),
        (["--fault", "pedestall"], "did you mean 'pedestal'"),
        (["--engine", "lenstronomy", "--lens-model", "SIEE"], "did you mean 'SIE'"),
        (["--lens-model", "EPL"], "--engine lenstronomy"),
    ],
)
def test_bad_requests_beside_like_are_one_line(tmp_path, arguments, said):
    theirs, ours = tmp_path / "theirs.parquet", tmp_path / "ours.parquet"
    run("sample", "--out", theirs, "--n", 1, "--size", 32, "--quiet")
    result = run("sample", "--like", theirs, "--out", ours, "--quiet", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1
    assert not ours.exists()


def test_columns_are_named_for_a_table_only(tmp_path):
    result = run("sample", "--out", tmp_path / "pairs.parquet", "--column", "theta_e=r", "--quiet")
    assert result.exit_code == 2
    assert "--like PAIRS" in result.output
