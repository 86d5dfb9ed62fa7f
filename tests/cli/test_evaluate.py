"""The verb evaluate: a record, a page and a table of scores; what does not fit is refused."""

import json

import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.config import Config, TrainConfig
from gen5astro.training import train
from tests.training.cubes import make_cube


def _run(*arguments):
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    cube = make_cube(folder / "cube.h5")
    config = Config(train=TrainConfig(width=8, epochs=1, batch_size=32, accelerator="cpu"))
    train(cube, folder / "run", config=config, threads=1)
    return folder / "run", cube


def test_an_evaluation_leaves_its_record_page_and_scores(trained, tmp_path):
    outcome = _run(*trained, "--out", tmp_path / "evaluation", "--set", "bootstraps=50", "--json")
    assert outcome.exit_code == 3, outcome.output
    record = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert json.loads(outcome.stdout) == record
    assert record["schema"] == "gen5astro-evaluation/1"
    assert record["status"] == "INSUFFICIENT"
    assert outcome.stderr.endswith(f"open {tmp_path / 'evaluation' / 'evaluation.html'}\n")
    assert "scored" in outcome.stderr or "scoring" in outcome.stderr
    assert {each.name for each in (tmp_path / "evaluation").iterdir()} == {
        "evaluation.json", "evaluation.html", "scores.parquet",
    }  # fmt: skip
    page = (tmp_path / "evaluation" / "evaluation.html").read_text()
    assert all(each["name"] in page for each in record["candidates"])


def test_only_an_evaluation_that_passes_ends_with_0_and_leads_on(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("gen5astro.evaluation.judge._status", lambda *_: (status, ""))
    for status, code in (("PASS", 0), ("FAIL", 3), ("ERROR", 3)):
        outcome = _run(*trained, "--out", tmp_path / status, "--set", "bootstraps=20")
        assert outcome.exit_code == code
        assert ("next: gen5astro predict" in outcome.stderr) == (code == 0)


def test_a_folder_with_files_is_not_overwritten(trained, tmp_path):
    (tmp_path / "mine.txt").write_text("")
    outcome = _run(*trained, "--out", tmp_path)
    assert outcome.exit_code == 2
    assert "--force" in outcome.stderr


def test_a_cube_of_another_shape_ends_with_2_and_one_line(trained, tmp_path):
    other = make_cube(tmp_path / "other.h5", size=36)
    outcome = _run(trained[0], other, "--out", tmp_path / "evaluation")
    assert outcome.exit_code == 2
    assert "shape: got [36, 36]; expected [32, 32]" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_run_that_is_not_there_ends_with_2(trained, tmp_path):
    outcome = _run(tmp_path / "absent", trained[1], "--out", tmp_path / "evaluation")
    assert outcome.exit_code == 2
    assert "absent" in outcome.stderr
    assert not (tmp_path / "evaluation").exists()


def test_a_cube_in_place_of_a_run_is_said_to_be_one_and_a_folder_that_was_there_stays(trained, tmp_path):
    (tmp_path / "evaluation").mkdir()
    outcome = _run(trained[1], trained[1], "--out", tmp_path / "evaluation")
    assert outcome.exit_code == 2
    assert "got an HDF5 file; expected best.ckpt" in outcome.stderr
    assert "scoring" not in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert (tmp_path / "evaluation").is_dir()
