"""The audit of real galaxies with clean and with faulty injections."""

import dataclasses
import json

import numpy as np
import pytest

from gen5astro.audit import audit_pairs, judge_table
from gen5astro.config import Config, NormalizerSpec
from gen5astro.errors import FormatError, RejectedError
from gen5astro.gates import run_gates
from gen5astro.leakage import strata
from gen5astro.report.json import encode
from gen5astro.settings import load_config
from gen5astro.verdict import Status
from tests.factories import make_pairs
from tests.sources import MemorySource

CONFIG = load_config(settings=["audit.bootstraps=200", "audit.permutations=4"])


def pairs(fault=None):
    return make_pairs(300, np.random.default_rng(5), size=64, fault=fault)


def audit(block, *, config=CONFIG, threads=2, **source):
    return audit_pairs(MemorySource(block, **source), config=config, threads=threads)


@pytest.fixture(scope="module")
def clean():
    return audit(pairs())


@pytest.fixture(scope="module")
def pedestal():
    return audit(pairs("pedestal:1"))


def unexplained(result, view="single"):
    return {
        finding["stratum"]: finding
        for finding in result.record["gates"]["core_leakage"]["findings"]
        if finding["name"] == "unexplained_auc" and finding["view"] == view
    }


def measured(result):
    return {
        finding["stratum"]: finding["value"]
        for finding in result.record["gates"]["core_leakage"]["findings"]
        if finding["name"] == "measured_auc" and finding["view"] == "single"
    }


def test_a_clean_injection_passes_where_the_classic_threshold_fails_it(clean):
    assert clean.record["gates"]["core_leakage"]["status"] == "PASS"
    assert measured(clean)["all"] > clean.record["thresholds"]["classic_auc"]
    for finding in unexplained(clean).values():
        if finding["status"] != "INSUFFICIENT":
            assert abs(finding["value"]) <= 0.03


def test_a_pedestal_is_found_in_the_core_the_sky_and_the_budget(pedestal):
    assert unexplained(pedestal)["all"]["value"] >= 0.08
    gates = pedestal.record["gates"]
    for name in ("core_leakage", "sky_leakage", "flux_budget", "arc_localization"):
        assert gates[name]["status"] == "FAIL", name
    assert gates["pair_integrity"]["status"] == "PASS"
    assert pedestal.record["status"] == "FAIL"


def test_a_stamp_that_was_normalized_by_itself_leaks_through_the_sky():
    gates = audit(pairs("own_normalization")).record["gates"]
    assert gates["sky_leakage"]["status"] == "FAIL"
    assert gates["arc_localization"]["status"] == "FAIL"


@pytest.mark.parametrize("fault", ["noise_redrawn", "noise_added"])
def test_noise_that_is_not_the_ctrls_fails_its_gate(fault, clean):
    assert clean.record["gates"]["noise_leakage"]["status"] == "PASS"
    assert audit(pairs(fault)).record["gates"]["noise_leakage"]["status"] == "FAIL"


def test_the_sky_normalizer_is_recommended_and_the_classic_one_fails(clean):
    gate = clean.record["gates"]["normalization_leakage"]
    assert gate["status"] == "PASS"
    assert "recommended:sky" in {finding["name"] for finding in gate["findings"]}
    masks = strata(clean.table, CONFIG.audit)
    standard = run_gates(clean.table, CONFIG.audit, masks, normalizer=NormalizerSpec(kind="standard"))
    assert standard["normalization_leakage"].status is Status.FAIL


def test_the_record_is_json_and_counts_add_up(clean):
    record = json.loads(encode(clean.record))
    counts = record["counts"]
    assert counts["read"] == counts["measured"] + counts["rejected"] == 300
    assert counts["hosts"] == 30
    assert record["schema"] == "gen5astro-audit/1"
    assert len(record["provenance"]["input_digest"]) == 64


def test_the_record_does_not_depend_on_the_number_of_threads(clean):
    again = audit(pairs(), threads=1)
    for record in (first := dict(clean.record), second := dict(again.record)):
        record["provenance"] = {key: value for key, value in record["provenance"].items() if key != "seconds"}
    assert encode(first) == encode(second)


def test_judging_again_with_other_limits_reads_no_pixels(clean):
    strict = load_config(
        settings=[
            "audit.bootstraps=200",
            "audit.permutations=4",
            "audit.limits.arc_localization.arc_share=[1.1, inf]",
        ]
    )
    record, _ = judge_table(clean.table, strict)
    assert clean.record["gates"]["arc_localization"]["status"] == "PASS"
    assert record["gates"]["arc_localization"]["status"] == "FAIL"
    for name in ("counts", "input", "worst_pairs", "diagnosis"):
        assert record[name] == clean.record[name]


@pytest.mark.parametrize(
    ("kind", "status", "top"), [("sky", "PASS", "physical"), ("standard", "FAIL", "own_normalization")]
)
def test_what_a_network_sees_is_clean_or_not_by_its_normalizer(kind, status, top):
    config = load_config(settings=["audit.bootstraps=200", "audit.permutations=4", f"normalize.kind={kind}"])
    record = audit_pairs(MemorySource(pairs()), config=config, normalized=True).record
    assert record["gates"]["sky_leakage"]["status"] == status
    assert record["diagnosis"]["top"] == top
    assert record["input"]["normalizer"] == kind


def test_magnitudes_of_normalized_pixels_have_the_normalizer_s_unit(pedestal):
    def unit(record):
        (cause,) = (each for each in record["diagnosis"]["causes"] if each["name"] == "pedestal")
        return cause["magnitude"]["r"]["unit"]

    config = load_config(settings=["audit.bootstraps=200", "audit.permutations=4", "normalize.kind=pair"])
    seen = audit_pairs(MemorySource(pairs("pedestal:1")), config=config, normalized=True).record
    assert unit(pedestal.record) == "nmgy / pix"
    assert unit(seen) == "pair scales / pix"


def test_an_image_of_the_psf_narrows_the_core_s_budget(clean):
    from gen5astro.io.psf import read_psf
    from gen5astro.sample import sample_path

    source = MemorySource(pairs())
    psf = read_psf(sample_path("hosts.fits"), source.bands, pixel_scale=source.pixel_scale)
    known = audit_pairs(source, config=CONFIG, psf=psf).table
    width, known_width = (each["core_budget_high"] - each["core_budget_low"] for each in (clean.table, known))
    assert np.median(known_width / width) < 0.9


def test_the_residual_profile_of_a_pedestal_does_not_return_to_zero(clean, pedestal):
    def outskirts(result):
        (curve,) = (
            curve
            for curve in result.record["residual_profile"]["curves"]
            if (curve["stratum"], curve["band"]) == ("all", "r")
        )
        return curve["median"][12]

    assert abs(outskirts(clean)) < 0.02
    assert outskirts(pedestal) == pytest.approx(1.0, abs=0.05)


def test_the_worst_pairs_are_of_different_hosts_and_come_with_their_pixels(pedestal):
    worst = pedestal.worst
    assert len(worst) == 6
    assert len({pedestal.table["host_id"][pair["row"]] for pair in worst}) == 6
    np.testing.assert_array_equal(worst[0]["residual"], worst[0]["stamp"] - worst[0]["ctrl"])
    assert [pair["row"] for pair in worst] == [pair["row"] for pair in pedestal.record["worst_pairs"]]


@pytest.fixture(scope="module")
def few_bad():
    """Pairs that can be read and not measured: without a number, without light, with an arc outside the image."""
    block = pairs()
    block.stamp[[10, 20, 30]] = np.nan
    block.census[[10, 20, 30], 0, :, 0] = 0
    block.stamp[41] = block.ctrl[41] = 0.0
    block.catalog["theta_e_arcsec"][51] = 1e5
    return audit(block)


def test_where_gates_cannot_be_computed_nothing_is_called_physical(few_bad):
    gates, diagnosis = few_bad.record["gates"], few_bad.record["diagnosis"]
    assert gates["core_leakage"]["status"] == "ERROR"
    assert diagnosis["top"] == "unknown"
    assert diagnosis["causes"][0]["confidence"] is None
    assert "core_leakage" in diagnosis["causes"][0]["look_first"]


def test_a_gate_names_the_rows_that_it_cannot_be_computed_for(few_bad):
    note = few_bad.record["gates"]["pair_integrity"]["note"]
    assert note == "5 of 300 pairs have features that are not finite (row 10, 20, 30, 41, 51), more than 1 in 100"


def test_a_worst_pair_is_said_to_have_what_it_has(few_bad):
    reasons = {pair["row"]: pair["reason"] for pair in few_bad.record["worst_pairs"]}
    assert reasons[10] == reasons[20] == reasons[30] == "pixels that are not finite"
    assert reasons[41] == "no flux in the host's core in g (ctrl_core_flux is 0)"
    assert reasons[51] == "a measurement that is not finite: physical_core_flux in g"


def test_a_nan_in_one_stamp_fails_the_audit_and_stops_nothing():
    block = pairs()
    block.stamp[7, 0, 10, 10] = np.nan
    block.census[7, 0, 0, 0] -= 1
    record = audit(block).record
    assert record["gates"]["finite_pixels"]["status"] == "FAIL"
    assert record["gates"]["core_leakage"]["status"] == "PASS"
    assert record["status"] == "FAIL"


def test_bad_rows_are_counted_kept_and_too_many_stop_the_run():
    kept = []
    block = pairs()
    few = audit_pairs(MemorySource(block, bad={4: "broken zip"}), config=CONFIG, on_rejects=kept.extend)
    assert few.record["counts"]["rejected"] == 1
    assert kept[0].reason == "broken zip"
    with pytest.raises(RejectedError, match=r"10 of 300 rows rejected \(row 0: broken zip\).*--max-reject-fraction"):
        audit(block, bad=dict.fromkeys(range(10), "broken zip"))


def test_an_input_without_a_readable_row_is_refused():
    block = make_pairs(30, np.random.default_rng(6))
    with pytest.raises(FormatError, match="row 0: no stamp"):
        audit(block, config=Config(), bad=dict.fromkeys(range(30), "no stamp"))


def test_exchanged_columns_and_one_image_twice_are_no_pairs():
    block = pairs()
    exchanged = dataclasses.replace(block, stamp=block.ctrl, ctrl=block.stamp)
    same = dataclasses.replace(block, stamp=block.ctrl, digest=np.repeat(block.digest[:, 1:], 2, axis=1))
    for faulty, number in ((exchanged, "negative_arcs"), (same, "identical_pairs")):
        gate = audit(faulty).record["gates"]["pair_integrity"]
        assert gate["status"] == "FAIL"
        assert number in {finding["name"] for finding in gate["findings"] if finding["status"] == "FAIL"}


def test_pairs_without_einstein_radii_are_not_called_clean():
    block = pairs()
    for theta_e in (np.nan, -1.0):
        undeclared = dict(block.catalog, theta_e_arcsec=np.full(len(block), theta_e))
        record = audit(dataclasses.replace(block, catalog=undeclared)).record
        assert record["gates"]["stratum_diversity"]["status"] == "INSUFFICIENT"
        assert record["status"] != "PASS"


def test_the_normalizer_that_the_settings_name_is_the_one_that_is_judged(clean):
    record, _ = judge_table(
        clean.table, load_config(settings=["audit.bootstraps=50", "audit.permutations=2", "normalize.kind=standard"])
    )
    assert record["gates"]["normalization_leakage"]["status"] == "FAIL"
    assert clean.record["gates"]["normalization_leakage"]["status"] == "PASS"
    assert clean.record["provenance"]["config"]["normalize"]["kind"] == "sky"
