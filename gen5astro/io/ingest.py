"""From pixels as they were stored to rows of a block: native float32, counted and digested in one pass.

The pass itself is C (``ext/ingest.c``); `ingest_row` is its face, and `BlockFiller` makes a block of many.
npz archives go through it many at a time (``ext/npz.c``), without the GIL unless they are deflated.
"""

from collections import Counter

import numpy as np

from gen5astro import _core
from gen5astro.errors import FormatError, Gen5Error, ShapeError
from gen5astro.io.npz import inflate, member_names
from gen5astro.io.pairs import PairBlock, Reject

__all__ = ["BlockFiller", "find_reference", "ingest_row"]

_VOTERS = 20


def ingest_row(wire, out, *, layout="chw", census=None):
    """Convert one stored image to a row of a block, counting and digesting it on the way.

    Parameters
    ----------
    wire : array, (band, y, x) or (y, x, band)
        Pixels of any byte order, integer or floating, C-contiguous, at any alignment.
    out : float32 array, (band, y, x)
        Where the image goes; writable, C-contiguous, not overlapping `wire`.
    layout : {'chw', 'hwc'}
        Whether the bands of `wire` come first or last.
    census : float64 array, (band, 4), optional
        Where the census goes; a new array by default.

    Returns
    -------
    census : float64 array, (band, 4)
        Of each plane: number of finite pixels, of exact zeros, minimum and maximum of the finite ones (NaN where there
        is none).
    digest : int
        XXH64 (seed 0) of the little-endian bytes of `out`.

    Raises
    ------
    FormatError
        If `wire` holds no real numbers, or is not C-contiguous.
    ShapeError
        If an array does not have the shape or type that the others ask for.
    """
    if layout not in ("chw", "hwc"):
        raise ShapeError("layout", got=repr(layout), expected="'chw' or 'hwc'")
    if out.ndim != 3 or out.dtype != np.float32 or not out.dtype.isnative or not out.flags.carray:
        raise ShapeError("out", got=f"{out.dtype} {out.shape}", expected="a writable, contiguous float32 (band, y, x)")
    bands, height, width = out.shape
    expected = out.shape if layout == "chw" else (height, width, bands)
    if wire.shape != expected:
        raise ShapeError("image", got=f"shape {wire.shape}", expected=f"{expected}")
    if wire.dtype.kind not in "fiu" or wire.dtype.itemsize > 8:
        raise FormatError("image", got=f"pixels of type {wire.dtype}", expected="integers or floats of at most 8 bytes")
    if not wire.flags.c_contiguous:
        raise FormatError("image", got="pixels that are not contiguous", expected="a C-contiguous array")
    if census is None:
        census = np.empty((bands, 4))
    elif census.shape != (bands, 4) or census.dtype != np.float64 or not census.flags.carray:
        raise ShapeError("census", got=f"{census.dtype} {census.shape}", expected=f"float64 {(bands, 4)}")
    return census, _core.ingest(wire, out, census, wire.dtype.str, layout)


class BlockFiller:
    """A block while its rows are read: good ones ingested side by side, bad ones set down with their reason.

    Parameters
    ----------
    capacity : int
        Most rows that will be added.
    bands : sequence of str
        Band names that every image must have.
    shape : tuple of int
        ``(y, x)`` that every image must have.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    """

    def __init__(self, capacity, *, bands, shape, pixel_scale):
        self._bands = tuple(bands)
        self._pixel_scale = float(pixel_scale)
        self._pixels = [np.empty((capacity, len(self._bands), *shape), np.float32) for _ in range(2)]
        self._census = np.empty((capacity, 2, len(self._bands), 4))
        self._digest = np.empty((capacity, 2), np.uint64)
        self._rows = []
        self.rejects = []

    def add(self, row, read):
        """Read and ingest one pair, or set it down as a reject.

        Parameters
        ----------
        row : int
            Row number in the input.
        read : callable
            Returns the `~gen5astro.io.npz.WireImage` of ``"stamp"`` and of ``"ctrl"``, or raises a `Gen5Error`.
        """
        try:
            for member, name in enumerate(("stamp", "ctrl")):
                self._ingest(member, name, read(name))
        except Gen5Error as error:
            self.rejects.append(Reject(row, str(error)))
        else:
            self._rows.append(row)

    def add_archives(self, row, archives):
        """Ingest pairs whose images are npz archives of planes, all at once; do nothing where one is not.

        Parameters
        ----------
        row : int
            Row number in the input of the first pair.
        archives : sequence of tuple, (2,)
            Of the stamps and of the ctrls: bytes that hold the archives one after another, and where each begins,
            int64 array, (n + 1,).

        Returns
        -------
        done : bool
            Whether the pairs were added; if not, `add` says of each what is the matter.
        """
        at, count = len(self._rows), len(archives[0][1]) - 1
        added, names = slice(at, at + count), member_names(self._bands)
        for member, (content, offsets) in enumerate(archives):
            census, digest = np.empty((count, len(self._bands), 4)), np.empty(count, np.uint64)
            done = _core.ingest_archives(content, offsets, names, self._pixels[member][added], census, digest, inflate)
            if done < count or not census[:, :, 0].all():
                return False
            self._census[added, member], self._digest[added, member] = census, digest
        self._rows += range(row, row + count)
        return True

    def _ingest(self, member, name, image):
        at, out = len(self._rows), self._pixels[member]
        if image.bands != self._bands or image.shape != out.shape[2:]:
            got = f"bands {','.join(image.bands)} of shape {image.shape}"
            raise ShapeError(name, got=got, expected=f"bands {','.join(self._bands)} of shape {out.shape[2:]}")
        census, digest = ingest_row(image.pixels, out[at], layout=image.layout, census=self._census[at, member])
        self._digest[at, member] = digest
        empty = [band for band, finite in zip(self._bands, census[:, 0], strict=True) if finite == 0]
        if empty:
            raise FormatError(name, got=f"no finite pixel in band {', '.join(empty)}", expected="some in every band")

    def finish(self, catalog, first_row):
        """Make the block.

        Parameters
        ----------
        catalog : dict of array
            Columns of all rows that were added, good or bad.
        first_row : int
            Number of the row that the columns begin with.

        Returns
        -------
        block : PairBlock
            The good rows.
        rejects : list of Reject
            The bad ones.
        """
        count = len(self._rows)
        row = np.array(self._rows, np.int64)
        block = PairBlock(
            stamp=self._pixels[0][:count],
            ctrl=self._pixels[1][:count],
            catalog={name: values[row - first_row] for name, values in catalog.items()},
            row=row,
            digest=self._digest[:count],
            census=self._census[:count],
            bands=self._bands,
            pixel_scale=self._pixel_scale,
        )
        return block, self.rejects


def find_reference(candidates, *, label):
    """Stamp of a pair such as most of the first ones are; every other image has to have its bands and shape.

    The first twenty good pairs vote, as far as it takes; where rows are few or bad, those that there are.

    Parameters
    ----------
    candidates : iterable of tuple
        ``(row, read)`` as `BlockFiller.add` takes them.
    label : str
        What to call the input in messages.

    Returns
    -------
    image : WireImage
        As stored, of the first pair of its kind.

    Raises
    ------
    FormatError
        If none can be read; says why the first could not.
    """
    first = None
    count = 0
    kinds, votes = {}, Counter()
    for row, read in candidates:
        count += 1
        try:
            image = read("stamp")
        except Gen5Error as error:
            first = first or Reject(row, str(error))
            continue
        trial = BlockFiller(1, bands=image.bands, shape=image.shape, pixel_scale=1.0)
        trial.add(row, read)
        if trial.rejects:
            first = first or trial.rejects[0]
            continue
        kind = (image.bands, image.shape)
        kinds.setdefault(kind, image)
        votes[kind] += 1
        if votes.total() == _VOTERS or votes[kind] > _VOTERS // 2:
            break
    if votes:
        return kinds[votes.most_common(1)[0][0]]
    if first is None:
        raise FormatError(label, got="no rows", expected="at least one pair")
    raise FormatError(label, got=f"no readable pair in the first {count} rows; row {first.row}: {first.reason}")
