"""What a policy shows follows from how visible an arc is, and no pair goes in or out unsaid."""

import itertools
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from gen5astro.config import AuditConfig, BuildConfig, Config, TrainConfig
from gen5astro.errors import ConfigError
from gen5astro.io.hdf5 import Cube
from gen5astro.training.dataset import plan_epoch
from gen5astro.training.policy import PairPolicy, curriculum_threshold, pair_strata, pair_strengths, policy_weights
from tests.training.cubes import make_cube

WHEN = {"epoch": 0, "epochs": 10, "curriculum_fraction": 0.5}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return make_cube(tmp_path_factory.mktemp("cube") / "cube.h5", n_hosts=12, size=16)


@pytest.fixture
def make(plain, tmp_path):
    """Return a copy of the cube with columns set, or taken out where they are None."""

    def change(*, measure=None, catalog=None):
        path = tmp_path / "cube.h5"
        path.write_bytes(plain.read_bytes())
        with h5py.File(path, "r+") as file:
            for group, columns in (("measure", measure or {}), ("catalog", catalog or {})):
                for name, values in columns.items():
                    if name in file.require_group(group):
                        del file[group][name]
                    if values is not None:
                        file[group].create_dataset(name, data=values).attrs["column"] = name
        return Cube(path)

    return change


def _rows(cube):
    return np.flatnonzero(cube.split == "train")


def test_what_the_audit_measured_goes_before_what_is_declared(make):
    n = len(make())
    measured = np.random.default_rng(0).uniform(0, 30, (n, 3)).astype(np.float32)
    measured[0] = [3, np.nan, 4]
    measured[1] = [6, -5, 8]
    measured[2] = np.nan
    rows = np.arange(n)[::-1]
    found = pair_strengths(make(measure={"arc_snr_measured": measured}), rows)["arc_snr"]
    assert found.source == "measured by the audit"
    np.testing.assert_allclose(found.value[:-3], np.linalg.norm(measured[:2:-1].astype(float), axis=1))
    assert found.value[-3:].tolist() == pytest.approx([np.nan, 10, 5], nan_ok=True)


def test_without_measurements_the_declared_is_taken_and_said_to_be(make):
    n = len(make())
    found = pair_strengths(make(catalog={"arc_snr": np.r_[-3.0, np.nan, np.arange(2, n)]}), np.arange(4))["arc_snr"]
    assert found.source == "as the catalog declares it"
    np.testing.assert_array_equal(found.value, [0, np.nan, 2, 3])
    absent = pair_strengths(make(catalog={"arc_snr": None}), np.arange(4))["arc_snr"]
    assert absent.source == "unknown"
    assert np.isnan(absent.value).all()


def test_rings_are_measured_in_seeing_of_band_r(make):
    n = len(make())
    theta_e, sizes = np.linspace(0.5, 2, n), np.linspace(1, 1.5, n)
    theta_e[1], sizes[2] = 0, np.nan
    catalog = {"theta_e_arcsec": theta_e, "psfsize_r": sizes}
    found = pair_strengths(make(catalog=catalog), np.arange(n))["theta_e"]
    assert found.source == "the catalog's theta_e_arcsec over psfsize_r"
    np.testing.assert_allclose(found.value, np.where(theta_e > 0, theta_e, np.nan) / sizes)
    measure = {"psf_fwhm_arcsec": np.stack([0 * sizes, np.nan_to_num(sizes, nan=1.3), 0 * sizes], 1).astype(np.float32)}
    found = pair_strengths(make(catalog=catalog, measure=measure), np.arange(n))["theta_e"]
    assert found.source.endswith("in band r, which is assumed for 1 pair")
    assert found.value[2] == pytest.approx(theta_e[2] / 1.3)
    assert pair_strengths(make(), np.arange(n))["theta_e"].source == "unknown"


def test_include_shows_all_and_exclude_what_reaches_the_threshold():
    strength = np.array([0, 4.9, 5, 50, np.nan])
    assert policy_weights(strength, "include", 5.0, **WHEN).tolist() == [1, 1, 1, 1, 1]
    assert policy_weights(strength, "exclude", 5.0, **WHEN).tolist() == [0, 0, 1, 1, 0]
    weighed = policy_weights(strength, "weight", 5.0, **WHEN)
    assert weighed.dtype == np.float32
    assert weighed.tolist() == pytest.approx([0, 0.98, 1, 1, 0])


@pytest.mark.parametrize("policy", ["exclude", "weight", "curriculum"])
def test_a_threshold_of_0_shows_all_that_is_known(policy):
    assert policy_weights(np.array([0, 3.0, np.nan]), policy, 0.0, **WHEN).tolist() == [1, 1, 0]


def test_the_weight_follows_how_well_a_matched_filter_sees_an_arc():
    rng, strength = np.random.default_rng(0), np.array([0.1, 0.2, 0.4])
    noise = rng.normal(size=200_000)
    measured = [roc_auc_score(np.arange(400_000) < 200_000, np.r_[rng.normal(s, 1, 200_000), noise]) for s in strength]
    expected = norm.cdf(strength / np.sqrt(2))
    assert measured == pytest.approx(expected, abs=3e-3)
    excess = (expected - 0.5) / (expected[-1] - 0.5)
    assert policy_weights(strength, "weight", 0.4, **WHEN) == pytest.approx(excess, rel=0.02)


@pytest.mark.parametrize(("epochs", "fraction"), [(10, 0.5), (7, 0.4), (20, 1.0), (5, 0.0), (1, 0.5)])
def test_the_threshold_of_a_curriculum_falls_linearly_to_zero_and_stays(epochs, fraction):
    more = {"epochs": epochs, "curriculum_fraction": fraction}
    thresholds = np.array([curriculum_threshold(8.0, epoch=epoch, **more) for epoch in range(epochs + 1)])
    assert thresholds[0] == (8.0 if fraction else 0.0)
    assert (np.diff(thresholds) <= 0).all()
    falling = thresholds[thresholds > 0]
    assert np.diff(falling, 2) == pytest.approx(0, abs=1e-12)
    assert (thresholds[np.arange(epochs + 1) >= fraction * epochs] == 0).all()


def test_a_curriculum_ends_with_every_pair_that_is_known(make):
    cube = make(catalog={"arc_snr": np.r_[np.nan, np.linspace(0, 20, len(make()) - 1)]})
    config = TrainConfig(arc_snr_policy="curriculum", arc_snr_threshold=15.0, epochs=8)
    rows = np.arange(len(cube))
    policy = PairPolicy(cube, rows, config)
    shown = [policy.weights(epoch) > 0 for epoch in range(8)]
    for before, after in itertools.pairwise(shown):
        assert (after | ~before).all()
    assert [int(each.sum()) for each in shown] == [each["shown"] for each in policy.record()["epochs"]]
    assert shown[0].sum() < shown[2].sum() < shown[4].sum() == len(cube) - 1
    assert policy.notes[1:] == ["arc_snr_policy curriculum: arc_snr of 1 pair is unknown: not shown"]
    plans = plan_epoch(rows, cube.group, config, epoch=0, weight=policy.weights(0))
    assert sum(plan.n_pairs for plan in plans) == shown[0].sum()


def test_both_policies_multiply(make):
    n = len(make())
    rng = np.random.default_rng(1)
    theta_e, snr = rng.uniform(0.5, 2, n), rng.uniform(0, 20, n)
    cube = make(catalog={"arc_snr": snr, "theta_e_arcsec": theta_e, "psfsize_r": np.full(n, 1.25)})
    config = TrainConfig(arc_snr_policy="weight", theta_e_policy="exclude", arc_snr_threshold=10, theta_e_threshold=0.8)
    policy = PairPolicy(cube, np.arange(n), config)
    expected = np.minimum(1, snr / 10) * (theta_e >= 1)
    np.testing.assert_allclose(policy.weights(0), expected, rtol=1e-6)
    record = policy.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["arc_snr"]["below"] == np.count_nonzero(snr < 10)
    assert record["theta_e"] == {
        "policy": "exclude",
        "threshold": 0.8,
        "source": "the catalog's theta_e_arcsec over psfsize_r",
        "below": np.count_nonzero(theta_e < 1),
        "unknown": 0,
    }
    first = record["epochs"][0]
    assert (first["shown"], first["arc_snr_threshold"]) == (np.count_nonzero(expected), 10)
    assert first["weight"] == pytest.approx(expected.sum(), rel=1e-6)


def test_the_default_shows_all_and_says_nothing(make):
    cube = make(catalog={"arc_snr": None})
    policy = PairPolicy(cube, _rows(cube), TrainConfig())
    assert policy.notes == []
    assert policy.strata is None
    assert (policy.weights(0) == 1).all()


@pytest.mark.parametrize("policy", ["exclude", "weight", "curriculum"])
def test_a_policy_on_what_nobody_knows_is_refused_with_the_remedy(make, policy):
    cube = make(catalog={"arc_snr": None})
    with pytest.raises(ConfigError, match=f"train.arc_snr_policy: got '{policy}'.*--audit.*to include"):
        PairPolicy(cube, _rows(cube), TrainConfig(arc_snr_policy=policy))
    with pytest.raises(ConfigError, match=r"train.theta_e_policy: .*psfsize"):
        PairPolicy(cube, _rows(cube), TrainConfig(theta_e_policy=policy))


def test_a_policy_that_leaves_no_pair_says_how_many_are_below(make):
    cube = make()
    rows = _rows(cube)
    for name in ("exclude", "curriculum"):
        config = TrainConfig(arc_snr_policy=name, arc_snr_threshold=1e4)
        message = f"of {len(rows)}, {len(rows)} are below arc_snr_threshold 10000"
        with pytest.raises(ConfigError, match=f"train.arc_snr_policy: .*{message}.*lower"):
            PairPolicy(cube, rows, config)


def test_strata_are_those_of_the_audit(make):
    n = len(make())
    theta_e, snr = np.tile([0.5, 1.0, 1.99, 2.0], n // 4), np.repeat([19.0, 20.0, 60.0], n // 3)
    theta_e[0] = np.nan
    cube = make(catalog={"arc_snr": snr, "theta_e_arcsec": theta_e})
    stratum, names = pair_strata(cube, np.arange(n), ("theta_e",))
    assert names == ["theta_e<1", "1<=theta_e<2", "theta_e>=2"]
    assert stratum[:4].tolist() == [-1, 1, 1, 2]
    stratum, names = pair_strata(cube, np.arange(n), ("theta_e", "arc_snr"))
    assert len(names) == 9
    named = {names[at] for at in stratum[n - 4 :]}
    assert named == {"theta_e<1, arc_snr>=50", "1<=theta_e<2, arc_snr>=50", "theta_e>=2, arc_snr>=50"}


def test_the_edges_are_those_that_the_cube_was_built_with(tmp_path):
    config = Config(build=BuildConfig(split_seed=20), audit=replace(AuditConfig(), theta_e_edges=(1.5,)))
    cube = Cube(make_cube(tmp_path / "cube.h5", n_hosts=12, size=16, config=config))
    assert pair_strata(cube, np.arange(3), ("theta_e",))[1] == ["theta_e<1.5", "theta_e>=1.5"]


def test_balance_shows_rare_rings_as_often_and_notes_few_hosts_and_unknown_pairs(make):
    n = len(make())
    theta_e = np.full(n, 0.7)
    theta_e[:3], theta_e[3] = 2.5, np.nan
    cube = make(catalog={"theta_e_arcsec": theta_e})
    config, rows = TrainConfig(balance=("theta_e",), batch_size=8), np.arange(n)
    policy = PairPolicy(cube, rows, config)
    plans = plan_epoch(rows, cube.group, config, epoch=0, weight=policy.weights(0), strata=policy.strata)
    shown = np.concatenate([plan.row[plan.label == 1] for plan in plans])
    assert 3 not in shown
    assert abs(np.count_nonzero(theta_e[shown] > 2) - len(shown) / 2) <= 1
    assert policy.notes[0] == "balance: 1 pair in no stratum, for want of a value: not shown"
    assert policy.notes[-1] == "balance: stratum theta_e>=2 has 1 host, shown as often as all of any other"
    assert policy.record()["strata"][2] == {"name": "theta_e>=2", "pairs": 3, "hosts": 1}


def test_balance_of_what_is_not_there_is_refused(make):
    cube = make(catalog={"theta_e_arcsec": np.full(len(make()), np.nan)})
    with pytest.raises(ConfigError, match="did you mean 'arc_snr'"):
        pair_strata(cube, np.arange(3), ("arcsnr",))
    with pytest.raises(ConfigError, match="theta_e of no training pair is known"):
        PairPolicy(cube, _rows(cube), TrainConfig(balance=("theta_e",)))


def test_another_band_stands_in_where_there_is_no_r(tmp_path):
    path = make_cube(tmp_path / "cube.h5", n_hosts=12, size=16, bands=("g", "i", "z"))
    with h5py.File(path, "r+") as file:
        sizes = file["catalog"].create_dataset("psfsize_i", data=np.full(36, 1.25))
        sizes.attrs["column"] = "psfsize_i"
    cube = Cube(path)
    found = pair_strengths(cube, np.arange(4))["theta_e"]
    assert found.source == "the catalog's theta_e_arcsec over psfsize_i"
    np.testing.assert_allclose(found.value, cube.catalog["theta_e_arcsec"][:4] / 1.25)
