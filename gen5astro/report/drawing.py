"""Matplotlib figures made into inline SVG whose colors are the page's own, so that they follow its color scheme.

Matplotlib draws with stand-in colors that `to_svg` turns into CSS variables, and leaves the text as text. The figures
are narrow on purpose: they stay legible on a telephone, and two stand side by side on a desk.
"""

import contextlib
import io
import re

import numpy as np
from markupsafe import Markup, escape

from gen5astro.report.appearance import THETA_E, look

__all__ = [
    "ACCENT",
    "BANDS",
    "INK",
    "MUTED",
    "QUIET",
    "RULE",
    "TONES",
    "WARN",
    "ends",
    "floats",
    "log_ticks",
    "new_figure",
    "to_svg",
    "value_of",
]

INK, MUTED, RULE, ACCENT, QUIET, WARN = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
BANDS = ("#0a0101", "#0a0202", "#0a0303", "#0a0404", "#0a0505")
TONES = {
    look(status).word: f"#0b01{at:02x}" for at, status in enumerate(("PASS", "SKIP", "INSUFFICIENT", "FAIL", "ERROR"))
}
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", ACCENT: "accent", QUIET: "quiet", WARN: "warn"}
_VARIABLES |= {color: f"band-{at}" for at, color in enumerate(BANDS)}
_VARIABLES |= {color: f"tone-{word.lower()}" for word, color in TONES.items()}
_WIDTH = 430  # drawing units, close to CSS pixels

_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 11.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "patch.edgecolor": "none",
}


@contextlib.contextmanager
def new_figure(height, rows=1, columns=1, **more):
    """Make a figure of the page's width, in the page's style.

    Parameters
    ----------
    height : float
        Height in units of which the width is 430; they are close to CSS pixels.
    rows, columns : int
        Axes below and beside each other.
    **more
        Further arguments of `matplotlib.figure.Figure.subplots`.

    Yields
    ------
    figure : matplotlib.figure.Figure
        The figure.
    axes : matplotlib.axes.Axes or array of it
        Its axes.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH / 72, height / 72), layout="constrained")
        yield figure, figure.subplots(rows, columns, **more)


def to_svg(figure, name, description):
    """Draw a figure as inline SVG: in the colors of the page, with ids of its own, named for a screen reader.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From `new_figure`, whose context may be over.
    name : str
        Prefix of the ids inside the drawing; unique on a page.
    description : str
        What the drawing shows, in words.

    Returns
    -------
    svg : Markup
        An ``svg`` element.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    box = re.search(r'viewBox="([^"]+)"', text)[1]
    text = text[text.index(">") + 1 :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r" ?font-family: [^;\"]*;?", "", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var(--{variable})")
    text = text.replace(
        f"{THETA_E} ", f'{THETA_E[0]}<tspan dy="2.5" font-size="75%">E</tspan><tspan dy="-2.5"> </tspan>'
    )
    text = re.sub(r"\n\s*", "\n", text)
    return Markup(f'<svg class="plot" viewBox="{box}" role="img" aria-label="{escape(description)}">{text}')


def log_ticks(axis, low, high):
    """Put ticks on a logarithmic axis, their labels in plain digits.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        On a logarithmic scale.
    low, high : float
        Its ends; over less than two decades there are ticks between the powers of ten as well.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0,) if high >= 100 * low else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    # Its own labels between the powers of ten are mathematics, which is not typeset here.
    axis.set_minor_formatter(NullFormatter())


def value_of(finding):
    """Value of a finding as a number that can be plotted.

    Parameters
    ----------
    finding : dict or None
        With ``value``.

    Returns
    -------
    value : float
        NaN where unknown.
    """
    return floats([(finding or {}).get("value")])[0]


def ends(finding):
    """Interval of a finding as numbers that can be plotted.

    Parameters
    ----------
    finding : dict or None
        With ``interval``.

    Returns
    -------
    ends : float64 array, (2,)
        NaN where unknown.
    """
    return floats((finding or {}).get("interval") or (None, None))


def floats(values):
    """Numbers of a record as an array.

    Parameters
    ----------
    values : sequence of float or None
        As JSON holds them.

    Returns
    -------
    values : float64 array
        NaN for None.
    """
    return np.array([np.nan if value is None else value for value in values], dtype=float)
