"""A status can be read by everyone, and a number means one thing."""

import pytest

from gen5astro.report.appearance import (
    BLOCKED,
    LOOKS,
    MINUS,
    NOTHING,
    interval_text,
    limits_text,
    look,
    number,
    spread,
    stratum_text,
)
from gen5astro.verdict import Status


def _luminance(color):
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def _contrast(one, other):
    dark, light = sorted([_luminance(one), _luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_every_status_has_a_look_with_a_word_of_its_own():
    assert set(LOOKS) == set(Status)
    assert len({each.word for each in [*LOOKS.values(), BLOCKED]}) == len(Status) + 1


@pytest.mark.parametrize("each", [*LOOKS.values(), BLOCKED], ids=lambda each: each.word)
def test_a_status_is_legible_on_light_and_dark(each):
    assert min(_contrast(each.light, "#ffffff"), _contrast(each.light, "#f7f7f5")) >= 4.5
    assert min(_contrast(each.dark, "#1c2024"), _contrast(each.dark, "#14171a")) >= 4.5


@pytest.mark.parametrize("status", [None, "MAYBE", ""])
def test_an_unknown_status_never_looks_like_a_pass(status):
    assert look(status).word == "ERROR"


def test_only_an_advisory_failure_is_blocked():
    assert look("FAIL", advisory=True) is BLOCKED
    assert look("FAIL").word == "FAIL"
    assert look("PASS", advisory=True).word == "PASS"


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (0.0144, {}, "0.0144"), (-0.5, {}, f"{MINUS}0.5"), (1234567, {}, "1,234,567"), (1e-5, {}, f"1e{MINUS}05"),
        (None, {}, NOTHING), (float("nan"), {}, NOTHING), (3, {"signed": True}, "+3"), ("<b>", {}, "<b>"),
        (0.144, {"places": 2, "signed": True}, "+0.14"), (0.001, {"places": 2, "signed": True}, "0.00"),
        (-0.001, {"places": 2}, "0.00"), (True, {}, "True"),
    ],
)  # fmt: skip
def test_numbers(value, options, text):
    assert number(value, **options) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(None, None, ""), (None, 0.03, "≤ 0.03"), (20, None, "≥ 20"), (-0.02, 0.02, "±0.02"), (0.4, 0.6, "0.4 to 0.6")],
)
def test_limits(low, high, text):
    assert limits_text(low, high) == text


def test_an_interval_that_is_not_known_is_not_shown():
    assert interval_text(None) == interval_text([None, 0.2]) == ""
    assert interval_text([-0.01, 0.03], places=2) == f"{MINUS}0.01 to 0.03"
    assert spread({"value": 0.01, "interval": [None, None]}) == "0.01"
    assert spread({"value": None}) == spread(None) == NOTHING
    assert spread({"value": 0.01, "interval": [-0.01, 0.03]}) == "0.01 ± 0.02"


@pytest.mark.parametrize(
    ("stratum", "text"),
    [
        ("all", "all"), ("theta_e<1", "θ_E < 1″"), ("1<=theta_e<2.5", "1″ ≤ θ_E < 2.5″"), ("theta_e>=2", "θ_E ≥ 2″"),
        ("20<=arc_snr<50", "20 ≤ arc SNR < 50"),
    ],
)  # fmt: skip
def test_strata(stratum, text):
    assert stratum_text(stratum) == text
