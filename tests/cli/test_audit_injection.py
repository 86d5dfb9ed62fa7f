"""The verb audit-injection: a verdict as an exit code, files to read, one line for what is wrong."""

import json
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.io.parquet import PairWriter
from gen5astro.table import read_table
from tests.factories import make_pairs

QUICK = ("--set", "bootstraps=100", "--set", "permutations=2", "--quiet")


def run(*arguments):
    return CliRunner().invoke(main, ["audit-injection", *map(str, arguments)])


def write(path, *, fault=None, n=240):
    block = make_pairs(n, np.random.default_rng(8), size=64, fault=fault)
    with PairWriter(path, block.bands, block.pixel_scale) as writer:
        writer.write(block)
    return path


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return write(tmp_path_factory.mktemp("pairs") / "clean.parquet")


def damage(pairs, path, rows, payload):
    """Copy the table of pairs with other bytes for the stamps of some rows."""
    table = pq.read_table(pairs)
    stamps = table["stamp_npz"].to_pylist()
    for row in rows:
        stamps[row] = payload(stamps[row])
    at = table.column_names.index("stamp_npz")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(stamps, pa.binary())), path)
    return path


def test_a_clean_injection_exits_0_and_leaves_record_page_and_table(clean, tmp_path):
    loose = ("--set", "min_effective_hosts=15")
    result = run(clean, "--out", tmp_path / "audit", *QUICK, *loose)
    assert result.exit_code == 0, result.output
    assert {each.name for each in (tmp_path / "audit").iterdir()} == {
        "audit.json",
        "audit.html",
        "measure.parquet",
        "rejects.parquet",
    }
    record = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert record["status"] == "PASS"
    assert len(read_table(tmp_path / "audit" / "measure.parquet")) == 240
    assert "<img" in (tmp_path / "audit" / "audit.html").read_text()


def test_a_pedestal_exits_3_and_the_table_says_where(tmp_path):
    pairs = write(tmp_path / "pedestal.parquet", fault="pedestal:1")
    result = run(pairs, "--out", tmp_path / "audit", *QUICK[:-1])
    assert result.exit_code == 3
    assert "core_leakage" in result.stdout
    assert "FAIL" in result.stdout
    assert "audit.html" in result.stderr


def test_json_on_standard_output_is_the_record(clean, tmp_path):
    result = run(clean, "--out", tmp_path / "audit", *QUICK, "--json", "--set", "min_effective_hosts=15")
    assert json.loads(result.stdout) == json.loads((tmp_path / "audit" / "audit.json").read_text())


def test_limits_come_from_a_config_file(clean, tmp_path):
    config = tmp_path / "strict.toml"
    config.write_text(
        "[audit]\nbootstraps = 50\npermutations = 2\n[audit.limits.arc_localization]\narc_share = [1.1, inf]\n"
    )
    result = run(clean, "--out", tmp_path / "audit", "--config", config, "--quiet")
    assert result.exit_code == 3
    record = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert record["gates"]["arc_localization"]["status"] == "FAIL"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (lambda stamp: stamp[: len(stamp) // 2], "zip"),
        (lambda stamp: b"not a zip at all", "zip"),
        (lambda stamp: None, "stamp"),
    ],
)
def test_a_bad_row_is_counted_and_named_and_stops_nothing(clean, tmp_path, payload, reason):
    pairs = damage(clean, tmp_path / "bad.parquet", [17], payload)
    result = run(pairs, "--out", tmp_path / "audit", *QUICK, "--set", "min_effective_hosts=15")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert record["counts"] == {"read": 240, "measured": 239, "rejected": 1, "hosts": 30}
    (reject,) = pq.read_table(tmp_path / "audit" / "rejects.parquet").to_pylist()
    assert reject["row"] == 17
    assert reason in reject["reason"].lower()


def test_what_was_matched_assumed_and_rejected_is_said(clean, tmp_path):
    table = pq.read_table(damage(clean, tmp_path / "bad.parquet", [17], lambda stamp: b"junk"))
    names = [{"theta_e_arcsec": "theta_E", "host_id": "galaxy"}.get(name, name) for name in table.column_names]
    pq.write_table(table.rename_columns(names).replace_schema_metadata(None), tmp_path / "theirs.parquet")
    loose = (*QUICK[:-1], "--set", "min_effective_hosts=15")
    result = run(tmp_path / "theirs.parquet", "--out", tmp_path / "audit", *loose)
    assert "host_id = 'galaxy', theta_e_arcsec = 'theta_E'" in result.stderr
    assert "0.262 arcsec assumed" in result.stderr
    assert (
        f"1 row rejected, see {tmp_path / 'audit' / 'rejects.parquet'}; the first, row 17: stamp_npz" in result.stderr
    )
    told = run(tmp_path / "theirs.parquet", "--out", tmp_path / "told", *loose, "--pixel-scale", 0.3, "--json")
    assert "arcsec assumed" not in told.stderr
    assert json.loads(told.stdout)["input"]["pixel_scale"] == 0.3


def test_too_many_bad_rows_stop_the_run_in_one_line_and_are_kept(clean, tmp_path):
    pairs = damage(clean, tmp_path / "bad.parquet", range(20), lambda stamp: b"junk")
    result = run(pairs, "--out", tmp_path / "audit", *QUICK)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert "20 of 240 rows rejected" in line
    assert "rejects.parquet, mend the rows" in line
    assert "--max-reject-fraction" in line
    assert pq.read_table(tmp_path / "audit" / "rejects.parquet").num_rows == 20
    assert not (tmp_path / "audit" / "audit.json").exists()
    again = run(clean, "--out", tmp_path / "audit", *QUICK, "--set", "min_effective_hosts=15")
    assert again.exit_code == 0, again.output


def test_more_bad_rows_can_be_allowed_and_the_counts_add_up(clean, tmp_path):
    pairs = damage(clean, tmp_path / "bad.parquet", range(20), lambda stamp: b"junk")
    loose = ("--set", "min_effective_hosts=15", "--max-reject-fraction", 0.1)
    result = run(pairs, "--out", tmp_path / "audit", *QUICK, *loose)
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert record["counts"] | {"hosts": 0} == {"read": 240, "measured": 220, "rejected": 20, "hosts": 0}
    assert record["provenance"]["config"]["audit"]["max_reject_fraction"] == 0.1
    refused = run(pairs, "--out", tmp_path / "none", *QUICK, "--max-reject-fraction", 1.5)
    assert refused.exit_code == 2
    assert "--max-reject-fraction" in refused.output


def test_bands_are_named_where_a_cube_of_planes_does_not_tell_them(tmp_path):
    block = make_pairs(30, np.random.default_rng(1), size=48)
    (tmp_path / "images").mkdir()
    rows = ["stamp_path,ctrl_path,host_id"]
    for at in range(30):
        for name in ("stamp", "ctrl"):
            np.save(tmp_path / "images" / f"{name}{at}.npy", getattr(block, name)[at][[1, 2]])
        rows.append(f"images/stamp{at}.npy,images/ctrl{at}.npy,{block.catalog['host_id'][at]}")
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    refused = run(tmp_path / "pairs.csv", "--out", tmp_path / "a", *QUICK)
    assert refused.exit_code == 2
    assert "name them with --bands" in refused.stderr
    result = run(tmp_path / "pairs.csv", "--out", tmp_path / "a", *QUICK, "--bands", "r,z", "--json")
    assert json.loads(result.stdout)["input"]["bands"] == ["r", "z"]


def test_a_missing_file_is_one_line_and_leaves_no_folder(tmp_path):
    result = run(tmp_path / "none.parquet", "--out", tmp_path / "audit")
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert "none.parquet" in line
    assert not (tmp_path / "audit").exists()


def test_a_missing_column_is_named_with_the_closest_that_is_there(clean, tmp_path):
    table = pq.read_table(clean)
    names = ["stamp_npzs" if name == "stamp_npz" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), tmp_path / "renamed.parquet")
    result = run(tmp_path / "renamed.parquet", "--out", tmp_path / "audit")
    assert result.exit_code == 2
    assert "stamp_npzs" in result.stderr
    told = run(
        tmp_path / "renamed.parquet",
        "--out",
        tmp_path / "audit",
        "--column",
        "stamp_npz=stamp_npzs",
        *QUICK,
        "--set",
        "min_effective_hosts=15",
    )
    assert told.exit_code == 0, told.output


def test_what_is_there_is_not_overwritten_unless_forced(clean, tmp_path):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.json").write_text("precious")
    refused = run(clean, "--out", tmp_path / "audit", *QUICK)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert (tmp_path / "audit" / "audit.json").read_text() == "precious"
    forced = run(clean, "--out", tmp_path / "audit", *QUICK, "--force", "--set", "min_effective_hosts=15")
    assert forced.exit_code == 0


def test_junit_and_baseline_beside_the_audit(clean, tmp_path):
    faulty = run(write(tmp_path / "faulty.parquet", fault="pedestal:1"), "--out", tmp_path / "old", *QUICK)
    assert faulty.exit_code == 3
    options = ("--junit", tmp_path / "ci" / "audit.xml", "--baseline", tmp_path / "old" / "audit.json")
    result = run(clean, "--out", tmp_path / "new", *options, *QUICK[:-1], "--set", "min_effective_hosts=15")
    assert result.exit_code == 0, result.output
    assert "Was FAIL, is PASS." in result.stdout
    assert "audit.min_effective_hosts" in result.stdout
    suites = ElementTree.parse(tmp_path / "ci" / "audit.xml").getroot()
    assert (suites.get("failures"), suites.get("errors")) == ("0", "0")
    record = json.loads((tmp_path / "new" / "audit.json").read_text())
    changed = {row["gate"] for row in record["baseline"]["changes"] if row["name"] is None}
    assert {"core_leakage", "sky_leakage"} <= changed
    assert "What changed since" in (tmp_path / "new" / "audit.html").read_text(encoding="utf-8")


def test_a_baseline_that_cannot_be_used_is_refused_before_anything_is_measured(clean, tmp_path):
    (tmp_path / "old.json").write_text('{"schema": "gen5astro-audit/0"}')
    for name in ("old.json", "none.json"):
        result = run(clean, "--out", tmp_path / "audit", "--baseline", tmp_path / name, *QUICK)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert name in result.stderr
    assert not (tmp_path / "audit").exists()


def test_a_junit_file_that_is_there_is_kept_unless_forced(clean, tmp_path):
    (tmp_path / "audit.xml").write_text("precious")
    result = run(clean, "--out", tmp_path / "audit", "--junit", tmp_path / "audit.xml", *QUICK)
    assert result.exit_code == 2
    assert (tmp_path / "audit.xml").read_text() == "precious"


def test_an_explanation_goes_into_record_page_and_terminal_and_leaves_the_exit_code(clean, tmp_path):
    few = (*QUICK[:-1], "--set", "min_effective_hosts=15", "--set", "explain_pairs=3", "--threads", 2)
    result = run(clean, "--out", tmp_path / "audit", "--explain", "--psf", "sample", *few)
    assert result.exit_code == 0, result.output
    assert "source account for of the core's excess" in result.stdout
    assert "fitting lenses: 3 in" in result.stderr
    explanation = json.loads((tmp_path / "audit" / "audit.json").read_text())["explanation"]
    assert explanation["counts"]["sample"] == len(explanation["pairs"]) == 3
    assert {row["band"] for row in explanation["strata"]} == {"g", "r", "z"}
    assert set(explanation["pairs"][0]) == {
        *("row", "pair_id", "theta_e_arcsec", "fitted", "reason", "psf", "misfit", "parameters", "source_flux", "bands")
    }
    assert 'id="explanation"' in (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--psf", "none.fits"), "PSF none.fits: got no such file"),
        (("--explain", "--psf", "none.fits"), "PSF none.fits: got no such file"),
        (("--explain", "--psf", "sample", "--pixel-scale", 0.2), "expected that of the pairs, 0.2"),
    ],
)
def test_a_psf_that_cannot_be_used_is_refused_before_anything_is_measured(clean, tmp_path, options, words):
    result = run(clean, "--out", tmp_path / "audit", *options, *QUICK)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "audit").exists()


def test_an_explanation_that_is_interrupted_leaves_the_audit(clean, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gen5astro.explain.explain_pairs", interrupt)
    result = run(clean, "--out", tmp_path / "audit", "--explain", *QUICK[:-1])
    assert result.exit_code == 130
    assert "was written" in result.stderr
    assert "without an explanation" in result.stderr
    assert "explanation" not in json.loads((tmp_path / "audit" / "audit.json").read_text())


def test_a_measurement_table_is_judged_again_without_its_pairs(clean, tmp_path):
    pairs = damage(clean, tmp_path / "pairs.parquet", [3], lambda payload: b"no archive")
    assert run(pairs, "--out", tmp_path / "first", *QUICK, "--set", "min_effective_hosts=15").exit_code == 0
    pairs.unlink()
    table = tmp_path / "first" / "measure.parquet"
    limit = "limits.arc_localization.arc_share=[1.1, inf]"
    result = run(table, "--out", tmp_path / "again", *QUICK, "--set", "min_effective_hosts=15", "--set", limit)
    assert result.exit_code == 3, result.output
    first, again = (json.loads((tmp_path / each / "audit.json").read_text()) for each in ("first", "again"))
    failed = {name for name, gate in again["gates"].items() if gate["status"] == "FAIL"}
    assert failed - {"six_channel_viability"} == {"arc_localization"}
    assert again["counts"] == first["counts"]
    assert again["counts"]["rejected"] == 1
    assert again["provenance"]["input_digest"] == first["provenance"]["input_digest"]
    page = (tmp_path / "again" / "audit.html").read_text()
    assert "only the measurement table was read" in page
    assert "no archive" not in page
    assert "row 3" in page.lower() or ">3</td>" in page
    listed = [pq.read_table(tmp_path / each / "rejects.parquet").to_pylist() for each in ("first", "again")]
    assert listed[0] == listed[1]
    assert listed[0][0]["pair_id"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--explain",), "--explain: got"),
        (("--psf", "sample"), "--psf: got"),
        (("--normalized",), "a measurement table; expected pairs, whose pixels can be read"),
        (("--pixel-scale", 0.3), "--pixel-scale: got"),
        (("--column", "ra=RA"), "--column: got"),
        (("--bands", "g,r,z"), "--bands: got"),
        (("--set", "measure.core_radius_arcsec=2.0"), "audit the pairs themselves"),
    ],
)
def test_a_measurement_table_holds_no_pixels(clean, tmp_path, options, words):
    assert run(clean, "--out", tmp_path / "first", *QUICK).exit_code in (0, 3)
    result = run(tmp_path / "first" / "measure.parquet", "--out", tmp_path / "again", *QUICK, *options)
    assert result.exit_code == 2
    assert words in result.output
    assert not (tmp_path / "again").exists()


def test_normalized_pixels_are_not_explained(clean, tmp_path):
    result = run(clean, "--out", tmp_path / "audit", *QUICK, "--explain", "--normalized")
    assert result.exit_code == 2
    assert "explain the pixels as they are stored" in result.output
