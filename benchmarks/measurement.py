"""The measurement pass over pairs, all columns, against the usual tools pair by pair."""

import warnings

import numpy as np
from astropy.stats import sigma_clipped_stats
from photutils.aperture import CircularAnnulus, CircularAperture, aperture_photometry

from benchmarks.comparison import Comparison, Peer
from gen5astro.config import InjectConfig, MeasureConfig
from gen5astro.inject import inject_blocks
from gen5astro.measure import measure_block
from gen5astro.sample import load_hosts


class Measurement(Comparison):
    """Every column of the measurement table, of 64 x 64 pairs in three bands; the peer stops at fluxes and the sky."""

    name = "measurement pass"
    unit = "pairs"
    count = 512
    toy = 3
    peers = {"time_photutils": Peer("photutils and sigma clipping", 30.0, share=0.05)}

    def setup(self):
        blocks = inject_blocks(load_hosts(), self.count, seed=0, config=InjectConfig(size=64), block=128, threads=1)
        self.blocks, self.config = list(blocks), MeasureConfig()
        columns = measure_block(self.blocks[0], self.config)
        self.centers = np.stack([columns["center_x"], columns["center_y"]], axis=-1)

    def time_gen5astro(self):
        return np.concatenate([measure_block(block, self.config)["stamp_core_flux"] for block in self.blocks])

    def time_photutils(self):
        block, fluxes = self.blocks[0], []
        for at in range(self.part("time_photutils")):
            for images in (block.stamp[at], block.ctrl[at]):
                flux = [self._measure_plane(plane.astype(np.float64), self.centers[at]) for plane in images]
                fluxes.append(flux)
        return np.array(fluxes[::2])

    def _measure_plane(self, plane, center):
        scale = self.blocks[0].pixel_scale
        radii = np.array([*self.config.apertures_arcsec, self.config.core_radius_arcsec]) / scale
        table = aperture_photometry(plane, [CircularAperture(center, radius) for radius in radii])
        sky = CircularAnnulus(center, 24, 32).to_mask(method="center").get_values(plane)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sigma_clipped_stats(sky)
        return float(table[f"aperture_sum_{len(radii) - 1}"][0])
