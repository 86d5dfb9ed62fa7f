"""PSFs from FITS: of sum 1, in the order that was asked for, or one line on what is wrong."""

import numpy as np
import pytest
from astropy.io import fits

from gen5astro.errors import FormatError, Gen5Error, MissingFileError, ShapeError
from gen5astro.io.psf import read_psf
from gen5astro.kernels.psf import profile_psf
from gen5astro.sample import load_hosts, sample_path

PSF = profile_psf(4.0, half_px=10)


def write(path, *, scale=None, **planes):
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(plane, name=f"PSF_{band}") for band, plane in planes.items())]
    if scale is not None:
        hdus[0].header["PIXSCALE"] = scale
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def test_the_psfs_of_a_hosts_file_are_those_that_its_injections_use():
    np.testing.assert_allclose(read_psf(sample_path("hosts.fits"), ("g", "r", "z")), load_hosts().psf, atol=1e-15)


def test_bands_come_in_the_order_asked_for_each_of_sum_1(tmp_path):
    wide = profile_psf(6.0, half_px=10)
    path = write(tmp_path / "psf.fits", g=3 * PSF, r=(0.5 * wide).astype(">f4"))
    psf = read_psf(path, ["r", "g"])
    assert psf.dtype == np.float64
    assert psf.sum(axis=(1, 2)) == pytest.approx(1)
    np.testing.assert_allclose(psf, [wide, PSF], atol=1e-8)


def test_smaller_psfs_are_padded_about_their_center(tmp_path):
    path = write(tmp_path / "psf.fits", g=PSF, r=profile_psf(4.0, half_px=3))
    g, r = read_psf(path, "gr")
    np.testing.assert_allclose(g, PSF)
    np.testing.assert_array_equal(r[7:14, 7:14], r[r > 0].reshape(7, 7))
    assert np.unravel_index(r.argmax(), r.shape) == (10, 10)


def test_a_psf_of_other_pixels_is_refused_and_rounding_is_not(tmp_path):
    path = write(tmp_path / "psf.fits", scale=0.263, g=PSF)
    read_psf(path, "g", pixel_scale=0.262)
    with pytest.raises(FormatError, match=r"PIXSCALE 0.263 arcsec; expected that of the pairs, 0.2; resample"):
        read_psf(path, "g", pixel_scale=0.2)


def holed(plane):
    plane = plane.copy()
    plane[2, 3] = np.nan
    return plane


@pytest.mark.parametrize(
    ("plane", "error", "words"),
    [
        (PSF[:-1, :-1], ShapeError, r"psf.fits\[PSF_g\]: got shape \(20, 20\); expected a square of odd side"),
        (PSF[:-2], ShapeError, r"got shape \(19, 21\)"),
        (np.stack([PSF, PSF]), ShapeError, r"got shape \(2, 21, 21\)"),
        (0 * PSF, FormatError, r"got a sum of 0; expected light"),
        (-PSF, FormatError, r"got a sum of -1; expected light"),
        (holed(PSF), FormatError, r"got 1 pixels that are not finite; expected finite pixels"),
    ],
)
def test_a_psf_that_cannot_be_used_is_named(tmp_path, plane, error, words):
    with pytest.raises(error, match=words):
        read_psf(write(tmp_path / "psf.fits", g=plane), "g")


def test_a_missing_band_is_named_with_those_that_are_there(tmp_path):
    path = write(tmp_path / "psf.fits", g=PSF, r=PSF)
    with pytest.raises(FormatError, match=r"got no HDU PSF_i; expected one a band; .*there are: PSF_G, PSF_R"):
        read_psf(path, ("g", "i"))


def test_a_file_that_is_missing_cut_short_or_no_fits_is_one_line(tmp_path):
    with pytest.raises(MissingFileError, match=r"none.fits: got no such file; expected a FITS file with an HDU PSF_"):
        read_psf(tmp_path / "none.fits", "g")
    whole = write(tmp_path / "psf.fits", g=PSF).read_bytes()
    for name, content in (("short.fits", whole[:-3000]), ("text.fits", b"no FITS at all\n"), ("empty.fits", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Gen5Error, match=f"{name}: got ") as caught:
            read_psf(tmp_path / name, "g")
        assert "\n" not in str(caught.value)


def test_the_file_of_a_survey_s_psf_service_is_read(tmp_path):
    """A plane a band that says so in BAND, and no HDU named for a PSF, as the Legacy Surveys' viewer gives them."""
    planes = {band: profile_psf(fwhm, half_px=10) for band, fwhm in zip("grz", (4.2, 4.0, 3.8), strict=True)}
    hdus = [fits.PrimaryHDU(planes["g"], fits.Header({"BANDS": "grz", "BAND": "g"}))]
    hdus += [fits.ImageHDU(planes[band], fits.Header({"BAND": band})) for band in "rz"]
    fits.HDUList(hdus).writeto(tmp_path / "copsf.fits")
    found = read_psf(tmp_path / "copsf.fits", ("z", "g"))
    np.testing.assert_allclose(found, [planes["z"], planes["g"]], rtol=1e-6)
    with pytest.raises(FormatError, match="no HDU PSF_i"):
        read_psf(tmp_path / "copsf.fits", ("i",))
