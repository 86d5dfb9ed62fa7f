"""Pages made from records say what the records say, and the records are of what there is."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import COMPARISONS
from gen5astro.gates import load_gates
from gen5astro.inject.faults import FAULTS
from gen5astro.report.record import load_selftest
from tests.report.records import make_selftest

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def page():
    """Return the module that makes the page."""
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        import selftest_page

        yield selftest_page
    finally:
        sys.path.remove(str(DOCS / "_ext"))


@pytest.fixture(scope="module")
def record(page):
    return load_selftest(page.RECORD)


def rows_of(lines):
    """Rows of the list-table among the lines, without its header."""
    rows = []
    for line in lines:
        start = re.match(r"   ([* ]) - ?(.*)$", line)
        if start:
            rows = [*rows, []] if start[1] == "*" else rows
            rows[-1].append(start[2])
    return rows[1:]


def written(share):
    """A share as the page has it, written anew."""
    low, high = (f"{100 * end:.0f}" for end in share["interval"])
    places = 1 if 0 < share["share"] < 0.0995 else 0
    whole = f"{100 * share['share']:.{places}f}"
    return whole, f"{low} to {high} %"


def test_the_record_is_of_every_fault_at_every_grade_and_of_every_gate(record):
    planted = {(row["fault"], row["strength"]) for row in record["faults"]}
    assert planted == {(name, grade) for name, fault in FAULTS.items() for grade in fault.grades}
    assert list(record["gates"]) == list(load_gates())
    assert record["complete"]
    assert record["input"]["label"] == "sample"
    assert record["clean"]["sets"] > 0


def test_every_cell_of_the_table_of_causes_is_what_the_record_says(page, record):
    rows = {row[0].split("``")[1]: row[1:] for row in rows_of(page.accuracy(record))}
    assert list(rows) == list(FAULTS)
    for row in record["faults"]:
        cell = rows[row["fault"]][row["grade"] - 1]
        share, interval = written(row["right"])
        bold = "**" if row["promised"] else ""
        assert cell.startswith(f"{row['strength']:g}: {bold}{share} %{bold} ({interval})"), cell
        for name, count in row["mistaken_for"].items():
            assert f"{name.replace('_', ' ')} ({count})" in cell


def test_every_row_of_the_table_of_gates_is_what_the_record_says(page, record):
    rows = rows_of(page.power(record))
    assert len(rows) == len(record["faults"])
    for cells, row in zip(rows, record["faults"], strict=True):
        share, interval = written(row["any_gate"])
        assert cells[:3] == [f"``{row['fault']}``", f"{row['strength']:g}", f"{share} % ({interval})"]
        fired = {name for name, gate in row["gates"].items() if gate["count"] and not record["gates"][name]["advisory"]}
        assert {each.split()[0] for each in cells[3].split(", ") if each} == fired


def test_false_alarms_and_terms_are_what_the_record_says(page, record):
    clean = record["clean"]
    rows = {re.sub(r":ref:`(\w+) .*`", r"\1", row[0]): row[1:] for row in rows_of(page.alarms(record))}
    shown = {"a fault is named": clean["other_named"], "any gate fires": clean["any_gate"]}
    shown |= {f"{gate} fires": each for gate, each in clean["gates"].items() if not record["gates"][gate]["advisory"]}
    for gate, each in clean["zero"].items():
        shown[f"95 % interval of {gate} holds 0"] = each["holds"]
        shown[f"{gate} would fire with a limit of 0"] = each["fires"]
    assert set(rows) == {*shown, "a fault is put first"}
    for what, each in shown.items():
        assert rows[what][0] == f"{each['count']} of {clean['sets']}"
    rows = rows_of(page.terms(record))
    assert [(row[0].strip("`"), row[1]) for row in rows] == [(row["term"], row["band"]) for row in clean["terms"]]
    for cells, row in zip(rows, clean["terms"], strict=True):
        assert float(cells[2].split()[0].replace("\N{MINUS SIGN}", "-")) == pytest.approx(row["mean"], abs=6e-6)


def test_another_record_makes_another_page(page):
    other = make_selftest(missed=("pedestal",), together=True)
    assert page.told(other).startswith("**FAIL**. 12 of 13 faults")
    assert "These are 110 sets of 1,000 pairs, from ``gen5astro audit-injection --self-test`` with" in page.told(other)
    other["provenance"]["config"]["selftest"] |= {"sets": 20, "together": True}
    assert "``gen5astro audit-injection --self-test --set selftest.sets=20 --set selftest.together=true``" in page.told(
        other
    )
    assert rows_of(page.accuracy(other))[0][3] == "0.2: **0 %** (0 to 66 %); gain (2)"
    assert rows_of(page.together(other)) == [["``gain`` and ``pedestal``", "50 % (9 to 91 %)", "100 %"]]
    assert page.together(make_selftest()) == page.alarms({"clean": None}) == page.terms({"clean": None}) == []


# --- benchmarks -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def benchmarks(page):
    """Return the module that makes the table of the benchmarks, and the record that it is made from."""
    import benchmarks_page

    return benchmarks_page, benchmarks_page.load_record(benchmarks_page.RECORD)


def test_the_record_of_the_benchmarks_has_every_comparison(benchmarks):
    _, record = benchmarks
    timed = [(row["name"], row["peer_name"], row["target"]) for row in record["rows"]]
    assert timed == [(kind.name, peer.name, peer.target) for kind in COMPARISONS for peer in kind.peers.values()]
    assert [row["peer_name"] for row in record["rows"] if "skipped" in row] == []


def test_a_ratio_is_bold_where_it_is_what_is_aimed_at(benchmarks):
    page, record = benchmarks
    for row in record["rows"]:
        cells = page.cells(row)
        assert (cells[0], cells[3]) == (row["name"], row["peer_name"])
        assert cells[5].startswith("**") == (row["ratio"] >= row["target"])
        assert float(cells[5].strip("*")) == pytest.approx(row["ratio"], abs=0.051)
    skipped = {"name": "work", "peer_name": "peer", "target": 2.0, "skipped": "peer is not installed"}
    assert page.cells(skipped)[4] == "peer is not installed"


def test_the_machine_and_the_versions_are_told(benchmarks):
    page, record = benchmarks
    told = page.told(record["provenance"])
    assert f"``{record['provenance']['command']}``" in told
    assert record["provenance"]["processor"] in told
    assert f"numpy {record['provenance']['versions']['numpy']}" in told


def test_what_is_no_record_of_benchmarks_is_refused(benchmarks, tmp_path):
    (tmp_path / "rows.json").write_text('{"rows": []}')
    with pytest.raises(ValueError, match="schema None"):
        benchmarks[0].load_record(tmp_path / "rows.json")


def test_what_a_survey_costs_follows_from_the_record(page):
    import growth_page

    rows = [
        {"command": name, "pairs": pairs, "cpu_ms_per_pair": cost}
        for name in ("build-hdf5", "verify")
        for pairs, cost in ((1000, None), (100_000, 0.36))
    ]
    lines = "\n".join(growth_page.survey({"rows": rows, "bands": 3, "size": 64}))
    cells = [line.partition("- ")[2] for line in lines.splitlines() if "- " in line]
    assert cells[4:8] == ["``build-hdf5``", "10", "0.3", "0"]
    assert cells[12:15] == ["together", "20", "0.6"]
    assert cells[-6:] == ["float32", "9.8", "197", "float16, int16", "4.9", "98"]
