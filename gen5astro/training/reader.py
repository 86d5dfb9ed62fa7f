"""The pixels of a batch, straight from the cube: normalized by the stored statistics, in a view, turned."""

import copy
from dataclasses import replace

import numpy as np

from gen5astro.errors import ConfigError, FormatError, ShapeError
from gen5astro.io.pixels import StoredPixels
from gen5astro.kernels.gather import gather, not_finite
from gen5astro.kernels.normalize import normalize
from gen5astro.training.observing import exposure_noise

__all__ = ["PairReader"]


class PairReader:
    """Reads images of a cube as a network sees them: normalized by the stored statistics, in a view.

    Parameters
    ----------
    cube : Cube
        The open cube.
    view : View
        What an input shows.
    extras : ExtraNegatives, optional
        Images beyond the cube.

    Attributes
    ----------
    channels : int
        Planes of an input.
    shape : tuple of int
        Pixels of an input, ``(y, x)``.
    stored : tuple of list of array, (m, band, y, x)
        The ctrls, and the stamps, in as many files as they lie in, as they are stored.
    statistics : tuple of float64 array, (n, band, 2)
        Location and scale of each ctrl, and of each stamp.
    step : float32 array, (n, band), or None
        Steps of int16 pixels.

    Raises
    ------
    ConfigError
        If the view is ``residual`` and the cube's scales are not the sky's sigma, or there are extra images in another
        view than ``single``.
    """

    def __init__(self, cube, view, extras=None):
        if extras is not None and view.name != "single":
            raise ConfigError(
                "train.extra_negatives",
                got=f"images without a ctrl in view {view.name!r}",
                expected="view 'single'",
                remedy="leave them out, or train with --set view=single",
            )
        self.view, self.extras = view, extras
        self.spec, self.pixel_scale = cube.normalizer_spec, cube.pixel_scale
        self.channels, self.size = view.channels(cube.bands), len(cube)
        self.stored, self.shape = (_maps(cube.ctrl), _maps(cube.stamp)), cube.shape
        self.step = cube.step
        self.statistics = (cube.normalizer_statistics["ctrl"], cube.normalizer_statistics["stamp"])
        self._ends = np.cumsum([len(images) for images in self.stored[0]])
        if view.name == "residual":
            _require_sky(self.spec, cube)
            self._noise = cube.row

    def resident(self):
        """Return a reader of the same images, all of them in memory.

        Returns
        -------
        reader : PairReader
            That never looks at the disk again.
        """
        reader = copy.copy(self)
        reader.stored = tuple([np.array(images) for images in each] for each in self.stored)
        return reader

    def read_plan(self, plan, *, out=None):
        """Read the inputs of a planned batch.

        Parameters
        ----------
        plan : BatchPlan
            What it shows.
        out : float32 array, (n, channels, y, x), optional
            Where to put them.

        Returns
        -------
        inputs : float32 array, (n, channels, y, x)
            As of `read`.
        """
        return self.read(plan.row, plan.label, plan.element, extra=plan.extra, noise=plan.noise, out=out)

    def read(self, row, label, element=None, *, extra=None, noise=None, out=None):
        """Read, normalize and turn the inputs of a batch.

        Parameters
        ----------
        row : int64 array, (n,)
            Rows of the cube.
        label : int64 array, (n,)
            1 for the stamp (first), 0 for the ctrl (first).
        element : int64 array, (n,), optional
            Element of the dihedral group that each is turned by, as `gather` takes it.
        extra : int64 array, (n,), optional
            Number of the extra image to read instead; -1 for an image of the cube.
        noise : int64 array, (n,), optional
            Seeds, from 0, of the noise that the view ``residual`` adds, from `noise_seeds`; images of one seed get the
            same. Default: the number of each pair's row in the input, so that a pair scores the same on every run.
            Other views have no use for it.
        out : float32 array, (n, channels, y, x), optional
            Where to put the inputs, C-contiguous; what is in it is overwritten. Default: memory of their own.

        Returns
        -------
        inputs : float32 array, (n, channels, y, x)
            Normalized; without unit.

        Raises
        ------
        FormatError
            If an image holds a pixel that is not finite.
        ShapeError
            If `out` is no such array.
        """
        element = np.zeros(len(row), np.int64) if element is None else element
        inputs = self._room(len(row), out)
        if self.view.name == "residual":
            self._residuals(row, label, element, noise, out=inputs)
        else:
            self._images(row, label, element, extra, out=inputs)
        bad = not_finite(inputs)
        if bad.size:
            got = f"a pixel that is not finite in row {row[bad[0]]} of the cube ({bad.size} such images in one batch)"
            raise FormatError("training images", got=got, remedy="build it with --set build.nonfinite=reject")
        return inputs

    def _room(self, n, out):
        """Where the inputs go; what is no such array is refused, as numpy would fill a copy of it."""
        shape = (n, self.channels, *self.shape)
        if out is None:
            return np.empty(shape, np.float32)
        if out.shape != shape or out.dtype != np.float32 or not out.flags.carray:
            raise ShapeError("out", got=f"{out.dtype} {out.shape}", expected=f"a C-contiguous float32 {shape}")
        return out

    def _images(self, row, label, element, extra, *, out):
        """Show the images themselves, one or more side by side."""
        n_images = self.view.images
        images = out.reshape(len(row) * n_images, self.channels // n_images, *self.shape)
        inside = np.ones(len(row), bool) if extra is None else extra < 0
        if not inside.all():
            place = np.flatnonzero(~inside)
            self.extras.read(extra[place], element[place], out=images, place=place)
        for at in range(n_images):
            for member in (0, 1):
                chosen = np.flatnonzero(inside & ((label if at == 0 else 1 - label) == member))
                into = {"element": element[chosen], "out": images, "place": chosen * n_images + at}
                self._gather(member, row[chosen], statistics=self.statistics[member], spec=self.spec, **into)

    def _residuals(self, row, label, element, noise, *, out):
        """Show each image less its ctrl, in units of the ctrl's scale and under the noise of two exposures."""
        ctrl = np.empty_like(out)
        # Both by the statistics of the ctrl: the location cancels, and what is equal cancels to the last bit.
        alike = {"statistics": self.statistics[0], "spec": replace(self.spec, stretch="none", clip=None)}
        for member in (0, 1):
            chosen = np.flatnonzero(label == member)
            self._gather(member, row[chosen], element=element[chosen], out=out, place=chosen, **alike)
        self._gather(0, row, element=element, out=ctrl, place=np.arange(len(row)), **alike)
        out -= ctrl
        seeds = self._noise[row] if noise is None else noise
        out += np.float32(self.view.scatter) * exposure_noise(seeds, out.shape[1:])
        normalize(out, np.broadcast_to([0.0, 1.0], (*out.shape[:2], 2)), self.spec, out=out)

    def _gather(self, member, row, *, statistics, spec, element, out, place):
        """Gather rows from each of the files that hold them."""
        piece = np.minimum(np.searchsorted(self._ends, row, side="right"), len(self._ends) - 1)
        for number in np.unique(piece):
            chosen, images = np.flatnonzero(piece == number), self.stored[member][number]
            first = self._ends[number] - len(images)
            own = statistics[first : first + len(images)]
            step = None if self.step is None else self.step[first : first + len(images)]
            turned = {"element": element[chosen], "out": out, "place": place[chosen]}
            gather(images, own, row[chosen] - first, spec, step=step, **turned)


def _require_sky(spec, cube):
    if spec.kind != "sky":
        raise ConfigError(
            "view 'residual'",
            got=f"cube {cube.path} normalized by kind {spec.kind!r}",
            expected="kind 'sky', whose scale is the sky's sigma: the noise is made by it",
            remedy="train with --set view=single, or build the cube with kind sky",
        )


def _maps(images):
    """Arrays that hold the images of a cube one after another as they are stored, without reading them."""
    return images.maps if isinstance(images, StoredPixels) else (np.asarray(images),)
