"""Stamps have the pixels of the coadd, or its flux where the grid is another."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from gen5astro.errors import FormatError, MissingFileError
from gen5astro.io.coadds import UncutError, cut_stamp, read_coadds, stacked_psf
from gen5astro.kernels.aperture import aperture_flux
from gen5astro.sample import load_hosts, load_psf
from tests.fields import BANDS, SIDE, STEP, TILE, field_pixels, field_places, field_wcs, write_band, write_cube

FIELD = field_pixels()
PLACES = field_places()


def at(row):
    return SkyCoord(*PLACES[row], unit="deg")


def test_a_stamp_has_the_pixels_of_the_coadd_about_the_position(tmp_path):
    planes = read_coadds([write_cube(tmp_path / "field.fits", FIELD)])
    hosts = load_hosts()
    for row in range(9):
        stamp = cut_stamp(planes, at(row), 65)
        expected, center = hosts.cutout(row, 65)
        np.testing.assert_array_equal(stamp.pixels, expected)
        assert stamp.center == pytest.approx(center, abs=1e-6)
        assert stamp.resampled == ()
        there = stamp.wcs.world_to_pixel(at(row))
        assert np.allclose(there, stamp.center, atol=1e-6)
    np.testing.assert_allclose(stacked_psf([stamp])[0], list(load_psf().values()), atol=1e-7)


def test_a_file_a_band_is_the_same_in_any_order(tmp_path):
    files = [write_band(tmp_path / f"{band}.fits.fz", plane, band) for band, plane in zip(BANDS, FIELD, strict=True)]
    stamp = cut_stamp(read_coadds(files[::-1], bands=BANDS), at(4), 65)
    np.testing.assert_array_equal(stamp.pixels, load_hosts().cutout(4, 65)[0])
    assert stamp.psf is None


def test_a_band_that_begins_at_another_pixel_is_not_resampled(tmp_path):
    first = write_band(tmp_path / "g.fits", FIELD[0], "g")
    moved = write_band(tmp_path / "r.fits", FIELD[1, 7:, 4:], "r", wcs=field_wcs(shift=(-4, -7)))
    stamp = cut_stamp(read_coadds([first, moved]), at(4), 65)
    assert stamp.resampled == ()
    np.testing.assert_array_equal(stamp.pixels, load_hosts().cutout(4, 65)[0][:2])


def test_units_of_the_coadd_become_nanomaggies(tmp_path):
    path = write_band(tmp_path / "g.fits", FIELD[0] * 1000, "g", MAGZERO=30.0)
    stamp = cut_stamp(read_coadds([path]), at(0), 65)
    np.testing.assert_allclose(stamp.pixels, load_hosts().cutout(0, 65)[0][:1], rtol=1e-6)


def star_field(wcs, place, *, fwhm_arcsec=1.2, scale_arcsec, side=SIDE):
    """A star of flux 1 on the pixels of a grid: a Moffat profile, integrated over each pixel."""
    x, y = (float(each) for each in wcs.world_to_pixel(place))
    fine, reach = 9, round(40 * 0.263 / scale_arcsec)
    corner = np.round([x, y]).astype(int) - reach
    sub = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - 0.5
    radius = np.hypot(sub + corner[0] - x, (sub + corner[1] - y)[:, None]) * scale_arcsec
    light = (1 + 4 * (2 ** (1 / 2.5) - 1) * (radius / fwhm_arcsec) ** 2) ** -2.5
    light = light.reshape(2 * reach + 1, fine, 2 * reach + 1, fine).sum((1, 3))
    field = np.zeros((side, side), np.float32)
    field[corner[1] : corner[1] + 2 * reach + 1, corner[0] : corner[0] + 2 * reach + 1] = light / light.sum()
    return field


@pytest.mark.parametrize(
    ("scale", "shift", "angle"),
    [
        (0.263, (0.5, 0.5), 0),
        (0.263, (0.2, -0.4), 0),
        (0.262, (0, 0), 0),
        (0.263, (0, 0), 30),
        (0.4, (0.3, 0), 0),
        (0.168, (0.1, 0.3), 0),
        (0.1, (0.4, 0.2), 15),
    ],
)
def test_resampling_keeps_the_flux_of_a_star(tmp_path, scale, shift, angle):
    """In the whole stamp to 0.01 %, and within 2 arcsec to 0.1 %: nothing is gained, lost or moved."""
    place = SkyCoord(150.1003, 2.1996, unit="deg")
    side = round(SIDE * 0.263 / scale)
    grids = {"g": (field_wcs(), 0.263, SIDE)}
    grids["r"] = (field_wcs(scale_arcsec=scale, shift=shift, angle_deg=angle, side=side), scale, side)
    files = []
    for band, (wcs, step, width) in grids.items():
        stars = star_field(wcs, place, scale_arcsec=step, side=width)
        files.append(write_band(tmp_path / f"{band}.fits", stars, band, wcs=wcs))
    stamp = cut_stamp(read_coadds(files), place, 91)
    assert stamp.resampled == ("r",)
    total = stamp.pixels.sum(axis=(1, 2), dtype=np.float64)
    assert total[1] == pytest.approx(total[0], rel=1e-4)
    within = aperture_flux(stamp.pixels[None], np.array([stamp.center]), np.array([2 / 0.263]))[0, :, 0]
    assert within[1] == pytest.approx(within[0], rel=1e-3)
    y, x = np.indices(stamp.pixels.shape[1:])
    middle = [[(plane * axis).sum() / plane.sum() for axis in (x, y)] for plane in stamp.pixels.astype(np.float64)]
    np.testing.assert_allclose(middle[1], middle[0], atol=0.02)


def test_resampling_keeps_the_flux_of_a_real_galaxy(tmp_path):
    """There and back: a galaxy resampled to a turned grid of smaller pixels and again to its own."""
    there = field_wcs(scale_arcsec=0.2, angle_deg=20, side=440)
    first = write_band(tmp_path / "g.fits", np.zeros((440, 440), np.float32) + 1, "g", wcs=there)
    second = write_band(tmp_path / "r.fits", FIELD[1], "r")
    moved = cut_stamp(read_coadds([first, second]), at(4), 121)
    assert moved.resampled == ("r",)
    again = write_band(tmp_path / "back.fits", moved.pixels[1], "r", wcs=moved.wcs)
    grid = write_band(tmp_path / "grid.fits", FIELD[0], "g")
    back = cut_stamp(read_coadds([grid, again]), at(4), 51)
    expected = cut_stamp(read_coadds([grid, second]), at(4), 51)
    radius = np.array([2 / 0.263])
    found, true = (
        aperture_flux(each.pixels[None, 1:], np.array([each.center]), radius)[0, 0, 0] for each in (back, expected)
    )
    assert found == pytest.approx(true, rel=5e-3)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ((151.0, 2.2), r"a place \d+ pix off .*field\.fits; expected one on the images"),
        ((330.1, -2.2), "on the other side of the sky|pix off"),
        ((150.1 + 0.0112, 2.2), r"a stamp that leaves .*field\.fits by \d+ pix; expected 65 x 65 pix"),
    ],
)
def test_a_position_off_the_image_or_at_its_edge_says_by_how_much(tmp_path, place, said):
    planes = read_coadds([write_cube(tmp_path / "field.fits", FIELD)])
    with pytest.raises(UncutError, match=said):
        cut_stamp(planes, SkyCoord(*place, unit="deg"), 65)


def test_pixels_without_data_are_named_and_may_be_allowed(tmp_path):
    weight = np.ones_like(FIELD)
    y, x = 10 + STEP + TILE // 2, 10 + STEP + TILE // 2
    weight[1, y : y + 4, x : x + 4] = 0
    hdu = fits.ImageHDU(weight, fits.Header({"BANDS": "grz"}), "INVVAR")
    planes = read_coadds([write_cube(tmp_path / "a.fits", FIELD, beside=[hdu])])
    with pytest.raises(UncutError, match=r"band r: got 16 pixels without data; .*max_missing_fraction=0\.004"):
        cut_stamp(planes, at(4), 65)
    stamp = cut_stamp(planes, at(4), 65, max_missing=0.004)
    assert np.isnan(stamp.pixels).sum(axis=(1, 2)).tolist() == [0, 16, 0]
    cut_stamp(planes, at(0), 65)


def test_a_hole_is_opened_again_where_a_band_is_resampled(tmp_path):
    lost, half = FIELD[1].copy(), field_wcs(shift=(0.5, 0.5))
    lost[150:154, 150:154] = np.nan
    grid = write_band(tmp_path / "g.fits", FIELD[0], "g")
    stamps = []
    for at_file, plane in enumerate((lost, FIELD[1])):
        path = write_band(tmp_path / f"r{at_file}.fits", plane, "r", wcs=half)
        stamps.append(cut_stamp(read_coadds([grid, path]), at(4), 65, max_missing=0.1).pixels[1])
    holed, whole = stamps
    assert 16 <= np.isnan(holed).sum() <= 36
    assert np.nanmedian(np.abs(holed - whole)) < 1e-4


def test_flags_ride_along_as_their_share(tmp_path):
    mask = np.zeros((SIDE, SIDE), np.int16)
    mask[: SIDE // 2] = 8
    path = write_cube(tmp_path / "a.fits", FIELD, beside=[fits.ImageHDU(mask, name="MASK")])
    stamp = cut_stamp(read_coadds([path]), at(4), 65)
    assert 0.3 < stamp.masked_fraction < 0.7
    assert np.isnan(cut_stamp(read_coadds([write_cube(tmp_path / "b.fits", FIELD)]), at(4), 65).masked_fraction)


def survey_file(path, plane, kind, band=None, **cards):
    """A file as the Legacy Surveys write the planes of a brick: compressed, with IMTYPE and the unit of the weights."""
    unit = {"invvar": {"BUNIT": "1/nanomaggy^2"}, "image": {"BUNIT": "nanomaggy", "MAGZERO": 22.5}}.get(kind, {})
    header = field_wcs().to_header()
    header.update({"IMTYPE": kind, **unit, **({"FILTER": band} if band else {}), **cards})
    options = {"compression_type": "GZIP_2", "quantize_level": 0}
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(plane, header, **options)]).writeto(path)
    return path


def test_weights_and_masks_in_files_of_their_own_belong_to_the_images(tmp_path):
    weight, bits = np.ones((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.int32)
    weight[155, 155], bits[: SIDE // 2] = 0, 2
    files = [survey_file(tmp_path / f"{band}.fits.fz", FIELD[at], "image", band) for at, band in enumerate("gr")]
    files += [
        survey_file(tmp_path / "w.fits.fz", weight, "invvar", "r"),
        survey_file(tmp_path / "m.fits.fz", bits, "maskbits"),
    ]
    for order in (files, files[::-1]):
        stamp = cut_stamp(read_coadds(order, bands=("g", "r")), at(4), 65, max_missing=0.1)
        assert np.isnan(stamp.pixels).sum(axis=(1, 2)).tolist() == [0, 1]
        assert 0.3 < stamp.masked_fraction < 0.7
    read_coadds(files, bands=("g",))
    survey_file(tmp_path / "half.fits.fz", weight[:10], "invvar", "r")
    with pytest.raises(FormatError, match=r"half\.fits\.fz: got invvar of band r on a grid of its own"):
        read_coadds([*files, tmp_path / "half.fits.fz"])
    with pytest.raises(FormatError, match=r"n\.fits\.fz: got no image"):
        read_coadds([survey_file(tmp_path / "n.fits.fz", weight, "nexp", "r")])


def test_flags_of_a_band_on_another_grid_are_found_there(tmp_path):
    mask = np.zeros((SIDE, SIDE), np.int16)
    mask[SIDE // 2 :] = 1
    first = write_band(tmp_path / "g.fits", FIELD[0], "g")
    header = field_wcs(shift=(0.5, 0.5)).to_header()
    header["BAND"] = "r"
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(FIELD[1], header), fits.ImageHDU(mask, name="MASK")]
    fits.HDUList(hdus).writeto(tmp_path / "r.fits")
    stamp = cut_stamp(read_coadds([first, tmp_path / "r.fits"]), at(4), 65)
    assert stamp.resampled == ("r",)
    assert 0.3 < stamp.masked_fraction < 0.7


def test_a_band_that_lies_elsewhere_is_said(tmp_path):
    first = write_band(tmp_path / "g.fits", FIELD[0], "g")
    other = write_band(tmp_path / "r.fits", FIELD[1, :, :150], "r")
    with pytest.raises(UncutError, match="band r: got no image that holds the stamp; expected all bands"):
        cut_stamp(read_coadds([first, other]), at(5), 65)


def test_of_several_fields_the_one_with_most_room_is_cut(tmp_path):
    left = write_cube(tmp_path / "left.fits", FIELD[:, :, :200], wcs=field_wcs())
    right = write_cube(tmp_path / "right.fits", FIELD[:, :, 100:], wcs=field_wcs(shift=(-100, 0)))
    planes = read_coadds([left, right])
    for row, name in ((3, "left"), (5, "right")):
        stamp = cut_stamp(planes, at(row), 65)
        assert stamp.plane.label.endswith(f"{name}.fits")
        np.testing.assert_array_equal(stamp.pixels, load_hosts().cutout(row, 65)[0])


def test_what_is_no_coadd_is_refused_in_one_line(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        read_coadds([tmp_path / "none.fits"])
    fits.PrimaryHDU(FIELD, fits.Header({"BANDS": "grz"})).writeto(tmp_path / "bare.fits")
    with pytest.raises(FormatError, match="band g: got no celestial WCS"):
        read_coadds([tmp_path / "bare.fits"])
    path = write_cube(tmp_path / "a.fits", FIELD)
    with pytest.raises(FormatError, match=r"got bands g, r, z|got bands g; expected band i"):
        read_coadds([path], bands=("g", "i"))
    other = write_cube(tmp_path / "b.fits", FIELD, wcs=field_wcs(scale_arcsec=0.4))
    with pytest.raises(FormatError, match=r"b\.fits: got 0\.4 arcsec a pixel; expected 0\.263"):
        read_coadds([path, other])


def test_the_wcs_of_a_stamp_is_a_header_that_astropy_reads(tmp_path):
    stamp = cut_stamp(read_coadds([write_cube(tmp_path / "a.fits", FIELD)]), at(2), 31)
    again = WCS(fits.Header.fromstring(stamp.wcs.to_header_string()))
    assert again.world_to_pixel(at(2)) == pytest.approx(stamp.center, abs=1e-4)
