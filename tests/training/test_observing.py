"""Noise comes from its seed alone; a PSF's width from the best that a cube knows."""

import h5py
import numpy as np
import pytest
from scipy.stats import kstest

from gen5astro.config import MeasureConfig
from gen5astro.io.hdf5 import Cube
from gen5astro.training.observing import blur_notes, exposure_noise, noise_seeds, pair_fwhm
from tests.training.cubes import make_cube


def test_noise_is_standard_normal_and_depends_on_its_seed_alone():
    noise = exposure_noise(np.array([7, 2**62, 7, 0]), (2, 40, 50))
    assert kstest(noise[[0, 1, 3]].ravel(), "norm").pvalue > 1e-3
    np.testing.assert_array_equal(noise[0], noise[2])
    np.testing.assert_array_equal(exposure_noise(np.array([0]), (2, 40, 50))[0], noise[3])
    assert abs(np.corrcoef(noise[[0, 1, 3]].reshape(3, -1)) - np.eye(3)).max() < 0.06


def test_a_draw_has_one_seed_in_a_batch_and_another_in_the_next():
    draw = np.array([0, 1, 2, 0, 1, 3])
    seeds = noise_seeds(5, 9, draw)
    assert len({*seeds}) == 4
    np.testing.assert_array_equal(seeds[:2], seeds[3:5])
    np.testing.assert_array_equal(noise_seeds(5, 9, draw[:2]), seeds[:2])
    for other in (noise_seeds(5, 10, draw), noise_seeds(6, 9, draw)):
        assert not {*other} & {*seeds}
    assert seeds.min() >= 0
    assert len(noise_seeds(5, 9, draw[:0])) == 0


@pytest.mark.parametrize("measured", [False, True])
def test_the_width_of_the_psf_is_the_measured_one_or_the_catalog_s_or_the_configured(tmp_path, measured):
    path = make_cube(tmp_path / "cube.h5")
    n, default = len(Cube(path)), MeasureConfig().psf_fwhm_arcsec
    psfsize = np.linspace(0.9, 1.6, n)
    psfsize[3:6] = np.nan, 0.0, -1.0
    with h5py.File(path, "r+") as file:
        file["catalog/psfsize_r"] = psfsize
        file["catalog/psfsize_r"].attrs["column"] = "psfsize_r"
        if measured:
            file["measure/psf_fwhm_arcsec"] = np.full((n, 3), 1.1)
            file["measure/psf_fwhm_arcsec"].attrs["column"] = "psf_fwhm_arcsec"
    fwhm = pair_fwhm(Cube(path))
    assert fwhm.dtype == np.float32
    if measured:
        np.testing.assert_allclose(fwhm, 1.1)
    else:
        np.testing.assert_allclose(fwhm[:, [0, 2]], default, rtol=1e-6)
        psfsize[3:6] = default
        np.testing.assert_allclose(fwhm[:, 1], psfsize, rtol=1e-6)


def test_a_blur_that_blurs_nothing_is_said_to(tmp_path):
    cube, default = Cube(make_cube(tmp_path / "cube.h5")), MeasureConfig().psf_fwhm_arcsec
    rows = np.arange(4)
    (note,) = blur_notes(cube, rows, default - 0.1)
    assert f"the narrowest PSF has {default:.2f} arcsec, so no image is blurred" in note
    assert blur_notes(cube, rows, default + 0.1) == blur_notes(cube, rows, 0.0) == blur_notes(cube, rows[:0], 1.0) == []
