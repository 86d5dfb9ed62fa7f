"""Images in HDF5 as the Multimodal Universe lays them out: files in folders ``healpix=NNNN``, a dataset a column.

A file has ``image_array`` (n, band, y, x) and ``image_band`` (n, band), names such as ``des-g``; usually also
``image_scale`` and ``image_psf_fwhm`` (n, band) [arcsec], ``image_ivar`` and ``image_mask``, true where a pixel is
good. Every other dataset is a column of the catalog, such as ``object_id``, ``ra``, ``dec``. A file that has
``stamp_array`` and ``ctrl_array`` in the place of ``image_array`` holds pairs.
"""

import contextlib
import glob
import os
from dataclasses import dataclass

import h5py
import numpy as np

from gen5astro.errors import ColumnError, FormatError, Gen5Error, MissingFileError
from gen5astro.io.beside import blank_unmeasured, flagged_fraction
from gen5astro.io.catalog import IMAGE_COLUMNS, assemble_catalog, resolve_columns
from gen5astro.io.hdf5_reason import hdf5_reason
from gen5astro.io.hdf5_schema import SHARD_SCHEMA
from gen5astro.io.npz import WireImage
from gen5astro.io.pairs import BlockRef
from gen5astro.io.parquet_files import partition_of
from gen5astro.io.source import REFERENCE_ROWS, CutoutRows, RowSource
from gen5astro.io.values import as_numbers, as_text

__all__ = ["ZERO_POINTS", "MultimodalCutouts", "MultimodalPairs", "is_multimodal", "list_hdf5"]

ZERO_POINTS = {"": 22.5, "des": 22.5, "sdss": 22.5, "hsc": 27.0}
"""AB zero point of the pixels, by the survey that a band's name begins with: ``des-g`` is of the Legacy Surveys."""

_ENDINGS = (".hdf5", ".h5", ".hdf")
_BESIDE = ("image_band", "image_scale", "image_psf_fwhm", "image_ivar", "image_mask")
_HEALPIX = "healpix"


@dataclass(frozen=True)
class _File:
    """One file: its rows, the columns that ride along, and all datasets."""

    path: str
    n_rows: int
    plain: tuple[str, ...]
    names: tuple[str, ...]
    partition: dict[str, str]


class MultimodalPairs(RowSource):
    """Pairs in HDF5 files of the Multimodal Universe's layout.

    Parameters
    ----------
    path : path-like
        A file, a folder with files in folders ``healpix=NNNN``, or a glob.
    columns : dict of str to str, optional
        Canonical name to dataset, where the names do not tell.
    bands : sequence of str, optional
        Bands to read, in this order; by default those of most of the first good rows.
    pixel_scale : float, optional
        Pixel scale [arcsec / pix]; by default what ``image_scale`` says.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If a file is no HDF5, its datasets do not fit each other, or no row can be read.
    ColumnError
        If a dataset is missing, here or in one of many files.
    """

    _columns = {"stamp": "stamp_array", "ctrl": "ctrl_array"}

    def __init__(self, path, *, columns=None, bands=None, pixel_scale=None):
        self.label = os.fspath(path)
        self._files = [_describe(name, self.label) for name in list_hdf5(path)]
        first = self._files[0]
        names = [*first.names, *first.partition]
        self._mapping = self.find_columns(names, columns, self._columns.values())
        self._arrays = {member: self._mapping[name] for member, name in self._columns.items()}
        self._plain = [name for name in (*first.plain, *first.partition) if name not in self._arrays.values()]
        for file in self._files:
            _check(file, first, [*self._arrays.values(), "image_band", *self._plain])
        self._starts = np.concatenate([[0], np.cumsum([file.n_rows for file in self._files])])
        self.n_rows = int(self._starts[-1])
        self.bands = None if bands is None else tuple(bands)
        self.settle(self._first_rows(), pixel_scale=pixel_scale)
        mapping = {name: column for name, column in self._mapping.items() if name not in IMAGE_COLUMNS}
        used = [*self._arrays.values(), *_BESIDE]
        self.notes = self.describe(mapping, (), [name for name in names if name not in used], self._plain)

    def _first_rows(self):
        """Readers of the first rows."""
        row = 0
        for file, start, stop in self._spans(BlockRef(0, REFERENCE_ROWS)):
            with _opened(file.path) as hdf5:
                for at in range(start, stop):
                    yield row, self._reader(hdf5, file.path, at)
                    row += 1

    def _spans(self, ref):
        """Files that rows lie in, and which of their own rows."""
        for at, file in enumerate(self._files):
            start, stop = (int(np.clip(row - self._starts[at], 0, file.n_rows)) for row in (ref.start, ref.stop))
            if start < stop:
                yield file, start, stop

    def _fill(self, filler, ref):
        row, parts = ref.start, []
        for file, start, stop in self._spans(ref):
            with _opened(file.path) as hdf5:
                for at in range(start, stop):
                    filler.add(row, self._reader(hdf5, file.path, at))
                    row += 1
                parts.append(self._read_columns(hdf5, file, slice(start, stop)))
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
        return assemble_catalog(columns, self._mapping, first_row=ref.start, count=ref.stop - ref.start)

    def _position(self, name):
        column = self._mapping.get(name)
        if column not in self._plain:
            return np.full(self.n_rows, np.nan)
        parts = []
        for file, start, stop in self._spans(BlockRef(0, self.n_rows)):
            with _opened(file.path) as hdf5:
                parts.append(as_numbers(_read_column(hdf5, file, column, slice(start, stop)), column, start))
        return np.concatenate(parts)

    def _ids(self, rows):
        column, ids = self._mapping.get("pair_id"), np.full(len(rows), "", object)
        if column in self._plain:
            file, own = self._locate(rows)
            for number in np.unique(file).tolist():
                found, chosen = self._files[number], np.flatnonzero(file == number)
                with _opened(found.path) as hdf5:
                    whole = _read_column(hdf5, found, column, slice(0, found.n_rows))
                ids[chosen] = as_text(whole[own[chosen]])
        return ids.astype(str)

    def _places(self, rows):
        file, own = self._locate(rows)
        paths = np.array([each.path for each in self._files])
        return {"file": paths[file], "row_in_file": own} if len(paths) > 1 else {}

    def _locate(self, rows):
        """Number of the file that rows are in, and their number there."""
        file = np.searchsorted(self._starts, rows, side="right") - 1
        return file, rows - self._starts[file]

    def _read_columns(self, hdf5, file, rows):
        columns = {name: _read_column(hdf5, file, name, rows) for name in self._plain}
        if "image_psf_fwhm" in file.names and not any(name.startswith("psfsize_") for name in self._mapping):
            columns |= _psf_sizes(hdf5, rows, self.bands)
        return columns

    def _reader(self, hdf5, path, at):
        def read(member):
            name = self._arrays[member]
            try:
                return _read_image(hdf5, name, at, self.bands)
            except (OSError, KeyError, RuntimeError, ValueError) as error:
                if isinstance(error, Gen5Error):
                    raise
                got = f"a row that cannot be read ({hdf5_reason(error)})"
                raise FormatError(f"{path}: {name}", got=got, expected="intact HDF5") from error

        return read


class MultimodalCutouts(CutoutRows, MultimodalPairs):
    """Images of single galaxies in files of the Multimodal Universe; else as `MultimodalPairs`."""

    _columns = {"image": "image_array"}


def _read_column(hdf5, file, name, rows):
    if name in file.partition:
        return np.full(rows.stop - rows.start, file.partition[name])
    return hdf5[name].asstr()[rows] if hdf5[name].dtype.kind == "O" else hdf5[name][rows]


def list_hdf5(path):
    """Files that a path, folder or glob stands for.

    Parameters
    ----------
    path : path-like
        What the user named.

    Returns
    -------
    files : list of str
        At least one, in the order of their names.

    Raises
    ------
    MissingFileError
        If there is none.
    """
    text = os.fspath(path)
    pattern = os.path.join(glob.escape(text), "**", "*") if os.path.isdir(text) else text
    found = [text] if os.path.isfile(text) else glob.glob(pattern, recursive=True)
    files = [name for name in found if name.endswith(_ENDINGS) and os.path.isfile(name)]
    if not files:
        raise MissingFileError(text, got="no HDF5 file there", expected="a file, a folder healpix=NNNN, or a glob")
    return sorted(files)


def is_multimodal(path):
    """Tell whether the first HDF5 file of a path has images as the Multimodal Universe lays them out.

    Parameters
    ----------
    path : path-like
        A file, a folder or a glob.

    Returns
    -------
    is_multimodal : bool
        Whether it has an array of images and no cube's ``stamp``.
    """
    try:
        with _opened(list_hdf5(path)[0]) as hdf5:
            return not _is_cube(hdf5) and bool({"image_array", "stamp_array"} & set(resolve_columns(hdf5)))
    except (FormatError, MissingFileError):
        return False


def _is_cube(hdf5):
    return "stamp" in hdf5


@contextlib.contextmanager
def _opened(path):
    try:
        hdf5 = h5py.File(path, "r", locking=False)
    except OSError as error:
        got = f"no readable HDF5 ({hdf5_reason(error)})"
        raise FormatError(path, got=got, expected="an HDF5 file", remedy="fetch it again") from error
    with hdf5:
        yield hdf5


def _describe(path, root):
    """What is in a file."""
    with _opened(path) as hdf5:
        if _is_cube(hdf5):
            raise _no_images(path, root, is_shard=hdf5.attrs.get("schema") == SHARD_SCHEMA)
        found = {name: each for name, each in hdf5.items() if isinstance(each, h5py.Dataset) and each.shape}
        lengths = {len(each) for each in found.values()}
        if len(lengths) != 1:
            got = ", ".join(f"{name} {each.shape}" for name, each in list(found.items())[:6]) or "no datasets"
            raise FormatError(path, got=got, expected="datasets of as many rows")
        plain = tuple(name for name, each in found.items() if each.ndim == 1 and each.dtype.kind in "fiubSO")
    partition = {name: value for name, value in partition_of(path, root).items() if name not in found}
    return _File(path, lengths.pop(), plain, tuple(found), partition)


def _no_images(path, root, *, is_shard):
    """Refuse a cube where images are looked for, and say what can be done with it."""
    got, expected = "a cube of pairs", "images as the Multimodal Universe lays them out"
    if is_shard:
        got, remedy = "a shard of a cube", "name the cube itself, the file beside the folder of its shards"
    elif os.path.isfile(root):
        remedy = "evaluate judges a network on a cube; predict and inject take images of single galaxies"
    else:
        remedy = f"where these are cubes, name one of them: {path}"
    return FormatError(path, got=got, expected=expected, remedy=remedy)


def _check(file, first, names):
    """Refuse a file that does not continue the first one's table."""
    for name in names:
        if name not in file.names and name not in file.partition:
            raise ColumnError(f"dataset {name!r} of {file.path}", got="none", expected=f"one, as in {first.path}")


def _psf_sizes(hdf5, rows, bands):
    """FWHM of the PSF in each band [arcsec], as columns."""
    named = [[_band(text)[1] for text in each] for each in hdf5["image_band"][rows]]
    fwhm = hdf5["image_psf_fwhm"][rows]
    sizes = {band: np.full(len(named), np.nan) for band in bands}
    for at, names in enumerate(named):
        for band in set(bands) & set(names):
            sizes[band][at] = fwhm[at, names.index(band)]
    return {f"psfsize_{band}": values for band, values in sizes.items()}


def _band(text):
    """Survey and band of a name such as b'des-g'."""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    survey, _, band = text.strip().lower().rpartition("-")
    return survey, band


def _read_image(hdf5, name, at, bands):
    """One row as it was stored, in nanomaggies, with what stands beside it."""
    dataset = hdf5[name]
    pixels = dataset[at]
    surveys, found = zip(*(_band(text) for text in hdf5["image_band"][at]), strict=True)
    if pixels.ndim != 3 or len(pixels) != len(found) or len(set(found)) < len(found):
        got = f"pixels of shape {pixels.shape} and bands {', '.join(found)}"
        raise FormatError(name, got=got, expected="(band, y, x), and as many different names")
    wanted = found if bands is None else bands
    missing = [band for band in wanted if band not in found]
    if missing:
        raise FormatError(name, got=f"bands {', '.join(found)}", expected=f"a plane of band {missing[0]}")
    order = [found.index(band) for band in wanted]
    pixels = np.ascontiguousarray(pixels[order])
    if "image_ivar" in hdf5:
        pixels = blank_unmeasured(pixels, hdf5["image_ivar"][at][order])
    facts = {}
    if "image_mask" in hdf5:
        good = hdf5["image_mask"][at]
        facts["masked_fraction"] = flagged_fraction(good[order] == 0 if good.ndim == 3 else good == 0, pixels)
    factors = [_nanomaggies(dataset, surveys[band], name) for band in order]
    if set(factors) != {1.0}:
        pixels = (pixels * np.array(factors)[:, None, None]).astype(np.float32)
    return WireImage(pixels, "chw", tuple(wanted), _scale(hdf5, at, order), facts=facts)


def _scale(hdf5, at, order):
    """Pixel scale of a row [arcsec], None where the file does not tell."""
    if "image_scale" not in hdf5:
        return None
    scales = np.atleast_1d(hdf5["image_scale"][at])
    scales = scales[order] if len(scales) > 1 else scales
    if not np.allclose(scales, scales[0], rtol=1e-3):
        got = ", ".join(f"{scale:g}" for scale in scales)
        raise FormatError("image_scale", got=f"{got} arcsec", expected="one pixel scale in all bands")
    return round(float(scales[0]), 6)


def _nanomaggies(dataset, survey, name):
    """Factor from the stored unit to nanomaggies: the attribute ``zero_point``, or what the survey is known for."""
    zero_point = dataset.attrs.get("zero_point", ZERO_POINTS.get(survey))
    if zero_point is None:
        raise FormatError(
            name,
            got=f"bands of {survey!r}, whose unit is not known",
            expected=f"{', '.join(filter(None, ZERO_POINTS))}, or an attribute zero_point (AB) of the dataset",
            remedy=f"set it with h5py: file[{name!r}].attrs['zero_point'] = 23.9",
        )
    return 10 ** (-0.4 * (float(zero_point) - 22.5))
