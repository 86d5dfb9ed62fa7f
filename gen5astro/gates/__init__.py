"""The gates: one file each, named as the gate, judging columns of the measurement table.

A gate declares its question, the columns that it reads, its limits and a function that turns a table into findings. Its
module's docstring is its page in the documentation.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from gen5astro.config import AuditConfig, NormalizerSpec
from gen5astro.errors import ConfigError, closest
from gen5astro.leakage import sample_hosts
from gen5astro.verdict import Finding, GateResult, Limit, Status, worst

__all__ = ["Context", "Gate", "load_gates", "overall_status", "run_gates", "usable_rows", "usable_sample"]


_STRATA = ("theta_e_arcsec", "arc_snr", "group")
_SHOWN_ROWS = 5


@dataclass(frozen=True)
class Gate:
    """A question about an injection and the numbers that answer it.

    Parameters
    ----------
    question : str
        What the gate asks.
    reads : tuple of str
        Columns of the measurement table that it needs.
    limits : dict of Limit
        Allowed range of each number that it judges.
    findings : callable
        ``findings(table, context)`` yields the `Finding` objects.
    order : int
        Place in the report.
    requires : frozenset of str
        Gates that must have been answered (PASS, FAIL or SKIP) before this one can be.
    advisory : bool
        Whether it speaks of a training option alone and leaves the audit's status as it is.
    every_stratum : bool
        Whether one stratum with too few hosts makes the gate INSUFFICIENT, even where others were judged.
    """

    question: str
    reads: tuple[str, ...]
    limits: dict[str, Limit]
    findings: Callable[..., Iterable[Finding]]
    order: int
    requires: frozenset[str] = frozenset()
    advisory: bool = False
    every_stratum: bool = False


@dataclass(frozen=True)
class Context:
    """What a gate may look at beside the table.

    Parameters
    ----------
    config : AuditConfig
        Seeds, draws, strata, host minimum.
    limits : dict of Limit
        This gate's limits, with the configured ones in place.
    masks : dict of bool array, (n,)
        Strata of the table.
    results : dict of GateResult
        Gates already judged.
    normalizer : NormalizerSpec
        How the pixels will be scaled for a network.
    sample : bool array, (n,), optional
        Pairs that are enough for a gate which trains a classifier; by default all.
    """

    config: AuditConfig
    limits: dict[str, Limit]
    masks: dict[str, np.ndarray]
    results: dict[str, GateResult] = field(default_factory=dict)
    normalizer: NormalizerSpec = field(default_factory=NormalizerSpec)
    sample: np.ndarray | None = None

    def judge(self, name, value, *, hosts=None, **more):
        """Hold a number against its limit.

        Parameters
        ----------
        name : str
            Number and limit.
        value : float
            The number.
        hosts : float, optional
            Effective number of hosts behind it; below the configured minimum the finding is INSUFFICIENT.
        **more
            Further fields of the finding.

        Returns
        -------
        finding : Finding
            With status and limits filled in.
        """
        limit = self.limits[name]
        status = limit.judge(None if value is None else float(value))
        if hosts is not None and hosts < self.config.min_effective_hosts:
            status = Status.INSUFFICIENT
            more["note"] = f"{hosts:.1f} effective hosts, fewer than {self.config.min_effective_hosts:g}"
        return Finding(name, _number(value), status, low=limit.low, high=limit.high, hosts=hosts, **more)

    def show(self, name, value, **more):
        """Record a number that is not judged.

        Parameters
        ----------
        name : str
            Number.
        value : float
            The number.
        **more
            Further fields of the finding.

        Returns
        -------
        finding : Finding
            With status SKIP.
        """
        return Finding(name, _number(value), Status.SKIP, **more)

    def generator(self, name):
        """Random generator of one gate, the same whatever other gates draw.

        Parameters
        ----------
        name : str
            The gate's name.

        Returns
        -------
        rng : numpy.random.Generator
            Seeded by the configured seed and the name.
        """
        return np.random.default_rng([self.config.seed, *name.encode()])


def _number(value):
    return None if value is None else float(value)


def load_gates():
    """Find every gate.

    Returns
    -------
    gates : dict of Gate
        By name, in report order.
    """
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    found = {name: module.GATE for name, module in modules.items() if hasattr(module, "GATE")}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def run_gates(table, config, masks, *, normalizer=None):
    """Judge a measurement table by every gate.

    Parameters
    ----------
    table : MeasureTable
        With ``group``.
    config : AuditConfig
        How to judge.
    masks : dict of bool array, (n,)
        Strata of the table.
    normalizer : NormalizerSpec, optional
        How the pixels will be scaled for a network. Default: as `NormalizerSpec` itself.

    Returns
    -------
    results : dict of GateResult
        By name, in report order.

    Raises
    ------
    ConfigError
        If a configured limit names no gate or no number of it.
    """
    gates = load_gates()
    _check_limits(config.limits, gates)
    results = {}
    rng = np.random.default_rng([config.seed, *b"sample"])
    sample = sample_hosts(table["group"], config.judge_pairs, rng) if "group" in table.columns else None
    for name, gate in gates.items():
        own = {limit: Limit(*map(_open, bounds)) for limit, bounds in config.limits.get(name, {}).items()}
        context = Context(config, gate.limits | own, masks, dict(results), normalizer or NormalizerSpec(), sample)
        results[name] = _run(name, gate, table, context)
    return results


def _open(bound):
    return None if bound is None or np.isinf(bound) else bound


def _check_limits(limits, gates):
    for name, numbers in limits.items():
        if name not in gates:
            raise ConfigError(f"audit.limits.{name}", got="no such gate", remedy=closest(name, gates))
        for number, bounds in numbers.items():
            if number not in gates[name].limits:
                remedy = closest(number, gates[name].limits)
                raise ConfigError(f"audit.limits.{name}.{number}", got="no such limit", remedy=remedy)
            if len(bounds) != 2 or (None not in bounds and bounds[0] > bounds[1]):
                raise ConfigError(f"audit.limits.{name}.{number}", got=bounds, expected="[low, high]")


def _run(name, gate, table, context):
    """Answer one gate; what cannot be answered is an ERROR that says why."""
    blank = GateResult(name, Status.ERROR, gate.question, advisory=gate.advisory)
    if not len(table):
        return replace(blank, note="no pair could be read")
    missing = [column for column in gate.reads if column not in table.columns]
    if missing:
        return replace(blank, note=f"the measurement table lacks {', '.join(missing)}")
    unanswered = [need for need in sorted(gate.requires) if context.results[need].status is Status.ERROR]
    if unanswered:
        return replace(blank, note=f"{', '.join(unanswered)} could not be answered")
    findings = tuple(gate.findings(table, context))
    status = _gate_status(findings, gate.every_stratum)
    return replace(blank, status=status, findings=findings, note=_note(findings, status))


def _gate_status(findings, every_stratum):
    """Worst of the findings; a stratum with too few hosts counts only where no other was judged.

    Too few hosts in a stratum is what `stratum_diversity` is there to report. The paired view is judged by
    `six_channel_viability`.
    """
    statuses = [finding.status for finding in findings if finding.view != "paired"]
    if every_stratum:
        return worst(statuses)
    judged = [status for status in statuses if status not in (Status.SKIP, Status.INSUFFICIENT)]
    return worst(judged or statuses)


def _note(findings, status):
    """Sentence on the finding that decided, or on what was left unjudged."""
    decisive = [finding for finding in findings if finding.status is status and finding.view != "paired"]
    if status is not Status.PASS and decisive:
        return decisive[0].note or ""
    unjudged = [
        finding.stratum for finding in findings if finding.status is Status.INSUFFICIENT and finding.view != "paired"
    ]
    return f"not judged for want of hosts: {', '.join(dict.fromkeys(unjudged))}" if unjudged else ""


def usable_rows(table, columns):
    """Rows in which every named column is finite.

    Parameters
    ----------
    table : MeasureTable
        Pairs.
    columns : iterable of str
        Columns that a gate needs finite.

    Returns
    -------
    usable : bool array, (n,)
        All False where more than one row in a hundred is not finite, since what is left would be a selection.
    note : str
        How many are not finite, and the first of their rows.
    """
    usable = np.ones(len(table), dtype=bool)
    for column in columns:
        usable &= np.isfinite(table[column]).reshape(len(table), -1).all(axis=1)
    lost = table["row"][~usable]
    rows = ", ".join(map(str, lost[:_SHOWN_ROWS])) + (", ..." if len(lost) > _SHOWN_ROWS else "")
    note = f"{len(lost)} of {len(table)} pairs have features that are not finite (row {rows}), more than 1 in 100"
    return (np.zeros_like(usable) if len(lost) > 0.01 * len(table) else usable), note


def usable_sample(table, reads, context):
    """Take the pairs that a leak is measured on.

    Parameters
    ----------
    table : MeasureTable
        All pairs.
    reads : tuple of str
        Columns that must be finite.
    context : Context
        Which pairs are chosen, and the strata of all.

    Returns
    -------
    table : MeasureTable
        The chosen pairs, with those columns; empty where too many are not finite.
    masks : dict of bool array
        Strata of the chosen pairs, those that hold none left out.
    note : str
        How many are not finite, and the first of their rows.
    """
    chosen = np.arange(len(table)) if context.sample is None else np.flatnonzero(context.sample)
    table = table.keep((*reads, *_STRATA)).select(chosen)
    usable, note = usable_rows(table, reads)
    masks = {name: mask[chosen][usable] for name, mask in context.masks.items()}
    return table.select(usable), {name: mask for name, mask in masks.items() if mask.any()}, note


def overall_status(results):
    """Status of a whole audit.

    Parameters
    ----------
    results : dict of GateResult
        From `run_gates`.

    Returns
    -------
    status : Status
        Worst of the gates that are not advisory.
    """
    return worst(result.status for result in results.values() if not result.advisory)
