"""What sources of rows share: pairs or cutouts, from Parquet, from files that a table names, or from HDF5."""

import numpy as np

from gen5astro.errors import FormatError
from gen5astro.io.catalog import DEFAULT_PIXEL_SCALE, IMAGE_COLUMNS, WANTED, WANTED_OF_CUTOUTS, resolve_columns
from gen5astro.io.ingest import PAIR, BlockFiller, find_reference
from gen5astro.io.notes import bands_note, column_notes, scale_note
from gen5astro.io.pairs import block_refs
from gen5astro.io.plausible import check_pixel_scale, wrap_ra

__all__ = ["REFERENCE_ROWS", "CutoutRows", "RowSource"]

REFERENCE_ROWS = 1000
"""How many rows are tried for the first good one before an input is given up."""

#: Columns that tell the measurement table of an audit from other tables.
_MEASURED = {"stamp_digest", "ctrl_core_flux", "core_excess"}


class RowSource:
    """Rows of images, of which the first good ones say what all have to be like.

    A kind of source sets ``label`` and ``n_rows``, calls `settle` when it is made, and has four methods:
    ``_fill(filler, ref)`` adds the rows of a block to a `BlockFiller` and returns their catalog; ``_position(name)``
    reads the column ra or dec of all rows; ``_ids(rows)`` reads the pair_id of some, '' where there is none;
    ``_places(rows)`` says in columns where in the input they are.

    Attributes
    ----------
    members : tuple of str
        Names of the images of a row: ``("stamp", "ctrl")``, or ``("image",)``.
    wanted : tuple of str
        Columns whose absence is said.
    """

    members = PAIR
    wanted = WANTED

    def find_columns(self, names, columns, required):
        """Find the canonical columns among the names of a table.

        Parameters
        ----------
        names : iterable of str
            Columns of the table.
        columns : dict of str to str, optional
            Canonical name to column, where the names do not tell.
        required : iterable of str
            Canonical names of the columns of images.

        Returns
        -------
        mapping : dict of str to str
            Canonical name to column.

        Raises
        ------
        FormatError
            If pairs are asked for and the table has single images, or it is the measurement table of an audit.
        ColumnError
            If a column is missing.
        """
        names, required = list(names), list(required)
        found = resolve_columns(names, columns)
        singles = {"image_npz", "image_path", "image_array"} & set(found)
        if self.members == PAIR and singles and not set(required) & set(found):
            raise FormatError(
                self.label,
                got=f"images of single galaxies ({found[singles.pop()]})",
                expected=f"pairs: {' and '.join(required)}",
                remedy=f"make pairs of them: gen5astro inject {self.label} --out pairs.parquet",
            )
        if not set(required) <= set(found) and set(names) >= _MEASURED:
            raise FormatError(
                self.label,
                got="the measurement table of an audit, which has no images",
                expected=f"a table with {' and '.join(required)}",
                remedy="name the pairs that were audited (only audit-injection takes their measurements again)",
            )
        return resolve_columns(names, columns, required=required)

    def settle(self, candidates, *, pixel_scale=None):
        """Take bands, shape and pixel scale from the first good rows.

        Parameters
        ----------
        candidates : iterable of tuple
            ``(row, read)`` as `BlockFiller.add` takes them.
        pixel_scale : float, optional
            Pixel scale that the user or the file as a whole states [arcsec / pix]; what images state is then not asked.

        Raises
        ------
        FormatError
            If none of the rows can be read, or the pixel scale is none of a camera.
        """
        self.reference = find_reference(candidates, label=self.label, members=self.members)
        self.bands, self.shape = self.reference.bands, self.reference.shape
        self._checked = pixel_scale is None
        self._stated = self.reference.pixel_scale if pixel_scale is None else pixel_scale
        self.pixel_scale = float(DEFAULT_PIXEL_SCALE if self._stated is None else self._stated)
        check_pixel_scale(self.label, self.pixel_scale, self.shape)

    @property
    def assumes_scale(self):
        """Whether neither the user nor the input states the pixel scale: bool."""
        return self._stated is None

    def describe(self, mapping, used, names, carried):
        """Say how columns were understood, and what was assumed.

        Parameters
        ----------
        mapping : dict of str to str
            Canonical name to column.
        used : iterable of str
            Canonical names of the columns of images that are read.
        names : iterable of str
            Every column.
        carried : container of str
            Columns that can ride along.

        Returns
        -------
        notes : tuple of str
            A few lines.
        """
        shown = {name: column for name, column in mapping.items() if name not in IMAGE_COLUMNS or name in used}
        others = [name for name in names if name not in shown.values()]
        notes = column_notes(
            shown,
            wanted=[name for name in self.wanted if name not in self.reference.facts],
            extra=[name for name in others if name in carried],
            ignored=[name for name in others if name not in carried],
        )
        told = [name for name in self.reference.facts if name not in mapping]
        notes += (f"Taken from the images: {', '.join(told)}",) if told else ()
        notes += () if self.reference.named else bands_note(self.bands)
        return notes + (scale_note(self.pixel_scale) if self.assumes_scale else ())

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
        block : PairBlock or CutoutBlock
            The good rows.
        rejects : list of Reject
            The bad ones.
        """
        options = {"pixel_scale": self.pixel_scale, "checked": self._checked, "members": self.members}
        filler = BlockFiller(ref.stop - ref.start, self.reference, **options)
        return filler.finish(self._fill(filler, ref), ref.start)

    def positions(self):
        """Read where on the sky all rows are, good or bad.

        Returns
        -------
        ra, dec : float64 array, (n,)
            Positions [deg]; NaN where unknown.
        """
        return wrap_ra(self._position("ra")), self._position("dec")

    def identify(self, rows):
        """Say what tells rows beside their number.

        Parameters
        ----------
        rows : int array, (n,)
            Row numbers in the input.

        Returns
        -------
        columns : dict of array, (n,)
            ``pair_id``; and ``file`` and ``row_in_file`` where the input is many files, or the paths of images in files
            of their own.
        """
        rows = np.asarray(rows, np.int64)
        ids = self._ids(rows)
        return {"pair_id": np.where(ids == "", rows.astype(str), ids), **self._places(rows)}


class CutoutRows:
    """What makes a source of pairs one of single galaxies."""

    members = ("image",)
    wanted = WANTED_OF_CUTOUTS
