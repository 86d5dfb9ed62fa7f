"""Exact medians and the stretch against NumPy, Bottleneck and PyTorch."""

import importlib

import numpy as np
import torch

from benchmarks.comparison import Comparison, Peer
from gen5astro.config import NormalizerSpec
from gen5astro.kernels.normalize import MAD_TO_SIGMA, normalize, normalizer_statistics

SPEC = NormalizerSpec(annulus_fraction=(0.0, 2.0))


def partitioned_median(values):
    half = values.shape[-1] // 2
    middle = np.partition(values, (half - 1, half), axis=-1)[..., half - 1 : half + 1]
    return middle.mean(axis=-1, keepdims=True)


class SkyImages(Comparison):
    """Images of an empty sky, their statistics, and room for the result."""

    count = 1500

    def setup(self):
        rng = np.random.default_rng(0)
        self.images = rng.normal(0.003, 0.02, (self.count, 3, 64, 64)).astype(np.float32)
        self.statistics = normalizer_statistics(self.images, SPEC, 0.262)
        self.out = np.empty_like(self.images)


class Stretch(SkyImages):
    """Scale and stretch by statistics that are stored."""

    name = "stretch with stored statistics"
    peers = {"time_torch": Peer("torch asinh", 35.0, share=0.2)}

    def time_gen5astro(self):
        return normalize(self.images, self.statistics, SPEC, out=self.out)

    def time_limit(self):
        np.copyto(self.out, self.images)

    def time_torch(self):
        part = slice(self.part("time_torch"))
        location, scale = torch.from_numpy(self.statistics[part].astype(np.float32))[..., None, None].unbind(2)
        return torch.asinh((torch.from_numpy(self.images[part]) - location) / (scale * SPEC.softening)).numpy()


class Normalization(SkyImages):
    """Median and MAD of every pixel of a band, then the stretch."""

    name = "exact median, MAD and stretch"
    peers = {
        "time_numpy": Peer("numpy partition", 5.0, share=0.2),
        "time_bottleneck": Peer("bottleneck median", 7.0, share=0.2, needs="bottleneck"),
    }

    def time_gen5astro(self):
        return normalize(self.images, normalizer_statistics(self.images, SPEC, 0.262), SPEC, out=self.out)

    def time_limit(self):
        return self.images.view(np.int64).sum()

    def time_numpy(self):
        return self._stretched("time_numpy", partitioned_median)

    def time_bottleneck(self):
        median = importlib.import_module("bottleneck").median
        return self._stretched("time_bottleneck", lambda values: median(values, axis=-1)[:, None])

    def _stretched(self, method, median):
        images = self.images[: self.part(method)].reshape(-1, 4096)
        location = median(images)
        scale = MAD_TO_SIGMA * median(np.abs(images - location))
        return np.arcsinh((images - location) / (scale * SPEC.softening)).reshape(-1, 3, 64, 64)
