"""``gen5astro predict``."""

import click

from gen5astro.cli._common import FILE, common_options, progress, reading_options, say, show
from gen5astro.cli._outputs import claim_file, kept_part


@click.command()
@click.argument("model", type=click.Path(path_type=str))
@click.argument("cutouts")
@click.option("--out", required=True, type=FILE, help="Parquet file to write.")
@click.option("--resume", is_flag=True, help="Go on with a run that was interrupted.")
@reading_options
@common_options("predict", spread=True, rejects=True)
def command(model, cutouts, out, resume, reading, config, threads, quiet, as_json, force):
    """Score images of galaxies with a trained finder.

    MODEL is a folder that train made, or a checkpoint; a network that must be shown a ctrl is refused. CUTOUTS is what
    cutout makes, any Parquet or table with image_npz or image_path, or HDF5 of the Multimodal Universe. Their pixel
    scale must be the network's; bands are picked by name, and the middle is taken of larger images.

    The output has a row an image, in the order of the input: row, ra, dec, the ids of the catalog, score and logit. It
    is the same to the bit for any number of threads and workers. Rows that cannot be scored, such as images with a NaN,
    are listed beside it. What is done when a run is interrupted stays in OUT.part: --resume goes on with it.

    Every run says, with --quiet too, what is known of the network's fitness for a survey. That is nothing, until it is
    proven on real lenses.

    \b
    Example:
      gen5astro predict run cutouts.parquet --out scores.parquet
      gen5astro predict run survey/ --out scores.parquet --scheduler tcp://head:8786
      gen5astro predict run/last.ckpt galaxies.csv --out scores.parquet --bands g,r,z --pixel-scale 0.262
    """
    from gen5astro.inference import open_finder, predict
    from gen5astro.io import open_cutouts
    from gen5astro.io.rejects import rejects_note, rejects_path
    from gen5astro.report.scores import print_scores

    claim_file(out, force=force or resume)
    finder = open_finder(model)
    source = open_cutouts(cutouts, **reading)
    warnings = [f"warning: {warning}" for warning in finder.origin["warnings"]]
    for note in (*warnings, *source.notes):
        say(note, quiet=quiet)
    with kept_part(out, quiet=quiet), progress("scoring images", source.n_rows, quiet=quiet) as advance:
        options = {"threads": threads, "resume": resume, "force": force, "advance": advance}
        summary = predict(finder, source, out, config=config, **options)
    if note := rejects_note(rejects_path(out)):
        say(note, quiet=quiet)
    show(summary, print_scores, as_json=as_json, quiet=quiet)
    if as_json or quiet:
        say(f"deployment: {summary['deployment']}")
