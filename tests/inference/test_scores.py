"""The table does not depend on how its rows came, and what is said of the scores is true of them."""

import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen5astro.inference import scores as module
from gen5astro.inference.scores import Tally, write_scores
from gen5astro.training.score import probability


def _records(cuts, n=40):
    rng = np.random.default_rng(4)
    columns = {"row": np.arange(n), "logit": rng.normal(0, 5, n), "column_ra": rng.uniform(0, 360, n)}
    columns["column_name"] = np.array([f"galaxy {at}" for at in range(n)])
    bounds = [0, *cuts, n]
    return [{name: each[a:b] for name, each in columns.items()} for a, b in itertools.pairwise(bounds)]


@pytest.mark.parametrize("cuts", [(), (7,), (16, 32), (1, 1, 2, 33, 40), tuple(range(1, 40))])
def test_the_file_does_not_depend_on_how_the_rows_came(tmp_path, monkeypatch, cuts):
    monkeypatch.setattr(module, "ROW_GROUP", 16)
    for name, parts in (("whole", _records(())), ("parts", _records(cuts))):
        (tmp_path / f"{name}.parquet.part").mkdir()
        write_scores(parts, tmp_path / f"{name}.parquet", metadata={"a": "b"}, tally=Tally(()))
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "parts.parquet").read_bytes()
    footer = pq.read_metadata(tmp_path / "parts.parquet")
    assert [footer.row_group(at).num_rows for at in range(footer.num_row_groups)] == [16, 16, 8]
    table = pq.read_table(tmp_path / "parts.parquet")
    assert table.column_names == ["row", "ra", "name", "score", "logit"]
    np.testing.assert_array_equal(table["score"], probability(table["logit"].to_numpy()))
    assert table.schema.metadata == {b"a": b"b"}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(0, 50))
def test_quantiles_and_counts_are_those_of_all_scores(values, cut):
    scores, shares = np.array(values), (0.01, 0.5, 0.9, 1.0)
    tally = Tally((0.5, 0.9))
    for part in (scores[:cut], scores[cut:]):
        tally.add(part)
    assert tally.above == {"0.5": (scores > 0.5).sum(), "0.9": (scores > 0.9).sum()}
    for share, found in zip(shares, tally.quantiles(shares).values(), strict=True):
        exact = np.quantile(scores, share, method="inverted_cdf")
        assert exact - 1.001e-5 <= found <= exact + 1e-12
