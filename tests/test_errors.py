"""Errors name the thing, what was found, what was expected and the remedy."""

import inspect
import pickle

import pytest

from gen5astro import errors
from gen5astro.errors import BlockedError, ColumnError, Gen5Error, MissingFileError, closest

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Gen5Error)]


def test_the_line_holds_all_four_parts_in_order():
    error = Gen5Error("file a.h5", got="version 3", expected="version 1", remedy="build it again")
    assert str(error) == "file a.h5: got version 3; expected version 1; build it again"


def test_parts_that_are_absent_leave_no_trace():
    assert str(Gen5Error("file a.h5")) == "file a.h5"
    assert str(Gen5Error("threads", got=0)) == "threads: got 0"


def test_a_message_is_one_line_whatever_it_quotes():
    assert str(Gen5Error("x", got="a\n  traceback\n")) == "x: got a traceback"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_processes_whole(kind):
    error = pickle.loads(pickle.dumps(kind("x", got=1, expected=2, remedy="y")))
    assert type(error) is kind
    assert (error.what, error.got, error.expected, error.remedy) == ("x", 1, 2, "y")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Gen5Error])
def test_an_error_is_also_the_builtin_that_it_refines(kind):
    assert any(base.__module__ == "builtins" and base is not Exception for base in kind.__bases__)


def test_a_missing_file_and_a_missing_column_are_caught_as_the_builtins_are():
    with pytest.raises(FileNotFoundError):
        raise MissingFileError("file a")
    with pytest.raises(KeyError, match="column ra"):
        raise ColumnError("column ra")


def test_only_a_gate_ends_with_another_exit_code():
    assert {kind for kind in KINDS if kind.exit_code != 2} == {BlockedError}


def test_the_closest_choice_is_named_whatever_its_case():
    assert closest("RA_DEG", ["dec_deg", "ra_deg"]).startswith("did you mean 'ra_deg'? (there are: dec_deg, ra_deg)")


def test_no_guess_where_nothing_is_close():
    assert closest("qqq", ["ra", "dec"]) == "there are: dec, ra"
    assert closest("qqq", []) == "there are none"


def test_a_long_list_of_choices_is_cut():
    shown = closest("zzz", [f"column_{at:03d}" for at in range(100)])
    assert shown.endswith("column_029, ...")
