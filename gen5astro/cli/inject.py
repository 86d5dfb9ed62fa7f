"""The verb ``inject``."""

import dataclasses

import click

from gen5astro.cli._common import FILE, claim_file, common_options, progress, say
from gen5astro.inject.faults import FAULTS

_FAULT_LINES = "\n".join(f"  {name:18s}{fault.doc} [{fault.default:g} {fault.unit}]" for name, fault in FAULTS.items())

_HELP = f"""Inject lensed arcs into real galaxies.

HOSTS is the word `sample` (30 real DES galaxies that come with the package) or a FITS file of galaxies, PSFs and
velocity dispersions. The output is a Parquet file with a row a pair: stamp, ctrl, and what was drawn.

\b
  gen5astro inject sample --out pairs.parquet --n 1000 --seed 1
  gen5astro inject sample --out bad.parquet --n 1000 --seed 1 --fault pedestal:0.5
  gen5astro audit-injection bad.parquet --out audit

The same seed gives the same pairs, whatever --n and --threads. A fault does to every stamp what a faulty injection
would; its strength stands after a colon [and has a default]:

\b
{_FAULT_LINES}
"""


@click.command(help=_HELP)
@click.argument("hosts")
@click.option("--out", required=True, type=FILE, help="Parquet file to write.")
@click.option("--n", "count", default=1000, show_default=True, type=click.IntRange(min=1), help="Number of pairs.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Random seed.")
@click.option("--fault", metavar="NAME[:STRENGTH]", help="Fault to plant in every stamp.")
@click.option("--size", type=click.IntRange(min=8), help="Side of the images [pix]; as --set size=...")
@common_options("inject", without=("json",))
def command(hosts, out, count, seed, fault, size, config, threads, quiet, force):
    """Inject lensed arcs into real galaxies."""
    from gen5astro.inject.blocks import write_pairs
    from gen5astro.inject.hosts import read_hosts

    claim_file(out, force=force)
    section = config.inject if size is None else dataclasses.replace(config.inject, size=size)
    options = {"seed": seed, "config": section, "fault": fault, "threads": threads, "force": force}
    try:
        with progress("injecting pairs", count, quiet=quiet) as advance:
            write_pairs(read_hosts(hosts), count, out, **options, advance=advance)
    except KeyboardInterrupt:
        say(f"interrupted: nothing was written to {out}", quiet=quiet)
        raise
    say(f"wrote {out}; next: gen5astro audit-injection {out} --out audit", quiet=quiet)
