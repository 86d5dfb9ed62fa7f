"""Pairs in the form in which a cube stores their pixels, with the error that it makes.

Whatever follows (statistics, fingerprints, digests) is of the pixels that a reader of the cube will get.
"""

from dataclasses import replace

import numpy as np

from gen5astro.io.forms import CORE_RADIUS_ARCSEC
from gen5astro.io.hdf5_schema import datasets_of
from gen5astro.io.ingest import PAIR, ingest_row
from gen5astro.io.pairs import ChangedPairs, Reject
from gen5astro.kernels.aperture import aperture_weights, geometric_center
from gen5astro.kernels.normalize import annulus_pixels
from gen5astro.kernels.quantize import lattice_step, rounding_error, sky_scatter, to_lattice

__all__ = ["InForm"]


class InForm(ChangedPairs):
    """A source whose pixels are in a form of 16 bits; pairs with a pixel that it cannot hold are rejects.

    Parameters
    ----------
    source : PairSource
        The pairs.
    form : {'float16', 'int16'}
        The form.
    annulus_fraction : tuple of float
        The annulus of the ctrl that states the sky noise, as fractions of half the image's shorter side.
    """

    def __init__(self, source, form, annulus_fraction):
        super().__init__(source)
        self.form, self._annulus_fraction = form, annulus_fraction

    def read(self, ref):
        """Read a block; thread-safe where the source is.

        Parameters
        ----------
        ref : BlockRef
            Which rows.

        Returns
        -------
        block : PairBlock
            The good rows, their pixels as they will be decoded, with `quantization`, new digests and a new census.
        rejects : list of Reject
            The others, in the order of the rows.
        """
        block, rejects = self._source.read(ref)
        if not len(block):
            return block, rejects
        before = {"stamp": block.stamp, "ctrl": block.ctrl}
        sigma = sky_scatter(block.ctrl, annulus_pixels(block.ctrl.shape, self._annulus_fraction))
        after, columns = self._convert(block, before, sigma)
        columns |= self._errors(block, before, after, sigma)
        kept = np.ones(len(block), bool)
        for at in np.flatnonzero(_is_lost(before, after, self.form)):
            reason = f"{self.form} cannot hold a pixel of {_largest(before, at):g} nmgy"
            rejects, kept[at] = [*rejects, Reject(int(block.row[at]), reason)], False
        block = _with_pixels(
            block, after, {each.name: columns[each.name] for each in datasets_of(self.form, only=True)}
        )
        return (block if kept.all() else block.choose(kept)), sorted(rejects, key=lambda each: each.row)

    def _convert(self, block, before, sigma):
        if self.form == "float16":
            return {name: _as_half(images) for name, images in before.items()}, {}
        # Pixels that come from codes are on that lattice already, and stay.
        step = (block.quantization or {}).get("step")
        step = lattice_step(block.stamp, block.ctrl, sigma) if step is None else step
        return {name: to_lattice(images, step, block.digest[:, 1]) for name, images in before.items()}, {"step": step}

    def _errors(self, block, before, after, sigma):
        """What the change of form did, on top of what an earlier one did."""
        shape = block.ctrl.shape
        weights = aperture_weights(shape, geometric_center(shape), CORE_RADIUS_ARCSEC / block.pixel_scale)
        errors = {f"quantization/{name}": rounding_error(before[name], after[name], weights) for name in PAIR}
        errors["quantization/noise"] = np.stack([sigma, sigma * np.sqrt(np.sum(weights**2))], axis=-1)
        if block.quantization is not None:
            for name in PAIR:
                now, earlier = errors[f"quantization/{name}"], block.quantization[f"quantization/{name}"]
                now[..., 0] = np.hypot(now[..., 0], earlier[..., 0])
                now[..., 1] += earlier[..., 1]
            errors["quantization/noise"] = block.quantization["quantization/noise"]
        return {name: values.astype(np.float32) for name, values in errors.items()}


def _as_half(images):
    with np.errstate(over="ignore"):
        halved = images.astype(np.float16).astype(np.float32)
    # One NaN for all: which of them a cast keeps is the processor's affair.
    halved[np.isnan(halved)] = np.nan
    return halved


def _is_lost(before, after, form):
    """Whether a pair has a pixel that became infinite, or one that was so and that no code stands for."""
    lost = np.zeros(len(before["ctrl"]), bool)
    for name in PAIR:
        infinite = np.isinf(after[name])
        if infinite.any():
            infinite &= (form == "int16") | np.isfinite(before[name])
            lost |= infinite.any(axis=(1, 2, 3))
    return lost


def _largest(before, at):
    return max(float(np.nanmax(np.abs(before[name][at]))) for name in PAIR)


def _with_pixels(block, images, columns):
    """The block with other pixels, counted and digested again."""
    copies = {name: np.empty_like(images[name]) for name in PAIR}
    digest, census = np.empty_like(block.digest), np.empty_like(block.census)
    for member, name in enumerate(PAIR):
        for at in range(len(block)):
            _, digest[at, member] = ingest_row(images[name][at], copies[name][at], census=census[at, member])
    return replace(block, digest=digest, census=census, quantization=columns, **copies)
