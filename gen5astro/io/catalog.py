"""Tables: the column names that we know, the names that others give them, and catalogs made of their columns.

A column is found under its canonical name, under one of `ALIASES` (case and underscores do not matter), or where an
override says.
"""

import codecs
import gzip
import io
import re
import warnings
from pathlib import Path

import numpy as np

from gen5astro.errors import ColumnError, FormatError, MissingFileError, closest
from gen5astro.io.plausible import wrap_ra
from gen5astro.io.values import as_numbers, as_text

__all__ = [
    "ALIASES",
    "DEFAULT_PIXEL_SCALE",
    "IMAGE_COLUMNS",
    "WANTED",
    "WANTED_OF_CUTOUTS",
    "assemble_catalog",
    "read_table",
    "resolve_columns",
]

ALIASES = {
    "stamp_npz": ("stamp", "stamp_bytes", "stamp_image", "injected_npz", "injected"),
    "ctrl_stamp_npz": ("ctrl_npz", "ctrl", "ctrl_stamp", "ctrl_bytes", "control_npz", "control", "control_stamp_npz"),
    "stamp_path": ("stamp_file", "stamp_filename", "injected_path"),
    "ctrl_path": ("ctrl_stamp_path", "ctrl_file", "ctrl_filename", "control_path"),
    "image_npz": ("cutout_npz", "image", "cutout", "image_bytes", "cutout_bytes"),
    "image_path": ("image_file", "image_filename", "cutout_path", "cutout_file"),
    "psf_npz": ("psf_bytes", "psf"),
    "psf_path": ("psf_file", "psf_filename", "copsf_path"),
    "image_array": ("image_flux", "cutout_array"),
    "stamp_array": ("image_stamp", "injected_array"),
    "ctrl_array": ("image_ctrl", "ctrl_stamp_array", "control_array"),
    "pair_id": ("id", "objid", "object_id", "task_id", "sample_id"),
    "ra": ("ra_deg", "raj2000", "ra_j2000", "alpha_j2000", "right_ascension"),
    "dec": ("dec_deg", "decl", "dej2000", "dec_j2000", "delta_j2000", "declination"),
    "theta_e_arcsec": ("theta_e", "einstein_radius", "einstein_radius_arcsec", "r_ein", "rein", "theta_ein"),
    "arc_snr": ("snr", "sn", "arc_sn", "snr_arc", "source_snr"),
    "host_id": ("host", "galaxy_id", "galaxy", "lrg_id", "host_index", "target_id"),
    "brickname": ("brick", "brick_name"),
    "region_split": ("split", "subset"),
    "velocity_dispersion_kms": ("velocity_dispersion", "sigma_v", "veldisp", "vdisp"),
}
"""Other names of each canonical column, the likeliest first."""

DEFAULT_PIXEL_SCALE = 0.262
"""Pixel scale of the Legacy Surveys' cutouts [arcsec / pix], for input that states none."""

IMAGE_COLUMNS = frozenset(name for name in ALIASES if name.endswith(("_npz", "_path", "_array")))
"""Canonical columns that hold images or name their files; they are no part of a catalog."""

WANTED = ("ra", "dec", "theta_e_arcsec", "arc_snr", "host_id")
"""Columns that a gate or a split is the poorer without."""

WANTED_OF_CUTOUTS = ("ra", "dec")
"""Columns that a table of single galaxies is the poorer without."""

_ALWAYS = ("pair_id", *WANTED)
_TEXT = frozenset({"pair_id", "host_id", "brickname", "region_split"})
_PSF_SIZE = re.compile(r"(?:psfsize|psffwhm|fwhm|seeing)([a-z]\d?)")


def _key(name):
    return re.sub(r"[^a-z0-9]", "", name.lower())


_CANONICAL = {_key(alias): name for name, aliases in ALIASES.items() for alias in (*aliases, name)}


def _canonical(name):
    """Canonical name of a column, or None."""
    found = _CANONICAL.get(_key(name))
    if found is None and (match := _PSF_SIZE.fullmatch(_key(name))):
        return f"psfsize_{match[1]}"
    return found


def _rank(name, canonical):
    """How sure it is that `name` means `canonical`: the smaller the surer."""
    keys = [_key(alias) for alias in (canonical, *ALIASES.get(canonical, ()))]
    return (name != canonical, keys.index(_key(name)) if _key(name) in keys else len(keys))


def resolve_columns(names, overrides=None, *, required=()):
    """Find the canonical columns among the names of a table.

    Parameters
    ----------
    names : iterable of str
        Columns of the table.
    overrides : dict of str to str, optional
        Canonical name, or an alias of it, to the column that holds it.
    required : iterable of str
        Canonical names that must be found.

    Returns
    -------
    mapping : dict of str to str
        Canonical name to column. Of two columns that fit, the canonical name wins, then the order of `ALIASES`.

    Raises
    ------
    ColumnError
        If an override names no column, or a required column is missing; names the closest.
    """
    names = list(names)
    mapping = {}
    for name in names:
        canonical = _canonical(name)
        if canonical and (canonical not in mapping or _rank(name, canonical) < _rank(mapping[canonical], canonical)):
            mapping[canonical] = name
    for asked, name in (overrides or {}).items():
        canonical = _canonical(asked)
        if canonical is None:
            raise ColumnError(
                f"--column {asked}={name}", got=f"no known column {asked!r}", remedy=closest(asked, ALIASES)
            )
        if name not in names:
            raise ColumnError(f"column {name!r}", got="no such column", remedy=closest(name, names))
        mapping = {key: value for key, value in mapping.items() if value != name} | {canonical: name}
    for canonical in required:
        if canonical not in mapping:
            remedy = f"{closest(canonical, names)}; say which with --column {canonical}=NAME"
            raise ColumnError(f"column {canonical!r}", got="no such column", remedy=remedy)
    return mapping


def assemble_catalog(columns, mapping, *, first_row, count):
    """Make the catalog of a block: canonical names, float64 or str, every other column beside them.

    Parameters
    ----------
    columns : dict of array, (n,)
        Columns under their own names; masked, NaN and None are missing. Only real numbers and strings ride along.
    mapping : dict of str to str
        Of `resolve_columns`.
    first_row : int
        Number of the first row, for the `pair_id` of a table that has none.
    count : int
        Rows.

    Returns
    -------
    catalog : dict of array, (n,)
        Always has pair_id, ra, dec, theta_e_arcsec, arc_snr and host_id. A right ascension from -180 to 0 degrees is
        counted from 0 to 360, and an Einstein radius below 0 is one that is not known.

    Raises
    ------
    ColumnError
        If a column of numbers holds something else.
    """
    catalog = {}
    mapping = {canonical: name for canonical, name in mapping.items() if canonical not in IMAGE_COLUMNS}
    for canonical in (*_ALWAYS, *mapping):
        values = columns.get(mapping.get(canonical))
        if canonical in catalog or (values is None and canonical not in _ALWAYS):
            continue
        if canonical in _TEXT:
            catalog[canonical] = np.zeros(count, "U1") if values is None else as_text(values)
        else:
            catalog[canonical] = (
                np.full(count, np.nan) if values is None else as_numbers(values, mapping[canonical], first_row)
            )
    catalog["ra"] = wrap_ra(catalog["ra"])
    catalog["theta_e_arcsec"] = np.where(catalog["theta_e_arcsec"] < 0, np.nan, catalog["theta_e_arcsec"])
    number = np.arange(first_row, first_row + count).astype(str)
    catalog["pair_id"] = np.where(catalog["pair_id"] == "", number, catalog["pair_id"])
    for name, values in columns.items():
        if name not in mapping.values() and name not in catalog:
            catalog[name] = as_numbers(values, name, first_row) if values.dtype.kind in "fiub" else as_text(values)
    return catalog


def read_table(path):
    """Read a table of any kind that we know: CSV, ECSV, FITS, VOTable or Parquet.

    Parameters
    ----------
    path : path-like
        The table; ``.gz`` may follow its ending.

    Returns
    -------
    columns : dict of masked array, (n,)
        Numbers and strings, native-endian; columns of anything else are left out.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is no table, or a broken one.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{path}", got="no such file", expected="a table")
    ending = next((each.lower() for each in reversed(path.suffixes) if each != ".gz"), "")
    if ending in (".parquet", ".pq"):
        from gen5astro.io.parquet_columns import read_columns

        return read_columns(path)
    if ending not in _TABLE_FORMATS:
        known = ", ".join(sorted({*_TABLE_FORMATS, ".parquet"}))
        raise FormatError(f"{path}", got=f"ending {ending!r}", expected=f"one of {known}")
    from astropy.table import Table

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = _open_text(path) if ending in _TEXT_TABLES else path
            table = Table.read(source, **_TABLE_FORMATS[ending])
    except Exception as error:
        raise FormatError(
            f"{path}", got=f"no readable table ({error})", expected=f"a table in {ending[1:].upper()}"
        ) from error
    columns = {name: np.ma.asanyarray(getattr(table[name], "value", table[name])) for name in table.colnames}
    return {
        name: values.astype(values.dtype.newbyteorder("="))
        for name, values in columns.items()
        if values.ndim == 1 and values.dtype.kind in "fiubSUO"
    }


def _open_text(path):
    """The bytes of a table of text, unzipped and without the mark that Windows sets: astropy's reader does neither."""
    content = path.read_bytes()
    return io.BytesIO((gzip.decompress(content) if path.suffix == ".gz" else content).removeprefix(codecs.BOM_UTF8))


_TEXT_TABLES = (".csv", ".ecsv")
_TABLE_FORMATS = {
    ".csv": {"format": "ascii.csv", "guess": False},
    ".ecsv": {"format": "ascii.ecsv", "guess": False},
    ".fits": {"format": "fits"},
    ".fit": {"format": "fits"},
    ".vot": {"format": "votable"},
    ".xml": {"format": "votable"},
}
