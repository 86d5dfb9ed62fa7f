"""A ctrl that is a known lens teaches a network that lenses are no lenses.

The gate matches the positions of the pairs with the known lenses and candidates that travel with the package (those
that searches for lenses found; whatever their grade), within `known_lens_radius_arcsec`. Where the input has no
positions there is nothing to match, and the gate says so. **When it fails**, drop the pairs that it counts: neither is
their ctrl a negative, nor is their stamp a single lens. ``gen5astro build-hdf5`` leaves them out. Look then at how
hosts were chosen: red galaxies of high velocity dispersion are what searches for lenses look at.
"""

import numpy as np

from gen5astro.gates import Gate
from gen5astro.known_lenses import lens_names, nearest_lens
from gen5astro.verdict import Finding, Limit, Status

_NAMED = 3


def _findings(table, context):
    located = np.isfinite(table["ra"]) & np.isfinite(table["dec"])
    if not located.any():
        yield Finding("known_lenses", None, Status.SKIP, note="the input declares no positions (columns ra and dec)")
        return
    yield context.judge("unlocated", np.mean(~located), note="share of pairs without a position")
    number, separation = nearest_lens(table["ra"][located], table["dec"][located])
    matched = separation <= context.config.known_lens_radius_arcsec
    yield context.judge("known_lenses", np.count_nonzero(matched), note=_note(lens_names(number[matched])))
    closest = separation.argmin()
    yield context.show("nearest_lens", separation[closest], unit="arcsec", note=str(lens_names(number[closest])))


def _note(names):
    """Say which lenses were met."""
    if not len(names):
        return "pairs whose ctrl is a known lens"
    different = list(dict.fromkeys(map(str, names)))
    more = f" and {len(different) - _NAMED} more" if len(different) > _NAMED else ""
    return f"pairs whose ctrl is a known lens: {', '.join(different[:_NAMED])}{more}"


GATE = Gate(
    question="Is a known lens among the ctrls?",
    reads=("ra", "dec"),
    limits={"unlocated": Limit(high=0.01), "known_lenses": Limit(high=0)},
    findings=_findings,
    order=12,
)
