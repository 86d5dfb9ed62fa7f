"""Batch normalization over the batch of all processes, as one process with the whole batch has it.

Without it, each process normalizes by its own share of a batch: a run on four devices is another run than one on one
device, and shares of few images are noisy.

Its backward pass adds what the losses of all ranks ask of a statistic. So where each rank's loss is its part of the
whole batch's (`Share.part`), the gradients that DistributedDataParallel averages are those of the whole batch's loss.
"""

import torch
from torch import distributed, nn
from torch.autograd.function import once_differentiable

from gen5astro.errors import ShapeError
from gen5astro.training.processes import n_processes

__all__ = ["convert"]

_BUT_CHANNELS = (0, 2, 3)


def convert(model, *, device):
    """Let a network normalize by the batch of all processes, if there are several.

    Parameters and buffers stay the same objects under the same names. Statistics of running averages are those of the
    whole batch as well, the same on all ranks; evaluation is as before and asks no other process.

    Parameters
    ----------
    model : torch.nn.Module
        Its layers ``BatchNorm2d`` are replaced; not wrapped yet, by Fabric or DistributedDataParallel.
    device : torch.device or str
        Where it will be trained. On CUDA the layers become ``torch.nn.SyncBatchNorm``, which computes nowhere else;
        elsewhere they become layers that compute the same by all-reductions (of gloo, for instance).

    Returns
    -------
    model : torch.nn.Module
        The same; unchanged in a single process.
    """
    if n_processes() == 1:
        return model
    if torch.device(device).type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for name, old in list(model.named_modules()):
        if isinstance(old, nn.BatchNorm2d):
            model.set_submodule(name, _GlobalBatchNorm2d.like(old))
    return model


class _GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization (Ioffe & Szegedy 2015, arXiv:1502.03167) by the statistics of all ranks' images."""

    @classmethod
    def like(cls, old):
        """Make one of an ordinary layer, with its very parameters and buffers."""
        new = cls(old.num_features, old.eps, old.momentum, affine=False, track_running_stats=False)
        new.affine, new.track_running_stats, new.training = old.affine, old.track_running_stats, old.training
        for name in ("weight", "bias"):
            new.register_parameter(name, getattr(old, name))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            new.register_buffer(name, getattr(old, name))
        return new

    def forward(self, images):
        if not self.training and self.running_mean is not None:
            return super().forward(images)
        self._check_input_dim(images)
        return self._normalize_together(images)

    # Left out of a compiled network: the compiler cannot follow collectives in a backward pass of our own.
    @torch.compiler.disable
    def _normalize_together(self, images):
        normalized, mean, variance, n = _Normalize.apply(images, self.weight, self.bias, self.eps)
        if self.training and self.running_mean is not None:
            self._follow(mean, variance, n)
        return normalized

    @torch.no_grad()
    def _follow(self, mean, variance, n):
        """Move the running averages, of the unbiased variance, as an ordinary layer does."""
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean += share * (mean - self.running_mean)
        self.running_var += share * (variance * n / (n - 1) - self.running_var)


class _Normalize(torch.autograd.Function):
    """Normalize by mean and variance over all ranks, and differentiate the sum of all ranks' losses by the images."""

    @staticmethod
    def forward(ctx, images, weight, bias, eps):
        # Sums in float64: the variance is a small difference of large numbers. Empty shares add nothing.
        n = images.new_full((1,), images.numel() // images.shape[1], dtype=torch.float64)
        squares = torch.linalg.vector_norm(images, dim=_BUT_CHANNELS, dtype=torch.float64).square()
        sums = torch.cat([n, images.sum(_BUT_CHANNELS, dtype=torch.float64), squares])
        distributed.all_reduce(sums)
        n, mean, variance = sums[0], *(sums[1:] / sums[0]).chunk(2)
        if n <= 1:
            raise ShapeError("batch of all processes", got="one value a channel", expected="2 or more to normalize by")
        variance = (variance - mean.square()).clamp(min=0)
        dtype = torch.promote_types(images.dtype, torch.float32)
        mean, variance, inverse = (each.to(dtype) for each in (mean, variance, (variance + eps).rsqrt()))
        ctx.save_for_backward(images, weight, mean, inverse, n)
        ctx.mark_non_differentiable(mean, variance, n)
        normalized = (images - _wide(mean)) * _wide(inverse if weight is None else inverse * weight)
        normalized = normalized if bias is None else normalized + _wide(bias)
        return normalized.to(images.dtype), mean, variance, n

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, *_):
        images, weight, mean, inverse, n = ctx.saved_tensors
        standard = (images - _wide(mean)) * _wide(inverse)
        own = torch.stack([each.sum(_BUT_CHANNELS, dtype=torch.float64) for each in (gradient, gradient * standard)])
        whole = own.clone()
        distributed.all_reduce(whole)
        of_mean, of_scale = (whole / n).to(standard.dtype)
        of_images = gradient - _wide(of_mean) - standard * _wide(of_scale)
        of_images = of_images * _wide(inverse if weight is None else inverse * weight)
        # Gradients of weight and bias are this rank's alone: they are averaged with all other parameters' afterwards.
        of_bias, of_weight = (None, None) if weight is None else own.to(weight.dtype)
        return of_images.to(images.dtype), of_weight, of_bias, None


def _wide(values):
    return values[:, None, None]
