"""The verb settings: every key of the sections, with its default and its meaning."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.config import Config, as_dict, describe
from gen5astro.settings import load_config, toml_value


def run(*arguments):
    return CliRunner().invoke(main, ["settings", *arguments])


def test_every_key_of_every_section_is_listed_with_its_default_and_its_meaning():
    record = json.loads(run("--json").stdout)
    assert {name: set(each["keys"]) for name, each in record["sections"].items()} == {
        name: set(keys) for name, keys in as_dict(Config()).items()
    }
    for name, each in record["sections"].items():
        for key, _default, doc in describe(type(getattr(Config(), name))):
            told = each["keys"][key]
            assert told["doc"] == doc
            assert told["value"] == told["default"] == as_dict(Config())[name][key]


def test_one_section_is_a_table_of_whole_lines():
    text = run("train").stdout
    assert "[train]  What is trained and how" in text
    assert "[audit]" not in text
    assert re.search(r"\bepochs +10 ", text)
    assert "passes over the training pairs" in text


def test_what_is_set_is_shown_beside_its_default():
    assert "3 (default 10)" in run("train", "--set", "train.epochs=3").stdout


def test_a_section_that_is_not_there_is_answered_with_those_that_are():
    result = run("trian")
    assert result.exit_code == 2
    assert "'train'" in result.stderr


@pytest.mark.parametrize("value", [3, 0.05, "sky", [0.7, 0.15], {"positives": 1, "negatives": 2}, {}])
def test_a_value_is_written_as_it_is_read(value):
    assert toml_value(True) == "true"
    key = "inject.lens_kwargs.x"
    assert load_config(settings=[f"{key}={toml_value(value)}"]).inject.lens_kwargs == {"x": value}


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_reader_that_has_gone_ends_a_command_quietly(more):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gen5astro", "settings", *more]
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=root)
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")
