"""The paragraph has the numbers of the record, cites what it uses, and leaves out what the record does not say."""

import re

import pytest

from gen5astro.report.appearance import NOTHING
from gen5astro.report.methods import cited, methods_paragraph, methods_text
from gen5astro.report.references import REFERENCES
from tests.report.records import make_audit, make_gate


def full_audit(**how):
    record = make_audit(**how)
    record["provenance"]["config"] = {
        "measure": {"core_radius_arcsec": 1.0, "apertures_arcsec": [0.5, 1.0, 1.5], "moffat_beta": 2.5},
        "audit": {
            "seed": 4, "folds": 5, "bootstraps": 1000, "permutations": 50, "min_effective_hosts": 20.0,
            "min_separation_arcsec": 10.0,
        },
    }  # fmt: skip
    record["provenance"]["versions"] |= {"astropy": "8.0", "numba": "0.68", "scikit-learn": "1.9", "h5py": "3.16"}
    record["provenance"]["input_digest"] = "0123456789abcdef" * 4
    return record


def test_the_numbers_are_those_of_the_record():
    paragraph = methods_paragraph(full_audit(excess=0.14))
    for words in (
        "998 pairs", "30 independent hosts", "g, r and z; 64 x 64 pixels of 0.262 arcsec", "2 could not be read",
        "disk within 1 arcsec", "5 folds", "1,000 bootstrap draws", "50 label permutations", "fewer than 20 effective",
        "0.850, 0.706, +0.144 (0.124 to 0.164", "θ_E ≥ 2″: 0.730, 0.586, +0.144", "An unexplained AUC ≤ 0.03",
        "sky_leakage failed", "verdict is FAIL", "pedestal (confidence 0.99), of g 0.00250 ± 0.00010 nmgy / pix",
        "gen5astro 0.1", "astropy 8.0", "seed 4", "0123456789abcdef)",
    ):  # fmt: skip
        assert words in paragraph, words


def test_what_was_judged_is_said():
    record = full_audit(excess=0.14)
    record["provenance"]["config"]["audit"]["judge_pairs"] = 500
    record["input"]["normalizer"] = "sky"
    record["gates"]["flux_budget"] = make_gate("PASS")
    assert "Gaussian and a Moffat PSF of beta = 2.5 (Moffat 1969)" in methods_paragraph(record)
    record["input"]["psf"] = "image"
    paragraph = methods_paragraph(record)
    assert "cross-validated on 500 of the pairs in 5 folds" in paragraph
    assert "scaled by the normalizer sky" in paragraph
    assert "bracketed by an image of the PSF" in paragraph
    assert "divided by the number of strata (Bonferroni)" in paragraph


def test_statistics_and_libraries_are_cited():
    record = full_audit()
    assert {
        "kish1965", "efron1979", "ojala2010", "hanley1982", "scikitlearn2011", "photutils", "astropy2022", "numba2015",
    } == set(cited(record))  # fmt: skip
    paragraph = methods_paragraph(record)
    for label in ("(Kish 1965)", "(Efron 1979)", "(Astropy Collaboration 2022)", "(Lam et al. 2015)"):
        assert label in paragraph
    assert "@" not in paragraph


def test_what_is_cited_follows_as_bibtex_and_nothing_else():
    record = full_audit()
    text = methods_text(record)
    assert text.startswith(methods_paragraph(record))
    assert re.findall(r"^@\w+\{(\w+),$", text, flags=re.M) == list(cited(record))
    assert text.endswith("}\n")


@pytest.mark.parametrize("key", REFERENCES)
def test_a_bibtex_entry_is_balanced_and_complete(key):
    reference = REFERENCES[key]
    entry = reference.bibtex(key)
    depth = 0
    for character in entry:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert entry.isascii()
    assert {"author", "title"} <= set(reference.fields)
    assert key == "photutils" or reference.label.endswith(reference.fields["year"])


def test_what_the_record_does_not_say_is_left_out():
    for record in ({}, {"status": "ERROR", "gates": {}}, make_audit()):
        paragraph = methods_paragraph(record)
        assert not re.search(rf"None|nan|\{{|{NOTHING}", paragraph), paragraph
    assert methods_paragraph({}) == ""
    assert "bootstrap" not in methods_paragraph(make_audit())


def test_a_stratum_that_was_not_judged_is_said_to_be_so():
    record = full_audit()
    for finding in record["gates"]["core_leakage"]["findings"]:
        if finding["stratum"] == "theta_e<1" and finding["name"] == "unexplained_auc":
            finding["status"] = "INSUFFICIENT"
    assert re.search(r"θ_E < 1″: [^;]*not judged\)", methods_paragraph(record))


@pytest.mark.parametrize(
    ("name", "words"), [("physical", "no mark of a fault"), ("unknown", "no known cause explains")]
)
def test_a_diagnosis_that_names_no_fault_is_told_as_such(name, words):
    record = full_audit() | {"diagnosis": {"top": name, "causes": [{"name": name, "confidence": 0.97}]}}
    paragraph = methods_paragraph(record)
    assert words in paragraph
    assert "most likely cause" not in paragraph
