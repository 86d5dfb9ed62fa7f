"""From pixels as they were stored to rows of a block: native float32, counted and digested in one pass.

The pass itself is C (``ext/ingest.c``); `ingest_row` is its face, and `BlockFiller` makes a block of many.
npz archives go through it many at a time (``ext/npz.c``), without the GIL unless they are deflated.
"""

import math
from dataclasses import dataclass

import numpy as np

from gen5astro import _core
from gen5astro.errors import FormatError, Gen5Error, ShapeError
from gen5astro.io.archive import inflate
from gen5astro.io.beside import SCALE_TOLERANCE, fit_psf
from gen5astro.io.npz import member_names
from gen5astro.io.pairs import CutoutBlock, PairBlock, Reject
from gen5astro.io.plausible import impossible_values

__all__ = ["PAIR", "BlockFiller", "Reference", "find_reference", "ingest_row"]

PAIR = ("stamp", "ctrl")
"""The images of a pair."""

_VOTERS = 20
_MAX_PSF_SIDE = 513  # pixels; room for one is taken for every row of a block


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


@dataclass(frozen=True)
class Reference:
    """What the images of an input are like: every one has to have these bands and this shape.

    Parameters
    ----------
    bands : tuple of str
        Band names.
    shape : tuple of int
        ``(y, x)``.
    pixel_scale : float, optional
        Pixel scale [arcsec / pix], where images tell.
    facts : tuple of str
        Columns that the images tell, of ``ra``, ``dec`` and ``masked_fraction``.
    psf_side : int, optional
        Side of the PSF images [pix], where images have one.
    named : bool
        Whether the bands are named and not assumed.
    """

    bands: tuple[str, ...]
    shape: tuple[int, int]
    pixel_scale: float | None = None
    facts: tuple[str, ...] = ()
    psf_side: int | None = None
    named: bool = True


class BlockFiller:
    """A block while its rows are read: good ones ingested side by side, bad ones set down with their reason.

    Parameters
    ----------
    capacity : int
        Most rows that will be added.
    reference : Reference
        What every image must be like.
    pixel_scale : float
        Pixel scale of the block [arcsec / pix].
    checked : bool
        Whether an image that states another pixel scale is bad.
    members : tuple of str
        Names of the images of a row: those of a pair, or one.
    """

    def __init__(self, capacity, reference, *, pixel_scale, checked=True, members=PAIR):
        self._reference = reference
        self._pixel_scale, self._checked = float(pixel_scale), checked
        self._members = members
        bands = len(reference.bands)
        self._pixels = [np.empty((capacity, bands, *reference.shape), np.float32) for _ in members]
        self._census = np.empty((capacity, len(members), bands, 4))
        self._digest = np.empty((capacity, len(members)), np.uint64)
        self._facts = {name: np.full(capacity, np.nan) for name in reference.facts}
        side = reference.psf_side
        self._psf = None if side is None else np.full((capacity, bands, side, side), np.nan, np.float32)
        self._rows = []
        self.rejects = []

    def add(self, row, read):
        """Read and ingest the images of one row, or set it down as a reject.

        Parameters
        ----------
        row : int
            Row number in the input.
        read : callable
            Returns the `~gen5astro.io.npz.WireImage` of a member, ``"stamp"`` or ``"ctrl"``, or raises a `Gen5Error`.
        """
        at = len(self._rows)
        try:
            images = []
            for member, name in enumerate(self._members):
                images.append(read(name))
                self._ingest(member, name, images[-1])
            if self._psf is not None:
                self._psf[at] = self._psf_of(images)
        except Gen5Error as error:
            self.rejects.append(Reject(row, str(error)))
            return
        for name, values in self._facts.items():
            values[at] = images[0].facts.get(name, np.nan)
        self._rows.append(row)

    def add_archives(self, row, archives):
        """Ingest rows whose images are npz archives of planes alone, all at once; do nothing where one is not.

        Parameters
        ----------
        row : int
            Row number in the input of the first.
        archives : sequence of tuple, (2,)
            Of each of the images of a row: bytes that hold the archives one after another, and where each begins,
            int64 array, (n + 1,).

        Returns
        -------
        done : bool
            Whether the rows were added; if not, `add` says of each what is the matter.
        """
        bands = self._reference.bands
        at, count = len(self._rows), len(archives[0][1]) - 1
        added, names = slice(at, at + count), member_names(bands)
        for member, (content, offsets) in enumerate(archives):
            census, digest = np.empty((count, len(bands), 4)), np.empty(count, np.uint64)
            done = _core.ingest_archives(content, offsets, names, self._pixels[member][added], census, digest, inflate)
            if done < count or not census[:, :, 0].all():
                return False
            self._census[added, member], self._digest[added, member] = census, digest
        self._rows += range(row, row + count)
        return True

    def _ingest(self, member, name, image):
        at, out, bands = len(self._rows), self._pixels[member], self._reference.bands
        if image.bands != bands or image.shape != out.shape[2:]:
            got = f"bands {','.join(image.bands)} of shape {image.shape}"
            raise ShapeError(name, got=got, expected=f"bands {','.join(bands)} of shape {out.shape[2:]}")
        stated = image.pixel_scale if self._checked else None
        if stated is not None and not _is_close(stated, self._pixel_scale):
            expected = f"{self._pixel_scale:g}, that of the input"
            raise FormatError(name, got=f"a pixel scale of {stated:g} arcsec", expected=expected)
        census, digest = ingest_row(image.pixels, out[at], layout=image.layout, census=self._census[at, member])
        self._digest[at, member] = digest
        empty = [band for band, finite in zip(bands, census[:, 0], strict=True) if finite == 0]
        if empty:
            raise FormatError(name, got=f"no finite pixel in band {', '.join(empty)}", expected="some in every band")

    def _psf_of(self, images):
        """PSF of a row, from the first of its images that has one for every band; NaN if none has."""
        for image in images:
            if all(band in image.psf for band in self._reference.bands):
                planes = [image.psf[band] for band in self._reference.bands]
                return fit_psf(planes, self._reference.psf_side, what="PSF")
        return np.nan

    def finish(self, catalog, first_row):
        """Make the block.

        Parameters
        ----------
        catalog : dict of array
            Columns of all rows that were added, good or bad. What the images tell stands in where it has no value.
        first_row : int
            Number of the row that the columns begin with.

        Returns
        -------
        block : PairBlock or CutoutBlock
            The good rows.
        rejects : list of Reject
            The bad ones, also those whose columns hold what cannot be.
        """
        count = len(self._rows)
        row = np.array(self._rows, np.int64)
        chosen = {name: values[row - first_row] for name, values in catalog.items()}
        for name, values in self._facts.items():
            known = chosen.get(name, np.full(count, np.nan))
            # A column of text by that name is the table's own affair.
            if known.dtype.kind == "f":
                chosen[name] = np.where(np.isnan(known), values[:count], known)
        kept = self._possible(chosen, row)
        block = (PairBlock if self._members == PAIR else CutoutBlock)(
            **{name: pixels[kept] for name, pixels in zip(self._members, self._pixels, strict=True)},
            catalog={name: values[kept] for name, values in chosen.items()},
            row=row[kept],
            digest=self._digest[kept],
            census=self._census[kept],
            bands=self._reference.bands,
            pixel_scale=self._pixel_scale,
            psf=None if self._psf is None else self._psf[kept],
        )
        return block, self.rejects

    def _possible(self, catalog, row):
        """Which of the rows that were added stay: a slice where all do, so that no pixel is copied."""
        diagonal = math.hypot(*self._reference.shape) * self._pixel_scale if self._members == PAIR else None
        reasons = impossible_values(catalog, largest_theta_e_arcsec=diagonal)
        if not reasons:
            return slice(len(row))
        found = [Reject(int(row[at]), reason) for at, reason in reasons.items()]
        self.rejects = sorted([*self.rejects, *found], key=lambda each: each.row)
        return np.setdiff1d(np.arange(len(row)), list(reasons))


def find_reference(candidates, *, label, members=PAIR):
    """Find out what the images of an input are like, from most of the first ones.

    The first twenty good rows vote on bands and shape, as far as it takes; where rows are few or bad, those that there
    are. The pixel scale is what most of those state that won.

    Parameters
    ----------
    candidates : iterable of tuple
        ``(row, read)`` as `BlockFiller.add` takes them.
    label : str
        What to call the input in messages.
    members : tuple of str
        Names of the images of a row.

    Returns
    -------
    reference : Reference
        What every image must be like.

    Raises
    ------
    FormatError
        If none can be read; says why the first could not.
    """
    first = None
    count = 0
    kinds = {}
    for row, read in candidates:
        count += 1
        try:
            image = read(members[0])
            others = {name: read(name) for name in members[1:]}
            images = {members[0]: image} | others
            found = _describe(images.values())
        except Gen5Error as error:
            first = first or Reject(row, str(error))
            continue
        trial = BlockFiller(1, found, pixel_scale=found.pixel_scale or 1.0, members=members)
        trial.add(row, images.__getitem__)
        if trial.rejects:
            first = first or trial.rejects[0]
            continue
        votes = kinds.setdefault((found.bands, found.shape), [])
        votes.append(found)
        if sum(map(len, kinds.values())) == _VOTERS or len(votes) > _VOTERS // 2:
            break
    if kinds:
        return _agree(max(kinds.values(), key=len))
    what = "pair" if members == PAIR else "image"
    if first is None:
        raise FormatError(label, got="no rows", expected=f"at least one {what}")
    raise FormatError(label, got=f"no readable {what} in the first {count} rows; row {first.row}: {first.reason}")


def _describe(images):
    """What the images of one row are like."""
    image, *_ = images
    sides = [len(plane) for each in images for plane in each.psf.values()]
    if max(sides, default=0) > _MAX_PSF_SIDE:
        raise ShapeError("PSF", got=f"{max(sides)} pixels a side", expected=f"at most {_MAX_PSF_SIDE}")
    psf_side = max(sides) // 2 * 2 + 1 if sides else None
    return Reference(image.bands, image.shape, image.pixel_scale, tuple(image.facts), psf_side, image.named)


def _is_close(scale, other):
    return abs(scale / other - 1) <= SCALE_TOLERANCE


def _agree(votes):
    """What images of one kind have between them."""
    scales = [vote.pixel_scale for vote in votes if vote.pixel_scale is not None]
    sides = [vote.psf_side for vote in votes if vote.psf_side is not None]
    return Reference(
        votes[0].bands,
        votes[0].shape,
        max(scales, key=lambda scale: sum(_is_close(scale, other) for other in scales)) if scales else None,
        tuple(dict.fromkeys(name for vote in votes for name in vote.facts)),
        max(sides, default=None),
        all(vote.named for vote in votes),
    )
