"""Real galaxies, lens candidates and known lenses that travel with the package.

Read on first use and kept; what is returned is shared and not to be written to. ``docs/reference/sample.rst`` says
where each comes from, under which license, and whom to acknowledge.
"""

from functools import cache
from importlib import resources

__all__ = ["load_candidates", "load_hosts", "load_known_lenses", "load_psf", "sample_path"]


def sample_path(name):
    """Path of a file of the sample.

    Parameters
    ----------
    name : {'hosts.fits', 'candidates.fits', 'known_lenses.csv.gz'}
        Name of the file.

    Returns
    -------
    path : pathlib.Path
        Where it is installed.
    """
    return resources.files(__name__) / "data" / name


@cache
def load_hosts():
    """Load the 30 real DES galaxies with their velocity dispersions and a real PSF a band.

    Their positions are synthetic: those of other real red galaxies, lent so that a sky split has a sky to work on.

    Returns
    -------
    hosts : gen5astro.sample.hosts.Hosts
        Images (30, 3, 91, 91) [nanomaggy], bands g, r, z, 0.263 arcsec / pix.
    """
    from gen5astro.sample.hosts import read_hosts

    return read_hosts("sample")


def load_psf():
    """Load a real DECam coadd PSF for each band.

    The stored wings are negative by less than 7e-4 of the flux in all; they are kept, and the sum is made exactly 1.
    The PSF is one of the Legacy Surveys, not that of the DES galaxies beside it.

    Returns
    -------
    psf : dict of str to float64 array, (63, 63)
        Of each band, sampled at 0.262 arcsec / pix, centered on pixel (31, 31), of sum 1.
    """
    hosts = load_hosts()
    return dict(zip(hosts.bands, hosts.psf, strict=True))


@cache
def load_candidates():
    """Load three real lens candidates of the DESI Legacy Imaging Surveys DR10.

    Returns
    -------
    candidates : list of gen5astro.sample.candidates.Candidate
        Images (3, 101, 101) [nanomaggy], bands g, r, z, 0.262 arcsec / pix, with position, name and tier.
    """
    from gen5astro.sample.candidates import read_candidates

    return read_candidates(sample_path("candidates.fits"))


@cache
def load_known_lenses():
    """Load the known lenses and candidates that searches for lenses found.

    These are the rows of lenscat 1.1.3 whose references include Jacobs et al. (2019, ab26b6; 1811.03786), Huang et al.
    (1906.00970, 2005.04730), Storfer et al. (2206.02764) or Stein et al. (2110.00023). Rows that cite only surveys of
    galaxy clusters are left out.

    Returns
    -------
    lenses : astropy.table.Table, (6466,)
        Columns name, ra, dec [deg, ICRS], z_lens (free text, '' where unknown), kind, grading, ref.
    """
    from astropy.table import Table

    lenses = Table.read(
        sample_path("known_lenses.csv.gz"),
        format="ascii.csv",
        comment="#",
        converters={"z_lens": str, "name": str},
        fill_values=[],
    )
    lenses["ra"].unit = lenses["dec"].unit = "deg"
    return lenses
