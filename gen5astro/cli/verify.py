"""``gen5astro verify``."""

import click

from gen5astro.cli._common import FILE, common_options, exit_code, progress, show


@click.command()
@click.argument("cube", type=FILE)
@common_options(without=("force",))
def command(cube, threads, quiet, as_json, **_config):
    """Hold all of a cube against what was written.

    CUBE is a file of build-hdf5; its shards are found beside it. Every image is digested again, every count and digest
    is taken anew, and the splits are looked through for leaks. Exit code 3 where anything is not as it was.

    \b
    Example:
      gen5astro verify cube.h5
    """
    from gen5astro.io.hdf5 import Cube
    from gen5astro.report.cube import print_verification
    from gen5astro.verify import verify_cube

    opened = Cube(cube)
    with progress("verifying pairs", len(opened), quiet=quiet) as advance:
        record = verify_cube(opened, threads=threads, advance=advance)
    show(record, print_verification, as_json=as_json, quiet=quiet)
    return exit_code(record["status"])
