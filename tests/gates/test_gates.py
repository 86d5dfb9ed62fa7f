"""Every gate passes a faultless table, fails its own poison, and never passes what it cannot judge."""

import dataclasses

import numpy as np
import pytest

from gen5astro.columns import COLUMNS
from gen5astro.config import AuditConfig, NormalizerSpec
from gen5astro.errors import ConfigError
from gen5astro.gates import load_gates, overall_status, run_gates
from gen5astro.leakage import strata
from gen5astro.sample import load_known_lenses
from gen5astro.table import MeasureTable
from gen5astro.verdict import Status

CONFIG = AuditConfig(bootstraps=100, permutations=4)
BANDS = ("g", "r")


def make_table(n_hosts=40, per_host=6, *, seed=0):
    """A faultless table: stamps are ctrls with a little arc light in the core, and physical equals stamp."""
    rng = np.random.default_rng(seed)
    n = n_hosts * per_host
    group = np.repeat(np.arange(n_hosts), per_host)
    columns = {}
    for name, column in COLUMNS.items():
        shape = (n,) if column.per == "pair" else (n, len(BANDS))
        columns[name] = np.zeros(shape)
    host = np.exp(rng.normal(0, 0.5, n_hosts))[group][:, None] * np.ones(len(BANDS))
    arc = rng.uniform(0, 0.3, (n, 1)) * np.ones(len(BANDS))
    shape = {at: np.exp(rng.normal(0, 0.2, (n, len(BANDS)))) for at in (1, 2, 3)}
    for image, share in (("ctrl", 0.0), ("stamp", 1.0), ("physical", 1.0)):
        for at, size in ((1, 0.3), (2, 0.7), (3, 1.0)):
            columns[f"{image}_flux_{at}"] = size * host * shape[at] + share * arc * size**2
        columns[f"{image}_core_flux"] = columns[f"{image}_flux_2"]
        columns[f"{image}_core_peak"] = 0.05 * host + 0.01 * share * arc
        for region in ("sky", "corner"):
            columns[f"{image}_{region}_level"] = rng.normal(0, 1e-4, n_hosts)[group][:, None] * np.ones(len(BANDS))
            columns[f"{image}_{region}_sigma"] = np.full((n, len(BANDS)), 0.003)
    for region in ("sky", "corner"):
        for image in ("stamp", "physical"):
            columns[f"{image}_{region}_level"] = columns[f"ctrl_{region}_level"]
    columns["quiet_sky_sigma"] = columns["ctrl_sky_sigma"].copy()
    for image in ("stamp", "ctrl"):
        columns[f"{image}_finite_fraction"] = np.ones((n, len(BANDS)))
    for image in ("stamp", "ctrl", "quiet"):
        columns[f"{image}_noise_hf"] = np.full((n, len(BANDS)), 0.002)
        for axis in "xy":
            columns[f"{image}_noise_autocorrelation_{axis}"] = np.full((n, len(BANDS)), 0.3)
    for image in ("stamp", "ctrl", "physical"):
        for name, size in (("mean", 0.01), ("std", 0.05), ("core_mean", 0.3), ("core_std", 0.1)):
            columns[f"{image}_{name}"] = size * host
    columns |= {f"aperture_area_{at}": np.full(n, area) for at, area in ((1, 11.0), (2, 45.0), (3, 102.0))}
    digests = rng.integers(1, 2**62, n).astype(np.uint64)
    columns |= {
        "row": np.arange(n),
        "pair_id": np.arange(n).astype(str),
        "host_id": group.astype(str),
        "region_split": np.array(["train", "test"])[group % 2],
        "group": group,
        "ra": 10.0 + group,
        "dec": np.zeros(n),
        "theta_e_arcsec": rng.uniform(0.5, 3.0, n),
        "arc_snr": rng.uniform(5, 90, n),
        "stamp_digest": digests,
        "ctrl_digest": (group + 7).astype(np.uint64),
        "outer_correlation": np.full((n, len(BANDS)), 0.99),
        "arc_share": np.full((n, len(BANDS)), 0.98),
        "psf_fwhm_arcsec": np.full((n, len(BANDS)), 1.3),
        "core_excess": columns["stamp_core_flux"] - columns["ctrl_core_flux"],
        "core_budget_high": columns["stamp_core_flux"] - columns["ctrl_core_flux"],
    }
    columns["arc_radius_arcsec"] = columns["theta_e_arcsec"]
    columns["arc_radius_measured_arcsec"] = 1.15 * columns["theta_e_arcsec"]
    columns["arc_snr_measured"] = columns["arc_snr"][:, None] * np.full(len(BANDS), len(BANDS) ** -0.5)
    columns["residual_peak_arcsec"] = columns["theta_e_arcsec"][:, None] * np.ones(len(BANDS))
    return MeasureTable(columns, BANDS, (64, 64), 0.263)


def judge(table, config=CONFIG, **more):
    return run_gates(table, config, strata(table, config), **more)


def poison_finite_pixels(columns):
    columns["stamp_finite_fraction"][3, 0] = 0.999


def poison_pair_integrity(columns):
    columns["outer_correlation"][::10, 1] = -0.1


def poison_arc_localization(columns):
    columns["arc_share"][:] = 0.4


def poison_core_leakage(columns):
    for at, size in ((1, 0.2), (2, 0.9), (3, 2.0)):
        columns[f"stamp_flux_{at}"] = columns[f"stamp_flux_{at}"] + 0.4 * size


def poison_sky_leakage(columns):
    columns["stamp_sky_level"] = columns["stamp_sky_level"] + 0.001


def poison_noise_leakage(columns):
    columns["stamp_noise_hf"] = 1.1 * columns["stamp_noise_hf"]


def poison_flux_budget(columns):
    columns["core_excess"] = columns["core_excess"] + 0.1 * columns["ctrl_core_flux"]


def poison_normalization_leakage(columns):
    columns["physical_sky_sigma"] = 1.1 * columns["physical_sky_sigma"]


def poison_label_consistency(columns):
    columns["arc_radius_measured_arcsec"] = 0.5 * columns["arc_radius_measured_arcsec"]


def poison_stratum_diversity(columns):
    wide = columns["theta_e_arcsec"] >= 2
    columns["theta_e_arcsec"][wide & (columns["group"] != 0)] = 1.5
    columns["theta_e_arcsec"][columns["group"] == 0] = 2.5
    columns["arc_radius_arcsec"][:] = columns["theta_e_arcsec"]
    columns["arc_radius_measured_arcsec"][:] = columns["theta_e_arcsec"]
    columns["residual_peak_arcsec"][:] = columns["theta_e_arcsec"][:, None]


def poison_split_integrity(columns):
    columns["region_split"][0] = "test"


def poison_known_lens_contamination(columns):
    lens = load_known_lenses()[7]
    columns["ra"][columns["group"] == 3] = lens["ra"]
    columns["dec"][columns["group"] == 3] = lens["dec"] + 4 / 3600


POISONS = {name.removeprefix("poison_"): poison for name, poison in list(globals().items()) if "poison_" in name}


def test_a_faultless_table_passes_every_gate():
    results = judge(make_table())
    assert {name: result.status for name, result in results.items() if not result.advisory} == {
        name: Status.PASS for name, result in results.items() if not result.advisory
    }
    assert overall_status(results) is Status.PASS


@pytest.mark.parametrize("name", POISONS)
def test_each_poison_fails_its_own_gate_and_no_other(name):
    table = make_table()
    POISONS[name](table.columns)
    results = judge(table)
    failed = {each for each, result in results.items() if result.status is not Status.PASS and not result.advisory}
    assert failed == {name}
    assert not overall_status(results).passed
    assert results[name].note


def test_every_gate_but_the_advisory_ones_has_a_poison():
    assert set(POISONS) == {name for name, gate in load_gates().items() if not gate.advisory}


@pytest.mark.parametrize("name", load_gates())
def test_a_gate_declares_what_it_asks_reads_and_allows(name):
    gate = load_gates()[name]
    assert gate.question.endswith("?")
    assert set(gate.reads) <= set(COLUMNS)
    table = make_table()
    found = {finding.name for finding in judge(table)[name].findings}
    assert found
    assert set(gate.limits) - found <= {"saturated_auc"}


@pytest.mark.parametrize("name", [name for name, gate in load_gates().items() if gate.reads])
def test_a_missing_column_is_an_error_and_never_a_pass(name):
    table = make_table()
    missing = load_gates()[name].reads[0]
    del table.columns[missing]
    masks = {"all": np.ones(len(table), bool)}
    result = run_gates(table, CONFIG, masks)[name]
    assert result.status is Status.ERROR
    assert missing in result.note


@pytest.mark.parametrize(
    "name",
    [
        "arc_localization",
        "core_leakage",
        "flux_budget",
        "label_consistency",
        "noise_leakage",
        "normalization_leakage",
        "pair_integrity",
        "sky_leakage",
    ],
)
def test_numbers_that_are_not_finite_never_pass(name):
    table = make_table()
    for column in load_gates()[name].reads:
        if table.columns[column].dtype.kind == "f" and column not in ("theta_e_arcsec", "arc_snr"):
            table.columns[column] = np.full_like(table.columns[column], np.nan)
    assert judge(table)[name].status is Status.ERROR


def test_no_rows_are_an_error():
    table = make_table().select(np.zeros(240, bool))
    results = judge(table)
    assert {result.status for result in results.values()} == {Status.ERROR}
    assert overall_status(results) is Status.ERROR


def test_many_rows_of_few_hosts_are_insufficient():
    results = judge(make_table(n_hosts=8, per_host=60))
    for name in (
        "arc_localization",
        "core_leakage",
        "flux_budget",
        "label_consistency",
        "noise_leakage",
        "normalization_leakage",
        "sky_leakage",
        "stratum_diversity",
    ):
        assert results[name].status is Status.INSUFFICIENT, name
    assert overall_status(results) is Status.INSUFFICIENT


def test_without_a_declared_split_the_split_gate_says_that_it_skips():
    table = make_table()
    table.columns["region_split"][:] = ""
    result = judge(table)["split_integrity"]
    assert result.status is Status.SKIP
    assert "no split" in result.note


def test_a_copy_under_another_name_in_another_split_is_found():
    table = make_table()
    rng = np.random.default_rng(0)
    marks = rng.integers(1, 2**63, (table["group"].max() + 1, 4)).astype(np.uint64)[table["group"]]
    names = [f"ctrl_fingerprint_{at}" for at in (1, 2, 3, 4)]
    table = dataclasses.replace(table, columns={**table.columns, **dict(zip(names, marks.T.copy(), strict=True))})
    assert judge(table)["split_integrity"].status is Status.PASS
    for at, name in enumerate(names):
        column = table[name]
        column[table["group"] == 1] = column[table["group"] == 0][0] ^ np.uint64(1 << at)
    result = judge(table)["split_integrity"]
    assert result.status is Status.FAIL
    assert {each.name: each.value for each in result.findings}["near_twins"] == 1


def test_measurements_without_fingerprints_say_so():
    table = make_table()
    columns = {name: values for name, values in table.columns.items() if "fingerprint" not in name}
    result = judge(dataclasses.replace(table, columns=columns))["split_integrity"]
    found = {each.name: each for each in result.findings}
    assert result.status is Status.PASS
    assert found["near_twins"].status is Status.SKIP
    assert "measure again" in found["near_twins"].note


def test_what_chance_may_have_brought_is_not_a_fail_and_not_a_pass():
    table = make_table(n_hosts=22, per_host=1)
    poison_core_leakage(table.columns)
    tight = dataclasses.replace(CONFIG, limits={"core_leakage": {"unexplained_auc": [None, -1.0]}})
    found = judge(table, tight)["core_leakage"].findings
    open_ended = [each for each in found if each.name == "unexplained_auc" and each.simultaneous[0] <= 0]
    sure = [each for each in found if each.name == "unexplained_auc" and each.simultaneous[0] > 0]
    assert {each.status for each in open_ended} == {Status.INSUFFICIENT}
    assert all(each.status in (Status.FAIL, Status.INSUFFICIENT) for each in sure)
    enough = [each for each in open_ended if each.hosts >= CONFIG.min_effective_hosts]
    assert all("not beyond chance" in each.note for each in enough)
    assert enough


def test_a_core_that_lost_light_is_below_its_budget():
    table = make_table()
    table.columns["core_budget_low"] = table.columns["core_excess"].copy()
    table.columns["core_excess"] = table.columns["core_excess"] - 0.03 * table.columns["ctrl_core_flux"]
    result = judge(table)["flux_budget"]
    assert result.status is Status.FAIL
    fraction, sigma = result.findings[:2]
    assert fraction.value == pytest.approx(-0.03)
    assert (fraction.low, fraction.high) == (-0.01, 0.01)
    assert sigma.value < -3
    shown = [each for each in result.findings if each.stratum.startswith("arc_snr")]
    assert {each.status for each in shown} == {Status.SKIP}
    assert all(each.value < 0 for each in shown)


def test_a_core_within_its_budget_exceeds_nothing():
    for finding in judge(make_table())["flux_budget"].findings:
        assert finding.value == 0


def test_more_pairs_than_are_needed_are_not_judged_and_the_numbers_hardly_move():
    table = make_table()
    poison_core_leakage(table.columns)
    few = dataclasses.replace(CONFIG, judge_pairs=120)
    whole, part = (
        next(each for each in judge(table, config)["core_leakage"].findings if each.name == "measured_auc")
        for config in (CONFIG, few)
    )
    assert part.hosts == pytest.approx(40)
    assert part.value == pytest.approx(whole.value, abs=0.1)
    assert part.value != whole.value


def test_a_normalizer_that_the_arc_moves_fails_and_the_sky_is_recommended():
    table = make_table()
    table.columns["physical_mean"] = table.columns["physical_mean"] + 0.005
    assert judge(table)["normalization_leakage"].status is Status.PASS
    result = judge(table, normalizer=NormalizerSpec(kind="standard"))["normalization_leakage"]
    assert result.status is Status.FAIL
    found = {finding.name: finding for finding in result.findings if finding.stratum == "all"}
    assert "standard" in found["statistics_auc"].note
    assert found["statistics_auc:standard"].value > 0.9
    assert found["statistics_auc:sky"].value == pytest.approx(0.5, abs=0.01)
    assert {"recommended:sky", "core_excess_auc:pair"} <= set(found)
    assert found["recommended:sky"].note.startswith("take sky; AUC beyond physics: sky 0.0")
    assert {each.view for each in result.findings if each.name == "core_excess_auc"} == {"single", "paired"}


def test_a_normalizer_that_the_arc_leaves_alone_adds_nothing_to_the_core():
    for finding in judge(make_table())["normalization_leakage"].findings:
        if finding.name == "core_excess_auc":
            assert finding.value == 0


def test_what_the_injection_did_wrong_is_not_held_against_the_normalizer():
    table = make_table()
    poison_sky_leakage(table.columns)
    poison_core_leakage(table.columns)
    assert judge(table)["normalization_leakage"].status is Status.PASS


@pytest.mark.parametrize(("quiet", "unexplained"), [(1.0001, 0.0), (1.0, 0.5)])
def test_the_paired_view_of_the_noise_is_explained_by_the_arcs_wing_and_not_judged(quiet, unexplained):
    table, rng = make_table(), np.random.default_rng(4)
    noise = np.exp(rng.normal(0, 0.1, table.columns["ctrl_noise_hf"].shape)) * table.columns["ctrl_noise_hf"]
    table.columns.update(ctrl_noise_hf=noise, stamp_noise_hf=noise * 1.0001, quiet_noise_hf=noise * quiet)
    result = judge(table)["noise_leakage"]
    paired = [each for each in result.findings if each.view == "paired" and each.name == "measured_auc"]
    assert paired[0].value > 0.95
    assert {each.status for each in paired} == {Status.SKIP}
    beyond = [each for each in result.findings if each.view == "paired" and each.name == "unexplained_auc"]
    assert {each.status for each in beyond} == {Status.SKIP}
    assert beyond[0].value == pytest.approx(unexplained, abs=0.05)
    assert result.status is Status.PASS


def test_the_wing_of_an_arc_explains_what_the_pair_s_sky_shows():
    table, rng = make_table(), np.random.default_rng(6)
    for region in ("sky", "corner"):
        sigma = 0.003 * np.exp(rng.normal(0, 0.1, (len(table), len(BANDS))))
        table.columns[f"ctrl_{region}_sigma"] = sigma
        for image in ("stamp", "physical"):
            table.columns[f"{image}_{region}_sigma"] = 1.001 * sigma
    result = judge(table)["sky_leakage"]
    found = {each.name: each for each in result.findings if (each.view, each.stratum) == ("paired", "all")}
    assert found["measured_auc"].value == 1.0
    assert found["unexplained_auc"].value == 0.0
    assert found["unexplained_auc"].status is Status.SKIP
    assert result.status is Status.PASS


@pytest.mark.parametrize(
    ("columns", "number"),
    [
        ({"theta_e_arcsec": 2.0}, "radius_ratio"),
        ({"theta_e_arcsec": 1 / 0.263}, "radius_ratio"),
        ({"arc_snr": 5.0}, "snr_log_ratio"),
        ({"arc_snr_measured": 0.01}, "invisible_arcs"),
    ],
)
def test_labels_in_other_units_are_found(columns, number):
    table = make_table()
    for name, factor in columns.items():
        table.columns[name] = factor * table.columns[name]
    result = judge(table)["label_consistency"]
    assert result.status is Status.FAIL
    assert number in {each.name for each in result.findings if each.status is Status.FAIL}


def test_labels_of_other_pairs_are_found():
    table = make_table()
    table.columns["arc_snr"] = np.random.default_rng(3).permutation(table.columns["arc_snr"])
    failed = [each.name for each in judge(table)["label_consistency"].findings if each.status is Status.FAIL]
    assert failed == ["snr_rank"]


def test_arcs_declared_without_light_are_counted():
    table = make_table()
    table.columns["arc_snr"][::10] = 0
    (finding,) = (each for each in judge(table)["label_consistency"].findings if each.status is Status.FAIL)
    assert (finding.name, finding.value) == ("zero_arc_snr", 0.1)


def test_labels_that_are_not_declared_are_skipped():
    table = make_table()
    for name in ("theta_e_arcsec", "arc_snr"):
        table.columns[name] = np.full(len(table), np.nan)
    result = judge(table)["label_consistency"]
    assert result.status is Status.SKIP
    assert "declares no Einstein radius" in result.note


def test_a_known_lens_is_named_with_its_distance():
    table = make_table()
    poison_known_lens_contamination(table.columns)
    found = {each.name: each for each in judge(table)["known_lens_contamination"].findings}
    assert found["known_lenses"].value == 6
    assert str(load_known_lenses()["name"][7]) in found["known_lenses"].note
    assert found["nearest_lens"].value == pytest.approx(4.0, abs=1e-3)
    near = dataclasses.replace(CONFIG, known_lens_radius_arcsec=3.9)
    assert judge(table, near)["known_lens_contamination"].status is Status.PASS


def test_without_positions_known_lenses_cannot_be_met():
    table = make_table()
    table.columns["ra"] = np.full(len(table), np.nan)
    result = judge(table)["known_lens_contamination"]
    assert result.status is Status.SKIP
    assert "no positions" in result.note


def test_the_paired_view_is_blocked_where_physics_alone_names_the_stamp():
    table = make_table()
    for image in ("stamp", "physical"):
        for at in (1, 2, 3):
            table.columns[f"{image}_flux_{at}"] = table.columns[f"ctrl_flux_{at}"] + 0.05
    results = judge(table)
    assert results["core_leakage"].status is Status.PASS
    blocked = results["six_channel_viability"]
    assert blocked.status is Status.FAIL
    assert blocked.advisory
    assert "nothing that a fault adds could show" in blocked.note


def test_the_paired_view_is_allowed_where_noise_hides_the_difference():
    table, rng = make_table(), np.random.default_rng(5)
    for name in ("flux_1", "flux_2", "flux_3", "core_peak"):
        noise = rng.normal(0, 0.3, (2, *table.columns[f"ctrl_{name}"].shape)) * table.columns[f"ctrl_{name}"]
        table.columns[f"ctrl_{name}"] = table.columns[f"ctrl_{name}"] + noise[0]
        for image in ("stamp", "physical"):
            table.columns[f"{image}_{name}"] = table.columns[f"{image}_{name}"] + noise[1]
    assert judge(table)["six_channel_viability"].status is Status.PASS


def test_a_configured_limit_replaces_the_gates_own():
    table = make_table()
    table.columns["arc_share"][:] = 0.7
    assert judge(table)["arc_localization"].status is Status.FAIL
    loose = dataclasses.replace(CONFIG, limits={"arc_localization": {"arc_share": [0.5, float("inf")]}})
    result = judge(table, loose)["arc_localization"]
    assert result.status is Status.PASS
    assert (result.findings[0].low, result.findings[0].high) == (0.5, None)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"core_leakages": {"unexplained_auc": [0, 1]}}, "did you mean 'core_leakage'"),
        ({"core_leakage": {"unexplained": [0, 1]}}, "did you mean 'unexplained_auc'"),
        ({"core_leakage": {"unexplained_auc": [0]}}, r"expected \[low, high\]"),
        ({"core_leakage": {"unexplained_auc": [0.1, -0.1]}}, r"expected \[low, high\]"),
    ],
)
def test_a_limit_that_no_gate_has_is_refused(limits, message):
    with pytest.raises(ConfigError, match=message):
        judge(make_table(), dataclasses.replace(CONFIG, limits=limits))
