"""A page is one well-formed file that loads nothing, names its pictures and never runs what a table holds."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from gen5astro.io.pairs import Reject
from gen5astro.report.html import (
    audit_page,
    write_audit_page,
    write_demo_page,
    write_evaluation_page,
    write_selftest_page,
    write_training_page,
)
from tests.report.pages import PAGES
from tests.report.records import (
    make_audit,
    make_demo,
    make_evaluation,
    make_finding,
    make_gate,
    make_selftest,
    make_training,
    make_worst,
)

_VOID = {"meta", "link", "br", "img", "hr", "input", "col"}
_SCRIPT = "<script>alert(1)</script>"


class _Reader(HTMLParser):
    """Collects the tags of a page and insists that they nest and that ids are unique."""

    def __init__(self, text):
        super().__init__()
        self.tags, self._open = [], []
        self.feed(text)
        self.close()
        assert self._open == []
        ids = [each["id"] for _, each in self.tags if "id" in each]
        assert len(ids) == len(set(ids))
        self.ids = set(ids)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


@pytest.fixture(scope="module", params=PAGES)
def page(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "page.html"
    PAGES[request.param](path)
    return path.read_text(encoding="utf-8")


def test_a_page_is_well_formed(page):
    reader = _Reader(page)
    tags = [tag for tag, _ in reader.tags]
    assert [tags.count(tag) for tag in ("html", "title", "main", "h1")] == [1, 1, 1, 1]


def test_a_page_loads_nothing(page):
    for tag, attributes in _Reader(page).tags:
        assert tag not in ("script", "iframe", "object", "embed", "base")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "srcset", "href", "xlink:href", "action", "poster", "data"):
            target = attributes.get(name) or ""
            assert not re.match(r"(?i)\s*(https?:|//|javascript:)", target)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_every_picture_has_words(page):
    for tag, attributes in _Reader(page).tags:
        if tag == "img":
            assert attributes["alt"].strip()
        if tag == "svg":
            assert attributes["role"] == "img"
            assert len(attributes["aria-label"]) > 20


def test_references_inside_a_page_have_their_target(page):
    reader = _Reader(page)
    for _, attributes in reader.tags:
        for name in ("href", "xlink:href", "aria-labelledby"):
            target = attributes.get(name) or ""
            if name == "aria-labelledby" or target.startswith("#"):
                assert not target or target.lstrip("#") in reader.ids


def test_plots_follow_the_color_scheme_of_the_page(page):
    assert "prefers-color-scheme: dark" in page
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.S)
    assert drawings
    for drawing in drawings:
        assert not re.search(r"#0[0-9a-b]0[0-9a-f]{3}", drawing.replace("#000000", ""))
    used = set(re.findall(r"var\(--([\w-]+)", page))
    defined = set(re.findall(r"--([\w-]+):", page)) | {"tone"}
    assert used <= defined


def test_the_same_record_gives_the_same_page(tmp_path):
    for name in ("one", "two"):
        PAGES["audit"](tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_comes_from_a_catalog_is_escaped(tmp_path):
    record = make_audit(excess=0.14, label=_SCRIPT)
    record["counts"][_SCRIPT] = 1
    record["provenance"] = {_SCRIPT: {_SCRIPT: _SCRIPT}}
    record["diagnosis"]["causes"][0]["look_first"] = _SCRIPT
    record["residual_profile"]["curves"][0]["stratum"] = _SCRIPT
    record["residual_profile"]["curves"][0]["band"] = _SCRIPT
    for gate in record["gates"].values():
        gate["note"] = gate["question"] = _SCRIPT
        for finding in gate["findings"]:
            finding.update(note=_SCRIPT, band=_SCRIPT, unit=_SCRIPT)
    record["gates"]["core_leakage"]["findings"][0]["stratum"] = _SCRIPT
    worst = make_worst(1, pair_id=f'"{_SCRIPT}')
    worst[0]["reason"] = _SCRIPT
    write_audit_page(record, worst, tmp_path / "audit.html", rejects=[Reject(1, _SCRIPT)])

    evaluation = make_evaluation()
    evaluation.update(run=_SCRIPT, cube=_SCRIPT, split=_SCRIPT)
    evaluation["candidates"][0]["name"] = _SCRIPT
    evaluation["metrics"][0]["note"] = _SCRIPT
    write_evaluation_page(evaluation, tmp_path / "evaluation.html", images={_SCRIPT: np.zeros((3, 8, 8))})

    training = make_training()
    training.update(
        run=_SCRIPT, warnings=[_SCRIPT], override_gate=_SCRIPT, audit_status=_SCRIPT, config={_SCRIPT: _SCRIPT}
    )
    training["history"][0][_SCRIPT] = _SCRIPT
    write_training_page(training, tmp_path / "training.html")

    demo = make_demo()
    demo.update(clean=record, pedestal=record, next=[_SCRIPT], links=[{"label": _SCRIPT, "href": f'"{_SCRIPT}'}])
    write_demo_page(demo, tmp_path / "demo.html")

    selftest = make_selftest(label=_SCRIPT, notes=[_SCRIPT])
    selftest["provenance"] = {_SCRIPT: _SCRIPT}
    selftest["faults"][0].update(fault=_SCRIPT, unit=_SCRIPT, mistaken_for={_SCRIPT: 1})
    selftest["gates"][_SCRIPT] = {"advisory": False}
    for place in (selftest["clean"], *selftest["faults"]):
        place["gates"][_SCRIPT] = place["gates"]["core_leakage"]
    selftest["clean"]["mistaken_for"] = {_SCRIPT: 1}
    selftest["clean"]["terms"][0].update(term=_SCRIPT, band=_SCRIPT, unit=_SCRIPT, cause=_SCRIPT, below=False)
    write_selftest_page(selftest, tmp_path / "selftest.html")

    for path in tmp_path.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "<script" not in text
        assert "&lt;script&gt;" in text or "&lt; script" in text
        _Reader(text)


def test_pages_of_bare_records(tmp_path):
    write_audit_page({"status": "ERROR", "gates": {}}, [], tmp_path / "audit.html")
    write_evaluation_page({"status": "ERROR"}, tmp_path / "evaluation.html")
    write_training_page({}, tmp_path / "training.html")
    write_selftest_page(make_selftest() | {"faults": [], "clean": None}, tmp_path / "selftest.html")
    bare = {"status": "ERROR", "gates": {}}
    write_demo_page({"clean": bare, "pedestal": bare}, tmp_path / "demo.html")
    for path in tmp_path.iterdir():
        _Reader(path.read_text(encoding="utf-8"))


def test_numbers_that_are_missing_are_dashes_not_words(tmp_path):
    record = make_audit()
    for finding in record["gates"]["core_leakage"]["findings"]:
        finding.update(value=None, interval=None, status="ERROR")
    record["residual_profile"]["curves"][0]["median"][0] = None
    write_audit_page(record, [], tmp_path / "audit.html")
    text = (tmp_path / "audit.html").read_text(encoding="utf-8")
    visible = re.sub(r"<style.*?</style>", "", text, flags=re.S)
    assert not re.search(r">\s*(None|nan|NaN)\s*<", visible)


def test_normalizers_are_compared_and_one_is_recommended():
    record = make_audit()
    findings = [
        make_finding(f"{name}:{kind}", value, "SKIP", view="single", interval=[value - 0.01, value + 0.01])
        for kind, value in (("sky", 0.503), ("standard", 0.641), ("pair", 0.5))
        for name in ("statistics_auc", "core_auc", "core_excess_auc")
    ]
    findings.append(make_finding("recommended:sky", 0.003, "SKIP", view="single"))
    record["gates"]["normalization_leakage"] = make_gate("PASS", *findings)
    record["provenance"]["config"]["normalize"] = {"kind": "standard"}
    page = audit_page(record, [])
    table = page[page.index("What a normalizer would add") :]
    assert "Recommended: <strong>sky</strong>" in table
    assert "0.641 \N{PLUS-MINUS SIGN} 0.010" in table
    assert "needs a ctrl" in table
    assert "configured" in table
    assert "What a normalizer would add" not in audit_page(make_audit(), [])
