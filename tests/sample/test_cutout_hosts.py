"""Cutouts of every kind become the same hosts; what cannot be a host is a reject, or one clear line."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from gen5astro.config import InjectConfig
from gen5astro.errors import ColumnError, ConfigError, FormatError, RejectedError
from gen5astro.inject import inject_blocks
from gen5astro.inject.hosts import read_hosts
from gen5astro.io import open_cutouts, open_pairs
from gen5astro.io.npz import encode_npz
from gen5astro.io.pairs import BlockRef
from gen5astro.sample import load_hosts

HOSTS = load_hosts()
BANDS = HOSTS.bands
COUNT = 4
WIDTHS = {f"psfsize_{band}": np.full(COUNT, 1.1 + at / 10) for at, band in enumerate(BANDS)}
CATALOG = {"ra": HOSTS.catalog["ra"][:COUNT], "dec": HOSTS.catalog["dec"][:COUNT], "name": list("abcd")}


def npz_column(images):
    return pa.array([encode_npz(image, BANDS) for image in images], pa.binary())


def parquet(folder, images, **columns):
    """Cutouts in Parquet, as a team has them."""
    table = {"cutout_npz": npz_column(images), **CATALOG, **columns}
    metadata = {"gen5astro.pixel_scale": "0.263"}
    pq.write_table(pa.table(table).replace_schema_metadata(metadata), folder / "cutouts.parquet")
    return folder / "cutouts.parquet"


def table(folder, images, **columns):
    """A table of paths."""
    for at, image in enumerate(images):
        np.save(folder / f"{at}.npy", image.transpose(1, 2, 0))
    paths = {"image_path": [f"{at}.npy" for at in range(len(images))]}
    Table({**paths, **CATALOG, **columns}).write(folder / "hosts.csv", format="ascii.csv")
    return folder / "hosts.csv"


def fits_table(folder, images, **columns):
    """The same table as FITS, which a hosts file is too."""
    Table.read(table(folder, images, **columns), format="ascii.csv").write(folder / "hosts.fits")
    return folder / "hosts.fits"


def multimodal(folder, images, *, bands=("des-g", "des-r", "des-z"), factor=1.0, zero_point=None, **columns):
    """As the Multimodal Universe writes its samples of the Legacy Surveys."""
    for cell, rows in enumerate((slice(0, 1), slice(1, None))):
        place = folder / "dr10_south_21" / f"healpix={100 + cell}"
        place.mkdir(parents=True)
        count = len(images[rows])
        with h5py.File(place / "001-of-001.hdf5", "w") as file:
            array = file.create_dataset("image_array", data=np.asarray(images[rows]) * factor, compression="gzip")
            if zero_point is not None:
                array.attrs["zero_point"] = zero_point
            file["image_band"] = np.array([[band.encode() for band in bands]] * count)
            file["image_ivar"] = np.ones_like(images[rows])
            file["image_mask"] = np.ones((count, *images.shape[2:]), bool)
            file["image_scale"] = np.full((count, 3), 0.263, np.float32)
            widths = np.stack([WIDTHS[f"psfsize_{band}"][rows] for band in BANDS], axis=1)
            file["image_psf_fwhm"] = widths.astype(np.float32)
            file["object_id"] = np.array([f"brick-{at}" for at in range(COUNT)], dtype="S16")[rows]
            file["RA"], file["DEC"] = CATALOG["ra"][rows], CATALOG["dec"][rows]
            file["EBV"] = np.full(count, 0.1, np.float32)
            for name, values in columns.items():
                file[name] = values[rows]
    return folder / "dr10_south_21"


KINDS = {"parquet": parquet, "table": table, "fits": fits_table, "multimodal": multimodal}


def write(kind, folder, images=HOSTS.image[:COUNT], **columns):
    widths = {} if kind == "multimodal" else WIDTHS
    return KINDS[kind](folder, images, **{**widths, **columns})


def read(path, **options):
    return read_hosts(path, **({"pixel_scale": 0.263} if path.suffix in (".csv", ".fits") else {}), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_cutouts_of_every_kind_are_the_same_hosts(tmp_path, kind):
    hosts = read(write(kind, tmp_path))
    np.testing.assert_array_equal(hosts.image, HOSTS.image[:COUNT])
    np.testing.assert_array_equal(hosts.catalog["ra"], CATALOG["ra"])
    np.testing.assert_array_equal(hosts.center, HOSTS.center[:COUNT])
    np.testing.assert_array_equal(hosts.sky_sigma, HOSTS.sky_sigma[:COUNT])
    assert (hosts.bands, hosts.pixel_scale, hosts.rejects) == (BANDS, 0.263, ())
    assert len(set(hosts.catalog["host_id"])) == COUNT
    np.testing.assert_allclose(hosts.fwhm_of(np.arange(COUNT)), np.stack(list(WIDTHS.values()), axis=1), rtol=0.03)
    assert any("No host states a velocity dispersion" in note for note in hosts.notes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_cutout_of_every_kind_is_a_reject(tmp_path, kind):
    images = HOSTS.image[:COUNT].copy()
    images[1, 1, 40:43, 40:43] = np.nan
    images[2] = images[2, :, ::-1][:, np.r_[45:91, 0:45]]
    kept = []
    path = write(kind, tmp_path, images)
    with pytest.raises(RejectedError, match=r"2 of 4 rows rejected \(row 1: image: got 9 pixels without a value"):
        read(path, on_rejects=lambda rejects, _: kept.extend(rejects))
    assert [each.row for each in kept] == [1, 2]
    assert "no galaxy in the middle" in kept[1].reason
    hosts = read(path, max_reject_fraction=0.5)
    assert len(hosts) == 2
    assert [each.row for each in hosts.rejects] == [1, 2]


def test_hosts_without_a_velocity_dispersion_get_that_of_the_settings(tmp_path):
    known = np.array([300.0, np.nan, 300.0, 300.0])
    hosts = read(write("parquet", tmp_path, sigma_v=known))
    assert any("1 of 4 hosts do not state" in note for note in hosts.notes)
    config = InjectConfig(size=48, velocity_dispersion_kms=150.0, velocity_boost=(1.0, 1.0), theta_e_arcsec=(0.1, 3))
    (block,) = inject_blocks(hosts, COUNT, seed=1, config=config)
    drawn = dict(zip(block.catalog["host_id"], block.catalog["velocity_dispersion_kms"], strict=True))
    assert drawn == {"0": 300, "1": 150, "2": 300, "3": 300}


def test_each_galaxy_s_arc_has_the_psf_of_that_galaxy(tmp_path):
    """The same arc, in a host whose PSF is wider, is wider."""
    same = np.stack([HOSTS.image[0]] * COUNT)
    widths = {f"psfsize_{band}": np.array([0.7, 1.4, 0.7, 1.4]) for band in BANDS}
    hosts = read(write("parquet", tmp_path, same, **widths))
    assert len(hosts.psfs) == 2
    config = InjectConfig(size=64)
    (block,) = inject_blocks(hosts, COUNT, seed=3, config=config)
    again = np.concatenate([each.stamp for each in inject_blocks(hosts, COUNT, seed=3, config=config, block=1)])
    np.testing.assert_array_equal(block.stamp, again)
    arcs = block.stamp - block.ctrl
    peak = arcs.max(axis=(1, 2, 3)) / arcs.sum(axis=(1, 2, 3))
    wide = block.catalog["psfsize_r"] > 1
    assert peak[wide].max() < peak[~wide].min()
    assert block.psf.shape == (COUNT, 3, 63, 63)


def test_what_has_no_psf_is_asked_for_one(tmp_path):
    pq.write_table(pa.table({"image_npz": npz_column(HOSTS.image[:COUNT]), **CATALOG}), tmp_path / "a.parquet")
    with pytest.raises(ColumnError, match=r"no PSF, and no column psfsize_g; .*--column psfsize_g=NAME"):
        read_hosts(tmp_path / "a.parquet")
    path = write("parquet", tmp_path, psfsize_r=np.array([1.0, np.nan, 1.0, 1.0]))
    with pytest.raises(RejectedError, match="row 1: image: got no PSF and no psfsize"):
        read_hosts(path)


def test_reading_options_are_for_cutouts(tmp_path):
    with pytest.raises(ConfigError, match=r"--bands: got hosts sample, .*a table of cutouts as HOSTS"):
        read_hosts("sample", bands=("g",))
    hosts = read_hosts(write("multimodal", tmp_path), bands=("r", "g"))
    np.testing.assert_array_equal(hosts.image, HOSTS.image[:COUNT, [1, 0]])
    np.testing.assert_allclose(hosts.fwhm_of(np.array([0]))[0], [1.2, 1.1], rtol=0.03)


def test_pairs_are_asked_for_where_cutouts_are_given(tmp_path):
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        with pytest.raises(FormatError, match=r"images of single galaxies \(\w+\); expected pairs: .*gen5astro inject"):
            open_pairs(write(kind, tmp_path / kind))


# --- the layout of the Multimodal Universe ----------------------------------------------------------------------------


def test_its_columns_ride_along_and_its_datasets_of_pixels_do_not(tmp_path):
    source = open_cutouts(write("multimodal", tmp_path))
    block, rejects = source.read(BlockRef(0, COUNT))
    assert not rejects
    assert block.catalog["healpix"].tolist() == ["100", "101", "101", "101"]
    assert block.catalog["pair_id"].tolist() == [f"brick-{at}" for at in range(COUNT)]
    assert block.catalog["masked_fraction"].tolist() == [0] * COUNT
    np.testing.assert_allclose(block.catalog["EBV"], 0.1, rtol=1e-6)
    assert not {"image_ivar", "image_mask", "image_scale"} & set(block.catalog)


def test_its_weights_and_masks_do_what_others_do(tmp_path):
    path = write("multimodal", tmp_path)
    with h5py.File(path / "healpix=101" / "001-of-001.hdf5", "r+") as file:
        file["image_ivar"][0, 1, 5, 6] = 0
        file["image_mask"][1, :10, :10] = False
    block, _ = open_cutouts(path).read(BlockRef(0, COUNT))
    assert np.argwhere(np.isnan(block.image)).tolist() == [[1, 1, 5, 6]]
    assert block.catalog["masked_fraction"] == pytest.approx([0, 0, 100 / 91**2, 0])


@pytest.mark.parametrize(
    ("names", "zero_point", "factor"),
    [(("hsc-g", "hsc-r", "hsc-z"), None, 10**1.8), (("x-g", "x-r", "x-z"), 25.0, 10.0), (("g", "r", "z"), None, 1.0)],
)
def test_its_fluxes_become_nanomaggies(tmp_path, names, zero_point, factor):
    path = write("multimodal", tmp_path, bands=names, zero_point=zero_point, factor=factor)
    np.testing.assert_allclose(read_hosts(path).image, HOSTS.image[:COUNT], rtol=1e-5)


def test_a_survey_whose_unit_is_not_known_is_refused(tmp_path):
    path = write("multimodal", tmp_path, bands=("jwst-g", "jwst-r", "jwst-z"))
    with pytest.raises(FormatError, match=r"bands of 'jwst', whose unit is not known; .*attrs\['zero_point'\]"):
        read_hosts(path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.pop("image_band"), "dataset 'image_band' of .*: got none"),
        (lambda file: file.create_dataset("short", data=[1.0] * 7), "expected datasets of as many rows"),
        (lambda file: file.pop("image_array"), "'image_array': got no such column|dataset 'image_array'"),
    ],
)
def test_a_file_that_is_not_whole_is_one_line(tmp_path, damage, said):
    path = write("multimodal", tmp_path)
    with h5py.File(path / "healpix=100" / "001-of-001.hdf5", "r+") as file:
        damage(file)
    with pytest.raises((ColumnError, FormatError), match=said) as caught:
        open_cutouts(path)
    assert "\n" not in str(caught.value)


def test_rows_that_lie_in_a_damaged_part_of_a_file_are_rejects(tmp_path):
    path = write("multimodal", tmp_path)
    damaged = path / "healpix=101" / "001-of-001.hdf5"
    with h5py.File(damaged, "r+") as file:
        images = file["image_array"][...]
        del file["image_array"]
        stored = file.create_dataset("image_array", data=images, chunks=(1, *images.shape[1:]), compression="gzip")
        chunk = stored.id.get_chunk_info(1)
    content = bytearray(damaged.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + 200] = bytes(200)
    damaged.write_bytes(content)
    block, rejects = open_cutouts(path).read(BlockRef(0, COUNT))
    assert block.row.tolist() == [0, 1, 3]
    assert [each.row for each in rejects] == [2]
    assert "image_array: got a row that cannot be read" in rejects[0].reason


def test_rows_of_other_bands_scales_and_shapes_are_rejects(tmp_path):
    path = write("multimodal", tmp_path)
    with h5py.File(path / "healpix=101" / "001-of-001.hdf5", "r+") as file:
        file["image_band"][0] = [b"des-r", b"des-g", b"des-z"]
        file["image_scale"][1] = [0.263, 0.263, 0.1]
        file["image_scale"][2] = 0.5
    block, rejects = open_cutouts(path).read(BlockRef(0, COUNT))
    np.testing.assert_array_equal(block.image[1], HOSTS.image[1][[1, 0, 2]])
    assert "0.263, 0.263, 0.1 arcsec; expected one pixel scale in all bands" in rejects[0].reason
    assert "a pixel scale of 0.5 arcsec; expected 0.263" in rejects[1].reason
