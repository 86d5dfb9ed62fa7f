"""What the numbers of a record say in words: a headline, a sentence, and what to do next."""

from dataclasses import dataclass

from gen5astro.report.appearance import interval_text, number, spread, stratum_text
from gen5astro.report.causes import magnitude_text
from gen5astro.report.findings import (
    CoreRow,
    cause_is_open,
    classic_threshold,
    core_rows,
    gates_with,
    recommended_normalizer,
    top_cause,
)
from gen5astro.verdict import Status

__all__ = [
    "Verdict",
    "audit_verdict",
    "classic_fails",
    "comparison_verdict",
    "evaluation_verdict",
    "join",
    "next_steps",
    "worst_core_row",
]

# In the order in which to work: what comes first may be the reason for what follows.
ADVICE = {
    "finite_pixels": "Find where NaN, infinite or all-zero pixels enter: masked bricks and cutouts over an image edge "
    "are the usual places.",
    "pair_integrity": "Check that every row joins a stamp to its own ctrl: same position, same band order, same shape, "
    "no shift between them, and the two columns not exchanged.",
    "core_leakage": "Look at the residual profile: a level that never returns to zero is a pedestal, a residual "
    "that follows the host's own profile is a gain.",
    "sky_leakage": "Look for a sky level, a gradient or a normalization that reaches the stamp and not the ctrl.",
    "noise_leakage": "Look for noise that is drawn again, added, or smoothed by resampling in the stamp alone.",
    "flux_budget": "Compare the flux of the arc before and after the PSF: convolution moves flux and makes none.",
    "arc_localization": "Check theta_e_arcsec, its unit and the pixel scale: the light is not where theta_E puts it. "
    "If the sky leaks as well, mend that first, since a level over the whole image is outside the ring too. "
    "Where only the arcs' mean place is off, look at the center that they are put on, and at that of the PSF kernel.",
    "normalization_leakage": "Normalize by the sky annulus: the arc moves an image's own mean and standard deviation.",
    "label_consistency": "Check that theta_e_arcsec and arc_snr are those of this stamp, in the units that are meant.",
    "stratum_diversity": "Draw the thin strata from more hosts: many injections into one galaxy count as one.",
    "split_integrity": "Split by host and sky group, not by row; `gen5astro build-hdf5` does.",
    "known_lens_contamination": "Drop the ctrls that are known lenses.",
}


_OF_ONE_CAUSE = ("core_leakage", "sky_leakage", "noise_leakage", "flux_budget", "arc_localization")
_SURE = 0.9


@dataclass(frozen=True)
class Verdict:
    """A verdict in words.

    Parameters
    ----------
    headline : str
        A few words.
    sentence : str
        The numbers behind it.
    """

    headline: str
    sentence: str


def worst_core_row(record):
    """Find the stratum that the verdict speaks of.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    row : CoreRow or None
        Of the single view: where the gate fails, the failed stratum with the most unexplained AUC; else the judged
        one with the highest measured AUC. A stratum of arc_snr only where no other will do.
    """
    rows = [row for row in core_rows(record, view="single") if (row.measured or {}).get("value") is not None]
    failed = [row for row in rows if row.status == Status.FAIL and row.unexplained["value"] is not None]
    chosen = failed or [row for row in rows if row.judged] or rows
    chosen = [row for row in chosen if "arc_snr" not in row.stratum] or chosen
    if failed:
        return max(chosen, key=lambda row: abs(row.unexplained["value"]))
    return max(chosen, key=lambda row: row.measured["value"], default=None)


def audit_verdict(record):
    """Say an audit's verdict in words made from its numbers.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    verdict : Verdict
        Headline and sentence.
    """
    parts = [_core_sentence(record), _classic_sentence(record), _cause_sentence(record), _other_gates(record)]
    headline, kind = _headline(record), record.get("input", {}).get("normalizer")
    if kind:
        headline = f"As the normalizer {kind} leaves the pixels: {headline[0].lower()}{headline[1:]}"
    return Verdict(headline, " ".join(part for part in parts if part))


def _headline(record):
    status = record.get("status")
    core = record.get("gates", {}).get("core_leakage", {}).get("status")
    if status == Status.PASS:
        if _is_marked(record):
            return "No gate fails, but the injection leaves a mark."
        return "The injection is clean."
    if status == Status.FAIL:
        if core == Status.FAIL:
            return "The injection changes more than the arc."
        return f"Not clean: {join(gates_with(record, Status.FAIL))} failed."
    if status == Status.INSUFFICIENT:
        if core == Status.PASS:
            return "No fault found, but there are too few independent hosts to judge all of it."
        return "Too few independent hosts to judge."
    if status == Status.SKIP:
        return "Nothing was judged."
    return f"The audit is incomplete: {join(gates_with(record, Status.ERROR)) or 'a gate'} could not be computed."


def _is_marked(record):
    """Whether the diagnosis names something beside physics."""
    return (record.get("diagnosis") or {}).get("top") not in (None, "physical")


def _core_sentence(record):
    row = worst_core_row(record)
    if row is None:
        return ""
    if record["gates"].get("pair_integrity", {}).get("status") == Status.FAIL:
        return "Stamp and ctrl differ outside the arc, so their cores cannot be divided into physics and fault."
    where = "over all pairs" if row.stratum == "all" else f"at {stratum_text(row.stratum)}"
    start = f"Core AUC {number(row.measured['value'], places=2)} {where}"
    if row.explained is None or row.unexplained is None:
        return f"{start}."
    explained = number(row.explained["value"], places=2)
    return f"{start}: {explained} is PSF and counter-image, {spread(row.unexplained)} is unexplained."


def _classic_sentence(record):
    threshold = classic_threshold(record)
    row = worst_core_row(record)
    if row is None or row.measured["value"] <= threshold or "pair_integrity" in gates_with(record, Status.FAIL):
        return ""
    limit = number(threshold, places=2)
    explained = (row.explained or {}).get("value")
    if row.status == Status.PASS and explained is not None and explained > threshold:
        return f"The classic threshold of {limit} cannot be met at this seeing, however clean the injection."
    if row.status == Status.FAIL and explained is not None and explained > threshold:
        return f"The classic threshold of {limit} would fail a faultless injection here as well."
    return ""


def _cause_sentence(record):
    diagnosis = record.get("diagnosis") or {}
    top = diagnosis.get("top")
    if not top or (top == "physical" and record.get("status") in (Status.PASS, Status.ERROR)):
        return ""
    if top == "physical":
        return "The residuals bear no mark of a known fault."
    if cause_is_open(record):
        return "What the cause is cannot be said before all gates can be computed."
    if top == "unknown":
        return "No single known cause explains it."
    confidence = (top_cause(record) or {}).get("confidence")
    sure = "" if confidence is None else f" (confidence {number(confidence, places=2)})"
    return f"Most likely cause: {top}{_size(top_cause(record))}{sure}."


def _size(cause):
    """Size of a cause in the band that knows it best."""
    known = [
        (each["error"] / abs(each["value"]), band, each)
        for band, each in ((cause or {}).get("magnitude") or {}).items()
        if isinstance(each, dict) and each.get("error") and each.get("value")
    ]
    if not known:
        return ""
    _, band, magnitude = min(known, key=lambda each: each[0])
    return f" of {magnitude_text(magnitude)} in {band}"


def _other_gates(record):
    """Name the other gates that did not pass, where the headline has not."""
    core = record.get("gates", {}).get("core_leakage", {}).get("status")
    failed = [name for name in gates_with(record, Status.FAIL, Status.ERROR) if name != "core_leakage"]
    thin = gates_with(record, Status.INSUFFICIENT)
    parts = []
    if failed and core == Status.FAIL:
        parts.append(f"{join(failed)} did not pass either.")
    if thin:
        parts.append(f"{join(thin)} could not be judged for want of independent hosts.")
    return " ".join(parts)


def next_steps(record):
    """What to do about an audit, most urgent first.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    steps : list of str
        Sentences; a command stands between backquotes.
    """
    if record.get("input", {}).get("normalizer"):
        return _normalizer_steps(record)
    cause = top_cause(record) or {}
    told = cause.get("look_first") and _is_marked(record) and not cause_is_open(record)
    steps = [f"{cause['name']}: {cause['look_first']}"] if told else []
    failed = gates_with(record, Status.FAIL)
    alike = [name for name in failed if name in _OF_ONE_CAUSE]
    if steps and alike and (cause.get("confidence") or 0) >= _SURE:
        fail = "fail for the same reason" if len(alike) > 1 else "fails for that reason"
        steps.append(f"Then judge again: {join(alike)} {fail}, most likely.")
        failed = [name for name in failed if name not in alike]
    steps += [f"{name}: {ADVICE[name]}" for name in sorted(failed, key=_urgency) if name in ADVICE]
    steps += _unanswered(record)
    thin = gates_with(record, Status.INSUFFICIENT)
    if thin:
        steps.append(f"{join(thin)}: bring more hosts; more injections into the same hosts do not help.")
    steps += _next_command(record)
    if "six_channel_viability" in gates_with(record, Status.FAIL, Status.INSUFFICIENT, Status.ERROR, advisory=True):
        steps.append(
            "Train in the single view (one image at a time, ctrl as hard negatives): the six-channel view is blocked."
        )
    return steps


def _urgency(name):
    """Key that puts gates in the order in which to work."""
    return list(ADVICE).index(name) if name in ADVICE else len(ADVICE)


def _unanswered(record):
    """What to do about gates that could not be computed, those of one reason together."""
    reasons = {}
    for name in sorted(gates_with(record, Status.ERROR), key=_urgency):
        reasons.setdefault(record["gates"][name].get("note") or "", []).append(name)
    return [
        f"{join(names)} could not be computed{why and f': {why}'}; mend that first." for why, names in reasons.items()
    ]


def _next_command(record):
    """The command to go on with, if any."""
    source = record.get("input", {})
    label, out = source.get("label") or "PAIRS", source.get("out") or "audit"
    columns = "".join(f" --column {ours}={theirs}" for ours, theirs in (source.get("columns") or {}).items())
    if record.get("status") == Status.PASS and _is_marked(record):
        return ["Mend it before you train: what is too faint for a gate here may not be too faint for a network."]
    if record.get("status") == Status.PASS and label.endswith((".h5", ".hdf5")):
        return [f"Train on the cube: `gen5astro train {label} --out run`"]
    if record.get("status") == Status.PASS:
        return [
            f"Build the training cube: `gen5astro build-hdf5 {label} --out cube.h5 --audit {out}/audit.json{columns}`"
        ]
    if gates_with(record, Status.FAIL, Status.ERROR):
        command = f"gen5astro audit-injection MENDED --out {out}-mended --baseline {out}/audit.json{columns}"
        return [f"Inject again, and audit the new pairs beside these: `{command}`"]
    return []


def _normalizer_steps(record):
    """What to do about an audit of pixels that a normalizer left."""
    kind = record["input"]["normalizer"]
    if record.get("status") == Status.PASS:
        return [
            f"The normalizer {kind} adds nothing that these gates can see; the injection itself is audited without it."
        ]
    best = recommended_normalizer(record)
    take = f" Take {best}: `--set normalize.kind={best}`." if best and best != kind else ""
    return [
        "Audit the same pairs without --normalized: what fails there too is the injection's, and to be mended first.",
        f"What fails here alone is made by the normalizer {kind}.{take}",
    ]


def classic_fails(record):
    """Say whether the classic test, core AUC against a threshold in every stratum, would fail.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    fails : bool or None
        None where there is no core AUC.
    """
    values = [(row.measured or {}).get("value") for row in core_rows(record, view="single")]
    values = [value for value in values if value is not None]
    return max(values) > classic_threshold(record) if values else None


def comparison_verdict(clean, faulty):
    """Say what comparing a clean with a faulty injection shows.

    Parameters
    ----------
    clean, faulty : dict
        Records of the two audits.

    Returns
    -------
    verdict : Verdict
        Headline and sentence; both say what happened, whether or not it is what should have.
    """
    told = [audit["gates"].get("core_leakage", {}).get("status") for audit in (clean, faulty)]
    limit = number(classic_threshold(clean), places=2)
    classic = [classic_fails(audit) for audit in (clean, faulty)]
    numbers = " and ".join(
        f"{spread((core_rows(audit, view='single') or [CoreRow('', '')])[0].unexplained, signed=True)} {which}"
        for audit, which in ((clean, "clean"), (faulty, "faulty"))
    )
    sentence = f"Unexplained core AUC over all pairs: {numbers}."
    if told != [Status.PASS, Status.FAIL]:
        return Verdict("The audit did not tell the clean injection from the faulty one here.", sentence)
    if classic == [True, True]:
        return Verdict(
            f"A core AUC above {limit} condemns both injections. The unexplained AUC tells them apart.", sentence
        )
    return Verdict("The unexplained AUC tells the clean injection from the faulty one.", sentence)


def evaluation_verdict(record):
    """Say in words what an evaluation found.

    Parameters
    ----------
    record : dict
        An evaluation's record.

    Returns
    -------
    verdict : Verdict
        Headline and sentence.
    """
    metric = next((each for each in record.get("metrics", ()) if each["name"].lower() in ("auc", "roc_auc")), None)
    headline = "No AUC could be stated."
    if metric and metric.get("value") is not None:
        headline = f"AUC {number(metric['value'], places=3)} on the {record.get('split', 'test')} split."
    parts = []
    if metric and metric.get("interval"):
        parts.append(f"95 % interval {interval_text(metric['interval'], places=3)}, resampled by host.")
    stated = [each for each in record.get("completeness", ()) if each.get("value") is not None]
    if stated:
        strict = min(stated, key=lambda each: each["fpr"])
        rate, share = number(100 * strict["fpr"]), number(100 * strict["value"], places=0)
        parts.append(f"At a false-positive rate of {rate} % it finds {share} % of the injected arcs.")
    refused = [each for each in record.get("completeness", ()) if each.get("value") is None]
    if refused:
        rates = join([f"{number(100 * each['fpr'])} %" for each in refused])
        parts.append(f"There are too few negatives to state completeness at {rates}.")
    return Verdict(headline, " ".join(parts))


def join(words):
    """Join words as a sentence does.

    Parameters
    ----------
    words : iterable of str
        What to list.

    Returns
    -------
    text : str
        ``one``, ``one and two``, ``one, two and three``.
    """
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
