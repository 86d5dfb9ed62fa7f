"""Sets of pairs with known faults in them: drawn, planted, measured and judged one at a time.

A set depends on the seeds, on what is planted and on its own number, and not on which other sets there are, how many
threads judge them, or in which order.
"""

from dataclasses import dataclass, field

import numpy as np

from gen5astro.audit import judge_table
from gen5astro.inject import inject_blocks
from gen5astro.inject.arcs import pair_block
from gen5astro.inject.faults import apply_fault
from gen5astro.kernels.residual import TERMS
from gen5astro.measure import measure_block
from gen5astro.sample.hosts import measure_sky_sigma
from gen5astro.table import MeasureTable, Spool
from gen5astro.verdict import Status

__all__ = ["NAMED", "PLANTING_ORDER", "Outcome", "SampleSets", "SourceSets", "TestSet", "judge_set", "term_sums"]

PLANTING_ORDER = (
    *("kernel_shift", "psf_mismatch", "misregistration", "noise_redrawn", "host_light", "gain", "band_swap"),
    *("noise_added", "gradient", "pedestal", "sky_subtraction", "own_normalization", "quantization"),
)
"""Faults in the order in which an injection would commit them: optics, pixels, host, noise, sky, scaling, rounding."""

NAMED = 0.5
"""Confidence from which on a cause counts as named."""

_BLOCK = 128
_PER_SIGMA = ("pedestal", "gradient_x", "gradient_y")


@dataclass(frozen=True)
class TestSet:
    """A set of pairs to plant something in.

    Parameters
    ----------
    planted : tuple of (str, float)
        Faults and strengths, in the order of planting; empty for a clean set.
    number : int
        Which of the sets with these faults.
    """

    __test__ = False  # no test of pytest's, for all its name

    planted: tuple[tuple[str, float], ...]
    number: int

    def seeds(self, config):
        """Seed what is random in this set.

        Parameters
        ----------
        config : Config
            Its two seeds are used.

        Returns
        -------
        seeds : numpy.random.SeedSequence
            Of this set alone.
        """
        words = ",".join(f"{name}:{strength!r}" for name, strength in self.planted)
        return np.random.SeedSequence([config.selftest.seed, config.audit.seed, self.number, *words.encode()])


@dataclass(frozen=True)
class Outcome:
    """What the audit said of a set.

    Parameters
    ----------
    test : TestSet
        The set.
    gates : dict of str to str
        Status of each gate.
    advisory : frozenset of str
        Gates that speak of a training option alone.
    top : str
        The cause that the diagnosis puts first.
    named : tuple of str
        Causes with a confidence of at least `NAMED`, largest share first.
    terms : dict
        From `term_sums`; empty unless the set is clean.
    zero : dict of str to (bool, bool)
        Of each gate that judges an unexplained AUC in the view ``single``: whether its 95 % interval over all pairs
        holds 0, and whether the interval that holds for all strata at once lies above 0 in one of them.
    """

    test: TestSet
    gates: dict[str, str]
    advisory: frozenset[str]
    top: str
    named: tuple[str, ...]
    terms: dict
    zero: dict[str, tuple[bool, bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleSets:
    """Sets injected into hosts, with arcs that no other set has.

    Parameters
    ----------
    hosts : gen5astro.sample.hosts.Hosts
        The galaxies.
    config : Config
        Sections ``inject`` and ``selftest``.

    Attributes
    ----------
    label : str
        What to call the pairs.
    takes_all : bool
        Whether every set has the same pairs: no, each has arcs of its own.
    """

    hosts: object
    config: object
    label = "sample"
    takes_all = False

    @property
    def pairs(self):
        """Pairs a set."""
        return self.config.selftest.pairs

    @property
    def bands(self):
        """Band names."""
        return self.hosts.bands

    @property
    def pixel_scale(self):
        """Pixel scale [arcsec / pix]."""
        return self.hosts.pixel_scale

    def blocks(self, seeds):
        """Inject the pairs of a set.

        Parameters
        ----------
        seeds : numpy.random.SeedSequence
            Of the set.

        Returns
        -------
        blocks : iterator of PairBlock
            Clean pairs.
        """
        seed = int(seeds.generate_state(1)[0])
        options = {"seed": seed, "config": self.config.inject, "block": _BLOCK, "threads": 1}
        return inject_blocks(self.hosts, self.config.selftest.pairs, **options)

    def hosts_of(self, table):
        """Name the host of each pair.

        Parameters
        ----------
        table : MeasureTable
            Measured pairs of a set.

        Returns
        -------
        hosts : str array, (n,)
            The same name in every set.
        """
        return table["host_id"]


@dataclass(frozen=True)
class SourceSets:
    """Sets chosen from pairs that are there.

    Parameters
    ----------
    source : PairSource
        The pairs.
    rows, group : int64 array, (n,)
        Rows that can be read, ascending, and the group of each: one host, or hosts that touch on the sky.
    config : Config
        Section ``selftest``.
    """

    source: object
    rows: np.ndarray
    group: np.ndarray
    config: object

    @property
    def label(self):
        """What to call the pairs."""
        return self.source.label

    @property
    def pairs(self):
        """Pairs a set."""
        return min(len(self.rows), self.config.selftest.pairs)

    @property
    def bands(self):
        """Band names."""
        return self.source.bands

    @property
    def pixel_scale(self):
        """Pixel scale [arcsec / pix]."""
        return self.source.pixel_scale

    @property
    def takes_all(self):
        """Whether every set has all pairs, so that two clean sets would be one and the same."""
        return len(self.rows) <= self.config.selftest.pairs

    def blocks(self, seeds):
        """Read the pairs of a set.

        Parameters
        ----------
        seeds : numpy.random.SeedSequence
            Of the set.

        Yields
        ------
        block : PairBlock
            Pairs as they are in the source.
        """
        rng = np.random.default_rng(seeds.spawn(1)[0])
        chosen = rng.choice(self.rows, self.pairs, replace=False)
        for ref in self.source.blocks(_BLOCK):
            if ((chosen >= ref.start) & (chosen < ref.stop)).any():
                block, _ = self.source.read(ref)
                yield block.choose(np.isin(block.row, chosen))

    def hosts_of(self, table):
        """Name the host of each pair.

        Parameters
        ----------
        table : MeasureTable
            Measured pairs of a set.

        Returns
        -------
        hosts : str array, (n,)
            The same name in every set.
        """
        return self.group[np.searchsorted(self.rows, table["row"])].astype(str)


def judge_set(sets, test, config):
    """Draw a set, plant its faults, measure and judge it.

    Blocks are worked on one at a time, so a set takes little memory and one thread.

    Parameters
    ----------
    sets : SampleSets or SourceSets
        Where the clean pairs come from.
    test : TestSet
        What to plant.
    config : Config
        Sections ``measure``, ``audit``, ``normalize`` and ``selftest``.

    Returns
    -------
    outcome : Outcome
        What the audit said.
    """
    seeds = test.seeds(config)
    rng = np.random.default_rng(seeds.spawn(2)[1])
    with Spool(sets.pairs) as spool:
        for block in sets.blocks(test.seeds(config)):
            shape = block.stamp.shape[2:]
            spool.add(measure_block(_planted(block, test.planted, rng), config.measure))
        columns = spool.finish()
    record, table = judge_table(MeasureTable(columns, tuple(sets.bands), shape, sets.pixel_scale), config)
    causes = record["diagnosis"]["causes"]
    return Outcome(
        test=test,
        gates={name: Status(gate["status"]).value for name, gate in record["gates"].items()},
        advisory=frozenset(name for name, gate in record["gates"].items() if gate["advisory"]),
        top=record["diagnosis"]["top"],
        named=tuple(cause["name"] for cause in causes if (cause["confidence"] or 0) >= NAMED),
        terms={} if test.planted else term_sums(table, sets.hosts_of(table)),
        zero=_about_zero(record["gates"]),
    )


def _about_zero(gates):
    """What the intervals of the unexplained AUC say of 0, for `Outcome`."""
    found = {}
    for name, gate in gates.items():
        judged = [each for each in gate["findings"] if (each["name"], each["view"]) == ("unexplained_auc", "single")]
        judged = [each for each in judged if each["interval"] is not None and each["interval"][0] is not None]
        overall = [each["interval"] for each in judged if each["stratum"] == "all"]
        if overall:
            low, high = overall[0]
            found[name] = low <= 0 <= high, any(each["simultaneous"][0] > 0 for each in judged)
    return found


def _planted(block, planted, rng):
    if not planted:
        return block
    stamp, sky_sigma = block.stamp, measure_sky_sigma(block.ctrl)
    for name, strength in planted:
        stamp = apply_fault(stamp, block.ctrl, name=name, strength=strength, sky_sigma=sky_sigma, rng=rng)
    layout = {"bands": block.bands, "pixel_scale": block.pixel_scale, "psf": block.psf}
    return pair_block(stamp, block.ctrl, block.catalog, block.row, **layout)


def term_sums(table, hosts):
    """Sum the fitted terms of a table by host, so that tables can be joined and hosts stay together.

    Parameters
    ----------
    table : MeasureTable
        The pairs.
    hosts : str array, (n,)
        Host of each pair, of one name in all tables.

    Returns
    -------
    sums : dict of str to float64 array, (2, term, band)
        Of each host: how many values there are of each of `TERMS`, and their sum. Fluxes are in sky sigmas.
    """
    values = np.stack([table[term].astype(np.float64) for term in TERMS], axis=1)
    for term in _PER_SIGMA:
        values[:, TERMS.index(term)] /= table["ctrl_sky_sigma"]
    known = np.isfinite(values)
    sums = np.stack([known, np.where(known, values, 0.0)], axis=1)
    names, of = np.unique(hosts, return_inverse=True)
    return {str(name): sums[of == at].sum(axis=0) for at, name in enumerate(names)}
