"""Blocks of pairs, and what every source of them can do.

A source knows its rows and hands out cheap references to blocks; `PairSource.read` turns one into pixels on whatever
thread it is called. Rows that cannot be read come back as rejects, with their number and reason.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

__all__ = ["BlockRef", "ChangedPairs", "CutoutBlock", "PairBlock", "PairSource", "Reject", "block_refs"]


@dataclass(frozen=True)
class Reject:
    """A row that is not used: it cannot be read, or is left out on purpose.

    Parameters
    ----------
    row : int
        Its number in the input, from 0.
    reason : str
        Why, in a line.
    digest : tuple of int, optional
        Digests of its images, where they are as good as any and left out on purpose; None where the row cannot be used.
    """

    row: int
    reason: str
    digest: tuple[int, ...] | None = None


@dataclass(frozen=True)
class BlockRef:
    """Rows ``start`` to ``stop`` of a source, not yet read.

    Parameters
    ----------
    start, stop : int
        Row numbers in the input.
    """

    start: int
    stop: int


def block_refs(n_rows, size):
    """Cut rows into blocks.

    Parameters
    ----------
    n_rows : int
        Rows of the source.
    size : int
        Rows of a block; the last may have fewer.

    Yields
    ------
    ref : BlockRef
        Of each block, in order.
    """
    for start in range(0, n_rows, size):
        yield BlockRef(start, min(start + size, n_rows))


@dataclass(frozen=True)
class PairBlock:
    """Some pairs of one survey, shape and band list.

    Parameters
    ----------
    stamp, ctrl : float32 array, (n, band, y, x)
        Fluxes [nanomaggy], C-contiguous and native-endian.
    catalog : dict of array, (n,)
        Canonical column names; float64 (NaN where missing) or str ('' where missing).
    row : int64 array, (n,)
        Row number in the input.
    digest : uint64 array, (n, 2)
        XXH64 of the bytes of each stamp and ctrl row (little-endian float32).
    census : float64 array, (n, 2, band, 4)
        Of each stamp and ctrl plane: number of finite pixels, of exact zeros, minimum and maximum of the finite ones.
    bands : tuple of str
        Band names in the order of the planes.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    psf : float32 array, (n, band, k, k), optional
        PSF of each pair, where the input has one for each object: of sum 1, on pixels of the images, k odd. NaN in a
        row that has none.
    quantization : dict of float32 array, (n, band, ...), optional
        Where the pixels are in a form of a cube other than float32: what that form brings, by dataset of the cube.
    """

    stamp: np.ndarray
    ctrl: np.ndarray
    catalog: dict[str, np.ndarray]
    row: np.ndarray
    digest: np.ndarray
    census: np.ndarray
    bands: tuple[str, ...]
    pixel_scale: float
    psf: np.ndarray | None = None
    quantization: dict[str, np.ndarray] | None = None

    def __len__(self):
        return len(self.row)

    def choose(self, rows):
        """Take some of the pairs.

        Parameters
        ----------
        rows : bool or int array
            Which, as an index of an array.

        Returns
        -------
        block : PairBlock
            They.
        """
        catalog = {name: values[rows] for name, values in self.catalog.items()}
        psf = None if self.psf is None else self.psf[rows]
        form = self.quantization
        form = None if form is None else {name: values[rows] for name, values in form.items()}
        arrays = {name: getattr(self, name)[rows] for name in ("stamp", "ctrl", "row", "digest", "census")}
        return replace(self, catalog=catalog, psf=psf, quantization=form, **arrays)


@dataclass(frozen=True)
class CutoutBlock:
    """Some images of single galaxies, of one survey, shape and band list.

    Parameters
    ----------
    image : float32 array, (n, band, y, x)
        Fluxes [nanomaggy], C-contiguous and native-endian.
    catalog : dict of array, (n,)
        As in a `PairBlock`.
    row : int64 array, (n,)
        Row number in the input.
    digest : uint64 array, (n, 1)
        XXH64 of the bytes of each row (little-endian float32).
    census : float64 array, (n, 1, band, 4)
        As in a `PairBlock`.
    bands : tuple of str
        Band names in the order of the planes.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    psf : float32 array, (n, band, k, k), optional
        As in a `PairBlock`.
    """

    image: np.ndarray
    catalog: dict[str, np.ndarray]
    row: np.ndarray
    digest: np.ndarray
    census: np.ndarray
    bands: tuple[str, ...]
    pixel_scale: float
    psf: np.ndarray | None = None

    def __len__(self):
        return len(self.row)


class PairSource(Protocol):
    """What every source of pairs offers; `gen5astro.io.open_pairs` finds the right one.

    Attributes
    ----------
    n_rows : int
        Rows in the input, good or bad.
    bands : tuple of str
        Band names.
    shape : tuple of int
        ``(y, x)`` of every image.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    label : str
        What to call the input in messages.
    notes : tuple of str
        What the user should know of how the input was read: names that were matched, values that were assumed.
    """

    n_rows: int
    bands: tuple[str, ...]
    shape: tuple[int, int]
    pixel_scale: float
    label: str
    notes: tuple[str, ...]

    def blocks(self, size):
        """Yield a `BlockRef` for every `size` rows, in order."""

    def read(self, ref):
        """Return ``(PairBlock, list of Reject)`` for the rows of `ref`; thread-safe."""

    def positions(self):
        """Return ra and dec of all rows, good or bad, float64 (n,) each [deg]; NaN where unknown. Reads no pixels."""

    def identify(self, rows):
        """Return what tells rows beside their number: pair_id, and where in the input they are. Reads no pixels."""


class ChangedPairs:
    """A source whose blocks are those of another, changed: what inherits has a `read` of its own.

    Parameters
    ----------
    source : PairSource
        The other.
    """

    def __init__(self, source):
        self._source = source

    def __getattr__(self, name):
        # All but what `read` changes is the source's own; names of Python's protocols are looked for on the class.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._source, name)

    @staticmethod
    def _leave_out(block, rejects, reasons):
        """Make rejects, with their digests, of some pairs of a block: `reasons` by their place in it."""
        if not reasons:
            return block, rejects
        places = np.array(list(reasons), np.int64)
        rows, digests = block.row[places].tolist(), block.digest[places].tolist()
        found = [
            Reject(row, reason, tuple(digest))
            for row, reason, digest in zip(rows, reasons.values(), digests, strict=True)
        ]
        kept = np.ones(len(block), bool)
        kept[places] = False
        return block.choose(kept), sorted([*rejects, *found], key=lambda each: each.row)
