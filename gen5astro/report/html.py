"""Records as web pages: one file each, no script, nothing fetched, and everything that came from a table escaped."""

import functools
import re

from markupsafe import Markup, escape

from gen5astro.report import plots
from gen5astro.report.appearance import BLOCKED, LOOKS, interval_text, limits_text, look, number, spread, stratum_text
from gen5astro.report.baseline import comparison_sentence, of_kind
from gen5astro.report.causes import shown_causes
from gen5astro.report.explanation import (
    explanation_sentence,
    misses,
    percent,
    percent_interval,
    share_plot,
    share_strata,
)
from gen5astro.report.findings import (
    classic_threshold,
    core_rows,
    deciding_finding,
    normalizer_rows,
    recommended_normalizer,
)
from gen5astro.report.images import lupton_uri, triplet
from gen5astro.report.json import write_text
from gen5astro.report.methods import cited, methods_paragraph
from gen5astro.report.selftest import (
    alarm_rows,
    grade_grid,
    power_plot,
    selftest_verdict,
    share_text,
    shown_gates,
    taken_for,
    terms_sentence,
)
from gen5astro.report.sentences import audit_verdict, classic_fails, comparison_verdict, evaluation_verdict, next_steps

__all__ = [
    "audit_page",
    "selftest_page",
    "write_audit_page",
    "write_committee_page",
    "write_demo_page",
    "write_evaluation_page",
    "write_selftest_page",
    "write_training_page",
]

_THETA_E = re.compile("(?:theta|\N{GREEK SMALL LETTER THETA})_E(?![\\w])")


def write_audit_page(record, worst, path, *, rejects=(), why=""):
    """Write the page of an audit.

    Parameters
    ----------
    record : dict
        An audit's record; with ``baseline`` (see `gen5astro.report.baseline.compare_audits`) what changed is shown.
    worst : sequence of dict
        The pairs to show: ``pair_id``, ``row``, ``reason``, ``theta_e_arcsec`` and the arrays ``stamp``, ``ctrl`` and
        ``residual``, (band, y, x) [nanomaggy].
    path : path-like
        File to make or replace.
    rejects : sequence of Reject
        Rows that could not be read; the first twenty are shown.
    why : str
        Why there are no pairs to show, in a clause.
    """
    write_text(audit_page(record, worst, rejects=rejects, why=why), path)


def audit_page(record, worst, *, rejects=(), why=""):
    """Return the page of an audit.

    Parameters
    ----------
    record, worst, rejects, why
        As `write_audit_page` takes them.

    Returns
    -------
    page : str
        HTML.
    """
    bands = record.get("input", {}).get("bands") or ("g", "r", "z")
    pictures = [{**pair, "images": triplet(pair["stamp"], pair["ctrl"], pair["residual"], bands)} for pair in worst]
    baseline = record.get("baseline")
    return _render(
        "audit.html.j2",
        record=record,
        verdict=audit_verdict(record),
        steps=next_steps(record),
        core=[(view, core_rows(record, view=view)) for view in ("single", "paired")],
        threshold=classic_threshold(record),
        core_plot=plots.core_auc(record),
        profile_plot=plots.residual_profile(record),
        explained=explanation_sentence(record),
        share_plot=share_plot(record),
        share_strata=share_strata(record),
        misses=misses(record),
        causes=shown_causes(record),
        normalizers=normalizer_rows(record),
        recommended=recommended_normalizer(record),
        configured=record.get("provenance", {}).get("config", {}).get("normalize", {}).get("kind"),
        baseline=baseline,
        changed=comparison_sentence(baseline) if baseline else "",
        pictures=pictures,
        why=why,
        rejects=list(rejects),
        methods=methods_paragraph(record),
        bibtex="\n\n".join(each.bibtex(key) for key, each in cited(record).items()),
    )


def write_selftest_page(record, path):
    """Write the page of a self-test.

    Parameters
    ----------
    record : dict
        A self-test's record.
    path : path-like
        File to make or replace.
    """
    write_text(selftest_page(record), path)


def selftest_page(record):
    """Return the page of a self-test.

    Parameters
    ----------
    record : dict
        A self-test's record.

    Returns
    -------
    page : str
        HTML.
    """
    fired, silent, advisory = shown_gates(record)
    header, grid = grade_grid(record) if record["faults"] else ([], {})
    return _render(
        "selftest.html.j2",
        record=record,
        verdict=selftest_verdict(record),
        alarms=alarm_rows(record),
        terms=terms_sentence(record),
        header=header,
        grid=grid,
        fired=fired,
        silent=silent,
        advisory=advisory,
        plot=power_plot(record),
    )


def write_evaluation_page(record, path, *, images=None):
    """Write the page of an evaluation.

    Parameters
    ----------
    record : dict
        An evaluation's record.
    path : path-like
        File to make or replace.
    images : dict of str to array, optional
        Cutout of each candidate by name, (band, y, x) [nanomaggy].
    """
    bands = record.get("bands") or ("g", "r", "z")
    drawn = [
        plots.roc(record),
        plots.score_histogram(record),
        plots.completeness(record, "by_theta_e", "Einstein radius [arcsec]"),
        plots.completeness(record, "by_arc_snr", "signal-to-noise of the arc"),
    ]
    _write(
        "evaluation.html.j2",
        path,
        record=record,
        verdict=evaluation_verdict(record),
        plots=[each for each in drawn if each],
        pictures={name: lupton_uri(image, bands) for name, image in (images or {}).items()},
    )


def write_training_page(record, path):
    """Write the page of a training run.

    Parameters
    ----------
    record : dict
        The summary of the run: ``history`` (a row an epoch: ``epoch``, ``step``, ``train_loss``, ``val_loss``,
        ``val_auc``, ``val_completeness``, ``images_per_s``, ``watch``), ``best``, ``shown``, ``prior``, ``config``,
        ``counts``, ``audit_status``, ``override_gate``, ``warnings``, ``seeds`` and ``provenance``, each of which may
        be absent.
    path : path-like
        File to make or replace.
    """
    epochs = record.get("history", ())
    watched = [{f"watch: {each['name']}": each["share"] for each in epoch.get("watch", ())} for epoch in epochs]
    beside = [
        {"epoch": epoch["epoch"]}
        | {f"watch: {each['name']}": _in_units_of_the_tolerance(each) for each in epoch.get("watch", ())}
        for epoch in epochs
    ]
    rows = [
        {name: value for name, value in epoch.items() if name != "watch"} | more
        for epoch, more in zip(epochs, watched, strict=True)
    ]
    probes = {name: name.removeprefix("watch: ") for row in watched for name in row}
    curves = [
        plots.training_curve(rows, _losses(record.get("config") or {}), "loss", name="loss"),
        plots.training_curve(rows, {"val_auc": "validation AUC"}, "validation AUC", name="auc"),
        plots.training_curve(rows, {"val_completeness": "completeness"}, "validation completeness", name="found"),
        plots.training_curve(beside, probes, "change / tolerated change", name="watch", limits=(-1, 1)),
        plots.training_curve(rows, {"images_per_s": "images/s"}, "images / s", name="rate"),
    ]
    columns = list(dict.fromkeys(key for row in rows for key, value in row.items() if value is not None))
    best = record.get("best") or (epochs[-1] if epochs else {})
    context = {"record": record, "rows": rows, "columns": columns, "watch": best.get("watch", ())}
    _write("training.html.j2", path, plots=[each for each in curves if each], **context)


def _losses(config):
    """What is trained on may have terms that validation, which compares networks, has not."""
    terms = [config.get("loss", "loss")]
    if config.get("pair_loss", "none") != "none":
        terms.append(f"{config['pair_weight']:g} {config['pair_loss']}")
    return {"train_loss": f"training ({' + '.join(terms)})", "val_loss": "validation (cross-entropy)"}


def _in_units_of_the_tolerance(probe):
    return None if probe["share"] is None else probe["share"] / probe["tolerance"]


def write_committee_page(record, path):
    """Write the page of a committee, beside the folders of its members.

    Parameters
    ----------
    record : dict
        The summary: ``committee``, ``members`` (the summary of each run) and ``spread``.
    path : path-like
        File to make or replace.
    """
    members = record["members"]
    names = {f"seed {each['config']['seed']}": each for each in members}
    curves = [
        plots.training_curve(_side_by_side(names, key), {name: name for name in names}, label, name=key)
        for key, label in (("val_auc", "validation AUC"), ("val_completeness", "validation completeness"))
    ]
    _write("committee.html.j2", path, record=record, members=members, plots=[each for each in curves if each])


def _side_by_side(members, key):
    """Rows of an epoch each, with the value of each member under its name."""
    rows = {}
    for name, member in members.items():
        for each in member["history"]:
            rows.setdefault(each["epoch"], {"epoch": each["epoch"]})[name] = each[key]
    return [rows[epoch] for epoch in sorted(rows)]


def write_demo_page(record, path):
    """Write the page that compares the audits of a clean and of a faulty injection.

    Parameters
    ----------
    record : dict
        ``clean`` and ``pedestal`` (audit records), ``evaluation`` (a record or None), ``links`` (each ``label`` and
        ``href``) and ``next`` (commands).
    path : path-like
        File to make or replace.
    """
    audits = {"Clean injection": record["clean"], "With a sky pedestal": record["pedestal"]}
    compared = [
        {"title": title, "record": audit, "verdict": audit_verdict(audit), "classic": classic_fails(audit)}
        for title, audit in audits.items()
    ]
    rows = [{row.stratum: row for row in core_rows(audit, view="single")} for audit in audits.values()]
    strata = [stratum for stratum in rows[0] if stratum in rows[1] and "arc_snr" not in stratum]
    evaluation = record.get("evaluation")
    _write(
        "demo.html.j2",
        path,
        record=record,
        verdict=comparison_verdict(record["clean"], record["pedestal"]),
        compared=compared,
        strata=[(stratum, [each[stratum] for each in rows]) for stratum in strata],
        threshold=classic_threshold(record["clean"]),
        plot=plots.core_auc_compared(audits),
        evaluation=evaluation_verdict(evaluation) if evaluation else None,
    )


def _write(template, path, **context):
    write_text(_render(template, **context), path)


def _render(template, **context):
    return _environment().get_template(template).render(**context)


@functools.cache
def _environment():
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gen5astro.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        looks=[*LOOKS.values(), BLOCKED],
        look=look,
        deciding=deciding_finding,
        limits_text=limits_text,
        flat=_flat,
        filled=_filled,
        of_kind=of_kind,
        percent=percent,
        percent_interval=percent_interval,
        share_text=share_text,
        taken_for=taken_for,
    )
    environment.filters.update(
        number=number, interval=interval_text, spread=spread, stratum=stratum_text, words=_words, prose=_prose
    )
    return environment


def _words(name):
    """Name of a key or gate as words that a line can break between."""
    return re.sub(r"\bauc\b", "AUC", str(name).replace("_", " "))


def _prose(text):
    """Escape a sentence and set it: what stands between backquotes as code, the E of theta_E low, units kept close."""
    text = _THETA_E.sub("<i>\N{GREEK SMALL LETTER THETA}</i><sub>E</sub>", str(escape(text)))
    text = re.sub(r" (?=%)| (?=\N{PLUS-MINUS SIGN} )|(?<=\N{PLUS-MINUS SIGN}) ", "\N{NO-BREAK SPACE}", text)
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", text))


def _filled(rows):
    """Names of the keys that some row has a value for."""
    return {key for row in rows for key, value in row.items() if value not in (None, "")}


def _flat(record, prefix=""):
    """Rows ``(dotted key, text)`` of a nested record."""
    rows = []
    for key, value in record.items():
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)):
            rows.append((f"{prefix}{key}", ", ".join(map(str, value))))
        else:
            rows.append((f"{prefix}{key}", "" if value is None else str(value)))
    return rows
