"""Pairs in Parquet: a row a pair, its two images as npz bytes, its catalog beside them.

Reading takes as much memory as a block, however large the files and their row groups; writing, as much as a row group.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.errors import ColumnError, ExistsError, FormatError, MissingFileError, SchemaError
from gen5astro.io.catalog import DEFAULT_PIXEL_SCALE, REFERENCE_ROWS, WANTED, assemble_catalog, resolve_columns
from gen5astro.io.ingest import BlockFiller, find_reference
from gen5astro.io.notes import column_notes, scale_note
from gen5astro.io.npz import decode_npz, encode_npz
from gen5astro.io.pairs import block_refs
from gen5astro.io.parquet_files import ENDINGS, Rows, describe_file, list_parquet, open_file

__all__ = ["PairWriter", "ParquetPairs", "column_names", "read_columns"]

ROW_GROUP = 256
"""Most pairs in a row group that we write."""

_BANDS_KEY, _SCALE_KEY = b"gen5astro.bands", b"gen5astro.pixel_scale"
_IMAGES = {"stamp": "stamp_npz", "ctrl": "ctrl_stamp_npz"}


# ---- reading ----


class ParquetPairs:
    """Pairs of one Parquet file, or of many that make one table.

    Parameters
    ----------
    path : path-like
        A file, a folder of them, a glob, or a URI that fsspec understands (``s3://...``).
    columns : dict of str to str, optional
        Canonical name to column, where the names do not tell.
    bands : sequence of str, optional
        Band names in the order of the planes; by default what the file says, then what its first good pair holds.
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

    def __init__(self, path, *, columns=None, bands=None, pixel_scale=None):
        self.label = str(path)
        files = [describe_file(name) for name in list_parquet(path)]
        first = files[0]
        self._mapping = resolve_columns(first.schema.names, columns, required=_IMAGES.values())
        self._image_columns = {name: self._mapping[column] for name, column in _IMAGES.items()}
        self._catalog_columns = _catalog_columns(first, self._image_columns.values())
        for each in files[1:]:
            _check_same(each, first, [*self._image_columns.values(), *self._catalog_columns])
        self.n_rows = sum(each.n_rows for each in files)
        self._rows = Rows(files, [*self._image_columns.values(), *self._catalog_columns])
        if bands is None and _BANDS_KEY in first.metadata:
            bands = first.metadata[_BANDS_KEY].decode().split(",")
        stated = first.metadata.get(_SCALE_KEY) if pixel_scale is None else pixel_scale
        self.bands = None if bands is None else tuple(bands)
        self.pixel_scale = float(DEFAULT_PIXEL_SCALE if stated is None else stated)
        self.notes = self._column_notes(first.schema.names)
        if stated is None:
            self.notes += scale_note(self.pixel_scale)
        reference = find_reference(self._first_rows(), label=self.label)
        self.bands, self.shape = reference.bands, reference.shape

    def _column_notes(self, names):
        others = [name for name in names if name not in self._mapping.values()]
        extra = [name for name in others if name in self._catalog_columns]
        ignored = [name for name in others if name not in self._catalog_columns]
        return column_notes(self._mapping, wanted=WANTED, extra=extra, ignored=ignored)

    def _first_rows(self):
        """Readers of the first rows, drawn batch by batch."""
        for ref in block_refs(min(self.n_rows, REFERENCE_ROWS), Rows.BATCH):
            yield from self._readers(self._rows.read(ref.start, ref.stop), ref.start)

    def blocks(self, size):
        """Cut the rows into blocks.

        Parameters
        ----------
        size : int
            Rows of a block.

        Returns
        -------
        refs : iterator of BlockRef
            In order.
        """
        return block_refs(self.n_rows, size)

    def read(self, ref):
        """Read a block; thread-safe.

        Parameters
        ----------
        ref : BlockRef
            Which rows.

        Returns
        -------
        block : PairBlock
            The good rows.
        rejects : list of Reject
            The bad ones.
        """
        batches = self._rows.read(ref.start, ref.stop)
        count = ref.stop - ref.start
        filler = BlockFiller(count, bands=self.bands, shape=self.shape, pixel_scale=self.pixel_scale)
        row = ref.start
        for batch in batches:
            if not self._add_batch(filler, row, batch):
                for each, read in self._readers([batch], row):
                    filler.add(each, read)
            row += len(batch)
        table = pa.Table.from_batches(batches).select(self._catalog_columns)
        columns = {name: _to_numpy(table[name]) for name in table.column_names}
        catalog = assemble_catalog(columns, self._mapping, first_row=ref.start, count=count)
        return filler.finish(catalog, ref.start)

    def _add_batch(self, filler, row, batch):
        """Ingest a batch at once, if it is of the usual kind."""
        columns = [batch.column(column) for column in self._image_columns.values()]
        usual = len(batch) > 0 and not any(each.null_count for each in columns)
        return usual and filler.add_archives(row, [*map(_archives, columns)])

    def _readers(self, batches, row):
        for batch in batches:
            images = {name: batch.column(column) for name, column in self._image_columns.items()}
            for at in range(len(batch)):
                yield row, _Row(images, at, self._image_columns, self.bands)
                row += 1


@dataclass(frozen=True)
class _Row:
    """Reads the images of one row."""

    images: dict
    at: int
    names: dict
    bands: tuple | None

    def __call__(self, name):
        scalar = self.images[name][self.at]
        if not scalar.is_valid:
            raise FormatError(self.names[name], got="null", expected="npz bytes")
        try:
            return decode_npz(scalar.as_buffer(), bands=self.bands)
        except FormatError as error:
            what = f"{self.names[name]}: {error.what}"
            raise FormatError(what, got=error.got, expected=error.expected, remedy=error.remedy) from error


def _archives(column):
    """Bytes of a binary column, not copied, and where in them each value begins."""
    _, offsets, content = column.buffers()
    width = np.int64 if pa.types.is_large_binary(column.type) else np.int32
    offsets = np.frombuffer(offsets, width)[column.offset : column.offset + len(column) + 1]
    return content or b"", offsets.astype(np.int64)


def _to_numpy(column):
    """Masked array of a column."""
    column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if _is_text(column.type):
        return np.ma.array(np.array(column.fill_null("").to_pylist(), dtype=str), mask=missing)
    if pa.types.is_boolean(column.type) or pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    plain = column.fill_null(0) if column.null_count else column
    return np.ma.array(plain.to_numpy(zero_copy_only=False), mask=missing)


def column_names(path):
    """Names of the columns of a Parquet file, or of the first of many.

    Parameters
    ----------
    path : path-like
        A file, a folder, a glob or a URI.

    Returns
    -------
    names : list of str
        In their order.
    """
    return describe_file(list_parquet(path)[0]).schema.names


def read_columns(path):
    """Read the numbers and strings of a Parquet file whole, as `~gen5astro.io.catalog.read_table` does.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    columns : dict of masked array, (n,)
        Numbers and strings; columns of anything else are left out.

    Raises
    ------
    FormatError
        If it is no Parquet.
    """
    with open_file(os.fspath(path)) as handle:
        names = [field.name for field in handle.schema_arrow if _is_plain(field.type)]
        try:
            table = handle.read(names)
        except (pa.ArrowException, OSError) as error:
            raise FormatError(f"{path}", got=f"a broken column ({error})", expected="intact Parquet") from error
    return {name: _to_numpy(table[name]) for name in names}


def _is_text(kind):
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_plain(kind):
    """Whether a column of this type can ride along: numbers and strings."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    of_numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return _is_text(kind) or any(is_kind(kind) for is_kind in of_numbers)


def _catalog_columns(file, images):
    """Columns that ride along; refuses images that are not bytes."""
    for name in images:
        kind = file.schema.field(name).type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise ColumnError(f"column {name!r} of {file.path}", got=f"type {kind}", expected="binary: npz bytes")
    return [field.name for field in file.schema if field.name not in images and _is_plain(field.type)]


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

    def __init__(self, path, bands, pixel_scale, *, column_notes=None, force=False):
        self._path = Path(path)
        if not self._path.name.lower().endswith(ENDINGS):
            raise FormatError(f"output {path}", got="another ending", expected=f"{' or '.join(ENDINGS)}: it is Parquet")
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
            Pairs with the bands and pixel scale of this file; its catalog's columns are those of the first block.

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
            self._open(block.catalog)
        names = [name for name in self._schema.names if name not in _IMAGES.values()]
        if list(block.catalog) != names:
            raise SchemaError(f"block for {self._path}", got=f"columns {list(block.catalog)}", expected=f"{names}")
        for start in range(0, len(block), ROW_GROUP):
            part = slice(start, start + ROW_GROUP)
            columns = {
                name: pa.array(values[part], self._schema.field(name).type) for name, values in block.catalog.items()
            }
            for column, images in ((_IMAGES["stamp"], block.stamp), (_IMAGES["ctrl"], block.ctrl)):
                columns[column] = pa.array(
                    [encode_npz(image, self._bands, compress=False) for image in images[part]], pa.binary()
                )
            self._writer.write_table(pa.table(columns, schema=self._schema), row_group_size=ROW_GROUP)

    def _open(self, catalog):
        fields = [(name, pa.string() if values.dtype.kind == "U" else pa.float64()) for name, values in catalog.items()]
        fields += [(column, pa.binary()) for column in _IMAGES.values()]
        metadata = {_BANDS_KEY: ",".join(self._bands), _SCALE_KEY: repr(self._pixel_scale)}
        self._schema = pa.schema([pa.field(name, kind, metadata=self._note(name)) for name, kind in fields], metadata)
        plain = [name for name, _ in fields if name not in _IMAGES.values()]
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


_NOTES = {
    "stamp_npz": "host with the injected arc: npz of one plane a band, image_<band> [nanomaggy]",
    "ctrl_stamp_npz": "the same host without the arc: npz of one plane a band, image_<band> [nanomaggy]",
    "ra": "right ascension, ICRS [deg]",
    "dec": "declination, ICRS [deg]",
    "theta_e_arcsec": "Einstein radius [arcsec]",
}
