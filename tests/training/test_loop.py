"""A run learns, repeats itself, survives an interruption, and refuses what does not fit."""

import json
import os
import signal

import numpy as np
import pytest
import torch

from gen5astro.config import Config, NormalizerSpec, TrainConfig
from gen5astro.engine import DoneBefore
from gen5astro.errors import (
    BlockedError,
    ConfigError,
    ExistsError,
    FormatError,
    Gen5Error,
    MissingFileError,
    SchemaError,
)
from gen5astro.io.hdf5 import Cube
from gen5astro.training import train
from gen5astro.training.checkpoint import check_fit, load_checkpoint, load_model
from gen5astro.training.reader import PairReader
from gen5astro.training.score import score_pairs
from tests.training.cubes import make_audit, make_cube


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return make_cube(tmp_path_factory.mktemp("cube") / "cube.h5", audit=make_audit())


def _config(**settings):
    quick = {"width": 8, "epochs": 3, "batch_size": 16, "learning_rate": 3e-3, "accelerator": "cpu"}
    return Config(train=TrainConfig(**{**quick, **settings}))


def _losses(summary):
    return [(each["train_loss"], each["val_loss"], each["val_auc"]) for each in summary["history"]]


@pytest.fixture(scope="module")
def whole(cube, tmp_path_factory):
    """An unbroken run."""
    out = tmp_path_factory.mktemp("whole") / "run"
    lines, shown = [], []
    summary = train(cube, out, config=_config(), threads=1, advance=shown.append, say=lines.append)
    return out, summary, lines, shown


class _Interrupt:
    """Sends this process a signal after some steps."""

    def __init__(self, after):
        self.left = after

    def __call__(self, _n):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_learns_what_separates_stamp_from_ctrl(whole):
    _, summary, lines, _ = whole
    assert summary["best"]["val_auc"] > 0.9
    assert summary["history"][-1]["train_loss"] < summary["history"][0]["train_loss"]
    assert lines[-1].startswith("epoch 3 of 3: loss ")
    assert summary["warnings"] == []


def test_progress_counts_the_pairs_of_the_whole_run(whole):
    _, summary, _, shown = whole
    assert sum(shown) == 3 * summary["counts"]["train"]


def test_the_folder_holds_metrics_settings_and_both_checkpoints(whole):
    out, summary, _, _ = whole
    assert sorted(each.name for each in out.iterdir() if each.name != "tensorboard") == [
        "best.ckpt", "config.toml", "last.ckpt", "metrics.csv", "metrics.jsonl", "metrics.png",
    ]  # fmt: skip
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows == summary["history"]
    json.dumps(summary, allow_nan=False)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(cube, whole, tmp_path):
    again = train(cube, tmp_path / "again", config=_config(), threads=1)
    assert _losses(again) == _losses(whole[1])
    other = train(cube, tmp_path / "other", config=_config(seed=1), threads=1)
    assert _losses(other) != _losses(whole[1])


@pytest.mark.parametrize("steps", [1, 4, 9])
def test_an_interrupted_run_ends_where_an_unbroken_one_ends(cube, whole, tmp_path, steps):
    lines = []
    with pytest.raises(KeyboardInterrupt):
        train(cube, tmp_path / "run", config=_config(), threads=1, advance=_Interrupt(steps), say=lines.append)
    assert "--resume" in lines[-1]
    shown = []
    resumed = train(cube, tmp_path / "run", config=Config(), resume=True, threads=1, advance=shown.append)
    assert _losses(resumed) == _losses(whole[1])
    assert sum(shown) == 3 * resumed["counts"]["train"]
    assert [isinstance(each, DoneBefore) for each in shown] == [True] + [False] * (len(shown) - 1)
    expected, model = (load_checkpoint(run / "last.ckpt")["model"] for run in (whole[0], tmp_path / "run"))
    assert all(torch.equal(model[name], expected[name]) for name in expected)


class _PowerCut:
    """Ends the run without warning after some pairs."""

    def __init__(self, after):
        self.left = after

    def __call__(self, n):
        self.left -= n
        if self.left < 0:
            raise RuntimeError("power cut")


def test_a_run_that_dies_goes_on_from_its_last_checkpoint(cube, whole, tmp_path):
    for resume, after in ((False, 20), (True, 70)):
        with pytest.raises(RuntimeError, match="power cut"):
            train(cube, tmp_path / "run", config=_config(), resume=resume, threads=1, advance=_PowerCut(after))
        (tmp_path / "run" / "metrics.jsonl").unlink(missing_ok=True)
    resumed = train(cube, tmp_path / "run", config=_config(), resume=True, threads=1)
    assert _losses(resumed) == _losses(whole[1])
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_finished_run_has_nothing_left_to_do(cube, whole):
    before = (whole[0] / "last.ckpt").read_bytes()
    resumed = train(cube, whole[0], config=Config(), resume=True, threads=1)
    assert resumed["history"] == whole[1]["history"]
    assert (whole[0] / "last.ckpt").read_bytes() == before


def test_the_best_checkpoint_scores_as_the_best_epoch_did(cube, whole):
    out, summary, _, _ = whole
    checkpoint = load_checkpoint(out)
    model, view, spec = load_model(checkpoint)
    with Cube(cube) as opened:
        rows = np.flatnonzero(opened.split == "val")
        scores = score_pairs(model, PairReader(opened, view), rows, batch_size=7)
        assert spec == opened.normalizer_spec
        others = opened.group[rows][:, None] != opened.group[rows]
    above = (scores[:, :1] > scores[:, 1]) + 0.5 * (scores[:, :1] == scores[:, 1])
    area = above[others].mean()
    assert area == pytest.approx(summary["best"]["val_auc"], abs=1e-9)


def test_a_checkpoint_knows_what_it_was_trained_on(cube, whole):
    checkpoint = load_checkpoint(whole[0] / "best.ckpt")
    with Cube(cube) as opened:
        expected = {*opened.catalog["host_id"][opened.split != "test"]}
        assert checkpoint["cube"]["split_digest"] == opened.attributes["split_digest"]
    assert sorted(checkpoint["seen"]["host_id"]) == sorted(expected)
    assert checkpoint["audit_status"] == "PASS"
    assert checkpoint["deployable"]


def _with_a_bit_flipped(content, at):
    return content[:at] + bytes([content[at] ^ 16]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("half.ckpt", lambda cube, ckpt: ckpt[: len(ckpt) // 2], "a truncated or damaged file"),
        ("flipped.ckpt", lambda cube, ckpt: _with_a_bit_flipped(ckpt, len(ckpt) // 2), "a truncated or damaged file"),
        ("cube.h5", lambda cube, ckpt: cube[:4096], "an HDF5 file"),
        ("text.ckpt", lambda cube, ckpt: b"not a network", "a file of another kind"),
        ("empty.ckpt", lambda cube, ckpt: b"", "an empty file"),
    ],
)
def test_what_is_no_checkpoint_is_said_in_our_words(cube, whole, tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content(cube.read_bytes(), (whole[0] / "best.ckpt").read_bytes()))
    with pytest.raises(FormatError, match=f"checkpoint .*{name}: got {said}.*; expected best.ckpt") as refused:
        load_checkpoint(path)
    assert "weights_only" not in str(refused.value)


def test_a_run_that_is_there_is_kept(cube, whole):
    with pytest.raises(ExistsError, match="--resume"):
        train(cube, whole[0], config=_config())


def test_a_run_that_is_not_there_cannot_be_resumed(cube, tmp_path):
    with pytest.raises(MissingFileError, match="begin it without --resume"):
        train(cube, tmp_path / "run", config=_config(), resume=True)


def test_a_run_goes_on_with_its_own_settings_and_cube_only(whole, cube, tmp_path):
    with pytest.raises(ConfigError, match=r"train.epochs = 9"):
        train(cube, whole[0], config=_config(epochs=9), resume=True)
    other = make_cube(tmp_path / "other.h5", seed=1)
    with pytest.raises(SchemaError, match="cube digest"):
        train(other, whole[0], config=Config(), resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 36}, "shape: got \\[36, 36\\]"),
        ({"pixel_scale": 0.4}, "pixel scale: got 0.4"),
        ({"bands": ("g", "r")}, "bands: got \\['g', 'r'\\]"),
        ({"config": Config(normalize=NormalizerSpec(kind="standard"))}, "normalizer: got {'kind': 'standard'}"),
    ],
)
def test_a_checkpoint_refuses_a_cube_that_does_not_fit(whole, tmp_path, change, message):
    if "config" in change:
        change = {"config": Config(normalize=change["config"].normalize, build=Config().build), "n_hosts": 60}
    checkpoint = load_checkpoint(whole[0])
    with Cube(make_cube(tmp_path / "cube.h5", **change)) as opened, pytest.raises(SchemaError, match=message):
        check_fit(checkpoint, opened, label="cube")


def test_the_paired_view_trains_where_the_audit_allows_it(cube, tmp_path):
    summary = train(cube, tmp_path / "run", config=_config(view="paired", epochs=1), threads=1)
    checkpoint = load_checkpoint(tmp_path / "run")
    assert summary["config"]["input_channels"] == 6
    assert not checkpoint["deployable"]


def test_the_paired_view_is_refused_where_the_audit_blocks_it(tmp_path):
    blocked = make_cube(tmp_path / "cube.h5", audit=make_audit("FAIL", "FAIL", note="the core leaks"))
    with pytest.raises(BlockedError, match="the core leaks"):
        train(blocked, tmp_path / "run", config=_config(view="paired"))
    assert not (tmp_path / "run").exists()
    config = _config(view="paired", epochs=1)
    summary = train(blocked, tmp_path / "run", config=config, override_gate="to see it fail")
    assert summary["override_gate"] == "to see it fail"
    assert load_checkpoint(tmp_path / "run")["override_gate"] == "to see it fail"


def test_a_cube_without_an_audit_is_trained_on_with_a_warning(tmp_path):
    lines = []
    cube = make_cube(tmp_path / "cube.h5")
    summary = train(cube, tmp_path / "run", config=_config(epochs=1), say=lines.append)
    assert lines[0] == f"warning: {summary['warnings'][0]}"
    assert load_checkpoint(tmp_path / "run")["warnings"] == summary["warnings"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_channels": 6}, "got 6; expected 3"),
        ({"epochs": 0}, "1 or more"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"warmup_fraction": 2.0}, "0 to 1"),
        ({"augment_dim": 0.0}, "above 0, and 1 at most"),
        ({"augment_shift_px": 32}, "less than the image's side"),
        ({"model_name": "resnet17"}, "did you mean"),
    ],
)
def test_settings_that_cannot_be_meant_leave_no_folder(cube, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        train(cube, tmp_path / "run", config=_config(**settings))
    assert not (tmp_path / "run").exists()


def test_a_normalizer_other_than_the_cube_s_is_refused(cube, tmp_path):
    config = Config(normalize=NormalizerSpec(kind="standard"))
    with pytest.raises(ConfigError, match=r"normalize.kind = standard: got sky"):
        train(cube, tmp_path / "run", config=config)


def test_a_loss_that_is_no_number_stops_the_run(cube, tmp_path):
    with pytest.raises(Gen5Error, match=r"lower train\.learning_rate"):
        train(cube, tmp_path / "run", config=_config(learning_rate=1e30, warmup_fraction=0.0))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        load_checkpoint(tmp_path)
    (tmp_path / "best.ckpt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(FormatError, match="a run of gen5astro train"):
        load_checkpoint(tmp_path)
    torch.save({"schema": "gen5astro-checkpoint/0"}, tmp_path / "best.ckpt")
    with pytest.raises(SchemaError, match="train again"):
        load_checkpoint(tmp_path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(whole, tmp_path):
    from gen5astro.training.checkpoint import save_checkpoint

    save_checkpoint({"model": {}}, tmp_path / "last.ckpt")
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint({"model": lambda: None}, tmp_path / "last.ckpt")
    assert load_checkpoint(tmp_path / "last.ckpt")["model"] == {}
    assert [each.name for each in tmp_path.iterdir()] == ["last.ckpt"]
