"""The batches of an epoch: the order of the pairs, and what stands beside them.

A batch is planned first (rows, labels, augmentation) and read as a whole afterwards (`gen5astro.training.reader`), so
that the plan of an epoch depends on the seed and the epoch alone and a broken run goes on where it stopped.
"""

from dataclasses import dataclass

import numpy as np

from gen5astro.errors import ConfigError, closest

__all__ = ["BatchPlan", "count_batches", "draw_balanced", "draw_by_host", "plan_epoch", "size_notes"]


@dataclass(frozen=True)
class BatchPlan:
    """What one batch shows.

    Parameters
    ----------
    row : int64 array, (n,)
        Row of the cube; -1 for an extra image.
    label : int64 array, (n,)
        1 for the stamp (first), 0 for the ctrl (first) and for an extra image.
    element : int64 array, (n,)
        Element of the dihedral group that the image is turned by, 0 to 7; 0 leaves it as it is.
    draw : int64 array, (n,)
        Images of one number are augmented alike: a stamp and its own ctrl.
    n_pairs : int
        How many positives, which is how far this batch takes an epoch. They come first, then the own ctrls of the
        first of them in the same order, then other ctrls, then extra images.
    weight : float32 array, (n,)
        Weight in the loss, above 0 and at most 1.
    extra : int64 array, (n,)
        Number of the extra image; -1 for an image of the cube.
    noise : int64 array, (n,), optional
        Seeds of the noise that the view ``residual`` adds.
    """

    row: np.ndarray
    label: np.ndarray
    element: np.ndarray
    draw: np.ndarray
    n_pairs: int
    weight: np.ndarray
    extra: np.ndarray
    noise: np.ndarray | None = None

    def __len__(self):
        return len(self.row)


def draw_by_host(groups, n, rng):
    """Draw pairs so that every host comes equally often, however many pairs it has.

    Of one host, no pair comes again before all have come once. Where every host has as many pairs, drawing as many as
    there are is one pass in random order.

    Parameters
    ----------
    groups : int64 array, (m,)
        Host, or group of hosts, of each pair.
    n : int
        Draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    drawn : int64 array, (n,)
        Indices into `groups`; the counts of any two hosts differ by at most 1.
    """
    _, host, members = np.unique(groups, return_inverse=True, return_counts=True)
    quota = n // len(members) + (rng.permutation(len(members)) < n % len(members))
    rounds = -(-quota // members)
    pair = np.repeat(np.arange(len(host)), rounds[host])
    round_of_pair = np.arange(len(pair)) - np.repeat(np.cumsum(rounds[host]) - rounds[host], rounds[host])
    order = np.lexsort((rng.random(len(pair)), round_of_pair, host[pair]))
    place = np.arange(len(pair)) - np.repeat(np.cumsum(rounds * members) - rounds * members, rounds * members)
    chosen = pair[order[place < np.repeat(quota, rounds * members)]]
    return rng.permutation(chosen)


def draw_balanced(strata, groups, n, rng):
    """Draw pairs so that every stratum comes equally often, and within a stratum every host.

    Equal strata come first: hosts that have pairs in more strata than others come more often than those.

    Parameters
    ----------
    strata : int64 array, (m,)
        Stratum of each pair.
    groups : int64 array, (m,)
        Host, or group of hosts, of each pair.
    n : int
        Draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    drawn : int64 array, (n,)
        Indices; the counts of any two strata differ by at most 1, as do those of any two hosts of one stratum.
    """
    names, stratum = np.unique(strata, return_inverse=True)
    quota = n // len(names) + (rng.permutation(len(names)) < n % len(names))
    members = [np.flatnonzero(stratum == at) for at in range(len(names))]
    drawn = [of[draw_by_host(groups[of], count, rng)] for of, count in zip(members, quota, strict=True)]
    return rng.permutation(np.concatenate(drawn))


def count_batches(n_pairs, config):
    """Count the batches of an epoch.

    Parameters
    ----------
    n_pairs : int
        Pairs that it shows: those of a weight above 0.
    config : TrainConfig
        Its `batch_size` and `batch_composition`.

    Returns
    -------
    batches : int
        As many as `plan_epoch` plans.

    Raises
    ------
    ConfigError
        If the composition or the batch size cannot be used.
    """
    return -(-n_pairs // _composition(config)[1])


def size_notes(config):
    """Say how large batches are, where they cannot be as large as was asked for.

    Parameters
    ----------
    config : TrainConfig
        Its `batch_size` and `batch_composition`.

    Returns
    -------
    notes : list of str
        A sentence, or none.
    """
    ratio, positives = _composition(config)
    size = positives + int(_count_negatives(positives, ratio))
    if size == config.batch_size:
        return []
    return [f"batch_size {config.batch_size}: batches hold {size}, the most in the ratio of batch_composition"]


def plan_epoch(rows, groups, config, *, epoch, square=True, weight=None, strata=None, n_extra=0):
    """Plan the batches of one epoch.

    An epoch shows as many positives as there are pairs of a weight above 0; pairs of weight 0 are not shown at all.
    Hosts come equally often (`draw_by_host`) or, given strata, these do first (`draw_balanced`). What gives way to
    what, in a batch of P positives:

    1. The ratio holds: N = P negatives / positives of them, rounded, and never none.
    2. Of the N, `extra_negative_share` N, rounded, are extra images, where there are such. They come in an order of
       their own that goes on from epoch to epoch: every one comes before any comes again.
    3. With `use_ctrl_as_negative`, own ctrls of the positives come next, turned the same way, until each has its own
       or the N are full: at a ratio of 1 : 1, each extra image takes the place of one of them.
    4. What is still missing are other ctrls, drawn as the positives are, so that a host is not known for its label.

    Parameters
    ----------
    rows : int64 array, (n,)
        Rows of the cube to train on.
    groups : int64 array, (n,)
        Group of each.
    config : TrainConfig
        Its `batch_size`, `batch_composition`, `use_ctrl_as_negative`, `extra_negative_share`, `augment` and `seed`.
    epoch : int
        Number of the epoch, from 0.
    square : bool
        Whether images are square, so that quarter turns are possible.
    weight : float array, (n,), optional
        Weight in the loss of each pair, that is of its stamp and of its own ctrl, from 0 to 1; default: 1. Other
        ctrls and extra images weigh 1.
    strata : int64 array, (n,), optional
        Stratum of each; those that still hold a pair come equally often.
    n_extra : int
        How many extra images there are.

    Returns
    -------
    plans : list of BatchPlan
        Of nearly equal length; their number depends on `config` and the number of pairs that are shown alone
        (`count_batches`), all else on seed and epoch as well.

    Raises
    ------
    ConfigError
        If the composition, the batch size or a weight cannot be used, or no pair is left.
    """
    weight = _checked_weight(weight, len(rows))
    shown = np.flatnonzero(weight)
    host, stratum = groups[shown], None if strata is None else strata[shown]
    rng = np.random.default_rng([config.seed, epoch])

    def draw_pairs(n):
        return shown[draw_by_host(host, n, rng) if strata is None else draw_balanced(stratum, host, n, rng)]

    sizes = _batch_sizes(len(shown), config, n_extra)
    chunks = _cut(draw_pairs(len(shown)), sizes["positives"])
    others = _cut(draw_pairs(sizes["others"].sum()), sizes["others"])
    # Where an epoch begins in the order of extra images must not hang on what earlier ones left out.
    before = epoch * int(_batch_sizes(len(rows), config, n_extra)["extras"].sum())
    extras = _cut(_extra_numbers(n_extra, before, int(sizes["extras"].sum()), config.seed), sizes["extras"])
    plans = []
    for chunk, own, more, extra in zip(chunks, sizes["own"], others, extras, strict=True):
        alone = len(more) + len(extra)
        draw = np.concatenate([np.arange(len(chunk)), np.arange(own), len(chunk) + np.arange(alone)])
        index, elsewhere = np.concatenate([chunk, chunk[:own], more]), np.full(len(extra), -1)
        paired = weight[index[: len(chunk) + own]]
        plan = BatchPlan(
            row=np.concatenate([rows[index], elsewhere]),
            label=np.repeat([1, 0], [len(chunk), own + alone]),
            element=(rng.integers(8 if square else 4, size=len(chunk) + alone) * config.augment)[draw],
            draw=draw,
            n_pairs=len(chunk),
            weight=np.concatenate([paired, np.ones(alone, np.float32)]),
            extra=np.concatenate([np.full(len(index), -1), extra]),
        )
        plans.append(plan)
    return plans


def _checked_weight(weight, n):
    """Weights in single precision, of which some are above 0."""
    weight = np.ones(n, np.float32) if weight is None else np.asarray(weight, np.float32)
    if weight.shape != (n,) or not ((weight >= 0) & (weight <= 1)).all():
        raise ConfigError("weight of the pairs", got=f"shape {weight.shape}", expected=f"{n} numbers from 0 to 1")
    if not weight.any():
        raise ConfigError("weight of the pairs", got=f"0 for each of {n:,}", expected="a pair to show")
    return weight


def _batch_sizes(n_pairs, config, n_extra):
    """How many positives, own ctrls, other ctrls and extra images each batch has: dict of int64 array, (batch,)."""
    ratio, _ = _composition(config)
    n_batches = count_batches(n_pairs, config)
    positives = n_pairs // n_batches + (np.arange(n_batches) < n_pairs % n_batches)
    negatives = _count_negatives(positives, ratio)
    extras = np.rint(config.extra_negative_share * negatives).astype(np.int64) * (n_extra > 0)
    own = np.minimum(positives, negatives - extras) * config.use_ctrl_as_negative
    return {"positives": positives, "own": own, "others": negatives - extras - own, "extras": extras}


def _count_negatives(positives, ratio):
    """Negatives beside some positives."""
    return np.maximum(1, np.rint(positives * ratio)).astype(np.int64)


def _composition(config):
    """Negatives a positive, and the most positives that fit into a batch together with their negatives."""
    shares = dict(config.batch_composition)
    for name in shares:
        if name not in ("positives", "negatives"):
            label = f"config key 'train.batch_composition.{name}'"
            raise ConfigError(label, got="an unknown name", remedy=closest(name, ("positives", "negatives")))
    positives, negatives = shares.get("positives", 1.0), shares.get("negatives", 1.0)
    if not (0 < positives < np.inf and 0 < negatives < np.inf):
        raise ConfigError("train.batch_composition", got=shares, expected="two numbers above 0")
    if config.batch_size < 2:
        raise ConfigError("train.batch_size", got=config.batch_size, expected="2 or more: a stamp and a ctrl")
    ratio = negatives / positives
    sizes = np.arange(1, config.batch_size)
    fits = sizes[sizes + _count_negatives(sizes, ratio) <= config.batch_size]
    if not len(fits):
        expected = f"{1 + _count_negatives(1, ratio)} or more: a positive with its negatives"
        raise ConfigError("train.batch_size", got=config.batch_size, expected=expected)
    return ratio, int(fits[-1])


def _cut(values, sizes):
    return np.split(values, np.cumsum(sizes)[:-1])


def _extra_numbers(n_extra, start, count, seed):
    """Part of the endless order of extra images: shuffled rounds through all of them, one after another."""
    if not count:
        return np.empty(0, np.int64)
    rounds = range(start // n_extra, (start + count - 1) // n_extra + 1)
    order = [np.random.default_rng([seed, at, 1]).permutation(n_extra) for at in rounds]
    return np.concatenate(order)[start % n_extra :][:count]
