"""What each of two processes does in `test_sync_norm`, and what one process does with the whole batch."""

from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gen5astro.config import TrainConfig
from gen5astro.errors import ShapeError
from gen5astro.training.losses import classification_loss, own_pairs, pair_contrast
from gen5astro.training.model import build_model, forward_with_embedding
from gen5astro.training.sync_norm import convert

SHARES = {"one process": (6,), "unequal": (4, 2), "empty": (6, 0)}
LAYERS = {
    "usual": {},
    "without weights": {"affine": False},
    "cumulative": {"momentum": None},
    "without averages": {"track_running_stats": False},
    "half": {},
}
CONTRASTS = ("margin", "infonce")


def run_two(folder):
    """Start two processes and return what each saw."""
    torch.multiprocessing.spawn(_run_rank, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pth", weights_only=True) for rank in range(2)]


def _run_rank(rank, folder):
    torch.set_num_threads(1)
    place = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=2, timeout=timedelta(seconds=60))
    try:
        seen = {}
        for shares in ("unequal", "empty"):
            seen.update({(shares, "layer", name): run_layer(name, shares, rank) for name in LAYERS})
            seen.update({(shares, "network", name): run_network(name, shares, rank) for name in CONTRASTS})
        seen["one value"] = _refusal_of_one_value(rank)
        seen["too few pairs"] = [_infonce_of_few(n_pairs if rank else 0) for n_pairs in (0, 1)]
        torch.save(seen, f"{folder}/{rank}.pth")
    finally:
        distributed.destroy_process_group()


def _share(shares, rank, *tensors):
    start = sum(SHARES[shares][:rank])
    return [each[start : start + SHARES[shares][rank]] for each in tensors]


def run_layer(name, shares="one process", rank=0):
    """Normalize a share of a batch twice, and differentiate a loss of which each image and channel has its own part."""
    generator = torch.Generator().manual_seed(0)
    dtype = torch.bfloat16 if name == "half" else torch.float64
    images = 3 + torch.randn(6, 3, 4, 5, dtype=torch.float64, generator=generator)
    factors = torch.randn(6, 3, 4, 5, dtype=torch.float64, generator=generator)
    layer = nn.Sequential(nn.BatchNorm2d(3, **LAYERS[name]))
    if name != "half":
        layer.double()
    for each in layer.parameters():
        each.data.normal_(generator=generator)
    layer = convert(layer, device="cpu")
    images, factors = _share(shares, rank, images.to(dtype), factors.to(dtype))
    images.requires_grad_()
    for _ in range(2):
        normalized = layer(images)
    (factors * normalized.square()).sum().backward()
    gradients = {key: each.grad for key, each in layer.named_parameters()}
    state = {key: each.clone() for key, each in layer.state_dict().items()}
    evaluated = layer.eval()(images).detach() if name != "without averages" else None
    return {
        "kind": type(layer[0]).__name__,
        "normalized": normalized.detach(),
        "gradient": images.grad,
        "gradients": gradients,
        "state": state,
        "evaluated": evaluated,
    }


def run_network(pair_loss, shares="one process", rank=0):
    """Take two steps on a loss of images and pairs, and return gradients and weights."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 16, 16, dtype=torch.float64, generator=generator)
    weight = torch.rand(6, dtype=torch.float64, generator=generator)
    label, draw = torch.tensor([1, 0, 1, 0, 1, 0]), torch.tensor([0, 0, 1, 1, 2, 2])
    whole = [weight.sum(), len(own_pairs(label, draw)[0])]
    images, weight, label, draw = _share(shares, rank, images, weight, label, draw)
    of_whole = [weight.sum() / whole[0], len(own_pairs(label, draw)[0]) / whole[1]]
    part, pair_part = (len(SHARES[shares]) * each for each in of_whole)
    config = TrainConfig(width=4, pair_loss=pair_loss)
    model = convert(build_model(config, 3).double(), device="cpu")
    network = DistributedDataParallel(model) if shares != "one process" else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        logits, embedding = forward_with_embedding(network, images)
        loss = part * classification_loss(logits[:, 0], label, weight, config)
        loss = loss + pair_part * pair_contrast(embedding, label, draw, config)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    gradients = {key: each.grad for key, each in model.named_parameters()}
    return {"gradients": gradients, "state": model.state_dict(), "logits": logits.detach(), "loss": loss.item()}


def _infonce_of_few(n_pairs):
    embedding = torch.eye(4, requires_grad=True)
    label, draw = torch.tensor([1, 0, 0, 0]), torch.tensor([0, 1 - n_pairs, 2, 3])
    loss = pair_contrast(embedding, label, draw, TrainConfig(pair_loss="infonce"))
    loss.backward()
    return loss.item(), embedding.grad.abs().max().item()


def _refusal_of_one_value(rank):
    layer = convert(nn.Sequential(nn.BatchNorm2d(2)), device="cpu")
    try:
        layer(torch.zeros(1 - rank, 2, 1, 1))
    except ShapeError as error:
        return str(error)
    return None
