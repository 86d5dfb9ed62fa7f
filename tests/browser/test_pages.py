"""The pages as a browser shows them: no complaint, no request, no sideways scroll, usable by keyboard, printable."""

import re

import pytest

from tests.browser import chromium
from tests.report.pages import PAGES

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium or Chrome on PATH")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium.Chromium(chromium.find(), tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module", params=PAGES)
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / f"{request.param}.html"
    PAGES[request.param](path)
    return path


@pytest.fixture
def visit(browser):
    pages = []

    def visit(path, **how):
        pages.append(chromium.Page(browser, path, **how))
        return pages[-1]

    yield visit
    for page in pages:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_page_fits_and_says_nothing_in_the_console(visit, path, width, scheme, tmp_path):
    page = visit(path, width=width, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("innerWidth") == width
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith("data:")] == [path.as_uri()]
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_pictures_are_drawn(visit, path):
    page = visit(path)
    assert page.evaluate("[...document.images].every(each => each.complete && each.naturalWidth > 0)")
    assert page.evaluate(
        "[...document.querySelectorAll('svg')].every(each => each.getBoundingClientRect().width > 200)"
    )


def _color(page, selector, name):
    style = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{name}")
    return [int(part) for part in re.findall(r"\d+", style)[:3]]


def test_dark_is_dark_in_the_plots_too(visit, path):
    light, dark = (visit(path, scheme=scheme) for scheme in ("light", "dark"))
    for page, ink, paper in ((light, 80, 230), (dark, 200, 60)):
        text = _color(page, "svg text", "fill")
        assert (max(text) < ink) if page is light else (min(text) > ink)
        back = _color(page, "body", "backgroundColor")
        assert (min(back) > paper) if page is light else (max(back) < paper)


def test_the_keyboard_reaches_what_opens(visit, path):
    page = visit(path)
    page.press("Tab", 9)
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    if not page.evaluate("document.querySelectorAll('details').length"):
        return
    for _ in range(60):
        page.press("Tab", 9)
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert page.evaluate("document.activeElement.parentElement.open") is False
    page.evaluate("document.activeElement.click()")
    assert page.evaluate("document.activeElement.parentElement.open") is True


def test_a_page_prints(visit, path):
    assert visit(path).print_pdf().startswith(b"%PDF")
