"""``gen5astro export``."""

import click

from gen5astro.cli._common import FILE, common_options, progress, say
from gen5astro.cli._outputs import claim_file


@click.command()
@click.argument("cube", type=FILE)
@click.option("--out", required=True, type=FILE, help="File to write: .parquet, .arrow or .fits.")
@common_options(without=("json",))
def command(cube, out, threads, quiet, force, **_config):
    """Write a cube as Parquet, Arrow or FITS.

    CUBE is a file of build-hdf5. Parquet is what audit-injection and build-hdf5 read; Arrow has the images as tensors;
    FITS has two images of four axes and a table. Each has the whole catalog, the splits and the groups.

    \b
    Example:
      gen5astro export cube.h5 --out pairs.parquet
      gen5astro export cube.h5 --out pairs.fits
    """
    from gen5astro.export import export_cube
    from gen5astro.io.hdf5 import Cube

    claim_file(out, force=force)
    opened = Cube(cube)
    with progress("exporting pairs", len(opened), quiet=quiet) as advance:
        summary = export_cube(opened, out, threads=threads, force=force, advance=advance)
    say(f"wrote {summary['path']}: {summary['pairs']:,} pairs, {summary['bytes'] / 1e6:,.1f} MB", quiet=quiet)
