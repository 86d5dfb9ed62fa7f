"""A record is read back or refused in a line, and its worst pairs are shown only while they are what was audited."""

import json

import numpy as np
import pytest

from gen5astro.errors import FormatError, MissingFileError, SchemaError
from gen5astro.io.pairs import Reject
from gen5astro.io.parquet import PairWriter
from gen5astro.io.rejects import write_rejects
from gen5astro.report.json import write_json
from gen5astro.report.record import load_audit, read_rejects, read_worst
from gen5astro.report.render import render_audit
from tests.factories import make_pairs
from tests.report.records import make_audit


@pytest.fixture(scope="module")
def block():
    return make_pairs(6, np.random.default_rng(3), size=32)


@pytest.fixture(scope="module")
def pairs(block, tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    with PairWriter(path, block.bands, block.pixel_scale) as writer:
        writer.write(block)
    return path


def audited(block, label, rows=(4, 1)):
    record = make_audit(label=str(label))
    record["worst_pairs"] = [
        {"row": row, "pair_id": str(block.catalog["pair_id"][row]), "theta_e_arcsec": 1.0, "reason": "why"}
        for row in rows
    ]
    return record


def test_what_was_written_is_read_back(tmp_path):
    record = make_audit(excess=0.14)
    write_json(record, tmp_path / "audit.json")
    assert load_audit(tmp_path / "audit.json") == record


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"schema": "gen5astro-audit/9"}, SchemaError, "gen5astro-audit/9"),
        ({"schema": None}, SchemaError, "None"),
        ({"status": "MAYBE"}, FormatError, "'MAYBE'"),
        ({"status": ["PASS"]}, FormatError, "PASS"),
        ({"gates": {}}, FormatError, "no gates"),
        ({"gates": {"core_leakage": {"status": "fine"}}}, FormatError, "core_leakage"),
        ({"gates": {"core_leakage": []}}, FormatError, "core_leakage"),
        ({"gates": {"core_leakage": {"status": "PASS", "findings": [{"name": "auc"}]}}}, FormatError, "findings"),
    ],
)
def test_what_is_no_audit_is_refused_in_a_line(tmp_path, change, error, words):
    write_json(make_audit() | change, tmp_path / "audit.json")
    with pytest.raises(error) as caught:
        load_audit(tmp_path / "audit.json")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_broken_one_are_refused(tmp_path):
    with pytest.raises(MissingFileError):
        load_audit(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text(json.dumps(make_audit())[:-10])
    with pytest.raises(FormatError):
        load_audit(tmp_path / "broken.json")


def test_the_worst_pairs_are_read_again(block, pairs):
    worst, why = read_worst(audited(block, pairs))
    assert why == ""
    assert [each["row"] for each in worst] == [4, 1]
    for each in worst:
        np.testing.assert_array_equal(each["stamp"], block.stamp[each["row"]])
        np.testing.assert_array_equal(each["residual"], block.stamp[each["row"]] - block.ctrl[each["row"]])


def test_pairs_that_moved_can_be_named(block, pairs):
    record = audited(block, "elsewhere.parquet")
    worst, why = read_worst(record)
    assert worst == []
    assert "elsewhere.parquet" in why
    assert len(read_worst(record, pairs=str(pairs))[0]) == 2


@pytest.mark.parametrize("change", [{"pair_id": "another"}, {"row": 99}, {"row": -1}])
def test_other_pairs_are_not_shown_as_those_that_were_audited(block, pairs, change):
    record = audited(block, pairs)
    record["worst_pairs"][1].update(change)
    worst, why = read_worst(record)
    assert worst == []
    assert "no longer holds" in why


def test_a_record_without_pairs_or_place_says_which(block):
    assert read_worst(make_audit()) == ([], "the record lists none")
    assert "does not say where" in read_worst(audited(block, ""))[1]


def test_the_page_has_the_images_or_says_what_they_need(block, pairs):
    assert render_audit(audited(block, pairs), "html").count("<img") == 6
    page = render_audit(audited(block, "elsewhere.parquet"), "html")
    assert "<img" not in page
    assert "Their images need the pairs themselves" in page
    assert str(block.catalog["pair_id"][4]) in page


def test_rejects_are_read_back_where_they_are(tmp_path):
    rejects = [Reject(3, "broken zip"), Reject(7, "shape")]
    write_rejects(rejects, tmp_path / "rejects.parquet")
    assert read_rejects(tmp_path / "rejects.parquet") == rejects
    assert read_rejects(tmp_path / "none.parquet") == []
    (tmp_path / "broken.parquet").write_bytes(b"no")
    assert read_rejects(tmp_path / "broken.parquet") == []
    assert "broken zip" in render_audit(make_audit(), "html", rejects=tmp_path / "rejects.parquet")
