"""The self-test finds what is planted, in sets that are clean without it, and says so when it does not."""

import dataclasses
import threading

import numpy as np
import pytest

from gen5astro.engine import warnings_lock
from gen5astro.errors import ConfigError, FormatError
from gen5astro.inject.faults import FAULTS
from gen5astro.io.pairs import BlockRef
from gen5astro.leakage import measure_auc
from gen5astro.neighbors import mask_neighbors
from gen5astro.sample import load_hosts
from gen5astro.selftest import check_source, plan_sets, run_selftest
from gen5astro.selftest.sets import PLANTING_ORDER, SampleSets, TestSet, judge_set
from gen5astro.settings import load_config
from gen5astro.table import MeasureTable
from tests.factories import make_pairs
from tests.sources import MemorySource

SETTINGS = (
    *("selftest.pairs=120", "selftest.sets=1", "selftest.clean_sets=1", "audit.bootstraps=100"),
    *("audit.permutations=2", "inject.size=64", "audit.theta_e_edges=[]", "audit.arc_snr_edges=[]"),
)
CONFIG = load_config(settings=SETTINGS)
GRADES = {"pedestal": (1.0,), "noise_added": (0.25, 0.5)}


def configured(**section):
    return dataclasses.replace(CONFIG, selftest=dataclasses.replace(CONFIG.selftest, **section))


def untimed(record):
    provenance = {key: value for key, value in record["provenance"].items() if key != "seconds"}
    return record | {"provenance": provenance}


@pytest.fixture(scope="module")
def record():
    return run_selftest(CONFIG, grades=GRADES, threads=2)


@pytest.fixture(scope="module")
def block():
    return make_pairs(120, np.random.default_rng(4), size=64)


def test_a_strong_fault_is_named_and_sets_a_gate_off_and_a_clean_set_is_clean(record):
    pedestal, weak, strong = record["faults"]
    assert (pedestal["fault"], weak["strength"], strong["strength"]) == ("pedestal", 0.25, 0.5)
    for row in (pedestal, strong):
        assert row["right"]["count"] == row["named"]["count"] == row["any_gate"]["count"] == row["sets"] == 1
        assert row["mistaken_for"] == {}
    assert pedestal["gates"]["sky_leakage"]["statuses"] == {"FAIL": 1}
    assert strong["gates"]["noise_leakage"]["count"] == 1
    clean = record["clean"]
    assert clean["other_top"]["count"] == clean["other_named"]["count"] == clean["any_gate"]["count"] == 0
    assert clean["gates"]["sky_leakage"]["statuses"] == {"PASS": 1}


def test_what_leaks_is_held_against_zero_on_clean_sets(record):
    assert set(record["clean"]["zero"]) == {"core_leakage", "noise_leakage", "sky_leakage"}
    for each in record["clean"]["zero"].values():
        assert each["holds"]["share"] == 1
        assert each["fires"]["count"] == 0


def test_only_the_third_grade_is_promised_and_decides(record):
    assert [(row["grade"], row["promised"]) for row in record["faults"]] == [(None, False), (3, True), (4, False)]
    assert (record["status"], record["complete"], record["shortfalls"]) == ("PASS", True, [])
    assert record["counts"] == {"sets_planned": 4, "sets_judged": 4, "pairs_a_set": 120}


def test_every_term_of_a_clean_set_is_far_below_what_a_named_fault_puts_there(record):
    assert len(record["clean"]["terms"]) == 7 * 3
    for row in record["clean"]["terms"]:
        assert row["below"]
        assert (row["pairs"], row["hosts"]) == (120, 30)
        assert 0 < row["error"] < row["limit"]


def test_the_record_does_not_depend_on_threads_or_on_other_sets(record):
    again = run_selftest(CONFIG, grades=GRADES, threads=1)
    assert untimed(again) == untimed(record)
    (alone,) = run_selftest(CONFIG, grades={"noise_added": (0.5,)}, threads=2)["faults"]
    assert alone == record["faults"][-1]


def test_each_set_has_arcs_of_its_own_and_another_seed_has_others():
    sets = SampleSets(load_hosts(), CONFIG)
    kinds = (TestSet((), 0), TestSet((), 1), TestSet((("gain", 1.1),), 0))
    drawn = [next(iter(sets.blocks(test.seeds(CONFIG)))).digest for test in kinds]
    for other in (configured(seed=1), dataclasses.replace(CONFIG, audit=dataclasses.replace(CONFIG.audit, seed=1))):
        drawn.append(next(iter(sets.blocks(kinds[0].seeds(other)))).digest)
    assert len({each.tobytes() for each in drawn}) == len(drawn)


def test_what_is_planted_is_what_the_audit_sees(monkeypatch):
    """Without the planting, nothing is found: the finding is the fault's, not the set's."""
    test = TestSet((("pedestal", 1.0),), 0)
    sets = SampleSets(load_hosts(), CONFIG)
    assert judge_set(sets, test, CONFIG).top == "pedestal"
    monkeypatch.setattr("gen5astro.selftest.sets.apply_fault", lambda stamp, *_, **__: stamp)
    assert judge_set(sets, test, CONFIG).top == "physical"


def _fit():
    groups = {"group": np.arange(40), "row": np.arange(40)}
    table = MeasureTable(groups, ("g",), (16, 16), 0.263)
    rng = np.random.default_rng(0)
    measure_auc(table, lambda *_: rng.normal(size=(40, 2)), image="stamp", config=CONFIG.audit, rng=rng)


def _mask():
    mask_neighbors(np.zeros((1, 1, 16, 16), np.float32), np.full((1, 2), 7.5), np.ones((1, 1)))


@pytest.mark.parametrize("work", [_fit, _mask])
def test_what_changes_warning_filters_waits_for_others_that_do(work):
    """Filters are the process's: sets that are judged at once would otherwise put back each other's."""
    work()
    done = threading.Event()
    thread = threading.Thread(target=lambda: (work(), done.set()))
    with warnings_lock:
        thread.start()
        assert not done.wait(0.5)
    assert done.wait(20)
    thread.join()


# ---- the plan ----


def test_every_fault_is_planted_at_every_grade_once_before_any_is_planted_twice():
    plan = plan_sets(configured(sets=2, clean_sets=3))
    assert [test.planted for test in plan[:3]] == [()] * 3
    once = plan[3 : 3 + 52]
    assert {test.number for test in once} == {0}
    planted = {(name, grade) for name, fault in FAULTS.items() for grade in fault.grades}
    assert {test.planted[0] for test in once} == planted
    assert [test.planted for test in plan[3 + 52 :]] == [test.planted for test in once]


def test_two_at_once_are_all_pairs_of_faults_in_the_order_of_an_injection():
    assert sorted(PLANTING_ORDER) == sorted(FAULTS)
    together = [test.planted for test in plan_sets(configured(together=True)) if len(test.planted) == 2]
    assert len(together) == len({frozenset(each) for each in together}) == 13 * 12 // 2
    for planted in together:
        places = [PLANTING_ORDER.index(name) for name, _ in planted]
        assert places == sorted(places)
        assert all(strength == FAULTS[name].grades[2] for name, strength in planted)


def test_two_faults_at_once_are_both_found():
    grades = {"quantization": (), "pedestal": ()}
    found = run_selftest(configured(together=True), grades=grades, threads=2)
    (row,) = found["together"]
    assert (row["faults"], row["strengths"]) == (["pedestal", "quantization"], [0.2, 1.0])
    assert row["both"]["count"] == row["either"]["count"] == row["sets"] == 1
    assert found["status"] == "INSUFFICIENT"


@pytest.mark.parametrize("name", ["pairs", "sets", "clean_sets"])
def test_a_number_below_one_is_refused(name):
    with pytest.raises(ConfigError, match=f"selftest.{name}: got 0"):
        plan_sets(configured(**{name: 0}))


def test_an_unknown_fault_names_the_closest():
    with pytest.raises(ConfigError, match="did you mean 'pedestal'"):
        plan_sets(CONFIG, grades={"pedestall": (1.0,)})


# ---- pairs that are there ----


def test_sets_are_drawn_from_the_rows_that_can_be_read(block):
    loose = dataclasses.replace(configured(pairs=50), audit=dataclasses.replace(CONFIG.audit, max_reject_fraction=0.1))
    sets = check_source(MemorySource(block, bad={7: "torn"}), loose, threads=2)
    assert (sets.takes_all, sets.pairs, len(sets.rows)) == (False, 50, 119)
    drawn = []
    for number in range(3):
        parts = list(sets.blocks(TestSet((), number).seeds(loose)))
        rows = np.concatenate([part.row for part in parts])
        assert len(rows) == len(set(rows)) == 50
        assert 7 not in rows
        assert np.array_equal(np.concatenate([part.stamp for part in parts]), block.stamp[rows])
        drawn.append(frozenset(rows.tolist()))
    assert len(set(drawn)) == 3


def test_pairs_that_every_set_would_have_make_one_set_of_each_kind_and_a_note(block):
    several = configured(sets=3, clean_sets=4)
    sets = check_source(MemorySource(block), several, threads=2)
    record = run_selftest(several, sets=sets, grades={"gain": (1.05,)}, threads=2)
    assert record["counts"]["sets_judged"] == 2
    (note,) = record["notes"]
    assert "120 pairs that can be read, no more than selftest.pairs" in note
    assert record["faults"][0]["right"]["count"] == 1
    assert record["clean"]["terms"][0]["hosts"] == 30


def test_pairs_that_are_not_clean_are_refused_before_anything_is_planted():
    faulty = MemorySource(make_pairs(120, np.random.default_rng(4), size=64, fault="pedestal:1"), label="faulty")
    with pytest.raises(FormatError, match="faulty: got pairs whose own audit names pedestal first; expected clean"):
        check_source(faulty, CONFIG)


def test_pairs_of_which_none_can_be_read_are_refused(block):
    with pytest.raises(FormatError, match="no readable pair"):
        check_source(MemorySource(block, bad=dict.fromkeys(range(120), "torn")), CONFIG)


def test_a_row_is_read_as_it_is_and_not_as_its_neighbor(block):
    source = MemorySource(block)
    (whole, _), sets = source.read(BlockRef(0, 120)), check_source(source, configured(pairs=119))
    (part,) = sets.blocks(TestSet((), 0).seeds(CONFIG))
    missing = set(whole.row) - set(part.row)
    assert len(missing) == 1
    assert np.array_equal(part.digest, whole.digest[[row not in missing for row in whole.row]])


# ---- Ctrl-C ----


def test_an_interrupt_keeps_the_sets_that_were_judged():
    kept, done = [], []

    def stop_after_two():
        done.append(1)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_selftest(CONFIG, grades=GRADES, threads=1, advance=stop_after_two, on_partial=kept.append)
    (record,) = kept
    assert record["counts"] == {"sets_planned": 4, "sets_judged": 2, "pairs_a_set": 120}
    assert (record["complete"], record["status"]) == (False, "INSUFFICIENT")
    assert record["clean"]["sets"] == record["faults"][0]["sets"] == 1


def test_an_interrupt_before_the_first_set_keeps_nothing(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gen5astro.selftest.judge_set", interrupt)
    kept = []
    with pytest.raises(KeyboardInterrupt):
        run_selftest(CONFIG, grades=GRADES, threads=1, on_partial=kept.append)
    assert kept == []
