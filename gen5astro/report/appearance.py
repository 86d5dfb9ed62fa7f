"""How a status, a number and a stratum look, in the terminal and on a page: said here and nowhere else."""

import math
import re
from dataclasses import dataclass

from gen5astro.verdict import Status

__all__ = ["BLOCKED", "LOOKS", "Look", "interval_text", "limits_text", "look", "number", "spread", "stratum_text"]

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
THETA_E = "\N{GREEK SMALL LETTER THETA}_E"
ARCSEC = "\N{DOUBLE PRIME}"
SERSIC = "S\N{LATIN SMALL LETTER E WITH ACUTE}rsic"


@dataclass(frozen=True)
class Look:
    """How one status looks.

    Parameters
    ----------
    word : str
        What is printed; it alone carries the meaning, the color only helps.
    sign : str
        One character for the eye.
    meaning : str
        What the word says, for a legend.
    style : str
        Style for the terminal, as rich understands it.
    light, dark : str
        Color on a light and on a dark page; both reach a contrast of 4.5 there.
    """

    word: str
    sign: str
    meaning: str
    style: str
    light: str
    dark: str


LOOKS = {
    Status.PASS: Look("PASS", "\N{CHECK MARK}", "within its limits", "bold green", "#1c6b3c", "#6cc891"),
    Status.SKIP: Look("SKIP", "\N{EN DASH}", "not applicable here", "dim", "#5b646e", "#a3adb8"),
    Status.INSUFFICIENT: Look(
        "INSUFFICIENT",
        "?",
        "cannot be judged: too few independent hosts, or no room to see a fault",
        "bold yellow",
        "#7d5700",
        "#e0b252",
    ),
    Status.FAIL: Look("FAIL", "\N{MULTIPLICATION X}", "outside its limits", "bold red", "#a8271f", "#f28b7d"),
    Status.ERROR: Look("ERROR", "!", "could not be computed", "bold magenta", "#862a74", "#dd96cf"),
}
BLOCKED = Look(
    "BLOCKED", "\N{MULTIPLICATION X}", "a training option that is not allowed", "bold yellow", "#7d5700", "#e0b252"
)


def look(status, *, advisory=False):
    """Look of a status.

    Parameters
    ----------
    status : str or None
        A `Status` or its name; anything else, None too, looks like ERROR.
    advisory : bool
        Whether the gate speaks of a training option alone: what does not pass is BLOCKED, then, not FAIL.

    Returns
    -------
    look : Look
        Word, sign and colors.
    """
    try:
        status = Status(status)
    except ValueError:
        status = Status.ERROR
    if advisory and status is Status.FAIL:
        return BLOCKED
    return LOOKS[status]


def number(value, *, places=None, signed=False):
    """Write a number for a reader.

    Parameters
    ----------
    value : float, int, bool, str or None
        What to write; None and what is not finite become a dash, a string stays as it is.
    places : int, optional
        Decimal places; by default four significant digits, and whole numbers in full.
    signed : bool
        Whether a positive number gets its sign.

    Returns
    -------
    text : str
        With a true minus sign.
    """
    if isinstance(value, (bool, str)):
        return str(value)
    if value is None or not math.isfinite(value):
        return NOTHING
    if places is not None:
        text = f"{value:+.{places}f}" if signed else f"{value:.{places}f}"
        if not float(text):
            text = text.lstrip("+-")
    elif float(value).is_integer() and abs(value) < 1e15:
        text = f"{value:+,.0f}" if signed else f"{value:,.0f}"
    else:
        text = f"{value:+.4g}" if signed else f"{value:.4g}"
    return text.replace("-", MINUS)


def interval_text(interval, *, places=None):
    """Write an interval as ``low to high``.

    Parameters
    ----------
    interval : sequence of float or None
        Lower and upper end.
    places : int, optional
        Decimal places.

    Returns
    -------
    text : str
        Empty where there is none.
    """
    if not interval or any(end is None for end in interval):
        return ""
    return f"{number(interval[0], places=places)} to {number(interval[1], places=places)}"


def limits_text(low, high):
    """Write the allowed range of a number.

    Parameters
    ----------
    low, high : float or None
        Inclusive bounds; None is open.

    Returns
    -------
    text : str
        Empty where both sides are open.
    """
    if low is None and high is None:
        return ""
    if low is None:
        return f"\N{LESS-THAN OR EQUAL TO} {number(high)}"
    if high is None:
        return f"\N{GREATER-THAN OR EQUAL TO} {number(low)}"
    if low == -high:
        return f"\N{PLUS-MINUS SIGN}{number(high)}"
    return f"{number(low)} to {number(high)}"


def spread(finding, *, places=2, signed=False):
    """Write a finding's value with half its interval: ``0.01 ± 0.02``.

    Parameters
    ----------
    finding : dict or None
        With ``value`` and, where known, ``interval``.
    places : int
        Decimal places.
    signed : bool
        Whether a positive value gets its sign.

    Returns
    -------
    text : str
        A dash where there is no value.
    """
    if not finding or finding.get("value") is None:
        return NOTHING
    text = number(finding["value"], places=places, signed=signed)
    interval = finding.get("interval")
    if not interval or any(end is None for end in interval):
        return text
    return f"{text} \N{PLUS-MINUS SIGN} {number((interval[1] - interval[0]) / 2, places=places)}"


def stratum_text(stratum):
    """Write the name of a stratum for a reader.

    Parameters
    ----------
    stratum : str
        Such as ``all``, ``1<=theta_e<2``, ``arc_snr<20``.

    Returns
    -------
    text : str
        Such as ``all``, ``1″ ≤ θ_E < 2″``, ``arc SNR < 20``.
    """
    unit = ARCSEC if "theta_e" in stratum else ""
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)", rf"\1{unit}", stratum)
    text = text.replace("theta_e", THETA_E).replace("arc_snr", "arc SNR")
    text = text.replace("<=", "\N{LESS-THAN OR EQUAL TO}").replace(">=", "\N{GREATER-THAN OR EQUAL TO}")
    return re.sub(r"\s*([<>\u2264\u2265])\s*", r" \1 ", text)
