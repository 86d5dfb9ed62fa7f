"""``gen5astro demo``."""

import click

from gen5astro.cli._common import FOLDER, common_options, exit_code, progress, say, show
from gen5astro.cli._outputs import claim_folder


@click.command()
@click.option("--out", required=True, type=FOLDER, help="Folder to write.")
@click.option("--n", "count", default=1000, show_default=True, type=click.IntRange(min=200), help="Pairs a set.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Seed of the injection.")
@common_options()
def command(out, count, seed, config, threads, quiet, as_json, force):
    """Run the whole pipeline on real galaxies.

    Injects the same arcs twice into the 30 real galaxies that come with the package, once cleanly and once with a sky
    pedestal; audits both, builds the training cube from the clean set, trains a small network for a few epochs, and
    evaluates it.

    \b
    Example:
      gen5astro demo --out demo
    """
    from gen5astro.demo import quick, run_demo
    from gen5astro.report.terminal import print_demo

    claim_folder(out, force=force)
    record = run_demo(
        out,
        n=count,
        seed=seed,
        config=quick(config),
        threads=threads,
        stage=lambda label, total: progress(label, total, quiet=quiet),
        say=lambda line: say(line, quiet=quiet),
    )
    show(record, print_demo, as_json=as_json, quiet=quiet)
    return exit_code(record["status"])
