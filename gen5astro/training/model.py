"""Networks: torchvision's classifiers with any number of channels in and one logit out.

The only module that knows torchvision. Some builds of it cannot load their compiled detection operators beside a CPU
build of torch and fail to import; classifiers need none of these, so their signatures are declared and the import tried
again.
"""

import functools
import importlib
import urllib.error
from pathlib import Path

import torch
from torch import nn

from gen5astro.errors import ConfigError, MissingFileError, SchemaError, closest

__all__ = ["Committee", "build_model", "forward_with_embedding", "model_names"]

# Auxiliary heads (googlenet, inception) and a head that ends in a ReLU (squeezenet) cannot give one logit.
_UNFIT = ("googlenet", "inception", "squeezenet")
_BLOCKS = {
    "resnet18": ("BasicBlock", (2, 2, 2, 2)),
    "resnet34": ("BasicBlock", (3, 4, 6, 3)),
    "resnet50": ("Bottleneck", (3, 4, 6, 3)),
    "resnet101": ("Bottleneck", (3, 4, 23, 3)),
    "resnet152": ("Bottleneck", (3, 8, 36, 3)),
}
_OPERATORS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",)
_OPERATORS += ("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",)


class Committee(nn.Module):
    """Several networks as one, whose logit is the mean of theirs.

    The mean of logits is the logarithm of the geometric mean of the odds.

    Parameters
    ----------
    members : iterable of torch.nn.Module
        Each takes the same input.
    """

    def __init__(self, members):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images):
        """Score images.

        Parameters
        ----------
        images : float32 tensor, (n, channels, y, x)
            Normalized.

        Returns
        -------
        logits : float32 tensor, (n, 1)
            Higher means more probably a lens.
        """
        return torch.stack([member(images) for member in self.members]).mean(0)


def build_model(config, channels, *, shape=None):
    """Build a classifier that takes `channels` planes and gives one logit.

    Weights are drawn from `config.seed` alone. Pretrained weights of the first convolution are repeated over the
    channels and scaled by 3 / `channels`, so that channels of equal content give the response of the original.

    With `small_input_stem` a ResNet begins as those of He et al. 2016 (arXiv:1512.03385, section 4.2) for images of
    32 pix: a convolution of 3 x 3 pix at full resolution instead of 7 x 7 at half, and no pooling after it. An arc of
    few pixels then reaches the stages at four times the resolution, for sixteen times their computation. Pretrained
    weights must be those of a model that begins so too.

    Parameters
    ----------
    config : TrainConfig
        Its `model_name`, `pretrained`, `width`, `small_input_stem` and `seed`.
    channels : int
        Planes of an input.
    shape : tuple of int, optional
        ``(y, x)`` of an input, to try the model on.

    Returns
    -------
    model : torch.nn.Module
        Takes float32 (n, channels, y, x), gives float32 (n, 1); in training mode.

    Raises
    ------
    ConfigError
        If there is no such model, it has no `width` or no `small_input_stem`, its weights cannot be fetched or do not
        fit the stem, or it cannot take `shape`.
    MissingFileError
        If the file of weights is not there.
    SchemaError
        If the file's weights are not this model's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = _untrained(config) if config.pretrained is not True else _from_hub(config)
        if config.small_input_stem:
            _shrink_stem(model, config.model_name)
        if isinstance(config.pretrained, str):
            _load_weights(model, Path(config.pretrained))
        _adapt_first_convolution(model, channels, pretrained=bool(config.pretrained))
        _adapt_head(model)
    if shape is not None:
        _try_on(model, (1, channels, *shape), config.model_name)
    return model


def forward_with_embedding(model, images):
    """Compute logits, and what the last linear layer makes them of.

    Parameters
    ----------
    model : torch.nn.Module
        From `build_model`; it may be compiled and wrapped, by Fabric or DistributedDataParallel.
    images : float tensor, (n, channels, y, x)
        Inputs.

    Returns
    -------
    logits : float tensor, (n, 1)
        As ``model(images)`` gives them.
    embedding : float tensor, (n, d)
        Input of the last linear layer, after dropout where the model has it there. Gradients go through both.
    """
    head = next(each for each in model.modules() if isinstance(each, _Head))
    head.shows_input = True
    try:
        both = model(images)
    finally:
        head.shows_input = False
    return both[:, :1], both[:, 1:]


@functools.cache
def model_names():
    """List the classifiers that `build_model` can build.

    Returns
    -------
    names : tuple of str
        torchvision's names.
    """
    models = _models()
    return tuple(name for name in models.list_models(module=models) if not name.startswith(_UNFIT))


@functools.cache
def _models():
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    _declare_operators()
    return importlib.import_module("torchvision.models")


@functools.cache
def _declare_operators():
    """Declare the operators and keep the library, with which the declarations would go."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for signature in _OPERATORS:
        library.define(signature)
    return library


def _untrained(config):
    name = _checked_name(config.model_name)
    if config.width is None:
        return _models().get_model(name, weights=None)
    if name not in _BLOCKS:
        raise ConfigError(
            f"width = {config.width}",
            got=f"model {name!r}",
            expected=f"one of {', '.join(_BLOCKS)}",
            remedy="leave train.width out",
        )
    if config.width < 1:
        raise ConfigError("width", got=config.width, expected="1 or more")
    return _narrow_resnet(name, config.width)


def _checked_name(name):
    if name not in model_names():
        raise ConfigError(f"model_name {name!r}", got="no such classifier", remedy=closest(name, model_names()))
    return name


def _narrow_resnet(name, width):
    """Build a ResNet whose four stages have width, 2 width, 4 width and 8 width planes instead of 64 to 512."""
    resnet = importlib.import_module("torchvision.models.resnet")

    class NarrowResNet(resnet.ResNet):
        def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
            if planes == 64:
                self.inplanes = width
                self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
                self.bn1 = nn.BatchNorm2d(width)
            return super()._make_layer(block, planes * width // 64, blocks, stride, dilate)

    block, stages = _BLOCKS[name]
    model = NarrowResNet(getattr(resnet, block), list(stages))
    model.fc = nn.Linear(model.inplanes, model.fc.out_features)
    return model


def _shrink_stem(model, name):
    """Let a ResNet begin at full resolution, with weights as torchvision draws those of a ResNet."""
    if not isinstance(model, importlib.import_module("torchvision.models.resnet").ResNet):
        raise ConfigError(
            "small_input_stem = true",
            got=f"model {name!r}",
            expected="a ResNet, such as resnet18",
            remedy="leave train.small_input_stem out",
        )
    old = model.conv1
    model.conv1 = nn.Conv2d(old.in_channels, old.out_channels, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()


def _from_hub(config):
    if config.width is not None:
        raise ConfigError("pretrained = true", got=f"width = {config.width}", remedy="leave train.width out")
    if config.small_input_stem:
        raise ConfigError(
            "pretrained = true",
            got="small_input_stem = true",
            expected="the stem of 7 x 7 pix that the weights were trained behind",
            remedy="leave train.small_input_stem out, or pass train.pretrained=FILE of a model that has it",
        )
    name = _checked_name(config.model_name)
    try:
        return _models().get_model(name, weights="DEFAULT")
    except (urllib.error.URLError, OSError) as error:
        raise ConfigError(
            f"pretrained weights of {name}",
            got=f"no download: {getattr(error, 'reason', error)}",
            remedy="pass train.pretrained=FILE with weights that were saved before, or train.pretrained=false",
        ) from error


def _load_weights(model, path):
    """Load a state dict; parameters of the head may differ in shape or be absent."""
    if not path.is_file():
        raise MissingFileError(f"weights {path}", got="no such file", expected="a state dict saved by torch.save")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        shapes = {name: tuple(value.shape) for name, value in state.items()}
    except Exception as error:
        line = str(error).strip().partition("\n")[0]
        raise SchemaError(f"weights {path}", got=line, expected="a state dict saved by torch.save") from error
    head = _head_name(model)
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    wrong = [name for name, shape in own.items() if shapes.get(name) != shape and not name.startswith(f"{head}.")]
    wrong += [name for name in shapes if name not in own]
    if wrong:
        got = f"{wrong[0]} {shapes.get(wrong[0], 'absent')}" + (f" ({len(wrong)} such)" if len(wrong) > 1 else "")
        raise SchemaError(f"weights {path}", got=got, expected=f"those of the model ({own.get(wrong[0], 'no such')})")
    model.load_state_dict({name: value for name, value in state.items() if shapes[name] == own[name]}, strict=False)


def _adapt_first_convolution(model, channels, *, pretrained):
    name, old = next((name, each) for name, each in model.named_modules() if isinstance(each, nn.Conv2d))
    if old.in_channels == channels:
        return
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,
        stride=old.stride,
        padding=old.padding,
        dilation=old.dilation,
        bias=old.bias is not None,
    )
    if pretrained:
        with torch.no_grad():
            source = torch.arange(channels) % old.in_channels
            new.weight.copy_(old.weight[:, source] * (old.in_channels / channels))
            if old.bias is not None:
                new.bias.copy_(old.bias)
    else:
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    model.set_submodule(name, new)


def _head_name(model):
    return [name for name, each in model.named_modules() if isinstance(each, nn.Linear)][-1]


class _Head(nn.Linear):
    """A last layer that can give its input beside its output.

    As one tensor, which wrappers (DDP, autocast, torch.compile) pass on as they do any other; a hook they might miss.
    """

    shows_input = False

    def forward(self, features):
        logits = super().forward(features)
        return torch.cat([logits, features], dim=1) if self.shows_input else logits


def _adapt_head(model):
    name = _head_name(model)
    old = model.get_submodule(name)
    model.set_submodule(name, _Head(old.in_features, 1, bias=old.bias is not None))


def _try_on(model, shape, name):
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(shape))
    except (AssertionError, RuntimeError, ValueError) as error:
        line = str(error).strip().partition("\n")[0]
        got = f"{shape[-2]} x {shape[-1]} pix ({line})"
        raise ConfigError(
            f"model {name}", got=got, remedy="choose a model that takes any size, such as resnet18"
        ) from error
    finally:
        model.train()
