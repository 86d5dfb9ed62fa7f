"""An audit's record, and a self-test's, in each form that it can be shown in, as text."""

from gen5astro.report.html import audit_page, selftest_page
from gen5astro.report.json import encode
from gen5astro.report.junit import junit_xml
from gen5astro.report.methods import methods_text
from gen5astro.report.record import read_rejects, read_worst
from gen5astro.report.terminal import print_audit, print_selftest

__all__ = ["render_audit", "render_selftest"]


def render_audit(record, form, *, rejects=None, pairs=None):
    """Show an audit's record in one form.

    Parameters
    ----------
    record : dict
        An audit's record.
    form : {'html', 'junit', 'text', 'methods', 'json'}
        The form.
    rejects : path-like, optional
        ``rejects.parquet`` of the audit, for the page.
    pairs : str, optional
        Where the pairs are now, for the page; default: where they were when they were audited.

    Returns
    -------
    text : str
        The tables are without color.
    """
    if form == "html":
        worst, why = read_worst(record, pairs=pairs)
        return audit_page(record, worst, rejects=() if rejects is None else read_rejects(rejects), why=why)
    return {"junit": junit_xml, "methods": methods_text, "json": encode, "text": _tables}[form](record)


def render_selftest(record, form):
    """Show a self-test's record in one form.

    Parameters
    ----------
    record : dict
        A self-test's record.
    form : {'html', 'text', 'json'}
        The form.

    Returns
    -------
    text : str
        The tables are without color.
    """
    if form == "text":
        return _tables(record, print_selftest)
    return {"html": selftest_page, "json": encode}[form](record)


def _tables(record, printer=print_audit):
    from gen5astro.report.console import open_console

    console = open_console(colored=False)
    with console.capture() as captured:
        printer(record, console=console)
    return captured.get()
