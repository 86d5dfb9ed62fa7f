"""What commands cost as the pairs grow: seconds, processor seconds and memory of whole processes.

``python -m benchmarks.growth FOLDER`` tiles injections over the sky until there are as many as asked for, builds,
verifies and audits them, and starts every command without work. FOLDER needs room for twice the pairs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import provenance
from gen5astro.cli import main as cli
from gen5astro.config import InjectConfig
from gen5astro.inject import inject_blocks
from gen5astro.io.parquet import PairWriter
from gen5astro.sample import load_hosts

SCHEMA = "gen5astro-growth/1"
TILE = 600

# In a process of its own: the memory of a child counts from that of the process that began it.
_TIMER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "code": code,
    "seconds": round(time.perf_counter() - start, 3),
    "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
    "peak_memory_mb": round(usage.ru_maxrss / 1e3),
}))
"""


def write_tile(path, size, n_bands):
    """Inject the pairs that are tiled; of the first bands alone where fewer than all are asked for."""
    writer = None
    for block in inject_blocks(load_hosts(), TILE, seed=1, config=InjectConfig(size=size)):
        bands = block.bands[:n_bands]
        writer = writer or PairWriter(path, bands, block.pixel_scale).__enter__()
        images = {name: np.ascontiguousarray(getattr(block, name)[:, :n_bands]) for name in ("stamp", "ctrl")}
        psf = None if block.psf is None else block.psf[:, :n_bands]
        writer.write(type(block)(**{**vars(block), **images, "bands": bands, "psf": psf}))
    writer.__exit__(None, None, None)
    return path


def write_tiled(tile, path, n_pairs):
    """Repeat a file of pairs, each time elsewhere on the sky and under other names."""
    pairs = pq.read_table(tile)
    ra, dec = (pairs[name].to_numpy() for name in ("ra", "dec"))
    with pq.ParquetWriter(path, pairs.schema, compression="none", use_dictionary=False) as writer:
        for number, start in enumerate(range(0, n_pairs, len(pairs))):
            count = min(len(pairs), n_pairs - start)
            moved = {
                "ra": (ra + 7.3 * number) % 360,
                "dec": np.clip(dec + (1.7 * number) % 40 - 20, -80, 80),
                **{name: [f"{number}_{each}" for each in pairs[name].to_pylist()] for name in ("pair_id", "host_id")},
            }
            part = pairs
            for name, values in moved.items():
                at = part.schema.get_field_index(name)
                part = part.set_column(at, part.schema.field(at), pa.array(values, part.schema.field(at).type))
            writer.write_table(part.slice(0, count), row_group_size=256)
    return path


def timed(*command, expected=(0,)):
    """Run a command as a process of its own; its seconds, processor seconds and highest memory."""
    whole = [sys.executable, "-c", _TIMER, sys.executable, "-m", "gen5astro", *map(str, command)]
    told = json.loads(subprocess.run(whole, stdout=subprocess.PIPE, check=True).stdout)
    if told.pop("code") not in expected:
        raise SystemExit(f"gen5astro {command[0]} failed")
    return {"command": command[0], **told}


def grow(folder, n_pairs, tile, threads):
    """Build, verify and audit a number of pairs; one row each."""
    source, cube, audit = folder / "pairs.parquet", folder / "cube.h5", folder / "audit"
    write_tiled(tile, source, n_pairs)
    os.sync()  # else the build would wait for the disk to take what was written for it
    common = ("--quiet", "--threads", threads)
    rows = [timed("build-hdf5", source, "--out", cube, *common)]
    source.unlink()
    rows.append(timed("verify", cube, *common))
    # What the audit thinks of so few hosts is not asked here.
    rows.append(timed("audit-injection", cube, "--out", audit, *common, expected=(0, 3)))
    size = sum(each.stat().st_size for each in folder.rglob("*.h5"))
    cube.unlink()
    shutil.rmtree(cube.with_suffix(".shards"), ignore_errors=True)
    shutil.rmtree(audit)
    return [{**row, "pairs": n_pairs, "bytes": size} for row in rows]


def starts(repeats=3):
    """Seconds until each command has said how it is used: the fastest of some runs."""
    runs = {name: [timed(name, "--help")["seconds"] for _ in range(repeats)] for name in cli.list_commands(None)}
    return [{"command": name, "seconds": min(seconds)} for name, seconds in runs.items()]


def per_pair(rows):
    """Add what a pair costs above the start-up, which is told by the fewest pairs [ms]."""
    for row in rows:
        first = min((each for each in rows if each["command"] == row["command"]), key=lambda each: each["pairs"])
        more = row["pairs"] - first["pairs"]
        row["ms_per_pair"] = round(1e3 * (row["seconds"] - first["seconds"]) / more, 4) if more else None
        row["cpu_ms_per_pair"] = round(1e3 * (row["cpu_seconds"] - first["cpu_seconds"]) / more, 4) if more else None
    return rows


def show(rows):
    """Print the table."""
    table = Table("command", "pairs", "seconds", "ms a pair above start-up", "memory [MB]")
    for row in sorted(rows, key=lambda each: (each["command"], each["pairs"])):
        cost = "" if row["ms_per_pair"] is None else f"{row['ms_per_pair']:.3f}"
        table.add_row(row["command"], f"{row['pairs']:,}", f"{row['seconds']:.1f}", cost, f"{row['peak_memory_mb']:,}")
    Console().print(table)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("folder", type=Path, help="where pairs and cubes go for a while")
    parser.add_argument("--pairs", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--size", type=int, default=64, help="side of an image [pix]")
    parser.add_argument("--bands", type=int, default=3, help="bands of an image")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--note", default="", help="what to say of the machine beside the numbers")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    options.names = ()
    record = {"schema": SCHEMA, "provenance": provenance(options), "starts": starts()}
    tile = write_tile(options.folder / "tile.parquet", options.size, options.bands)
    rows = []
    for n_pairs in options.pairs:
        rows += grow(options.folder, n_pairs, tile, options.threads)
        show(per_pair(rows))
    tile.unlink()
    told = ("size", "bands", "threads")
    record["provenance"]["command"] = " ".join(
        ["python -m benchmarks.growth FOLDER --pairs", *map(str, options.pairs)]
        + [f"--{name} {getattr(options, name)}" for name in told]
    )
    if options.json:
        record |= {name: getattr(options, name) for name in told} | {"rows": rows}
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
