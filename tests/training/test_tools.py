"""What other tools make of a run: TensorBoard shows its numbers, Optuna searches over runs."""

import csv
import json
import sys
from pathlib import Path

import pytest

from gen5astro.config import Config, TrainConfig
from gen5astro.training import train
from tests.training.cubes import make_cube

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
QUICK = {"width": 4, "epochs": 2, "batch_size": 16, "accelerator": "cpu", "watch_pairs": 8}


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return make_cube(tmp_path_factory.mktemp("cube") / "cube.h5")


def test_the_table_and_tensorboard_show_the_metrics(cube, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(cube, tmp_path / "run", config=Config(train=TrainConfig(**QUICK)), threads=1)
    train(cube, tmp_path / "run", config=Config(), resume=True, threads=1)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(each["train_loss"]) for each in table] == [each["train_loss"] for each in rows]
    assert "watch core swap" in table[0]
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    shown = events.Scalars("train_loss")
    assert [each.step for each in shown] == [each["step"] for each in rows]
    assert [each.value for each in shown] == pytest.approx([each["train_loss"] for each in rows])


def test_the_example_searches_and_goes_on(cube, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import optuna
    import sweep_example

    optuna.logging.disable_default_handler()
    study = sweep_example.search(cube, tmp_path, n_trials=2, **{**QUICK, "epochs": 1})
    again = sweep_example.search(cube, tmp_path, n_trials=1, **{**QUICK, "epochs": 1})
    assert len(again.trials) == 3
    assert again.best_value >= study.best_value
    best = json.loads((tmp_path / f"trial-{again.best_trial.number}" / "metrics.jsonl").read_text())
    assert (best["val_completeness"] or best["val_auc"]) == again.best_value
    sys.modules.pop("sweep_example")
