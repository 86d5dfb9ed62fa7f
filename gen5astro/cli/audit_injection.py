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
from gen5astro.errors import ConfigError


@click.command()
@click.argument("pairs")
@click.option("--out", required=True, type=FOLDER, help="Folder for audit.json, audit.html and measure.parquet.")
@click.option("--junit", type=FILE, help="Write the gates as JUnit XML, for continuous integration.")
@click.option("--baseline", type=FILE, help="An earlier audit.json: show what changed since.")
@click.option(
    "--pixel-scale", type=click.FloatRange(min=0, min_open=True), help="Arcsec a pixel, where PAIRS tell none."
)
@click.option("--explain", is_flag=True, help="Fit an SIE and a Sersic source to some residuals, outside the core.")
@click.option("--psf", metavar="FILE", help="PSFs of --explain: FITS with an HDU PSF_<band> a band, or `sample`.")
@column_option
@common_options("audit")
def command(pairs, out, junit, baseline, pixel_scale, explain, psf, columns, config, threads, quiet, as_json, force):
    """Tell a faulty injection from a physical one.

    PAIRS is a Parquet file (or folder, or glob) with stamp_npz and ctrl_stamp_npz, a table with stamp_path and
    ctrl_path, or a cube built by gen5astro. Every gate is judged on hosts held together; the exit code is 3 when one
    does not pass. What changed since a baseline is shown, in the record too, and leaves the exit code as it is. So is,
    with --explain, the share of the core's excess that a lens and a source account for which were fitted to the light
    outside the core.

    \b
    Example:
      gen5astro inject sample --out pairs.parquet --n 1000 --seed 1
      gen5astro audit-injection pairs.parquet --out audit
      gen5astro audit-injection mended.parquet --out mended --baseline audit/audit.json --junit audit.xml
      gen5astro audit-injection pairs.parquet --out explained --explain --psf sample
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
    images = _read_psf(psf, source, explain)
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
    if explain:
        try:
            result = _explained(result, source, config, images, threads=threads, quiet=quiet)
        except KeyboardInterrupt:
            write_audit(result, out, junit=junit)
            say(f"interrupted: the audit was written to {out} without an explanation", quiet=quiet)
            raise
    write_audit(result, out, junit=junit)
    if note := rejects_note(out / "rejects.parquet"):
        say(note, quiet=quiet)
    show(result.record, print_audit, as_json=as_json, quiet=quiet)
    say(f"open {out / 'audit.html'}", quiet=quiet)
    return exit_code(result.record["status"])


def _read_psf(psf, source, explain):
    """PSF images for the pairs of a source; None where none are given."""
    if psf is None:
        return None
    if not explain:
        raise ConfigError("--psf", got=f"{psf} without --explain", remedy="pass --explain, which alone uses it")
    from gen5astro.io.psf import read_psf
    from gen5astro.sample import sample_path

    path = sample_path("hosts.fits") if psf == "sample" else psf
    return read_psf(path, source.bands, pixel_scale=source.pixel_scale)


def _explained(result, source, config, psf, *, threads, quiet):
    """Return the audit with an explanation in its record."""
    from gen5astro.explain import explain_pairs

    count = min(config.audit.explain_pairs, len(result.table))
    with progress("fitting lenses", count, quiet=quiet) as advance:
        found = explain_pairs(source, result.table, config, psf=psf, threads=threads, advance=advance)
    return replace(result, record=result.record | {"explanation": found})
