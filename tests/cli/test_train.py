"""The verb train: a run and its page, a refusal with its exit code, a run that goes on."""

import json

import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from tests.training.cubes import make_audit, make_cube

QUICK = ("--set", "width=8", "--set", "epochs=1", "--set", "batch_size=32", "--set", "accelerator=cpu")


def _run(*arguments):
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    audit = make_audit("FAIL", "FAIL", note="the core alone tells stamp from ctrl")
    return make_cube(tmp_path_factory.mktemp("cube") / "cube.h5", audit=audit)


def test_a_run_leaves_its_checkpoints_record_and_page(cube, tmp_path):
    outcome = _run(cube, "--out", tmp_path / "run", *QUICK, "--seed", 3, "--json")
    assert outcome.exit_code == 0, outcome.output
    record = json.loads((tmp_path / "run" / "training.json").read_text())
    assert json.loads(outcome.stdout) == record
    assert record["config"]["seed"] == 3
    assert "warning" in outcome.stderr
    assert "epoch 1 of 1" in outcome.stderr
    assert f"open {tmp_path / 'run' / 'training.html'}; next: gen5astro evaluate" in outcome.stderr
    assert {"best.ckpt", "last.ckpt", "training.html"} <= {each.name for each in (tmp_path / "run").iterdir()}


def test_a_run_is_kept_and_can_be_resumed(cube, tmp_path):
    assert _run(cube, "--out", tmp_path / "run", *QUICK, "--quiet").exit_code == 0
    outcome = _run(cube, "--out", tmp_path / "run", *QUICK)
    assert outcome.exit_code == 2
    assert "--resume" in outcome.stderr
    outcome = _run(cube, "--out", tmp_path / "run", "--resume")
    assert outcome.exit_code == 0, outcome.output


def test_a_blocked_view_ends_with_3_and_says_why(cube, tmp_path):
    outcome = _run(cube, "--out", tmp_path / "run", *QUICK, "--set", "view=paired")
    assert outcome.exit_code == 3
    assert "the core alone tells stamp from ctrl" in outcome.stderr
    assert "got six_channel_viability BLOCKED" in outcome.stderr
    assert "--override-gate REASON" in outcome.stderr
    assert not (tmp_path / "run").exists()
    outcome = _run(cube, "--out", tmp_path / "run", *QUICK, "--set", "view=paired", "--override-gate", "a comparison")
    assert outcome.exit_code == 0, outcome.output
    assert "a comparison" in outcome.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [("model_name=resnet19", "did you mean"), ("epoch=3", "did you mean 'epochs'"), ("view=both", "single or paired")],
)
def test_bad_settings_end_with_2_and_one_line(cube, tmp_path, setting, message):
    outcome = _run(cube, "--out", tmp_path / "run", "--set", setting)
    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_missing_cube_ends_with_2(tmp_path):
    outcome = _run(tmp_path / "absent.h5", "--out", tmp_path / "run")
    assert outcome.exit_code == 2
    assert "absent.h5" in outcome.stderr
