"""Benchmarks at toy size: each runs, and what is compared does the same work."""

import json

import numpy as np
import pytest

from benchmarks import growth
from benchmarks.__main__ import COMPARISONS, main
from benchmarks.comparison import missing, prepared
from gen5astro.io import open_pairs

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


def test_tiled_pairs_are_elsewhere_and_have_names_of_their_own(tmp_path):
    tile = growth.write_tile(tmp_path / "tile.parquet", 16, 1)
    source = open_pairs(growth.write_tiled(tile, tmp_path / "pairs.parquet", 1300))
    assert (source.n_rows, source.bands, source.shape) == (1300, ("g",), (16, 16))
    first, again = (next(iter(source.blocks(each))) for each in (600, 1200))
    one, two = source.read(first)[0], source.read(again)[0].choose(slice(600, None))
    np.testing.assert_array_equal(one.stamp, two.stamp)
    assert not set(one.catalog["host_id"]) & set(two.catalog["host_id"])
    assert np.abs(one.catalog["ra"] - two.catalog["ra"]).min() > 7


def test_what_a_pair_costs_is_told_above_the_start_up():
    rows = [
        {"command": "verify", "pairs": pairs, "seconds": seconds, "cpu_seconds": 2 * seconds}
        for pairs, seconds in ((1000, 2.0), (11000, 5.0))
    ]
    small, large = growth.per_pair(rows)
    assert (small["ms_per_pair"], large["ms_per_pair"], large["cpu_ms_per_pair"]) == (None, 0.3, 0.6)


def test_a_command_is_timed_as_a_process_of_its_own():
    row = growth.timed("--version")
    assert row["seconds"] > 0
    assert 5 < row["peak_memory_mb"] < 2000
    with pytest.raises(SystemExit, match="gen5astro no-such-verb failed"):
        growth.timed("no-such-verb")
