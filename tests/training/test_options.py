"""Each option of a run has a run of a few steps, and a law that it keeps."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gen5astro.config import Config, TrainConfig
from gen5astro.errors import ConfigError, ExistsError, Gen5Error
from gen5astro.evaluation import evaluate
from gen5astro.inference import open_finder
from gen5astro.io.hdf5 import Cube
from gen5astro.training import TrainingRun, measure_speed, train, train_committee
from gen5astro.training.checkpoint import load_checkpoint, load_model
from gen5astro.training.dataset import plan_epoch
from gen5astro.training.feed import READERS, DeviceFeed, Feed, choose_memory, make_feed
from gen5astro.training.plans import share_of
from gen5astro.training.reader import PairReader
from gen5astro.training.validate import MIN_FALSE_POSITIVES, judge_scores, merit, validation_notes
from gen5astro.training.views import VIEWS
from tests.training.cubes import make_audit, make_cube

CPU = torch.device("cpu")


def settings(**more):
    quick = {"width": 4, "epochs": 1, "batch_size": 16, "accelerator": "cpu", "watch_pairs": 0}
    return Config(train=TrainConfig(**{**quick, **more}))


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return make_cube(tmp_path_factory.mktemp("cube") / "cube.h5", audit=make_audit())


OPTIONS = (
    {"view": "residual"},
    {"view": "paired"},
    {"loss": "focal", "label_smoothing": 0.1},
    {"pair_loss": "margin"},
    {"pair_loss": "infonce", "pair_weight": 0.5},
    {"arc_snr_policy": "weight", "arc_snr_threshold": 40.0},
    {"arc_snr_policy": "exclude", "arc_snr_threshold": 25.0},
    {"arc_snr_policy": "curriculum", "arc_snr_threshold": 30.0, "epochs": 2},
    {"balance": ("theta_e",)},
    {"ema_decay": 0.9},
    {"augment_shift_px": 1.5, "augment_band_jitter": 0.1, "augment_core_dropout": 0.5},
    {"augment_fwhm_arcsec": 2.0},
    {"augment": False, "clip_norm": 0.0},
    {"channels_last": True, "precision": "bf16-mixed"},
    {"small_input_stem": True},
    {"memory": "host"},
    {"memory": "device"},
    {"model_name": "convnext_tiny", "width": None},
)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda each: ",".join(f"{k}={v}" for k, v in each.items()))
def test_a_run_of_any_option_repeats_itself_and_goes_on_where_it_was_stopped(cube, tmp_path, options):
    """To the bit, on one processor: the weights, and what is judged."""
    whole = train(cube, tmp_path / "whole", config=settings(**options), threads=1)
    assert np.isfinite(whole["best"]["train_loss"])
    seen = []

    def cut(n):
        seen.append(n)
        if len(seen) == 3:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(cube, tmp_path / "run", config=settings(**options), threads=1, advance=cut)
    again = train(cube, tmp_path / "run", config=Config(), resume=True, threads=1)
    for name in ("train_loss", "val_loss", "val_auc", "val_completeness"):
        assert [each[name] for each in again["history"]] == [each[name] for each in whole["history"]]
    one, two = (load_checkpoint(tmp_path / name / "last.ckpt")["weights"] for name in ("whole", "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_in_the_middle_of_an_epoch_is_gone_on_from_to_the_bit(cube, tmp_path):
    """Every step writes one, as every few minutes do in a long run; the run dies between two."""
    config = settings(epochs=2, checkpoint_minutes=1e-9, ema_decay=0.5)
    whole = train(cube, tmp_path / "whole", config=config, threads=1)
    for step in (2, 5):
        seen = []

        def cut(n, seen=seen, step=step):
            seen.append(n)
            if len(seen) == step:
                raise RuntimeError("power cut")

        with pytest.raises(RuntimeError, match="power cut"):
            train(cube, tmp_path / "run", config=config, resume=step > 2, threads=1, advance=cut)
    assert load_checkpoint(tmp_path / "run" / "last.ckpt")["progress"]["batch"] > 0
    again = train(cube, tmp_path / "run", config=config, resume=True, threads=1)
    assert again["best"]["val_loss"] == whole["best"]["val_loss"]
    one, two = (load_checkpoint(tmp_path / name / "best.ckpt")["model"] for name in ("whole", "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_that_died_before_its_first_checkpoint_is_begun_again(cube, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text("[train]\n")
    summary = train(cube, tmp_path / "run", config=settings(), resume=True, threads=1)
    assert len(summary["history"]) == 1


def test_the_mean_of_the_weights_is_what_is_judged_and_kept(cube, tmp_path):
    train(cube, tmp_path / "run", config=settings(ema_decay=0.99), threads=1)
    last = load_checkpoint(tmp_path / "run" / "last.ckpt")
    assert all(torch.equal(last["model"][name], last["average"]["model"][name]) for name in last["model"])
    assert not all(torch.equal(last["model"][name], last["weights"][name]) for name in last["model"])


def test_a_run_that_gets_no_better_ends_early(cube, tmp_path):
    config = settings(epochs=9, patience=2, learning_rate=1e-12)
    lines = []
    summary = train(cube, tmp_path / "run", config=config, threads=1, say=lines.append)
    best = max(summary["history"], key=merit)["epoch"]
    assert len(summary["history"]) == best + 2 < 9
    assert lines[-1] == "stopped early: no better epoch in 2"
    # An end that was due is none that came early.
    due = replace(config, train=replace(config.train, epochs=best + 2))
    train(cube, tmp_path / "due", config=due, threads=1, say=lines.append)
    assert lines[-1].startswith(f"epoch {best + 2} of {best + 2}")


def test_an_override_is_in_the_metrics_the_checkpoint_and_the_record(cube, tmp_path):
    blocked = make_cube(tmp_path / "cube.h5", audit=make_audit("FAIL", "FAIL"))
    summary = train(blocked, tmp_path / "run", config=settings(view="paired"), override_gate="a comparison", threads=1)
    assert summary["override_gate"] == "a comparison"
    assert load_checkpoint(tmp_path / "run")["override_gate"] == "a comparison"
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [each["override_gate"] for each in rows] == ["a comparison"]
    record = evaluate(tmp_path / "run", blocked, config=Config())
    assert "a comparison" in record["warnings"][-1]
    assert {each["note"] for each in record["candidates"]} == {
        "view 'paired' needs a ctrl, which no image of the sky has"
    }


def test_a_committee_differs_in_its_seeds_and_goes_on_where_it_was(cube, tmp_path):
    summary = train_committee(cube, tmp_path / "all", config=settings(seed=3), n_seeds=2, threads=1)
    losses = [member["best"]["val_loss"] for member in summary["members"]]
    assert [member["config"]["seed"] for member in summary["members"]] == [3, 4]
    assert losses[0] != losses[1]
    assert summary["spread"]["val_loss"]["values"] == losses
    assert summary["spread"]["val_loss"]["std"] == pytest.approx(np.std(losses, ddof=1))
    more = train_committee(cube, tmp_path / "all", config=settings(seed=3), n_seeds=3, threads=1, resume=True)
    assert [member["best"]["val_loss"] for member in more["members"]][:2] == losses
    joined, _, _ = load_model(load_checkpoint(tmp_path / "all"))
    images = torch.randn(3, 3, 24, 24)
    own = [load_model(load_checkpoint(member["run"]))[0](images) for member in more["members"]]
    torch.testing.assert_close(joined(images), sum(own) / 3)
    of_sky, folders = images.numpy(), [tmp_path / "all", *(Path(member["run"]) for member in more["members"])]
    one, *each = (open_finder(folder).score(of_sky, 0.262, batch_size=4) for folder in folders)
    np.testing.assert_allclose(one, np.mean(each, axis=0), rtol=1e-5)
    with pytest.raises(ConfigError, match="1 or more"):
        train_committee(cube, tmp_path / "none", config=settings(), n_seeds=0)


def test_a_committee_loses_no_member_unless_it_is_made_anew(cube, tmp_path):
    out = tmp_path / "all"
    train_committee(cube, out, config=settings(), n_seeds=2, threads=1)
    before = (out / "best.ckpt").read_bytes()
    with pytest.raises(ConfigError, match=r"--seeds: got 1 from seed 0 on, and a member seed-1 that is none of them"):
        train_committee(cube, out, config=settings(), n_seeds=1, threads=1, resume=True)
    for how in ({"force": True}, {"resume": True}):
        with pytest.raises(ExistsError, match="got the folder of a committee; give --seeds 2 as well"):
            train(cube, out, config=settings(), threads=1, **how)
    assert (out / "best.ckpt").read_bytes() == before
    (out / "seed-1" / "notes.txt").write_text("mine")
    train_committee(cube, out, config=settings(), n_seeds=1, threads=1, force=True)
    assert len(load_checkpoint(out)["members"]) == 1
    assert [each.name for each in (out / "seed-1").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("form", ["float32", "float16", "int16"])
@pytest.mark.parametrize("view", ["single", "paired"])
def test_a_batch_put_together_on_the_device_is_the_one_read_from_the_disk(tmp_path, form, view):
    config = Config(build=replace(Config().build, split_seed=20, pixels=form))
    with Cube(make_cube(tmp_path / "cube.h5", config=config)) as cube:
        reader = PairReader(cube, VIEWS[view])
        rows = np.flatnonzero(cube.split == "train")
        plans = plan_epoch(rows, cube.group[rows], TrainConfig(batch_size=32), epoch=0)
        for mapped, held in zip(Feed(reader, CPU).batches(plans), DeviceFeed(reader, CPU).batches(plans), strict=True):
            np.testing.assert_allclose(held.images, mapped.images, atol=2e-6)
            for name in ("label", "draw", "row", "weight"):
                assert torch.equal(getattr(held, name), getattr(mapped, name))
        host = make_feed(reader, "host", CPU)
        assert host.reader.stored[0][0].base is None
        assert torch.equal(next(host.batches(plans)).images, next(Feed(reader, CPU).batches(plans)).images)


def test_memory_of_a_batch_is_used_again_as_soon_as_nothing_holds_it(cube, monkeypatch):
    rooms, empty = [], torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, **options: rooms.append(size) or empty(*size, **options))
    with Cube(cube) as opened:
        reader, rows = PairReader(opened, VIEWS["single"]), np.flatnonzero(opened.split == "train")
        plans = plan_epoch(rows, opened.group[rows], TrainConfig(batch_size=16), epoch=0)
        expected = [reader.read_plan(plan) for plan in plans]
        kept, n_batches = {}, 0
        for at, batch in enumerate(Feed(reader, CPU).batches(20 * plans)):
            n_batches += 1
            if at < len(plans):
                np.testing.assert_array_equal(batch.images, expected[at])
            if at in (1, 4):
                kept[at] = batch.images[1:].numpy()
        for at, images in kept.items():
            np.testing.assert_array_equal(images, expected[at][1:])
    # Each thread has as many as are under way or held at once.
    assert 0 < len(rooms) <= READERS * (2 * READERS + 5) < n_batches / 2


def test_memory_is_chosen_by_size_and_what_does_not_fit_is_refused(cube, monkeypatch):
    from gen5astro.training import feed

    with Cube(cube) as opened:
        reader = PairReader(opened, VIEWS["single"])
        assert choose_memory("auto", reader, CPU)[0] == "mapped"
        monkeypatch.setattr(feed, "_available_memory", lambda: 1000)
        with pytest.raises(ConfigError, match=r"train\.memory: got host, where 0\.0 GB are free"):
            choose_memory("host", reader, CPU)
        with pytest.raises(ConfigError, match="are made on the host"):
            choose_memory("device", PairReader(opened, VIEWS["residual"]), CPU)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("composition", [{"positives": 1, "negatives": 1}, {"positives": 1, "negatives": 3}])
def test_the_shares_of_processes_are_the_batch_and_their_mean_loss_is_its(n, composition):
    rng = np.random.default_rng(0)
    config = TrainConfig(batch_size=24, batch_composition=composition)
    (plan, *_) = plan_epoch(np.arange(60), np.arange(60) // 3, config, epoch=0, weight=rng.uniform(0.1, 1, 60))
    shares = [share_of(plan, rank, n) for rank in range(n)]
    together = np.sort(np.concatenate([share.plan.row * 2 + share.plan.label for share in shares]))
    np.testing.assert_array_equal(together, np.sort(plan.row * 2 + plan.label))
    loss = dict(zip(range(len(plan)), rng.random(len(plan)), strict=True))
    each = np.array([loss[at] for at in range(len(plan))])
    whole = (plan.weight * each).sum() / plan.weight.sum()
    parts = []
    for rank, share in enumerate(shares):
        mine = plan.draw % n == rank
        own = (plan.weight[mine] * each[mine]).sum() / plan.weight[mine].sum()
        parts.append(share.part * own)
        stamps, ctrls = (share.plan.draw[share.plan.label == label] for label in (1, 0))
        assert set(stamps) <= set(ctrls)
        assert share.n_draws == plan.draw.max() + 1
    assert np.mean(parts) == pytest.approx(whole, rel=1e-6)
    assert np.mean([share.pair_part for share in shares]) == pytest.approx(1.0)


def test_validation_is_judged_by_what_a_search_can_afford():
    rng = np.random.default_rng(0)
    logits = rng.normal((2.0, 0.0), size=(2000, 2))
    hosts = np.arange(2000)
    found = judge_scores(logits, hosts, rate=0.01)
    threshold = np.sort(logits[:, 1])[::-1][20]
    assert found["val_completeness"] == pytest.approx(np.mean(logits[:, 0] > threshold), abs=1e-9)
    assert found["val_false_positive_rate"] == 0.01
    assert judge_scores(logits[:100], hosts[:100], rate=0.01)["val_false_positive_rate"] == MIN_FALSE_POSITIVES / 100
    assert set(judge_scores(logits[:0], hosts[:0], rate=0.01).values()) == {None}
    # The ctrl of a host is one negative, however many arcs it was given.
    logits[:, 1] = logits[hosts % 50, 1]
    repeated = judge_scores(logits, hosts % 50, rate=0.01)
    assert repeated["val_false_positive_rate"] == MIN_FALSE_POSITIVES / 50
    threshold = np.sort(logits[:50, 1])[::-1][10]
    assert repeated["val_completeness"] == pytest.approx(np.mean(logits[:, 0] > threshold), abs=1e-9)
    others = (hosts[:, None] - hosts) % 50 != 0
    above = logits[:, :1] > logits[:, 1]
    assert repeated["val_auc"] == pytest.approx(above[others].mean(), abs=1e-12)


def test_validation_on_few_hosts_states_no_completeness_and_the_auc_decides():
    logits = np.random.default_rng(0).normal((1.0, 0.0), size=(400, 2))
    few = judge_scores(logits, np.arange(400) % 19, rate=0.01)
    assert (few["val_completeness"], few["val_false_positive_rate"]) == (None, None)
    assert few["val_auc"] is not None
    better = {**few, "val_auc": few["val_auc"] + 0.01, "val_loss": few["val_loss"] + 1, "epoch": 1}
    assert merit(better) > merit({**few, "epoch": 2})
    (note,) = validation_notes(0.01, 19)
    assert "19 hosts: too few to state a completeness (20 needed)" in note
    assert "at a false-positive rate of 0.5, not 0.01" in validation_notes(0.01, 20)[0]
    assert validation_notes(0.01, 1000) == validation_notes(0.01, 0) == []
    alone = judge_scores(logits, np.zeros(400, np.int64), rate=0.01)
    assert alone["val_auc"] is None
    assert alone["val_loss"] == few["val_loss"]


def test_the_measure_of_speed_counts_what_it_says(cube, tmp_path):
    run = TrainingRun(cube, tmp_path / "run", config=settings(), threads=1)
    record = measure_speed(run, seconds=0.05)
    assert record["ratio"] == pytest.approx(record["trained"] / record["same_batch"], rel=1e-2)
    assert record["loader_ratio"] == pytest.approx(record["read"] / record["kernel"], rel=1e-2)
    assert 0 <= record["loader_share"] <= 1
    assert re.match(r"CPU, 1 process", record["device"])
    json.dumps(record, allow_nan=False)


def test_the_record_shows_the_curriculum_and_the_prior(cube, tmp_path):
    config = settings(epochs=3, arc_snr_policy="curriculum", arc_snr_threshold=35.0, curriculum_fraction=0.6)
    summary = train(cube, tmp_path / "run", config=config, threads=1)
    thresholds = [each["arc_snr_threshold"] for each in summary["shown"]["policy"]["epochs"]]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] == 35.0
    assert thresholds[-1] == 0.0
    shown = [each["shown"] for each in summary["shown"]["policy"]["epochs"]]
    assert shown[0] < shown[-1] == summary["counts"]["train"]
    assert summary["prior"]["logit_shift"] == pytest.approx(np.log(1e-3 / 0.999))
    with pytest.raises(Gen5Error):
        train(cube, tmp_path / "none", config=settings(arc_snr_policy="exclude", arc_snr_threshold=1e6))
