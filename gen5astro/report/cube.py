"""A cube's summary as tables in the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gen5astro.report.appearance import look, number, stratum_text

__all__ = ["print_cube"]


def print_cube(summary, *, console=None):
    """Print what is in a cube: layout, splits and strata with their hosts, normalizer, audit and digests.

    Parameters
    ----------
    summary : dict
        From `gen5astro.build.summarize_cube`.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or Console(highlight=False)
    console.print(Text(summary["path"], style="bold"))
    console.print(_overview(summary))
    console.print(_counts("Splits", "split", summary["splits"]))
    console.print(_counts("Strata", "stratum", {stratum_text(name): each for name, each in summary["strata"].items()}))
    if summary["balance"]:
        console.print(_balance(summary["balance"]))


def _overview(summary):
    counts, (height, width), leaks = summary["counts"], summary["image_shape"], summary["leaks"]
    nearest = leaks["nearest_separation_arcsec"]
    rows = {
        "pairs": f"{counts['n_ok']:,} of {counts['n_in']:,} rows ({counts['n_rejected']:,} rejected)",
        "images": f"{', '.join(summary['bands'])}; {height} x {width} pix of {summary['pixel_scale']:g} arcsec",
        "size": f"{summary['bytes'] / 1e6:,.1f} MB",
        "input": summary["input"],
        "columns": ", ".join(summary["columns"]),
        "normalizer": _normalizer(summary["normalizer"]),
        "leaks": f"{leaks['groups']} groups, {leaks['close_positions']} close positions, {leaks['twins']} twins and "
        f"{leaks['near_twins']} near twins across splits; {leaks['guarded_positions']} positions in the guard band; "
        f"nearest {number(nearest)} arcsec",
        **({"repaired": _moved(summary["moved"])} if summary["moved"] else {}),
        "audit": _audit(summary["audit"]),
        **{f"{name} digest": digest for name, digest in summary["digests"].items()},
        "written": f"{summary['created']} by gen5astro {summary['code_version']} ({summary['schema']})",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name), value if isinstance(value, Text) else Text(value))
    return table


def _moved(moved):
    return f"the given split: {moved['hosts']:,} hosts, {moved['pairs']:,} pairs moved"


def _normalizer(spec):
    rest = (f"{key} {_short(value)}" for key, value in spec.items() if key != "kind")
    return f"{spec['kind']} ({', '.join(rest)})"


def _short(value):
    return " to ".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def _audit(audit):
    if audit is None:
        return "none embedded: pass --audit DIR/audit.json to build-hdf5"
    overall = look(audit["status"])
    failed = [name for name, status in audit["gates"].items() if status not in ("PASS", "SKIP")]
    gates = f"; not passed: {', '.join(failed)}" if failed else ""
    return Text.assemble((overall.word, overall.style), gates)


def _counts(title, what, counts):
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(what)
    for name in ("pairs", "hosts", "effective hosts"):
        table.add_column(name, justify="right")
    for name, each in counts.items():
        cells = (f"{each['pairs']:,}", f"{each['groups']:,}", f"{each['effective_groups']:,.1f}")
        table.add_row(Text(name), *cells)
    return table


def _balance(balance):
    """Compare the splits: one row a quantity and split."""
    table = Table(title="Balance", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("quantity")
    table.add_column("split")
    for name in ("median", "16 to 84 %", "independent", "KS to others", "p"):
        table.add_column(name, justify="right")
    table.add_column("beyond chance?")
    for name, each in balance.items():
        label = Text(f"{name} [{each['unit']}]" if each["unit"] else name)
        for split, row in each["splits"].items():
            judged = row["p"] is not None
            table.add_row(
                label,
                split,
                number(row["median"]),
                f"{number(row['low'])} to {number(row['high'])}",
                f"{row['homes']:,}",
                f"{row['ks']:.2f}" if judged else "",
                f"{row['p']:.2g}" if judged else "",
                Text(*(("yes", "red") if row["differs"] else ("no", "")) if judged else ("too few", "dim")),
            )
            label = Text("")
    return table
