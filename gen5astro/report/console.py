"""The console that records are printed on."""

import os
import sys

from rich.console import Console

__all__ = ["PROSE", "open_console"]

#: Width of sentences in a table, where the console is wider.
PROSE = 72
_UNBROKEN = 10_000


def open_console(*, colored=True):
    """Return a console on standard output: of a terminal's width on a terminal, of any width elsewhere.

    A line that goes into a file or another program is never broken, so that paths and commands in it stay whole;
    the variable COLUMNS sets a width nevertheless.

    Parameters
    ----------
    colored : bool
        Whether it has colors on a terminal.

    Returns
    -------
    console : rich.console.Console
        It colors no numbers.
    """
    wraps = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, force_terminal=None if colored else False, width=None if wraps else _UNBROKEN)
