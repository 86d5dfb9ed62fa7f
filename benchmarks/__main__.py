"""Time our work beside its peers, print a table and write it as JSON."""

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.bootstrap import Bootstrap
from benchmarks.comparison import compare
from benchmarks.injection import Injection
from benchmarks.measurement import Measurement
from benchmarks.normalization import Normalization, Stretch
from benchmarks.photometry import CorePhotometry, SkyPhotometry
from benchmarks.reading import DeflatedNpz, Ingest, StoredNpz
from benchmarks.ring import RingBudget
from benchmarks.splitting import Grouping

COMPARISONS = (
    CorePhotometry,
    SkyPhotometry,
    Normalization,
    Stretch,
    RingBudget,
    Measurement,
    Bootstrap,
    StoredNpz,
    DeflatedNpz,
    Ingest,
    Injection,
    Grouping,
)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only rows whose name holds one of these")
    parser.add_argument("--toy", action="store_true", help="run each once on a few images: does it work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    options = parser.parse_args(arguments)
    chosen = [each for each in COMPARISONS if not options.names or any(name in each.name for name in options.names)]
    console = Console()
    rows = []
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for kind in track(chosen, "timing", console=console, transient=True):
            rows += compare(kind, toy=options.toy)
    console.print(make_table(rows, toy=options.toy))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


def make_table(rows, *, toy):
    title = "toy size: the rates mean nothing" if toy else "one thread, side by side; rates are units a second"
    table = Table("work", "ours", "of limit", "peer", "peer's", "ratio", "target", title=title)
    for row in rows:
        limit = "" if row["limit_ratio"] is None else f"{row['limit_ratio']:.0%}"
        style = None if toy else "green" if row["ratio"] >= row["target"] else "red"
        table.add_row(
            row["name"],
            f"{row['ours']:,.0f} {row['unit']}",
            limit,
            row["peer_name"],
            f"{row['peer']:,.0f}",
            f"{row['ratio']:.1f}",
            f"{row['target']:g}",
            style=style,
        )
    return table


if __name__ == "__main__":
    main()
