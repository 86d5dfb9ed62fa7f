"""audit-injection --self-test: a record, a page, an exit code; one line for what is wrong."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gen5astro import selftest
from gen5astro.cli import main
from gen5astro.config import MeasureConfig
from gen5astro.io.parquet import PairWriter
from gen5astro.measure import measure_pairs
from gen5astro.report.json import write_json
from gen5astro.table import write_table
from tests.factories import make_pairs
from tests.report.records import make_selftest
from tests.sources import MemorySource

PLAN = selftest.plan_sets
QUICK = (
    *("--set", "selftest.pairs=120", "--set", "selftest.sets=1", "--set", "selftest.clean_sets=1"),
    *("--set", "bootstraps=100", "--set", "permutations=2", "--set", "theta_e_edges=[]", "--set", "arc_snr_edges=[]"),
)


def run(*arguments):
    return CliRunner().invoke(main, ["audit-injection", "--self-test", *map(str, arguments)])


@pytest.fixture
def few(monkeypatch):
    """Plant few faults: all of them are planted by the plan, which is tested beside it."""

    def planting(grades):
        def plan_few(config, *, takes_all=False, **_all):
            return PLAN(config, grades=grades, takes_all=takes_all)

        monkeypatch.setattr(selftest, "plan_sets", plan_few)

    planting({"pedestal": (0.2, 1.0)})
    return planting


def write(path, *, fault=None):
    block = make_pairs(120, np.random.default_rng(8), size=64, fault=fault)
    with PairWriter(path, block.bands, block.pixel_scale) as writer:
        writer.write(block)
    return path


@pytest.mark.usefixtures("few")
def test_the_sample_is_planted_in_and_leaves_record_and_page(tmp_path):
    result = run("--out", tmp_path / "out", *QUICK)
    assert result.exit_code == 0, result.output
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"selftest.json", "selftest.html"}
    record = json.loads((tmp_path / "out" / "selftest.json").read_text())
    assert (record["schema"], record["status"]) == ("gen5astro-selftest/1", "PASS")
    assert [row["strength"] for row in record["faults"]] == [0.2, 1.0]
    assert record["provenance"]["config"]["selftest"]["pairs"] == 120
    assert result.stdout.startswith("PASS  The audit names what is planted")
    assert "judging sets: 3 in" in result.stderr
    assert "selftest.html" in result.stderr
    assert "Self-test of the audit" in (tmp_path / "out" / "selftest.html").read_text(encoding="utf-8")


def test_a_fault_that_is_not_named_exits_3(few, tmp_path, monkeypatch):
    few({"pedestal": (0.2,)})
    monkeypatch.setattr("gen5astro.selftest.sets.apply_fault", lambda stamp, *_, **__: stamp)
    result = run("--out", tmp_path / "out", *QUICK, "--json")
    assert result.exit_code == 3, result.output
    record = json.loads(result.stdout)
    assert record == json.loads((tmp_path / "out" / "selftest.json").read_text())
    assert record["shortfalls"] == [{"fault": "pedestal", "strength": 0.2, "share": 0.0, "at_least": 0.95}]
    assert record["faults"][0]["mistaken_for"] == {"physical": 1}


@pytest.mark.usefixtures("few")
def test_pairs_that_are_not_clean_are_refused(tmp_path):
    pairs = write(tmp_path / "faulty.parquet", fault="gain:1.1")
    result = run(pairs, "--out", tmp_path / "out", *QUICK, "--set", "selftest.pairs=100")
    assert result.exit_code == 2
    assert "got pairs whose own audit names gain first" in result.output
    assert "leave PAIRS out" in result.output


@pytest.mark.usefixtures("few")
def test_a_row_that_cannot_be_read_is_told_and_in_no_set(tmp_path):
    table = pq.read_table(write(tmp_path / "pairs.parquet"))
    stamps = [b"junk", *table["stamp_npz"].to_pylist()[1:]]
    at = table.column_names.index("stamp_npz")
    pq.write_table(
        table.set_column(at, table.schema.field(at), pa.array(stamps, pa.binary())), tmp_path / "bad.parquet"
    )
    result = run(tmp_path / "bad.parquet", "--out", tmp_path / "out", *QUICK)
    assert result.exit_code == 0, result.output
    assert "1 row rejected" in result.stderr
    record = json.loads((tmp_path / "out" / "selftest.json").read_text())
    assert record["counts"]["pairs_a_set"] == record["clean"]["terms"][0]["pairs"] == 119


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--junit", "a.xml"), "--junit: got a self-test; expected an audit of PAIRS"),
        (("--baseline", "a.json"), "--baseline: got a self-test"),
        (("--explain",), "--explain: got a self-test"),
        (("--psf", "sample"), "--psf: got a self-test"),
        (("--pixel-scale", 0.2), "--pixel-scale: got a self-test; expected PAIRS, which it speaks of"),
        (("--column", "ra=alpha"), "--column: got a self-test; expected PAIRS"),
        (("--set", "selftest.sets=0"), "selftest.sets: got 0; expected 1 or more"),
        (("none.parquet",), "none.parquet: got no such file"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_leaves_no_folder(tmp_path, arguments, words):
    result = run("--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()


def test_pairs_that_cannot_be_read_are_one_line(tmp_path):
    (tmp_path / "pairs.parquet").write_bytes(b"no table at all")
    result = run(tmp_path / "pairs.parquet", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "pairs.parquet" in result.stderr


def test_an_audit_needs_pairs(tmp_path):
    result = CliRunner().invoke(main, ["audit-injection", "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert "PAIRS is missing" in line


def test_what_is_there_is_not_overwritten_unless_forced(tmp_path):
    (tmp_path / "selftest.json").write_text("precious")
    result = run("--out", tmp_path)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert (tmp_path / "selftest.json").read_text() == "precious"


@pytest.mark.usefixtures("few")
def test_an_interrupt_leaves_the_sets_that_were_judged(tmp_path, monkeypatch):
    judge = selftest.judge_set

    def interrupt_the_last(sets, test, config):
        if test.planted == (("pedestal", 1.0),):
            raise KeyboardInterrupt
        return judge(sets, test, config)

    monkeypatch.setattr(selftest, "judge_set", interrupt_the_last)
    result = run("--out", tmp_path / "out", *QUICK, "--threads", 1)
    assert result.exit_code == 130
    assert "interrupted: 2 of 3 sets were judged" in result.stderr
    record = json.loads((tmp_path / "out" / "selftest.json").read_text())
    assert (record["complete"], record["status"], record["counts"]["sets_judged"]) == (False, "INSUFFICIENT", 2)
    assert "2 of 3 sets were judged" in (tmp_path / "out" / "selftest.html").read_text(encoding="utf-8")


# ---- report ----


@pytest.fixture
def written(tmp_path):
    write_json(make_selftest(missed=("gain",)), tmp_path / "selftest.json")
    return tmp_path / "selftest.json"


def report(*arguments):
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


@pytest.mark.parametrize(("form", "start"), [("html", "<!doctype"), ("text", "FAIL  The audit misses"), ("json", "{")])
def test_a_self_test_is_shown_again(written, tmp_path, form, start):
    printed = report(written, "--format", form)
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.startswith(start)
    assert report(written, "--format", form, "--out", tmp_path / "again").exit_code == 0
    name = {"html": "selftest.html", "text": "selftest.txt", "json": "selftest.json"}[form]
    assert (tmp_path / "again" / name).read_text(encoding="utf-8") == printed.stdout


@pytest.mark.parametrize("options", [("--format", "junit"), ("--format", "methods"), ("--baseline", "a.json")])
def test_what_a_self_test_cannot_be_shown_as_is_one_line(written, options):
    result = report(written, *options)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "the record of a self-test" in result.stderr


def test_a_measurement_table_holds_no_pixels_to_plant_into(tmp_path):
    block = make_pairs(30, np.random.default_rng(3))
    table, _ = measure_pairs(MemorySource(block), MeasureConfig())
    write_table(table, tmp_path / "measure.parquet")
    result = run(tmp_path / "measure.parquet", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "a measurement table; expected pairs, to plant faults into" in result.output
