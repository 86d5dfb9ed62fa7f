"""What a survey costs, worked out of the record of ``python -m benchmarks.growth`` that lies beside the page."""

import json

from benchmarks_page import told
from from_code import DASH, FromCode, code, table

SCHEMA = "gen5astro-growth/1"
PAIRS = 100_000_000

#: What the machine of the estimate is, and what it costs [USD].
CORES, CORE_HOUR, TB_MONTH = 32, 0.05, 20.0


class Growth(FromCode):
    """Tables of what was measured, and of what it means for a hundred million pairs."""

    required_arguments = 2

    def lines(self):
        """Return the lines."""
        what, name = self.arguments
        path, _ = self.env.relfn2path(name)
        self.env.note_dependency(path)
        with open(self.env.srcdir / path, encoding="utf-8") as file:
            record = json.load(file)
        if record.get("schema") != SCHEMA:
            raise ValueError(f"{path}: schema {record.get('schema')}, not {SCHEMA}")
        return {"measured": measured, "starts": starts, "survey": survey}[what](record)


def measured(record):
    """Return what each command took."""
    rows = []
    for row in sorted(record["rows"], key=lambda each: (each["command"], each["pairs"])):
        cost = DASH if row["ms_per_pair"] is None else f"{row['ms_per_pair']:.3f}"
        memory = f"{row['peak_memory_mb']:,}"
        rows.append([code(row["command"]), f"{row['pairs']:,}", f"{row['seconds']:.1f}", cost, memory])
    bands = f"{record['bands']} band{'' if record['bands'] == 1 else 's'}"
    image = f"{bands} of {record['size']} x {record['size']} pixels, {record['threads']} threads."
    head = ["command", "pairs", "seconds", "ms a pair above start-up", "memory [MB]"]
    return [f"{told(record['provenance'])} Images of {image}", "", *table(head, rows, [4, 3, 2, 4, 3])]


def starts(record):
    """Return how long each command takes to say how it is used."""
    rows = [[code(f"{each['command']} --help"), f"{each['seconds']:.2f}"] for each in record["starts"]]
    return table(["command", "seconds"], rows, [4, 2])


def survey(record):
    """Return bytes, hours and cost of a hundred million pairs."""
    most = max(row["pairs"] for row in record["rows"])
    rows, hours = [], 0.0
    for row in record["rows"]:
        if row["pairs"] == most:
            core_hours = PAIRS * row["cpu_ms_per_pair"] / 3.6e6
            hours += core_hours
            cells = [f"{core_hours:,.0f}", f"{core_hours / CORES:,.1f}", f"{CORE_HOUR * core_hours:,.0f}"]
            rows.append([code(row["command"]), *cells])
    rows.append(["together", f"{hours:,.0f}", f"{hours / CORES:,.1f}", f"{CORE_HOUR * hours:,.0f}"])
    head = ["work", "core hours", f"hours on {CORES} cores", "USD"]
    image = 2 * record["bands"] * record["size"] ** 2
    sizes = [
        [form, f"{PAIRS * image * width / 1e12:.1f}", f"{PAIRS * image * width / 1e12 * TB_MONTH:,.0f}"]
        for form, width in (("float32", 4), ("float16, int16", 2))
    ]
    return [
        *table(head, rows, [4, 3, 3, 2]),
        "",
        *table(["pixels stored as", "TB", "USD a month"], sizes, [4, 2, 2]),
    ]


def setup(app):
    """Register the directive."""
    app.add_directive("growth", Growth)
    return {"parallel_read_safe": True}
