"""A record on disk is whole, strict and in order."""

import json
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from gen5astro.report.json import encode, write_json
from gen5astro.verdict import Status


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")])
def test_a_number_that_is_not_finite_becomes_null(value):
    assert json.loads(encode({"value": value, "inside": [(value,)]})) == {"value": None, "inside": [[None]]}


def test_numpy_and_friends_become_plain():
    @dataclass
    class Section:
        edges: tuple

    record = {
        "int": np.int64(3), "bool": np.bool_(True), "float": np.float32(0.5), "array": np.array([[1, 2]]),
        "path": Path("a/b"), "day": date(2026, 1, 2), "status": Status.PASS, "set": {"b", "a"},
        "section": Section((1, 2)), 7: "seven",
    }  # fmt: skip
    assert json.loads(encode(record)) == {
        "int": 3, "bool": True, "float": 0.5, "array": [[1, 2]], "path": "a/b", "day": "2026-01-02", "status": "PASS",
        "set": ["a", "b"], "section": {"edges": [1, 2]}, "7": "seven",
    }  # fmt: skip


def test_gates_keep_their_order():
    assert list(json.loads(encode({"zeta": 1, "alpha": 2}))) == ["zeta", "alpha"]


def test_what_has_no_json_form_is_refused_by_name():
    with pytest.raises(TypeError, match="object has no JSON form"):
        encode({"thing": object()})


def test_a_file_is_utf8_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "audit.json"
    write_json({"stratum": "θ_E"}, path)
    assert "θ_E" in path.read_text(encoding="utf-8")
    assert [each.name for each in path.parent.iterdir()] == ["audit.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "audit.json"
    write_json({"run": 1}, path)
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_json({"run": 2}, path)
    assert json.loads(path.read_text()) == {"run": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["audit.json"]
