"""A running mean of a network's weights: steadier than the weights themselves, and what is judged and kept."""

import copy
from itertools import chain

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["AveragedWeights"]


class AveragedWeights:
    r"""Exponential moving average of a network (Polyak & Juditsky 1992).

    Update :math:`t = 0, 1, \ldots` makes of the mean :math:`m` and the network's present :math:`w`

    .. math:: m \leftarrow d_t m + (1 - d_t) w, \qquad d_t = \min\left(d, \frac{1 + t}{10 + t}\right),

    so that the weights of the beginning are soon forgotten (TensorFlow's ``ExponentialMovingAverage`` warms up so).
    Means and variances of batch normalization are averaged like weights, since the mean's activations are not those of
    the network; counters and what else is no floating-point number is copied.

    Parameters
    ----------
    model : torch.nn.Module
        The network as it begins; copied, to where it is.
    decay : float
        :math:`d`, 0 to 1.

    Attributes
    ----------
    model : torch.nn.Module
        The mean, in evaluation mode and without gradients; its state dict has the names of the network's own.
    n_updates : int
        Updates so far.
    """

    def __init__(self, model, *, decay):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.n_updates = 0

    @torch.no_grad()
    def update(self, model):
        """Let the mean follow, after a step.

        Parameters
        ----------
        model : torch.nn.Module
            The network, bare or wrapped; on the mean's device.
        """
        decay = min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
        means, values = [], []
        for mean, value in zip(_tensors(self.model), _tensors(model), strict=True):
            if mean.is_floating_point():
                means.append(mean)
                values.append(value.detach())
            else:
                mean.copy_(value)
        get_ema_multi_avg_fn(decay)(means, values, self.n_updates)
        self.n_updates += 1

    def state_dict(self):
        """Return what `load_state_dict` goes on from.

        Returns
        -------
        state : dict
            ``model``, a state dict, and ``n_updates``; tensors are the mean's own, not copies.
        """
        return {"model": self.model.state_dict(), "n_updates": self.n_updates}

    def load_state_dict(self, state):
        """Go on where another stood.

        Parameters
        ----------
        state : dict
            From `state_dict`.
        """
        self.model.load_state_dict(state["model"])
        self.n_updates = state["n_updates"]


def _tensors(model):
    return chain(model.parameters(), model.buffers())
