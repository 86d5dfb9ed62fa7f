"""``gen5astro build-hdf5``."""

import dataclasses

import click

from gen5astro.cli._common import FILE, claim_file, common_options, progress, reading_options, say, show


@click.command()
@click.argument("pairs")
@click.option("--out", required=True, type=FILE, help="Cube to write.")
@click.option("--audit", type=FILE, help="audit.json of the same pairs, to embed.")
@click.option("--split", type=click.Choice(["sky", "given"]), help="By sky and host, or the column region_split.")
@click.option("--resume", is_flag=True, help="Go on with a build that was interrupted.")
@reading_options
@common_options("build", spread=True, rejects=True)
def command(pairs, out, audit, split, resume, reading, config, threads, quiet, as_json, force):
    """Build the training cube of audited pairs.

    PAIRS is what audit-injection takes. Pixels keep their physical flux; the statistics of the normalizer are stored
    beside them. Pairs on one host, or close on the sky, are never divided between train, val and test. What is done
    when a build is interrupted, or killed, stays in the folder CUBE.part: --resume goes on with it.

    \b
    Example:
      gen5astro audit-injection pairs.parquet --out audit
      gen5astro build-hdf5 pairs.parquet --audit audit/audit.json --out cube.h5
    """
    from gen5astro.build import build_cube
    from gen5astro.io import open_pairs
    from gen5astro.io.rejects import rejects_note, rejects_path
    from gen5astro.report.cube import print_cube

    if split is not None:
        config = dataclasses.replace(config, build=dataclasses.replace(config.build, split=split))
    claim_file(out, force=force)
    source = open_pairs(pairs, **reading)
    for note in source.notes:
        say(note, quiet=quiet)
    with progress("building the cube", source.n_rows, quiet=quiet) as advance:
        summary = build_cube(
            source, out, config=config, audit=audit, threads=threads, force=force, resume=resume, advance=advance
        )
    if note := rejects_note(rejects_path(out)):
        say(note, quiet=quiet)
    show(summary, print_cube, as_json=as_json, quiet=quiet)
