"""``gen5astro train``."""

import click

from gen5astro.cli._common import FILE, FOLDER, common_options, progress, say, show


@click.command()
@click.argument("cube", type=FILE)
@click.option("--out", required=True, type=FOLDER, help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with its own settings.")
@click.option("--override-gate", metavar="REASON", help="Train in the paired view although the audit blocks it.")
@common_options("train")
def command(cube, out, resume, override_gate, config, threads, quiet, as_json, force):
    """Train a lens finder on a cube.

    CUBE is what build-hdf5 makes. Each host's ctrl is shown beside its stamp, as the negative. Ctrl-C writes a
    checkpoint first: the same command with --resume goes on, and ends where an unbroken run ends.

    \b
    Example:
      gen5astro train cube.h5 --out run
      gen5astro train cube.h5 --out quick --set width=16 --set epochs=3
      gen5astro evaluate run cube.h5 --out evaluation
    """
    from gen5astro.report.html import write_training_page
    from gen5astro.report.json import write_json
    from gen5astro.report.terminal import print_training
    from gen5astro.training import TrainingRun

    choices = {"resume": resume, "force": force, "override_gate": override_gate, "threads": threads}
    run = TrainingRun(cube, out, config=config, **choices)
    with progress("training, pairs", run.n_pairs, quiet=quiet) as advance:
        summary = run.fit(advance=advance, say=lambda line: say(line, quiet=quiet))
    write_json(summary, out / "training.json")
    write_training_page(summary, out / "training.html")
    show(summary, print_training, as_json=as_json, quiet=quiet)
    say(f"open {out / 'training.html'}; next: gen5astro evaluate {out} {cube} --out evaluation", quiet=quiet)
