"""What the processes that share a batch tell each other within a step."""

import torch
from torch import distributed
from torch.autograd.function import once_differentiable

__all__ = ["gather_rows", "n_processes"]


def n_processes():
    """Count the processes of this run.

    Returns
    -------
    n : int
        1 where no other was started.
    """
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gather_rows(own):
    """Put the rows of all processes below each other, in the order of their ranks.

    What a process makes of the rows of another goes back to the other: the gradient of `own` is that of the sum of what
    all processes go backward from. All must call this, and go backward through it, together.

    Parameters
    ----------
    own : float tensor, (n, d)
        Rows of this process; n may differ between processes, and be 0.

    Returns
    -------
    rows : float tensor, (n_all, d)
        Rows of all processes; `own` itself in a single one.
    first : int
        Which of them is the first of `own`.
    """
    if n_processes() == 1:
        return own, 0
    rank = distributed.get_rank()
    counts = torch.zeros(n_processes(), dtype=torch.int64, device=own.device)
    counts[rank] = len(own)
    distributed.all_reduce(counts)
    counts = counts.tolist()
    first = sum(counts[:rank])
    return _Gather.apply(own, first, sum(counts)), first


class _Gather(torch.autograd.Function):
    """Copy rows into those of all processes, and add up what all processes ask of them."""

    @staticmethod
    def forward(ctx, own, first, n_rows):
        ctx.own = slice(first, first + len(own))
        # A sum with zeros, unlike a gathering, takes parts of any size, and changes no digit.
        rows = own.new_zeros(n_rows, own.shape[1])
        rows[ctx.own] = own
        distributed.all_reduce(rows)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        whole = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(whole)
        return whole[ctx.own], None, None
