"""The measurement pass over pairs, from the file to all columns, against the usual tools pair by pair."""

import warnings

import numpy as np
import pyarrow.parquet as pq
from astropy.stats import sigma_clipped_stats
from photutils.aperture import CircularAnnulus, CircularAperture, aperture_photometry
from photutils.centroids import centroid_com

from benchmarks.comparison import Comparison, Peer
from benchmarks.loading import load
from gen5astro.config import InjectConfig, MeasureConfig
from gen5astro.inject import inject_blocks
from gen5astro.io.parquet import PairWriter, ParquetPairs
from gen5astro.measure import measure_block
from gen5astro.sample import load_hosts

SKY_PX = (24, 32)


class Measurement(Comparison):
    """Every column of the measurement table, of 64 x 64 pairs in three bands, read from a Parquet file.

    The peer reads the same rows and stops at what the field's tools do: a center; fluxes and the clipped sky of stamp,
    ctrl and residual.
    """

    name = "measurement pass"
    unit = "pairs"
    count = 512
    toy = 3
    peers = {"time_photutils": Peer("numpy load, photutils and sigma clipping", 30.0, share=0.05)}

    def setup(self):
        blocks = inject_blocks(load_hosts(), self.count, seed=0, config=InjectConfig(size=64), block=128, threads=1)
        self.path, self.config = self.folder / "pairs.parquet", MeasureConfig()
        first = next(blocks)
        with PairWriter(self.path, first.bands, first.pixel_scale) as writer:
            for block in (first, *blocks):
                writer.write(block)
        self.source = ParquetPairs(self.path)
        columns = measure_block(first, self.config)
        self.centers = np.stack([columns["center_x"], columns["center_y"]], axis=-1)

    def time_gen5astro(self):
        blocks = (self.source.read(ref)[0] for ref in self.source.blocks(128))
        return np.concatenate([measure_block(block, self.config)["stamp_core_flux"] for block in blocks])

    def time_photutils(self):
        rows = pq.read_table(self.path, use_threads=False).slice(0, self.part("time_photutils"))
        columns = [rows[name] for name in ("stamp_npz", "ctrl_stamp_npz")]
        fluxes = []
        for at in range(len(rows)):
            stamp, ctrl = (np.array(load(column[at].as_py()), np.float64) for column in columns)
            centroid_com(ctrl.sum(axis=0))
            images = (stamp, ctrl, stamp - ctrl)
            flux = [[self._measure_plane(plane, self.centers[at]) for plane in image] for image in images]
            fluxes.append(flux[0])
        return np.array(fluxes)

    def _measure_plane(self, plane, center):
        radii = np.array([*self.config.apertures_arcsec, self.config.core_radius_arcsec]) / self.source.pixel_scale
        table = aperture_photometry(plane, [CircularAperture(center, radius) for radius in radii])
        sky = CircularAnnulus(center, *SKY_PX).to_mask(method="center").get_values(plane)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sigma_clipped_stats(sky)
        return float(table[f"aperture_sum_{len(radii) - 1}"][0])
