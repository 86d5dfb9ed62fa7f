"""A plot is there when its numbers are, and says them in words."""

import warnings

from gen5astro.report import plots
from gen5astro.report.appearance import MINUS
from tests.report.records import make_audit, make_evaluation, make_training


def test_no_numbers_no_plot():
    assert plots.core_auc({"gates": {}}) == ""
    assert plots.core_auc_compared({"a": {"gates": {}}}) == ""
    assert plots.residual_profile({}) == ""
    assert plots.roc({}) == plots.score_histogram({"scores": {"stamp": [], "ctrl": []}}) == ""
    assert plots.completeness({}, "by_theta_e", "x") == ""
    assert plots.training_curve([{"epoch": 1}], {"val_auc": "AUC"}, "AUC", name="auc") == ""


def test_the_core_plot_says_its_numbers():
    text = str(plots.core_auc(make_audit(excess=0.14)))
    assert "measured 0.85, explained 0.71, unexplained 0.14 ± 0.02" in text
    assert "+0.14 ± 0.02" in text


def test_text_stays_text_and_sets_the_index_low():
    text = str(plots.core_auc(make_audit()))
    assert "<text" in text
    assert 'font-size="75%">E</tspan>' in text
    assert "font-family" not in text


def test_a_name_is_never_typeset_as_mathematics():
    record = make_audit()
    record["residual_profile"]["curves"][0]["stratum"] = "$\\frac{$"
    assert "frac{$" in str(plots.residual_profile(record))


def test_two_plots_of_a_page_share_no_id():
    ids = [set(str(plots.core_auc(make_audit(), name=name)).split('id="')[1:]) for name in ("one", "two")]
    assert not ids[0] & ids[1]


def test_a_profile_of_one_stratum_with_a_negative_side():
    record = make_audit()
    curve = record["residual_profile"]["curves"][0]
    curve.update(median=[-value for value in curve["median"]], low=None, high=None)
    record["residual_profile"]["curves"] = [curve]
    assert f"{MINUS}0.01" in str(plots.residual_profile(record))


def test_a_profile_of_nothing_but_zeros():
    record = make_audit()
    for curve in record["residual_profile"]["curves"]:
        for key in ("median", "low", "high"):
            curve[key] = [0.0] * len(curve[key])
    assert "<svg" in plots.residual_profile(record)


def test_scores_that_are_all_alike_or_beyond_one():
    record = make_evaluation()
    for stamp in ([3.0] * 4, [0.5, None, 7.0]):
        record["scores"] = {"stamp": stamp, "ctrl": [3.0]}
        assert "<svg" in plots.score_histogram(record)


def test_bins_with_open_ends():
    bins = [
        {"low": low, "high": high, "n": 5, "completeness": 0.5} for low, high in ((None, 1), (1, None), (None, None))
    ]
    text = str(plots.completeness({"by_arc_snr": bins}, "by_arc_snr", "SNR"))
    assert "&lt; 1 0.50; ≥ 1 0.50; all 0.50" in text


def test_plots_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.roc(make_evaluation())
        plots.roc({"roc": {"fpr": [0.0], "tpr": [0.0]}})
        plots.training_curve(make_training()["history"], {"val_auc": "AUC"}, "AUC", name="auc")
