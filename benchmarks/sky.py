"""The nearest object on the sky, which is SciPy's tree on unit vectors, against astropy's own match."""

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from benchmarks.comparison import Comparison, Peer
from gen5astro.sky import nearest_object

OTHERS = 100_000


class SkyMatch(Comparison):
    """A million positions over half the sky, matched with a hundred thousand, of which a tenth are theirs."""

    name = "nearest of 100,000 on the sky"
    unit = "positions"
    count = 1_000_000
    peers = {"time_astropy": Peer("astropy match_to_catalog_sky", 1.0)}

    def setup(self):
        rng = np.random.default_rng(0)
        self.place, self.others = (self._draw(rng, n) for n in (self.count, max(2, OTHERS * self.count // 10**6)))
        met = len(self.others[0]) // 10
        for mine, other in zip(self.place, self.others, strict=True):
            other[:met] = mine[:met] + rng.normal(0, 1 / 3600, met)

    def _draw(self, rng, n):
        return [rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-0.3, 0.7, n)))]

    def time_gen5astro(self):
        return nearest_object(*self.place, *self.others)[1]

    def time_astropy(self):
        place, others = (SkyCoord(*each, unit=u.deg) for each in (self.place, self.others))
        return place.match_to_catalog_sky(others)[1].arcsec
