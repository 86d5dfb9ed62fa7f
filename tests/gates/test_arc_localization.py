"""The arcs' mean place: on the lens for a centered kernel, off it by what the kernel is off."""

import dataclasses

import numpy as np
import pytest

from gen5astro.gates import run_gates
from gen5astro.leakage import strata
from gen5astro.population import mean_place
from gen5astro.verdict import Status
from tests.gates.test_gates import BANDS, CONFIG, make_table

SCALE = 0.263


def offsets(table, *, shift=0.0, seed=1):
    """Sources on all sides, half an Einstein radius out, and a kernel that moves what it convolves along x."""
    rng, radius = np.random.default_rng(seed), table["theta_e_arcsec"] / SCALE
    for axis, by in (("x", shift), ("y", 0.0)):
        place = 0.3 * radius * rng.normal(size=len(table)) + by
        table.columns[f"arc_offset_{axis}"] = np.tile(place[:, None], len(BANDS))
    return table


def judged(table, config=CONFIG):
    result = run_gates(table, config, strata(table, config))["arc_localization"]
    return result, [each for each in result.findings if each.name == "arc_offset"]


def test_sources_on_all_sides_leave_the_arcs_on_their_lenses():
    result, found = judged(offsets(make_table()))
    assert result.status is Status.PASS
    assert [each.band for each in found] == list(BANDS)
    assert all(each.value < 0.4 and each.interval[0] == 0 for each in found)


def test_a_kernel_one_pixel_off_fails_and_says_by_how_much():
    result, found = judged(offsets(make_table(), shift=1.0))
    assert result.status is Status.FAIL
    assert "mean place" in result.note
    for each in found:
        assert each.interval[0] < 1 < each.interval[1]
        assert each.simultaneous[0] < each.interval[0]


def test_an_offset_that_chance_may_have_brought_fails_nothing():
    table = make_table(n_hosts=25, per_host=1)
    rng = np.random.default_rng(4)
    for axis in "xy":
        table.columns[f"arc_offset_{axis}"] = rng.normal(0.3, 4.0, (len(table), len(BANDS)))
    tight = dataclasses.replace(CONFIG, limits={"arc_localization": {"arc_offset": [None, 0.0]}})
    _, found = judged(table, tight)
    assert {each.status for each in found} == {Status.INSUFFICIENT}
    assert all("not beyond chance" in each.note for each in found)


def test_places_that_no_lens_can_bring_about_do_not_count():
    rng = np.random.default_rng(2)
    place, group = rng.normal(0, 1, (400, 2)), np.repeat(np.arange(40), 10)
    mean, error = mean_place(place, np.full(400, 5.0), group)
    assert mean == pytest.approx(place.mean(axis=0))
    assert error == pytest.approx(1 / 20, rel=0.4)
    place[::40] = 100.0
    place[1::40] = np.nan
    kept = place[np.isfinite(place[:, 0]) & (place[:, 0] < 10)]
    assert mean_place(place, np.full(400, 5.0), group)[0] == pytest.approx(kept.mean(axis=0))
    assert np.isnan(mean_place(np.full((400, 2), np.nan), np.full(400, 5.0), group)[0]).all()
