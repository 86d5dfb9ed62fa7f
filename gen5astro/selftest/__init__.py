"""The audit tried out on itself: every fault planted at graded strengths, and what gates and diagnosis made of it.

A check that cannot fail is worth nothing, so each gate is shown faults that must set it off and clean sets that must
not; and each cause of the diagnosis the fault that bears its name. The numbers are shares of sets, with intervals.
"""

import importlib.metadata
import itertools
import time

from threadpoolctl import threadpool_limits

from gen5astro import __version__
from gen5astro.audit import audit_pairs
from gen5astro.config import as_dict
from gen5astro.engine import map_blocks
from gen5astro.errors import ConfigError, FormatError, closest
from gen5astro.inject.faults import FAULTS
from gen5astro.selftest.sets import PLANTING_ORDER, SampleSets, SourceSets, TestSet, judge_set
from gen5astro.selftest.tally import CONFIDENCE, LEAST_RIGHT, MOST_FALSE, summarize_outcomes

__all__ = ["SCHEMA", "check_source", "plan_sets", "run_selftest"]

SCHEMA = "gen5astro-selftest/1"

_LIBRARIES = ("numpy", "scipy", "numba", "scikit-learn")
_SECTIONS = ("selftest", "measure", "audit", "normalize")


def check_source(source, config, *, threads=None, advance=None, on_rejects=None):
    """Audit pairs as they are, before anything is planted into them.

    Parameters
    ----------
    source : PairSource
        Pairs that should be clean.
    config : Config
        Sections ``measure``, ``audit``, ``normalize`` and ``selftest``.
    threads : int, optional
        Blocks measured at once; does not change the result.
    advance : callable, optional
        Called with the number of rows done.
    on_rejects : callable, optional
        Called with the list of rejects.

    Returns
    -------
    sets : SourceSets
        The pairs that can be read, to draw sets from.

    Raises
    ------
    FormatError
        If no row could be read, or the pairs are not clean.
    RejectedError
        If more rows were rejected than the configuration allows.
    """
    found = audit_pairs(source, config=config, threads=threads, advance=advance, on_rejects=on_rejects)
    rows, group = found.table["row"].copy(), found.table["group"].copy()
    top = found.record["diagnosis"]["top"]
    if top != "physical":
        raise FormatError(
            source.label,
            got=f"pairs whose own audit names {top} first",
            expected="clean pairs, since nothing that is planted into others can be judged",
            remedy="mend them, or leave PAIRS out to plant into the sample",
        )
    return SourceSets(source, rows, group, config)


def plan_sets(config, *, grades=None, takes_all=False):
    """List the sets of a self-test.

    Parameters
    ----------
    config : Config
        Section ``selftest``.
    grades : dict of str to sequence of float, optional
        Strengths to plant of each fault. Default: all faults at their four grades.
    takes_all : bool
        Whether all sets have the same pairs. There is then one of each kind: a second would say the same again.

    Returns
    -------
    plan : list of TestSet
        Clean sets first, then all faults and strengths once, then all of them again.

    Raises
    ------
    ConfigError
        If a number of the section is less than 1, or a fault is not known.
    """
    section = config.selftest
    for name in ("pairs", "sets", "clean_sets"):
        if getattr(section, name) < 1:
            raise ConfigError(f"selftest.{name}", got=getattr(section, name), expected="1 or more")
    grades = {name: fault.grades for name, fault in FAULTS.items()} if grades is None else grades
    for name in grades:
        if name not in FAULTS:
            raise ConfigError("fault", got=repr(name), expected="a known fault", remedy=closest(name, FAULTS))
    planted = [((name, strength),) for name in grades for strength in grades[name]]
    if section.together:
        several = itertools.combinations([name for name in PLANTING_ORDER if name in grades], 2)
        planted += [tuple((name, FAULTS[name].promised) for name in names) for names in several]
    sets, clean_sets = (1, 1) if takes_all else (section.sets, section.clean_sets)
    clean = [TestSet((), number) for number in range(clean_sets)]
    return clean + [TestSet(each, number) for number in range(sets) for each in planted]


def run_selftest(config, *, sets=None, grades=None, threads=None, advance=None, on_partial=None):
    """Plant faults at graded strengths, audit what comes of it, and count.

    Parameters
    ----------
    config : Config
        Sections ``selftest``, ``measure``, ``audit``, ``normalize`` and, without `sets`, ``inject``.
    sets : SampleSets or SourceSets, optional
        Where clean pairs come from. Default: arcs in the hosts inside the package.
    grades : dict of str to sequence of float, optional
        Strengths to plant of each fault. Default: all faults at their four grades.
    threads : int, optional
        Sets judged at once; does not change the record, but for its seconds.
    advance : callable, optional
        Called after each set.
    on_partial : callable, optional
        Called with the record of the sets that were judged, if there are any, before an interrupt is raised.

    Returns
    -------
    record : dict
        Of schema `SCHEMA`, as it goes to JSON.

    Raises
    ------
    ConfigError
        If a setting or a fault cannot be used.
    """
    began = time.perf_counter()
    if sets is None:
        from gen5astro.sample import load_hosts

        sets = SampleSets(load_hosts(), config)
    plan = plan_sets(config, grades=grades, takes_all=sets.takes_all)
    outcomes = []
    try:
        # Judging limits the threads of BLAS for a while; sets that do so at once would put back each other's number.
        with threadpool_limits(1):
            for outcome in map_blocks(lambda test: judge_set(sets, test, config), plan, threads=threads):
                outcomes.append(outcome)
                if advance is not None:
                    advance()
    except KeyboardInterrupt:
        if outcomes and on_partial is not None:
            on_partial(_record(outcomes, plan, sets, config, began))
        raise
    return _record(outcomes, plan, sets, config, began)


def _record(outcomes, plan, sets, config, began):
    sections = _SECTIONS if isinstance(sets, SourceSets) else (*_SECTIONS, "inject")
    complete = len(outcomes) == len(plan)
    return {
        "schema": SCHEMA,
        **summarize_outcomes(outcomes, sets.bands, complete=complete),
        "complete": complete,
        "notes": _notes(sets, config),
        "counts": {"sets_planned": len(plan), "sets_judged": len(outcomes), "pairs_a_set": sets.pairs},
        "input": {
            "label": sets.label,
            "bands": list(sets.bands),
            "pixel_scale": sets.pixel_scale,
        },
        "limits": {"least_right": LEAST_RIGHT, "most_false": MOST_FALSE, "confidence": CONFIDENCE},
        "provenance": {
            "versions": {"gen5astro": __version__} | {name: importlib.metadata.version(name) for name in _LIBRARIES},
            "config": {name: as_dict(getattr(config, name)) for name in sections},
            "seconds": round(time.perf_counter() - began, 3),
        },
    }


def _notes(sets, config):
    """What the reader must know before the numbers."""
    notes = []
    if sets.takes_all:
        notes.append(
            f"{sets.label} has {sets.pairs} pairs that can be read, no more than selftest.pairs "
            f"({config.selftest.pairs}): every set would have them all, so there is one of each kind."
        )
    return notes
