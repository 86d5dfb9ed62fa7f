"""A plot is there when its numbers are, and says them in words."""

import re
import warnings

import pytest

from gen5astro.report import plots
from gen5astro.report.appearance import MINUS
from gen5astro.report.explanation import share_plot
from gen5astro.report.selftest import power_plot
from tests.report.records import make_audit, make_evaluation, make_explanation, make_selftest, make_training


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


@pytest.mark.parametrize(("smallest", "labels"), [(0.25, ["0.2", "0.5", "1"]), (0.004, ["0.01", "0.1", "1"])])
def test_a_logarithmic_axis_is_labelled_in_plain_digits(smallest, labels):
    text = str(plots.roc({"roc": {"fpr": [0.0, smallest, 1.0], "tpr": [0.0, 0.5, 1.0]}}))
    axis = text.partition("matplotlib.axis_2")[0]
    assert re.findall(r">([^<>\n]+)</text>", axis)[: len(labels)] == labels


def test_no_plot_writes_mathematics():
    few = make_evaluation() | {"roc": {"fpr": [0.0, 0.25, 0.75, 1.0], "tpr": [0.0, 0.5, 0.9, 1.0]}}
    small = make_audit()
    for curve in small["residual_profile"]["curves"]:
        curve["median"] = [1e-7 * value for value in curve["median"]]
    losses = [{"epoch": epoch, "train_loss": 1e-9 * epoch} for epoch in range(3)]
    drawn = [
        *(plots.roc(each) for each in (few, make_evaluation())),
        *(draw(each) for each in (small, make_audit()) for draw in (plots.core_auc, plots.residual_profile)),
        plots.score_histogram(few),
        plots.completeness(few, "by_theta_e", "Einstein radius [arcsec]"),
        plots.training_curve(losses, {"train_loss": "training"}, "loss", name="loss"),
        share_plot(make_audit() | {"explanation": make_explanation()}),
        power_plot(make_selftest()),
    ]
    for each in drawn:
        assert "<svg" in each
        assert not re.search(r"mathdefault|\$", each)


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
