"""``gen5astro report``."""

import click

from gen5astro.cli._common import FILE, FOLDER, claim_file, common_options, say

_FILES = {
    "html": "audit.html",
    "junit": "junit.xml",
    "text": "audit.txt",
    "methods": "methods.txt",
    "json": "audit.json",
}


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
    json the record with what changed since the baseline.

    \b
    Example:
      gen5astro report audit/audit.json
      gen5astro report audit/audit.json --format methods
      gen5astro report new/audit.json --baseline old/audit.json --out changed
    """
    from gen5astro.report.baseline import with_baseline
    from gen5astro.report.json import write_text
    from gen5astro.report.record import load_audit
    from gen5astro.report.render import render_audit

    record = with_baseline(load_audit(audit_json), baseline and load_audit(baseline))
    form = form or ("html" if out else "text")
    if out:
        claim_file(out / _FILES[form], force=force)
    text = render_audit(record, form, rejects=audit_json.with_name("rejects.parquet"), pairs=pairs)
    if out is None:
        click.echo(text, nl=False)
        return
    write_text(text, out / _FILES[form])
    say(f"wrote {out / _FILES[form]}", quiet=quiet)
