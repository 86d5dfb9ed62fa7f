"""What becomes of pixels that were not measured or are flagged, and of an object's own PSF."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from gen5astro.errors import FormatError, ShapeError
from gen5astro.io import open_pairs
from gen5astro.io.beside import blank_unmeasured, fit_psf, flagged_fraction
from gen5astro.io.fits import read_image
from gen5astro.io.npz import decode_npz, encode_npz
from gen5astro.io.pairs import BlockRef
from gen5astro.io.parquet import PairWriter
from gen5astro.kernels.psf import profile_psf, psf_fwhm
from gen5astro.measure import with_psf_sizes
from gen5astro.sample import load_candidates, load_psf
from tests.io.inputs import BANDS, hdu_a_band, viewer_cube, wcs_header

PIXELS = load_candidates()[0].pixels
PSF = load_psf()


def npz_of(**members):
    stream = io.BytesIO()
    np.savez(stream, **members)
    return stream.getvalue()


def planes(prefix, images):
    return {f"{prefix}_{band}": image for band, image in zip(BANDS, images, strict=True)}


def beside(tmp_path, *hdus):
    """A viewer cube of the candidate with other HDUs behind it."""
    primary = fits.PrimaryHDU(PIXELS, wcs_header(BANDS="grz"))
    fits.HDUList([primary, *hdus]).writeto(tmp_path / "a.fits", overwrite=True)
    return tmp_path / "a.fits"


WEIGHT = np.ones(PIXELS.shape, np.float32)
WEIGHT[1, 3:5, 7] = 0
LOST = WEIGHT == 0


@pytest.mark.parametrize("name", ["INVVAR", "IVAR", "WEIGHT", "WHT", "WGT"])
@pytest.mark.parametrize("unit", ["", "1/nanomaggy^2"])
def test_a_pixel_without_weight_was_not_measured(tmp_path, name, unit):
    """The unit of a weight is not one of flux, and does not make the file unreadable."""
    cards = {"BANDS": "grz", **({"BUNIT": unit} if unit else {})}
    image = read_image(beside(tmp_path, fits.ImageHDU(WEIGHT, fits.Header(cards), name=name)))
    assert image.bands == BANDS
    np.testing.assert_array_equal(image.pixels, np.where(LOST, np.nan, PIXELS))


def test_a_weight_of_each_band_is_that_band_s_and_one_without_a_band_is_of_all(tmp_path):
    hdus = [fits.ImageHDU(plane, name=f"WEIGHT_{band}") for band, plane in zip("GRZ", WEIGHT, strict=True)]
    np.testing.assert_array_equal(np.isnan(read_image(beside(tmp_path, *hdus)).pixels), LOST)
    one = read_image(beside(tmp_path, fits.ImageHDU(WEIGHT[1], name="WEIGHT")))
    np.testing.assert_array_equal(np.isnan(one.pixels), np.stack([LOST[1]] * 3))


@pytest.mark.parametrize("name", ["MASK", "MASKBITS", "DQ", "BPM", "FLAGS"])
def test_a_flagged_pixel_keeps_its_value_and_is_counted(tmp_path, name):
    mask = np.zeros(PIXELS.shape[1:], np.int32)
    mask[:10, :10] = 4
    image = read_image(beside(tmp_path, fits.ImageHDU(mask, name=name)))
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.masked_fraction == pytest.approx(100 / 101**2)
    assert read_image(beside(tmp_path)).masked_fraction is None


def test_one_psf_without_a_band_is_that_of_all(tmp_path):
    image = read_image(beside(tmp_path, fits.ImageHDU(PSF["r"], name="PSF")))
    assert set(image.psf) == set(BANDS)
    np.testing.assert_array_equal(image.psf["z"], PSF["r"])


def test_what_stands_beside_has_to_fit(tmp_path):
    for hdu in (fits.ImageHDU(WEIGHT[0, :5, :5], name="WEIGHT"), fits.ImageHDU(np.zeros((3, 3), "i2"), name="MASK_G")):
        with pytest.raises(FormatError, match=r"of shape \(\d, \d\); expected that of band g, \(101, 101\)"):
            read_image(beside(tmp_path, hdu))
    with pytest.raises(ShapeError, match="weights: got shape"):
        blank_unmeasured(PIXELS, WEIGHT[:2])
    with pytest.raises(ShapeError, match="flags: got shape"):
        flagged_fraction(np.zeros((2, 2)), PIXELS)


def test_planes_of_other_kinds_are_no_bands(tmp_path):
    names = ["MODEL", "VARIANCE", "SIGMA_R", "BKG", "SEGMENTATION", "NEXP_G", "CHI2", "RESIDUAL"]
    image = read_image(beside(tmp_path, *(fits.ImageHDU(PIXELS[0], name=name) for name in names)))
    assert image.bands == BANDS
    np.testing.assert_array_equal(image.pixels, PIXELS)


@pytest.mark.parametrize("kind", ["invvar", "ivar", "weight"])
@pytest.mark.parametrize("layout", ["planes", "chw", "hwc"])
@pytest.mark.parametrize("bands", [None, BANDS])
def test_npz_members_beside_the_image_do_the_same(kind, layout, bands):
    mask = np.zeros(PIXELS.shape[1:], bool)
    mask[0] = True
    if layout == "planes":
        image = decode_npz(npz_of(**planes("image", PIXELS), **planes(kind, WEIGHT), mask=mask), bands=bands)
    else:
        turned = [each if layout == "chw" else each.transpose(1, 2, 0) for each in (PIXELS, WEIGHT)]
        image = decode_npz(npz_of(image=turned[0], **{kind: turned[1]}, mask=mask), bands=bands)
    pixels = image.pixels if image.layout == "chw" else image.pixels.transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels, np.where(LOST, np.nan, PIXELS))
    assert image.facts == {"masked_fraction": pytest.approx(1 / 101)}


def test_metadata_of_such_a_name_is_metadata():
    payload = npz_of(image=PIXELS, weight=np.float64(0.0), mask=np.array("none"), psf=np.array([1.2, 1.1, 1.0]))
    image = decode_npz(payload)
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert (image.facts, image.psf) == ({}, {})


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"invvar": WEIGHT[:, :5, :5]}, "weights: got shape"),
        ({"mask": np.zeros((2, 2), bool)}, "flags: got shape"),
        ({"invvar_g": WEIGHT[0]}, "expected a member 'invvar_r'"),
        ({"psf": np.ones((5, 7, 7))}, r"member 'psf': got shape \(5, 7, 7\)"),
        ({"weight_g": WEIGHT[0], "weight_r": WEIGHT[0, :5], "weight_z": WEIGHT[0]}, "expected one shape"),
    ],
)
def test_npz_members_that_do_not_fit_are_named(members, said):
    with pytest.raises((FormatError, ShapeError), match=said):
        decode_npz(npz_of(image=PIXELS, **members))


def test_a_psf_in_the_npz_is_that_of_each_band():
    psf = np.stack([PSF[band] for band in BANDS])
    for members in ({"psf": psf}, planes("psf", psf), {"psf": psf.transpose(1, 2, 0)}):
        found = decode_npz(npz_of(image=PIXELS, **members)).psf
        np.testing.assert_array_equal(np.stack([found[band] for band in BANDS]), psf)
    assert np.array_equal(decode_npz(npz_of(image=PIXELS, psf=psf[0])).psf["z"], psf[0])


def test_a_psf_is_padded_or_cut_and_keeps_its_light():
    image = PSF["r"]
    for side in (31, 63, 65):
        (plane,) = fit_psf([image], side, what="PSF")
        assert plane.shape == (side, side)
        assert plane.sum() == pytest.approx(1, rel=1e-5)
        assert np.unravel_index(plane.argmax(), plane.shape) == (side // 2, side // 2)
    for bad in (np.ones((4, 4)), np.ones((3, 5)), np.zeros((3, 3)), np.full((3, 3), np.nan)):
        with pytest.raises((FormatError, ShapeError), match="PSF"):
            fit_psf([bad], 3, what="PSF")


def pairs_with_psfs(folder, kind):
    """Three pairs in a table, of which the third has no PSF; a PSF as an HDU, or as a file of its own."""
    rows = []
    for at, fwhm in enumerate((4.0, 5.0, None)):
        row = {}
        for member in ("stamp", "ctrl"):
            hdus = [fits.PrimaryHDU(PIXELS, wcs_header(BANDS="grz"))]
            psf = None if fwhm is None else profile_psf(fwhm, half_px=15)
            if kind == "hdu" and psf is not None:
                hdus += [fits.ImageHDU(psf, name=f"PSF_{band}") for band in "GRZ"]
            fits.HDUList(hdus).writeto(folder / f"{member}{at}.fits")
            row[f"{member}_path"] = f"{member}{at}.fits"
        if kind != "hdu":
            row["psf_path"] = "" if psf is None else f"psf{at}.{kind}"
            if kind == "npz" and psf is not None:
                (folder / f"psf{at}.npz").write_bytes(encode_npz(np.stack([psf] * 3), BANDS))
            elif kind == "fits" and psf is not None:
                fits.HDUList([fits.PrimaryHDU()] + [fits.ImageHDU(psf, name=f"PSF_{band}") for band in "GRZ"]).writeto(
                    folder / f"psf{at}.fits"
                )
        rows.append(row)
    Table(rows).write(folder / "table.csv", format="ascii.csv")
    return folder / "table.csv"


@pytest.mark.parametrize("kind", ["hdu", "npz", "fits"])
def test_an_object_s_own_psf_is_carried_and_sets_its_width(tmp_path, kind):
    block, rejects = open_pairs(pairs_with_psfs(tmp_path, kind)).read(BlockRef(0, 3))
    assert not rejects
    assert block.psf.shape == (3, 3, 31, 31)
    assert np.isnan(block.psf[2]).all()
    sizes = with_psf_sizes(block).catalog["psfsize_r"]
    widths = [psf_fwhm(profile_psf(fwhm, half_px=15)) for fwhm in (4, 5)]
    np.testing.assert_allclose(sizes[:2], np.array(widths) * block.pixel_scale, rtol=1e-4)
    assert np.isnan(sizes[2])


def test_pairs_keep_their_psfs_in_parquet(tmp_path):
    block, _ = open_pairs(pairs_with_psfs(tmp_path, "hdu")).read(BlockRef(0, 2))
    with PairWriter(tmp_path / "pairs.parquet", block.bands, block.pixel_scale) as writer:
        writer.write(block)
    again, _ = open_pairs(tmp_path / "pairs.parquet").read(BlockRef(0, 2))
    np.testing.assert_array_equal(again.psf, block.psf)


def test_a_broken_psf_is_a_reject(tmp_path):
    path = pairs_with_psfs(tmp_path, "npz")
    (tmp_path / "psf1.npz").write_bytes(encode_npz(np.zeros((3, 31, 31)), BANDS))
    _, rejects = open_pairs(path).read(BlockRef(0, 3))
    assert [(each.row, "PSF: got a PSF of sum 0" in each.reason) for each in rejects] == [(1, True)]


def write_table(folder, write, images, **other):
    rows = []
    for at, image in enumerate(images):
        for member in ("stamp", "ctrl"):
            write(folder / f"{member}{at}.fits", image)
        rows.append({f"{member}_path": f"{member}{at}.fits" for member in ("stamp", "ctrl")} | other)
    Table(rows).write(folder / "table.csv", format="ascii.csv")
    return folder / "table.csv"


def test_the_share_of_flagged_pixels_and_the_place_are_columns(tmp_path):
    source = open_pairs(write_table(tmp_path, hdu_a_band, [PIXELS, PIXELS + 1]))
    block, _ = source.read(BlockRef(0, 2))
    assert block.catalog["masked_fraction"].tolist() == [0, 0]
    assert block.catalog["ra"] == pytest.approx(150.1, abs=0.01)
    assert any(note.startswith("Taken from the images: ra, dec, masked_fraction") for note in source.notes)


def test_the_table_s_position_stands_before_that_of_the_header(tmp_path):
    block, _ = open_pairs(write_table(tmp_path, viewer_cube, [PIXELS], ra=7.5)).read(BlockRef(0, 1))
    assert block.catalog["ra"].tolist() == [7.5]
    assert block.catalog["dec"] == pytest.approx(2.2, abs=0.01)


def test_a_row_of_another_pixel_scale_or_unit_is_a_reject(tmp_path):
    path = write_table(tmp_path, viewer_cube, [PIXELS] * 4)
    with fits.open(tmp_path / "ctrl1.fits", mode="update") as hdus:
        hdus[0].header["PC1_1"], hdus[0].header["PC2_2"] = -0.1 / 3600, 0.1 / 3600
    with fits.open(tmp_path / "stamp2.fits", mode="update") as hdus:
        hdus[0].header["BUNIT"] = "furlong"
    block, rejects = open_pairs(path).read(BlockRef(0, 4))
    assert block.row.tolist() == [0, 3]
    assert rejects[0].reason == "ctrl: got a pixel scale of 0.1 arcsec; expected 0.263, that of the input"
    assert "BUNIT 'furlong' and no MAGZERO; expected nanomaggies, Jy, or a zero point" in rejects[1].reason
    told, rejects = open_pairs(path, pixel_scale=0.263).read(BlockRef(0, 4))
    assert [each.row for each in rejects] == [2]
    assert len(told) == 3


def test_a_psf_column_of_numbers_is_a_column(tmp_path):
    payload = pa.array([encode_npz(PIXELS, BANDS)], pa.binary())
    pq.write_table(pa.table({"stamp_npz": payload, "ctrl_stamp_npz": payload, "psf": [1.3]}), tmp_path / "a.parquet")
    block, _ = open_pairs(tmp_path / "a.parquet").read(BlockRef(0, 1))
    assert block.psf is None
    assert block.catalog["psf"].tolist() == [1.3]


@pytest.mark.parametrize(
    ("hdus", "said"),
    [
        ([fits.PrimaryHDU(PIXELS, fits.Header({"BANDS": "grz", "MAGZERO": "n/a"}))], "MAGZERO 'n/a'; expected the AB"),
        ([fits.PrimaryHDU(PIXELS, fits.Header({"BANDS": "grz", "BUNIT": "MJy"}))], "BUNIT 'MJy' and no MAGZERO"),
        (
            [
                fits.PrimaryHDU(),
                fits.ImageHDU(PIXELS[0], wcs_header(BAND="g")),
                fits.ImageHDU(PIXELS[1], wcs_header(BAND="r", PC1_1=-1e-4, PC2_2=1e-4)),
            ],
            "0.263 arcsec a pixel in band g and 0.36 in r; expected one pixel scale; cut it with gen5astro cutout",
        ),
        (
            [fits.PrimaryHDU(PIXELS, wcs_header(BANDS="grz")), fits.ImageHDU(np.ones((1, 1, 2, 2)), name="MASK")],
            r"MASK\]: got shape \(1, 1, 2, 2\)",
        ),
    ],
    ids=range(4),
)
def test_headers_that_contradict_themselves_are_named(tmp_path, hdus, said):
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    with pytest.raises(FormatError, match=said) as caught:
        read_image(tmp_path / "a.fits")
    assert "\n" not in str(caught.value)
