"""Bytes to arrays and back: pairs, cutouts, tables and cubes. Knows no lenses."""

import os
from pathlib import Path

from gen5astro.errors import ConfigError, FormatError, MissingFileError

__all__ = ["open_cutouts", "open_pairs"]

_CUBE = (".h5", ".hdf5", ".hdf")
_IMAGE = (".npz", ".npy", ".fz")
_PARQUET = ("", ".parquet", ".pq")


def open_pairs(path, *, columns=None, bands=None, pixel_scale=None):
    """Open pairs of any kind that we know.

    Parameters
    ----------
    path : path-like
        A cube that `gen5astro build-hdf5` made; Parquet with images inside (a file, a folder, a glob, a URI); a table
        (CSV, ECSV, FITS, VOTable, Parquet) that names image files; or HDF5 as the Multimodal Universe lays it out, with
        arrays of stamps and ctrls.
    columns : dict of str to str, optional
        Canonical name to column, where the names do not tell.
    bands : sequence of str, optional
        Band names in the order of the planes, where the input does not tell.
    pixel_scale : float, optional
        Pixel scale [arcsec / pix], where the input does not tell.

    Returns
    -------
    source : PairSource
        Its rows, read block by block.

    Raises
    ------
    MissingFileError
        If there is nothing at `path`.
    FormatError
        If it is of no kind that we know, or nothing in it can be read.
    ColumnError
        If a column is missing or of another type.
    ConfigError
        If a pixel scale or bands are given beside a cube, which states its own.
    """
    options = {"columns": columns, "bands": bands, "pixel_scale": pixel_scale}
    kind = _kind_of(path, "pairs: Parquet, a table, or a cube")
    if kind == "hdf5":
        from gen5astro.io.multimodal import MultimodalPairs, is_multimodal

        if not os.path.isfile(path) or is_multimodal(path):
            return MultimodalPairs(path, **options)
        return _open_cube(path, options)
    if kind == "table":
        from gen5astro.io.paths import TablePairs

        return TablePairs(path, **options)
    from gen5astro.io.parquet import ParquetPairs
    from gen5astro.io.paths import TablePairs

    return (TablePairs if _names_files(path, columns, "stamp") else ParquetPairs)(path, **options)


def open_cutouts(path, *, columns=None, bands=None, pixel_scale=None):
    """Open images of single galaxies of any kind that we know, such as `gen5astro cutout` makes.

    Parameters
    ----------
    path : path-like
        Parquet with a column image_npz (a file, a folder, a glob, a URI); a table with a column image_path; or HDF5 as
        the Multimodal Universe lays it out.
    columns, bands, pixel_scale : optional
        As of `open_pairs`.

    Returns
    -------
    source : ParquetCutouts, TableCutouts or MultimodalCutouts
        Its rows, read block by block.

    Raises
    ------
    MissingFileError
        If there is nothing at `path`.
    FormatError
        If it is of no kind that we know, or nothing in it can be read.
    ColumnError
        If a column is missing or of another type.
    """
    options = {"columns": columns, "bands": bands, "pixel_scale": pixel_scale}
    kind = _kind_of(path, "cutouts: Parquet, a table, or HDF5")
    if kind == "hdf5":
        from gen5astro.io.multimodal import MultimodalCutouts

        return MultimodalCutouts(path, **options)
    from gen5astro.io.paths import TableCutouts

    if kind == "table" or _names_files(path, columns, "image"):
        return TableCutouts(path, **options)
    from gen5astro.io.parquet import ParquetCutouts

    return ParquetCutouts(path, **options)


def _kind_of(path, expected):
    """Kind of an input by its name: ``hdf5``, ``table`` or ``parquet``."""
    text = os.fspath(path)
    ending = next((each.lower() for each in reversed(Path(text).suffixes) if each != ".gz"), "")
    if "://" not in text and not os.path.exists(text) and not any(sign in text for sign in "*?["):
        raise MissingFileError(text, got="no such file or folder", expected=expected)
    if ending in _IMAGE:
        raise FormatError(text, got="one image", expected="a table of images", remedy="name its path in a table")
    if ending in _CUBE or (os.path.isdir(text) and _holds_hdf5(text)):
        return "hdf5"
    return "table" if ending not in _PARQUET and os.path.isfile(text) else "parquet"


def _holds_hdf5(folder):
    """Whether the first file in a folder, or below, that could be a table is HDF5."""
    names = (name.lower() for _, _, files in os.walk(folder) for name in sorted(files))
    return next((name for name in names if name.endswith((*_CUBE, *_PARQUET[1:]))), "").endswith(_CUBE)


def _open_cube(path, options):
    from gen5astro.io.cube_source import CubeSource

    for name, value in (("pixel scale", options["pixel_scale"]), ("bands", options["bands"])):
        if value is not None:
            raise ConfigError(name, got=value, expected=f"none beside the cube {path}: it states its own")
    return CubeSource(path)


def _names_files(path, columns, member):
    """Whether Parquet names the files of its images instead of holding them."""
    from gen5astro.io.catalog import resolve_columns
    from gen5astro.io.parquet_columns import column_names

    found = resolve_columns(column_names(path), columns)
    return f"{member}_npz" not in found and f"{member}_path" in found
