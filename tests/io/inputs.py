"""Pairs written as each kind of input that there is, and each kind broken in its second row."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from gen5astro.build import build_cube
from gen5astro.io.npz import encode_npz
from gen5astro.settings import from_dict
from tests.sources import MemorySource

BANDS = ("g", "r", "z")
MEMBERS = ("stamp", "ctrl")


def parquet_columns(pairs):
    """Columns of pairs as a team's Parquet has them."""
    columns = {
        f"{column}_npz": pa.array([encode_npz(image, BANDS) for image in getattr(pairs, member)], pa.binary())
        for member, column in (("stamp", "stamp"), ("ctrl", "ctrl_stamp"))
    }
    return columns | {"ra": pairs.catalog["ra"], "dec": pairs.catalog["dec"], "host": pairs.catalog["host_id"]}


def parquet_file(folder, pairs, *, broken=False):
    """Parquet with npz bytes inside."""
    columns = parquet_columns(pairs)
    if broken:
        stamps = columns["stamp_npz"].to_pylist()
        columns["stamp_npz"] = pa.array([stamps[0], stamps[1][:500], *stamps[2:]], pa.binary())
    pq.write_table(pa.table(columns), folder / "pairs.parquet")
    return folder / "pairs.parquet"


def parquet_folder(folder, pairs, *, broken=False):
    """The same in folders that name a column, beside a file that is no data."""
    table = pq.read_table(parquet_file(folder, pairs, broken=broken))
    for at, region in enumerate(("north", "south")):
        place = folder / "all" / f"region={region}"
        place.mkdir(parents=True)
        pq.write_table(table[2 * at : 2 * at + 2] if at == 0 else table[2:], place / "part-0.parquet")
    (folder / "all" / "_SUCCESS.parquet").write_bytes(b"")
    return folder / "all"


def parquet_glob(folder, pairs, *, broken=False):
    """A glob over those."""
    return f"{parquet_folder(folder, pairs, broken=broken)}/region=*/*.parquet"


def parquet_uri(folder, pairs, *, broken=False):
    """A URI that fsspec opens."""
    return f"file://{parquet_file(folder, pairs, broken=broken)}"


def npz_planes(path, image):
    """A member a band, stored."""
    np.savez(path, **{f"image_{band}": plane for band, plane in zip(BANDS, image, strict=True)}, seeing=1.2)
    return path


def npz_cube(name, *, last):
    """One cube of a name, bands first or last, deflated."""

    def write(path, image):
        np.savez_compressed(path, **{name: image.transpose(1, 2, 0) if last else image})
        return path

    return write


def npy(path, image):
    """One cube, bands last."""
    np.save(path, image.transpose(1, 2, 0))
    return path


def wcs_header(**cards):
    """A header as the Legacy Surveys' viewer writes it."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix = (150.1, 2.2), (24.5, 24.5)
    wcs.wcs.cd = np.diag([-0.263, 0.263]) / 3600
    header = wcs.to_header()
    header.update(cards)
    return header


def viewer_cube(path, image):
    """Three planes, big-endian, BANDS and a WCS."""
    fits.PrimaryHDU(image.astype(">f4"), wcs_header(BANDS="grz", BUNIT="nanomaggy")).writeto(path)
    return path


def hdu_a_band(path, image):
    """An HDU a band, in counts, with weights and masks between."""
    hdus = [fits.PrimaryHDU()]
    for band, plane in zip(BANDS, image, strict=True):
        hdus.append(fits.ImageHDU(plane * 100, wcs_header(MAGZERO=27.5, BUNIT="adu"), name=band.upper()))
        hdus.append(fits.ImageHDU(np.ones_like(plane), name=f"WEIGHT_{band.upper()}"))
        hdus.append(fits.ImageHDU(np.zeros(plane.shape, np.int16), name=f"MASK_{band.upper()}"))
    fits.HDUList(hdus).writeto(path)
    return path


def compressed(path, image):
    """An HDU a band, tile-compressed without loss."""
    options = {"compression_type": "GZIP_2", "quantize_level": 0}
    hdus = [
        fits.CompImageHDU(plane, wcs_header(BAND=band), **options) for band, plane in zip(BANDS, image, strict=True)
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


FILES = {
    "npz, a member a band": ("npz", npz_planes),
    "npz, image (band, y, x)": ("npz", npz_cube("image", last=False)),
    "npz, cutout (y, x, band)": ("npz", npz_cube("cutout", last=True)),
    "npz, arr_0 (y, x, band)": ("npz", npz_cube("arr_0", last=True)),
    "npz, data (band, y, x)": ("npz", npz_cube("data", last=False)),
    "npy": ("npy", npy),
    "viewer cube": ("fits", viewer_cube),
    "viewer cube, gzipped": ("fits.gz", viewer_cube),
    "an HDU a band": ("fits", hdu_a_band),
    "tile-compressed": ("fits.fz", compressed),
}


def table_of_paths(kind, ending="csv"):
    """A table that names files of one kind."""

    def write(folder, pairs, *, broken=False):
        suffix, save = FILES[kind]
        columns = {"RA": pairs.catalog["ra"], "Dec": pairs.catalog["dec"], "host": pairs.catalog["host_id"]}
        (folder / "images").mkdir()
        for member in MEMBERS:
            images = enumerate(getattr(pairs, member))
            paths = [save(folder / "images" / f"{member}{at}.{suffix}", image) for at, image in images]
            if broken and member == "stamp":
                paths[1].write_bytes(paths[1].read_bytes()[:3000])
            columns[f"{member}_path"] = [f"images/{path.name}" for path in paths]
        path = folder / f"table.{ending}"
        if ending == "parquet":
            pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
        else:
            formats = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable"}
            Table(columns).write(path, format=formats.get(ending))
        return path

    return write


def cube(folder, pairs, *, broken=False):
    """A cube of ours."""
    config = from_dict({"build": {"fractions": [1, 0, 0]}})
    build_cube(MemorySource(pairs), folder / "cube.h5", config=config)
    if broken:
        with h5py.File(folder / "cube.h5", "r+") as file:
            file["stamp"][1, 0, 3, 3] += 1
    return folder / "cube.h5"


def multimodal(folder, pairs, *, broken=False, pixel=5000, name="all", **more):
    """Pairs as the Multimodal Universe lays out images: two files, in folders of sky cells."""
    for at, rows in enumerate((slice(0, 2), slice(2, None))):
        place = folder / name / f"healpix={pixel + at}"
        place.mkdir(parents=True)
        count = len(pairs.row[rows])
        with h5py.File(place / "001-of-001.hdf5", "w") as file:
            for member in MEMBERS:
                file.create_dataset(f"{member}_array", data=getattr(pairs, member)[rows], compression="gzip")
            names = np.array([[b"des-g", b"des-r", b"des-z"]] * count)
            if broken and at == 0:
                names[1] = [b"des-g", b"des-r", b"des-i"]
            file["image_band"] = names
            file["image_scale"] = np.full((count, 3), 0.263, np.float32)
            file["image_psf_fwhm"] = np.tile(np.float32([1.3, 1.2, 1.1]), (count, 1))
            file["object_id"] = np.array([f"brick-{row}" for row in pairs.row[rows]], dtype="S16")
            file["ra"], file["dec"] = pairs.catalog["ra"][rows], pairs.catalog["dec"][rows]
            file["host"] = pairs.catalog["host_id"][rows].astype("S16")
            for key, values in more.items():
                file[key] = values[rows]
    return folder / name


CUT_OFF = r"stamp1\.\S+: .*(truncated|broken|no whole zip|bytes)"
INPUTS = {
    "Parquet": (parquet_file, r"stamp_npz: npz: got 500 bytes that are no whole zip archive"),
    "partitioned folder": (parquet_folder, r"stamp_npz: npz: got 500 bytes"),
    "glob": (parquet_glob, r"stamp_npz: npz: got 500 bytes"),
    "URI": (parquet_uri, r"stamp_npz: npz: got 500 bytes"),
    **{f"table of {kind}": (table_of_paths(kind), CUT_OFF) for kind in FILES},
    **{f"{end} table": (table_of_paths("npy", end), CUT_OFF) for end in ("ecsv", "fits", "vot", "parquet")},
    "cube": (cube, r"the stamp does not match its stored digest"),
    "Multimodal Universe": (multimodal, r"stamp_array: got bands g, r, i; expected a plane of band z"),
}
