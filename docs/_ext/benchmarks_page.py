"""The table of the benchmarks' page, made from the record that lies beside it.

The directive ``benchmarks`` is given the file of the record, as ``python -m benchmarks --json`` writes it. Another run
replaces that file and nothing else.
"""

import json
from pathlib import Path

from from_code import DASH, FromCode, code, table

RECORD = Path(__file__).resolve().parent.parent / "reference" / "benchmarks.json"
SCHEMA = "gen5astro-benchmarks/1"


class Benchmarks(FromCode):
    """What the benchmarks found: where and with what, and a row a peer."""

    required_arguments = 1

    def lines(self):
        """Return the lines."""
        path, _ = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        record = load_record(self.env.srcdir / path)
        lines = [told(record["provenance"]), ""]
        rows = [cells(row) for row in record["rows"]]
        return lines + table(
            ["work", "ours", "of limit", "peer", "peer's", "ratio", "aim"], rows, [5, 4, 2, 6, 3, 2, 2]
        )


def load_record(path):
    """Return a record, refusing what is none."""
    record = json.loads(Path(path).read_text(encoding="utf-8"))
    if record.get("schema") != SCHEMA:
        raise ValueError(
            f"{path}: schema {record.get('schema')}, not {SCHEMA}: write it with python -m benchmarks --json"
        )
    return record


def told(provenance):
    """Return where and with what the numbers were taken, in sentences."""
    versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items() if version)
    machine = f"{provenance['processors']} processors ({provenance['processor']}), {provenance['system']}"
    run = f"From {code(provenance['command'])} on {provenance['date']}: {machine}, Python {provenance['python']}."
    sentences = [run, f"With {versions}.", provenance["note"]]
    return " ".join(sentence for sentence in sentences if sentence)


def cells(row):
    """Return the cells of a row; the ratio is bold where it is what is aimed at."""
    aim = f"{row['target']:g}"
    if "skipped" in row:
        return [row["name"], DASH, DASH, row["peer_name"], row["skipped"], DASH, aim]
    limit = DASH if row["limit_ratio"] is None else f"{100 * row['limit_ratio']:.0f} %"
    ratio = f"{row['ratio']:.1f}"
    reached = row["ratio"] >= row["target"]
    ours, theirs = (f"{row[whose]:,.0f}" for whose in ("ours", "peer"))
    return [
        row["name"],
        f"{ours} {row['unit']}",
        limit,
        row["peer_name"],
        theirs,
        f"**{ratio}**" if reached else ratio,
        aim,
    ]


def setup(app):
    """Register the directive."""
    app.add_directive("benchmarks", Benchmarks)
    return {"parallel_read_safe": True}
