"""What a step of the training lowers: the loss of the label, and a contrast of each stamp with its own ctrl.

The label's loss asks stamps to differ from ctrls, by whatever tells them apart in a batch. The contrast asks a stamp to
differ from the one image that is the same galaxy under the same noise, so that only what was injected can lower it.

Everything is computed in float32, or in the inputs' own type where that is wider.
"""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, normalize, softplus

from gen5astro.errors import ConfigError, ShapeError
from gen5astro.training.processes import gather_rows

__all__ = ["classification_loss", "own_pairs", "pair_contrast"]

# Below this length an embedding has no direction; dividing by less would only make its gradient explode.
_NO_LENGTH = 1e-6


def classification_loss(logits, label, weight, config):
    r"""Weighted mean of the binary cross-entropy, or of the focal loss, of some logits.

    With :math:`p` the sigmoid of a logit, and the label :math:`y` smoothed to :math:`t = y (1 - s) + s / 2`, an image
    costs

    .. math:: -t \, (1 - p)^\gamma \ln p - (1 - t) \, p^\gamma \ln(1 - p),

    which for :math:`s = 0` is Lin et al. 2017 (arXiv:1708.02002), eq. 4, and for :math:`\gamma = 0` the cross-entropy.

    Parameters
    ----------
    logits : float tensor, (n,)
        Higher means more probably a lens.
    label : tensor, (n,)
        1 or 0.
    weight : tensor, (n,), or None
        Weight of each image, 0 or more; None weighs all alike.
    config : TrainConfig
        Its `loss`, `focal_gamma` and `label_smoothing`.

    Returns
    -------
    loss : float tensor, ()
        Mean [nat], sum of weight times loss over sum of weights; 0 where no image has a weight.

    Raises
    ------
    ShapeError
        If `logits`, `label` and `weight` differ in length.
    """
    _check_shapes(logits.shape[:1], logits=logits, label=label, weight=weight)
    logits = _at_least_float32(logits)
    target = label.to(logits.dtype) * (1 - config.label_smoothing) + config.label_smoothing / 2
    if config.loss == "focal":
        loss = _focal(logits, target, config.focal_gamma)
    else:
        loss = binary_cross_entropy_with_logits(logits, target, reduction="none")
    weight = torch.ones_like(loss) if weight is None else weight.to(loss.dtype)
    return (weight * loss).sum() / weight.sum().clamp(min=torch.finfo(loss.dtype).tiny)


def _focal(logits, target, gamma):
    # The powers are taken as exp(gamma ln), whose gradient is finite for a probability of 0 and any gamma.
    log_p, log_q = logsigmoid(logits), logsigmoid(-logits)
    return -target * torch.exp(gamma * log_q) * log_p - (1 - target) * torch.exp(gamma * log_p) * log_q


def pair_contrast(embedding, label, draw, config):
    r"""Contrast of each stamp with its own ctrl, in the directions of their embeddings.

    With :math:`s_i` and :math:`c_i` the embeddings of stamp and ctrl of pair :math:`i`, divided by their lengths, and
    :math:`m` pairs,

    ``margin``
        .. math:: \frac{1}{m} \sum_i \tfrac12 \max(0, \mu - |s_i - c_i|)^2

        with :math:`\mu` the margin, at most 2 to be attainable: the dissimilar pairs of Hadsell, Chopra & LeCun 2006
        (CVPR, eq. 4).

    ``infonce``
        .. math:: \frac{1}{m (m - 1)} \sum_i \sum_{j \ne i}
            -\ln \frac{\exp(s_i \cdot s_j / T)}{\exp(s_i \cdot s_j / T) + \exp(s_i \cdot c_i / T)}

        with :math:`T` the temperature: InfoNCE (van den Oord et al. 2018, arXiv:1807.03748, eq. 4) with the stamp's
        own ctrl as the one negative, averaged over the positives outside of the logarithm (Khosla et al. 2020,
        arXiv:2004.11362, eq. 2), so that a stamp is drawn to all stamps and not only to the nearest.

    An embedding that knows only the host has :math:`s_i = c_i`. Its margin loss is the largest there is,
    :math:`\mu^2 / 2`, and no term of its InfoNCE is below :math:`\ln 2`, which a constant embedding has as well:
    without a cue to what tells a stamp from its own ctrl, neither can be lowered. That would not hold if ctrls repelled
    whose own stamps are not in the batch, since their hosts might differ from the stamps'. So images of a draw without
    both members take no part.

    Of several processes each has its own pairs :math:`i`, and :math:`j` are the stamps of all: the mean of what they
    get, weighted by their numbers of pairs (`Share.pair_part`), is the contrast of the whole batch, and its gradient as
    well. So for ``infonce`` all must call this together.

    Parameters
    ----------
    embedding : float tensor, (n, d)
        Of each image.
    label : tensor, (n,)
        1 for the stamp (first), 0 for the ctrl (first).
    draw : int64 tensor, (n,)
        Images of one number are a stamp and its own ctrl.
    config : TrainConfig
        Its `pair_loss`, `pair_margin` and `pair_temperature`.

    Returns
    -------
    loss : float tensor, ()
        0 for `pair_loss` ``none``, where there are no pairs, and for ``infonce`` where there is only one in all.

    Raises
    ------
    ShapeError
        If `embedding`, `label` and `draw` differ in length.
    ConfigError
        If `pair_temperature` is 0, or `pair_margin` above 2.
    """
    if embedding.ndim != 2:
        raise ShapeError("embedding", got=f"shape {tuple(embedding.shape)}", expected="(n, d)")
    stamps, ctrls = own_pairs(label, draw)
    _check_shapes(embedding.shape[:1], label=label)
    if len(stamps) < _FEWEST[config.pair_loss]:
        return _at_least_float32(embedding[:0]).sum()
    directions = normalize(_at_least_float32(embedding), dim=1, eps=_NO_LENGTH)
    return _CONTRASTS[config.pair_loss](directions[stamps], directions[ctrls], config)


def own_pairs(label, draw):
    """Find the pairs of a batch.

    Parameters
    ----------
    label : tensor, (n,)
        1 for the stamp (first), 0 for the ctrl (first).
    draw : int64 tensor, (n,)
        Images of one number are a stamp and its own ctrl, at most one of each.

    Returns
    -------
    stamps, ctrls : int64 tensor, (m,)
        Where the members of each pair are, in order of their draws.

    Raises
    ------
    ShapeError
        If `label` and `draw` differ in length.
    """
    _check_shapes(label.shape[:1], label=label, draw=draw)
    order = torch.argsort(2 * draw + (label == 0))
    first, second = order[:-1], order[1:]
    paired = (draw[first] == draw[second]) & (label[first] != label[second])
    return first[paired], second[paired]


def _margin(stamp, ctrl, config):
    if config.pair_margin > 2:
        raise ConfigError("train.pair_margin", got=config.pair_margin, expected="2 at most: two directions differ so")
    distance = torch.linalg.vector_norm(stamp - ctrl, dim=1)
    return 0.5 * (config.pair_margin - distance).clamp(min=0).square().mean()


def _infonce(stamp, ctrl, config):
    if not config.pair_temperature > 0:
        raise ConfigError("train.pair_temperature", got=config.pair_temperature, expected="a number above 0")
    stamps, first = gather_rows(stamp)
    own, others = (stamp * ctrl).sum(1), stamp @ stamps.T
    terms = softplus((own[:, None] - others) / config.pair_temperature)
    itself = torch.eye(len(stamps), dtype=torch.bool, device=stamp.device)[first : first + len(stamp)]
    return terms.masked_fill(itself, 0).sum() / max(len(stamp) * (len(stamps) - 1), 1)


def _at_least_float32(values):
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check_shapes(shape, **tensors):
    for name, each in tensors.items():
        if each is not None and each.shape != shape:
            raise ShapeError(name, got=f"shape {tuple(each.shape)}", expected=f"{tuple(shape)}, one for each image")


_CONTRASTS = {"margin": _margin, "infonce": _infonce}
# A process without pairs has stamps to gather all the same.
_FEWEST = {"none": float("inf"), "margin": 1, "infonce": 0}
