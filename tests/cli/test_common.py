"""Options mean the same in every verb; every ending has its exit code and its one line."""

import io
import json
import os
import re
import sys

import click
import pytest
from click.testing import CliRunner

from gen5astro.cli import VerbGroup, main
from gen5astro.cli._common import (
    column_option,
    common_options,
    exit_code,
    progress,
    say,
    show,
)
from gen5astro.cli._outputs import claim_file, claim_folder
from gen5astro.config import Config
from gen5astro.engine import DoneBefore
from gen5astro.errors import BlockedError, ConfigError, ExistsError, MissingFileError
from gen5astro.verdict import Status


class Verbs(VerbGroup):
    """The real group with a command of the test's own instead of the modules."""

    def list_commands(self, ctx):
        return sorted(self.commands)

    def get_command(self, ctx, cmd_name):
        return self.commands.get(cmd_name)


def run(function, *arguments, section="audit", without=()):
    """Run `function` as the verb ``act`` and return click's result."""
    command = click.command("act")(common_options(section, without=without)(function))
    return CliRunner().invoke(Verbs("gen5astro", commands={"act": command}), ["act", *arguments])


def run_raising(error):
    def act(**_):
        raise error

    return run(act)


def options_of(*arguments, **more):
    seen = {}
    result = run(lambda **options: seen.update(options), *arguments, **more)
    assert result.exit_code == 0, result.output
    return seen


def test_without_options_everything_is_default():
    assert options_of() == {"config": Config(), "threads": None, "quiet": False, "as_json": False, "force": False}


def test_every_option_reaches_the_command(tmp_path):
    path = tmp_path / "audit.toml"
    path.write_text("folds = 4\nbootstraps = 9\n")
    arguments = ["--config", str(path), "--set", "folds=3", "--set", "train.epochs=1", "--seed", "7"]
    seen = options_of(*arguments, "--threads", "2", "-q", "--json", "--force")
    config = seen.pop("config")
    assert seen == {"threads": 2, "quiet": True, "as_json": True, "force": True}
    assert (config.audit.folds, config.audit.bootstraps, config.audit.seed, config.train.epochs) == (3, 9, 7, 1)


def test_seed_is_offered_where_the_section_has_one():
    assert options_of("--seed", "5", section="train")["config"].train.seed == 5
    assert run(lambda **_: None, "--seed", "5", section="inject").exit_code == 2
    assert run(lambda **_: None, "--seed", "5", section=None).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seed", "7", "--set", "seed=8"), "--seed 7: got --set seed=8 as well; expected one value"),
        (("--seed", "7", "--set", "audit.seed=8"), "--seed 7: got --set audit.seed=8 as well"),
    ],
)
def test_an_option_and_a_setting_that_say_different_things_are_refused(arguments, said):
    result = run(lambda **_: pytest.fail("ran"), *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert options_of("--seed", "7", "--set", "seed=7")["config"].audit.seed == 7


@pytest.mark.parametrize("verb", ["build-hdf5", "predict", "train"])
def test_to_go_on_and_to_overwrite_are_not_asked_for_at_once(tmp_path, verb):
    arguments = ["model"] * (verb == "predict") + ["input", "--out", str(tmp_path / "out"), "--resume", "--force"]
    result = CliRunner().invoke(main, [verb, *arguments])
    assert result.exit_code == 2
    assert "--resume goes on with what is there, --force overwrites it: give one of the two" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_would_do_nothing_is_not_offered():
    assert "force" not in options_of(without=("force",))
    assert run(lambda **_: None, "--force", without=("force",)).exit_code == 2


@pytest.mark.parametrize(
    ("returned", "code"), [(None, 0), (0, 0), (3, 3), (exit_code("FAIL"), 3), (exit_code(Status.SKIP), 0)]
)
def test_what_a_command_returns_is_the_exit_code(returned, code):
    assert run(lambda **_: returned).exit_code == code


@pytest.mark.parametrize("status", list(Status))
def test_only_what_passed_ends_with_zero(status):
    assert exit_code(status) == exit_code(status.value) == (0 if status.passed else 3)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("threads", got=0, expected="1 or more"), 2),
        (BlockedError("view paired", got="core_leakage FAIL"), 3),
        (PermissionError(13, "Permission denied", "/there"), 2),
        (click.UsageError("no such thing"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_that_the_user_can_act_on_is_one_line(error, code):
    result = run_raising(error)
    assert result.exit_code == code
    line = result.stderr.strip()
    assert line.startswith("gen5astro: ")
    assert "\n" not in line
    assert result.stdout == ""


def test_the_line_is_the_error_itself():
    assert run_raising(ConfigError("threads", got=0)).stderr == "gen5astro: threads: got 0\n"
    assert run_raising(PermissionError(13, "Permission denied", "/a")).stderr == "gen5astro: /a: Permission denied\n"


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), OSError("no number")])
def test_a_bug_shows_its_traceback_and_asks_for_a_report(error):
    result = run_raising(error)
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert type(error).__name__ in result.stderr
    assert result.stderr.splitlines()[-1].startswith("gen5astro: this is a bug in gen5astro")


def test_an_unknown_option_names_the_help_to_read():
    result = run(lambda **_: None, "--treads", "2")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "--threads" in result.stderr
    assert "gen5astro act --help" in result.stderr


def test_an_unknown_verb_names_the_closest():
    verbs = Verbs("gen5astro", commands={"inject": click.Command("inject"), "train": click.Command("train")})
    result = CliRunner().invoke(verbs, ["injct"])
    assert result.exit_code == 2
    assert "did you mean 'inject'? (there are: inject, train)" in result.stderr


def test_a_wrong_config_key_is_refused_before_the_command_runs():
    result = run(lambda **_: pytest.fail("ran"), "--set", "fold=3")
    assert result.exit_code == 2
    assert "did you mean 'folds'" in result.stderr


@pytest.mark.parametrize(("of_the_user", "becomes"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_do_not_spin_while_they_wait_unless_the_user_says_so(monkeypatch, of_the_user, becomes):
    # So that the variable is as it was afterwards.
    monkeypatch.setenv("OMP_WAIT_POLICY", of_the_user or "")
    if of_the_user is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    assert CliRunner().invoke(main, ["settings"]).exit_code == 0
    assert os.environ["OMP_WAIT_POLICY"] == becomes


def test_a_caller_may_have_the_errors_themselves():
    assert main(["--version"], standalone_mode=False) == 0
    with pytest.raises(click.UsageError, match="there are"):
        main(["nothing-like-it"], standalone_mode=False)


def test_progress_elsewhere_than_on_a_terminal_is_one_closing_line(capsys):
    with progress("measuring pairs", 1200) as advance:
        advance()
        advance(1199, note="loss 0.5")
    shown = capsys.readouterr()
    assert shown.err.startswith("measuring pairs: 1,200 in ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_the_rate_is_of_what_this_run_did(capsys):
    with progress("training, pairs", 2804) as advance:
        advance(DoneBefore(2800))
        advance(4)
    assert re.match(r"training, pairs: 4 in .* a second, beside 2,800 done before\n$", capsys.readouterr().err)


def test_progress_keeps_quiet_when_asked_and_closes_no_failed_work(capsys):
    with progress("work", quiet=True) as advance:
        advance(3, note="loss 0.5")
    with pytest.raises(RuntimeError), progress("work"):
        raise RuntimeError
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("total", [4, None])
def test_progress_on_a_terminal_is_a_bar(monkeypatch, total):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("measuring pairs", total) as advance:
        advance(DoneBefore(1))
        advance(3)
    assert "measuring pairs" in terminal.getvalue()


def test_a_note_stands_on_the_bar_in_place_of_the_rate(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("training, pairs", 8) as advance:
        advance(0, note="loss 0.5")
        advance(8)
    last = re.findall("training, pairs.*", terminal.getvalue())[-1]
    assert "loss 0.5" in last
    assert "/ s" not in last


def test_records_go_to_standard_output_and_lines_for_people_to_standard_error(capsys):
    say("hello")
    say("nothing", quiet=True)
    show({"b": 1, "a": None}, print, as_json=True, quiet=True)
    shown = capsys.readouterr()
    assert shown.err == "hello\n"
    assert json.loads(shown.out) == {"a": None, "b": 1}
    show({"a": 1}, lambda record: print(record["a"]))
    show({"a": 1}, lambda _: pytest.fail("printed"), quiet=True)
    assert capsys.readouterr().out == "1\n"


def test_columns_are_renamed_from_ours_to_theirs():
    seen = {}
    command = column_option(lambda **options: seen.update(options))
    assert run(command, "--column", "ra=RA_DEG", "--column", "theta_e_arcsec = b").exit_code == 0
    assert seen["columns"] == {"ra": "RA_DEG", "theta_e_arcsec": "b"}


@pytest.mark.parametrize("wrong", ["ra", "ra=", "=ra"])
def test_a_column_without_both_names_is_refused(wrong):
    result = run(column_option(lambda **_: None), "--column", wrong)
    assert result.exit_code == 2
    assert f"--column {wrong}: got no name on either side" in result.stderr


def test_an_output_that_is_there_is_kept_unless_forced(tmp_path):
    path = tmp_path / "new" / "pairs.parquet"
    claim_file(path)
    assert path.parent.is_dir()
    path.write_text("kept")
    with pytest.raises(ExistsError, match="pass --force"):
        claim_file(path)
    with pytest.raises(ExistsError, match="pass --force"):
        claim_folder(path.parent)
    claim_file(path, force=True)
    claim_folder(path.parent, force=True)
    assert path.read_text() == "kept"


def test_an_empty_folder_may_be_used_and_a_deep_one_is_made(tmp_path):
    claim_folder(tmp_path)
    claim_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_is_not_taken_for_a_folder_nor_the_other_way_round(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(ExistsError, match="expected a folder"):
        claim_folder(path)
    with pytest.raises(ExistsError, match="expected the name of a file"):
        claim_file(tmp_path, force=True)
    with pytest.raises(MissingFileError, match="a folder that can be made"):
        claim_folder(path / "below")
