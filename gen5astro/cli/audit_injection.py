"""``gen5astro audit-injection``."""

import click

from gen5astro.cli._common import FOLDER, claim_folder, column_option, common_options, exit_code, progress, say, show


@click.command()
@click.argument("pairs")
@click.option("--out", required=True, type=FOLDER, help="Folder for audit.json, audit.html and measure.parquet.")
@column_option
@common_options("audit")
def command(pairs, out, columns, config, threads, quiet, as_json, force):
    """Tell a faulty injection from a physical one.

    PAIRS is a Parquet file (or folder, or glob) with stamp_npz and ctrl_stamp_npz, a table with stamp_path and
    ctrl_path, or a cube built by gen5astro. Every gate is judged on hosts held together; the exit code is 3 when one
    does not pass.

    \b
    Example:
      gen5astro inject sample --out pairs.parquet --n 1000 --seed 1
      gen5astro audit-injection pairs.parquet --out audit
    """
    from gen5astro.audit import audit_pairs
    from gen5astro.io import open_pairs
    from gen5astro.io.rejects import write_rejects
    from gen5astro.report.folder import write_audit
    from gen5astro.report.terminal import print_audit

    source = open_pairs(pairs, columns=columns)
    claim_folder(out, force=force)
    with progress("measuring pairs", source.n_rows, quiet=quiet) as advance:
        result = audit_pairs(
            source,
            config=config,
            threads=threads,
            advance=advance,
            on_rejects=lambda rejects: write_rejects(rejects, out / "rejects.parquet"),
        )
    write_audit(result, out)
    show(result.record, print_audit, as_json=as_json, quiet=quiet)
    say(f"open {out / 'audit.html'}", quiet=quiet)
    return exit_code(result.record["status"])
