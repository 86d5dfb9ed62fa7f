"""Bytes to arrays and back: pairs, cutouts, tables and cubes. Knows no lenses."""

import os
from pathlib import Path

from gen5astro.errors import ConfigError, FormatError, MissingFileError

__all__ = ["open_pairs"]

_CUBE = (".h5", ".hdf5")
_IMAGE = (".npz", ".npy", ".fz")


def open_pairs(path, *, columns=None, bands=None, pixel_scale=None):
    """Open pairs of any kind that we know.

    Parameters
    ----------
    path : path-like
        A cube that `gen5astro build-hdf5` made; Parquet with images inside (a file, a folder, a glob, a URI); or a
        table (CSV, ECSV, FITS, VOTable, Parquet) that names image files.
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
        If a pixel scale is given beside a cube, which states its own.
    """
    text = os.fspath(path)
    options = {"columns": columns, "bands": bands, "pixel_scale": pixel_scale}
    ending = next((each.lower() for each in reversed(Path(text).suffixes) if each != ".gz"), "")
    if "://" not in text and not os.path.exists(text) and not any(sign in text for sign in "*?["):
        raise MissingFileError(text, got="no such file or folder", expected="pairs: Parquet, a table, or a cube")
    if ending in _CUBE:
        from gen5astro.io.hdf5 import CubeSource

        if pixel_scale is not None:
            raise ConfigError(
                "pixel scale", got=pixel_scale, expected=f"none beside the cube {text}: it states its own"
            )
        return CubeSource(path)
    if ending in _IMAGE:
        raise FormatError(text, got="one image", expected="a table of pairs", remedy="name its path in a table")
    if ending not in ("", ".parquet", ".pq") and os.path.isfile(text):
        from gen5astro.io.paths import TablePairs

        return TablePairs(path, **options)
    return _open_parquet(path, options)


def _open_parquet(path, options):
    """Parquet that holds the images, or a single file of it that names theirs."""
    from gen5astro.io.catalog import resolve_columns
    from gen5astro.io.parquet import ParquetPairs, column_names
    from gen5astro.io.paths import TablePairs

    found = resolve_columns(column_names(path), options["columns"])
    if "stamp_npz" not in found and "stamp_path" in found:
        return TablePairs(path, **options)
    return ParquetPairs(path, **options)
