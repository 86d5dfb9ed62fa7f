"""From the mapped cube to batches: which pairs, in which order, and their pixels as a network sees them.

A batch is planned first (rows, labels, augmentation) and read as a whole afterwards, so that the plan of an epoch
depends on the seed and the epoch alone and a broken run goes on where it stopped.
"""

from dataclasses import dataclass, replace

import numpy as np

from gen5astro.errors import ConfigError, FormatError, closest
from gen5astro.io.pixels import StoredPixels
from gen5astro.kernels.gather import gather, not_finite
from gen5astro.kernels.normalize import normalize
from gen5astro.training.observing import exposure_noise

__all__ = ["BatchPlan", "PairReader", "draw_by_host", "plan_epoch"]


@dataclass(frozen=True)
class BatchPlan:
    """What one batch shows.

    Parameters
    ----------
    row : int64 array, (n,)
        Row of the cube.
    label : int64 array, (n,)
        1 for the stamp (first), 0 for the ctrl (first).
    element : int64 array, (n,)
        Element of the dihedral group that the image is turned by, 0 to 7; 0 leaves it as it is.
    draw : int64 array, (n,)
        Images of one number are augmented alike: a stamp and its own ctrl.
    n_pairs : int
        How many positives, which is how far this batch takes an epoch.
    """

    row: np.ndarray
    label: np.ndarray
    element: np.ndarray
    draw: np.ndarray
    n_pairs: int

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


def plan_epoch(rows, groups, config, *, epoch, square=True):
    """Plan the batches of one epoch.

    An epoch shows as many positives as there are pairs. With `use_ctrl_as_negative`, each positive has its own ctrl in
    the same batch, turned the same way; where the ratio asks for more negatives than positives, or more positives than
    negatives, what is over comes from hosts drawn anew. Without it, all negatives are ctrls drawn anew.

    Parameters
    ----------
    rows : int64 array, (n,)
        Rows of the cube to train on.
    groups : int64 array, (n,)
        Group of each.
    config : TrainConfig
        Its `batch_size`, `batch_composition`, `use_ctrl_as_negative`, `augment` and `seed`.
    epoch : int
        Number of the epoch, from 0.
    square : bool
        Whether images are square, so that quarter turns are possible.

    Returns
    -------
    plans : list of BatchPlan
        Of nearly equal length; their number depends on `config` and the number of rows alone.

    Raises
    ------
    ConfigError
        If the composition or the batch size cannot be used.
    """
    positives, negatives = _batch_shares(config)
    rng = np.random.default_rng([config.seed, epoch])
    order = draw_by_host(groups, len(rows), rng)
    chunks = np.array_split(order, -(-len(rows) // positives))
    n_negatives = [max(1, round(len(chunk) * negatives / positives)) for chunk in chunks]
    n_own = [
        min(len(chunk), n) if config.use_ctrl_as_negative else 0 for chunk, n in zip(chunks, n_negatives, strict=True)
    ]
    others = draw_by_host(groups, sum(n_negatives) - sum(n_own), rng)
    plans = []
    for chunk, n, own in zip(chunks, n_negatives, n_own, strict=True):
        more, others = others[: n - own], others[n - own :]
        draw = np.concatenate([np.arange(len(chunk)), np.arange(own), len(chunk) + np.arange(n - own)])
        element = (rng.integers(8 if square else 4, size=len(chunk) + n - own) * config.augment)[draw]
        index = np.concatenate([chunk, chunk[:own], more])
        label = np.repeat([1, 0], [len(chunk), n])
        plans.append(BatchPlan(row=rows[index], label=label, element=element, draw=draw, n_pairs=len(chunk)))
    return plans


def _batch_shares(config):
    """Number of positives and of negatives in a full batch."""
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
    n_positives = min(max(1, round(config.batch_size * positives / (positives + negatives))), config.batch_size - 1)
    return n_positives, config.batch_size - n_positives


class PairReader:
    """Reads images of a cube as a network sees them: normalized by the stored statistics, in a view.

    Parameters
    ----------
    cube : Cube
        The open cube.
    view : View
        What an input shows.

    Raises
    ------
    ConfigError
        If the view is ``residual`` and the cube's scales are not the sky's sigma.
    """

    def __init__(self, cube, view):
        self.view = view
        self.spec = cube.normalizer_spec
        self.channels = view.channels(cube.bands)
        self._pixels = (_maps(cube.ctrl), _maps(cube.stamp))
        self._ends = np.cumsum([len(images) for images in self._pixels[0]])
        self._step = cube.step
        self._statistics = (cube.normalizer_statistics["ctrl"], cube.normalizer_statistics["stamp"])
        if view.name == "residual":
            _require_sky(self.spec, cube)
            self._noise = cube.row

    def read(self, row, label, element=None, *, noise=None):
        """Read, normalize and turn the inputs of a batch.

        Parameters
        ----------
        row : int64 array, (n,)
            Rows of the cube.
        label : int64 array, (n,)
            1 for the stamp (first), 0 for the ctrl (first).
        element : int64 array, (n,), optional
            Element of the dihedral group that each is turned by, as `gather` takes it.
        noise : int64 array, (n,), optional
            Seeds, from 0, of the noise that the view ``residual`` adds, from `noise_seeds`; images of one seed get the
            same. Default: the number of each pair's row in the input, so that a pair scores the same on every run.
            Other views have no use for it.

        Returns
        -------
        inputs : float32 array, (n, channels, y, x)
            Normalized; without unit.

        Raises
        ------
        FormatError
            If an image holds a pixel that is not finite.
        """
        element = np.zeros(len(row), np.int64) if element is None else element
        if self.view.name == "residual":
            inputs = self._residuals(row, label, element, noise)
        else:
            inputs = self._images(row, label, element)
        bad = not_finite(inputs)
        if bad.size:
            got = f"a pixel that is not finite in row {row[bad[0]]} of the cube ({bad.size} such images in one batch)"
            raise FormatError("training images", got=got, remedy="reject such rows when building the cube")
        return inputs

    def _images(self, row, label, element):
        """Show the images themselves, one or more side by side."""
        n_images, shape = self.view.images, self._pixels[0][0].shape[1:]
        inputs = np.empty((len(row) * n_images, *shape), np.float32)
        for at in range(n_images):
            for member in (0, 1):
                chosen = np.flatnonzero((label if at == 0 else 1 - label) == member)
                into = {"element": element[chosen], "out": inputs, "place": chosen * n_images + at}
                self._gather(member, row[chosen], statistics=self._statistics[member], spec=self.spec, **into)
        return inputs.reshape(len(row), self.channels, *shape[1:])

    def _residuals(self, row, label, element, noise):
        """Show each image less its ctrl, in units of the ctrl's scale and under the noise of two exposures."""
        shape = self._pixels[0][0].shape[1:]
        own, ctrl = np.empty((2, len(row), *shape), np.float32)
        # Both by the statistics of the ctrl: the location cancels, and what is equal cancels to the last bit.
        alike = {"statistics": self._statistics[0], "spec": replace(self.spec, stretch="none", clip=None)}
        for member in (0, 1):
            chosen = np.flatnonzero(label == member)
            self._gather(member, row[chosen], element=element[chosen], out=own, place=chosen, **alike)
        self._gather(0, row, element=element, out=ctrl, place=np.arange(len(row)), **alike)
        own -= ctrl
        own += np.float32(self.view.scatter) * exposure_noise(self._noise[row] if noise is None else noise, shape)
        return normalize(own, np.broadcast_to([0.0, 1.0], (*own.shape[:2], 2)), self.spec, out=own)

    def _gather(self, member, row, *, statistics, spec, element, out, place):
        """Gather rows from each of the files that hold them."""
        piece = np.minimum(np.searchsorted(self._ends, row, side="right"), len(self._ends) - 1)
        for number in np.unique(piece):
            chosen, images = np.flatnonzero(piece == number), self._pixels[member][number]
            first = self._ends[number] - len(images)
            own = statistics[first : first + len(images)]
            step = None if self._step is None else self._step[first : first + len(images)]
            turned = {"element": element[chosen], "out": out, "place": place[chosen]}
            gather(images, own, row[chosen] - first, spec, step=step, **turned)


def _require_sky(spec, cube):
    if spec.kind != "sky":
        raise ConfigError(
            "view 'residual'",
            got=f"cube {cube.path} normalized by kind {spec.kind!r}",
            expected="kind 'sky', whose scale is the sky's sigma: the noise is made by it",
            remedy="train with --set view=single, or build the cube with kind sky",
        )


def _maps(images):
    """Arrays that hold the images of a cube one after another as they are stored, without reading them."""
    return images.maps if isinstance(images, StoredPixels) else (np.asarray(images),)
