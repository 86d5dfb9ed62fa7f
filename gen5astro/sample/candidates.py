"""Real lens candidates: images that know what they are called."""

from dataclasses import dataclass

import numpy as np

from gen5astro.io.fits import Image

__all__ = ["Candidate", "read_candidates"]


@dataclass(frozen=True)
class Candidate(Image):
    """A real lens candidate: an `~gen5astro.io.fits.Image` that knows what it is called.

    Parameters
    ----------
    pixels : float32 array, (band, y, x)
        Fluxes [nanomaggy].
    bands : tuple of str
        Band names in the order of the planes.
    pixel_scale : float, optional
        Pixel scale [arcsec / pix].
    ra, dec : float, optional
        ICRS position of the center of the image [deg].
    invvar : float32 array, (band, y, x), optional
        Not given for the candidates of the sample.
    psf : dict of str to float64 array, (k, k)
        Not given for the candidates of the sample.
    masked_fraction : float, optional
        Not given for the candidates of the sample.
    named : bool
        True: the file names the bands.
    name : str
        Its name in the search that found it.
    tier : str
        The grade that this search gave it; none is confirmed.
    """

    name: str = ""
    tier: str = ""


def read_candidates(path):
    """Read a FITS file of candidates, one image HDU (band, y, x) each.

    Parameters
    ----------
    path : path-like
        The file; each HDU's header gives NAME, TIER, BANDS, PIXSCALE, RA and DEC.

    Returns
    -------
    candidates : list of Candidate
        In the order of the file.
    """
    from astropy.io import fits

    with fits.open(path, memmap=False) as hdus:
        return [
            Candidate(
                pixels=np.ascontiguousarray(hdu.data, dtype=np.float32),
                bands=tuple(hdu.header["BANDS"]),
                pixel_scale=hdu.header["PIXSCALE"],
                ra=hdu.header["RA"],
                dec=hdu.header["DEC"],
                name=hdu.header["NAME"],
                tier=hdu.header["TIER"],
            )
            for hdu in hdus[1:]
        ]
