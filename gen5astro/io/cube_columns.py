"""The columns of a cube: whole, each when it is first asked for; or some rows of all of them, and nothing is kept."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gen5astro.io.pixels import read_span

__all__ = ["CubeColumns"]


@dataclass(frozen=True)
class _Place:
    """Where a column is: dataset, offset in the file (None where it is in pieces), type and shape."""

    dataset: str
    offset: int | None
    dtype: np.dtype
    shape: tuple


class CubeColumns(Mapping):
    """Columns of one group of a cube, by name: float64 or str arrays, (n, ...).

    Parameters
    ----------
    cube : Cube
        The cube.
    group : str
        ``catalog`` or ``measure``.
    """

    def __init__(self, cube, group):
        self._cube, self._places, self._read = cube, {}, {}
        with cube.opened() as file:
            for name in list(file[group]):
                column = file[group][name]
                offset = column.id.get_offset() if column.chunks is None else None
                place = _Place(f"{group}/{name}", offset, column.dtype, column.shape)
                self._places[str(column.attrs["column"])] = place

    def __iter__(self):
        return iter(self._places)

    def __len__(self):
        return len(self._places)

    def __getitem__(self, name):
        place = self._places[name]
        if name not in self._read:
            with self._cube.opened() as file:
                self._read[name] = _decoded(file[place.dataset][...])
        return self._read[name]

    def __contains__(self, name):
        return name in self._places

    def rows(self, start, stop):
        """Read some rows of every column.

        Parameters
        ----------
        start, stop : int
            Which.

        Returns
        -------
        columns : dict of array, (stop - start, ...)
            Float64 or str.
        """
        with self._cube.guarded():
            return {name: _decoded(self._part(place, start, stop)) for name, place in self._places.items()}

    def _part(self, place, start, stop):
        if place.offset is None:
            with self._cube.opened() as file:
                return file[place.dataset][start:stop]
        part = np.empty((stop - start, *place.shape[1:]), place.dtype)
        read_span([(self._cube.path, place.offset, place.shape[0])], start, part)
        return part


def _decoded(values):
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
