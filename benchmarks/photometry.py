"""Exact disc photometry against sep, astroapers and photutils."""

import importlib

import numpy as np
import sep
from photutils.aperture import CircularAperture

from benchmarks.comparison import Comparison, Peer
from gen5astro.kernels.aperture import aperture_flux

RADII = np.array([2.0, 3.0, 4.5, 6.0, 9.0])
SKY = (20.0, 28.0)


def single_threaded_astroapers():
    astroapers = importlib.import_module("astroapers")
    astroapers.set_parallel_threshold(2**31)
    return astroapers


class CorePhotometry(Comparison):
    """Five exact discs on three bands, about a sub-pixel center of each image's own."""

    name = "core photometry"
    peers = {
        "time_sep_tall": Peer("sep, all images as one tall one", 4.5, tolerance=1e-5),
        "time_sep_each": Peer("sep, image by image", 7.0, tolerance=1e-5),
        "time_photutils": Peer("photutils do_photometry", 60.0, share=0.1),
        "time_astroapers": Peer("astroapers, all images as one tall one", 4.5, needs="astroapers"),
    }

    def setup(self):
        rng = np.random.default_rng(0)
        self.images = rng.normal(1, 1, (self.count, 3, 64, 64)).astype(np.float32)
        self.centers = 31.5 + rng.uniform(-2, 2, (self.count, 2))

    def time_gen5astro(self):
        return aperture_flux(self.images, self.centers, RADII)

    def time_limit(self):
        return self.images.view(np.int64).sum()

    def _places_in_tall(self):
        x = np.repeat(self.centers[:, 0], 3)
        return x, np.repeat(self.centers[:, 1], 3) + 64 * np.arange(3 * self.count)

    def time_sep_tall(self):
        x, y = self._places_in_tall()
        tall = self.images.reshape(-1, 64)
        flux = [sep.sum_circle(tall, x, y, radius, subpix=0)[0] for radius in RADII]
        return np.stack(flux, axis=-1).reshape(self.count, 3, -1)

    def time_astroapers(self):
        astroapers = single_threaded_astroapers()
        x, y = self._places_in_tall()
        tall = self.images.reshape(-1, 64)
        flux = [astroapers.apsum_circ_exact(tall, x, y, radius, return_npix=False) for radius in RADII]
        return np.stack(flux, axis=-1).reshape(self.count, 3, -1)

    def time_sep_each(self):
        flux = np.empty((self.count, 3, len(RADII)))
        for i, (x, y) in enumerate(self.centers):
            for band in range(3):
                flux[i, band] = sep.sum_circle(self.images[i, band], [x] * 5, [y] * 5, RADII, subpix=0)[0]
        return flux

    def time_photutils(self):
        flux = np.empty((self.part("time_photutils"), 3, len(RADII)))
        for i, band, k in np.ndindex(flux.shape):
            disc = CircularAperture(self.centers[i], RADII[k])
            flux[i, band, k] = disc.do_photometry(self.images[i, band], method="exact")[0][0]
        return flux


class SkyPhotometry(CorePhotometry):
    """The five discs and an exact sky annulus."""

    name = "core and sky photometry"
    peers = {
        "time_astroapers": Peer("astroapers, all images as one tall one", 4.5, needs="astroapers"),
        "time_sep_tall": Peer("sep, all images as one tall one", 4.5, tolerance=1e-5),
    }

    def time_gen5astro(self):
        flux = aperture_flux(self.images, self.centers, [*RADII, *SKY])
        flux[..., -2] = flux[..., -1] - flux[..., -2]
        return flux[..., :-1]

    def time_sep_tall(self):
        x, y = self._places_in_tall()
        sky = sep.sum_circann(self.images.reshape(-1, 64), x, y, *SKY, subpix=0)[0].reshape(self.count, 3, 1)
        return np.concatenate([super().time_sep_tall(), sky], axis=-1)

    def time_astroapers(self):
        x, y = self._places_in_tall()
        tall = self.images.reshape(-1, 64)
        sky = single_threaded_astroapers().apsum_circ_ann_exact(tall, x, y, *SKY, return_npix=False)
        return np.concatenate([super().time_astroapers(), sky.reshape(self.count, 3, 1)], axis=-1)
