"""What every epoch of a run shows, and which part of each batch is whose where several processes share it."""

import dataclasses
from functools import cached_property

import numpy as np

from gen5astro.training.dataset import count_batches, plan_epoch, size_notes
from gen5astro.training.extras import ExtraNegatives
from gen5astro.training.observing import noise_seeds
from gen5astro.training.policy import PairPolicy

__all__ = ["EpochPlans", "Share", "share_of"]


class EpochPlans:
    """The plans of all epochs, each made when it is asked for.

    Parameters
    ----------
    cube : Cube
        The cube.
    rows : int64 array, (n,)
        Its rows to train on.
    config : TrainConfig
        What an epoch shows.

    Attributes
    ----------
    extras : ExtraNegatives or None
        Negatives beyond the cube.
    policy : PairPolicy
        Which pairs an epoch shows, and their weights.
    notes : list of str
        What the user should know.
    """

    def __init__(self, cube, rows, config):
        self._rows, self._groups, self._config = rows, cube.group[rows], config
        self._square = cube.shape[0] == cube.shape[1]
        self.extras = None if config.extra_negatives is None else ExtraNegatives(config.extra_negatives, cube)
        self.policy = PairPolicy(cube, rows, config)
        self.notes = [*self.policy.notes, *(self.extras.notes if self.extras else ()), *size_notes(config)]
        if max(self._steps) == 1:
            self.notes.append(
                f"batch_size {config.batch_size}: an epoch of {max(self._shown):,} pairs is a single step"
            )

    @cached_property
    def _shown(self):
        return [each["shown"] for each in self.policy.record()["epochs"]]

    @cached_property
    def _steps(self):
        return [count_batches(shown, self._config) for shown in self._shown]

    @property
    def n_pairs(self):
        """Pairs that the whole run shows: int."""
        return sum(self._shown)

    @property
    def n_steps(self):
        """Steps of the whole run: int."""
        return sum(self._steps)

    def pairs_before(self, epoch):
        """Count the pairs that the epochs before one show.

        Parameters
        ----------
        epoch : int
            Its number, from 0.

        Returns
        -------
        pairs : int
            They.
        """
        return sum(self._shown[:epoch])

    def of(self, epoch):
        """Plan an epoch.

        Parameters
        ----------
        epoch : int
            Its number, from 0.

        Returns
        -------
        plans : list of BatchPlan
            Its batches; in the view ``residual`` with seeds of noise.
        """
        more = {"weight": self.policy.weights(epoch), "strata": self.policy.strata}
        n_extra = len(self.extras) if self.extras else 0
        options = {"epoch": epoch, "square": self._square, "n_extra": n_extra, **more}
        plans = plan_epoch(self._rows, self._groups, self._config, **options)
        if self._config.view != "residual":
            return plans
        seeds = enumerate(plans, start=sum(self._steps[:epoch]))
        return [
            dataclasses.replace(plan, noise=noise_seeds(self._config.seed, step, plan.draw)) for step, plan in seeds
        ]

    def record(self):
        """Say what is shown, in plain types.

        Returns
        -------
        record : dict
            ``policy``, and ``extra_negatives`` where there are any.
        """
        return {"policy": self.policy.record()} | ({"extra_negatives": self.extras.record()} if self.extras else {})


@dataclasses.dataclass(frozen=True)
class Share:
    """One process's part of a batch.

    Parameters
    ----------
    plan : BatchPlan
        The images of this process; pairs are whole, and `n_pairs` and the numbers of draws those of the whole batch.
    part : float
        What its mean loss is multiplied by, so that the mean over processes is the mean over the batch.
    pair_part : float
        The same for a mean over pairs.
    n_draws : int
        Different draws of the whole batch.
    """

    plan: object
    part: float
    pair_part: float
    n_draws: int


def share_of(plan, rank, n_processes):
    """Take one process's share of a batch.

    Parameters
    ----------
    plan : BatchPlan
        The whole batch.
    rank : int
        Number of the process, from 0.
    n_processes : int
        How many there are.

    Returns
    -------
    share : Share
        The images whose draw has this remainder; the whole batch where there is one process.
    """
    n_draws = int(plan.draw.max()) + 1
    mine = plan.draw % n_processes == rank
    columns = {
        each.name: value[mine]
        for each in dataclasses.fields(plan)
        if isinstance(value := getattr(plan, each.name), np.ndarray)
    }
    return Share(
        plan=dataclasses.replace(plan, **columns),
        part=float(n_processes * plan.weight[mine].sum(dtype=np.float64) / plan.weight.sum(dtype=np.float64)),
        pair_part=n_processes * _count_pairs(plan, mine) / max(_count_pairs(plan, ...), 1),
        n_draws=n_draws,
    )


def _count_pairs(plan, chosen):
    """Draws that have a stamp and a ctrl."""
    draw, label = plan.draw[chosen], plan.label[chosen]
    return len(np.intersect1d(draw[label == 1], draw[label == 0]))
