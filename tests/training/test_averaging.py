"""The mean of weights is its closed form, goes on to the bit, and loads as the network itself."""

import copy

import pytest
import torch
from torch import nn

from gen5astro.config import TrainConfig
from gen5astro.training.averaging import AveragedWeights
from gen5astro.training.model import build_model


class OneWeight(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(value.clone())


def steps_of(model, n, *, seed=0):
    """Change a network at random, weights and statistics, and yield it after each step."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        with torch.no_grad():
            model.train()(torch.randn(4, 3, 16, 16, generator=generator))
            for each in model.parameters():
                each += 0.01 * torch.randn(each.shape, generator=generator)
        yield model


def assert_same(first, second):
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 1.0])
def test_the_mean_of_a_weight_is_its_closed_form(decay):
    values = torch.randn(30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = OneWeight(values[0])
    average = AveragedWeights(model, decay=decay)
    for value in values[1:]:
        model.weight.data.fill_(value)
        average.update(model)
    decays = [min(decay, (1 + t) / (10 + t)) for t in range(29)]
    shares = [torch.tensor(decays, dtype=torch.float64).prod()]
    shares += [(1 - decays[t]) * torch.tensor(decays[t + 1 :], dtype=torch.float64).prod() for t in range(29)]
    assert sum(shares).item() == pytest.approx(1)
    torch.testing.assert_close(average.model.weight.data, (torch.stack(shares) * values).sum())
    assert average.n_updates == 29


def test_once_warm_the_mean_is_that_of_torch():
    model = build_model(TrainConfig(width=4), 3)
    average = AveragedWeights(model, decay=0.05)
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(0.05)
    other = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=ema, use_buffers=True)
    other.update_parameters(model)
    for _ in steps_of(model, 4):
        average.update(model)
        other.update_parameters(model)
    for name, value in average.model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, other.module.state_dict()[name])


def test_statistics_are_averaged_and_counters_copied():
    model = build_model(TrainConfig(width=4), 3)
    average = AveragedWeights(model, decay=0.9)
    statistics = [model.bn1.running_mean.clone()]
    for _ in steps_of(model, 2):
        average.update(model)
        statistics.append(model.bn1.running_mean.clone())
    mean = 0.1 * statistics[0] + 0.9 * statistics[1]
    mean = 2 / 11 * mean + 9 / 11 * statistics[2]
    torch.testing.assert_close(average.model.bn1.running_mean, mean)
    assert average.model.bn1.num_batches_tracked == 2


def test_a_mean_that_goes_on_equals_an_unbroken_one_to_the_bit(tmp_path):
    model = build_model(TrainConfig(width=4), 3)
    unbroken, broken = (AveragedWeights(model, decay=0.9) for _ in range(2))
    for step, _ in enumerate(steps_of(model, 6)):
        if step == 3:
            torch.save(broken.state_dict(), tmp_path / "average.pth")
            broken = AveragedWeights(build_model(TrainConfig(width=4, seed=5), 3), decay=0.9)
            broken.load_state_dict(torch.load(tmp_path / "average.pth", weights_only=True))
        unbroken.update(model)
        broken.update(model)
    assert_same(unbroken.model.state_dict(), broken.model.state_dict())
    assert unbroken.n_updates == broken.n_updates


def test_the_mean_loads_as_the_network_and_leaves_it_alone():
    model = build_model(TrainConfig(width=4), 3)
    average = AveragedWeights(model, decay=0.9)
    for _ in steps_of(model, 2):
        before = copy.deepcopy(model.state_dict())
        average.update(model)
        assert_same(before, model.state_dict())
    fresh = build_model(TrainConfig(width=4), 3)
    fresh.load_state_dict(average.model.state_dict())
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(fresh.eval()(images), average.model(images))
    assert model.training
    assert all(each.requires_grad for each in model.parameters())
    assert not any(each.requires_grad for each in average.model.parameters())


def test_a_wrapped_network_is_followed_as_a_bare_one_is():
    model = build_model(TrainConfig(width=4), 3)
    wrapped = torch.compile(model, backend="eager")
    averages = [AveragedWeights(model, decay=0.9) for _ in range(2)]
    for _ in steps_of(model, 2):
        averages[0].update(model)
        averages[1].update(wrapped)
    assert_same(*(each.model.state_dict() for each in averages))
