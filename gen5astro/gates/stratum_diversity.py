"""A thousand injections into one host are one host: a stratum needs many.

Every number of the audit rests on hosts, not on rows. For each stratum that holds pairs the gate counts the unique
groups, the effective number (Kish: the square of the sum of the counts over the sum of their squares) and the largest
group's share. Too few is INSUFFICIENT; a stratum that one group dominates FAILs. **When it fails**, look first at how
Einstein radii were drawn: where they follow from the host's velocity dispersion, the widest arcs all come from the
heaviest few hosts.
"""

import numpy as np

from gen5astro.gates import Gate
from gen5astro.sky import effective_number
from gen5astro.verdict import Finding, Limit, Status


def _findings(table, context):
    limit = context.limits["largest_share"]
    undeclared = float(np.mean(~(table["theta_e_arcsec"] > 0)))
    if undeclared > 0.05:
        yield Finding(
            "undeclared_theta_e",
            undeclared,
            Status.INSUFFICIENT,
            high=0.05,
            note=f"{undeclared:.0%} of the pairs declare no Einstein radius above 0: its strata could not be judged",
        )
    for stratum, mask in context.masks.items():
        counts = np.unique(table["group"][mask], return_counts=True)[1]
        hosts = effective_number(table["group"][mask])
        enough = hosts >= context.config.min_effective_hosts
        yield Finding(
            "effective_hosts",
            float(hosts),
            Status.PASS if enough else Status.INSUFFICIENT,
            stratum=stratum,
            low=context.config.min_effective_hosts,
            hosts=float(hosts),
            note=f"{len(counts)} groups, {int(mask.sum())} pairs in {stratum}",
        )
        share = float(counts.max() / counts.sum())
        yield Finding(
            "largest_share",
            share,
            limit.judge(share),
            stratum=stratum,
            low=limit.low,
            high=limit.high,
            hosts=float(hosts),
            note=f"one group holds {share:.0%} of the pairs in {stratum}",
        )


GATE = Gate(
    question="Are there enough different hosts in every stratum?",
    reads=("group", "theta_e_arcsec", "arc_snr"),
    limits={"largest_share": Limit(high=0.5)},
    findings=_findings,
    order=10,
    every_stratum=True,
)
