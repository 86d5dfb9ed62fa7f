"""The folder of a run, and what may be said when going on with one."""

import pytest

from gen5astro.config import Config, NormalizerSpec, TrainConfig
from gen5astro.errors import ConfigError, ExistsError, MissingFileError
from gen5astro.settings import load_config, toml_text
from gen5astro.training.run import RunFolder, agreed, plot_curves


def test_settings_come_back_from_their_toml(tmp_path):
    train = TrainConfig(width=16, pretrained='a "file"', batch_composition={"positives": 1.0, "negatives": 2.0})
    config = Config(train=train, normalize=NormalizerSpec(clip=10.0))
    (tmp_path / "config.toml").write_text(toml_text(config, ("train", "normalize")), encoding="utf-8")
    assert load_config(tmp_path / "config.toml") == config


def test_a_setting_is_asked_for_only_where_it_is_no_default():
    stored = TrainConfig(epochs=7, width=16)
    assert agreed(TrainConfig(), stored, where="train", what="run") is stored
    assert agreed(TrainConfig(epochs=7), stored, where="train", what="run") is stored
    with pytest.raises(ConfigError, match=r"train.epochs = 8: got 7 in run"):
        agreed(TrainConfig(epochs=8), stored, where="train", what="run")


def test_a_folder_with_files_is_not_overwritten_unless_forced(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin()
    for old in (folder.last, folder.page, folder.record):
        old.write_text("old")
    (folder.path / "notes.txt").write_text("mine")
    with pytest.raises(ExistsError, match="--resume"):
        folder.begin()
    folder.begin(force=True)
    assert [each.name for each in folder.path.iterdir()] == ["notes.txt"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(ExistsError, match="expected a folder"):
        RunFolder(tmp_path / "run").begin(force=True)


def test_there_must_be_something_to_go_on_with(tmp_path):
    with pytest.raises(MissingFileError, match="no such folder"):
        RunFolder(tmp_path / "run").require_begun()
    with pytest.raises(MissingFileError, match=r"no config\.toml"):
        RunFolder(tmp_path).require_begun()
    RunFolder(tmp_path).config.write_text("")
    assert not RunFolder(tmp_path).require_begun()
    RunFolder(tmp_path).last.write_text("")
    assert RunFolder(tmp_path).require_begun()


def test_curves_are_drawn_without_validation_too(tmp_path):
    plot_curves([{"epoch": 1, "train_loss": 0.5, "val_loss": None, "val_auc": None}], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
