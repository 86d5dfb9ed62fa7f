"""Plots of audits, evaluations and training runs as inline SVG; each function returns markup, empty without numbers."""

import itertools

import numpy as np
from markupsafe import Markup

from gen5astro.report.appearance import look, number, spread, stratum_text
from gen5astro.report.drawing import (
    ACCENT,
    BANDS,
    INK,
    MUTED,
    QUIET,
    RULE,
    TONES,
    WARN,
    ends,
    floats,
    log_ticks,
    new_figure,
    to_svg,
    value_of,
)
from gen5astro.report.findings import classic_threshold, core_rows

__all__ = [
    "completeness",
    "core_auc",
    "core_auc_compared",
    "residual_profile",
    "roc",
    "score_histogram",
    "training_curve",
]


def core_auc(record, *, name="core-auc", view="single"):
    """Plot the core AUC by stratum: measured against explained, with the classic threshold.

    Parameters
    ----------
    record : dict
        An audit's record.
    name : str
        Prefix of the ids inside the drawing; unique on a page.
    view : str
        Which view.

    Returns
    -------
    svg : Markup
        Empty where the audit has no core AUC.
    """
    rows = core_rows(record, view=view)
    if not rows:
        return Markup()
    with new_figure(74 + 34 * len(rows)) as (figure, axes):
        _core_rows(axes, rows, classic_threshold(record))
        axes.set_xlabel("core AUC, stamp against ctrl")
        _core_legend(figure)
    return to_svg(figure, name, _core_description(rows))


def core_auc_compared(records, *, name="core-auc-compared"):
    """Plot the core AUC of several audits below each other, on one scale, without the strata of arc_snr.

    Parameters
    ----------
    records : dict of str to dict
        Title and record of each audit.
    name : str
        Prefix of the ids inside the drawing.

    Returns
    -------
    svg : Markup
        Empty where no audit has a core AUC.
    """
    panels = {title: (core_rows(record, view="single"), classic_threshold(record)) for title, record in records.items()}
    panels = {
        title: ([row for row in rows if "arc_snr" not in row.stratum], threshold)
        for title, (rows, threshold) in panels.items()
        if rows
    }
    if not panels:
        return Markup()
    heights = [len(rows) + 0.7 for rows, _ in panels.values()]
    height = 74 + 31 * sum(heights)
    with new_figure(height, len(panels), squeeze=False, sharex=True, height_ratios=heights) as (figure, grid):
        for axes, (title, (rows, threshold)) in zip(grid[:, 0], panels.items(), strict=True):
            _core_rows(axes, rows, threshold)
            axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold")
        grid[-1, 0].set_xlabel("core AUC, stamp against ctrl")
        _core_legend(figure)
    words = [f"{title}: {_core_description(rows)}" for title, (rows, _) in panels.items()]
    return to_svg(figure, name, " ".join(words))


def _core_rows(axes, rows, threshold):
    """One line a stratum: an open circle where physics puts the AUC, a full one where it was measured."""
    low = 0.5
    for at, row in enumerate(rows):
        tone = TONES[look(row.status).word]
        measured, explained = value_of(row.measured), value_of(row.explained)
        axes.plot(ends(row.explained), [at + 0.16] * 2, color=QUIET, lw=2)
        axes.plot(ends(row.measured), [at - 0.16] * 2, color=ACCENT, lw=2)
        axes.plot([explained, explained, measured, measured], [at + 0.16, at, at, at - 0.16], color=tone, lw=1)
        axes.plot([explained], [at + 0.16], "o", ms=7, mfc="none", mec=QUIET, mew=1.8)
        axes.plot([measured], [at - 0.16], "o", ms=7, color=ACCENT, mec="none")
        text = spread(row.unexplained, signed=True)
        axes.annotate(
            text, (1.0, at), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", color=tone, fontweight="bold" if row.judged else "normal",
        )  # fmt: skip
        low = np.nanmin([low, measured, explained, *ends(row.measured), *ends(row.explained)])
    axes.axvline(threshold, color=WARN, lw=1.2, ls=(0, (4, 3)))
    axes.axvline(0.5, color=RULE, lw=1)
    axes.set_yticks(range(len(rows)), [stratum_text(row.stratum) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xlim(min(0.48, low - 0.02), 1.005)


def _core_legend(figure):
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], marker="o", color=ACCENT, ms=7, lw=2, label="measured"),
        Line2D([], [], marker="o", color=QUIET, mfc="none", mew=1.8, ms=7, lw=2, label="explained by physics"),
        Line2D([], [], color=WARN, lw=1.2, ls=(0, (4, 3)), label="classic threshold"),
    ]
    figure.legend(handles=marks, loc="outside upper left", ncols=3, handlelength=1.6, columnspacing=1.4)


def _core_description(rows):
    words = (
        f"{stratum_text(row.stratum)} measured {number(value_of(row.measured), places=2)}, "
        f"explained {number(value_of(row.explained), places=2)}, unexplained {spread(row.unexplained)}"
        for row in rows
    )
    return f"Core AUC by stratum. {'; '.join(words)}."


def residual_profile(record, *, name="residual-profile"):
    """Plot the residual's radial profile, a panel a stratum and a line a band.

    Parameters
    ----------
    record : dict
        An audit's record, with ``residual_profile``.
    name : str
        Prefix of the ids inside the drawing.

    Returns
    -------
    svg : Markup
        Empty where the audit has no profile.
    """
    profile = record.get("residual_profile") or {}
    curves = profile.get("curves") or []
    if not curves:
        return Markup()
    strata, bands = (list(dict.fromkeys(curve[key] for curve in curves)) for key in ("stratum", "band"))
    radius = floats(profile["radius_arcsec"])
    columns = 1 if len(strata) == 1 else 2
    lines = -(-len(strata) // columns)
    with new_figure(60 + 150 * lines, lines, columns, squeeze=False, sharex=True, sharey=True) as (figure, grid):
        panels = dict(zip(strata, grid.flat, strict=False))
        for axes in grid.flat[len(strata) :]:
            axes.set_visible(False)
        for curve in curves:
            axes, color = panels[curve["stratum"]], BANDS[bands.index(curve["band"]) % len(BANDS)]
            if curve.get("low") and curve.get("high"):
                axes.fill_between(radius, floats(curve["low"]), floats(curve["high"]), color=color, alpha=0.18, lw=0)
            axes.plot(radius, floats(curve["median"]), color=color, label=curve["band"])
        drawn = np.concatenate([floats(curve.get(key) or ()) for curve in curves for key in ("median", "low", "high")])
        for stratum, axes in panels.items():
            axes.axhline(0, color=MUTED, lw=0.8)
            axes.set_title(stratum_text(stratum), loc="left", fontsize=11.5)
        _decades(grid[0, 0], drawn)
        figure.supxlabel("radius [arcsec]", fontsize=11.5, color=MUTED)
        figure.supylabel(f"stamp \N{MINUS SIGN} ctrl [{profile.get('unit', 'nmgy / pix')}]", fontsize=11.5, color=MUTED)
        handles, labels = next(iter(panels.values())).get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(bands), handlelength=1.6, columnspacing=1.4)
    return to_svg(
        figure, name, f"Median of stamp minus ctrl against radius, for {', '.join(map(stratum_text, strata))}."
    )


def _decades(axes, drawn):
    """Scale the y axis linearly about zero and logarithmically beyond, with ticks that do not crowd."""
    largest, smallest = np.nanmax(drawn, initial=0), np.nanmin(drawn, initial=0)
    top = 10.0 ** np.ceil(np.log10(max(largest, -smallest, 1e-12)))
    linear = top / 100
    both = smallest < -linear
    up = [top, top / 10] + ([] if both else [linear])
    ticks = [*(-tick for tick in up if both), 0.0, *reversed(up)]
    axes.set_yscale("asinh", linear_width=linear)
    axes.set_yticks(sorted(ticks), [number(tick) for tick in sorted(ticks)])
    axes.set_yticks([], minor=True)
    axes.set_ylim(min(1.5 * smallest, -linear / 2), 1.5 * max(largest, linear))


def roc(record, *, name="roc"):
    """Plot completeness against the false-positive rate, on a logarithmic axis.

    Parameters
    ----------
    record : dict
        An evaluation's record, with ``roc``.
    name : str
        Prefix of the ids inside the drawing.

    Returns
    -------
    svg : Markup
        Empty where there is no curve.
    """
    curve = record.get("roc") or {}
    if not curve.get("fpr"):
        return Markup()
    fpr, tpr = floats(curve["fpr"]), floats(curve["tpr"])
    positive = fpr[fpr > 0]
    smallest = positive.min() if len(positive) else 0.1
    # Ctrls of one host differ by rounding at most: nothing is known of rates below a host's share.
    smallest = max(smallest, 1 / (record.get("counts") or {}).get("hosts", np.inf))
    with new_figure(300) as (figure, axes):
        even = np.geomspace(smallest / 2, 1, 100)
        axes.plot(even, even, color=RULE, lw=1.2)
        axes.step(np.maximum(fpr, smallest / 2), tpr, where="post", color=ACCENT)
        for each in record.get("completeness", ()):
            if each.get("value") is not None:
                low, high = ends(each)
                axes.plot([each["fpr"]] * 2, [low, high], color=INK, lw=1.4)
                axes.plot([each["fpr"]], [each["value"]], "o", ms=6, color=INK)
        axes.set_xscale("log")
        log_ticks(axes.xaxis, smallest / 2, 1)
        axes.set(xlim=(smallest / 2, 1), ylim=(0, 1.01))
        axes.set(xlabel="false-positive rate (share of ctrls)", ylabel="completeness (share of stamps)")
        axes.grid(axis="y")
    return to_svg(figure, name, "Completeness against the false-positive rate.")


def score_histogram(record, *, name="scores"):
    """Plot the scores of stamps, ctrls and real candidates.

    Parameters
    ----------
    record : dict
        An evaluation's record, with ``scores``.
    name : str
        Prefix of the ids inside the drawing.

    Returns
    -------
    svg : Markup
        Empty where there are no scores.
    """
    scores = record.get("scores") or {}
    drawn = {kind: floats(scores.get(kind) or []) for kind in ("ctrl", "stamp")}
    drawn = {kind: values[np.isfinite(values)] for kind, values in drawn.items()}
    if not any(len(values) for values in drawn.values()):
        return Markup()
    everything = np.concatenate(list(drawn.values()))
    low, high = (0.0, 1.0) if everything.min() >= 0 and everything.max() <= 1 else (everything.min(), everything.max())
    edges = np.linspace(low, high if high > low else low + 1, 31)
    with new_figure(300) as (figure, axes):
        for (kind, values), color in zip(drawn.items(), (QUIET, ACCENT), strict=True):
            axes.hist(values, edges, color=color, alpha=0.25)
            axes.hist(values, edges, histtype="step", edgecolor=color, lw=1.5, label=kind)
        for at, each in enumerate(each for each in record.get("candidates", ()) if each.get("score") is not None):
            axes.axvline(each["score"], ymax=0.94, color=WARN, lw=1.4, label="real candidates" if not at else None)
        axes.set(xlabel="score", ylabel="images", xlim=(edges[0], edges[-1]))
        figure.legend(loc="outside upper left", ncols=3, handlelength=1.4)
    return to_svg(figure, name, "Histogram of the scores of stamps and ctrls, with the real candidates marked.")


def completeness(record, key, label, *, name=None):
    """Plot completeness in bins of a quantity.

    Parameters
    ----------
    record : dict
        An evaluation's record.
    key : str
        Where its bins are, such as ``by_theta_e``.
    label : str
        Label of the axis.
    name : str, optional
        Prefix of the ids inside the drawing; default: `key`.

    Returns
    -------
    svg : Markup
        Empty where there are no bins.
    """
    bins = [each for each in record.get(key) or () if each.get("completeness") is not None]
    if not bins:
        return Markup()
    names = [_bin_text(each) for each in bins]
    with new_figure(270) as (figure, axes):
        for at, each in enumerate(bins):
            axes.plot([at, at], ends(each), color=ACCENT, lw=2)
            axes.plot([at], [each["completeness"]], "o", ms=7, color=ACCENT)
            axes.annotate(f"n = {each['n']:,}", (at, 0.02), ha="center", color=MUTED, fontsize=10)
        axes.set_xticks(range(len(bins)), names)
        axes.set(xlim=(-0.6, len(bins) - 0.4), ylim=(0, 1.04), xlabel=label, ylabel="completeness")
        axes.grid(axis="y")
    words = "; ".join(
        f"{text} {number(each['completeness'], places=2)}" for text, each in zip(names, bins, strict=True)
    )
    return to_svg(figure, name or key.replace("_", "-"), f"Completeness against {label}: {words}.")


def _bin_text(each):
    low, high = each.get("low"), each.get("high")
    if low is None and high is None:
        return "all"
    if high is None:
        return f"\N{GREATER-THAN OR EQUAL TO} {number(low)}"
    if low is None:
        return f"< {number(high)}"
    return f"{number(low)}\N{EN DASH}{number(high)}"


def training_curve(rows, keys, label, *, name, limits=()):
    """Plot columns of the training metrics against the epoch.

    Parameters
    ----------
    rows : list of dict
        The metrics, a row an epoch.
    keys : dict of str to str
        Column and how to call it.
    label : str
        Label of the axis.
    name : str
        Prefix of the ids inside the drawing.
    limits : sequence of float
        Values that should not be passed, drawn as lines.

    Returns
    -------
    svg : Markup
        Empty where no row has one of the columns.
    """
    keys = {key: title for key, title in keys.items() if any(row.get(key) is not None for row in rows)}
    if not keys:
        return Markup()
    with new_figure(270) as (figure, axes):
        x = floats([row.get("epoch", at + 1) for at, row in enumerate(rows)])
        looks = itertools.cycle(itertools.product(("-", "--", ":"), (ACCENT, WARN, QUIET)))
        for (key, title), (dashes, color) in zip(keys.items(), looks, strict=False):
            y = floats([row.get(key) for row in rows])
            known = np.isfinite(y)
            axes.plot(x[known], y[known], dashes, marker="o", ms=4, color=color, label=title)
        for limit in limits:
            axes.axhline(limit, color=WARN, lw=1, ls=(0, (6, 4)))
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
        if len(keys) > 1:
            figure.legend(loc="outside upper left", ncols=min(len(keys), 5), handlelength=1.6)
    return to_svg(figure, name, f"{label} against the epoch: {', '.join(keys.values())}.")
