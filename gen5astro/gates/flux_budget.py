"""Convolution with a PSF moves flux but makes none: the core's excess must be what PSF and lens can bring there.

From the arc's flux outside the core, its radius and the PSF, the measurement table brackets what a lens can put into
the core: from a Gaussian to a Moffat PSF (or by the PSF image, where one is given), and over the sources that bring the
arc's light where it is, with their counter-images. The gate asks by how much the core's excess lies above that bracket,
or below it, as a fraction of the host's own core flux; and how many of its errors that is, from the scatter between
hosts. **When it fails** above, look first for light that is not the arc's: a gain on the host, the host added twice, a
pedestal; then for a PSF wider than the one that the table declares. Below, look for a host that lost light: a blur, a
gain under one, a sky subtracted twice.
"""

import numpy as np

from gen5astro.gates import Gate, usable_sample
from gen5astro.population import Population
from gen5astro.sky import effective_number
from gen5astro.verdict import Finding, Limit, Status

_READS = ("core_excess", "core_budget_low", "core_budget_high", "ctrl_core_flux")


def _findings(table, context):
    table, masks, note = usable_sample(table, _READS, context)
    if not len(table):
        yield Finding("excess_fraction", None, Status.ERROR, note=note)
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        above, below = (
            (table["core_excess"] - table[f"core_budget_{side}"]) / table["ctrl_core_flux"] for side in ("high", "low")
        )
    for stratum, mask in masks.items():
        # Strata of arc_snr hold the same pairs once more, whatever their radius: they are reported.
        judge = context.show if "arc_snr" in stratum else context.judge
        excess, error = _outside(above[mask], below[mask], table["group"][mask])
        with np.errstate(divide="ignore", invalid="ignore"):
            sigmas = np.where(excess == 0, 0, excess / error)
        hosts = effective_number(table["group"][mask])
        for at, band in enumerate(table.bands):
            where = {"band": band, "stratum": stratum, "hosts": hosts}
            interval = (excess[at] - 1.96 * error[at], excess[at] + 1.96 * error[at])
            yield judge(
                "excess_fraction",
                excess[at],
                interval=interval,
                note="median core excess beyond the budget, of the host's core flux",
                **where,
            )
            yield context.show("excess_sigma", sigmas[at], unit="sigma", **where)


def _outside(above, below, group):
    """How far the hosts' median lies outside the bracket (0 within), and its standard error, (band,) each."""
    population = Population(np.unique(group, return_inverse=True)[1])
    (over, over_error), (under, under_error) = population(above), population(below)
    excess = np.where(over > 0, over, np.minimum(under, 0))
    return np.where(np.isnan(over), np.nan, excess), np.where(over > 0, over_error, under_error)


GATE = Gate(
    question="Is the extra core flux what the PSF and the lens can put there?",
    reads=(*_READS, "group", "theta_e_arcsec", "arc_snr"),
    limits={"excess_fraction": Limit(low=-0.01, high=0.01)},
    findings=_findings,
    order=7,
    requires=frozenset({"finite_pixels"}),
)
