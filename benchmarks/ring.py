"""Light of a ring in the core: the rule that serves any profile against the Gaussian's own function."""

import math

import numpy as np
from scipy.stats import ncx2

from benchmarks.comparison import Comparison, Peer
from gen5astro.kernels.psf import ring_core_fraction


class RingBudget(Comparison):
    """Share of a thin ring's light that a Gaussian PSF puts into the core."""

    name = "ring light in the core"
    unit = "rings"
    count = 100_000
    peers = {"time_scipy": Peer("scipy non-central chi-square", 0.5, share=0.2, tolerance=1e-10)}

    def setup(self):
        rng = np.random.default_rng(0)
        self.rings, self.fwhm = rng.uniform(0.3, 3, self.count), rng.uniform(0.9, 1.6, self.count)

    def time_gen5astro(self):
        return ring_core_fraction(self.rings, 1.0, fwhm=self.fwhm)

    def time_scipy(self):
        part = slice(self.part("time_scipy"))
        sigma = self.fwhm[part] / math.sqrt(8 * math.log(2))
        return ncx2.cdf((1.0 / sigma) ** 2, 2, (self.rings[part] / sigma) ** 2)
