"""The causes that a diagnosis ranks, made ready to be shown; what a diagnosis does not say is left out."""

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from gen5astro.report.appearance import THETA_E, number, stratum_text
from gen5astro.report.drawing import ACCENT, MUTED, new_figure, to_svg

__all__ = [
    "NO_FAULT",
    "ShownCause",
    "evidence_plot",
    "magnitude_text",
    "scaling_rows",
    "shown_causes",
    "shown_magnitudes",
]


NO_FAULT = ("physical", "unknown")
LIKELY = 0.5


@dataclass(frozen=True)
class ShownCause:
    """A cause as a page shows it.

    Parameters
    ----------
    name : str
        The cause.
    confidence : float or None
        From 0 to 1.
    is_named : bool
        Whether the diagnosis names it: it is the top cause, or as likely as not to be one of several.
    is_known : bool
        Whether it is a fault of the injection, rather than ``physical`` or ``unknown``.
    share : float or None
        Its share of the variance of all that is no arc.
    leakage : float or None
        Its share of the leakage of core, sky and noise; None where nothing leaks.
    look_first : str
        Where to look in the injection code.
    magnitude : list of tuple of str
        Band and size there.
    scaling : list of tuple of str
        What it was held against, and how it goes with it.
    plots : list of Markup
        Drawings of the evidence.
    """

    name: str
    confidence: float | None
    is_named: bool
    is_known: bool
    share: float | None
    leakage: float | None
    look_first: str
    magnitude: list[tuple[str, str]]
    scaling: list[tuple[str, str]]
    plots: list[Markup]


def shown_causes(record):
    """Make the causes of a diagnosis ready to be shown.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    causes : list of ShownCause
        Most likely first, as the record has them; empty where there is no diagnosis.
    """
    diagnosis = record.get("diagnosis") or {}
    shown = []
    for rank, cause in enumerate(diagnosis.get("causes") or ()):
        evidence = enumerate(cause.get("evidence") or ())
        plots = [evidence_plot(each, name=f"evidence-{rank}-{at}") for at, each in evidence]
        shown.append(
            ShownCause(
                name=cause["name"],
                confidence=cause.get("confidence"),
                is_named=cause["name"] == diagnosis.get("top") or (cause.get("confidence") or 0.0) >= LIKELY,
                is_known=cause["name"] not in NO_FAULT,
                share=cause.get("share"),
                leakage=cause.get("leakage"),
                look_first=cause.get("look_first") or "",
                magnitude=[(band, magnitude_text(each)) for band, each in (cause.get("magnitude") or {}).items()],
                scaling=scaling_rows(cause.get("scaling")),
                plots=[plot for plot in plots if plot],
            )
        )
    return shown


def magnitude_text(magnitude):
    """Write the size of a cause: ``0.0025 ± 0.0001 nmgy / pix``.

    Parameters
    ----------
    magnitude : dict or float
        ``value`` and, where known, ``error`` and ``unit``; or the value alone.

    Returns
    -------
    text : str
        A dash where there is no value.
    """
    if not isinstance(magnitude, dict):
        return number(magnitude)
    value, error = magnitude.get("value"), magnitude.get("error")
    places = _places(error)
    text = number(value, places=places)
    if error is not None:
        text += f" \N{PLUS-MINUS SIGN} {number(error, places=places)}"
    return f"{text} {magnitude.get('unit') or ''}".strip()


def _places(error):
    """Decimal places that show two digits of an error; None where that would not be a decimal number one can read."""
    if not error or not math.isfinite(error):
        return None
    places = 1 - math.floor(math.log10(error))
    return max(places, 0) if places <= 7 else None


def shown_magnitudes(cause, between="; "):
    """Write the size of a cause in every band.

    Parameters
    ----------
    cause : dict
        Of a diagnosis.
    between : str
        What stands between two bands.

    Returns
    -------
    text : str
        Empty where the cause has no size.
    """
    return between.join(f"{band} {magnitude_text(each)}" for band, each in (cause.get("magnitude") or {}).items())


def scaling_rows(scaling):
    """Write how a cause scales.

    Parameters
    ----------
    scaling : str, dict or None
        A sentence; or by what it was held against (``theta_e``, ``arc_flux``, ...) a rank correlation, a word, or a
        dict with ``value``, ``error`` and ``unit``.

    Returns
    -------
    rows : list of tuple of str
        What it was held against, empty for a sentence, and how it goes with it.
    """
    if not scaling:
        return []
    if isinstance(scaling, dict):
        return [(_quantity(key), _tendency(each)) for key, each in scaling.items() if each is not None]
    sentences = scaling if isinstance(scaling, (list, tuple)) else [scaling]
    return [("", str(each)) for each in sentences]


def _quantity(key):
    return stratum_text(key) if key in ("theta_e", "arc_snr") else str(key).replace("_", " ")


def evidence_plot(evidence, *, name):
    """Draw a small plot of what speaks for a cause.

    Parameters
    ----------
    evidence : dict
        ``label``, ``x`` and ``y``, and where known ``yerr``, ``x_label`` and ``y_label``; `x` may be names.
    name : str
        Prefix of the ids inside the drawing; unique on a page.

    Returns
    -------
    svg : Markup
        Empty where no point is known.
    """
    x, y = evidence.get("x") or [], evidence.get("y") or []
    count = min(len(x), len(y))
    names = [str(each) for each in x[:count]] if any(isinstance(each, str) for each in x[:count]) else None
    x = np.arange(count, dtype=float) if names else _numbers(x[:count], count)
    y, error = _numbers(y, count), _numbers(evidence.get("yerr") or [], count)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return Markup()
    label = str(evidence.get("label") or "")
    with new_figure(230) as (figure, axes):
        bars = np.where(np.isfinite(error), error, 0.0)[known] if np.isfinite(error).any() else None
        axes.axhline(0, color=MUTED, lw=0.8)
        axes.errorbar(x[known], y[known], yerr=bars, fmt="o", ms=5, lw=1.6, color=ACCENT)
        if names:
            axes.set_xticks(x, names)
            axes.set_xlim(-0.6, count - 0.4)
        else:
            axes.locator_params(axis="x", nbins=4)
        axes.set_title(_greek(label), loc="left", fontsize=11.5)
        axes.set(**{f"{axis}label": _greek(str(evidence.get(f"{axis}_label") or "")) for axis in "xy"})
    points = "; ".join(f"{names[at] if names else number(x[at])}: {number(y[at])}" for at in np.flatnonzero(known)[:20])
    return to_svg(figure, name, f"Evidence: {label}. {points}.")


def _tendency(each):
    is_number = isinstance(each, (int, float)) and not isinstance(each, bool)
    return f"rank correlation {number(each, places=2, signed=True)}" if is_number else magnitude_text(each)


def _greek(text):
    """Text with the letter that `to_svg` sets; the space that it looks for is added where the text ends."""
    text = text.replace("theta_E", THETA_E)
    return f"{text} " if text.endswith(THETA_E) else text


def _numbers(values, count):
    """First `count` values as floats, NaN where there is none."""
    padded = [*values[:count], *[None] * (count - len(values))]
    return np.array([each if isinstance(each, (int, float)) else np.nan for each in padded], dtype=float)
