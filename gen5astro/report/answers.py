"""The eight questions that a core-only AUC leaves open, each answered by what an audit measured, or not at all."""

from dataclasses import asdict, dataclass, field

from gen5astro.report.appearance import interval_text, look, number, spread, stratum_text
from gen5astro.report.causes import NO_FAULT, shown_magnitudes
from gen5astro.report.explanation import explanation_sentence
from gen5astro.report.findings import (
    core_rows,
    deciding_finding,
    gates_with,
    recommended_normalizer,
    top_cause,
)
from gen5astro.report.sentences import join, worst_core_row
from gen5astro.verdict import Status

__all__ = ["QUESTIONS", "Answer", "answer_questions", "answers_record", "finding_text", "print_answers"]

NOT_MEASURED = "not measured yet by this audit"


@dataclass(frozen=True)
class Answer:
    """One question and what an audit says to it.

    Parameters
    ----------
    question : str
        The question.
    answer : str
        A few sentences; begins with ``not measured yet by this audit`` where it holds no measurement that answers it.
    measured : bool
        Whether a measurement answers it.
    evidence : list of dict
        The findings that the answer rests on, each with the name of its ``gate``.
    """

    question: str
    answer: str
    measured: bool
    evidence: list[dict] = field(default_factory=list)


def answer_questions(record):
    """Answer the eight questions from an audit's record.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    answers : list of Answer
        In the order of `QUESTIONS`.
    """
    return [_say(question, *reply(record)) for question, reply in QUESTIONS.items()]


def answers_record(record):
    """Return the answers as plain types.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    answers : dict
        ``schema``, ``status`` of the audit, ``input``, and ``answers``, a list of the fields of `Answer`.
    """
    return {
        "schema": "gen5astro-answers/1",
        "status": record.get("status"),
        "input": record.get("input", {}).get("label"),
        "answers": [asdict(each) for each in answer_questions(record)],
    }


def print_answers(record, *, console=None):
    """Print the answers, with the numbers that each rests on.

    Parameters
    ----------
    record : dict
        From `answers_record`.
    console : rich.console.Console, optional
        Where to print; default: standard output.
    """
    from rich.padding import Padding
    from rich.text import Text

    from gen5astro.report.console import open_console

    console = console or open_console()
    for at, each in enumerate(record["answers"], 1):
        console.print(Text(f"{at}. {each['question']}", style="bold"))
        answer = Text(each["answer"], style="" if each["measured"] else "dim")
        console.print(Padding(answer, (0, 0, 0, 3), expand=False))
        for finding in each["evidence"]:
            console.print(Padding(Text(finding_text(finding), style="dim"), (0, 0, 0, 5), expand=False))


def finding_text(finding):
    """Write a finding in a line.

    Parameters
    ----------
    finding : dict
        A finding with its ``gate``.

    Returns
    -------
    text : str
        Gate, name, place, value, interval and status.
    """
    where = [finding.get(key) for key in ("view", "band")] + [stratum_text(finding.get("stratum") or "")]
    place = ", ".join(each for each in where if each and each != "all")
    status = look(finding.get("status"), advisory=finding.get("advisory", False)).word
    value = f"{number(finding.get('value'))} {finding.get('unit') or ''}".strip()
    interval = interval_text(finding.get("interval"), places=3)
    text = f"{finding['gate']}: {finding['name']}{f' ({place})' if place else ''} {value}"
    text += f", 95 % {interval}" if interval else ""
    return text if finding.get("status") == Status.SKIP else f"{text}, {status}"


def _say(question, answer, evidence):
    """Fail closed: without evidence a question is not answered."""
    if not evidence:
        return Answer(question, f"{NOT_MEASURED}: {answer}", False)
    return Answer(question, answer, True, evidence)


def _found(record, gate, *names, **where):
    """Findings of a gate that hold a number, with the gate's name."""
    judged = record.get("gates", {}).get(gate, {})
    advisory = {"advisory": True} if judged.get("advisory") else {}
    return [
        {"gate": gate, **advisory, **each}
        for each in judged.get("findings") or ()
        if each.get("value") is not None
        and (not names or each["name"] in names)
        and all(each.get(key) == value for key, value in where.items())
    ]


def _status(record, gate):
    return record.get("gates", {}).get(gate, {}).get("status")


def _single(record, stratum="all"):
    """Row of the core AUC in the single view that was measured and explained; None where there is none."""
    rows = [row for row in core_rows(record, view="single") if row.stratum == stratum]
    return rows[0] if rows and all(_known(each) for each in (rows[0].measured, rows[0].unexplained)) else None


def _known(finding):
    return (finding or {}).get("value") is not None


def _evidence(row, *kinds):
    return [{"gate": "core_leakage", **getattr(row, kind)} for kind in kinds if _known(getattr(row, kind))]


def _blocked(record):
    row, status = _single(record), _status(record, "six_channel_viability")
    paired = _found(record, "six_channel_viability")
    if row is None or status is None or not paired:
        return "it needs core_leakage in both views, and six_channel_viability.", []
    why = paired[0].get("note") or "the paired view did not pass"
    six = "Six channels may be used, though no ctrl exists at inference."
    six = six if status == Status.PASS else f"Yes, block it: {why}."
    single = _status(record, "core_leakage")
    size = f"unexplained core AUC {spread(row.unexplained, signed=True)}"
    if single == Status.PASS:
        three = f"Three channels with ctrl as hard negatives are sound: one image alone leaks nothing ({size})."
    elif single == Status.FAIL:
        three = f"But three channels are not enough: one image alone leaks as well ({size}). Mend the injection first."
    else:
        three = "Whether three channels are sound could not be judged."
    return f"{six} {three}", [*paired, *_evidence(row, "unexplained")]


def _mend(record):
    status, row = record.get("status"), worst_core_row(record)
    evidence = _evidence(row, "unexplained") if row else []
    failed = gates_with(record, Status.FAIL)
    if not evidence:
        return "it needs an unexplained core AUC.", []
    if status == Status.PASS:
        return f"No. Nothing is left that physics does not explain: {spread(row.unexplained, signed=True)}.", evidence
    if status != Status.FAIL:
        unjudged = join(gates_with(record, Status.INSUFFICIENT, Status.ERROR)) or "a gate"
        more = " Bring more hosts." if status == Status.INSUFFICIENT else ""
        return f"It cannot be said yet: {unjudged} could not be judged.{more}", evidence
    decided = {name: deciding_finding(record["gates"][name]) for name in failed}
    evidence = [{"gate": name, **finding} for name, finding in decided.items() if finding] or evidence
    return f"Yes. {join(failed)} failed.{_cause_words(record)}", evidence


def _cause_words(record):
    cause = top_cause(record)
    if cause is None:
        return " The record names no cause."
    if cause["name"] in NO_FAULT:
        return " No known cause explains it." if cause["name"] == "unknown" else " No mark of a fault was found."
    sizes = shown_magnitudes(cause)
    size = f" ({sizes})" if sizes else ""
    first = f" Look first at: {cause['look_first'].rstrip('.')}." if cause.get("look_first") else ""
    return f" Most likely cause: {cause['name'].replace('_', ' ')}{size}.{first}"


def _without_ctrl(record):
    gate = "normalization_leakage"
    found = _found(record, gate, view="single", stratum="all")
    judged = [each for each in found if each.get("status") != Status.SKIP]
    if not judged or _status(record, gate) in (Status.ERROR, Status.SKIP):
        answer = (
            "whether an image normalized by itself alone carries the label; normalization_leakage answers that. The "
            "view single needs no ctrl, the view paired cannot be used without one."
        )
        return answer, []
    answer = (
        "Use the view single, which needs no ctrl, and a normalizer that reads the image alone: normalization_leakage "
        f"says {look(_status(record, gate)).word} of the one that is configured"
    )
    best = recommended_normalizer(record)
    answer += f", and recommends {best}." if best else "."
    others = [each for each in found if each["name"].startswith(("statistics_auc:", "core_excess_auc:"))]
    return answer, [*judged, *(each for each in others if not each["name"].endswith(":pair"))]


def _snr_zero(record):
    found = _found(record, "label_consistency", "zero_arc_snr", "invisible_arcs", stratum="all")
    shares = {each["name"]: each for each in found if each.get("status") != Status.SKIP}
    if "zero_arc_snr" not in shares:
        return "the share of pairs with arc_snr = 0 and of invisible arcs; label_consistency answers that.", []
    zero = shares["zero_arc_snr"]["value"]
    words = f"{_percent(zero)} of the pairs have an arc_snr of 0 or none"
    if "invisible_arcs" in shares:
        words += f", and {_percent(shares['invisible_arcs']['value'])} of the arcs are too faint to be seen"
    if any(each["status"] != Status.PASS for each in found):
        return (
            f"Leave them out, or weight them: {words}. A positive without an arc teaches whatever else differs.",
            found,
        )
    kept = "There are none" if not zero else "They are few enough to stay"
    return f"{kept}: {words}.", found


def _percent(share):
    return f"{number(100 * share, places=1)} %"


def _physical(record):
    row = worst_core_row(record)
    if row is None or not all(_known(each) for each in (row.measured, row.explained, row.unexplained)):
        return "it needs a measured and an explained core AUC.", []
    measured, explained = row.measured["value"], row.explained["value"]
    where = "over all pairs" if row.stratum == "all" else f"at {stratum_text(row.stratum)}"
    kind = {Status.PASS: "Physical", Status.FAIL: "In part artificial"}.get(row.status, "Not judged")
    if _status(record, "flux_budget") == Status.FAIL:
        kind = "In part artificial"
    answer = (
        f"{kind}, {where}: of a core AUC of {number(measured, places=2)}, {number(explained, places=2)} is PSF and "
    )
    answer += f"counter-image and {spread(row.unexplained, signed=True)} is unexplained."
    budget = [each for each in _found(record, "flux_budget", "excess_fraction") if each["status"] != Status.SKIP]
    if budget:
        most = max(budget, key=lambda each: abs(each["value"]))
        answer += _budget_words(most)
        budget = [each for each in budget if each["stratum"] == most["stratum"]]
    if explained := explanation_sentence(record):
        answer += f" {explained}"
    return answer, [*_evidence(row, "measured", "explained", "unexplained"), *budget]


def _budget_words(most):
    """Sentence on the band and stratum whose core is farthest from what PSF and lens can bring."""
    if not most["value"]:
        return " In every band the core holds what PSF and lens can bring."
    share, band = number(100 * abs(most["value"]), places=1), most.get("band") or "the worst band"
    where = "" if most["stratum"] == "all" else f", at {stratum_text(most['stratum'])},"
    side = "more" if most["value"] > 0 else "less"
    by = f"by {share} % of the host's own flux there"
    return f" In {band}{where} the core holds {side} than PSF and lens can bring, {by}."


def _contrastive(_record):
    answer = (
        "an audit sees pairs, not a network. Train with and without the contrastive term, and compare both on hosts "
        "never seen with gen5astro evaluate."
    )
    return answer, []


def _bright(record):
    row = _single(record)
    offer = ""
    if row is not None:
        offer = (
            f" What the pairs offer to such a shortcut is a core AUC of {number(row.measured['value'], places=2)}, of "
            f"which {spread(row.unexplained, signed=True)} is not explained by physics."
        )
    return f"whether a network took it needs the trained network, scored on images with the core changed.{offer}", []


def _real_lenses(_record):
    answer = (
        "an audit sees injected arcs alone, and even a clean one says nothing about real lenses. Until gen5astro "
        "evaluate has scored lenses found on the sky, do not deploy."
    )
    return answer, []


QUESTIONS = {
    "Is it right to block the six-channel input and go on with three channels and ctrl as hard negatives?": _blocked,
    "Must the injection be mended now?": _mend,
    "What about inference, where no ctrl exists?": _without_ctrl,
    "What to do with samples of arc_snr = 0?": _snr_zero,
    "Is the excess in the core physical or artificial?": _physical,
    "Does a contrastive loss win back the pairing?": _contrastive,
    'Does the model learn "bright = lens"?': _bright,
    "Must real lenses gate the deployment?": _real_lenses,
}
