"""An evaluation judges hosts that were never seen, and refuses what it cannot state."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from gen5astro.config import BuildConfig, Config, EvaluateConfig, TrainConfig
from gen5astro.errors import FormatError, SchemaError
from gen5astro.evaluation import evaluate
from gen5astro.io.hdf5 import Cube
from gen5astro.training import train
from tests.training.cubes import make_cube

CONFIG = Config(
    train=TrainConfig(width=8, epochs=4, batch_size=16, learning_rate=3e-3, accelerator="cpu"),
    build=BuildConfig(fractions=(0.4, 0.2, 0.4), split_seed=1),
    evaluate=EvaluateConfig(bootstraps=200, false_positive_rates=(0.5, 0.01), theta_e_edges=(1.5,)),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    cube = make_cube(folder / "cube.h5", config=CONFIG, n_hosts=80, per_host=2)
    train(cube, folder / "run", config=CONFIG, threads=1)
    return folder / "run", cube


@pytest.fixture(scope="module")
def evaluated(trained):
    run, cube = trained
    scores = run.parent / "scores.parquet"
    return evaluate(run, cube, config=CONFIG, scores=scores, threads=1), pq.read_table(scores).to_pydict()


def _metric(record, name):
    return next(each for each in record["metrics"] if each["name"] == name)


NAMES = ("stamp_logit", "ctrl_logit", "host_id")


def _area(stamp, ctrl, host):
    """Share of stamps above the ctrls of other hosts."""
    stamp, ctrl, host = map(np.asarray, (stamp, ctrl, host))
    return (stamp[:, None] > ctrl)[host[:, None] != host].mean()


def test_the_test_split_is_judged_and_nothing_else(trained, evaluated):
    record, scores = evaluated
    with Cube(trained[1]) as cube:
        assert scores["pair_id"] == cube.catalog["pair_id"][cube.split == "test"].tolist()
    assert record["counts"]["pairs"] == len(scores["pair_id"])
    assert record["provenance"]["same_split_as_trained_on"]


def test_the_area_is_that_of_the_scores_and_lies_in_its_interval(evaluated):
    record, scores = evaluated
    metric = _metric(record, "auc")
    assert metric["value"] == pytest.approx(_area(*(scores[name] for name in NAMES)))
    assert metric["interval"][0] <= metric["value"] <= metric["interval"][1]
    assert metric["interval"][0] > 0.5
    assert record["status"] == "PASS"


def test_a_rate_that_leaves_too_few_ctrls_is_refused(evaluated):
    record, _ = evaluated
    half, hundredth = record["completeness"]
    assert half["value"] is not None
    assert hundredth["value"] is None
    assert "1,000 independent hosts" in hundredth["note"]
    assert record["bins_at"] == "false-positive rate 0.5"


def test_bins_hold_every_pair_once(evaluated):
    record, _ = evaluated
    assert [(each["low"], each["high"]) for each in record["by_theta_e"]] == [(None, 1.5), (1.5, None)]
    for key in ("by_theta_e", "by_arc_snr"):
        assert sum(each["n"] for each in record[key]) == record["counts"]["pairs"]


def test_clear_arcs_are_those_of_the_signal_to_noise_that_is_known_best(trained, evaluated):
    _, cube_path = trained
    config = replace(CONFIG, evaluate=replace(CONFIG.evaluate, clear_arc_snr=25.0, clear_theta_e_arcsec=1.5))
    record, scores = evaluate(*trained, config=config, threads=1), evaluated[1]
    with Cube(cube_path) as cube:
        rows = np.array(scores["cube_row"])
        clear = (cube.catalog["arc_snr"][rows] >= 25) & (cube.catalog["theta_e_arcsec"][rows] >= 1.5)
    assert 0 < clear.sum() < len(rows)
    metric = _metric(record, "auc_clear_arcs")
    assert metric["value"] == pytest.approx(_area(*(np.array(scores[name])[clear] for name in NAMES)))
    assert metric["note"].startswith(f"{clear.sum()} arcs with a signal-to-noise, as the catalog declares it, of 25")
    assert record["arc_snr_source"] == "as the catalog declares it"


def test_that_no_arc_is_clear_is_said(trained):
    config = replace(CONFIG, evaluate=replace(CONFIG.evaluate, clear_arc_snr=1e6))
    metric = _metric(evaluate(*trained, config=config, threads=1), "auc_clear_arcs")
    assert metric["value"] is None
    assert metric["note"].startswith("no arcs with")


def test_the_record_is_plain_json(evaluated):
    record, _ = evaluated
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert len(record["candidates"]) == 3
    assert "prove nothing statistically" in record["candidates_note"]


def test_an_evaluation_repeats_itself(trained, evaluated):
    again = evaluate(*trained, config=CONFIG, threads=1)
    for record in (again, evaluated[0]):
        record["provenance"].pop("seconds", None)
    assert again == evaluated[0]


def test_few_hosts_are_an_illustration_only(trained):
    config = replace(CONFIG, audit=replace(CONFIG.audit, min_effective_hosts=1000.0))
    record = evaluate(*trained, config=config, threads=1)
    assert record["status"] == "INSUFFICIENT"
    assert "no proof" in _metric(record, "auc")["note"]


def test_a_host_that_was_trained_on_is_refused_in_any_cube(trained, tmp_path):
    run, _ = trained
    other_split = replace(CONFIG, build=replace(CONFIG.build, split_seed=5))
    cube = make_cube(tmp_path / "cube.h5", config=other_split, n_hosts=80, per_host=2)
    with pytest.raises(SchemaError, match="hosts trained on"):
        evaluate(run, cube, config=CONFIG)


def test_a_cube_of_other_hosts_is_judged_and_said_to_be_another(trained, tmp_path):
    run, _ = trained
    cube = make_cube(tmp_path / "cube.h5", config=CONFIG, n_hosts=40, per_host=2, seed=3, ra0=100.0, prefix="other")
    record = evaluate(run, cube, config=CONFIG, threads=1)
    assert not record["provenance"]["same_cube_as_trained_on"]


def test_a_cube_without_a_test_split_is_refused(trained, tmp_path):
    config = replace(CONFIG, build=BuildConfig(fractions=(0.5, 0.5, 0.0)))
    cube = make_cube(tmp_path / "cube.h5", config=config)
    with pytest.raises(FormatError, match="test split"):
        evaluate(trained[0], cube, config=CONFIG)


def test_a_network_that_cannot_tell_fails(trained, tmp_path):
    run, _ = trained
    layout = {"n_hosts": 80, "per_host": 2, "seed": 3, "ra0": 100.0, "prefix": "other"}
    cube = make_cube(tmp_path / "cube.h5", config=CONFIG, ring=0.0, **layout)
    record = evaluate(run, cube, config=CONFIG, threads=1)
    assert record["status"] == "FAIL"
    assert _metric(record, "auc")["note"] == "the interval does not exclude chance"
