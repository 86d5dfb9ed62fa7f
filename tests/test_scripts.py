"""What the scripts promise: folds judge each host once, and a planted pedestal is where it is said to be."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gen5astro import open_pairs
from gen5astro.config import InjectConfig
from gen5astro.inject.blocks import write_pairs
from gen5astro.inject.hosts import read_hosts

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
QUICK = ("width=4", "epochs=1", "batch_size=32", "accelerator=cpu", "watch_pairs=10")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs") / "clean.parquet"
    write_pairs(read_hosts("sample"), 60, path, seed=1, config=InjectConfig(size=48), threads=1)
    return path


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.mark.usefixtures("scripts")
def test_a_planted_pedestal_is_a_square_inside_of_the_annulus(pairs, tmp_path):
    import plant_pedestal

    plant_pedestal.main(pairs, tmp_path / "square.parquet", 0.5)
    clean, faulty = (
        source.read(next(iter(source.blocks(60))))[0]
        for source in map(open_pairs, (pairs, tmp_path / "square.parquet"))
    )
    added = faulty.stamp - clean.stamp
    np.testing.assert_array_equal(faulty.ctrl, clean.ctrl)
    y, x = np.abs(np.indices((48, 48)) - 23.5)
    square = np.maximum(y, x) < 0.7 * 24
    assert not added[..., ~square].any()
    level = np.median(added[..., square], axis=-1)
    assert (level > 0).all()
    np.testing.assert_allclose(added[..., square] / level[..., None], 1, atol=1e-2)
    noise = np.std(clean.ctrl[..., :3, :], axis=(-2, -1))
    assert np.median(level / noise) == pytest.approx(0.5, rel=0.15)


@pytest.mark.usefixtures("scripts")
def test_every_host_is_judged_once_by_a_network_that_never_saw_it(pairs, tmp_path, capsys):
    import cross_validate

    options = ["--judge", str(pairs), "--folds", "3", "--threads", "1", *(f"--set={each}" for each in QUICK)]
    cross_validate.main([str(pairs), str(tmp_path / "out"), *options])
    result = json.loads((tmp_path / "out" / "cross_validation.json").read_text())
    assert result["own"] == result["judge"]
    assert result["own"]["all"]["n_pairs"] == 60
    low, high = result["own"]["all"]["interval"]
    assert low <= result["own"]["all"]["auc"] <= high
    judged = [
        set(pq.read_table(tmp_path / "out" / f"run-{fold}" / f"scores-own-{fold}.parquet")["host_id"].to_pylist())
        for fold in range(3)
    ]
    assert len(set.union(*judged)) == sum(map(len, judged)) == result["n_hosts"]
    assert "epoch 1 of 1" in capsys.readouterr().out
    cross_validate.main([str(pairs), str(tmp_path / "out"), *options])
    assert json.loads((tmp_path / "out" / "cross_validation.json").read_text()) == result
    assert "epoch 1 of 1" not in capsys.readouterr().out
