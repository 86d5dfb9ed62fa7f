"""The pairs of a cube, and new ones behind them, as one input."""

from dataclasses import dataclass, replace

import numpy as np

from gen5astro.errors import SchemaError
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.pairs import BlockRef, Reject

__all__ = ["AppendedPairs", "AppendedRef"]

_PROBE = 64
_REMEDIES = {
    "bands": "choose bands of the cube with --bands, or append pairs of the same bands",
    "shape": "append images of the same size: cut them again with --size",
    "pixel_scale": "append images of the same pixel scale: one cube has one",
}


@dataclass(frozen=True)
class AppendedRef(BlockRef):
    """Some rows of either.

    Parameters
    ----------
    start, stop : int
        Which, counted from the cube's first pair.
    own : BlockRef
        The same rows, as the cube or the new source counts them.
    """

    own: BlockRef


class AppendedPairs:
    """A cube's pairs and those of another source as a `~gen5astro.io.pairs.PairSource`.

    Pairs of the cube keep their row numbers; those of new pairs follow. A new pair that is in the cube already, to the
    last bit of both images, is a reject. Columns that one of the two does not have are NaN or '' there.

    Parameters
    ----------
    cube : path-like or Cube
        The cube.
    new : PairSource
        The pairs to add.

    Raises
    ------
    SchemaError
        If the two differ in bands, size of the images, or pixel scale.
    """

    def __init__(self, cube, new):
        self.old, self.new = CubeSource(cube), new
        for name in ("bands", "shape", "pixel_scale"):
            has, given = getattr(self.old, name), getattr(new, name)
            if not np.array_equal(has, given):
                assumed = name == "pixel_scale" and getattr(new, "assumes_scale", False)
                raise SchemaError(
                    f"{name.replace('_', ' ')} of {new.label}",
                    got=f"{given}, which is assumed" if assumed else given,
                    expected=f"{has}, as in {self.old.label}",
                    remedy=f"if it is the same, say so with --pixel-scale {has}" if assumed else _REMEDIES[name],
                )
        self.bands, self.shape, self.pixel_scale = self.old.bands, self.old.shape, self.old.pixel_scale
        self.survey, self.notes = self.old.survey, getattr(new, "notes", ())
        self.label = f"{new.label}, appended to {self.old.label}"
        self.n_old = self.old.n_rows
        self.n_rows = self.n_old + new.n_rows
        cube = self.old.cube
        self._first_row = max(int(cube.row.max(initial=-1)) + 1, cube.attributes["n_in"])
        self._texts = self._columns()
        keys = _keys(cube.digest)
        self._by_key = np.argsort(keys)
        self._keys = keys[self._by_key]

    def _columns(self):
        """Name of each column of either, and whether it is text."""
        probe = self.old.cube.catalog.rows(0, min(_PROBE, self.n_old))
        texts = {name: values.dtype.kind == "U" for name, values in probe.items()}
        texts["region_split"] = True
        for ref in self.new.blocks(_PROBE):
            block, _ = self.new.read(ref)
            if len(block):
                texts = {name: np.asarray(values).dtype.kind == "U" for name, values in block.catalog.items()} | texts
                if block.psf is not None:
                    texts = {f"psfsize_{band}": False for band in self.bands} | texts
                break
        return texts

    def blocks(self, size):
        """Cut the pairs into blocks, those of the cube first.

        Parameters
        ----------
        size : int
            Pairs a block.

        Yields
        ------
        ref : AppendedRef
            In order.
        """
        for first, source in ((0, self.old), (self.n_old, self.new)):
            for ref in source.blocks(size):
                yield AppendedRef(first + ref.start, first + ref.stop, ref)

    def positions(self):
        """Read where on the sky all pairs are.

        Returns
        -------
        ra, dec : float64 array, (n,)
            Positions [deg]; NaN where unknown.
        """
        places = zip(self.old.positions(), self.new.positions(), strict=True)
        return tuple(np.concatenate(each) for each in places)

    def identify(self, rows):
        """Say what tells pairs beside the number of their row.

        Parameters
        ----------
        rows : int array, (n,)
            Row numbers, as `read` gives them.

        Returns
        -------
        columns : dict of array, (n,)
            Those of either, with ``file`` and ``row_in_file``; '' where one of the two does not have a column.
        """
        rows, columns = np.asarray(rows, np.int64), {}
        is_new = rows >= self._first_row
        for chosen, source, first in ((~is_new, self.old, 0), (is_new, self.new, self._first_row)):
            own = rows[chosen] - first
            told = {"file": np.full(len(own), source.label), "row_in_file": own} | source.identify(own)
            for name, values in told.items():
                columns.setdefault(name, np.full(len(rows), "", object))[chosen] = values
        kinds = {"row_in_file": np.int64}
        return {name: values.astype(kinds.get(name, str)) for name, values in columns.items()}

    def read(self, ref):
        """Read the pairs of a block; thread-safe where the new source is.

        Parameters
        ----------
        ref : AppendedRef
            Which.

        Returns
        -------
        block : PairBlock
            The good ones, with the columns of both.
        rejects : list of Reject
            The others.
        """
        if ref.start < self.n_old:
            block, rejects = self.old.read(ref.own)
        else:
            block, rejects = self.new.read(ref.own)
            rejects = [replace(each, row=each.row + self._first_row) for each in rejects]
            block, doubled = self._without_doubled(replace(block, row=block.row + self._first_row))
            rejects = sorted([*rejects, *doubled], key=lambda each: each.row)
        missing = {name: text for name, text in self._texts.items() if name not in block.catalog}
        filled = {name: np.full(len(block), "" if text else np.nan) for name, text in missing.items()}
        catalog = block.catalog | filled
        return replace(block, catalog={name: catalog[name] for name in self._texts}), rejects

    def _without_doubled(self, block):
        """Split off the pairs that are in the cube."""
        keys, known = _keys(block.digest), self.old.cube.digest
        at = np.searchsorted(self._keys, keys).clip(max=max(len(self._keys) - 1, 0))
        doubled = np.zeros(len(block), bool)
        if len(known):
            doubled = (known[self._by_key[at]] == block.digest).all(axis=1)
        rows = self.old.cube.row[self._by_key[at[doubled]]] if doubled.any() else ()
        rejects = [
            Reject(int(row), f"the pair is in the cube already, as row {there}", tuple(digest))
            for row, there, digest in zip(block.row[doubled], rows, block.digest[doubled].tolist(), strict=True)
        ]
        return block.choose(~doubled), rejects


def _keys(digest):
    """One number for both images of each pair."""
    digest = np.asarray(digest, np.uint64)
    return digest[:, 0] * np.uint64(0x9E3779B97F4A7C15) + digest[:, 1]
