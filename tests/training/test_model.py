"""Networks take any channels, give one logit, and are drawn from their seed alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gen5astro.config import TrainConfig
from gen5astro.errors import ConfigError, MissingFileError, SchemaError
from gen5astro.training.model import build_model, forward_with_embedding, model_names

SMALL = ("resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "densenet121")
LARGE = ("resnet34", "resnet50", "efficientnet_b0", "convnext_tiny")


@pytest.mark.parametrize(
    ("name", "channels"),
    [*((name, n) for name in SMALL for n in (1, 3, 6)), *((name, n) for name in LARGE for n in (3, 6))],
)
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


# --- the stem for small images ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "width"), [("resnet18", 4), ("resnet50", 4), ("resnet18", None), ("resnext50_32x4d", None)]
)
def test_a_small_stem_keeps_every_pixel_and_every_name(name, width):
    config = TrainConfig(model_name=name, width=width, small_input_stem=True)
    model, usual = build_model(config, 5, shape=(16, 16)), build_model(replace(config, small_input_stem=False), 5)
    seen = []
    model.layer1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    with torch.inference_mode():
        assert model.eval()(torch.zeros(1, 5, 16, 16)).shape == (1, 1)
    assert seen == [(1, width or 64, 16, 16)]
    assert list(model.state_dict()) == list(usual.state_dict())
    assert model.conv1.weight.shape == (width or 64, 5, 3, 3)


def test_a_small_stem_is_drawn_as_wide_as_torchvision_draws_a_stem():
    weight = build_model(TrainConfig(small_input_stem=True), 3).conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


def test_a_small_stem_needs_a_resnet():
    with pytest.raises(ConfigError, match="small_input_stem = true: got model 'densenet121'; expected a ResNet"):
        build_model(TrainConfig(model_name="densenet121", small_input_stem=True), 3)


def test_a_small_stem_takes_weights_of_its_own_kind_alone(weights, tmp_path):
    small = TrainConfig(width=4, small_input_stem=True, seed=1)
    original = build_model(small, 3)
    torch.save(original.state_dict(), tmp_path / "small.pth")
    model = build_model(replace(small, seed=2, pretrained=str(tmp_path / "small.pth")), 3)
    assert torch.equal(model.conv1.weight, original.conv1.weight)
    with pytest.raises(SchemaError, match=r"got conv1.weight \(64, 3, 7, 7\)"):
        build_model(TrainConfig(small_input_stem=True, pretrained=str(weights[0])), 3)
    with pytest.raises(ConfigError, match="7 x 7"):
        build_model(TrainConfig(small_input_stem=True, pretrained=True), 3)


# --- the embedding ----------------------------------------------------------------------------------------------------


def check_embedding(model, images):
    logits, embedding = forward_with_embedding(model.eval(), images)
    head = [each for each in model.modules() if isinstance(each, nn.Linear)][-1]
    assert embedding.shape == (len(images), head.in_features)
    torch.testing.assert_close(nn.functional.linear(embedding, head.weight, head.bias), logits)
    torch.testing.assert_close(model(images), logits)


@pytest.mark.parametrize("name", ["efficientnet_b0", "convnext_tiny", "mobilenet_v3_small", "swin_t"])
def test_the_embedding_is_what_the_last_layer_makes_the_logits_of(name):
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        check_embedding(build_model(TrainConfig(model_name=name), 3), images)


def test_a_transformer_of_one_size_has_an_embedding_as_well():
    with torch.inference_mode():
        check_embedding(build_model(TrainConfig(model_name="vit_b_32"), 3), torch.zeros(1, 3, 224, 224))


def test_a_compiled_network_gives_the_same_embedding_before_and_after_it_gave_logits():
    model = build_model(TrainConfig(width=4), 3).eval()
    compiled = torch.compile(model, backend="eager")
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = forward_with_embedding(model, images)
        for _ in range(2):
            for got, want in zip(forward_with_embedding(compiled, images), expected, strict=True):
                torch.testing.assert_close(got, want)
            assert compiled(images).shape == (2, 1)


def test_gradients_of_the_embedding_reach_all_layers_but_the_last():
    model = build_model(TrainConfig(width=4), 3)
    names = list(model.state_dict())
    _, embedding = forward_with_embedding(model, torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    embedding.square().sum().backward()
    assert all(each.grad.any() for name, each in model.named_parameters() if not name.startswith("fc."))
    assert not model.fc.weight.grad.any()
    assert list(model.state_dict()) == names


def test_a_forward_pass_that_fails_leaves_the_network_as_it_was():
    model = build_model(TrainConfig(width=4), 3).eval()
    with pytest.raises(RuntimeError):
        forward_with_embedding(model, torch.zeros(1, 5, 16, 16))
    assert model(torch.zeros(1, 3, 16, 16)).shape == (1, 1)
