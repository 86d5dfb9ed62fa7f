"""The label's loss is the textbook's; the contrast of a pair falls by nothing but what stamp and own ctrl differ in."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from gen5astro.config import TrainConfig
from gen5astro.errors import ConfigError, ShapeError
from gen5astro.training.losses import classification_loss, own_pairs, pair_contrast

MARGIN = TrainConfig(pair_loss="margin", pair_margin=1.2)
INFONCE = TrainConfig(pair_loss="infonce", pair_temperature=0.5)
CONTRASTS = pytest.mark.parametrize("config", [MARGIN, INFONCE], ids=lambda config: config.pair_loss)


def make_batch(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, dtype=torch.float64, generator=generator)
    label = torch.randint(2, (n,), generator=generator)
    return logits, label, torch.rand(n, dtype=torch.float64, generator=generator)


def make_pairs(m, *, n_ctrls=0, dim=4, seed=0, dtype=torch.float64):
    """Return embedding, label and draw of m pairs and some ctrls of other draws, in the order of a batch plan."""
    n = 2 * m + n_ctrls
    embedding = torch.randn(n, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    label = torch.tensor([1] * m + [0] * (m + n_ctrls))
    return embedding, label, torch.tensor([*range(m), *range(m), *range(m, m + n_ctrls)])


# --- the label's loss -------------------------------------------------------------------------------------------------


def test_cross_entropy_is_that_of_torch():
    logits, label, weight = make_batch(50)
    expected = binary_cross_entropy_with_logits(logits, label.double())
    torch.testing.assert_close(classification_loss(logits, label, None, TrainConfig()), expected)
    expected = binary_cross_entropy_with_logits(logits, label.double(), weight, reduction="sum") / weight.sum()
    torch.testing.assert_close(classification_loss(logits, label, weight, TrainConfig()), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_focal_loss_is_its_formula(gamma, smoothing):
    logits, label, weight = (each.numpy() for each in make_batch(50))
    config = TrainConfig(loss="focal", focal_gamma=gamma, label_smoothing=smoothing)
    p, target = 1 / (1 + np.exp(-logits)), np.where(label, 1 - smoothing / 2, smoothing / 2)
    each = -target * (1 - p) ** gamma * np.log(p) - (1 - target) * p**gamma * np.log(1 - p)
    loss = classification_loss(*map(torch.from_numpy, (logits, label, weight)), config)
    assert loss.item() == pytest.approx(np.average(each, weights=weight), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_focal_loss_without_focus_is_the_cross_entropy(smoothing):
    focal = TrainConfig(loss="focal", focal_gamma=0.0, label_smoothing=smoothing)
    cross_entropy = TrainConfig(label_smoothing=smoothing)
    torch.testing.assert_close(*(classification_loss(*make_batch(50), each) for each in (focal, cross_entropy)))


def test_smoothed_labels_are_matched_by_their_own_logit_and_cost_their_entropy():
    share = 0.1
    logits = torch.tensor([1.0, -1.0], dtype=torch.float64) * math.log((1 - share / 2) / (share / 2))
    logits.requires_grad_()
    loss = classification_loss(logits, torch.tensor([1, 0]), None, TrainConfig(label_smoothing=share))
    loss.backward()
    entropy = -(1 - share / 2) * math.log(1 - share / 2) - share / 2 * math.log(share / 2)
    assert loss.item() == pytest.approx(entropy, rel=1e-12)
    torch.testing.assert_close(logits.grad, torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("config", [TrainConfig(), *(TrainConfig(loss="focal", focal_gamma=g) for g in (0, 0.5, 2))])
def test_loss_and_gradient_are_finite_however_sure_the_network_is(config):
    logits = torch.tensor([1e4, -1e4, 1e4, -1e4, 0.0], requires_grad=True)
    loss = classification_loss(logits, torch.tensor([1, 1, 0, 0, 1]), None, config)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[[1, 4]] < 0).all()
    assert logits.grad[2] > 0


def test_the_gradient_of_the_focal_loss_is_that_of_its_values():
    logits, label, weight = make_batch(8)
    config = TrainConfig(loss="focal", focal_gamma=1.5, label_smoothing=0.1)
    assert torch.autograd.gradcheck(
        lambda each: classification_loss(each, label, weight, config), logits.requires_grad_()
    )


def test_images_without_weight_do_not_count():
    logits, label, weight = make_batch(20)
    weight[10:] = 0
    few = classification_loss(logits[:10], label[:10], weight[:10], TrainConfig())
    torch.testing.assert_close(classification_loss(logits, label, weight, TrainConfig()), few)
    assert classification_loss(logits, label, 0 * weight, TrainConfig()) == 0


def test_half_precision_is_widened_first():
    logits, label, _ = make_batch(20)
    loss = classification_loss(logits.bfloat16(), label, None, TrainConfig())
    assert loss.dtype == torch.float32
    assert loss == classification_loss(logits.bfloat16().float(), label, None, TrainConfig())


def test_lengths_that_differ_are_refused():
    logits, label, weight = make_batch(6)
    with pytest.raises(ShapeError, match="logits: got shape"):
        classification_loss(logits[:, None], label, None, TrainConfig())
    with pytest.raises(ShapeError, match="weight: got shape"):
        classification_loss(logits, label, weight[:5], TrainConfig())
    with pytest.raises(ShapeError, match="embedding: got shape"):
        pair_contrast(logits, label, label, MARGIN)
    with pytest.raises(ShapeError, match="draw: got shape"):
        pair_contrast(logits[:, None], label, label[:5], MARGIN)
    with pytest.raises(ShapeError, match="label: got shape"):
        pair_contrast(logits[:5, None], label, label, MARGIN)


# --- the contrast of pairs --------------------------------------------------------------------------------------------


def test_pairs_are_found_wherever_their_members_are():
    label = torch.tensor([0, 1, 0, 1, 0, 1])
    draw = torch.tensor([7, 5, 5, 9, 8, 7])
    stamps, ctrls = own_pairs(label, draw)
    assert stamps.tolist() == [1, 5]
    assert ctrls.tolist() == [2, 0]


def test_the_margin_loss_is_its_formula():
    embedding, label, draw = make_pairs(5)
    unit = embedding.numpy() / np.linalg.norm(embedding, axis=1, keepdims=True)
    distance = np.linalg.norm(unit[:5] - unit[5:], axis=1)
    expected = np.mean(np.maximum(0, 1.2 - distance) ** 2) / 2
    assert pair_contrast(embedding, label, draw, MARGIN).item() == pytest.approx(expected, rel=1e-12)
    assert expected > 0


def test_infonce_is_its_formula():
    m = 5
    embedding, label, draw = make_pairs(m)
    unit = embedding.numpy() / np.linalg.norm(embedding, axis=1, keepdims=True)
    stamp, ctrl, terms = unit[:m], unit[m:], []
    for i in range(m):
        own = np.exp(stamp[i] @ ctrl[i] / 0.5)
        terms += [-np.log(near / (near + own)) for near in np.exp(stamp @ stamp[i] / 0.5)[np.arange(m) != i]]
    assert pair_contrast(embedding, label, draw, INFONCE).item() == pytest.approx(np.mean(terms), rel=1e-12)


@CONTRASTS
def test_the_order_in_a_batch_does_not_matter(config):
    batch = make_pairs(6, n_ctrls=3)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(pair_contrast(*(each[order] for each in batch), config), pair_contrast(*batch, config))


@CONTRASTS
def test_images_without_their_other_half_do_not_matter(config):
    embedding, label, draw = make_pairs(4, n_ctrls=5)
    alone = torch.tensor([1]), torch.tensor([99])
    more = torch.cat([embedding, embedding[:1]]), torch.cat([label, alone[0]]), torch.cat([draw, alone[1]])
    assert pair_contrast(*more, config) == pair_contrast(embedding[:8], label[:8], draw[:8], config)


@CONTRASTS
def test_only_directions_count(config):
    embedding, label, draw = make_pairs(6)
    longer = embedding * torch.linspace(0.5, 20, 12, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        pair_contrast(longer, label, draw, config), pair_contrast(embedding, label, draw, config)
    )


@CONTRASTS
@pytest.mark.parametrize("seed", range(5))
def test_no_embedding_of_the_host_alone_is_better_than_a_constant(config, seed):
    host, label, draw = make_pairs(8, seed=seed)
    host[8:] = host[:8]
    constant = pair_contrast(torch.ones_like(host), label, draw, config).item()
    assert constant == pytest.approx(0.5 * 1.2**2 if config is MARGIN else math.log(2), rel=1e-12)
    assert pair_contrast(host, label, draw, config) >= constant - 1e-12


@CONTRASTS
def test_what_a_pair_has_in_common_only_stands_in_the_way_of_its_arc(config):
    host, label, draw = make_pairs(8)
    host[8:] = host[:8]
    arc = torch.zeros_like(host)
    arc[:8, 0], arc[8:, 0] = 1, -1
    losses = [pair_contrast(share * host + arc, label, draw, config).item() for share in (1e3, 1, 0.1, 0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 3 * losses[-1]


@CONTRASTS
def test_it_falls_as_stamps_turn_away_from_their_ctrls(config):
    angles = torch.tensor([0.1, 0.4, 0.7, 1.0], dtype=torch.float64)
    label, draw = torch.tensor([1, 1, 0, 0]), torch.tensor([0, 1, 0, 1])
    losses = []
    for angle in angles:
        stamp, ctrl = torch.tensor([1.0, 0.0]), torch.stack([angle.cos(), angle.sin()])
        losses.append(pair_contrast(torch.stack([stamp, stamp, ctrl, ctrl]), label, draw, config).item())
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == 4


def test_a_margin_that_is_kept_costs_nothing():
    embedding, label, draw = make_pairs(6)
    embedding[6:] = -embedding[:6]
    embedding.requires_grad_()
    loss = pair_contrast(embedding, label, draw, MARGIN)
    loss.backward()
    assert loss == 0
    assert not embedding.grad.any()


def test_following_infonce_brings_stamps_together_and_ctrls_away():
    embedding, label, draw = make_pairs(8)
    embedding[8:] = embedding[:8] + 0.01 * embedding[8:]
    embedding.requires_grad_()
    for _ in range(500):
        (gradient,) = torch.autograd.grad(pair_contrast(embedding, label, draw, INFONCE), embedding)
        embedding.data -= 5 * gradient
    unit = torch.nn.functional.normalize(embedding.detach())
    assert (unit[:8] @ unit[:8].T).min() > 0.9
    assert (unit[:8] * unit[8:]).sum(1).max() < -0.9


@CONTRASTS
def test_the_gradient_is_that_of_the_values(config):
    embedding, label, draw = make_pairs(4, n_ctrls=1)
    assert torch.autograd.gradcheck(lambda each: pair_contrast(each, label, draw, config), embedding.requires_grad_())


@CONTRASTS
def test_an_embedding_of_zeros_or_of_equals_has_a_finite_gradient(config):
    for embedding in (torch.zeros(8, 3), torch.ones(8, 3)):
        _, label, draw = make_pairs(4)
        pair_contrast(embedding.requires_grad_(), label, draw, config).backward()
        assert torch.isfinite(embedding.grad).all()


@pytest.mark.parametrize(
    ("config", "n_pairs"), [(MARGIN, 0), (INFONCE, 0), (INFONCE, 1), (TrainConfig(pair_loss="none"), 3)]
)
def test_without_pairs_it_is_zero_and_can_be_differentiated(config, n_pairs):
    embedding, label, draw = make_pairs(n_pairs, n_ctrls=3)
    loss = pair_contrast(embedding.requires_grad_(), label, draw, config)
    loss.backward()
    assert loss == 0
    assert not embedding.grad.any()


@pytest.mark.parametrize(("key", "value"), [("margin", 2.5), ("infonce", 0.0)])
def test_a_margin_or_temperature_that_cannot_be_is_refused(key, value):
    name = {"margin": "pair_margin", "infonce": "pair_temperature"}[key]
    with pytest.raises(ConfigError, match=f"train.{name}: got {value}"):
        pair_contrast(*make_pairs(3), TrainConfig(pair_loss=key, **{name: value}))
