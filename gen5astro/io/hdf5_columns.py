"""The datasets of a cube that are not pixels: made with room for all pairs, filled block by block from the journal."""

import h5py
import numpy as np

from gen5astro.errors import ColumnError
from gen5astro.io.hdf5_schema import DATASETS, datasets_of
from gen5astro.io.pixels import MapToWrite, create_contiguous

__all__ = ["create_datasets", "describe_datasets", "encoded", "fill_datasets", "stored_name", "stored_type"]

_SPEC = {each.name: each for each in DATASETS}
_RELEASE = 1 << 16
_BY_BLOCK = ("row", "digest", "fingerprint", "normalizer/stamp", "normalizer/ctrl")


def create_datasets(file, form, lengths, columns, measure):
    """Make the datasets that are filled block by block, and those of an audit's measurements.

    Parameters
    ----------
    file : h5py.File
        The cube.
    form : str
        Form of its pixels.
    lengths : dict of str to int
        Length of the axes ``n`` and ``band``.
    columns : dict of gen5astro.io.build_state.Column
        Of the catalog, by name.
    measure : dict of array, (n, ...)
        Columns of the measurements; only their types are looked at.

    Returns
    -------
    places : dict of tuple
        Offset, type and shape of each dataset that `fill_datasets` fills.

    Raises
    ------
    ColumnError
        If two columns would share a place.
    """
    places = {}
    for name in _by_block(form):
        shape = tuple(lengths.get(axis, axis) for axis in _SPEC[name].axes)
        places[name] = create_contiguous(file, name, shape, stored_type(name))
    kinds = {
        name: h5py.string_dtype("utf-8", column.width) if column.text else np.dtype("<f8")
        for name, column in columns.items()
    }
    for folder, some in (("catalog", kinds), ("measure", measure)):
        file.create_group(folder, track_order=True)
        for name, kind in some.items():
            place = f"{folder}/{stored_name(name)}"
            if place in file:
                got = f"a second {stored_name(name)!r}"
                raise ColumnError(f"column {name!r}", got=got, remedy="rename one of the two")
            if folder == "catalog":
                places[place] = create_contiguous(file, place, (lengths["n"],), kind)
            else:
                file.create_dataset(place, kind.shape, encoded(kind[:1]).dtype)
            file[place].attrs["column"] = name
    return {name: (each.id.get_offset(), each.dtype, each.shape) for name, each in places.items()}


def _by_block(form):
    return (*_BY_BLOCK, *(each.name for each in datasets_of(form, only=True)))


def fill_datasets(path, places, state, order):
    """Fill the datasets with what the journal holds, each pair at its place.

    Parameters
    ----------
    path : path-like
        The file.
    places : dict of tuple
        From `create_datasets`.
    state : gen5astro.io.build_state.BuildState
        What is done.
    order : int64 array, (n,)
        Number of the pair, in the order of the input, that each place gets.
    """
    place_of_pair = np.full(len(state), -1)
    place_of_pair[order] = np.arange(len(order))
    done = 0
    with MapToWrite(path, places) as maps:
        for columns in state.blocks():
            at = place_of_pair[done : done + len(columns["row"])]
            kept = at >= 0
            for name, values in columns.items():
                place = _place(name)
                if maps[place].dtype.kind == "S":
                    values = np.char.encode(values.astype(str), "utf-8", "replace")
                maps[place][at[kept]] = values[kept]
            done += len(at)
            if done // _RELEASE > (done - len(at)) // _RELEASE:
                maps.release()


def describe_datasets(file, form):
    """Let each dataset of the schema say its unit and meaning.

    Parameters
    ----------
    file : h5py.File
        The cube.
    form : str
        Form of its pixels; the unit of int16 codes is their step.
    """
    for name, spec in _SPEC.items():
        if name in file:
            unit = "step" if (spec.dtype, form) == ("pixels", "int16") else spec.unit
            file[name].attrs.update(unit=unit, meaning=spec.meaning)


def stored_type(name):
    """Return the type of a dataset as it is stored.

    Parameters
    ----------
    name : str
        One of `DATASETS`.

    Returns
    -------
    dtype : numpy.dtype
        Little-endian.
    """
    return np.dtype(_SPEC[name].dtype).newbyteorder("<")


def _place(name):
    """Dataset of what `BuildState.blocks` calls by a name."""
    group, slash, column = name.partition("/")
    return f"catalog/{stored_name(column)}" if group == "catalog" and slash else name


def stored_name(name):
    """Return the name of a column's dataset.

    Parameters
    ----------
    name : str
        Of the column.

    Returns
    -------
    name : str
        Without slashes, which would be folders.
    """
    return name.replace("/", "_")


def encoded(values):
    """Return a column as HDF5 stores it.

    Parameters
    ----------
    values : array, (n, ...)
        Numbers or text.

    Returns
    -------
    values : array, (n, ...)
        Little-endian numbers, or UTF-8 of fixed length.
    """
    if values.dtype.kind != "U":
        return values.astype(values.dtype.newbyteorder("<"))
    text = np.char.encode(values, "utf-8", "replace")
    kind = h5py.string_dtype("utf-8", max(text.dtype.itemsize, 1))
    return text.astype(f"S{kind.itemsize}").view(kind)
