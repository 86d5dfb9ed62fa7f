"""The settings, section by section, as tables in the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from gen5astro.config import as_dict, describe
from gen5astro.report.console import PROSE, open_console
from gen5astro.settings import toml_value

__all__ = ["print_settings", "settings_record"]


def settings_record(config, section=None):
    """Return what settings there are, and what they are set to, as plain types.

    Parameters
    ----------
    config : Config
        The settings.
    section : str, optional
        The one section to tell of; by default all.

    Returns
    -------
    record : dict
        ``schema``, and ``sections``: of each its ``doc``, and ``keys``, each with ``value``, ``default`` and ``doc``.
    """
    sections = {}
    for name, values in as_dict(config).items():
        kind = type(getattr(config, name))
        default = as_dict(kind())
        keys = {
            key: {"value": values[key], "default": default[key], "doc": doc} for key, _default, doc in describe(kind)
        }
        if section in (None, name):
            sections[name] = {"doc": kind.__doc__.partition("\n\n")[0], "keys": keys}
    return {"schema": "gen5astro-settings/1", "sections": sections}


def print_settings(record, *, console=None):
    """Print a table a section; what is not at its default is bold, with the default beside it.

    Parameters
    ----------
    record : dict
        From `settings_record`.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    for name, section in record["sections"].items():
        title = Text.assemble((f"[{name}]", "bold"), f"  {section['doc']}")
        table = Table(title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("key", no_wrap=True)
        for column in ("value", "meaning"):
            table.add_column(column, overflow="fold", max_width=PROSE)
        for key, each in section["keys"].items():
            value = Text(toml_value(each["value"]))
            if each["value"] != each["default"]:
                value = Text.assemble((value.plain, "bold"), f" (default {toml_value(each['default'])})")
            table.add_row(Text(key), value, Text(each["doc"]))
        console.print(table)
