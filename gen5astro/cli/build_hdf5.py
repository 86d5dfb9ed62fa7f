"""``gen5astro build-hdf5``."""

import click

from gen5astro.cli._common import FILE, common_options, progress, reading_options, say, show
from gen5astro.cli._outputs import claim_file, kept_part


@click.command()
@click.argument("pairs")
@click.option("--out", required=True, type=FILE, help="Cube to write.")
@click.option("--audit", type=FILE, help="audit.json of the same pairs, to embed.")
@click.option(
    "--split",
    type=click.Choice(["sky", "brick", "given"]),
    help="By host and cell of the sky, by host and brickname, or the column region_split.",
)
@click.option("--repair", is_flag=True, help="Mend a given split that leaks by moving the fewest hosts.")
@click.option(
    "--pixels",
    type=click.Choice(["float32", "float16", "int16"]),
    help="Form of the stored pixels: as they came, or in half the room with an error that is stated.",
)
@click.option("--append-to", type=FILE, help="Cube whose pairs the new one holds too, each in the split that it has.")
@click.option("--resume", is_flag=True, help="Go on with a build that was interrupted.")
@reading_options
@common_options("build", spread=True, rejects=True, keys=("split", "repair", "pixels"))
def command(pairs, out, audit, append_to, resume, reading, config, threads, quiet, as_json, force, **_keys):
    """Build the training cube of audited pairs.

    PAIRS is what audit-injection takes. Pixels keep their physical flux; the statistics of the normalizer are stored
    beside them. Pairs on one host, close on the sky, or of the same pixels are never divided between train, val and
    test; a split of your own (--split given) is taken as it is, and mended with --repair. What is done when a build is
    interrupted, or killed, stays in the folder CUBE.part: --resume goes on with it. More pairs are appended by building
    a cube of them and of the old one (--append-to), in which no old pair changes its split.

    \b
    Example:
      gen5astro audit-injection pairs.parquet --out audit
      gen5astro build-hdf5 pairs.parquet --audit audit/audit.json --out cube.h5
      gen5astro build-hdf5 pairs.parquet --split given --repair --out mended.h5
      gen5astro build-hdf5 more.parquet --append-to cube.h5 --out bigger.h5
    """
    from gen5astro.build import build_cube, moves_path
    from gen5astro.io import open_pairs
    from gen5astro.io.appended import AppendedPairs
    from gen5astro.io.rejects import rejects_note, rejects_path
    from gen5astro.report.cube import audit_warning, copies_text, moved_text, print_cube

    claim_file(out, force=force or resume)
    source = open_pairs(pairs, **reading)
    if append_to is not None:
        source = AppendedPairs(append_to, source)
    for note in source.notes:
        say(note, quiet=quiet)
    with kept_part(out, quiet=quiet), progress("building the cube", source.n_rows, quiet=quiet) as advance:
        options = {"threads": threads, "force": force, "resume": resume, "advance": advance}
        summary = build_cube(source, out, config=config, audit=audit, **options)
    if note := rejects_note(rejects_path(out)):
        say(note, quiet=quiet)
    if copied := copies_text(summary["copies"]):
        say(f"warning: {copied}", quiet=quiet)
    if leaked := summary["leaks"]["groups"]:
        hosts = f"{leaked:,} host{'' if leaked == 1 else 's'}"
        say(f"the given split leaks: {hosts} in more than one split; --repair mends it", quiet=quiet)
    if summary["moved"]:
        say(f"{moved_text(summary['moved'])}, see {moves_path(out)}", quiet=quiet)
    show(summary, print_cube, as_json=as_json, quiet=quiet)
    warning = audit_warning(summary["audit"])
    say(warning or f"wrote {out}; next: gen5astro train {out} --out run", quiet=quiet)
