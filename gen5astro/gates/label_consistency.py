"""A stratum, a curriculum or a completeness curve is only as good as the theta_E and arc_snr that it is drawn over.

Both are measured again. The mean radius of the arc's light above half of its peak must follow theta_E: seeing and a
source off the caustic's center put it at 0.9 to 1.5 theta_E, a median near 1.15, whereas a diameter declared for a
radius puts it near 0.6 and pixels declared for arcseconds near 0.3. The signal-to-noise within the arc's region, over
all bands, must rank the arcs as arc_snr does, and agree with it to a factor of two. Beside that the gate counts pairs
whose arc_snr is 0 or missing, and arcs that nobody could see. Where neither label is declared it says so. **When it
fails**, look first at the units of the label (radius or diameter, arcseconds or pixels), then at the pixel scale, then
at the definition of arc_snr (one band, one pixel, another noise), then at the join between labels and images.
"""

import numpy as np
from scipy.stats import rankdata

from gen5astro.gates import Gate
from gen5astro.sky import effective_number
from gen5astro.verdict import Finding, Limit, Status

_VISIBLE_SNR = 3.0


def _findings(table, context):
    theta_e, declared = table["theta_e_arcsec"], table["arc_snr"]
    measured = np.sqrt((table["arc_snr_measured"].astype(np.float64) ** 2).sum(axis=1))
    visible = ~(measured < _VISIBLE_SNR)
    known = np.isfinite(theta_e) & (theta_e > 0)
    if known.any() or np.isfinite(declared).any():
        yield context.judge(
            "unmeasured_arcs",
            np.mean(~np.isfinite(measured)),
            hosts=effective_number(table["group"]),
            note="share of arcs that cannot be measured: bad pixels, or a theta_e_arcsec that leaves nothing outside",
        )
    if known.any():
        yield from _radius_findings(table, context, known & visible)
    else:
        yield Finding("radius_ratio", None, Status.SKIP, note="the input declares no Einstein radius (theta_e_arcsec)")
    if np.isfinite(declared).any():
        yield from _snr_findings(table, context, declared, measured)
        return
    yield Finding("snr_log_ratio", None, Status.SKIP, note="the input declares no signal-to-noise (arc_snr)")
    yield context.show("invisible_arcs", np.mean(~visible))


def _radius_findings(table, context, chosen):
    """Ratio of the measured radius to theta_E in each stratum of theta_E."""
    for stratum, mask in context.masks.items():
        if "arc_snr" in stratum:
            continue
        rows = mask & chosen
        if not rows.any():
            yield Finding("radius_ratio", None, Status.SKIP, stratum=stratum, note="no arc that is labeled and visible")
            continue
        ratio = table["arc_radius_measured_arcsec"][rows] / table["theta_e_arcsec"][rows]
        finite = np.isfinite(ratio)
        yield context.judge(
            "radius_ratio",
            np.median(ratio[finite]) if finite.any() else np.nan,
            stratum=stratum,
            hosts=effective_number(table["group"][rows]),
            note="median radius of the arcs' light, in units of theta_e_arcsec",
        )


def _snr_findings(table, context, declared, measured):
    """Agreement of declared and measured signal-to-noise, and the arcs that have none."""
    hosts = effective_number(table["group"])
    positive = (declared > 0) & (measured > 0)
    enough = np.count_nonzero(positive) > 2
    ratio = np.median(np.log10(measured[positive] / declared[positive])) if enough else np.nan
    rank = _rank_correlation(measured[positive], declared[positive]) if enough else np.nan
    yield context.judge(
        "snr_log_ratio", ratio, hosts=hosts, unit="dex", note="median log ratio of measured to declared arc_snr"
    )
    yield context.judge("snr_rank", rank, hosts=hosts, note="rank correlation of measured and declared arc_snr")
    yield context.judge(
        "zero_arc_snr", np.mean(~(declared > 0)), hosts=hosts, note="share of pairs whose arc_snr is 0 or missing"
    )
    yield context.judge(
        "invisible_arcs",
        np.mean(measured < _VISIBLE_SNR),
        hosts=hosts,
        note=f"share of arcs with a measured signal-to-noise below {_VISIBLE_SNR:g}",
    )


def _rank_correlation(first, second):
    """Spearman's rank correlation; NaN where a column is constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.corrcoef(rankdata(first), rankdata(second))[0, 1]


GATE = Gate(
    question="Do theta_E and arc_snr mean what they say?",
    reads=("arc_radius_measured_arcsec", "arc_snr_measured", "theta_e_arcsec", "arc_snr", "group"),
    limits={
        "unmeasured_arcs": Limit(high=0.01),
        "radius_ratio": Limit(low=0.75, high=1.6),
        "snr_log_ratio": Limit(low=-0.3, high=0.3),
        "snr_rank": Limit(low=0.7),
        "zero_arc_snr": Limit(high=0.01),
        "invisible_arcs": Limit(high=0.1),
    },
    findings=_findings,
    order=9,
    requires=frozenset({"finite_pixels"}),
)
