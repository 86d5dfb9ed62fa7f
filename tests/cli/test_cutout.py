"""The verb cutout: hosts cut out of coadds, or one clear line."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from click.testing import CliRunner

from gen5astro import cutout
from gen5astro.cli import main
from gen5astro.io import open_cutouts, open_pairs
from gen5astro.io.pairs import BlockRef
from gen5astro.sample import load_hosts
from tests.fields import BANDS, field_pixels, field_places, field_wcs, write_band, write_cube


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Return a folder with a field as one file and as a file a band, and catalogs of its galaxies."""
    folder = tmp_path_factory.mktemp("field")
    pixels, places = field_pixels(), field_places()
    write_cube(folder / "field.fits", pixels)
    for band, plane in zip(BANDS, pixels, strict=True):
        write_band(folder / f"coadd-{band}.fits.fz", plane, band)
    write_band(folder / "shifted-z.fits.fz", pixels[2], "z", wcs=field_wcs(shift=(0.5, 0)))
    hosts = load_hosts()
    galaxies = {
        "name": [f"galaxy {at}" for at in range(9)],
        "RA": places[:, 0],
        "Dec": places[:, 1],
        "sigma_v": hosts.catalog["velocity_dispersion_kms"][:9],
    }
    Table(galaxies).write(folder / "galaxies.csv", format="ascii.csv")
    table = Table(galaxies)
    table.add_row(("far away", 10.0, -70.0, 250.0))
    table.add_row(("at the edge", *field_wcs().pixel_to_world_values(20, 160), 250.0))
    table.add_row(("nowhere", np.nan, np.nan, 250.0))
    table.write(folder / "all.ecsv", format="ascii.ecsv")
    return folder


def cut(field, out, *more, catalog="galaxies.csv", images=("field.fits",)):
    return run("cutout", field / catalog, "--images", *(field / image for image in images), "--out", out, *more)


def test_cutouts_are_the_pixels_of_the_coadd_and_become_hosts_and_pairs(field, tmp_path):
    out = tmp_path / "cutouts.parquet"
    result = cut(field, out, "--size", 71)
    assert result.exit_code == 0, result.output
    assert "9 in = 9 cut + 0 rejected" in result.stdout
    assert f"next: gen5astro inject {out}" in result.stderr
    assert f"gen5astro predict RUN {out}" in result.stderr
    assert "pixels as they were" in result.stdout
    block, rejects = open_cutouts(out).read(BlockRef(0, 9))
    assert not rejects
    for at in range(9):
        np.testing.assert_array_equal(block.image[at], load_hosts().cutout(at, 71)[0])
    assert block.catalog["name"].tolist() == [f"galaxy {at}" for at in range(9)]
    assert block.psf.shape == (9, 3, 63, 63)
    pairs = tmp_path / "pairs.parquet"
    injected = run("inject", out, "--out", pairs, "--n", 12, "--size", 48, "--seed", 4)
    assert injected.exit_code == 0, injected.output
    made, _ = open_pairs(pairs).read(BlockRef(0, 12))
    assert made.pixel_scale == 0.263
    assert set(made.catalog["host_id"]) == {str(at) for at in range(9)}
    np.testing.assert_allclose(made.psf[0], load_hosts().psf, atol=1e-6)
    of_sample = run("inject", "sample", "--out", tmp_path / "sample.parquet", "--n", 12, "--size", 48, "--seed", 4)
    assert of_sample.exit_code == 0
    np.testing.assert_allclose(made.catalog["psfsize_r"], load_hosts().psf_fwhm_arcsec[1], rtol=1e-4)


@pytest.mark.parametrize("images", [("coadd-g.fits.fz", "coadd-r.fits.fz", "coadd-z.fits.fz"), ("coadd-*.fits.fz",)])
def test_files_of_a_band_are_given_one_by_one_or_by_a_glob(field, tmp_path, images):
    out = tmp_path / "cutouts.parquet"
    result = cut(field, out, "--size", 65, "--psf", "sample", images=images)
    assert result.exit_code == 0, result.output
    block, _ = open_cutouts(out).read(BlockRef(0, 9))
    assert block.bands == BANDS
    np.testing.assert_array_equal(block.image[4], load_hosts().cutout(4, 65)[0])


def test_what_was_resampled_is_said(field, tmp_path):
    images = ("coadd-g.fits.fz", "coadd-r.fits.fz", "shifted-z.fits.fz")
    result = cut(field, tmp_path / "a.parquet", "--size", 65, images=images)
    assert "z: cubic spline" in result.stdout
    assert "psfsize_<band> or --psf are needed" in result.stdout
    table = Table.read(field / "galaxies.csv", format="ascii.csv")
    for band in BANDS:
        table[f"seeing_{band}"] = 1.1
    table.write(tmp_path / "seeing.csv", format="ascii.csv")
    result = cut(field, tmp_path / "b.parquet", "--size", 65, images=images, catalog=tmp_path / "seeing.csv")
    assert "of the widths in the columns psfsize_<band>" in result.stdout


def test_positions_that_cannot_be_cut_are_rejects_with_their_reason(field, tmp_path):
    out = tmp_path / "cutouts.parquet"
    result = cut(field, out, "--size", 65, "--json", catalog="all.ecsv")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["schema"] == "gen5astro-cutout/1"
    assert record["counts"] == {"read": 12, "cut": 9, "rejected": 3}
    assert (record["bands"], record["size"], record["pixel_scale"]) == (["g", "r", "z"], 65, 0.263)
    listed = pq.read_table(record["rejects"]).to_pylist()
    assert [each["row"] for each in listed] == [9, 10, 11]
    for each, said in zip(listed, ("expected one on the images", "a stamp that leaves", "ra nan"), strict=True):
        assert said in each["reason"]
    assert "3 rows rejected, see" in result.stderr
    assert cut(field, out, "--size", 65, "--force", "--quiet").exit_code == 0
    assert not (tmp_path / "cutouts.rejects.parquet").exists()


@pytest.mark.parametrize(
    ("more", "catalog", "images", "said"),
    [
        ((), "none.csv", ("field.fits",), "none.csv"),
        ((), "galaxies.csv", ("none.fits",), "none.fits"),
        ((), "galaxies.csv", ("galaxies.csv",), "galaxies.csv"),
        (("--column", "ra=RAs"), "galaxies.csv", ("field.fits",), "did you mean 'RA'"),
        (("--column", "ra=name"), "galaxies.csv", ("field.fits",), "'galaxy 0'; expected a number"),
        (("--bands", "g,i"), "galaxies.csv", ("field.fits",), "expected band i"),
        (("--bands", "g,g"), "galaxies.csv", ("field.fits",), "--bands g,g"),
        (("--size", 400), "galaxies.csv", ("field.fits",), "none of 9 rows"),
        (("--set", "sizes=3"), "galaxies.csv", ("field.fits",), "sizes"),
        (("--psf", "none.fits"), "galaxies.csv", ("field.fits",), "none.fits"),
    ],
    ids=range(10),
)
def test_bad_input_is_one_line_and_no_file(field, tmp_path, more, catalog, images, said):
    result = cut(field, tmp_path / "a.parquet", "--quiet", *more, catalog=catalog, images=images)
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert result.output.count("\n") == 1
    assert not {each.name for each in tmp_path.iterdir()} - {"a.rejects.parquet"}


def test_a_catalog_without_rows_is_one_line(field, tmp_path):
    (tmp_path / "empty.csv").write_text("ra,dec\n")
    result = cut(field, tmp_path / "a.parquet", catalog=tmp_path / "empty.csv")
    assert result.exit_code == 2
    assert "empty.csv: got no rows; expected at least one position" in result.output


def test_a_coadd_that_is_cut_off_is_one_line(field, tmp_path):
    (tmp_path / "cut.fits").write_bytes((field / "field.fits").read_bytes()[:100_000])
    result = cut(field, tmp_path / "a.parquet", images=(tmp_path / "cut.fits",))
    assert result.exit_code == 2
    assert "truncated file" in result.output


def test_an_output_is_not_overwritten_without_force(field, tmp_path):
    out = tmp_path / "a.parquet"
    out.write_text("precious")
    assert cut(field, out).exit_code == 2
    assert out.read_text() == "precious"


def test_an_interrupt_keeps_nothing_half_written(field, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return original(*arguments, **options)

    calls, original = [], cutout.cut_stamp
    monkeypatch.setattr(cutout, "_BLOCK", 1)
    monkeypatch.setattr(cutout, "cut_stamp", interrupted)
    result = cut(field, tmp_path / "a.parquet", "--size", 65)
    assert result.exit_code == 130
    assert "nothing was written" in result.output
    assert not list(tmp_path.iterdir())


def test_cutouts_with_holes_may_be_asked_for_but_are_no_hosts(field, tmp_path):
    weight = np.ones_like(field_pixels())
    weight[1, 150:153, 150:153] = 0
    hdu = fits.ImageHDU(weight, fits.Header({"BANDS": "grz"}), "INVVAR")
    write_cube(tmp_path / "holes.fits", field_pixels(), beside=[hdu])
    out = tmp_path / "a.parquet"
    loose = ("--size", 65, "--set", "max_missing_fraction=0.01")
    assert cut(field, out, *loose, images=(tmp_path / "holes.fits",)).exit_code == 0
    refused = run("inject", out, "--out", tmp_path / "p.parquet", "--n", 2, "--size", 48, "-q")
    assert refused.exit_code == 2
    assert "1 of 9 rows rejected (row 4: image: got 9 pixels without a value" in refused.output
    taken = run("inject", out, "--out", tmp_path / "p.parquet", "--n", 2, "--size", 48, "--max-reject-fraction", 0.2)
    assert taken.exit_code == 0, taken.output
    assert "9 hosts in = 8 used + 1 rejected" in taken.stderr
    (reject,) = pq.read_table(tmp_path / "p.hosts.rejects.parquet").to_pylist()
    assert reject["row"] == 4


def test_pairs_of_cutouts_are_made_again_in_the_same_hosts_or_their_ctrls(field, tmp_path):
    cutouts, files = tmp_path / "cutouts.parquet", {name: tmp_path / f"{name}.parquet" for name in ("clean", "bad")}
    assert cut(field, cutouts, "--size", 71).exit_code == 0
    options = ("--n", 6, "--size", 48, "--seed", 2, "-q")
    assert run("inject", cutouts, "--out", files["clean"], *options).exit_code == 0
    assert run("inject", cutouts, "--out", files["bad"], "--fault", "pedestal", *options).exit_code == 0
    clean = open_pairs(files["clean"]).read(BlockRef(0, 6))[0]
    for hosts in (cutouts, "ctrl"):
        out = tmp_path / f"again-{hosts if hosts == 'ctrl' else 'hosts'}.parquet"
        result = run("inject", hosts, "--like", files["bad"], "--out", out, "-q")
        assert result.exit_code == 0, result.output
        again = open_pairs(out).read(BlockRef(0, 6))[0]
        np.testing.assert_array_equal(again.ctrl, clean.ctrl)
        np.testing.assert_allclose(again.stamp, clean.stamp, atol=1e-6)
        np.testing.assert_allclose(again.psf, clean.psf, atol=1e-7)
