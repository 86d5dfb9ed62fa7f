"""The verb train: a run and its page, a refusal with its exit code, a run that goes on."""

import contextlib
import json
import os
import pty
import re
import sys
import threading
import tomllib
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.training import measure_speed
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


@contextlib.contextmanager
def terminal_of_80_columns(monkeypatch):
    """Let standard error be a terminal; yields a list, of what was shown there in the end."""
    reading, writing = pty.openpty()
    pieces, shown = [], []

    def read():
        # On Linux, what was written to a terminal ends with an error.
        with contextlib.suppress(OSError):
            while piece := os.read(reading, 1024):
                pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    with os.fdopen(writing, "w", encoding="utf-8") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        yield shown
    reader.join()
    os.close(reading)
    shown.append(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(pieces).decode()))


def test_on_a_terminal_the_bar_shows_how_the_run_goes(cube, tmp_path, monkeypatch):
    with terminal_of_80_columns(monkeypatch) as shown:
        main(["train", str(cube), "--out", str(tmp_path / "run"), *QUICK, "--threads", "1"], standalone_mode=False)
    lines = re.split(r"[\r\n]+", shown[0])
    assert [line[:12] for line in lines if "epoch 1 of" in line] == ["epoch 1 of 1"]
    bars = [line for line in lines if line.startswith("training, pairs")]
    assert max(map(len, bars)) <= 80
    n_pairs = json.loads((tmp_path / "run" / "training.json").read_text())["counts"]["train"]
    pace = r"[\d,]+ images/s, loader \d+\.\d %, loss \d\.\d{4} +\d:\d\d:\d\d"
    assert re.search(rf" {n_pairs}/{n_pairs} +{pace}", bars[-1])


def test_elsewhere_the_line_of_an_epoch_tells_how_the_run_goes(cube, tmp_path):
    outcome = _run(cube, "--out", tmp_path / "run", *QUICK, "--set", "epochs=2", "--threads", 1)
    assert outcome.exit_code == 0, outcome.output
    lines = [line for line in outcome.stderr.splitlines() if line.startswith("epoch ")]
    pace = r"; [\d,]+ images/s, loader \d+\.\d %"
    assert re.search(rf"{pace}, \d:\d\d:\d\d left(;|$)", lines[0])
    assert re.search(rf"{pace}(;|$)", lines[1])


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
    [
        ("model_name=resnet19", "did you mean"),
        ("epoch=3", "did you mean 'epochs'"),
        ("view=both", "there are: paired, residual, single"),
    ],
)
def test_bad_settings_end_with_2_and_one_line(cube, tmp_path, setting, message):
    outcome = _run(cube, "--out", tmp_path / "run", "--set", setting)
    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_settings_are_printed_as_a_file_that_is_read_again(tmp_path):
    printed = _run("--print-config", "--set", "loss=focal")
    assert printed.exit_code == 0
    assert tomllib.loads(printed.stdout)["train"]["loss"] == "focal"
    (tmp_path / "train.toml").write_text(printed.stdout)
    again = _run("--print-config", "--config", tmp_path / "train.toml")
    assert tomllib.loads(again.stdout) == tomllib.loads(printed.stdout)


def test_what_is_missing_is_asked_for(cube):
    for arguments, missing in (((), "CUBE"), ((cube,), "--out")):
        outcome = _run(*arguments)
        assert outcome.exit_code == 2
        assert f"missing {missing}" in outcome.stderr


def test_the_benchmark_measures_and_leaves_nothing(cube, monkeypatch):
    monkeypatch.setattr("gen5astro.training.measure_speed", partial(measure_speed, seconds=0.05))
    outcome = _run(cube, "--benchmark", *QUICK, "--threads", 1, "--json")
    assert outcome.exit_code == 0, outcome.output
    record = json.loads(outcome.stdout)
    assert record["trained"] > 0
    assert record["same_batch"] > 0
    told = _run(cube, "--benchmark", *QUICK, "--threads", 1)
    assert "same batch" in told.stdout


def test_a_committee_is_trained_resumed_judged_and_shown(cube, tmp_path):
    out = tmp_path / "all"
    outcome = _run(cube, "--out", out, *QUICK, "--seeds", 2, "--seed", 3)
    assert outcome.exit_code == 0, outcome.output
    assert "seed 3" in outcome.stdout
    assert "next: gen5astro evaluate" in outcome.stderr
    page = (out / "committee.html").read_text()
    assert 'href="seed-4/training.html"' in page
    assert "of 4 probes passed" in page
    assert (out / "seed-4" / "training.html").is_file()
    assert json.loads((out / "committee.json").read_text())["spread"]["val_auc"]["std"] is not None
    evaluation = CliRunner().invoke(main, ["evaluate", str(out), str(cube), "--out", str(tmp_path / "e"), "--json"])
    assert evaluation.exit_code in (0, 3), evaluation.output
    members = json.loads(evaluation.stdout)["provenance"]["members"]
    assert [each["seed"] for each in members] == [3, 4]
    refused = _run(cube, "--out", out, *QUICK, "--seeds", 2)
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr
    assert _run(cube, "--out", out, *QUICK, "--seeds", 3, "--seed", 3, "--resume").exit_code == 0
    assert (out / "seed-5" / "best.ckpt").is_file()


def test_a_committee_is_not_put_into_the_folder_of_a_run(cube, tmp_path):
    assert _run(cube, "--out", tmp_path / "run", *QUICK, "--quiet").exit_code == 0
    outcome = _run(cube, "--out", tmp_path / "run", *QUICK, "--seeds", 2, "--force")
    assert outcome.exit_code == 2
    assert "the folder of a single run" in outcome.stderr


def test_a_network_that_cannot_be_deterministic_ends_with_2_and_one_line(cube, tmp_path, monkeypatch):
    import torch

    from gen5astro.training import loop

    def loss(logits, *_):
        return logits.sum() + torch.zeros(3).put_(torch.tensor([0]), torch.ones(1)).sum()

    monkeypatch.setattr(loop, "classification_loss", loss)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    outcome = _run(cube, "--out", tmp_path / "run", *QUICK, "--set", "deterministic=true")
    assert outcome.exit_code == 2
    assert "Traceback" not in outcome.stderr
    assert outcome.stderr.splitlines()[-1].startswith("gen5astro: train.deterministic = true: got put_, ")


def test_extra_negatives_that_are_pairs_are_refused_by_the_name_of_the_setting(cube, tmp_path):
    pq.write_table(pa.table({"stamp_npz": [b"x"], "ctrl_stamp_npz": [b"x"]}), tmp_path / "pairs.parquet")
    outcome = _run(cube, "--out", tmp_path / "run", *QUICK, "--set", f"extra_negatives={tmp_path / 'pairs.parquet'}")
    assert outcome.exit_code == 2
    assert outcome.stderr.count("\n") == 1
    assert "train.extra_negatives" in outcome.stderr
    assert "call the images' column image_npz or image_path" in outcome.stderr
    assert "--column" not in outcome.stderr


def test_a_missing_cube_ends_with_2(tmp_path):
    outcome = _run(tmp_path / "absent.h5", "--out", tmp_path / "run")
    assert outcome.exit_code == 2
    assert "absent.h5" in outcome.stderr
