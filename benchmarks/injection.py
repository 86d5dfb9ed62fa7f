"""Ray-shooting against lenstronomy."""

import numpy as np
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from scipy.special import gamma, gammaincinv

from benchmarks.comparison import Comparison, Peer
from gen5astro.inject.render import render_arcs
from gen5astro.sample import load_psf

SHAPE = (64, 64)
SCALE = 0.262
SUPERSAMPLING = 3


def theirs(injection):
    """An injection in lenstronomy's words; its Sersic profile approximates the half-light radius."""
    n, radius = injection["source_index"], injection["source_radius_arcsec"]
    exact, approximate = gammaincinv(2 * n, 0.5), 1.9992 * n - 0.3271
    total = 2 * np.pi * n * radius**2 * np.exp(exact) * exact ** (-2 * n) * gamma(2 * n)
    shape = {"e1": injection["source_e1"], "e2": injection["source_e2"], "n_sersic": n}
    place = {"center_x": injection["source_x"], "center_y": injection["source_y"]}
    size = {"amp": np.exp(exact - approximate) / total, "R_sersic": radius * (approximate / exact) ** n}
    lens = {"theta_E": injection["theta_e_arcsec"], "e1": injection["lens_e1"], "e2": injection["lens_e2"]}
    shear = {"gamma1": injection["gamma1"], "gamma2": injection["gamma2"]}
    return [lens, shear], [shape | place | size]


class Injection(Comparison):
    """An isothermal ellipsoid with shear and a Sersic source, one band, nine rays a pixel, convolved."""

    name = "injection of an arc"
    count = 400
    peers = {"time_lenstronomy": Peer("lenstronomy, ImageModel reused", 5.0, share=0.25, tolerance=1e-4)}

    def setup(self):
        rng = np.random.default_rng(0)
        ranges = {
            "theta_e_arcsec": (0.5, 3.0),
            "lens_e1": (-0.2, 0.2),
            "lens_e2": (-0.2, 0.2),
            "gamma1": (-0.05, 0.05),
            "gamma2": (-0.05, 0.05),
            "source_x": (-0.3, 0.3),
            "source_y": (-0.3, 0.3),
            "source_radius_arcsec": (0.1, 0.4),
            "source_index": (0.5, 2.0),
            "source_e1": (-0.2, 0.2),
            "source_e2": (-0.2, 0.2),
            "center_x": (31.5, 31.5),
            "center_y": (31.5, 31.5),
            "source_mag_r": (22.5, 22.5),
        }
        self.rows = {name: rng.uniform(low, high, self.count) for name, (low, high) in ranges.items()}
        psf = np.maximum(load_psf()["r"], 0)
        self.psf = psf / psf.sum()
        corner = -31.5 * SCALE
        grid = ImageData(
            np.zeros(SHAPE),
            ra_at_xy_0=corner,
            dec_at_xy_0=corner,
            transform_pix2angle=np.eye(2) * SCALE,
            background_rms=1,
            exposure_time=1,
        )
        self.model = ImageModel(
            grid,
            PSF("PIXEL", kernel_point_source=self.psf),
            LensModel(["SIE", "SHEAR"]),
            LightModel(["SERSIC_ELLIPSE"]),
            kwargs_numerics={"supersampling_factor": SUPERSAMPLING, "supersampling_convolution": False},
        )

    def time_gen5astro(self):
        arcs, _ = render_arcs(
            self.rows, SHAPE, SCALE, self.psf[None], bands=("r",), supersampling=SUPERSAMPLING, refine=False
        )
        return arcs[:, 0]

    def time_lenstronomy(self):
        part = range(self.part("time_lenstronomy"))
        injections = [{name: values[row] for name, values in self.rows.items()} for row in part]
        return np.array([self.model.image(*theirs(injection)) for injection in injections])
