"""What an explanation says: a sentence, a drawing, and rows of a table; empty where an audit has none."""

import numpy as np
from markupsafe import Markup

from gen5astro.report.appearance import NOTHING, SERSIC, THETA_E, interval_text, number, stratum_text
from gen5astro.report.drawing import BANDS, MUTED, RULE, floats, new_figure, to_svg
from gen5astro.report.sentences import join

__all__ = ["explanation_sentence", "misses", "percent", "percent_interval", "share_plot", "share_strata"]

_SHOWN = -0.25, 1.75  # shares beyond are drawn at the edge, as triangles


def explanation_sentence(record):
    """Say in a sentence or two which share of the core's excess lens and source account for.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    sentence : str
        Empty where it has no explanation.
    """
    explanation = record.get("explanation")
    if not explanation:
        return ""
    counts = explanation["counts"]
    pairs = f"{number(counts['sample'])} pairs"
    told = [row for row in explanation["strata"] if row["stratum"] == "all" and row["share"] is not None]
    if not told:
        return f"Of {pairs}, none could be fitted outside the core and has an excess in it, so nothing is said of it."
    shares = join(f"{percent(row['share'])} ({row['band']})" for row in told)
    missed = f"; {number(counts['not_fitted'])} could not be fitted" if counts["not_fitted"] else ""
    sentence = (
        f"An SIE and a {SERSIC} source, fitted to the light of {pairs} outside the core, account for {shares} of the "
        f"excess inside it (medians{missed})."
    )
    ends = [end for row in told for end in row["bracket"] or ()]
    if ends:
        sentence += (
            " No image of the PSF was given: between a Gaussian and a Moffat of its width, that is "
            f"{percent_interval([min(ends), max(ends)])}."
        )
    return sentence


def percent(share):
    """Write a share as a percentage.

    Parameters
    ----------
    share : float or None
        1 is all.

    Returns
    -------
    text : str
        A dash for None; one decimal place below 10 %.
    """
    if share is None:
        return NOTHING
    return f"{number(100 * share, places=0 if abs(share) >= 0.0995 else 1)} %"


def percent_interval(ends):
    """Write an interval of shares as percentages: ``97 to 102 %``.

    Parameters
    ----------
    ends : sequence of float or None
        Lower and upper end.

    Returns
    -------
    text : str
        Empty where there is none.
    """
    text = interval_text([100 * end for end in ends] if ends else None, places=0)
    return f"{text} %" if text else ""


def share_strata(record):
    """Group the rows of an explanation by stratum.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    strata : dict of str to list of dict
        A row a band of each stratum, in the order of the record; empty without an explanation.
    """
    strata = {}
    for row in (record.get("explanation") or {}).get("strata", ()):
        strata.setdefault(row["stratum"], []).append(row)
    return strata


def misses(record):
    """List the pairs of an explanation that could not be fitted.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    pairs : list of dict
        With the ``reason`` of each.
    """
    return [pair for pair in (record.get("explanation") or {}).get("pairs", ()) if not pair["fitted"]]


def share_plot(record, *, name="explained-share"):
    """Plot the share accounted for against the Einstein radius: each pair, and the strata's medians with intervals.

    Parameters
    ----------
    record : dict
        An audit's record, with ``explanation``.
    name : str
        Prefix of the ids inside the drawing.

    Returns
    -------
    svg : Markup
        Empty where no pair with an Einstein radius has a share.
    """
    explanation = record.get("explanation") or {}
    pairs = [pair for pair in explanation.get("pairs", ()) if pair["fitted"] and pair["theta_e_arcsec"] is not None]
    rows = [row for row in explanation.get("strata", ()) if row["stratum"] != "all" and row["share"] is not None]
    if not rows:
        return Markup()
    bands = list(dict.fromkeys(row["band"] for row in rows))
    theta_e = floats([pair["theta_e_arcsec"] for pair in pairs])
    with new_figure(300) as (figure, axes):
        axes.axhline(1, color=MUTED, lw=0.8)
        axes.axhline(0, color=RULE, lw=0.8)
        for at, band in enumerate(bands):
            color, aside = BANDS[at % len(BANDS)], 0.03 * (at - (len(bands) - 1) / 2)
            _points(axes, theta_e + aside, floats([pair["bands"][band]["share"] for pair in pairs]), color)
            own = [row for row in rows if row["band"] == band]
            place = floats([row["theta_e_arcsec"] for row in own]) + 3 * aside
            ends = np.clip([floats(row["interval"] or (None, None)) for row in own], *_SHOWN)
            axes.vlines(place, *ends.T, color=color, lw=2.4)
            share = np.clip([row["share"] for row in own], *_SHOWN)
            axes.plot(place, share, "o", ms=8, color=color, mec="none", label=band)
        axes.set(xlabel=f"Einstein radius {THETA_E} [arcsec]", ylabel="share of the core's excess")
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -0.05), max(high, 1.25))
        axes.set_xlim(left=0)
        axes.grid(axis="y")
        figure.legend(loc="outside upper left", ncols=len(bands), handlelength=1.2, columnspacing=1.4)
    words = "; ".join(f"{stratum_text(row['stratum'])} {row['band']} {percent(row['share'])}" for row in rows)
    return to_svg(figure, name, f"Share of the core's excess accounted for, against the Einstein radius: {words}.")


def _points(axes, x, share, color):
    """Small marks for the pairs; a triangle at the edge for what lies beyond it."""
    low, high = _SHOWN
    for marker, keep in (("o", (share >= low) & (share <= high)), ("^", share > high), ("v", share < low)):
        if keep.any():
            axes.plot(x[keep], np.clip(share[keep], low, high), marker, ms=4, color=color, mec="none", alpha=0.45)
