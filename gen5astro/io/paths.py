"""Images in files of their own, which a table names: a row a pair, or a row a galaxy."""

import contextlib
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from gen5astro.errors import FormatError, Gen5Error, MissingFileError, ShapeError
from gen5astro.io.archive import MAX_BYTES
from gen5astro.io.catalog import assemble_catalog, read_table
from gen5astro.io.npz import WireImage, decode_npy, decode_npz
from gen5astro.io.psf import read_psf
from gen5astro.io.source import REFERENCE_ROWS, CutoutRows, RowSource
from gen5astro.io.values import as_text

__all__ = ["TableCutouts", "TablePairs", "read_wire_image"]


class TablePairs(RowSource):
    """Pairs whose images lie in files that a table names.

    Parameters
    ----------
    path : path-like
        A table with columns stamp_path and ctrl_path, and psf_path where there is a PSF for each: .npz, .npy or FITS
        files, relative to the table's folder.
    columns : dict of str to str, optional
        Canonical name to column, where the names do not tell.
    bands : sequence of str, optional
        Band names in the order of the planes; by default those of most of the first good pairs.
    pixel_scale : float, optional
        Pixel scale [arcsec / pix]; by default what the first good images say (FITS), then that of the Legacy Surveys.

    Raises
    ------
    MissingFileError
        If there is no such table.
    FormatError
        If it is no table, or no pair can be read.
    ColumnError
        If a column is missing or of another type.
    """

    def __init__(self, path, *, columns=None, bands=None, pixel_scale=None):
        self.label = str(path)
        self._folder = Path(path).parent
        table = read_table(path)
        names = list(table)
        needed = tuple(f"{member}_path" for member in self.members)
        mapping = self.find_columns(table, columns, needed)
        used = (*needed, *(["psf_path"] if "psf_path" in mapping else []))
        self._paths = {name.removesuffix("_path"): as_text(table.pop(mapping[name])) for name in used}
        self.n_rows = len(self._paths[self.members[0]])
        self._catalog = assemble_catalog(table, mapping, first_row=0, count=self.n_rows)
        self.bands = None if bands is None else tuple(bands)
        first_rows = ((row, self._reader(row)) for row in range(min(self.n_rows, REFERENCE_ROWS)))
        self.settle(first_rows, pixel_scale=pixel_scale)
        self.notes = self.describe(mapping, used, names, table)

    def _fill(self, filler, ref):
        for row in range(ref.start, ref.stop):
            filler.add(row, self._reader(row))
        return {name: values[ref.start : ref.stop] for name, values in self._catalog.items()}

    def _position(self, name):
        values = self._catalog[name].copy()
        unknown = np.flatnonzero(np.isnan(values))
        # Where the table states no position at all, none is known before images are read; where it states some, the
        # others are as `read` will tell them.
        if name in self.reference.facts and len(unknown) < self.n_rows:
            for row in unknown.tolist():
                with contextlib.suppress(Gen5Error):
                    values[row] = self._reader(row)(self.members[0]).facts.get(name, np.nan)
        return values

    @property
    def named_files(self):
        """The files that the table names: list of str, each once."""
        folder = str(self._folder)
        named = (path for paths in self._paths.values() for path in paths.tolist() if path)
        return list(dict.fromkeys(os.path.join(folder, path) for path in named))

    def _ids(self, rows):
        return self._catalog["pair_id"][rows]

    def _places(self, rows):
        return {f"{name}_path": self._paths[name][rows] for name in self.members}

    def _reader(self, row):
        def read(name):
            image = read_wire_image(self._path(name, row), bands=self.bands)
            if name != self.members[0] or self._paths.get("psf", {row: ""})[row] == "":
                return image
            return replace(image, psf=_read_psf_file(str(self._path("psf", row)), image.bands, image.pixel_scale))

        return read

    def _path(self, name, row):
        text = self._paths[name][row]
        if text == "":
            raise MissingFileError(f"{name}_path", got="no path", expected="a file")
        if "://" in text:
            remedy = "fetch the images, and name them by their paths"
            raise MissingFileError(f"{text}", got="a URI", expected="a file on this machine", remedy=remedy)
        return self._folder / str(text)


class TableCutouts(CutoutRows, TablePairs):
    """Images of single galaxies in files that a table names in its column image_path; else as `TablePairs`."""


@lru_cache(maxsize=64)
def _read_psf_file(path, bands, pixel_scale):
    """PSF of each band; many objects may share one file."""
    if path.lower().endswith((".npz", ".npy")):
        image = read_wire_image(path, bands=bands)
        planes = image.pixels if image.layout == "chw" else np.moveaxis(image.pixels, -1, 0)
    else:
        planes = read_psf(path, bands, pixel_scale=pixel_scale)
    return dict(zip(bands, planes, strict=True))


def read_wire_image(path, *, bands=None):
    """Read an image file by its ending: .npz, .npy, or FITS.

    Parameters
    ----------
    path : path-like
        The file.
    bands : sequence of str, optional
        Which bands, in which order.

    Returns
    -------
    image : WireImage
        Pixels as stored; of a FITS file, in nanomaggies.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is broken or does not hold these bands.
    """
    path = Path(path)
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no such file"
        raise MissingFileError(f"{path}", got=got, expected="the file of an image")
    decode = {".npz": decode_npz, ".npy": decode_npy}.get(path.suffix.lower())
    if decode is None:
        return _read_fits(path, bands)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FormatError("image", got=f"{path.stat().st_size} bytes", expected=f"at most {MAX_BYTES}")
        return decode(path.read_bytes(), bands=bands)
    except (FormatError, ShapeError) as error:
        what = f"{path}: {error.what}"
        raise type(error)(what, got=error.got, expected=error.expected, remedy=error.remedy) from error


def _read_fits(path, bands):
    from gen5astro.io.fits import read_image

    image = read_image(path)
    # Planes that nobody named are what the user says, in their order; of others, some are chosen.
    named, own = image.named or bands is not None, image.bands
    if not image.named and bands is not None and len(bands) == len(own):
        own = tuple(bands)
    bands = own if bands is None else tuple(bands)
    missing = [band for band in bands if band not in own]
    if missing:
        raise FormatError(f"{path}", got=f"bands {', '.join(own)}", expected=f"a plane of band {missing[0]}")
    order = [own.index(band) for band in bands]
    psf = {name: image.psf[band] for name, band in zip(own, image.bands, strict=True) if band in image.psf}
    told = {"ra": image.ra, "dec": image.dec, "masked_fraction": image.masked_fraction}
    return WireImage(
        np.ascontiguousarray(image.pixels[order]),
        "chw",
        bands,
        image.pixel_scale,
        facts={name: value for name, value in told.items() if value is not None},
        psf=psf,
        named=named,
    )
