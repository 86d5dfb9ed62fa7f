"""``gen5astro report``."""

import click

from gen5astro.cli._common import FILE, FOLDER, common_options, say
from gen5astro.cli._outputs import claim_file
from gen5astro.errors import ConfigError

_FILES = {
    "html": "audit.html",
    "junit": "junit.xml",
    "text": "audit.txt",
    "methods": "methods.txt",
    "json": "audit.json",
}
_OF_A_SELFTEST = {"html": "selftest.html", "text": "selftest.txt", "json": "selftest.json"}


@click.command()
@click.argument("audit_json", type=FILE)
@click.option("--out", type=FOLDER, help="Folder for the result.  [default: standard output]")
@click.option(
    "--format", "form", type=click.Choice(list(_FILES)), help="What to make.  [default: html with --out, else text]"
)
@click.option("--baseline", type=FILE, help="An earlier audit.json: show what changed since.")
@click.option("--pairs", help="Where the pairs are now, for the images of the worst.  [default: as audited]")
@common_options(without=("threads", "json"))
def command(audit_json, out, form, baseline, pairs, quiet, force, **_config):
    """Show an audit's record again, in another form.

    AUDIT_JSON is the audit.json of audit-injection; nothing is measured again. html is the page, junit the file that
    continuous integration reads, text the tables of the terminal, methods a paragraph for a paper with its BibTeX,
    json the record with what changed since the baseline. The selftest.json of a self-test is shown as html, text or
    json.

    \b
    Example:
      gen5astro report audit/audit.json
      gen5astro report audit/audit.json --format methods
      gen5astro report new/audit.json --baseline old/audit.json --out changed
    """
    from gen5astro.report.baseline import with_baseline
    from gen5astro.report.json import write_text
    from gen5astro.report.record import is_selftest, load_audit, load_selftest
    from gen5astro.report.render import render_audit, render_selftest

    form = form or ("html" if out else "text")
    if is_selftest(audit_json):
        _check_selftest_options({"--baseline": baseline, "--pairs": pairs}, form)
        record, files = load_selftest(audit_json), _OF_A_SELFTEST
    else:
        record, files = with_baseline(load_audit(audit_json), baseline and load_audit(baseline)), _FILES
    if out:
        claim_file(out / files[form], force=force)
    if files is _FILES:
        text = render_audit(record, form, rejects=audit_json.with_name("rejects.parquet"), pairs=pairs)
    else:
        text = render_selftest(record, form)
    if out is None:
        click.echo(text, nl=False)
        return
    write_text(text, out / files[form])
    say(f"wrote {out / files[form]}", quiet=quiet)


def _check_selftest_options(options, form):
    """Refuse what a self-test's record cannot be shown with, or as."""
    for name, value in options.items():
        if value:
            raise ConfigError(name, got="the record of a self-test", expected="that of an audit")
    if form not in _OF_A_SELFTEST:
        raise ConfigError(f"--format {form}", got="the record of a self-test", expected=", ".join(_OF_A_SELFTEST))
