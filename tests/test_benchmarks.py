"""Benchmarks at toy size: each runs, and what is compared does the same work."""

import json

import numpy as np
import pytest

from benchmarks.__main__ import COMPARISONS, main
from benchmarks.comparison import missing, prepared

# lenstronomy calls NumPy's FFT in a way that NumPy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`axes` should not be `None`:DeprecationWarning")

PEERS = [(kind, method) for kind in COMPARISONS for method in kind.peers]


@pytest.mark.parametrize(("kind", "method"), PEERS, ids=[f"{kind.__name__}-{method}" for kind, method in PEERS])
def test_ours_and_the_peer_do_the_same_work(kind, method):
    if reason := missing(kind, method):
        pytest.skip(reason)
    with prepared(kind, toy=True) as work:
        ours = np.array(work.time_gen5astro())
        theirs = np.array(getattr(work, method)())
        assert len(theirs) == work.part(method)
        difference = np.abs(ours[: len(theirs)] - theirs).max()
        assert difference <= kind.peers[method].tolerance * np.abs(theirs).max()


def test_the_table_is_written_as_json(tmp_path, capsys):
    main(["--toy", "--json", str(tmp_path / "rows.json")])
    record = json.loads((tmp_path / "rows.json").read_text())
    rows = record["rows"]
    assert [(row["name"], row["peer_name"]) for row in rows] == [
        (kind.name, peer.name) for kind in COMPARISONS for peer in kind.peers.values()
    ]
    for row in rows:
        assert row["target"] > 0
        assert ("skipped" in row) != ("ratio" in row)
        if "ratio" in row:
            assert row["ratio"] == pytest.approx(row["ours"] / row["peer"])
    assert {"processor", "versions", "command", "load"} <= set(record["provenance"])
    assert "toy size" in capsys.readouterr().out


def test_one_row_can_be_asked_for(capsys):
    main(["--toy", "ring"])
    out = capsys.readouterr().out
    assert "scipy" in out
    assert "sep" not in out


def test_a_peer_that_is_not_there_is_skipped_and_the_reason_said(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.comparison.missing", lambda kind, method: "scipy is not installed")
    main(["--toy", "ring"])
    assert "installed" in capsys.readouterr().out
