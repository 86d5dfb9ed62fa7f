"""What the views show, and what a cube's audit allows."""

import pytest

from gen5astro.errors import BlockedError, ConfigError
from gen5astro.training.views import VIEWS, check_view
from tests.training.cubes import make_audit


def test_a_single_view_has_the_bands_and_a_paired_one_twice_as_many():
    assert VIEWS["single"].channels("grz") == 3
    assert VIEWS["paired"].channels("grz") == 6


def test_only_a_view_without_ctrl_is_deployable():
    assert [name for name, view in VIEWS.items() if view.deployable] == ["single"]


def test_a_passing_audit_leaves_nothing_to_say_but_what_no_search_can_use():
    assert check_view(VIEWS["single"], make_audit(), label="cube") == []
    for name in ("paired", "residual"):
        (warning,) = check_view(VIEWS[name], make_audit(), label="cube")
        assert warning.startswith(f"view '{name}' needs a ctrl, which no image of the sky has")


@pytest.mark.parametrize("status", ["FAIL", "INSUFFICIENT", "ERROR", "SKIP"])
def test_the_paired_view_is_refused_unless_its_gate_passes(status):
    audit = make_audit("FAIL", status, note="the core tells them apart")
    said = "BLOCKED" if status == "FAIL" else status
    with pytest.raises(
        BlockedError, match=f"{said}.*the core tells them apart.*view=single.*--override-gate"
    ) as caught:
        check_view(VIEWS["paired"], audit, label="cube")
    assert caught.value.exit_code == 3


def test_the_residual_view_is_warned_of_and_not_refused():
    warnings = check_view(VIEWS["residual"], make_audit("FAIL", "FAIL"), label="cube.h5")
    assert "FAIL (core_leakage)" in warnings[0]


@pytest.mark.parametrize("audit", [None, {"status": "PASS", "gates": {}}])
def test_unknown_is_never_a_pass(audit):
    with pytest.raises(BlockedError, match="no verdict"):
        check_view(VIEWS["paired"], audit, label="cube")


def test_an_override_is_on_record():
    audit = make_audit("FAIL", "FAIL", note="leaks")
    warnings = check_view(VIEWS["paired"], audit, label="cube", override_gate="to compare")
    assert "in spite of six_channel_viability BLOCKED (leaks): to compare" in warnings[-1]


@pytest.mark.parametrize("view", VIEWS)
def test_what_no_gate_blocks_is_not_overridden(view):
    with pytest.raises(ConfigError, match=f"view '{view}' on cube, which no gate blocks; leave it out"):
        check_view(VIEWS[view], make_audit(), label="cube", override_gate="because")


def test_an_audit_of_too_few_hosts_has_found_no_fault():
    (warning,) = check_view(VIEWS["single"], make_audit("INSUFFICIENT"), label="cube.h5")
    assert "not all of it could be judged" in warning
    assert "learn the fault" not in warning


def test_the_single_view_warns_of_an_audit_that_did_not_pass_or_is_absent():
    (warning,) = check_view(VIEWS["single"], make_audit("FAIL", "FAIL"), label="cube.h5")
    assert "FAIL (core_leakage)" in warning
    (warning,) = check_view(VIEWS["single"], None, label="cube.h5")
    assert "no audit" in warning
