"""The injection may add light where a lens of this Einstein radius can put it, and nowhere else.

A source that is multiply imaged by a singular isothermal lens has all its images within twice the Einstein radius. The
gate asks what share of the residual's absolute flux lies in that disc, widened by the PSF, and whether the residual's
brightest pixel does. **When it fails**, look first for light added to the whole image (a pedestal, a second host, a new
sky), then for a theta_E column in other units (a diameter, pixels), then for an arc that was pasted off the host's
centre.
"""

import numpy as np

from gen5astro.gates import Gate
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


GATE = Gate(
    question="Is the added light where theta_E says?",
    reads=("arc_share", "residual_peak_arcsec", "arc_radius_arcsec", "psf_fwhm_arcsec", "group"),
    limits={"arc_share": Limit(low=0.8), "peak_outside": Limit(high=0.05)},
    findings=_findings,
    order=3,
    requires=frozenset({"finite_pixels"}),
)
