"""The shortcut watch flags a network for what it reads, and no other."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from gen5astro.build import build_cube
from gen5astro.config import BuildConfig, Config, NormalizerSpec
from gen5astro.io.hdf5 import Cube
from gen5astro.leakage import sample_hosts
from gen5astro.training.reader import PairReader
from gen5astro.training.record import describe_epoch
from gen5astro.training.score import score_pairs
from gen5astro.training.validate import judge_scores
from gen5astro.training.views import VIEWS
from gen5astro.training.watch import mean_over_hosts, watch_shortcuts
from tests.sources import MemorySource
from tests.training.cubes import PIXEL_SCALE, make_block

SIZE, THETA_E = 32, 1.7
RADIUS = np.hypot(*(np.indices((SIZE, SIZE)) - (SIZE - 1) / 2))
ROWS = np.arange(72)


def _cube(path, *, spec, pedestal=0.0):
    """Rings of one radius, well outside the core, of 4 to 11 sky sigma; and a pedestal out to 13 pixels."""
    block = make_block(size=SIZE)
    arc = np.exp(-((RADIUS - THETA_E / PIXEL_SCALE) ** 2) / 4) * (block.catalog["arc_snr"] / 4)[:, None, None]
    block.stamp[...] = block.ctrl + (arc[:, None] + pedestal * (RADIUS < 13)).astype(np.float32)
    build_cube(MemorySource(block), path, config=Config(build=BuildConfig(split_seed=20), normalize=spec))
    return Cube(path)


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cubes")
    specs = {
        "linear": NormalizerSpec(kind="sky", stretch="none"),
        "asinh": NormalizerSpec(kind="sky", stretch="asinh", softening=3.0),
        "core": NormalizerSpec(kind="core", stretch="none"),
    }
    made = {name: _cube(folder / f"{name}.h5", spec=spec) for name, spec in specs.items()}
    return made | {"pedestal": _cube(folder / "pedestal.h5", spec=specs["linear"], pedestal=0.6)}


class _Weighted(torch.nn.Module):
    """Logit of a weighted sum of the pixels, the same in every band; `step` turns it into 0 or 1."""

    def __init__(self, weights, *, step=None):
        super().__init__()
        self.register_buffer("weights", torch.from_numpy(weights.astype(np.float32)))
        self.step = step

    def forward(self, images):
        logit = (images * self.weights).sum((1, 2, 3))[:, None]
        return logit if self.step is None else (logit > self.step).float()


def _mean(inside):
    return inside / inside.sum()


MEAN = _mean(np.ones((SIZE, SIZE)))
CORE = (RADIUS <= 1.0 / PIXEL_SCALE) * 1.0
RING = (
    _mean((RADIUS > 5.5) & (RADIUS < 7.5))
    - (_mean((RADIUS > 4) & (RADIUS < 5)) + _mean((RADIUS > 9) & (RADIUS < 10))) / 2
)


def _watch(cube, model, *, view="single", rows=ROWS, batch_size=20):
    found = watch_shortcuts(model, PairReader(cube, VIEWS[view]), cube, rows, batch_size=batch_size)
    json.dumps(found, allow_nan=False)
    assert [each["flagged"] for each in found] == [each["status"] == "FAIL" for each in found]
    return {each["name"]: each for each in found}


def _statuses(found):
    return {name: each["status"] for name, each in found.items()}


def test_a_network_that_reads_the_mean_is_flagged_by_a_pedestal_and_not_by_the_core(cubes):
    found = _watch(cubes["linear"], _Weighted(MEAN))
    assert _statuses(found) == {
        "brightness x1.1": "FAIL",
        "pedestal": "FAIL",
        "core swap": "PASS",
        "faint swap": "PASS",
    }
    pedestal = found["pedestal"]
    assert pedestal["shift"] == pytest.approx(3, rel=1e-5)
    assert pedestal["share"] == pytest.approx(3 / pedestal["scale"], rel=1e-5)


@pytest.mark.parametrize("normalizer", ["linear", "asinh"])
def test_a_network_that_reads_the_core_loses_all_of_its_separation_to_the_core_swap(cubes, normalizer):
    swap = _watch(cubes[normalizer], _Weighted(CORE))["core swap"]
    assert swap["flagged"]
    # Not to the last digit: the wings of the ring move the stored statistics of a stamp a little.
    assert swap["share"] == pytest.approx(-1, abs=0.01)


BORDER = _mean((RADIUS > 11) & (RADIUS < 12.5)) - _mean((RADIUS > 13) & (RADIUS < 14.5))


@pytest.mark.parametrize(("view", "model"), [("single", "_Weighted"), ("paired", "_FirstLessSecond")])
def test_a_network_that_reads_a_faint_pedestal_loses_it_and_one_that_reads_the_ring_does_not(cubes, view, model):
    reads_border = _watch(cubes["pedestal"], globals()[model](BORDER), view=view)["faint swap"]
    assert reads_border["flagged"]
    assert reads_border["share"] == pytest.approx(-1, abs=0.05)
    assert _watch(cubes["pedestal"], globals()[model](RING), view=view)["faint swap"]["status"] == "PASS"


@pytest.mark.parametrize("normalizer", ["linear", "core"])
def test_a_swapped_stamp_has_the_flux_of_its_ctrl_in_the_core_and_its_own_outside(cubes, normalizer):
    cube, seen = cubes[normalizer], []

    class Recorder(torch.nn.Module):
        def forward(self, images):
            seen.append(images.numpy().copy())
            return images.mean((1, 2, 3))[:, None]

    watch_shortcuts(Recorder(), PairReader(cube, VIEWS["single"]), cube, ROWS[:5], batch_size=10)
    location, scale = np.moveaxis(cube.normalizer_statistics["stamp"][:5], -1, 0)[..., None, None]
    swapped = 3 if normalizer == "linear" else 1
    flux, core = seen[swapped][:5] * scale + location, CORE.astype(bool)
    np.testing.assert_allclose(flux[..., core], np.asarray(cube.ctrl[:5])[..., core], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(flux[..., ~core], np.asarray(cube.stamp[:5])[..., ~core], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(seen[swapped][5:], seen[0][5:])


@pytest.mark.parametrize("normalizer", ["linear", "asinh"])
def test_a_network_that_reads_the_ring_against_its_surroundings_is_not_flagged(cubes, normalizer):
    found = _watch(cubes[normalizer], _Weighted(RING))
    assert set(_statuses(found).values()) == {"PASS"}
    if normalizer == "linear":
        assert found["pedestal"]["shift"] == pytest.approx(0, abs=1e-4 * found["pedestal"]["scale"])


def test_a_network_that_nothing_moves_has_shifts_of_exactly_nothing(cubes):
    found = _watch(cubes["linear"], _Weighted(RING, step=0.25))
    for each in found.values():
        assert (each["scale"], each["shift"], each["interval"]) == (1.0, 0.0, [0.0, 0.0])
        assert each["status"] == "PASS"


@pytest.mark.parametrize("weights", [0 * MEAN, -MEAN, -CORE])
def test_where_stamps_do_not_score_higher_yet_nothing_is_flagged_and_the_numbers_are_there(cubes, weights):
    for each in _watch(cubes["linear"], _Weighted(weights)).values():
        assert each["status"] == "INSUFFICIENT"
        assert each["share"] is None
        assert np.isfinite([each["shift"], *each["interval"], each["scale"]]).all()
        assert "yet" in each["note"]


def test_the_separation_is_that_of_the_scores(cubes):
    cube, model = cubes["asinh"], _Weighted(MEAN)
    logits = score_pairs(model, PairReader(cube, VIEWS["single"]), ROWS[:30], batch_size=8)
    found = _watch(cube, model, rows=ROWS[:30])["pedestal"]
    assert found["scale"] == pytest.approx(np.mean(logits[:, 0] - logits[:, 1]), rel=1e-5)
    assert (found["n_pairs"], found["n_hosts"]) == (30, len(np.unique(cube.group[:30])))


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_the_batches_do_not_matter(cubes, batch_size):
    one, other = (_watch(cubes["linear"], _Weighted(MEAN), batch_size=size) for size in (20, batch_size))
    for name, each in one.items():
        assert other[name]["shift"] == pytest.approx(each["shift"], rel=1e-5)


def test_the_brightness_of_what_is_above_the_noise_alone_is_changed(cubes):
    cube = cubes["linear"]
    pixels = PairReader(cube, VIEWS["single"]).read(np.tile(ROWS, 2), np.repeat([1, 0], 72))
    expected = 0.1 * np.where(pixels > 3, pixels, 0).sum((1, 2, 3)).mean()
    found = _watch(cube, _Weighted(np.ones((SIZE, SIZE))))["brightness x1.1"]
    assert found["shift"] == pytest.approx(expected, rel=1e-4)


class _FirstLessSecond(_Weighted):
    def forward(self, images):
        return super().forward(images[:, :3]) - super().forward(images[:, 3:])


def test_a_paired_input_is_probed_in_both_halves_which_exchange_their_cores(cubes):
    found = _watch(cubes["linear"], _FirstLessSecond(CORE), view="paired")
    assert found["pedestal"]["shift"] == pytest.approx(0, abs=1e-3)
    assert found["core swap"]["flagged"]
    assert found["core swap"]["share"] == pytest.approx(-1, abs=0.01)
    ring = _watch(cubes["linear"], _FirstLessSecond(RING), view="paired")
    assert set(_statuses(ring).values()) == {"PASS"}


def test_a_residual_can_lose_its_core_and_has_no_background(cubes):
    found = _watch(cubes["linear"], _Weighted(CORE), view="residual")
    assert found["core swap"]["flagged"]
    assert found["core swap"]["share"] == pytest.approx(-1, abs=1e-3)
    assert _watch(cubes["linear"], _Weighted(RING), view="residual")["core swap"]["status"] == "PASS"
    for name in ("brightness x1.1", "pedestal", "faint swap"):
        assert found[name]["status"] == "SKIP"
        assert "difference" in found[name]["note"]


def test_without_a_sky_sigma_what_is_counted_in_it_is_left_out(cubes):
    found = _watch(cubes["core"], _Weighted(RING))
    assert found["core swap"]["status"] == "PASS"
    assert {found[name]["status"] for name in ("brightness x1.1", "pedestal", "faint swap")} == {"SKIP"}
    assert "kind 'core'" in found["pedestal"]["note"]


def test_what_cannot_be_judged_does_not_pass(cubes):
    class Broken(torch.nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3))[:, None] * float("nan")

    assert set(_statuses(_watch(cubes["linear"], Broken())).values()) == {"ERROR"}
    assert set(_statuses(_watch(cubes["linear"], _Weighted(MEAN), rows=ROWS[:0])).values()) == {"INSUFFICIENT"}
    one_host = np.flatnonzero(cubes["linear"].group == cubes["linear"].group[0])
    alone = _watch(cubes["linear"], _Weighted(MEAN), rows=one_host)["pedestal"]
    assert (alone["status"], alone["interval"]) == ("INSUFFICIENT", None)
    assert alone["shift"] == pytest.approx(3, rel=1e-5)


def test_the_line_of_an_epoch_tells_what_is_read_from_what_misleads():
    unjudged = judge_scores(np.empty((0, 2)), np.empty(0, np.int64), rate=0.01)
    record = {"epoch": 1, "train_loss": 0.5, **unjudged, "images_per_s": None}
    names = ("brightness x1.1", "pedestal", "core swap", "faint swap")
    lines = {
        flagged: describe_epoch({**record, "watch": [{"name": each, "flagged": each in flagged} for each in names]}, 3)
        for flagged in ((), ("pedestal",), ("pedestal", "core swap", "faint swap"))
    }
    assert list(lines.values()) == [
        "epoch 1 of 3: loss 0.5000",
        "epoch 1 of 3: loss 0.5000; misled by pedestal",
        "epoch 1 of 3: loss 0.5000; SHORTCUT: reads the core and what is fainter than an arc; misled by pedestal",
    ]


def evenly_by_host(rows, groups, most):
    """As a run chooses the pairs that it tries."""
    return rows[sample_hosts(groups, most, np.random.default_rng(0))]


def test_every_host_is_tried_however_the_pairs_are_ordered():
    rows = 100 + np.arange(60)
    for groups in (np.arange(60) % 6, np.repeat(np.arange(6), 10)):
        chosen = evenly_by_host(rows, groups, 20)
        counts = np.bincount(groups[chosen - 100])
        assert len(chosen) == 20
        assert (counts.min(), counts.max()) == (3, 4)
        assert (np.diff(chosen) > 0).all()
    uneven = np.repeat([0, 1], [50, 10])
    assert np.bincount(uneven[evenly_by_host(rows, uneven, 30) - 100]).tolist() == [20, 10]
    assert evenly_by_host(rows, uneven, 0).size == 0
    assert evenly_by_host(rows, uneven, 99).tolist() == rows.tolist()


# --- the interval -----------------------------------------------------------------------------------------------------


def test_with_one_pair_a_host_the_interval_is_student_s():
    values = np.random.default_rng(0).normal(3, 2, 9)
    mean, ends = mean_over_hosts(values, np.arange(9) + 40)
    assert mean == pytest.approx(values.mean())
    expected = stats.t.interval(0.95, 8, loc=values.mean(), scale=stats.sem(values))
    np.testing.assert_allclose(ends, expected)


def test_pairs_that_repeat_what_their_host_says_add_nothing():
    rng = np.random.default_rng(1)
    values, groups = rng.normal(size=7), rng.permutation(7)
    once = mean_over_hosts(values, groups)
    assert mean_over_hosts(np.repeat(values, 5), np.repeat(groups, 5))[1] == pytest.approx(once[1])


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(2), 0
    groups = np.repeat(np.arange(12), 10)
    for _ in range(1000):
        low, high = mean_over_hosts(rng.normal(size=12)[groups] + rng.normal(size=120), groups)[1]
        held += low < 0 < high
    assert held == pytest.approx(950, abs=25)
