"""The verb ``inject``."""

import click

from gen5astro.cli._common import FILE, common_options, progress, reading_options, say
from gen5astro.cli._outputs import claim_file
from gen5astro.errors import ConfigError
from gen5astro.inject.faults import FAULTS

_FAULT_LINES = "\n".join(f"  {name:18s}{fault.doc} [{fault.default:g} {fault.unit}]" for name, fault in FAULTS.items())

_HELP = f"""Inject lensed arcs into real galaxies.

HOSTS is the word `sample` (30 real DES galaxies that come with the package), a FITS file of galaxies, PSFs and velocity
dispersions, or cutouts: what `gen5astro cutout` writes, a table with image_path, or HDF5 of the Multimodal Universe.
Cutouts that cannot be hosts are listed beside the output, which is a Parquet file with a row a pair: stamp, ctrl, and
what was drawn.

\b
  gen5astro inject sample --out pairs.parquet --n 1000 --seed 1
  gen5astro inject sample --out bad.parquet --n 1000 --seed 1 --fault pedestal:0.5
  gen5astro audit-injection bad.parquet --out audit
  gen5astro inject sample --like bad.parquet --out mended.parquet
  gen5astro inject cutouts.parquet --out pairs.parquet --column psfsize_r=seeing_r
  gen5astro inject sample --out epl.parquet --engine lenstronomy --lens-model EPL,SHEAR

The same seed gives the same pairs, whatever --n and --threads. With --like the arcs are those of a table of pairs, row
for row, in the same hosts; the word `ctrl` as HOSTS stands for the ctrl images of that table, and --column, --bands and
--pixel-scale speak of that table and not of HOSTS. A fault does to every
stamp what a faulty injection would; its strength stands after a colon [and has a default]:

\b
{_FAULT_LINES}
"""

_KEYS = ("size", "engine", "lens_model", "source_model")


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
@reading_options
@common_options("inject", without=("json",), spread=True, rejects=True, keys=_KEYS)
def command(hosts, out, like, reading, config, quiet, force, **options):
    """Inject lensed arcs into real galaxies."""
    claim_file(out, force=force)
    chosen = {name: options.pop(name) for name in _KEYS}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    try:
        if like is None:
            _draw(hosts, out, reading, config, quiet, force=force, **options)
        else:
            _repeat(hosts, out, like, reading, config, quiet, chosen, force=force, **options)
    except KeyboardInterrupt:
        say(f"interrupted: nothing was written to {out}", quiet=quiet)
        raise
    say(f"wrote {out}; next: gen5astro audit-injection {out} --out audit", quiet=quiet)


def _draw(hosts, out, reading, config, quiet, *, count, seed, **options):
    from gen5astro.inject.blocks import write_pairs

    count = 1000 if count is None else count
    galaxies = _read_hosts(hosts, out, reading, config, quiet)
    with progress("injecting pairs", count, quiet=quiet) as advance:
        write_pairs(galaxies, count, out, seed=seed or 0, config=config.inject, advance=advance, **options)


def _read_hosts(hosts, out, reading, config, quiet):
    """The galaxies; those that cannot be hosts are listed, also where they are too many."""
    from gen5astro.inject.hosts import read_hosts
    from gen5astro.io.rejects import keep_rejects, rejects_note, rejects_path

    listed = rejects_path(out).with_suffix("").with_suffix(".hosts.rejects.parquet")
    options = {"moffat_beta": config.inject.moffat_beta, "max_reject_fraction": config.audit.max_reject_fraction}

    def keep(rejects, source):
        keep_rejects(rejects, listed, source=source)
        if rejects:
            say(rejects_note(listed), quiet=quiet)

    cutouts = hosts != "sample" and not hosts.lower().endswith((".fits", ".fits.gz"))
    with progress("measuring hosts", quiet=quiet or not cutouts) as advance:
        found = read_hosts(hosts, on_rejects=keep, advance=advance, **options, **reading)
    for note in found.notes:
        say(note, quiet=quiet)
    if found.rejects:
        used, rejected = len(found), len(found.rejects)
        say(f"{used + rejected:,} hosts in = {used:,} used + {rejected:,} rejected", quiet=quiet)
    return found


def _repeat(hosts, out, like, reading, config, quiet, chosen, *, count, seed, **options):
    from gen5astro.inject.like import open_like, write_like
    from gen5astro.io.rejects import keep_rejects, rejects_note, rejects_path

    for name, value in (("--n", count), ("--size", chosen.get("size"))):
        if value is not None:
            raise ConfigError(name, got=value, expected="no number and size of pairs beside --like: they are the same")
    likeness = open_like(like, **reading)
    section, seed = likeness.choose(config.inject, seed=seed, keep=chosen)
    listed = rejects_path(out)
    options |= {"seed": seed, "config": section, "max_reject_fraction": config.audit.max_reject_fraction}
    options |= {"on_rejects": lambda rejects: keep_rejects(rejects, listed, source=likeness.source)}
    galaxies = None if hosts == "ctrl" else _read_hosts(hosts, out, dict.fromkeys(reading), config, quiet)
    with progress("injecting pairs again", likeness.source.n_rows, quiet=quiet) as advance:
        outcome = write_like(likeness, galaxies, out, advance=advance, **options)
    if note := rejects_note(listed):
        rows, rejected = likeness.source.n_rows, len(outcome.rejects)
        say(f"{rows:,} rows in = {outcome.pairs:,} used + {rejected:,} rejected", quiet=quiet)
        say(note, quiet=quiet)
    if outcome.other_ctrls:
        say(f"{outcome.other_ctrls} ctrls of {like} are not the pixels of {hosts}, which are used", quiet=quiet)
