"""The verb report: a record in each of its forms, on standard output or in a folder, and what changed since another."""

import json
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.report.json import write_json
from tests.report.records import make_audit

FILES = {
    "html": "audit.html",
    "junit": "junit.xml",
    "text": "audit.txt",
    "methods": "methods.txt",
    "json": "audit.json",
}


def run(*arguments):
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


@pytest.fixture
def audits(tmp_path):
    paths = tmp_path / "old" / "audit.json", tmp_path / "new" / "audit.json"
    for path, excess in zip(paths, (0.14, 0.0), strict=True):
        write_json(make_audit(excess=excess), path)
    return paths


@pytest.mark.parametrize("form", FILES)
def test_a_form_is_printed_or_written_the_same(audits, tmp_path, form):
    printed = run(audits[0], "--format", form)
    assert printed.exit_code == 0, printed.output
    written = run(audits[0], "--format", form, "--out", tmp_path / "out")
    assert written.exit_code == 0, written.output
    assert [each.name for each in (tmp_path / "out").iterdir()] == [FILES[form]]
    assert (tmp_path / "out" / FILES[form]).read_text(encoding="utf-8") == printed.stdout
    assert FILES[form] in written.stderr


def test_without_a_format_it_is_a_page_in_a_folder_and_tables_on_a_screen(audits, tmp_path):
    assert run(audits[0]).stdout.startswith("FAIL  The injection changes")
    assert run(audits[0], "--out", tmp_path / "out", "--quiet").output == ""
    assert (tmp_path / "out" / "audit.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_forms_are_what_they_say(audits):
    assert ElementTree.fromstring(run(audits[0], "--format", "junit").stdout.encode()).tag == "testsuites"
    assert run(audits[0], "--format", "methods").stdout.startswith("We audited 998 pairs")
    assert json.loads(run(audits[0], "--format", "json").stdout) == make_audit(excess=0.14)


def test_a_baseline_shows_what_changed_in_every_view(audits, tmp_path):
    old, new = audits
    text = run(new, "--baseline", old).stdout
    assert "Was FAIL, is PASS. 3 gates changed status." in text
    record = json.loads(run(new, "--baseline", old, "--format", "json").stdout)
    assert record["baseline"]["status_before"] == "FAIL"
    assert {
        "gate",
        "name",
        "view",
        "stratum",
        "band",
        "before",
        "after",
        "change",
        "status_before",
        "status_after",
    } <= set(record["baseline"]["changes"][0])
    assert "What changed since" in run(new, "--baseline", old, "--format", "html").stdout
    assert "What changed since" not in run(new, "--format", "html").stdout


def test_a_baseline_of_another_schema_is_one_line(audits):
    old, new = audits
    write_json(make_audit() | {"schema": "gen5astro-audit/0"}, old)
    result = run(new, "--baseline", old)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "gen5astro-audit/0" in result.stderr
    assert result.stdout == ""


def test_a_record_of_another_kind_is_not_to_be_audited_again(audits):
    write_json({"schema": "gen5astro-evaluation/1"}, audits[0])
    result = run(audits[0])
    assert result.exit_code == 2
    assert "got schema gen5astro-evaluation/1" in result.stderr
    assert "name audit.json of gen5astro audit-injection" in result.stderr


def test_what_is_there_is_kept_unless_forced(audits, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "junit.xml").write_text("precious")
    arguments = (audits[0], "--format", "junit", "--out", tmp_path / "out")
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert (tmp_path / "out" / "junit.xml").read_text() == "precious"
    assert run(*arguments, "--force").exit_code == 0
    assert run(tmp_path / "none.json").exit_code == 2
