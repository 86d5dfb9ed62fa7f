"""Names and values as a table without lines, for summaries in the terminal."""

from rich.table import Table
from rich.text import Text

from gen5astro.report.console import PROSE

__all__ = ["rows_table"]


def rows_table(rows):
    """Make a table of names and values.

    Parameters
    ----------
    rows : dict of str to str or rich.text.Text
        What is shown, by name.

    Returns
    -------
    table : rich.table.Table
        A row each; long values are folded, not cut, and no word is broken, such as a path, that there is room for.
    """
    longest = max((len(word) for value in rows.values() for word in str(value).split()), default=0)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", max_width=max(PROSE, longest))
    for name, value in rows.items():
        table.add_row(Text(name), value if isinstance(value, Text) else Text(value))
    return table
