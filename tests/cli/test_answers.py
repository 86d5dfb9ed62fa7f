"""The verb answers: eight questions, from the record alone."""

import json

from click.testing import CliRunner

from gen5astro.cli import main
from gen5astro.report.json import write_json
from tests.report.records import make_audit


def run(*arguments):
    return CliRunner().invoke(main, ["answers", *map(str, arguments)])


def test_eight_questions_are_answered_or_said_not_to_be(tmp_path):
    write_json(make_audit(excess=0.14), tmp_path / "audit.json")
    result = run(tmp_path / "audit.json")
    assert result.exit_code == 0, result.output
    assert [line[:2] for line in result.stdout.splitlines() if line[:1].isdigit()] == [f"{at}." for at in range(1, 9)]
    answers = json.loads(run(tmp_path / "audit.json", "--json").stdout)["answers"]
    assert len(answers) == 8
    assert {each["measured"] for each in answers} == {True, False}


def test_what_is_no_audit_is_refused_in_a_line(tmp_path):
    write_json({"schema": "gen5astro-evaluation/1"}, tmp_path / "evaluation.json")
    result = run(tmp_path / "evaluation.json")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
