"""Pairs in Parquet: a row a pair, its two images as npz bytes, its catalog beside them.

Reading takes as much memory as a block, however large the files and their row groups; writing, as much as a row group.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.errors import ColumnError, ExistsError, FormatError, MissingFileError, SchemaError, ShapeError
from gen5astro.io.catalog import assemble_catalog
from gen5astro.io.npz import decode_npz, encode_npz
from gen5astro.io.pairs import block_refs
from gen5astro.io.parquet_columns import is_plain, to_numpy
from gen5astro.io.parquet_files import Rows, check_ending, describe_file, list_parquet
from gen5astro.io.source import REFERENCE_ROWS, CutoutRows, RowSource
from gen5astro.io.values import as_numbers, as_text

__all__ = ["CutoutWriter", "PairWriter", "ParquetCutouts", "ParquetPairs"]

ROW_GROUP = 256
"""Most pairs in a row group that we write."""

_BANDS_KEY, _SCALE_KEY = b"gen5astro.bands", b"gen5astro.pixel_scale"
_IMAGES = {"stamp": "stamp_npz", "ctrl": "ctrl_stamp_npz"}
_PSF = "psf_npz"


# ---- reading ----


class ParquetPairs(RowSource):
    """Pairs of one Parquet file, or of many that make one table.

    Parameters
    ----------
    path : path-like
        A file, a folder of them, a glob, or a URI that fsspec understands (``s3://...``). Folders named
        ``name=value`` give a column.
    columns : dict of str to str, optional
        Canonical name to column, where the names do not tell.
    bands : sequence of str, optional
        Band names in the order of the planes; by default what the file says, then what its first good pairs hold.
    pixel_scale : float, optional
        Pixel scale [arcsec / pix]; by default what the file says, then that of the Legacy Surveys.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If a file is no Parquet, or no pair can be read.
    ColumnError
        If a column is missing or of another type, here or in one of many files.
    """

    _columns = _IMAGES

    def __init__(self, path, *, columns=None, bands=None, pixel_scale=None):
        self.label = str(path)
        files = [describe_file(name, root=self.label) for name in list_parquet(path)]
        first = files[0]
        given = list(dict.fromkeys(name for file in files for name in file.partition))
        names = [*first.schema.names, *given]
        self._mapping = self.find_columns(names, columns, self._columns.values())
        used = list(self._columns.values())
        if "psf_npz" in self._mapping and _is_binary(first, self._mapping["psf_npz"]):
            used.append("psf_npz")
        self._image_columns = {name: self._mapping[column] for name, column in self._columns.items()}
        self._psf_column = self._mapping["psf_npz"] if "psf_npz" in used else None
        read = [self._mapping[column] for column in used]
        self._catalog_columns = [*_catalog_columns(first, read), *given]
        for each in files[1:]:
            _check_same(each, first, [name for name in [*read, *self._catalog_columns] if name not in given])
        self.n_rows = sum(each.n_rows for each in files)
        self._rows = Rows(files, [*read, *(name for name in self._catalog_columns if name not in given)])
        if bands is None and _BANDS_KEY in first.metadata:
            bands = first.metadata[_BANDS_KEY].decode().split(",")
        self.bands = None if bands is None else tuple(bands)
        stated = first.metadata.get(_SCALE_KEY) if pixel_scale is None else pixel_scale
        self.settle(self._first_rows(), pixel_scale=None if stated is None else float(stated))
        self.notes = self.describe(self._mapping, used, names, self._catalog_columns)

    def _first_rows(self):
        """Readers of the first rows, drawn batch by batch."""
        for ref in block_refs(min(self.n_rows, REFERENCE_ROWS), Rows.BATCH):
            yield from self._readers(self._rows.read(ref.start, ref.stop), ref.start)

    def _fill(self, filler, ref):
        batches = self._rows.read(ref.start, ref.stop)
        row = ref.start
        for batch in batches:
            if not self._add_batch(filler, row, batch):
                for each, read in self._readers([batch], row):
                    filler.add(each, read)
            row += len(batch)
        table = pa.Table.from_batches(batches).select(self._catalog_columns)
        columns = {name: to_numpy(table[name]) for name in table.column_names}
        return assemble_catalog(columns, self._mapping, first_row=ref.start, count=ref.stop - ref.start)

    def _position(self, name):
        column = self._mapping.get(name)
        if column not in self._catalog_columns:
            return np.full(self.n_rows, np.nan)
        parts = [as_numbers(to_numpy(part), column, 0) for part in self._rows.column(column)]
        return np.concatenate([np.empty(0), *parts])

    def _ids(self, rows):
        ids, column = np.full(len(rows), "", object), self._mapping.get("pair_id")
        if column in self._rows.columns:
            file, own = self._rows.locate(rows)
            numbers = np.unique(file).tolist()
            for number, part in zip(numbers, self._rows.column(column, numbers), strict=True):
                ids[file == number] = as_text(to_numpy(part.take(pa.array(own[file == number]))))
        return ids.astype(str)

    def _places(self, rows):
        if len(self._rows.paths) == 1:
            return {}
        file, own = self._rows.locate(rows)
        return {"file": np.array(self._rows.paths)[file], "row_in_file": own}

    def _add_batch(self, filler, row, batch):
        """Ingest a batch at once, if it is of the usual kind."""
        columns = [batch.column(column) for column in self._image_columns.values()]
        usual = len(batch) > 0 and self._psf_column is None and not any(each.null_count for each in columns)
        return usual and filler.add_archives(row, [*map(_archives, columns)])

    def _readers(self, batches, row):
        for batch in batches:
            images = {name: batch.column(column) for name, column in self._image_columns.items()}
            psf = None if self._psf_column is None else batch.column(self._psf_column)
            for at in range(len(batch)):
                yield row, _Row(images, at, self._image_columns, self.bands, psf)
                row += 1


class ParquetCutouts(CutoutRows, ParquetPairs):
    """Images of single galaxies, npz bytes in the column image_npz; else as `ParquetPairs`."""

    _columns = {"image": "image_npz"}


@dataclass(frozen=True)
class _Row:
    """Reads the images of one row."""

    images: dict
    at: int
    names: dict
    bands: tuple | None
    psf: pa.Array | None = None

    def __call__(self, name):
        image = self._decode(self.images[name][self.at], self.names[name], self.bands)
        if self.psf is None or name != next(iter(self.names)) or not self.psf[self.at].is_valid:
            return image
        psf = self._decode(self.psf[self.at], "psf_npz", image.bands)
        planes = psf.pixels if psf.layout == "chw" else np.moveaxis(psf.pixels, -1, 0)
        return replace(image, psf=dict(zip(image.bands, planes, strict=True)))

    def _decode(self, scalar, column, bands):
        if not scalar.is_valid:
            raise FormatError(column, got="null", expected="npz bytes")
        try:
            return decode_npz(scalar.as_buffer(), bands=bands)
        except (FormatError, ShapeError) as error:
            what = f"{column}: {error.what}"
            raise type(error)(what, got=error.got, expected=error.expected, remedy=error.remedy) from error


def _archives(column):
    """Bytes of a binary column, not copied, and where in them each value begins."""
    _, offsets, content = column.buffers()
    width = np.int64 if pa.types.is_large_binary(column.type) else np.int32
    offsets = np.frombuffer(offsets, width)[column.offset : column.offset + len(column) + 1]
    return content or b"", offsets.astype(np.int64)


def _is_binary(file, name):
    kind = file.schema.field(name).type if name in file.schema.names else None
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _catalog_columns(file, images):
    """Columns that ride along; refuses images that are not bytes."""
    for name in images:
        if not _is_binary(file, name):
            got = f"type {file.schema.field(name).type}" if name in file.schema.names else "a folder's name"
            raise ColumnError(f"column {name!r} of {file.path}", got=got, expected="binary: npz bytes")
    return [field.name for field in file.schema if field.name not in images and is_plain(field.type)]


def _check_same(file, first, names):
    """Refuse a file that does not continue the first one's table."""
    for name in names:
        got = file.schema.field(name).type if name in file.schema.names else "no such column"
        if got != first.schema.field(name).type:
            expected = f"{first.schema.field(name).type}, as in {first.path}"
            raise ColumnError(f"column {name!r} of {file.path}", got=got, expected=expected)
    for key in (_BANDS_KEY, _SCALE_KEY):
        if file.metadata.get(key) != first.metadata.get(key):
            got, expected = (each.metadata.get(key, b"none").decode() for each in (file, first))
            raise SchemaError(f"{key.decode()} of {file.path}", got=got, expected=f"{expected}, as in {first.path}")


# ---- writing ----


class PairWriter:
    """Writes pairs as Parquet; the file appears under its name once it is whole.

    Parameters
    ----------
    path : path-like
        Where to.
    bands : sequence of str
        Band names in the order of the planes.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    column_notes : dict of str to str, optional
        What a column means, stored as the ``description`` of its field.
    force : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ExistsError
        If `path` is there and `force` is not set.
    MissingFileError
        If its folder is not there.
    FormatError
        If the name does not end as Parquet's do.
    """

    _columns = _IMAGES

    def __init__(self, path, bands, pixel_scale, *, column_notes=None, force=False):
        self._path = Path(path)
        check_ending(path)
        if self._path.exists() and not force:
            raise ExistsError(f"{path}", got="a file that is there", remedy="choose another name, or --force")
        if not self._path.parent.is_dir():
            raise MissingFileError(f"{self._path.parent}", got="no such folder", remedy="make it first")
        self._part = self._path.with_name(self._path.name + ".part")
        self._bands = tuple(bands)
        self._pixel_scale = float(pixel_scale)
        self._notes = _NOTES | (column_notes or {})
        self._schema = None
        self._writer = None

    def __enter__(self):
        return self

    def write(self, block):
        """Append the pairs of a block.

        Parameters
        ----------
        block : PairBlock
            Pairs with the bands and pixel scale of this file; its catalog's columns are those of the first block, and
            it has PSFs if that has.

        Raises
        ------
        SchemaError
            If bands, pixel scale or columns are others than those of this file.
        """
        if block.bands != self._bands or block.pixel_scale != self._pixel_scale:
            got = f"bands {','.join(block.bands)} at {block.pixel_scale} arcsec / pix"
            expected = f"{','.join(self._bands)} at {self._pixel_scale}"
            raise SchemaError(f"block for {self._path}", got=got, expected=expected)
        if self._writer is None:
            self._open(block.catalog, own_psf=block.psf is not None)
        names = [name for name in self._schema.names if name not in (*self._columns.values(), _PSF)]
        if list(block.catalog) != names:
            raise SchemaError(f"block for {self._path}", got=f"columns {list(block.catalog)}", expected=f"{names}")
        for start in range(0, len(block), ROW_GROUP):
            part = slice(start, start + ROW_GROUP)
            columns = {
                name: pa.array(values[part], self._schema.field(name).type) for name, values in block.catalog.items()
            }
            for member, column in self._columns.items():
                columns[column] = self._encode(getattr(block, member)[part])
            if _PSF in self._schema.names:
                columns[_PSF] = self._encode(block.psf[part])
            self._writer.write_table(pa.table(columns, schema=self._schema), row_group_size=ROW_GROUP)

    def _encode(self, images):
        return pa.array([encode_npz(image, self._bands, compress=False) for image in images], pa.binary())

    def _open(self, catalog, *, own_psf=False):
        kinds = {"U": pa.string(), "i": pa.int64()}
        fields = [(name, kinds.get(values.dtype.kind, pa.float64())) for name, values in catalog.items()]
        plain = [name for name, _ in fields]
        fields += [(column, pa.binary()) for column in self._columns.values()]
        if own_psf:
            # Many rows share a PSF, so it is kept once.
            fields, plain = [*fields, (_PSF, pa.binary())], [*plain, _PSF]
        metadata = {_BANDS_KEY: ",".join(self._bands), _SCALE_KEY: repr(self._pixel_scale)}
        self._schema = pa.schema([pa.field(name, kind, metadata=self._note(name)) for name, kind in fields], metadata)
        self._writer = pq.ParquetWriter(
            self._part, self._schema, use_dictionary=plain, compression=dict.fromkeys(plain, "zstd")
        )

    def _note(self, name):
        return {"description": self._notes[name]} if name in self._notes else None

    def __exit__(self, kind, error, trace):
        if kind is None and self._writer is None:
            self._open({name: np.zeros(0, "U1" if name == "pair_id" else float) for name in ("pair_id", "ra", "dec")})
        if self._writer is not None:
            self._writer.close()
        if kind is None:
            with open(self._part, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(self._part, self._path)
        else:
            self._part.unlink(missing_ok=True)


class CutoutWriter(PairWriter):
    """Writes images of single galaxies, which `gen5astro.io.open_cutouts` opens; else as `PairWriter`."""

    _columns = {"image": "image_npz"}


_NOTES = {
    "image_npz": "the galaxy: npz of one plane a band, image_<band> [nanomaggy]",
    "psf_npz": "PSF of the row: npz of one plane a band, image_<band>, of sum 1",
    "stamp_npz": "host with the injected arc: npz of one plane a band, image_<band> [nanomaggy]",
    "ctrl_stamp_npz": "the same host without the arc: npz of one plane a band, image_<band> [nanomaggy]",
    "ra": "right ascension, ICRS [deg]",
    "dec": "declination, ICRS [deg]",
    "theta_e_arcsec": "Einstein radius [arcsec]",
}
