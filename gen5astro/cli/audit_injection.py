"""``gen5astro audit-injection``."""

import functools
import shutil
from dataclasses import replace
from pathlib import Path

import click

from gen5astro.cli._common import FILE, FOLDER, common_options, exit_code, progress, reading_options, say, show
from gen5astro.cli._outputs import claim_file, claim_folder
from gen5astro.errors import ConfigError


@click.command()
@click.argument("pairs", required=False)
@click.option("--out", required=True, type=FOLDER, help="Folder for record, page and measure.parquet.")
@click.option("--junit", type=FILE, help="Write the gates as JUnit XML, for continuous integration.")
@click.option("--baseline", type=FILE, help="An earlier audit.json: show what changed since.")
@click.option("--explain", is_flag=True, help="Fit an SIE and a Sersic source to some residuals, outside the core.")
@click.option(
    "--psf", metavar="FILE", help="PSFs for core budget and --explain: FITS with an HDU PSF_<band> a band, or `sample`."
)
@click.option("--normalized", is_flag=True, help="Audit the pixels as the normalizer (normalize.kind) leaves them.")
@click.option("--self-test", is_flag=True, help="Plant faults into clean pairs and say how many are found.")
@reading_options
@common_options("audit", spread=True, rejects=True)
def command(
    pairs,
    out,
    junit,
    baseline,
    explain,
    psf,
    normalized,
    self_test,
    reading,
    config,
    threads,
    quiet,
    as_json,
    force,
):
    """Tell a faulty injection from a physical one.

    PAIRS is a Parquet file (or folder, or glob) with stamp_npz and ctrl_stamp_npz, a table with stamp_path and
    ctrl_path, a cube built by gen5astro, or the measure.parquet of an earlier audit, which is judged again without
    reading a pixel. Every gate is judged on hosts held together; the exit code is 3 when one does not pass. What
    changed since a baseline is shown, in the record too, and leaves the exit code as it is. So is, with --explain, the
    share of the core's excess that a lens and a source account for which were fitted to the light outside the core.

    With --self-test the audit itself is tried out: every fault of `inject` is planted at four strengths into clean
    pairs, those of the sample where no PAIRS are given, and selftest.html says which gates fire, whether the cause is
    named, and how often a clean set raises an alarm. The exit code is 3 where a fault that must be named is not. It
    takes a quarter of an hour on two cores; --set selftest.pairs, selftest.sets and selftest.clean_sets say how much.

    \b
    Example:
      gen5astro inject sample --out pairs.parquet --n 1000 --seed 1
      gen5astro audit-injection pairs.parquet --out audit
      gen5astro audit-injection mended.parquet --out mended --baseline audit/audit.json --junit audit.xml
      gen5astro audit-injection pairs.parquet --out explained --explain --psf sample
      gen5astro audit-injection pairs.parquet --out seen --normalized --set normalize.kind=standard
      gen5astro audit-injection audit/measure.parquet --out strict --set 'limits.arc_localization.arc_share=[0.9,1]'
      gen5astro audit-injection --self-test --out selftest --set selftest.pairs=300 --set selftest.sets=1
    """
    if self_test:
        refused = {"--junit": junit, "--baseline": baseline, "--explain": explain, "--psf": psf}
        options = {"threads": threads, "quiet": quiet, "as_json": as_json, "force": force}
        return _self_test(pairs, reading, refused | {"--normalized": normalized}, out, config, **options)
    if pairs is None:
        raise click.UsageError("PAIRS is missing: name the pairs to audit", ctx=click.get_current_context())
    from gen5astro.io import open_pairs
    from gen5astro.io.rejects import rejects_note
    from gen5astro.report.baseline import with_baseline
    from gen5astro.report.folder import write_audit
    from gen5astro.report.record import load_audit
    from gen5astro.report.terminal import print_audit
    from gen5astro.table import is_table

    again = is_table(pairs)
    _refuse_what_needs_pixels(pairs, reading, again=again, explain=explain, psf=psf, normalized=normalized)
    earlier = baseline and load_audit(baseline)
    table = _read_again(pairs, config) if again else None
    source = None if again else open_pairs(pairs, **reading)
    images = None if psf is None else _read_psf(psf, source)
    claim_folder(out, force=force)
    if junit:
        claim_file(junit, force=force)
    if source is None:
        result = _judged_again(table, pairs, out, config)
    else:
        options = {"psf": images, "normalized": normalized, "threads": threads}
        result = _measured(source, out, config, quiet=quiet, **options)
    named = result.record | {"input": result.record["input"] | {"columns": reading["columns"], "out": str(out)}}
    result = replace(result, record=with_baseline(named, earlier))
    if explain:
        keep = functools.partial(write_audit, result, out, junit=junit)
        result = _explained(result, source, config, images, keep=keep, threads=threads, quiet=quiet)
    write_audit(result, out, junit=junit)
    if note := rejects_note(out / "rejects.parquet"):
        say(note, quiet=quiet)
    show(result.record, print_audit, as_json=as_json, quiet=quiet)
    say(f"open {out / 'audit.html'}", quiet=quiet)
    return exit_code(result.record["status"])


def _measured(source, out, config, *, quiet, **options):
    """An audit of pairs; rows that cannot be read are listed before anything is judged."""
    from gen5astro.audit import audit_pairs
    from gen5astro.io.rejects import write_rejects

    for note in source.notes:
        say(note, quiet=quiet)
    with progress("measuring pairs", source.n_rows, quiet=quiet) as advance:
        listed = out / "rejects.parquet"
        keep = {"advance": advance, "on_rejects": lambda rejects: write_rejects(rejects, listed, source=source)}
        return audit_pairs(source, config=config, **keep, **options)


def _refuse_what_needs_pixels(pairs, reading, *, again, explain, psf, normalized):
    """Refuse options that a measurement table, or each other, make meaningless."""
    options = {"--explain": explain, "--psf": psf, "--normalized": normalized} | _given(reading)
    for option, given in options.items():
        if again and given:
            raise ConfigError(option, got=f"{pairs}, a measurement table", expected="pairs, whose pixels can be read")
    if explain and normalized:
        raise ConfigError("--explain", got="--normalized as well", remedy="explain the pixels as they are stored")


def _read_again(path, config):
    """A measurement table that was measured as the config says."""
    from gen5astro.config import MeasureConfig, as_dict
    from gen5astro.table import read_table

    table = read_table(path)
    if config.measure != MeasureConfig() and as_dict(config.measure) != table.origin.settings:
        raise ConfigError(
            "section measure of the config",
            got="other values than the measurement table was made with",
            remedy="audit the pairs themselves to measure them in another way",
        )
    return table


def _judged_again(table, path, out, config):
    """An audit of a measurement table, with the rejects that lie beside it; no pixel is read."""
    from gen5astro.audit import AuditResult, judge_table
    from gen5astro.io.rejects import write_rejects
    from gen5astro.report.record import read_rejects

    beside, listed = Path(path).with_name("rejects.parquet"), out / "rejects.parquet"
    rejects = read_rejects(beside)
    rejects = rejects if len(rejects) == table.origin.rejected else []
    if not rejects:
        write_rejects(rejects, listed)
    elif not (listed.exists() and listed.samefile(beside)):
        shutil.copyfile(beside, listed)
    record, table = judge_table(table, config)
    return AuditResult(record, table, rejects, [])


def _read_psf(psf, source):
    """PSF images for the pairs of a source."""
    from gen5astro.io.psf import read_psf
    from gen5astro.sample import sample_path

    path = sample_path("hosts.fits") if psf == "sample" else psf
    return read_psf(path, source.bands, pixel_scale=source.pixel_scale)


def _explained(result, source, config, psf, *, keep, threads, quiet):
    """Return the audit with an explanation in its record; an interrupt keeps the audit without."""
    from gen5astro.explain import explain_pairs

    count = min(config.audit.explain_pairs, len(result.table))
    try:
        with progress("fitting lenses", count, quiet=quiet) as advance:
            found = explain_pairs(source, result.table, config, psf=psf, threads=threads, advance=advance)
    except KeyboardInterrupt:
        keep()
        say("interrupted: the audit was written without an explanation", quiet=quiet)
        raise
    return replace(result, record=result.record | {"explanation": found})


def _given(reading):
    """The options that say how images are to be read, by their names."""
    named = {"columns": "--column", "bands": "--bands", "pixel_scale": "--pixel-scale"}
    return {named[name]: value for name, value in reading.items()}


def _refuse(options, expected):
    """Refuse options that would do nothing."""
    for name, value in options.items():
        if value:
            raise ConfigError(name, got="a self-test", expected=expected)


def _self_test(pairs, reading, refused, out, config, *, threads, quiet, as_json, force):
    """Plant faults into clean pairs, and show what the audit makes of them."""
    from gen5astro.io import open_pairs
    from gen5astro.report.folder import write_selftest
    from gen5astro.report.terminal import print_selftest
    from gen5astro.selftest import plan_sets, run_selftest
    from gen5astro.table import is_table

    _refuse(refused, "an audit of PAIRS")
    if pairs is None:
        _refuse(_given(reading), "PAIRS, which it speaks of")
    elif is_table(pairs):
        raise ConfigError("--self-test", got=f"{pairs}, a measurement table", expected="pairs, to plant faults into")
    plan = plan_sets(config)
    source = pairs and open_pairs(pairs, **reading)
    claim_folder(out, force=force)
    sets = source and _check_pairs(source, out, config, threads=threads, quiet=quiet)
    plan = plan_sets(config, takes_all=sets.takes_all) if sets else plan

    def keep(record):
        write_selftest(record, out)
        judged, planned = (record["counts"][f"sets_{what}"] for what in ("judged", "planned"))
        say(f"interrupted: {judged} of {planned} sets were judged, and written to {out}", quiet=quiet)

    with progress("judging sets", len(plan), quiet=quiet) as advance:
        record = run_selftest(config, sets=sets, threads=threads, advance=advance, on_partial=keep)
    write_selftest(record, out)
    show(record, print_selftest, as_json=as_json, quiet=quiet)
    say(f"open {out / 'selftest.html'}", quiet=quiet)
    return exit_code(record["status"])


def _check_pairs(source, out, config, *, threads, quiet):
    """Audit pairs as they are, and say what the user should know of them."""
    from gen5astro.io.rejects import rejects_note, write_rejects
    from gen5astro.selftest import check_source

    for note in source.notes:
        say(note, quiet=quiet)
    listed = out / "rejects.parquet"
    with progress("measuring pairs", source.n_rows, quiet=quiet) as advance:
        options = {"threads": threads, "advance": advance}
        options["on_rejects"] = lambda rejects: write_rejects(rejects, listed, source=source)
        sets = check_source(source, config, **options)
    if note := rejects_note(listed):
        say(note, quiet=quiet)
    return sets
