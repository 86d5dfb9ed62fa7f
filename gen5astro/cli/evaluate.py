"""``gen5astro evaluate``."""

from contextlib import contextmanager

import click

from gen5astro.cli._common import FILE, FOLDER, common_options, exit_code, progress, say, show
from gen5astro.cli._outputs import claim_folder
from gen5astro.verdict import Status


@click.command()
@click.argument("run", type=click.Path(path_type=str))
@click.argument("cube", type=FILE)
@click.option("--out", required=True, type=FOLDER, help="Folder to write.")
@common_options("evaluate")
def command(run, cube, out, config, threads, quiet, as_json, force):
    """Judge a trained finder on hosts it never saw.

    RUN is a folder that train made, or a checkpoint. Its scores on the test split of CUBE are judged with intervals
    over hosts; a rate that rests on too few hosts is refused. Real lens candidates are scored beside them.

    The exit code is 0 where the evaluation passes, and 3 where it does not: where the interval of the AUC does not
    exclude chance (FAIL), or there are too few independent test hosts to prove anything (INSUFFICIENT), as the sample's
    30 hosts leave. What was found is written all the same.

    \b
    Example:
      gen5astro evaluate run cube.h5 --out evaluation
    """
    from gen5astro.evaluation import evaluate
    from gen5astro.report.html import write_evaluation_page
    from gen5astro.report.json import write_json
    from gen5astro.report.terminal import print_evaluation
    from gen5astro.sample import load_candidates

    with _claimed(out, force=force), progress("scoring test pairs", quiet=quiet) as advance:
        choices = {"scores": out / "scores.parquet", "threads": threads, "advance": advance}
        record = evaluate(run, cube, config=config, **choices)
    write_json(record, out / "evaluation.json")
    write_evaluation_page(
        record, out / "evaluation.html", images={each.name: each.pixels for each in load_candidates()}
    )
    show(record, print_evaluation, as_json=as_json, quiet=quiet)
    usable = record["status"] == Status.PASS and record["provenance"]["config"]["train"]["view"] == "single"
    more = f"; next: gen5astro predict {run} CUTOUTS --out scores.parquet" if usable else ""
    say(f"open {out / 'evaluation.html'}{more}", quiet=quiet)
    return exit_code(record["status"])


@contextmanager
def _claimed(out, *, force):
    """The output folder; gone again where what was asked for is refused before anything is written."""
    made = not out.is_dir()
    claim_folder(out, force=force)
    try:
        yield
    except BaseException:
        if made and not any(out.iterdir()):
            out.rmdir()
        raise
