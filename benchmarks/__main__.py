"""Time our work beside its peers, print a table and write it as JSON."""

import argparse
import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.batches import CodeBatches, HalfBatches, RandomBatches, TrainingBatches
from benchmarks.bootstrap import Bootstrap
from benchmarks.comparison import compare
from benchmarks.injection import Injection
from benchmarks.measurement import Measurement
from benchmarks.normalization import Normalization, Stretch
from benchmarks.photometry import CorePhotometry, SkyPhotometry
from benchmarks.reading import (
    DeflatedNpz,
    DeflatedNpzThreads,
    DeflatedParquet,
    Ingest,
    IngestPlanes,
    StoredNpz,
    StoredNpzThreads,
    StoredParquet,
)
from benchmarks.ring import RingBudget
from benchmarks.sky import SkyMatch
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
    StoredNpzThreads,
    DeflatedNpz,
    DeflatedNpzThreads,
    StoredParquet,
    DeflatedParquet,
    Ingest,
    IngestPlanes,
    RandomBatches,
    TrainingBatches,
    HalfBatches,
    CodeBatches,
    SkyMatch,
    Injection,
    Grouping,
)
_SHOWN = (
    *("astroapers", "astropy", "bottleneck", "deflate", "h5py", "lenstronomy", "numba", "numpy", "photutils"),
    *("pyarrow", "scikit-learn", "scipy", "sep", "torch", "xxhash"),
)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only rows whose name holds one of these")
    parser.add_argument("--toy", action="store_true", help="run each once on a few images: does it work?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--note", default="", help="what to say of the machine beside the numbers")
    options = parser.parse_args(arguments)
    chosen = [each for each in COMPARISONS if not options.names or any(name in each.name for name in options.names)]
    console = Console()
    rows = []
    record = {"provenance": provenance(options)}
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for kind in track(chosen, "timing", console=console, transient=True):
            rows += compare(kind, toy=options.toy)
    console.print(make_table(rows, toy=options.toy))
    if options.json:
        text = json.dumps({"schema": "gen5astro-benchmarks/1", **record, "rows": rows}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")


def provenance(options):
    """Where and with what the numbers are taken."""
    versions = {}
    for name in ("gen5astro", *_SHOWN):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "command": " ".join(["python -m benchmarks", *options.names]),
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "note": options.note,
        "versions": versions,
    }


def processor():
    """Name of the processor, as well as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" not in told:
        return platform.processor()
    numbers = [f"{key} {told[key]}" for key in ("cpu family", "model") if key in told]
    return f"{told['model name']} ({', '.join(numbers)})"


def make_table(rows, *, toy):
    title = "toy size: the rates mean nothing" if toy else "side by side in one process; rates are units a second"
    table = Table("work", "ours", "of limit", "peer", "peer's", "ratio", "target", title=title)
    for row in rows:
        if "skipped" in row:
            table.add_row(row["name"], "", "", row["peer_name"], row["skipped"], "", f"{row['target']:g}", style="dim")
            continue
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
