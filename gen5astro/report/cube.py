"""A cube's summary as tables in the terminal."""

from pathlib import PurePath

from rich import box
from rich.table import Table
from rich.text import Text

from gen5astro.report.appearance import look, number, stratum_text
from gen5astro.report.console import open_console
from gen5astro.report.rows import rows_table
from gen5astro.verdict import what_it_means

__all__ = ["audit_warning", "copies_text", "moved_text", "print_cube", "print_verification"]

_EFFECTIVE = "effective hosts: how many of equally many pairs each would weigh as much (Kish 1965)"


def audit_warning(audit):
    """Warn of a cube whose embedded audit did not pass.

    Parameters
    ----------
    audit : dict or None
        The audit, from a cube's summary.

    Returns
    -------
    warning : str
        One line; empty where it passed or there is none.
    """
    if audit is None or audit["status"] == "PASS":
        return ""
    failed, _ = _not_passed(audit)
    which = f" ({', '.join(failed)})" if failed else ""
    status = audit["status"]
    return f"warning: the audit of these pairs says {status}{which}: {what_it_means(status)}"


def copies_text(copies):
    """Say how many pairs are copies.

    Parameters
    ----------
    copies : dict of int
        From a cube's summary.

    Returns
    -------
    text : str
        Such as ``3 pairs are copies of others to the last bit``; empty where there is none.
    """
    parts = []
    if count := copies["pairs"]:
        parts.append(f"{count:,} pair{' is a copy of another' if count == 1 else 's are copies of others'}")
    if count := copies["without_arc"]:
        parts.append(f"{count:,} stamp{' is its' if count == 1 else 's are their'} ctrl")
    return f"{' and '.join(parts)}, to the last bit" if parts else ""


def moved_text(moved):
    """Say how many hosts a repair moved.

    Parameters
    ----------
    moved : list of dict
        The hosts, from a cube's summary.

    Returns
    -------
    text : str
        Such as ``1 host, 3 pairs moved``.
    """
    numbers = {"host": len(moved), "pair": sum(each["pairs"] for each in moved)}
    counts = (f"{count:,} {name}{'' if count == 1 else 's'}" for name, count in numbers.items())
    return f"{', '.join(counts)} moved"


def print_cube(summary, *, console=None):
    """Print what is in a cube: layout, splits and strata with their hosts, normalizer, audit and digests.

    Parameters
    ----------
    summary : dict
        From `gen5astro.build.summarize_cube`.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    console.print(Text(summary["path"], style="bold"))
    console.print(_overview(summary))
    strata = {stratum_text(name): each for name, each in summary["strata"].items()}
    console.print(_counts("Splits", "split", summary["splits"]))
    console.print(_counts("Strata", "stratum", strata, _EFFECTIVE))
    if summary["balance"]:
        console.print(_balance(summary["balance"]))


def print_verification(record, *, console=None):
    """Print what was verified of a cube, and what came of it.

    Parameters
    ----------
    record : dict
        From `gen5astro.verify.verify_cube`.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    console = console or open_console()
    overall = look(record["status"])
    files = f"{len(record['files'])} files" if len(record["files"]) > 1 else "1 file"
    console.print(
        Text.assemble((overall.word, overall.style), f"  {record['path']}: {record['pairs']:,} pairs, {files}")
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("check", "", "found"):
        table.add_column(title, overflow="fold")
    for each in record["checks"]:
        word = look(each["status"])
        table.add_row(Text(each["name"]), Text(word.word, style=word.style), Text(each["note"]))
    console.print(table)
    if record["remedy"]:
        console.print(Text("The first check reads every image anew; the others look at what is stored beside them."))
        console.print(Text(f"To mend it: {record['remedy']}."))


def _overview(summary):
    counts, (height, width), leaks = summary["counts"], summary["image_shape"], summary["leaks"]
    nearest = leaks["nearest_separation_arcsec"]
    rows = {
        "pairs": f"{counts['n_ok']:,} of {counts['n_in']:,} rows ({counts['n_rejected']:,} rejected)",
        "images": f"{', '.join(summary['bands'])}; {height} x {width} pix of {summary['pixel_scale']:g} arcsec",
        "size": f"{summary['bytes'] / 1e6:,.1f} MB" + _shards(summary),
        "pixels": _pixels(summary["pixels"], summary["pixel_error"]),
        "input": summary["input"],
        "columns": ", ".join(summary["columns"]),
        "normalizer": _normalizer(summary["normalizer"]),
        "leaks": f"{leaks['groups']} groups, {leaks['close_positions']} close positions, {leaks['twins']} twins and "
        f"{leaks['near_twins']} near twins across splits; {leaks['guarded_positions']} positions in the guard band; "
        f"nearest {number(nearest)} arcsec",
        **({"copies": copied} if (copied := copies_text(summary["copies"])) else {}),
        **({} if summary["moved"] is None else {"repaired": f"the given split: {moved_text(summary['moved'])}"}),
        "audit": _audit(summary["audit"]),
        **{f"{name} digest": digest for name, digest in summary["digests"].items()},
        "written": f"{summary['created']} by gen5astro {summary['code_version']} ({summary['schema']})",
    }
    return rows_table(rows)


def _shards(summary):
    folder = PurePath(summary["path"]).with_suffix(".shards").name
    return f" in {summary['shards']} shards ({folder})" if summary["shards"] else ""


def _pixels(form, error):
    """Say in which form pixels are stored, and how large its error is."""
    if error is None:
        return f"{form}, as they came"
    shown = [
        f"{what} {number(spread['median'])} (99.9 %: {number(spread['p99_9'])}, largest {number(spread['max'])}) {unit}"
        for what, spread, unit in (
            ("rms", error["rms_sky_sigma"], "of the sky noise"),
            (f"flux within {error['core_radius_arcsec']:g} arcsec", error["core_flux_sigma"], "of its sky noise"),
            ("or", error["core_flux_nmgy"], "nmgy"),
        )
    ]
    return f"{form}; median error: {'; '.join(shown)}"


def _normalizer(spec):
    rest = (f"{key} {_short(value)}" for key, value in spec.items() if key != "kind")
    return f"{spec['kind']} ({', '.join(rest)})"


def _short(value):
    return " to ".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def _audit(audit):
    if audit is None:
        return "none embedded: pass --audit DIR/audit.json to build-hdf5"
    overall = look(audit["status"])
    failed, blocked = _not_passed(audit)
    gates = f"; not passed: {', '.join(failed)}" if failed else ""
    gates += f"; advisory, not counted: {', '.join(f'{name} {word}' for name, word in blocked)}" if blocked else ""
    return Text.assemble((overall.word, overall.style), gates)


def _not_passed(audit):
    """Gates that did not pass, and the advisory ones with the word for it."""
    names = [name for name, status in audit["gates"].items() if status not in ("PASS", "SKIP")]
    advisory = [(name, look(audit["gates"][name], advisory=True).word) for name in names if name in audit["advisory"]]
    return [name for name in names if name not in audit["advisory"]], advisory


def _counts(title, what, counts, caption=None):
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column(what)
    for name in ("pairs", "hosts", "effective hosts"):
        table.add_column(name, justify="right")
    for name, each in counts.items():
        cells = (f"{each['pairs']:,}", f"{each['groups']:,}", f"{each['effective_groups']:,.1f}")
        table.add_row(Text(name), *cells)
    return table


def _balance(balance):
    """Compare the splits: one row a quantity and split."""
    table = Table(
        title="Balance",
        title_justify="left",
        title_style="bold",
        caption="KS: Kolmogorov-Smirnov distance (0 to 1) to the other splits, counted by homes (what is dealt as a "
        "whole); p: chance of one as large",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
    )
    for name in ("quantity", "split", "median (16\N{EN DASH}84 %)"):
        table.add_column(name, no_wrap=True)
    for name in ("homes", "KS", "p"):
        table.add_column(name, justify="right")
    table.add_column("differs")
    for name, each in balance.items():
        none = "constant" if each["constant"] else "too few"
        label = Text(f"{name} [{each['unit']}]" if each["unit"] else name)
        for split, row in each["splits"].items():
            values = f"{row['median']:.3g} ({row['low']:.3g}\N{EN DASH}{row['high']:.3g})"
            table.add_row(label, split, values, f"{row['homes']:,}", *_judged(row, none))
            label = Text("")
    return table


def _judged(row, none):
    """Say whether a split differs from the others beyond chance, or why that is not asked."""
    if row["p"] is None:
        return "", "", Text(none, "dim")
    return f"{row['ks']:.2f}", f"{row['p']:.2g}", Text("yes", "red") if row["differs"] else Text("no")
