"""Two processes with a share of a batch each normalize, and learn, as one process with the whole batch."""

import pytest
import torch
from torch import nn

from gen5astro.config import TrainConfig
from gen5astro.training.model import build_model
from gen5astro.training.sync_norm import convert
from tests.training.ranks import CONTRASTS, LAYERS, run_layer, run_network, run_two

SHARES = pytest.mark.parametrize("shares", ["unequal", "empty"])


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return run_two(tmp_path_factory.mktemp("ranks"))


def tolerance(name):
    return {"rtol": 2e-2, "atol": 2e-2} if name == "half" else {"rtol": 1e-9, "atol": 1e-9}


@SHARES
@pytest.mark.parametrize("name", LAYERS)
def test_layers_normalize_by_the_whole_batch(ranks, name, shares):
    whole, parts = run_layer(name), [each[shares, "layer", name] for each in ranks]
    assert whole["kind"] == "BatchNorm2d" != parts[0]["kind"]
    for key in ("normalized", "evaluated"):
        if whole[key] is not None:
            torch.testing.assert_close(torch.cat([each[key] for each in parts]), whole[key], **tolerance(name))


@SHARES
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_go_through_the_statistics_to_the_images_of_all_processes(ranks, name, shares):
    whole, parts = run_layer(name), [each[shares, "layer", name] for each in ranks]
    torch.testing.assert_close(torch.cat([each["gradient"] for each in parts]), whole["gradient"], **tolerance(name))
    for key, gradient in whole["gradients"].items():
        total = sum(each["gradients"][key] for each in parts)
        torch.testing.assert_close(
            total, gradient, **(tolerance(name) if name != "half" else {"rtol": 0.05, "atol": 0.5})
        )


@SHARES
@pytest.mark.parametrize("name", LAYERS)
def test_running_statistics_are_those_of_the_whole_batch_on_every_process(ranks, name, shares):
    whole = run_layer(name)["state"]
    for rank in ranks:
        state = rank[shares, "layer", name]["state"]
        assert list(state) == list(whole)
        for key, value in whole.items():
            torch.testing.assert_close(state[key], value, rtol=1e-5 if name == "half" else 1e-9, atol=1e-9)


@SHARES
@pytest.mark.parametrize("pair_loss", CONTRASTS)
def test_a_network_learns_in_two_processes_what_it_learns_in_one(ranks, pair_loss, shares):
    whole, parts = run_network(pair_loss), [each[shares, "network", pair_loss] for each in ranks]
    assert sum(each["loss"] for each in parts) / 2 == pytest.approx(whole["loss"], rel=1e-9)
    torch.testing.assert_close(torch.cat([each["logits"] for each in parts]), whole["logits"], rtol=1e-8, atol=1e-8)
    for kind in ("gradients", "state"):
        for part in parts:
            assert list(part[kind]) == list(whole[kind])
            for key, value in whole[kind].items():
                torch.testing.assert_close(part[kind][key], value, rtol=1e-8, atol=1e-8)


def test_no_pair_and_a_single_one_of_all_processes_cost_nothing(ranks):
    assert [each["too few pairs"] for each in ranks] == [[(0.0, 0.0)] * 2] * 2


def test_a_single_value_cannot_be_normalized(ranks):
    assert [each["one value"] for each in ranks] == [
        "batch of all processes: got one value a channel; expected 2 or more to normalize by"
    ] * 2


def test_a_single_process_keeps_its_network():
    model = build_model(TrainConfig(width=4), 3)
    before = list(model.modules())
    assert convert(model, device="cpu") is model
    assert list(model.modules()) == before


@pytest.mark.parametrize(("device", "kind"), [("cuda", "SyncBatchNorm"), ("cpu", "_GlobalBatchNorm2d")])
def test_layers_keep_their_names_and_their_very_weights(monkeypatch, device, kind):
    monkeypatch.setattr("gen5astro.training.sync_norm.n_processes", lambda: 2)
    model = build_model(TrainConfig(width=4), 3)
    before, parameters = list(model.state_dict()), list(map(id, model.parameters()))
    convert(model, device=device)
    assert list(model.state_dict()) == before
    assert list(map(id, model.parameters())) == parameters
    norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    assert {type(each).__name__ for each in norms} == {kind}
    assert len(norms) == 20
    assert all(each.training for each in norms)


def test_evaluation_asks_no_other_process(monkeypatch):
    monkeypatch.setattr("gen5astro.training.sync_norm.n_processes", lambda: 2)
    model = build_model(TrainConfig(width=4), 3).eval()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(images)
        assert torch.equal(convert(model, device="cpu")(images), expected)
