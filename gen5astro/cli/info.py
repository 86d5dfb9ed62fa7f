"""``gen5astro info``."""

import click

from gen5astro.cli._common import FILE, common_options, show


@click.command()
@click.argument("cube", type=FILE)
@common_options("build", without=("threads", "quiet", "force"))
def command(cube, config, as_json):
    """Show what is in a cube.

    CUBE is a file of build-hdf5: its pairs, splits and strata with their hosts, what leaks between the splits and
    whether they are alike, normalizer, audit and digests. The strata are those of the section audit of the
    configuration.
    """
    from gen5astro.build import summarize_cube
    from gen5astro.io.hdf5 import Cube
    from gen5astro.report.cube import print_cube

    show(summarize_cube(Cube(cube), config.audit), print_cube, as_json=as_json)
