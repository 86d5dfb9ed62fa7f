import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from gen5astro.errors import ColumnError, FormatError, MissingFileError
from gen5astro.io import open_pairs
from gen5astro.io.catalog import (
    ALIASES,
    DEFAULT_PIXEL_SCALE,
    assemble_catalog,
    read_table,
    resolve_columns,
)
from gen5astro.io.npz import encode_npz
from gen5astro.io.pairs import BlockRef
from gen5astro.io.paths import TablePairs, read_wire_image
from gen5astro.sample import load_candidates


def test_each_alias_means_one_column():
    for canonical, aliases in ALIASES.items():
        for name in (canonical, *aliases):
            assert resolve_columns([name]) == {canonical: name}


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("theta_E", "theta_e_arcsec"),
        ("Einstein_Radius", "theta_e_arcsec"),
        ("RA", "ra"),
        ("RAJ2000", "ra"),
        ("SNR", "arc_snr"),
        ("psf_size_g", "psfsize_g"),
        ("PSF_FWHM_r", "psfsize_r"),
        ("seeing_i2", "psfsize_i2"),
    ],
)
def test_case_and_underscores_do_not_matter(name, canonical):
    assert resolve_columns([name]) == {canonical: name}


def test_the_canonical_name_wins_then_the_order_of_the_aliases():
    assert resolve_columns(["RA", "ra", "ra_deg"])["ra"] == "ra"
    assert resolve_columns(["einstein_radius", "theta_e"])["theta_e_arcsec"] == "theta_e"
    assert resolve_columns(["theta_e", "einstein_radius"])["theta_e_arcsec"] == "theta_e"


def test_an_override_settles_it():
    names = ["theta_e", "radius", "ra"]
    assert resolve_columns(names, {"theta_e": "radius"})["theta_e_arcsec"] == "radius"
    mapping = resolve_columns(names, {"dec": "ra"}, required=["dec"])
    assert mapping["dec"] == "ra"
    assert "ra" not in mapping


def test_what_is_missing_is_named_with_the_closest():
    with pytest.raises(ColumnError, match=r"column 'ra': got no such column; did you mean 'rar'\?.*--column ra=NAME"):
        resolve_columns(["rar", "decl"], required=["ra", "dec"])
    with pytest.raises(ColumnError, match=r"column 'radus': got no such column; did you mean 'radius'\?"):
        resolve_columns(["radius"], {"theta_e": "radus"})
    with pytest.raises(ColumnError, match="no known column 'theta'; did you mean 'theta_e_arcsec'"):
        resolve_columns(["radius"], {"theta": "radius"})


def test_a_catalog_always_has_its_six_columns():
    catalog = assemble_catalog({}, {}, first_row=7, count=2)
    assert list(catalog) == ["pair_id", "ra", "dec", "theta_e_arcsec", "arc_snr", "host_id"]
    assert catalog["pair_id"].tolist() == ["7", "8"]
    assert catalog["host_id"].tolist() == ["", ""]
    assert np.isnan(catalog["arc_snr"]).all()


def test_columns_become_numbers_or_text_and_missing_ones_are_marked():
    columns = {
        "RA": np.array([1, 2, 3], ">i4"),
        "host": np.ma.array([9007199254740993, 2, 3], mask=[False, True, False]),
        "id": np.array([b"a", b"", b"c"]),
        "snr": np.array(["1.5", "nan", "3"]),
        "flag": np.array([True, False, True]),
        "note": np.ma.array(["x", "y", "z"], mask=[True, False, False]),
        "zsource": np.ma.array([1.0, 2.0, 3.0], mask=[False, False, True]),
        "brick": np.array(["0001m372", None, "b"], dtype=object),
    }
    catalog = assemble_catalog(columns, resolve_columns(columns), first_row=10, count=3)
    assert catalog["host_id"].tolist() == ["9007199254740993", "", "3"]
    assert catalog["pair_id"].tolist() == ["a", "11", "c"]
    assert catalog["brickname"].tolist() == ["0001m372", "", "b"]
    assert catalog["note"].tolist() == ["", "y", "z"]
    np.testing.assert_array_equal(catalog["arc_snr"], [1.5, np.nan, 3])
    np.testing.assert_array_equal(catalog["zsource"], [1, 2, np.nan])
    np.testing.assert_array_equal(catalog["flag"], [1, 0, 1])
    assert catalog["ra"].dtype == np.float64
    assert {values.dtype.kind for values in catalog.values()} == {"f", "U"}


def test_whole_numbers_that_were_read_as_floats_name_a_host():
    catalog = assemble_catalog({"host_id": np.array([3.0, np.nan, 5.0])}, {"host_id": "host_id"}, first_row=0, count=3)
    assert catalog["host_id"].tolist() == ["3", "", "5"]


def test_words_where_numbers_should_be_are_refused():
    with pytest.raises(ColumnError, match=r"column 'RA', row 32: got '12h'; expected a number"):
        assemble_catalog({"RA": np.array(["1.5", "nan", "12h"])}, {"ra": "RA"}, first_row=30, count=3)


def test_a_column_that_an_override_displaced_does_not_come_back():
    columns = {"ra": np.array([1.0]), "ra_true": np.array([2.0])}
    catalog = assemble_catalog(columns, resolve_columns(columns, {"ra": "ra_true"}), first_row=0, count=1)
    assert catalog["ra"].tolist() == [2]


TABLE = Table(
    {
        "name": ["a", "b", "c"],
        "ra": [1.5, 2.5, 3.5],
        "count": [1, 2, 3],
        "gap": MaskedColumn([1.0, 2.0, 3.0], mask=[False, True, False]),
    }
)


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "vot", "parquet", "csv.gz", "fits.gz"])
def test_a_table_is_the_same_in_every_format(tmp_path, ending):
    path = tmp_path / f"table.{ending}"
    if ending == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(
            pa.table({"name": ["a", "b", "c"], "ra": [1.5, 2.5, 3.5], "count": [1, 2, 3], "gap": [1.0, None, 3.0]}),
            path,
        )
    elif ending == "csv.gz":
        import gzip

        TABLE.write(tmp_path / "plain.csv", format="ascii.csv")
        path.write_bytes(gzip.compress((tmp_path / "plain.csv").read_bytes()))
    else:
        TABLE.write(path, format={"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable"}.get(ending))
    columns = read_table(path)
    catalog = assemble_catalog(columns, {}, first_row=0, count=3)
    assert list(columns) == ["name", "ra", "count", "gap"]
    assert catalog["name"].tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(catalog["count"], [1, 2, 3])
    np.testing.assert_array_equal(catalog["gap"], [1, np.nan, 3])
    assert all(values.dtype.isnative for values in columns.values())


@pytest.mark.parametrize(
    ("name", "content"), [("a.fits", b"x"), ("a.vot", b"<x"), ("a.ecsv", b"x"), ("a.parquet", b"x")]
)
def test_a_broken_table_is_named_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=name) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_table_from_windows_has_the_names_that_it_shows(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffra,dec\r\n1.5,2\r\n".encode())
    assert list(read_table(tmp_path / "a.csv")) == ["ra", "dec"]


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match="no such file"):
        read_table(tmp_path / "a.csv")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(FormatError, match=r"ending '\.txt'; expected one of \.csv"):
        read_table(tmp_path / "a.txt")


@pytest.fixture
def folder(tmp_path):
    """Three pairs of real candidates: as npz, npy and FITS."""
    (tmp_path / "images").mkdir()
    for at, candidate in enumerate(load_candidates()):
        image = np.ascontiguousarray(candidate.pixels[:, 30:62, 30:62])
        for name, pixels in (("stamp", image + 1), ("ctrl", image)):
            base = tmp_path / "images" / f"{name}{at}"
            base.with_suffix(".npz").write_bytes(encode_npz(pixels, "grz"))
            np.save(base.with_suffix(".npy"), pixels.transpose(1, 2, 0))
            fits.writeto(base.with_suffix(".fits"), pixels, fits.Header({"BANDS": "grz", "PIXSCALE": 0.25}))
    return tmp_path


def write_table(folder, endings, **columns):
    rows = range(len(endings))
    paths = {f"{name}_path": [f"images/{name}{at}.{endings[at]}" for at in rows] for name in ("stamp", "ctrl")}
    Table({**paths, "RA": [1.0 * at for at in rows], **columns}).write(
        folder / "table.csv", format="ascii.csv", overwrite=True
    )
    return folder / "table.csv"


def test_pairs_are_found_beside_their_table(folder):
    source = TablePairs(write_table(folder, ["npz", "npy", "fits"], theta_e=[1.0, 2, 3]), pixel_scale=0.3)
    assert (source.n_rows, source.bands, source.shape, source.pixel_scale) == (3, ("g", "r", "z"), (32, 32), 0.3)
    (ref,) = source.blocks(10)
    block, rejects = source.read(ref)
    assert not rejects
    for at, candidate in enumerate(load_candidates()):
        np.testing.assert_array_equal(block.ctrl[at], candidate.pixels[:, 30:62, 30:62])
    assert block.catalog["theta_e_arcsec"].tolist() == [1, 2, 3]
    assert block.catalog["ra"].tolist() == [0, 1, 2]
    assert "stamp_path" not in block.catalog


def test_open_pairs_knows_a_table_and_a_cube_by_their_endings(folder):
    assert isinstance(open_pairs(write_table(folder, ["npz"])), TablePairs)
    (folder / "cube.h5").write_bytes(b"text")
    with pytest.raises(FormatError, match=r"cube\.h5"):
        open_pairs(folder / "cube.h5")


def test_an_image_in_place_of_a_table_is_said_to_be_one(folder):
    with pytest.raises(FormatError, match=r"stamp0\.fits: got .*expected a table"):
        open_pairs(folder / "images" / "stamp0.fits")


def test_the_pixel_scale_is_what_the_images_say(folder):
    assert TablePairs(write_table(folder, ["fits", "npz"])).pixel_scale == 0.25
    assert TablePairs(write_table(folder, ["fits", "npz"]), pixel_scale=0.3).pixel_scale == 0.3
    assert TablePairs(write_table(folder, ["npz", "fits"])).pixel_scale == 0.25
    assert TablePairs(write_table(folder, ["npz", "npy"])).pixel_scale == DEFAULT_PIXEL_SCALE


def test_what_was_matched_or_assumed_is_noted(folder):
    source = TablePairs(write_table(folder, ["npz", "npy"], SN=[9.0, 8.0], galaxy=["a", "b"], mass=[1.0, 2.0]))
    assert source.notes == (
        "Columns under other names: ra = 'RA', arc_snr = 'SN', host_id = 'galaxy'",
        "Absent: dec, theta_e_arcsec (say which with --column dec=NAME); carried along: mass",
        "Bands g,r,z assumed where images name none; say which the planes are with --bands",
        "Pixel scale of 0.262 arcsec assumed: the input states none; say which with --pixel-scale",
    )
    assert len(TablePairs(write_table(folder, ["npz"]), pixel_scale=0.2).notes) == 2
    assert not any("assumed" in note for note in TablePairs(write_table(folder, ["fits"])).notes)


def test_bands_may_be_fewer_and_in_another_order(folder):
    source = TablePairs(write_table(folder, ["npz", "fits"]), bands=("z", "g"))
    block, _ = source.read(BlockRef(1, 2))
    np.testing.assert_array_equal(block.ctrl[0], load_candidates()[1].pixels[[2, 0], 30:62, 30:62])


def test_bad_files_are_rejected_with_their_reason(folder):
    (folder / "images/stamp0.npz").write_bytes(b"junk")
    (folder / "images/ctrl2.fits").write_bytes((folder / "images/ctrl2.fits").read_bytes()[:4000])
    source = TablePairs(write_table(folder, ["npz", "npy", "fits"]), pixel_scale=0.25)
    block, rejects = source.read(BlockRef(0, 3))
    assert block.row.tolist() == [1]
    assert [each.row for each in rejects] == [0, 2]
    assert "stamp0.npz: npz: got 4 bytes" in rejects[0].reason
    assert "truncated" in rejects[1].reason
    (folder / "images/stamp1.npy").unlink()
    _, rejects = source.read(BlockRef(1, 2))
    assert "stamp1.npy: got no such file" in rejects[0].reason


def test_a_row_without_a_path_is_rejected(folder):
    path = write_table(folder, ["npz", "npy"])
    path.write_text(path.read_text().replace("images/ctrl1.npy", ""))
    _, rejects = TablePairs(path).read(BlockRef(0, 2))
    assert [(each.row, each.reason) for each in rejects] == [(1, "ctrl_path: got no path; expected a file")]


def test_an_image_file_says_what_it_lacks(folder):
    with pytest.raises(FormatError, match=r"bands g, r, z; expected a plane of band i"):
        read_wire_image(folder / "images/stamp0.fits", bands=("g", "i"))
