"""``gen5astro train``."""

import contextlib
from pathlib import Path

import click

from gen5astro.cli._common import FILE, FOLDER, common_options, progress, say, show


@click.command()
@click.argument("cube", type=FILE, required=False)
@click.option("--out", type=FOLDER, help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with its own settings.")
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="Train a committee: N runs, a seed each.")
@click.option("--override-gate", metavar="REASON", help="Train in the paired view although the audit blocks it.")
@click.option("--print-config", is_flag=True, help="Print every setting as TOML with what it means, and end.")
@click.option("--benchmark", is_flag=True, help="Measure images a second on this machine, and end.")
@common_options("train")
def command(cube, out, resume, seeds, override_gate, print_config, benchmark, config, threads, quiet, as_json, force):
    """Train a lens finder on a cube.

    CUBE is what build-hdf5 makes. Each host's ctrl is shown beside its stamp, as the negative. Ctrl-C writes a
    checkpoint first: the same command with --resume goes on, and ends where an unbroken run ends.

    \b
    Example:
      gen5astro train cube.h5 --out run
      gen5astro train cube.h5 --out quick --set width=16 --set epochs=3
      gen5astro train --print-config --set loss=focal > train.toml
      gen5astro train cube.h5 --out committee --seeds 5 --config train.toml
      gen5astro train cube.h5 --benchmark
      torchrun --nproc-per-node 4 -m gen5astro train cube.h5 --out run
      gen5astro evaluate run cube.h5 --out evaluation
    """
    if print_config:
        from gen5astro.settings import commented_toml

        click.echo(commented_toml(config, "train"), nl=False)
        return
    if cube is None or (out is None and not benchmark):
        raise click.UsageError(f"missing {'CUBE' if cube is None else '--out, the folder of the run'}")
    choices = {"resume": resume, "force": force, "override_gate": override_gate, "threads": threads}
    if benchmark:
        show(_benchmark(cube, config, choices), _print_numbers, as_json=as_json, quiet=quiet)
    elif seeds is None:
        _train_one(cube, out, config, choices, quiet=quiet, as_json=as_json)
    else:
        _train_many(cube, out, config, choices, seeds, quiet=quiet, as_json=as_json)


def _train_one(cube, out, config, choices, *, quiet, as_json):
    from gen5astro.report.folder import write_training
    from gen5astro.report.terminal import print_training
    from gen5astro.training import TrainingRun

    run = TrainingRun(cube, out, config=config, **choices)
    with progress("training, pairs", run.n_pairs, quiet=quiet or not run.is_first) as advance:
        summary = run.fit(**_shown(advance, quiet))
    if run.is_first:
        write_training(summary, out)
        show(summary, print_training, as_json=as_json, quiet=quiet)
        say(f"open {out / 'training.html'}; next: gen5astro evaluate {out} {cube} --out evaluation", quiet=quiet)


def _train_many(cube, out, config, choices, seeds, *, quiet, as_json):
    from gen5astro.report.folder import write_committee
    from gen5astro.report.terminal import print_committee
    from gen5astro.training import train_committee

    is_first = True
    with contextlib.ExitStack() as bars:

        def begin(run):
            nonlocal is_first
            is_first = run.is_first
            bars.close()
            name = f"training {run.folder.path.name}, pairs"
            advance = bars.enter_context(progress(name, run.n_pairs, quiet=quiet or not run.is_first))
            return _shown(advance, quiet)

        summary = train_committee(cube, out, config=config, n_seeds=seeds, begin=begin, **choices)
    if not is_first:
        return
    write_committee(summary, out)
    show(summary, print_committee, as_json=as_json, quiet=quiet)
    say(f"open {out / 'committee.html'}; next: gen5astro evaluate {out} {cube} --out evaluation", quiet=quiet)


def _shown(advance, quiet):
    """What shows how a run goes: keywords of its `fit`."""
    return {
        "advance": advance,
        "say": lambda line: say(line, quiet=quiet),
        "note": lambda words: advance(0, note=words),
    }


def _benchmark(cube, config, choices):
    import tempfile

    from gen5astro.training import TrainingRun, measure_speed

    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(cube, Path(folder) / "run", config=config, **{**choices, "resume": False})
        return measure_speed(run)


def _print_numbers(record):
    for name, value in record.items():
        click.echo(f"{name.replace('_', ' '):<14} {value}")
