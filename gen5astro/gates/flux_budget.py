"""Convolution with a PSF moves flux but makes none: the core's excess must be what PSF and lens can bring there.

From the arc's flux outside the core, its radius and the PSF, the measurement table brackets what a singular isothermal
lens can put into the core: from a Gaussian to a Moffat PSF, and from a perfect ring to a source at 0.9 theta_E with its
counter-image. The gate asks by how much the core's excess lies above that bracket, as a fraction of the host's own core
flux. **When it fails**, look first for light that is not the arc's: a pedestal, a gain on the host, the host added
twice; then for a PSF wider than the one that the table declares.
"""

import numpy as np

from gen5astro.gates import Gate, usable_rows
from gen5astro.sky import effective_number
from gen5astro.verdict import Finding, Limit, Status

_READS = ("core_excess", "core_excess_error", "core_budget_high", "ctrl_core_flux")


def _findings(table, context):
    usable, note = usable_rows(table, _READS)
    if not usable.any():
        yield Finding("excess_fraction", None, Status.ERROR, note=note)
        return
    over = table["core_excess"] - table["core_budget_high"]
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = over / table["ctrl_core_flux"]
        sigmas = over / np.hypot(table["core_excess_error"], 0.01 * table["ctrl_core_flux"])
    for stratum, mask in context.masks.items():
        chosen = mask & usable
        if "arc_snr" in stratum or not chosen.any():
            continue
        hosts = effective_number(table["group"][chosen])
        for at, band in enumerate(table.bands):
            where = {"band": band, "stratum": stratum, "hosts": hosts}
            yield context.judge(
                "excess_fraction",
                np.median(fraction[chosen, at]),
                note="median core excess above the budget, of the host's core flux",
                **where,
            )
            yield context.show("excess_sigma", np.median(sigmas[chosen, at]), unit="sigma", **where)


GATE = Gate(
    question="Is the extra core flux what the PSF and the lens can put there?",
    reads=(*_READS, "group"),
    limits={"excess_fraction": Limit(high=0.02)},
    findings=_findings,
    order=7,
    requires=frozenset({"finite_pixels"}),
)
