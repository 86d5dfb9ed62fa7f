"""The verb ``inject``."""

import dataclasses

import click

from gen5astro.cli._common import FILE, claim_file, column_option, common_options, progress, say
from gen5astro.errors import ConfigError
from gen5astro.inject.faults import FAULTS

_FAULT_LINES = "\n".join(f"  {name:18s}{fault.doc} [{fault.default:g} {fault.unit}]" for name, fault in FAULTS.items())

_HELP = f"""Inject lensed arcs into real galaxies.

HOSTS is the word `sample` (30 real DES galaxies that come with the package) or a FITS file of galaxies, PSFs and
velocity dispersions. The output is a Parquet file with a row a pair: stamp, ctrl, and what was drawn.

\b
  gen5astro inject sample --out pairs.parquet --n 1000 --seed 1
  gen5astro inject sample --out bad.parquet --n 1000 --seed 1 --fault pedestal:0.5
  gen5astro audit-injection bad.parquet --out audit
  gen5astro inject sample --like bad.parquet --out mended.parquet
  gen5astro inject sample --out epl.parquet --engine lenstronomy --lens-model EPL,SHEAR

The same seed gives the same pairs, whatever --n and --threads. With --like the arcs are those of a table of pairs, row
for row, in the same hosts; the word `ctrl` as HOSTS stands for the ctrl images of that table. A fault does to every
stamp what a faulty injection would; its strength stands after a colon [and has a default]:

\b
{_FAULT_LINES}
"""


def _names(_context, _option, text):
    return None if text is None else tuple(name.strip() for name in text.split(","))


@click.command(help=_HELP)
@click.argument("hosts")
@click.option("--out", required=True, type=FILE, help="Parquet file to write.")
@click.option("--n", "count", type=click.IntRange(min=1), help="Number of pairs.  [default: 1000]")
@click.option("--seed", type=click.IntRange(min=0), help="Random seed.  [default: 0, or that of the pairs of --like]")
@click.option("--fault", metavar="NAME[:STRENGTH]", help="Fault to plant in every stamp.")
@click.option("--size", type=click.IntRange(min=8), help="Side of the images [pix]; as --set size=...")
@click.option("--like", metavar="PAIRS", help="Make the arcs of these pairs again, in their order.")
@click.option("--engine", type=click.Choice(["native", "lenstronomy"]), help="What renders; as --set engine=...")
@click.option("--lens-model", metavar="NAME,...", callback=_names, help="lenstronomy's lens models, main one first.")
@click.option("--source-model", metavar="NAME,...", callback=_names, help="lenstronomy's light models.")
@column_option
@common_options("inject", without=("json",), spread=True)
def command(hosts, out, like, columns, config, quiet, force, **options):
    """Inject lensed arcs into real galaxies."""
    claim_file(out, force=force)
    chosen = {name: options.pop(name) for name in ("size", "engine", "lens_model", "source_model")}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    config = dataclasses.replace(config, inject=dataclasses.replace(config.inject, **chosen))
    try:
        if like is None:
            _draw(hosts, out, columns, config, quiet, force=force, **options)
        else:
            _repeat(hosts, out, like, columns, config, quiet, chosen, force=force, **options)
    except KeyboardInterrupt:
        say(f"interrupted: nothing was written to {out}", quiet=quiet)
        raise
    say(f"wrote {out}; next: gen5astro audit-injection {out} --out audit", quiet=quiet)


def _draw(hosts, out, columns, config, quiet, *, count, seed, **options):
    from gen5astro.inject.blocks import write_pairs
    from gen5astro.inject.hosts import read_hosts

    if columns:
        raise ConfigError("--column", got="no table", expected="--like PAIRS")
    count = 1000 if count is None else count
    with progress("injecting pairs", count, quiet=quiet) as advance:
        write_pairs(read_hosts(hosts), count, out, seed=seed or 0, config=config.inject, advance=advance, **options)


def _repeat(hosts, out, like, columns, config, quiet, chosen, *, count, seed, **options):
    from gen5astro.inject.hosts import read_hosts
    from gen5astro.inject.like import open_like, write_like

    for name, value in (("--n", count), ("--size", chosen.get("size"))):
        if value is not None:
            raise ConfigError(name, got=value, expected="no number and size of pairs beside --like: they are the same")
    likeness = open_like(like, columns=columns)
    section, seed = likeness.choose(config.inject, seed=seed, keep=chosen)
    options |= {"seed": seed, "config": section, "max_reject_fraction": config.audit.max_reject_fraction}
    with progress("injecting pairs again", likeness.source.n_rows, quiet=quiet) as advance:
        outcome = write_like(likeness, None if hosts == "ctrl" else read_hosts(hosts), out, advance=advance, **options)
    if outcome.rejects:
        first = outcome.rejects[0]
        say(f"left out {len(outcome.rejects)} rows that cannot be read; row {first.row}: {first.reason}", quiet=quiet)
    if outcome.other_ctrls:
        say(f"{outcome.other_ctrls} ctrls of {like} are not the pixels of {hosts}, which are used", quiet=quiet)
