"""Reference pages made from the code, so that nothing is copied by hand.

Directives ``gates``, ``columns``, ``aliases``, ``configuration``, ``faults`` and ``library``; and, before the build,
one page of the API reference for each public module.
"""

import importlib
import math
import pkgutil
import textwrap
import typing
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

import gen5astro
from gen5astro.columns import COLUMNS
from gen5astro.config import Config, describe
from gen5astro.diagnosis import load_causes
from gen5astro.gates import load_gates
from gen5astro.io.catalog import ALIASES
from gen5astro.settings import toml_value

DASH = r"\-"


def table(header, rows, widths):
    """Return the lines of a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {' '.join(map(str, widths))}", ""]
    for row in [header, *rows]:
        for at, cell in enumerate(row):
            lines.append(f"   {'*' if at == 0 else ' '} - {cell}")
    return [*lines, ""]


def heading(title, underline="-"):
    """Return the lines of a section's title."""
    return ["", title, underline * len(title), ""]


def code(text):
    """Return text as a literal."""
    return f"``{text}``"


class FromCode(SphinxDirective):
    """A directive whose content is lines of reStructuredText made by `lines`."""

    def lines(self):
        """Return the lines."""
        raise NotImplementedError

    def run(self):
        """Parse the lines where the directive stands."""
        return self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True)


class Gates(FromCode):
    """Every gate: its question, its module's docstring, its limits, what it reads and requires."""

    def lines(self):
        """Return the lines."""
        lines = []
        for name, gate in load_gates().items():
            module = importlib.import_module(f"gen5astro.gates.{name}")
            lines += [f".. _gate-{name}:", *heading(name), f"*{gate.question}*", ""]
            lines += [textwrap.dedent(module.__doc__).strip(), ""]
            limits = [[code(limit), bound(each.low), bound(each.high)] for limit, each in gate.limits.items()]
            if limits:
                lines += table(["number", "at least", "at most"], limits, [4, 1, 1])
            lines += [f"Reads {', '.join(map(code, gate.reads))}.", ""] if gate.reads else []
            lines += [f"Asked only where {gate_links(gate.requires)} could be answered.", ""] if gate.requires else []
        return lines


class Causes(FromCode):
    """Every cause of the diagnosis: its module's docstring and where to look first."""

    def lines(self):
        """Return the lines."""
        lines = []
        for name, cause in load_causes().items():
            module = importlib.import_module(f"gen5astro.diagnosis.{name}")
            lines += [f".. _cause-{name}:", *heading(name), textwrap.dedent(module.__doc__).strip(), ""]
            lines += [f"**Look first at** {cause.look_first}", ""]
        return lines


def bound(value):
    """Return a limit as text; an open side is a dash."""
    return DASH if value is None or math.isinf(value) else f"{value:g}"


def gate_links(names):
    """Return references to gates."""
    return ", ".join(f":ref:`{name} <gate-{name}>`" for name in sorted(names))


class Columns(FromCode):
    """Every column of the measurement table."""

    def lines(self):
        """Return the lines."""
        lines = []
        for per, title in (("pair", "One value a pair"), ("band", "One value a pair and band")):
            rows = [[code(name), each.unit or DASH, each.meaning] for name, each in COLUMNS.items() if each.per == per]
            lines += [*heading(title), *table(["column", "unit", "meaning"], rows, [3, 2, 7])]
        return lines


class Aliases(FromCode):
    """Every canonical column of a table of pairs, and its other names."""

    def lines(self):
        """Return the lines."""
        rows = [[code(name), ", ".join(map(code, others))] for name, others in ALIASES.items()]
        return table(["column", "is also found as"], rows, [2, 7])


class Configuration(FromCode):
    """Every key of the configuration, section by section."""

    def lines(self):
        """Return the lines."""
        lines = []
        for section, kind in typing.get_type_hints(Config).items():
            rows = [[code(key), code(toml_value(default)), doc] for key, default, doc in describe(kind)]
            lines += [*heading(f"[{section}]"), kind.__doc__.partition("\n\n")[0], ""]
            lines += table(["key", "default", "meaning"], rows, [3, 3, 6])
        return lines


class Faults(FromCode):
    """Every fault that can be planted into an injection."""

    def lines(self):
        """Return the lines."""
        from gen5astro.inject.faults import FAULTS

        rows = [
            [code(name), f"{each.default:g}", ", ".join(f"{grade:g}" for grade in each.grades), each.unit, each.doc]
            for name, each in FAULTS.items()
        ]
        header = ["fault", "default", "grades of the self-test", "unit of the strength", "what it does"]
        return table(header, rows, [3, 1, 3, 3, 6])


class Library(FromCode):
    """Every name that ``import gen5astro`` offers."""

    def lines(self):
        """Return the lines."""
        rows = []
        for name in gen5astro.__all__[1:]:
            thing = getattr(gen5astro, name)
            summary = textwrap.dedent(thing.__doc__).strip().partition("\n\n")[0]
            rows.append([f":py:obj:`gen5astro.{name} <{thing.__module__}.{name}>`", " ".join(summary.split())])
        return table(["name", "what it is"], rows, [2, 5])


def write_api_pages(app):
    """Write ``reference/api/MODULE.rst`` for each module that has public names; drop those of modules that are gone."""
    folder = Path(app.srcdir, "reference", "api")
    folder.mkdir(exist_ok=True)
    pages = {}
    for _, name, _ in pkgutil.walk_packages(gen5astro.__path__, "gen5astro."):
        if name.startswith("gen5astro.cli") or any(part.startswith("_") for part in name.split(".")):
            continue
        if getattr(importlib.import_module(name), "__all__", ()):
            body = [name, "=" * len(name), "", f".. automodule:: {name}", "   :members:", ""]
            pages[folder / f"{name}.rst"] = "\n".join(body)
    for path in set(folder.glob("*.rst")) - set(pages):
        path.unlink()
    for path, text in pages.items():
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def setup(app):
    """Register the directives and the pages."""
    for kind in (Gates, Causes, Columns, Aliases, Configuration, Faults, Library):
        app.add_directive(kind.__name__.lower(), kind)
    app.connect("builder-inited", write_api_pages)
    return {"parallel_read_safe": True, "version": gen5astro.__version__}
