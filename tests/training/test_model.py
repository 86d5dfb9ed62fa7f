"""Networks take any channels, give one logit, and are drawn from their seed alone."""

import numpy as np
import pytest
import torch
from torch import nn

from gen5astro.config import TrainConfig
from gen5astro.errors import ConfigError, MissingFileError, SchemaError
from gen5astro.training.model import build_model, model_names


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "densenet121"])
def test_any_channels_in_and_one_logit_out(name, channels):
    model = build_model(TrainConfig(model_name=name), channels, shape=(64, 64))
    assert model.training
    with torch.inference_mode():
        assert model.eval()(torch.zeros(2, channels, 64, 64)).shape == (2, 1)


@pytest.mark.parametrize(("name", "expansion"), [("resnet18", 1), ("resnet50", 4)])
def test_the_width_scales_every_stage(name, expansion):
    model = build_model(TrainConfig(model_name=name, width=8), 3)
    assert model.conv1.out_channels == 8
    assert model.fc.in_features == 64 * expansion


def test_a_width_of_64_is_the_model_itself():
    own = {key: value.shape for key, value in build_model(TrainConfig(), 3).state_dict().items()}
    assert own == {key: value.shape for key, value in build_model(TrainConfig(width=64), 3).state_dict().items()}


def test_weights_come_from_the_seed_and_leave_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, third = (build_model(TrainConfig(width=8, seed=seed), 3).conv1.weight for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_an_unknown_model_names_the_closest():
    with pytest.raises(ConfigError, match="did you mean 'resnet18'"):
        build_model(TrainConfig(model_name="resnet_18"), 3)


def test_models_that_cannot_give_one_logit_are_not_offered():
    assert not [name for name in model_names() if name.startswith(("googlenet", "inception", "squeezenet"))]
    assert {"resnet18", "resnet50", "efficientnet_b0", "convnext_tiny"} < set(model_names())


def test_a_width_needs_a_resnet():
    with pytest.raises(ConfigError, match="expected one of resnet18"):
        build_model(TrainConfig(model_name="vgg11", width=8), 3)


def test_a_model_for_another_image_size_is_refused():
    with pytest.raises(ConfigError, match="64 x 64"):
        build_model(TrainConfig(model_name="maxvit_t"), 3, shape=(64, 64))


@pytest.fixture
def weights(tmp_path):
    from torchvision.models import resnet18

    model = resnet18(weights=None)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    return tmp_path / "weights.pth", model


def test_pretrained_weights_are_taken_and_the_head_is_new(weights):
    path, original = weights
    model = build_model(TrainConfig(pretrained=str(path)), 3)
    assert torch.equal(model.conv1.weight, original.conv1.weight)
    assert torch.equal(model.layer4[1].conv2.weight, original.layer4[1].conv2.weight)
    assert model.fc.out_features == 1


def test_inflated_weights_answer_equal_channels_as_the_original_does(weights):
    path, original = weights
    inflated = build_model(TrainConfig(pretrained=str(path)), 6).conv1
    plane = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = original.conv1(plane.expand(1, 3, 16, 16))
        np.testing.assert_allclose(inflated(plane.expand(1, 6, 16, 16)), expected, rtol=1e-4, atol=1e-5)


def test_weights_of_another_model_are_refused(weights):
    with pytest.raises(SchemaError, match="expected those of the model"):
        build_model(TrainConfig(model_name="resnet34", pretrained=str(weights[0])), 3)


def test_a_file_that_holds_no_weights_is_refused(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(SchemaError, match="a state dict"):
        build_model(TrainConfig(pretrained=str(tmp_path / "weights.pth")), 3)
    with pytest.raises(MissingFileError):
        build_model(TrainConfig(pretrained=str(tmp_path / "absent.pth")), 3)


def test_without_a_network_the_hub_is_named_in_one_line(monkeypatch):
    def refuse(*_args, **_more):
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "_is_legacy_zip_format", lambda _: False, raising=False)
    with pytest.raises(ConfigError, match="pretrained=FILE") as caught:
        build_model(TrainConfig(model_name="mnasnet0_5", pretrained=True), 3)
    assert "\n" not in str(caught.value)


def test_the_head_is_a_linear_layer():
    assert isinstance(build_model(TrainConfig(model_name="mobilenet_v3_small"), 3).classifier[-1], nn.Linear)
