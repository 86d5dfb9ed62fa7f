"""A paragraph on an audit to paste into a paper's section on methods, with its numbers and what it cites."""

import re

from gen5astro.report.appearance import SERSIC, interval_text, limits_text, number, stratum_text
from gen5astro.report.causes import NO_FAULT, shown_magnitudes
from gen5astro.report.explanation import percent, percent_interval
from gen5astro.report.findings import cause_is_open, core_rows, gates_with, top_cause
from gen5astro.report.references import REFERENCES
from gen5astro.report.sentences import join
from gen5astro.verdict import Status

__all__ = ["cited", "methods_paragraph", "methods_text"]

_CITATION = re.compile(r"\[((?:@\w+)(?:; @\w+)*)\]")
_SOFTWARE = {
    "astropy": "astropy2022",
    "numba": "numba2015",
    "numpy": "numpy2020",
    "scikit-learn": "scikitlearn2011",
    "scipy": "scipy2020",
}


def methods_paragraph(record):
    """Write the paragraph; a number that the record does not hold is left out with its sentence.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    paragraph : str
        Plain text; works are cited by authors and year.
    """
    return _CITATION.sub(lambda match: f"({'; '.join(_labels(match))})", _draft(record))


def cited(record):
    """List what the paragraph cites.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    references : dict of Reference
        By BibTeX key, in the order of the text.
    """
    keys = [key for match in _CITATION.finditer(_draft(record)) for key in _keys(match)]
    return {key: REFERENCES[key] for key in dict.fromkeys(keys)}


def methods_text(record):
    """Return the paragraph with the BibTeX entries of what it cites.

    Parameters
    ----------
    record : dict
        An audit's record.

    Returns
    -------
    text : str
        Paragraph, blank line, entries.
    """
    entries = [reference.bibtex(key) for key, reference in cited(record).items()]
    return "\n\n".join([methods_paragraph(record), *entries]) + "\n"


def _keys(match):
    return [key.strip().removeprefix("@") for key in match[1].split(";")]


def _labels(match):
    return [REFERENCES[key].label for key in _keys(match)]


def _draft(record):
    """Paragraph in which works are cited as ``[@key]``."""
    parts = (_sample, _groups, _features, _classifier, _explained, _numbers, _fitted, _judgment, _cause, _software)
    return " ".join(sentence for part in parts for sentence in [part(record)] if sentence)


def _setting(record, section, key):
    return record.get("provenance", {}).get("config", {}).get(section, {}).get(key)


def _sample(record):
    counts, source = record.get("counts", {}), record.get("input", {})
    if counts.get("measured") is None:
        return ""
    sentence = (
        f"We audited {number(counts['measured'])} pairs of a stamp, the image of a galaxy with an injected arc, and "
        "its ctrl, the same image without"
    )
    if counts.get("hosts") is not None:
        sentence += f", on {number(counts['hosts'])} independent hosts"
    if source.get("shape") and source.get("pixel_scale") and source.get("bands"):
        height, width = source["shape"]
        sentence += f" ({join(source['bands'])}; {width} x {height} pixels of {number(source['pixel_scale'])} arcsec)"
    seen = source.get("normalizer")
    scaled = f" Each image was first scaled by the normalizer {seen}, as a network sees it." if seen else ""
    rejected = counts.get("rejected")
    lost = f" Of {number(counts.get('read'))} rows, {number(rejected)} could not be read." if rejected else ""
    return f"{sentence}, with gen5astro.{scaled}{lost}"


def _groups(record):
    separation = _setting(record, "audit", "min_separation_arcsec")
    least = _setting(record, "audit", "min_effective_hosts")
    if separation is None or least is None:
        return ""
    return (
        f"Objects on one host or closer than {number(separation)} arcsec form one group, the unit of every resampling; "
        f"nothing was judged on fewer than {number(least)} effective groups [@kish1965]."
    )


def _features(record):
    radius, apertures = (_setting(record, "measure", key) for key in ("core_radius_arcsec", "apertures_arcsec"))
    if "core_leakage" not in record.get("gates", {}) or not apertures:
        return ""
    radii = join(number(each) for each in apertures)
    core = "" if radius is None else f" The core is the disk within {number(radius)} arcsec."
    return (
        f"Fluxes were summed in exact circular apertures of {radii} arcsec, checked against photutils "
        f"[@photutils].{core}"
    )


def _classifier(record):
    folds, draws, permutations = (_setting(record, "audit", key) for key in ("folds", "bootstraps", "permutations"))
    if "core_leakage" not in record.get("gates", {}) or folds is None or draws is None:
        return ""
    allowed, measured = _setting(record, "audit", "judge_pairs"), record.get("counts", {}).get("measured") or 0
    most = f" on {number(allowed)} of the pairs" if allowed is not None and measured > allowed else ""
    null = "" if not permutations else f", and the null from {number(permutations)} label permutations [@ojala2010]"
    return (
        "A standardized logistic regression [@scikitlearn2011] on brightnesses, concentrations and colors of the core "
        f"was cross-validated{most} in {number(folds)} folds that keep groups whole; its score is the area under the "
        "ROC curve [@hanley1982], AUC, over comparisons between different groups. Intervals (95 %) are from "
        f"{number(draws)} bootstrap draws over groups [@efron1979]{null}."
    )


def _explained(record):
    gates = record.get("gates", {})
    if "core_leakage" not in gates:
        return ""
    beta = _setting(record, "measure", "moffat_beta")
    budget = ""
    if "flux_budget" in gates and beta is not None:
        seeing = f"a Gaussian and a Moffat PSF of beta = {number(beta)} [@moffat1969]"
        if record.get("input", {}).get("psf") == "image":
            seeing = "an image of the PSF"
        budget = (
            f" The flux that the arc can bring into the core was bracketed by {seeing}, for the sources of a singular "
            "isothermal sphere, with their counter-images, that the centroid of the arc's light allows."
        )
    return (
        "The explained AUC is that of the same classifier, folds and draws on stamps rebuilt as the ctrl plus the "
        "residual less the artifacts fitted to it outside the arc; the unexplained AUC, the difference of the two, is "
        f"what was judged.{budget}"
    )


def _numbers(record):
    rows = [row for row in core_rows(record, view="single") if (row.measured or {}).get("value") is not None]
    if not rows:
        return ""
    words = []
    for row in rows:
        values = [(each or {}).get("value") for each in (row.measured, row.explained, row.unexplained)]
        measured, explained = (number(value, places=3) for value in values[:2])
        unexplained = number(values[2], places=3, signed=True)
        interval = interval_text((row.unexplained or {}).get("interval"), places=3)
        more = [interval] if interval else []
        more += [f"{number(row.hosts, places=1)} effective hosts"] if row.hosts is not None else []
        more += ["not judged"] if not row.judged else []
        words.append(f"{stratum_text(row.stratum)}: {measured}, {explained}, {unexplained}{_aside(more)}")
    return f"Measured, explained and unexplained core AUC: {'; '.join(words)}."


def _fitted(record):
    explanation = record.get("explanation") or {}
    told = [row for row in explanation.get("strata", ()) if row["stratum"] == "all" and row["share"] is not None]
    if not told:
        return ""
    counts, beta = explanation["counts"], _setting(record, "measure", "moffat_beta")
    seeing = "an image of the PSF"
    if explanation["psf"] != "image":
        wings = "" if beta is None else f" of beta = {number(beta)}"
        seeing = f"the better of a Gaussian and a Moffat PSF{wings} [@moffat1969]"
    shares = "; ".join(f"{row['band']}: {percent(row['share'])}{_aside(_share_words(row))}" for row in told)
    return (
        f"A singular isothermal ellipsoid [@kormann1994] with external shear and a {SERSIC} source [@sersic1963] were "
        f"fitted to the residuals of {number(counts['sample'])} pairs outside the core, through {seeing}; in "
        f"{number(counts['fitted'])} they left at most {percent(explanation['misfit_limit'])} of the arc's rms there. "
        f"Median share of the core's excess that the model predicts: {shares}."
    )


def _share_words(row):
    interval = percent_interval(row["interval"])
    return [interval] if interval else []


def _aside(words):
    return f" ({', '.join(words)})" if words else ""


def _judgment(record):
    findings = record.get("gates", {}).get("core_leakage", {}).get("findings") or ()
    limit = next((limits_text(each.get("low"), each.get("high")) for each in findings if _limited(each)), "")
    allowed = (
        f"An unexplained AUC {limit} was allowed in each stratum; one beyond that failed where its interval, at a "
        "level divided by the number of strata (Bonferroni), lay above zero."
    )
    parts = [allowed] if limit else []
    kinds = {
        "passed": (Status.PASS,),
        "did not apply": (Status.SKIP,),
        "failed": (Status.FAIL,),
        "could not be judged": (Status.INSUFFICIENT, Status.ERROR),
    }
    named = {words: gates_with(record, *statuses) for words, statuses in kinds.items()}
    told = [f"{join(names)} {words}" for words, names in named.items() if names]
    parts.append(f"Of the gates, {'; '.join(told)}." if told else "")
    if record.get("status"):
        parts.append(f"The audit's verdict is {record['status']}.")
    return " ".join(part for part in parts if part)


def _limited(finding):
    return finding["name"] == "unexplained_auc" and finding.get("view") == "single" and finding.get("high") is not None


def _cause(record):
    cause = top_cause(record)
    if cause is None:
        return ""
    sure = "" if cause.get("confidence") is None else f" (confidence {number(cause['confidence'], places=2)})"
    sizes = shown_magnitudes(cause)
    size = f", of {sizes}" if sizes else ""
    if cause_is_open(record):
        return "What the residuals bear beside the arcs could not be told."
    if cause["name"] in NO_FAULT:
        found = "no mark of a fault" if cause["name"] == "physical" else "a mark that no known cause explains"
        return f"Beside the arcs, the residuals bear {found}{sure}."
    return f"The most likely cause of the residual is {cause['name'].replace('_', ' ')}{sure}{size}."


def _software(record):
    provenance = record.get("provenance", {})
    versions = dict(provenance.get("versions") or {})
    own = versions.pop("gen5astro", None)
    if own is None:
        return ""
    used = [
        f"{name} {version}{f' [@{_SOFTWARE[name]}]' if name in _SOFTWARE else ''}" for name, version in versions.items()
    ]
    seed, digest = _setting(record, "audit", "seed"), provenance.get("input_digest")
    kept = [] if seed is None else [f"seed {seed}"]
    kept += [f"digest of the pixels {digest[:16]}"] if digest else []
    return f"Software: {join([f'gen5astro {own}', *used])}{_aside(kept)}."
