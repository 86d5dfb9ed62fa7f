"""``gen5astro audit-injection``."""

from dataclasses import replace

import click

from gen5astro.cli._common import (
    FILE,
    FOLDER,
    claim_file,
    claim_folder,
    column_option,
    common_options,
    exit_code,
    progress,
    say,
    show,
)


@click.command()
@click.argument("pairs")
@click.option("--out", required=True, type=FOLDER, help="Folder for audit.json, audit.html and measure.parquet.")
@click.option("--junit", type=FILE, help="Write the gates as JUnit XML, for continuous integration.")
@click.option("--baseline", type=FILE, help="An earlier audit.json: show what changed since.")
@click.option(
    "--pixel-scale", type=click.FloatRange(min=0, min_open=True), help="Arcsec a pixel, where PAIRS tell none."
)
@column_option
@common_options("audit")
def command(pairs, out, junit, baseline, pixel_scale, columns, config, threads, quiet, as_json, force):
    """Tell a faulty injection from a physical one.

    PAIRS is a Parquet file (or folder, or glob) with stamp_npz and ctrl_stamp_npz, a table with stamp_path and
    ctrl_path, or a cube built by gen5astro. Every gate is judged on hosts held together; the exit code is 3 when one
    does not pass. What changed since a baseline is shown, in the record too, and leaves the exit code as it is.

    \b
    Example:
      gen5astro inject sample --out pairs.parquet --n 1000 --seed 1
      gen5astro audit-injection pairs.parquet --out audit
      gen5astro audit-injection mended.parquet --out mended --baseline audit/audit.json --junit audit.xml
    """
    from gen5astro.audit import audit_pairs
    from gen5astro.io import open_pairs
    from gen5astro.io.rejects import rejects_note, write_rejects
    from gen5astro.report.baseline import with_baseline
    from gen5astro.report.folder import write_audit
    from gen5astro.report.record import load_audit
    from gen5astro.report.terminal import print_audit

    source = open_pairs(pairs, columns=columns, pixel_scale=pixel_scale)
    earlier = baseline and load_audit(baseline)
    claim_folder(out, force=force)
    if junit:
        claim_file(junit, force=force)
    for note in source.notes:
        say(note, quiet=quiet)
    with progress("measuring pairs", source.n_rows, quiet=quiet) as advance:
        result = audit_pairs(
            source,
            config=config,
            threads=threads,
            advance=advance,
            on_rejects=lambda rejects: write_rejects(rejects, out / "rejects.parquet"),
        )
    result = replace(result, record=with_baseline(result.record, earlier))
    write_audit(result, out, junit=junit)
    if note := rejects_note(out / "rejects.parquet"):
        say(note, quiet=quiet)
    show(result.record, print_audit, as_json=as_json, quiet=quiet)
    say(f"open {out / 'audit.html'}", quiet=quiet)
    return exit_code(result.record["status"])
