"""``gen5astro answers``."""

import click

from gen5astro.cli._common import FILE, common_options, show


@click.command()
@click.argument("audit_json", type=FILE)
@common_options(without=("threads", "quiet", "force"))
def command(audit_json, as_json, **_config):
    """Answer the questions that a core-only AUC leaves open.

    AUDIT_JSON is the audit.json of audit-injection. Each question is answered by what the audit measured, with the
    numbers; where it measured nothing that answers it, that is said.

    \b
    Example:
      gen5astro answers audit/audit.json
    """
    from gen5astro.report.answers import answers_record, print_answers
    from gen5astro.report.record import load_audit

    show(answers_record(load_audit(audit_json)), print_answers, as_json=as_json)
