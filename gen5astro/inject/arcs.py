"""From parameters and ctrls to pairs: what every way of injecting shares."""

from dataclasses import dataclass

import numpy as np

from gen5astro.config import InjectConfig
from gen5astro.errors import ConfigError
from gen5astro.inject.draw import item_generator
from gen5astro.inject.faults import apply_fault
from gen5astro.inject.render import render_arcs
from gen5astro.io.ingest import ingest_row
from gen5astro.io.pairs import PairBlock

__all__ = ["NATIVE_COLUMNS", "Arcs", "adapt_draws", "check_engine", "cut_hosts", "needed_columns", "pair_block"]

_ARC_NOISE, _FAULT_NOISE = 1, 2

NATIVE_COLUMNS = (
    *("theta_e_arcsec", "lens_e1", "lens_e2", "gamma1", "gamma2"),
    *("source_x", "source_y", "source_radius_arcsec", "source_index", "source_e1", "source_e2"),
)
"""Columns that our own lens and source are rendered from, beside the lens's place and the source's magnitudes."""


def check_engine(config):
    """Refuse an engine that cannot do what is asked for, before any work.

    Parameters
    ----------
    config : gen5astro.config.InjectConfig
        Key ``engine`` and the models.

    Raises
    ------
    ConfigError
        If models are given to an engine that has none, or lenstronomy cannot use them.
    """
    needed_columns(config)
    default = InjectConfig()
    for name in ("lens_model", "source_model", "lens_kwargs", "source_kwargs"):
        if config.engine == "native" and getattr(config, name) != getattr(default, name):
            value, expected = getattr(config, name), f"nothing with engine {config.engine}"
            raise ConfigError(f"inject.{name}", got=value, expected=expected, remedy="pass --engine lenstronomy")


def needed_columns(config):
    """List the columns that the engine renders from.

    Parameters
    ----------
    config : gen5astro.config.InjectConfig
        Key ``engine`` and the models.

    Returns
    -------
    columns : tuple of str
        Without ``center_x``, ``center_y`` and the magnitudes.
    """
    if config.engine == "native":
        return NATIVE_COLUMNS
    from gen5astro.inject import engine_lenstronomy

    return engine_lenstronomy.needed_columns(config)


def adapt_draws(draws, config):
    """Make columns say what the engine renders.

    Parameters
    ----------
    draws : dict of array, (n,)
        As drawn, or as a table has them.
    config : gen5astro.config.InjectConfig
        Key ``engine`` and the models.

    Returns
    -------
    draws : dict of array, (n,)
        The same for the native engine; see `gen5astro.inject.engine_lenstronomy.adapt_draws`.
    """
    if config.engine == "native":
        return draws
    from gen5astro.inject import engine_lenstronomy

    return engine_lenstronomy.adapt_draws(draws, config)


def cut_hosts(hosts, rows, size):
    """Cut the ctrls out of some hosts.

    Parameters
    ----------
    hosts : gen5astro.sample.hosts.Hosts
        The galaxies.
    rows : int array, (n,)
        Which of them.
    size : int
        Side of the ctrls [pix].

    Returns
    -------
    ctrl : float32 array, (n, band, size, size)
        Fluxes [nanomaggy], untouched.
    center_x, center_y : float64 array, (n,)
        The galaxy in the ctrl [pix].
    """
    cutouts = [hosts.cutout(row, size) for row in rows]
    return np.stack([image for image, _ in cutouts]), *np.array([center for _, center in cutouts]).T


@dataclass(frozen=True)
class Arcs:
    """How arcs are added to ctrls.

    Parameters
    ----------
    seed : int
        Seed of photon noise and faults.
    config : gen5astro.config.InjectConfig
        Engine, its models, and rendering.
    planted : tuple of (str, float), optional
        Fault and strength.
    bands : tuple of str
        Band names.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    """

    seed: int
    config: InjectConfig
    planted: tuple | None
    bands: tuple[str, ...]
    pixel_scale: float

    def add(self, ctrl, parameters, numbers, *, psf, sky_sigma):
        """Add an arc to each ctrl.

        Parameters
        ----------
        ctrl : float32 array, (n, band, y, x)
            Fluxes [nanomaggy].
        parameters : dict of array, (n,)
            The columns of `needed_columns`, ``center_x``, ``center_y`` and ``source_mag_<band>``.
        numbers : int array, (n,)
            Numbers of the injections, of which each has noise of its own.
        psf : float64 array, (band, k, k) or (n, band, k, k)
            PSF of each band, of all ctrls or of each.
        sky_sigma : float64 array, (n, band)
            Noise of the sky a pixel [nanomaggy].

        Returns
        -------
        stamp : float32 array, (n, band, y, x)
            With the planted fault, if any.
        measured : dict of array, (n,)
            ``magnification`` and ``arc_snr``, of the arc without the fault.
        """
        arcs, magnification = self._render_each(parameters, ctrl.shape[2:], psf)
        if self.config.poisson:
            for arc, number in zip(arcs, numbers, strict=True):
                _add_photon_noise(arc, self.config.gain_electrons_per_nmgy, self._generator(number, _ARC_NOISE))
        stamp = ctrl + arcs.astype(np.float32)
        if self.planted is not None:
            for at, number in enumerate(numbers):
                self._plant(stamp[at : at + 1], ctrl[at : at + 1], sky_sigma[at : at + 1], number)
        arc_snr = np.sqrt(((arcs / sky_sigma[:, :, None, None]) ** 2).sum((1, 2, 3)))
        return stamp, {"magnification": magnification, "arc_snr": arc_snr}

    def _render_each(self, parameters, shape, psf):
        if psf.ndim == 3:
            return self._render(parameters, shape, psf)
        rows = [{name: values[at : at + 1] for name, values in parameters.items()} for at in range(len(psf))]
        rendered = [self._render(row, shape, own) for row, own in zip(rows, psf, strict=True)]
        return tuple(np.concatenate(each) for each in zip(*rendered, strict=True))

    def _render(self, parameters, shape, psf):
        if self.config.engine == "native":
            options = {"bands": self.bands, "supersampling": self.config.supersampling}
            return render_arcs(parameters, shape, self.pixel_scale, psf, **options)
        from gen5astro.inject import engine_lenstronomy

        options = {"bands": self.bands, "config": self.config}
        return engine_lenstronomy.render_arcs(parameters, shape, self.pixel_scale, psf, **options)

    def _plant(self, stamp, ctrl, sky_sigma, number):
        name, strength = self.planted
        rng = self._generator(number, _FAULT_NOISE)
        stamp[:] = apply_fault(stamp, ctrl, name=name, strength=strength, sky_sigma=sky_sigma, rng=rng)

    def _generator(self, number, purpose):
        return item_generator(self.seed, int(number), purpose=purpose)


def _add_photon_noise(arc, electrons, rng):
    expected = np.maximum(arc, 0) * electrons
    arc += (rng.poisson(expected) - expected) / electrons


def pair_block(stamp, ctrl, catalog, numbers, *, bands, pixel_scale, psf=None):
    """Make a block of pairs, counted and digested as if they had been read.

    Parameters
    ----------
    stamp, ctrl : float32 array, (n, band, y, x)
        Fluxes [nanomaggy].
    catalog : dict of array, (n,)
        The catalog.
    numbers : int64 array, (n,)
        Row numbers.
    bands : tuple of str
        Band names.
    pixel_scale : float
        Pixel scale [arcsec / pix].
    psf : float array, (n, band, k, k), optional
        PSF of each pair, where each has its own.

    Returns
    -------
    block : PairBlock
        The pairs.
    """
    pixels = np.empty((2, *stamp.shape), dtype=np.float32)
    count, planes = stamp.shape[:2]
    digest = np.empty((count, 2), dtype=np.uint64)
    census = np.empty((count, 2, planes, 4))
    for side, images in enumerate((stamp, ctrl)):
        for row in range(count):
            census[row, side], digest[row, side] = ingest_row(images[row], pixels[side, row])
    return PairBlock(
        stamp=pixels[0],
        ctrl=pixels[1],
        catalog=catalog,
        row=numbers,
        digest=digest,
        census=census,
        bands=bands,
        pixel_scale=pixel_scale,
        psf=None if psf is None else psf.astype(np.float32),
    )
