"""The verb predict: a table of scores with a verdict that is never more than is proven, or one clear line."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.engine import map_blocks
from gen5astro.training.checkpoint import load_checkpoint
from tests.inference.cutouts import COUNT, changed_checkpoint, train_on_sample, write_cutouts

VERDICT = "UNKNOWN (not proven on real lenses)"


def run(*arguments):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_on_sample(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def cutouts(trained, tmp_path):
    return write_cutouts(tmp_path / "cutouts.parquet", trained[2].stamp, host=trained[2].catalog["host_id"])


def test_scores_and_verdict_are_shown_and_written(trained, cutouts, tmp_path):
    out = tmp_path / "new" / "scores.parquet"
    outcome = run(trained[0], cutouts, "--out", out)
    assert outcome.exit_code == 0, outcome.output
    for words in ("60 in = 60 scored + 0 rejected", "above 0.5", "above 0.9", f"deployment  {VERDICT}", "99.9%:"):
        assert words in outcome.stdout
    assert str(out) in outcome.stdout.replace("\n", "").replace(" ", "")
    assert "PASS" not in outcome.output
    assert "warning: cube" in outcome.stderr
    assert "scoring images: 60 in" in outcome.stderr
    assert "velocity" not in outcome.stderr
    assert pq.read_table(out)["host_id"].to_pylist() == trained[2].catalog["host_id"].tolist()


def test_the_verdict_is_said_whatever_is_not(trained, cutouts, tmp_path):
    outcome = run(trained[0], cutouts, "--out", tmp_path / "a.parquet", "--quiet")
    assert (outcome.exit_code, outcome.output) == (0, f"deployment: {VERDICT}\n")
    outcome = run(trained[0], cutouts, "--out", tmp_path / "a.parquet", "--json", "--force", "--set", "batch_size=8")
    record = json.loads(outcome.stdout)
    assert (record["deployment"], record["batch_size"]) == (VERDICT, 8)
    assert VERDICT in outcome.stderr


def test_an_overridden_gate_is_shown(trained, cutouts, tmp_path):
    path = changed_checkpoint(trained[0], tmp_path / "a.ckpt", override_gate="to see", warnings=["mind the gap"])
    outcome = run(path, cutouts, "--out", tmp_path / "a.parquet")
    assert "a gate was overridden: to see" in outcome.stdout
    assert "warning: mind the gap" in outcome.stderr


def test_a_broken_row_is_told_and_too_many_end_with_2(trained, tmp_path):
    images = trained[2].stamp.copy()
    images[4, 0, 3, 3] = np.nan
    path = write_cutouts(tmp_path / "a.parquet", images, damage={9: lambda payload: payload[:200]})
    outcome = run(trained[0], path, "--out", tmp_path / "scores.parquet")
    assert outcome.exit_code == 2
    assert "2 of 60 rows rejected (row 4: image: got 1 pixels without a value" in outcome.stderr
    options = ("--max-reject-fraction", "0.1", "--resume")
    outcome = run(trained[0], path, "--out", tmp_path / "scores.parquet", *options)
    assert outcome.exit_code == 0, outcome.output
    assert "60 in = 58 scored + 2 rejected" in outcome.stdout
    assert "2 rows rejected, see" in outcome.stderr
    assert pq.read_table(tmp_path / "scores.rejects.parquet")["row"].to_pylist() == [4, 9]


def test_a_finished_run_is_left_as_it_is_when_it_is_resumed(trained, cutouts, tmp_path):
    command = (trained[0], cutouts, "--out", tmp_path / "scores.parquet", "--json", "--max-reject-fraction", "0.5")
    first = run(*command)
    assert first.exit_code == 0, first.output
    written = (tmp_path / "scores.parquet").read_bytes()
    again = run(*command, "--resume")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert (tmp_path / "scores.parquet").read_bytes() == written
    other = run(*command, "--resume", "--set", "batch_size=7")
    assert other.exit_code == 2
    assert "scores of other images, of another network or with other settings" in other.stderr


def test_scores_end_as_parquet_does(trained, cutouts, tmp_path):
    _refused(run(trained[0], cutouts, "--out", tmp_path / "scores.csv"), "scores.csv", ".parquet or .pq: it is Parquet")
    assert not (tmp_path / "scores.csv").exists()


def _refused(outcome, *words):
    assert outcome.exit_code == 2, outcome.output
    line = outcome.stderr.splitlines()[-1]
    assert line.startswith("gen5astro: ")
    for each in words:
        assert each in line
    assert "scoring" not in outcome.stderr


def test_what_is_there_is_not_overwritten(trained, cutouts, tmp_path):
    (tmp_path / "a.parquet").write_text("mine")
    _refused(run(trained[0], cutouts, "--out", tmp_path / "a.parquet"), "--force")
    _refused(run(trained[0], cutouts, "--out", tmp_path / "a.parquet", "--resume"), "scores of other images")
    assert (tmp_path / "a.parquet").read_text() == "mine"


def test_what_does_not_fit_is_one_line(trained, cutouts, tmp_path):
    out = ("--out", tmp_path / "scores.parquet")
    _refused(run(trained[0], cutouts, *out, "--pixel-scale", "0.4"), "got 0.4 arcsec; expected 0.263")
    _refused(run(trained[0], cutouts, *out, "--bands", "g,r"), "bands: got g,r; expected g,r,z")
    _refused(run(tmp_path / "absent", cutouts, *out), "absent", "no such file")
    _refused(run(trained[1], cutouts, *out), "an HDF5 file", "expected best.ckpt")
    _refused(run(trained[0], tmp_path / "none.parquet", *out), "none.parquet")
    _refused(run(trained[0], trained[1], *out), "got a cube of pairs; expected images")
    _refused(run(trained[0], cutouts, *out, "--set", "predict.thresholds=[2]"), "thresholds")
    config = load_checkpoint(trained[0])["config"] | {"view": "paired"}
    paired = changed_checkpoint(trained[0], tmp_path / "paired.ckpt", config=config, deployable=False)
    _refused(run(paired, cutouts, *out), "no image of the sky has one", "--set view=single")
    small = write_cutouts(tmp_path / "small.parquet", trained[2].stamp[:, :, :40, :40])
    _refused(run(trained[0], small, *out), "40 x 40", "--size 48")
    assert not list(tmp_path.glob("scores*"))


def test_an_interrupt_keeps_what_is_done(trained, cutouts, tmp_path, monkeypatch):
    def interrupted(function, blocks, **options):
        for number, result in enumerate(map_blocks(function, blocks, **options)):
            if number == 2:
                raise KeyboardInterrupt
            yield result

    options = ("--set", "batch_size=4", "--threads", "1")
    with monkeypatch.context() as patched:
        patched.setattr("gen5astro.inference.run.map_blocks", interrupted)
        outcome = run(trained[0], cutouts, "--out", tmp_path / "a.parquet", *options)
    assert outcome.exit_code == 130
    assert "a.parquet.part; --resume goes on with it" in outcome.stderr
    assert not (tmp_path / "a.parquet").exists()
    outcome = run(trained[0], cutouts, "--out", tmp_path / "a.parquet", *options, "--resume")
    assert outcome.exit_code == 0, outcome.output
    assert pq.read_table(tmp_path / "a.parquet")["row"].to_pylist() == list(range(COUNT))
    assert not (tmp_path / "a.parquet.part").exists()
