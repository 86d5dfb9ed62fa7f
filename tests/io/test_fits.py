import gzip
import io
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from gen5astro.errors import FormatError, MissingFileError
from gen5astro.io.fits import read_image
from gen5astro.sample import load_candidates, load_psf

CANDIDATE = load_candidates()[0]
PIXELS = CANDIDATE.pixels
SCALE_DEG = 0.262 / 3600


def header_of(**cards):
    """A header as the viewer writes it: a TAN WCS about the candidate, and `cards`."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = CANDIDATE.ra, CANDIDATE.dec
    wcs.wcs.crpix = 51, 51
    wcs.wcs.cd = [[-SCALE_DEG, 0], [0, SCALE_DEG]]
    header = wcs.to_header()
    header.update(cards)
    return header


def viewer_cube(path, pixels=PIXELS, **cards):
    fits.PrimaryHDU(pixels.astype(">f4"), header_of(**{"BANDS": "grz", **cards})).writeto(path)
    return path


@pytest.mark.parametrize("ending", ["fits", "fits.gz"])
def test_a_viewer_cube_is_read_whole(tmp_path, ending):
    image = read_image(viewer_cube(tmp_path / f"a.{ending}"))
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.pixels.dtype.isnative
    assert image.pixels.dtype == np.float32
    assert image.pixels.flags.c_contiguous
    assert image.bands == ("g", "r", "z")
    assert image.pixel_scale == pytest.approx(0.262, rel=1e-9)
    assert image.ra == pytest.approx(CANDIDATE.ra, abs=1e-9)
    assert image.dec == pytest.approx(CANDIDATE.dec, abs=1e-9)
    assert image.invvar is None
    assert image.psf == {}


def test_the_center_is_that_of_the_image_not_of_the_projection(tmp_path):
    image = read_image(viewer_cube(tmp_path / "a.fits", PIXELS[:, :21, :41]))
    expected = SkyCoord(CANDIDATE.ra, CANDIDATE.dec, unit="deg").spherical_offsets_by(
        30 * SCALE_DEG * CANDIDATE_UNIT, -40 * SCALE_DEG * CANDIDATE_UNIT
    )
    assert SkyCoord(image.ra, image.dec, unit="deg").separation(expected).arcsec < 1e-4


CANDIDATE_UNIT = SkyCoord(0, 0, unit="deg").ra.unit


def test_one_hdu_a_band_with_inverse_variances_between(tmp_path):
    hdus = [fits.PrimaryHDU(header=fits.Header({"SURVEY": "DECaLS", "IMAGETYP": "image"}))]
    for band, plane in zip("grz", PIXELS, strict=True):
        hdus.append(fits.ImageHDU(plane, header_of(BAND=band, IMAGETYP="image")))
        hdus.append(fits.ImageHDU(np.full_like(plane, ord(band)), header_of(BAND=band, IMAGETYP="invvar")))
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    assert image.bands == ("g", "r", "z")
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.invvar[:, 0, 0].tolist() == [ord(band) for band in "grz"]
    assert image.pixel_scale == pytest.approx(0.262)


@pytest.mark.parametrize("names", [["G", "R", "Z"], ["IMAGE_G", "IMAGE_R", "IMAGE_Z"], ["SCI_G", "SCI_R", "SCI_Z"]])
def test_extension_names_tell_the_band(tmp_path, names):
    hdus = [fits.ImageHDU(plane, name=name) for name, plane in zip(names, PIXELS, strict=True)]
    hdus += [fits.ImageHDU(PIXELS[0], name="MASK_G"), fits.ImageHDU(PIXELS[0], name="MODEL")]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    assert image.bands == ("g", "r", "z")
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert (image.pixel_scale, image.ra, image.dec) == (None, None, None)


def test_inverse_variance_and_psf_stand_beside_a_cube(tmp_path):
    psf = load_psf()
    hdus = [
        fits.PrimaryHDU(PIXELS, header_of(BANDS="grz")),
        fits.ImageHDU(PIXELS**2, fits.Header({"BANDS": "grz"}), "INVVAR"),
    ]
    hdus += [fits.ImageHDU(plane, name=f"PSF_{band.upper()}") for band, plane in psf.items()]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    np.testing.assert_array_equal(image.invvar, PIXELS**2)
    assert list(image.psf) == ["g", "r", "z"]
    np.testing.assert_array_equal(image.psf["r"], psf["r"])


def test_tile_compression_is_undone(tmp_path):
    hdus = [
        fits.CompImageHDU(plane, header_of(BAND=band), compression_type="GZIP_2", quantize_level=0)
        for band, plane in zip("grz", PIXELS, strict=True)
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits.fz")
    np.testing.assert_array_equal(read_image(tmp_path / "a.fits.fz").pixels, PIXELS)


@pytest.mark.parametrize(
    ("cards", "factor"),
    [
        ({}, 1),
        ({"BUNIT": "nanomaggy"}, 1),
        ({"BUNIT": "nanomaggies / pix"}, 1),
        ({"BUNIT": "nanomaggy", "MAGZERO": 30.0}, 1),
        ({"BUNIT": "maggy"}, 1e9),
        ({"BUNIT": "nJy"}, 1 / 3631),
        ({"BUNIT": "uJy"}, 1000 / 3631),
        ({"MAGZERO": 22.5}, 1),
        ({"MAGZERO": 30.0}, 10**-3),
        ({"MAGZERO": 27.5, "BUNIT": "adu"}, 10**-2),
    ],
)
def test_fluxes_become_nanomaggies(tmp_path, cards, factor):
    """AB: a flux of 1 nanomaggy has magnitude 22.5, and 3631 Jy magnitude 0."""
    image = read_image(viewer_cube(tmp_path / "a.fits", **cards))
    np.testing.assert_allclose(image.pixels, PIXELS * factor, rtol=1e-6)


def test_the_zero_point_of_a_band_is_its_own_and_scales_its_inverse_variance(tmp_path):
    hdus = [
        fits.PrimaryHDU(header=fits.Header({"MAGZERO": 25.0})),
        fits.ImageHDU(PIXELS[0], name="G"),
        fits.ImageHDU(PIXELS[1], fits.Header({"MAGZERO": 27.5}), name="R"),
        fits.ImageHDU(np.ones_like(PIXELS[0]), name="INVVAR_G"),
        fits.ImageHDU(np.ones_like(PIXELS[0]), fits.Header({"MAGZERO": 27.5}), name="INVVAR_R"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    np.testing.assert_allclose(image.pixels, [PIXELS[0] / 10, PIXELS[1] / 100], rtol=1e-6)
    np.testing.assert_allclose(image.invvar[:, 0, 0], [1e2, 1e4])


def test_missing_pixels_stay_missing(tmp_path):
    pixels = PIXELS.copy()
    pixels[1, 3:5] = np.nan
    np.testing.assert_array_equal(read_image(viewer_cube(tmp_path / "a.fits", pixels)).pixels, pixels)


def test_integers_with_a_scale_and_a_blank_are_understood(tmp_path):
    hdu = fits.PrimaryHDU(np.array([[[1, 2], [3, -32768]]] * 3, np.int16), fits.Header({"BANDS": "grz"}))
    hdu.header["BSCALE"], hdu.header["BLANK"] = 0.5, -32768
    hdu.writeto(tmp_path / "a.fits", output_verify="ignore")
    assert read_image(tmp_path / "a.fits").pixels.shape == (3, 2, 2)


@pytest.mark.parametrize("keep", [0, 100, 2880, 5000, -2880])
@pytest.mark.parametrize("gzipped", [False, True])
def test_a_cut_off_file_is_one_line(tmp_path, keep, gzipped):
    content = viewer_cube(tmp_path / "whole.fits").read_bytes()
    path = tmp_path / ("a.fits.gz" if gzipped else "a.fits")
    path.write_bytes((gzip.compress(content) if gzipped else content)[:keep])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FormatError, match=r"a.fits.*(truncated|broken) file") as caught:
            read_image(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def cube(**cards):
    return fits.PrimaryHDU(PIXELS, fits.Header(cards))


def plane(band=None, *, shape=(4, 4), name="CCD"):
    return fits.ImageHDU(np.ones(shape, np.float32), fits.Header({"BAND": band} if band else {}), name=name)


@pytest.mark.parametrize(
    ("hdus", "said"),
    [
        ([fits.PrimaryHDU()], "no image"),
        ([cube(BANDS="gr")], "3 planes and bands g,r;"),
        ([cube(BANDS="grz", BUNIT="adu")], "BUNIT 'adu' and no MAGZERO"),
        ([cube(BANDS="grz", BUNIT="MJy/sr")], "BUNIT 'MJy/sr'"),
        ([fits.PrimaryHDU(PIXELS[:2])], "2 planes and bands g,r,z"),
        ([fits.PrimaryHDU(PIXELS[np.newaxis])], r"shape \(1, 3, 101, 101\)"),
        ([cube(BANDS="grz"), fits.ImageHDU(PIXELS, name="G")], "one cube"),
        ([fits.PrimaryHDU(), plane()], "no band"),
        ([fits.PrimaryHDU(), plane("g"), plane("g")], "two images of band g"),
        ([fits.PrimaryHDU(), plane("g"), plane("r", shape=(4, 5))], "planes of several shapes"),
    ],
    ids=range(10),
)
def test_what_cannot_be_told_is_asked_for(tmp_path, hdus, said):
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    with pytest.raises(FormatError, match=said):
        read_image(tmp_path / "a.fits")


def test_what_is_no_fits_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        read_image(tmp_path / "a.fits")
    (tmp_path / "a.fits").write_text("# Markdown\n")
    with pytest.raises(FormatError, match="broken file"):
        read_image(tmp_path / "a.fits")


def test_an_image_too_large_is_refused_by_its_header(tmp_path):
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 3, "NAXIS1": 10**6, "NAXIS2": 10**6, "NAXIS3": 3})
    (tmp_path / "a.fits").write_bytes(header.tostring().encode() + bytes(2880))
    with pytest.raises(FormatError, match=r"truncated|at most"):
        read_image(tmp_path / "a.fits")


def test_bands_may_be_said_in_other_ways(tmp_path):
    for at, cards in enumerate([{"BANDS": "g,r,i2"}, {"BANDS": "g r i2"}, {"BAND0": "G", "BAND1": "R", "BAND2": "i2"}]):
        fits.PrimaryHDU(PIXELS, fits.Header(cards)).writeto(tmp_path / f"{at}.fits")
        assert read_image(tmp_path / f"{at}.fits").bands == ("g", "r", "i2")
    hdu = fits.ImageHDU(
        PIXELS[0], fits.Header({"FILTER": "r DECam SDSS c0002 6415.0 1480.0", "PIXSCALE": 0.3}), name="S10"
    )
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "plane.fits")
    image = read_image(tmp_path / "plane.fits")
    assert (image.bands, image.pixel_scale) == (("r",), 0.3)


def test_reading_on_many_threads_leaves_the_warnings_alone(tmp_path):
    path = viewer_cube(tmp_path / "a.fits", RADECSYS="FK5")
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(read_image, [path] * 12))
    assert list(warnings.filters) == before
    assert all(np.array_equal(image.pixels, PIXELS) for image in images)


def claiming(kind="plain", **cards):
    """A small file whose last header claims what it likes."""
    stream = io.BytesIO()
    images = [fits.CompImageHDU if kind == "tiles" else fits.ImageHDU]
    fits.HDUList([fits.PrimaryHDU(), images[0](PIXELS[0, :20, :20], header_of(BAND="g"))]).writeto(stream)
    content = bytearray(stream.getvalue())
    for key, value in cards.items():
        at = content.index(f"{key:8s}=".encode(), 2880) if f"{key:8s}=".encode() in content[2880:] else None
        at = content.index(b"LONPOLE ", 2880) if at is None else at
        content[at : at + 80] = f"{key:8s}= {value:>20}".ljust(80).encode()
    return bytes(content)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("kind", "cards"),
    [
        ("plain", {"NAXIS": 10**9}),
        ("plain", {"NAXIS1": 10**9}),
        ("plain", {"NAXIS1": -5}),
        ("plain", {"PCOUNT": -(10**5)}),
        ("plain", {"GCOUNT": -3}),
        ("plain", {"BITPIX": 7}),
        ("plain", {"NAXIS2": "1E400"}),
        ("plain", {"A_ORDER": 30_000}),
        ("plain", {"WCSAXES": 10**9}),
        ("tiles", {"TFIELDS": 10**9}),
        ("tiles", {"ZNAXIS": 10**9}),
        ("tiles", {"ZNAXIS1": 10**9}),
        ("tiles", {"ZNAXIS1": 10**4, "ZNAXIS2": 10**4}),
        ("plain", {"XTENSION": "'IMAGE"}),
        ("tiles", {"ZVAL1": 7}),
        ("tiles", {"ZVAL2": -32}),
        ("tiles", {"ZBITPIX": 5}),
        ("tiles", {"ZTILE1": 10**9}),
    ],
    ids=str,
)
def test_what_a_header_claims_takes_neither_memory_nor_time(tmp_path, kind, cards, zipped):
    content = claiming(kind, **cards)
    path = tmp_path / ("a.fits.gz" if zipped else "a.fits")
    path.write_bytes(gzip.compress(content) if zipped else content)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=r"a\.fits.*(broken|truncated|at most)") as caught:
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_a_header_that_astropy_calls_corrupted_leads_nobody_in_a_circle(tmp_path):
    """astropy takes a packed file to be as long as it is packed, and steps back from such a header."""
    content = claiming().replace(b"NAXIS   =                    2", b"NAXES   =                    2")
    for name, packed in (("a.fits", content), ("a.fits.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(packed)
        with pytest.raises(FormatError, match="NAXIS is missing"):
            read_image(tmp_path / name)


def test_padding_behind_the_last_image_is_no_header(tmp_path):
    path = viewer_cube(tmp_path / "a.fits")
    path.write_bytes(path.read_bytes() + bytes(5 * 2880 + 17))
    np.testing.assert_array_equal(read_image(path).pixels, PIXELS)


@pytest.mark.parametrize("kind", ["HCOMPRESS_1", "PLIO_1"])
def test_a_compression_that_damage_turns_against_its_reader_is_refused(tmp_path, kind):
    """A changed card makes astropy write beyond its memory, which ends the process and not only the row."""
    pixels = np.arange(400, dtype=np.int16).reshape(20, 20)
    hdu = fits.CompImageHDU(pixels, fits.Header({"BAND": "g"}), compression_type=kind, tile_shape=(20, 20))
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits.fz")
    with pytest.raises(FormatError, match=rf"a.fits.fz: got tiles of {kind}; expected GZIP_1 .*funpack"):
        read_image(tmp_path / "a.fits.fz")


@pytest.mark.parametrize("zero_point", [999, -999, 10**9, "NAN", "none"])
def test_a_zero_point_that_would_make_every_flux_zero_or_infinite_is_refused(tmp_path, zero_point):
    with pytest.raises(FormatError, match=r"got MAGZERO .*expected the AB magnitude"):
        read_image(viewer_cube(tmp_path / "a.fits", MAGZERO=zero_point))
