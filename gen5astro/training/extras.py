"""Negatives beyond the cube: spirals, rings, mergers and whatever else a finder takes for a lens.

Ctrls are the galaxies that arcs were painted on. What looks like a lens and is none is not among them, and a network
that never saw such contaminants is fooled by them: how well one does depends on the training's non-lenses first of all
(HOLISMOKES XI: Cañameras et al. 2024, 2306.03136).
"""

from collections import Counter

import numpy as np
from scipy.spatial import cKDTree

from gen5astro.allot import widen_guard
from gen5astro.engine import map_blocks
from gen5astro.errors import ColumnError, ConfigError, RejectedError
from gen5astro.io import open_cutouts
from gen5astro.io.pairs import Reject
from gen5astro.kernels.gather import gather, not_finite
from gen5astro.kernels.normalize import normalizer_statistics
from gen5astro.known_lenses import lens_names, nearest_lens
from gen5astro.sky import nearest_object, unit_vectors
from gen5astro.training.cutouts import check_cutouts, fit_cutouts
from gen5astro.training.score import sky_inputs

__all__ = ["MOST_BYTES", "ExtraNegatives"]

#: Size of the extra images, as they are kept in memory, above which they are refused [byte].
MOST_BYTES = 4 * 2**30

_BLOCK = 128


def _opened(path):
    """Open the images; what names their columns elsewhere is no option here."""
    try:
        return open_cutouts(path)
    except ColumnError as error:
        what, remedy = f"train.extra_negatives {path}, {error.what}", "call the images' column image_npz or image_path"
        raise ColumnError(what, got=error.got, expected="images of galaxies without arcs", remedy=remedy) from error


class ExtraNegatives:
    """Cutouts of single galaxies that are no lenses, as a network for one cube sees them.

    They are read once, in the cube's bands, cut to its shape, and kept in memory [nanomaggy]. A row is left out, and
    counted, if it

    - ``damaged``: cannot be read or is not whole, as `gen5astro predict` leaves it out;
    - ``known_lens``: lies within the cube's ``audit.known_lens_radius_arcsec`` of a known lens;
    - ``held_out``: lies within the cube's ``build.guard_arcsec``, or an image's diagonal, of a pair of another split
      than train: what judges the network must not have taught it.

    Parameters
    ----------
    path : path-like
        As `gen5astro.io.open_cutouts` takes it.
    cube : Cube
        What the network is trained on.
    threads : int, optional
        Blocks read at once; does not change the result.

    Attributes
    ----------
    images : float32 array, (n, band, y, x)
        Fluxes [nanomaggy].
    statistics : float64 array, (n, band, 2)
        Location and scale of each, from itself alone [nanomaggy].
    row : int64 array, (n,)
        Row of each in the input.
    rejects : list of Reject
        Rows that are left out, in order.
    notes : list of str
        What the user should know of how they were read.

    Raises
    ------
    MissingFileError
        If there is nothing at `path`.
    SchemaError
        If the images lack a band, are smaller than the cube's or have another pixel scale.
    ConfigError
        If they do not fit into `MOST_BYTES`.
    RejectedError
        If none is left.
    """

    def __init__(self, path, cube, *, threads=None):
        source = _opened(path)
        self.label = source.label
        self.notes = [*source.notes, *check_cutouts(cube, source)]
        self.spec, self.n_rows, self.rejects = cube.normalizer_spec, source.n_rows, []
        self._counts, self._unlocated = Counter(), 0
        shape = (len(cube.bands), *cube.shape)
        _refuse_too_many(source.n_rows, 4 * int(np.prod(shape)))
        images, n = np.empty((source.n_rows, *shape), np.float32), 0
        statistics, row = np.empty((source.n_rows, shape[0], 2)), np.empty(source.n_rows, np.int64)
        work = _Work(source, cube)
        for *kept, rejects, unlocated in map_blocks(work, source.blocks(_BLOCK), threads=threads):
            here = slice(n, n + len(kept[-1]))
            images[here], statistics[here], row[here] = kept
            n, self._unlocated = here.stop, self._unlocated + unlocated
            self._counts.update(kind for kind, _ in rejects)
            self.rejects += [reject for _, reject in rejects]
        self.images, self.statistics, self.row = images[:n], statistics[:n], row[:n]
        self._say(n)

    def __len__(self):
        return len(self.row)

    def _say(self, n):
        """Refuse that none is left, and note what is left out."""
        label, rows = f"extra negatives {self.label}", f"{len(self.rejects):,} of {self.n_rows:,} rows left out"
        counts = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in sorted(self._counts.items()))
        if self.rejects:
            rows += f" ({counts}); the first, row {self.rejects[0].row}: {self.rejects[0].reason}"
        if not n:
            raise RejectedError(label, got=rows, expected="one image that can be shown", remedy="give other images")
        if self.rejects:
            self.notes.append(f"{label}: {rows}")
        if self._unlocated:
            what = "whether known lenses or galaxies of other splits are among them is unknown"
            images = "image has" if self._unlocated == 1 else "images have"
            self.notes.append(f"{label}: {self._unlocated:,} {images} no position; {what}")

    def record(self):
        """Say what was read.

        Returns
        -------
        record : dict
            Plain types: the input, rows read, images kept, rows left out by kind, images without a position.
        """
        counts = {kind: self._counts[kind] for kind in ("damaged", "known_lens", "held_out")}
        return {
            "input": self.label,
            "read": self.n_rows,
            "kept": len(self),
            "left_out": counts,
            "unlocated": self._unlocated,
        }

    def read(self, number, element=None, *, out=None, place=None):
        """Normalize and turn some of the images.

        Parameters
        ----------
        number : int64 array, (n,)
            Which.
        element : int64 array, (n,), optional
            Element of the dihedral group that each is turned by, as `gather` takes it.
        out : float32 array, (k, band, y, x), optional
            Where to put them.
        place : int64 array, (n,), optional
            Where in `out` each goes.

        Returns
        -------
        inputs : float32 array, (k, band, y, x)
            Without unit; as `gen5astro.training.score.sky_inputs` makes them, turned.
        """
        return gather(self.images, self.statistics, number, self.spec, element=element, out=out, place=place)


def _refuse_too_many(n_rows, image_bytes):
    if n_rows * image_bytes > MOST_BYTES:
        raise ConfigError(
            "train.extra_negatives",
            got=f"{n_rows:,} images, {n_rows * image_bytes / 2**30:.3g} GiB in memory",
            expected=f"{MOST_BYTES / 2**30:.3g} GiB at most",
            remedy=f"give {MOST_BYTES // image_bytes:,} rows or fewer",
        )


class _Work:
    """What is done to a block of cutouts."""

    def __init__(self, source, cube):
        self._source, self._taker = source, cube
        self._spec, self._radius_arcsec = cube.normalizer_spec, cube.config.audit.known_lens_radius_arcsec
        ra, dec = cube.catalog["ra"], cube.catalog["dec"]
        held_out = np.flatnonzero((cube.split != "train") & np.isfinite(ra) & np.isfinite(dec))
        self._held_out, self._split = (ra[held_out], dec[held_out]), cube.split[held_out]
        self._tree = cKDTree(unit_vectors(*self._held_out)) if len(held_out) else None
        self._guard_arcsec = widen_guard(cube.config.build, cube.shape, cube.pixel_scale).guard_arcsec

    def __call__(self, ref):
        block, rejects = self._source.read(ref)
        images, reasons = fit_cutouts(self._taker, block)
        for at in not_finite(sky_inputs(images, self._spec, block.pixel_scale)).tolist():
            reasons.setdefault(at, "image: got pixels of which the normalizer makes no finite number")
        found = {at: ("damaged", reason) for at, reason in reasons.items()}
        located = np.flatnonzero(np.isfinite(block.catalog["ra"]) & np.isfinite(block.catalog["dec"]))
        if len(located):
            ra, dec = block.catalog["ra"][located], block.catalog["dec"][located]
            for at, *what in (*self._known(ra, dec), *self._near_held_out(ra, dec)):
                found.setdefault(int(located[at]), what)
        left_out = [("damaged", each) for each in rejects]
        left_out += [(kind, Reject(int(block.row[at]), reason)) for at, (kind, reason) in found.items()]
        left_out.sort(key=lambda each: each[1].row)
        whole = np.setdiff1d(np.arange(len(block)), list(found)).astype(np.int64)
        images = images[whole]
        statistics = normalizer_statistics(images, self._spec, block.pixel_scale)
        return images, statistics, block.row[whole], left_out, np.setdiff1d(whole, located).size

    def _known(self, ra, dec):
        number, separation = nearest_lens(ra, dec)
        met = np.flatnonzero(separation <= self._radius_arcsec)
        for at, name in zip(met.tolist(), lens_names(number[met]), strict=True):
            yield at, "known_lens", f"it is the known lens {name}, {separation[at]:.1f} arcsec away"

    def _near_held_out(self, ra, dec):
        if self._tree is None:
            return
        nearest, separation = nearest_object(ra, dec, *self._held_out, tree=self._tree)
        for at in np.flatnonzero(separation <= self._guard_arcsec).tolist():
            split = self._split[nearest[at]]
            yield at, "held_out", f"it is {separation[at]:.1f} arcsec from a pair of the split {split}"
