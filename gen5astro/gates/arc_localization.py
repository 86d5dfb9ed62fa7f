"""The injection may add light where a lens of this Einstein radius can put it, and nowhere else.

A source that is multiply imaged by a singular isothermal lens has all its images within twice the Einstein radius. The
gate asks what share of the residual's absolute flux lies in that disc, widened by the PSF, and whether the residual's
brightest pixel does; and where all arcs together are centered, which is on their lenses, since sources lie on all sides
of them. **When it fails**, look first for light added to the whole image (a pedestal, a second host, a new sky), then
for a theta_E column in other units (a diameter, pixels). Where only the arcs' mean place is off, look for arcs that
were pasted off the host's center, or convolved with a PSF kernel that is not centered.
"""

import numpy as np
from scipy.stats import norm

from gen5astro.gates import Gate
from gen5astro.gates.leaks import beyond_chance
from gen5astro.population import mean_place
from gen5astro.sky import effective_number
from gen5astro.verdict import Limit


def _findings(table, context):
    share, peak = table["arc_share"], table["residual_peak_arcsec"]
    reach = 2 * table["arc_radius_arcsec"] + table["psf_fwhm_arcsec"].max(axis=1)
    for stratum, mask in context.masks.items():
        if "arc_snr" in stratum:
            continue
        hosts = effective_number(table["group"][mask])
        for at, band in enumerate(table.bands):
            values = share[mask, at]
            values = values[np.isfinite(values)]
            yield context.judge(
                "arc_share",
                np.median(values) if len(values) else np.nan,
                band=band,
                stratum=stratum,
                hosts=hosts,
                note="median share of the residual's light where the lens can put it",
            )
    outside = np.isfinite(peak).all(axis=1) & (peak > reach[:, None]).all(axis=1)
    yield context.judge(
        "peak_outside",
        np.mean(outside),
        hosts=effective_number(table["group"]),
        note="share of pairs whose residual peaks beyond the arc",
    )
    yield from _mean_place(table, context)


def _mean_place(table, context):
    """How far the arcs' mean place is from the lens; a FAIL must be beyond chance along both axes in all bands."""
    group, radius = np.unique(table["group"], return_inverse=True)[1], table["arc_radius_arcsec"] / table.pixel_scale
    (x, x_error), (y, y_error) = (mean_place(table[f"arc_offset_{axis}"], radius, group) for axis in ("x", "y"))
    length, error = np.hypot(x, y), np.hypot(x_error, y_error)
    wide = norm.isf(0.025 / (2 * len(table.bands)))
    for at, band in enumerate(table.bands):
        once, at_once = (
            (max(length[at] - z * error[at], 0.0), length[at] + z * error[at]) for z in (norm.isf(0.025), wide)
        )
        finding = context.judge(
            "arc_offset",
            length[at],
            band=band,
            interval=once,
            simultaneous=at_once,
            hosts=effective_number(table["group"]),
            unit="pix",
            note="distance of the arcs' mean place from the lens",
        )
        yield beyond_chance(finding)


GATE = Gate(
    question="Is the added light where theta_E says?",
    reads=(
        *("arc_share", "residual_peak_arcsec", "arc_radius_arcsec", "psf_fwhm_arcsec", "group"),
        *("arc_offset_x", "arc_offset_y"),
    ),
    limits={"arc_share": Limit(low=0.8), "peak_outside": Limit(high=0.05), "arc_offset": Limit(high=0.4)},
    findings=_findings,
    order=3,
    requires=frozenset({"finite_pixels"}),
)
