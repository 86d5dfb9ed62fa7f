"""The sample: real pixels, synthetic positions, and both said where they stand."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits

from gen5astro.errors import ColumnError, FormatError, MissingFileError, ShapeError
from gen5astro.inject.hosts import read_hosts
from gen5astro.sample import load_candidates, load_hosts, load_known_lenses, load_psf, sample_path
from gen5astro.sample.hosts import measure_moments, measure_sky_sigma


def test_the_sample_is_at_most_four_megabytes():
    sizes = [sample_path(name).stat().st_size for name in ("hosts.fits", "candidates.fits", "known_lenses.csv.gz")]
    assert sum(sizes) <= 4e6


def test_hosts_are_thirty_finite_native_images():
    hosts = load_hosts()
    assert hosts.image.shape == (30, 3, 91, 91)
    assert hosts.image.dtype == np.float32
    assert hosts.image.dtype.isnative
    assert np.isfinite(hosts.image).all()
    assert hosts.bands == ("g", "r", "z")
    assert len(set(hosts.catalog["host_id"])) == 30


def test_hosts_are_red_galaxies_in_nanomaggies():
    hosts = load_hosts()
    middle = hosts.image[:, :, 40:51, 40:51].sum((2, 3))
    g, r, z = 22.5 - 2.5 * np.log10(middle.T)
    assert np.all((r > 17) & (r < 23))
    assert np.median(g - r) > 1
    assert np.median(r - z) > 0.5


def test_positions_are_far_from_each_other_and_from_known_lenses():
    hosts, lenses = load_hosts(), load_known_lenses()
    sky = SkyCoord(hosts.catalog["ra"], hosts.catalog["dec"], unit=u.deg)
    apart = sky[:, None].separation(sky).arcsec
    assert apart[~np.eye(30, dtype=bool)].min() > 60
    known = SkyCoord(lenses["ra"], lenses["dec"])
    assert sky.match_to_catalog_sky(known)[1].arcsec.min() > 60


def test_the_hosts_file_says_where_it_comes_from_and_that_positions_are_synthetic():
    with fits.open(sample_path("hosts.fits")) as hdus:
        assert "deeplenstronomy" in hdus[0].header["ORIGIN"]
        assert "MIT" in hdus[0].header["LICENSE"]
        assert "Dark Energy Survey" in str(hdus[0].header["COMMENT"])
        assert "SYNTHETIC" in str(hdus["HOSTS"].header["COMMENT"])
        assert all(hdus[band].header["BUNIT"] == "nanomaggy" for band in "GRZ")


def test_psfs_have_unit_sum_and_peak_in_the_middle():
    for psf in load_psf().values():
        assert psf.sum() == pytest.approx(1, abs=1e-12)
        assert np.unravel_index(psf.argmax(), psf.shape) == (31, 31)
        assert psf[psf < 0].sum() > -1e-3
    assert np.all((load_hosts().psf_fwhm_arcsec > 0.8) & (load_hosts().psf_fwhm_arcsec < 1.2))


def test_candidates_are_named_images_with_positions():
    candidates = load_candidates()
    assert {candidate.name for candidate in candidates} == {"0001m372_9677", "0003m005_293", "3598m030_3212"}
    for candidate in candidates:
        assert candidate.pixels.shape == (3, 101, 101)
        assert candidate.pixels.dtype == np.float32
        assert np.isfinite(candidate.pixels).all()
        assert candidate.pixel_scale == 0.262
        assert candidate.bands == ("g", "r", "z")


def test_every_known_lens_cites_a_search_for_lenses():
    lenses = load_known_lenses()
    searches = ("ab26b6", "1811.03786", "1906.00970", "2005.04730", "2206.02764", "2110.00023")
    assert len(lenses) == 6466
    assert all(any(search in reference for search in searches) for reference in lenses["ref"])
    assert set(lenses["grading"]) == {"confident", "probable"}
    assert np.isfinite(lenses["ra"]).all()
    assert np.isfinite(lenses["dec"]).all()


def test_loading_twice_reads_once():
    assert load_hosts() is load_hosts()
    assert load_known_lenses() is load_known_lenses()


def test_a_cutout_has_the_untouched_pixels_about_the_centroid():
    hosts = load_hosts()
    for row in range(len(hosts)):
        cutout, (x, y) = hosts.cutout(row, 64)
        assert cutout.shape == (3, 64, 64)
        assert np.shares_memory(cutout, hosts.image)
        assert abs(x - 31.5) <= 0.5
        assert abs(y - 31.5) <= 0.5


def test_a_cutout_larger_than_the_image_is_refused():
    with pytest.raises(ShapeError, match=r"smaller inject\.size"):
        load_hosts().cutout(0, 92)


def test_moments_recover_an_elliptical_gaussian():
    y, x = np.indices((91, 91))
    dx, dy = x - 44.7, y - 45.4
    angle, q, sigma = 0.4, 0.7, 3.0
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    image = np.exp(-(along**2 + (across / q) ** 2) / (2 * sigma**2)).astype(np.float32)
    center, ellipticity = measure_moments(image[None], np.array([1e-3]))
    assert center[0] == pytest.approx([44.7, 45.4], abs=0.01)
    expected = (1 - q) / (1 + q) * np.array([np.cos(2 * angle), np.sin(2 * angle)])
    assert ellipticity[0] == pytest.approx(expected, abs=0.01)


def test_moments_are_of_the_middle_galaxy_and_not_of_its_neighbor():
    y, x = np.indices((91, 91))
    middle = np.exp(-((x - 45.0) ** 2 + (y - 45.0) ** 2) / (2 * 3.0**2))
    neighbor = 3 * np.exp(-((x - 58.0) ** 2 + (y - 49.0) ** 2) / (2 * 3.0**2))
    center, ellipticity = measure_moments((middle + neighbor)[None], np.array([1e-2]))
    assert center[0] == pytest.approx([45.0, 45.0], abs=0.3)
    assert np.hypot(*ellipticity[0]) < 0.15


def test_an_image_without_a_galaxy_in_the_middle_has_no_moments():
    y, x = np.indices((91, 91))
    aside = np.exp(-((x - 20.0) ** 2 + (y - 70.0) ** 2) / (2 * 3.0**2))
    center, _ = measure_moments(np.stack([aside, np.zeros((91, 91))]), np.array([1e-2, 1e-2]))
    assert np.isnan(center).all()


def test_a_star_in_a_corner_hardly_moves_the_sky_noise():
    rng = np.random.default_rng(0)
    image = rng.normal(0, 0.01, (91, 91))
    starry = image.copy()
    starry[:12, :12] += 20
    assert measure_sky_sigma(image) == pytest.approx(0.01, rel=0.05)
    assert measure_sky_sigma(starry) == pytest.approx(0.01, rel=0.1)


def test_a_missing_hosts_file_is_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"hosts .*none\.fits"):
        read_hosts(tmp_path / "none.fits")


def test_a_file_that_is_no_hosts_file_is_refused(tmp_path):
    path = tmp_path / "text.fits"
    path.write_text("not FITS")
    with pytest.raises(FormatError, match="PSF_<band>"):
        read_hosts(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97, 0.9999])
def test_a_truncated_hosts_file_is_said_to_be_one(tmp_path, share):
    content = sample_path("hosts.fits").read_bytes()
    path = tmp_path / "half.fits"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FormatError, match=r"truncated.*docs/howto/inject\.rst"):
        read_hosts(path)


def test_hosts_without_a_galaxy_are_named(tmp_path):
    with fits.open(sample_path("hosts.fits")) as hdus:
        hdus["R"].data[4, 3, 3] = np.nan
        hdus["R"].data[7] = 0
        path = tmp_path / "hosts.fits"
        hdus.writeto(path)
    with pytest.raises(FormatError, match="des-04, des-07"):
        read_hosts(path)


def test_a_hosts_file_without_dispersions_names_the_closest_column(tmp_path):
    with fits.open(sample_path("hosts.fits")) as hdus:
        table = hdus["HOSTS"]
        table.columns.change_name("velocity_dispersion_kms", "velocity_dispersion")
        path = tmp_path / "hosts.fits"
        hdus.writeto(path)
    with pytest.raises(ColumnError, match="did you mean 'velocity_dispersion'"):
        read_hosts(path)
