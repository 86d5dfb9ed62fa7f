"""What observing puts into an image: the noise of two exposures that are subtracted, and the width of the PSF."""

import numpy as np

__all__ = ["blur_notes", "exposure_noise", "noise_seeds", "pair_fwhm"]

_WORD = 0x7E51D0A1
"""Sets these seeds apart from others that are small whole numbers."""


def noise_seeds(seed, step, draw):
    """Seed the noise of each image of a batch; images of one draw, a stamp and its own ctrl, get the same.

    Parameters
    ----------
    seed : int
        Seed of the run, from 0.
    step : int
        Number of the batch in the run, from 0.
    draw : int64 array, (n,)
        Images of one number get one seed; numbers from 0.

    Returns
    -------
    seeds : int64 array, (n,)
        From 0 to below 2**63; no matter how many draws a batch has, a draw's seed is the same.
    """
    n_draws = int(draw.max(initial=-1)) + 1
    return np.random.default_rng([_WORD, seed, step]).integers(2**63, size=n_draws)[draw]


def exposure_noise(seeds, shape):
    """Draw noise that depends on the seed of an image alone, not on its batch.

    Parameters
    ----------
    seeds : int64 array, (n,)
        From 0; images of one seed get the same noise.
    shape : tuple of int
        ``(band, y, x)`` of an image.

    Returns
    -------
    noise : float32 array, (n, band, y, x)
        Standard normal.
    """
    different, place = np.unique(seeds, return_inverse=True)
    noise = np.empty((len(different), *shape), np.float32)
    for seed, image in zip(different, noise, strict=True):
        np.random.default_rng([_WORD, seed]).standard_normal(dtype=np.float32, out=image)
    return noise[place]


def pair_fwhm(cube):
    """Give the PSF's width of each pair and band, as well as a cube knows it.

    Parameters
    ----------
    cube : Cube
        The open cube.

    Returns
    -------
    fwhm : float32 array, (n, band)
        FWHM [arcsec], above 0: as the embedded audit measured it, else of the catalog's columns ``psfsize_<band>``,
        else, and where those state none, the ``measure.psf_fwhm_arcsec`` of the build.
    """
    expected, default = (len(cube), len(cube.bands)), cube.config.measure.psf_fwhm_arcsec
    fwhm = np.full(expected, default, np.float32)
    if "psf_fwhm_arcsec" in cube.measure:
        fwhm[:] = cube.measure["psf_fwhm_arcsec"]
    else:
        for number, band in enumerate(cube.bands):
            fwhm[:, number] = cube.catalog.get(f"psfsize_{band}", default)
    return np.where(np.isfinite(fwhm) & (fwhm > 0), fwhm, np.float32(default))


def blur_notes(cube, rows, widest):
    """Say that a blur has nothing to blur.

    Parameters
    ----------
    cube : Cube
        The open cube.
    rows : int64 array, (n,)
        Its rows to train on.
    widest : float
        Largest FWHM that an image is blurred to [arcsec]; 0 blurs none.

    Returns
    -------
    notes : list of str
        A sentence, or none.
    """
    if not widest or not len(rows) or (narrowest := pair_fwhm(cube)[rows].min()) < widest:
        return []
    return [f"augment_fwhm_arcsec {widest:g}: the narrowest PSF has {narrowest:.2f} arcsec, so no image is blurred"]
