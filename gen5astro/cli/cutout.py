"""``gen5astro cutout``."""

import click

from gen5astro.cli._common import FILE, bands_option, column_option, common_options, progress, say, show
from gen5astro.cli._outputs import claim_file


@click.command()
@click.argument("catalog", type=click.Path())
@click.argument("more", nargs=-1, type=click.Path(), metavar="[FITS]...")
@click.option("--images", multiple=True, required=True, metavar="FITS...", help="Coadds: files, or globs in quotes.")
@click.option("--out", required=True, type=FILE, help="Parquet file to write.")
@click.option("--size", type=click.IntRange(min=16), help="Side of the stamps [pix]; as --set size=...  [default: 91]")
@bands_option("Bands to cut, in this order.  [default: all, blue to red]")
@click.option(
    "--psf", metavar="FILE", help="PSFs: FITS with HDUs PSF_<band>, or `sample`.  [default: beside the coadds]"
)
@column_option
@common_options("cutout", without=("threads",), keys=("size",))
def command(catalog, more, images, out, columns, config, quiet, as_json, **options):
    """Cut galaxies out of survey coadds, as hosts for inject.

    CATALOG is a table (CSV, ECSV, FITS, VOTable, Parquet) with ra and dec; its other columns ride along. The coadds are
    one file a band or files of several bands, with a WCS; those of many fields may be given at once. Pixels are left
    as they are, unless a band is on another grid than the first: it is then resampled to that by a cubic spline, and
    that is said. Positions off the images, too near their edge or on pixels without data are listed beside the output.

    \b
    Example:
      gen5astro cutout lrgs.csv --images coadd-g.fits coadd-r.fits coadd-z.fits --out cutouts.parquet --size 101
      gen5astro inject cutouts.parquet --out pairs.parquet --n 1000
    """
    from gen5astro.cutout import cut_catalog, read_positions
    from gen5astro.io.rejects import rejects_note, rejects_path
    from gen5astro.report.cutout import print_cutout
    from gen5astro.sample import sample_path

    claim_file(out, force=options["force"])
    del options["size"]
    options["config"] = config.cutout
    if options["psf"] == "sample":
        options["psf"] = sample_path("hosts.fits")
    positions = read_positions(catalog, columns=columns)
    try:
        with progress("cutting stamps", len(positions), quiet=quiet) as advance:
            summary = cut_catalog(positions, _files((*images, *more)), out, advance=advance, **options)
    except KeyboardInterrupt:
        say(f"interrupted: nothing was written to {out}", quiet=quiet)
        raise
    if note := rejects_note(rejects_path(out)):
        say(note, quiet=quiet)
    show(summary, print_cutout, as_json=as_json, quiet=quiet)
    next_ones = f"gen5astro inject {out} --out pairs.parquet, or gen5astro predict RUN {out} --out scores.parquet"
    say(f"next: {next_ones}", quiet=quiet)


def _files(patterns):
    """Files that were named, those of globs in the order of their names."""
    import glob

    files = []
    for pattern in patterns:
        found = sorted(glob.glob(pattern)) if any(sign in pattern for sign in "*?[") else []
        files += found or [pattern]
    return list(dict.fromkeys(files))
