"""Hosts and draws made into blocks of pairs."""

import json

import numpy as np

from gen5astro.config import as_dict
from gen5astro.engine import map_blocks
from gen5astro.errors import ConfigError
from gen5astro.inject.draw import draw_injections, item_generator
from gen5astro.inject.faults import apply_fault, parse_fault
from gen5astro.inject.render import render_arcs
from gen5astro.io.ingest import ingest_row
from gen5astro.io.pairs import PairBlock

__all__ = ["COLUMN_NOTES", "describe_injection", "inject_blocks", "write_pairs"]

_ARC_NOISE, _FAULT_NOISE = 1, 2
_WRITE_BLOCK = 128

COLUMN_NOTES = {
    "pair_id": "host, seed and number of the injection",
    "host_id": "the galaxy; all pairs of one host belong to one group",
    "ra": "deg, ICRS; of the sample's hosts SYNTHETIC: the position of another real galaxy, not where the host is",
    "dec": "deg, ICRS; SYNTHETIC as ra",
    "brickname": "Legacy Surveys brick of ra, dec",
    "theta_e_arcsec": "Einstein radius [arcsec]",
    "arc_snr": "sqrt of the sum over bands and pixels of (arc / sky sigma)^2, before any planted fault",
    "velocity_dispersion_kms": "of the lens [km / s]: the host's times the drawn boost",
    "z_lens": "drawn redshift of the lens, not the host's",
    "z_source": "drawn redshift of the source",
    "magnification": "lensed flux in the image over the source's flux",
    "source_x": "source minus lens [arcsec], along x",
    "source_y": "source minus lens [arcsec], along y",
    "source_radius_arcsec": "half-light radius of the Sersic source [arcsec]",
    "source_index": "Sersic index",
    "lens_e1": "ellipticity of the lens, from the host's light",
    "lens_e2": "ellipticity of the lens, from the host's light",
    "gamma1": "external shear",
    "gamma2": "external shear",
    "center_x": "the lens, at the host's centroid [pix]",
    "center_y": "the lens, at the host's centroid [pix]",
}
"""Meaning of the catalog columns; ``psfsize_<band>`` and ``source_mag_<band>`` beside them."""


def inject_blocks(hosts, n, *, seed, config, fault=None, block=256, threads=None):
    """Inject arcs into hosts, block by block.

    Parameters
    ----------
    hosts : gen5astro.sample.hosts.Hosts
        The galaxies; used in turn.
    n : int
        Number of pairs.
    seed : int
        Seed; a pair depends on it and on its own number only, not on `n`, `block` or `threads`.
    config : gen5astro.config.InjectConfig
        Ranges and rendering.
    fault : str, optional
        ``NAME`` or ``NAME:STRENGTH`` of a fault to plant in every stamp.
    block : int
        Pairs a block.
    threads : int, optional
        Default: the processors that this process may use.

    Returns
    -------
    blocks : iterator of gen5astro.io.pairs.PairBlock
        In order; ``stamp - ctrl`` is the arc to float32 rounding where no fault is planted.

    Raises
    ------
    ConfigError
        If `n`, `block`, the fault or a range cannot be used.
    """
    if n < 1 or block < 1 or len(hosts) < 1:
        raise ConfigError("inject", got=f"n={n}, block={block}, {len(hosts)} hosts", expected="at least 1 of each")
    planted = None if fault is None else parse_fault(fault)
    draw_injections(hosts, 0, 1, seed=seed, config=config)
    spans = ((start, min(start + block, n)) for start in range(0, n, block))
    return map_blocks(lambda span: _block(hosts, *span, seed, config, planted), spans, threads=threads)


def describe_injection(hosts, *, seed, config, fault=None):
    """Describe an injection as a record to keep with its output.

    Parameters
    ----------
    hosts : gen5astro.sample.hosts.Hosts
        The galaxies.
    seed : int
        Seed.
    config : gen5astro.config.InjectConfig
        Ranges and rendering.
    fault : str, optional
        The planted fault.

    Returns
    -------
    record : dict
        Plain types: ``hosts, seed, config, fault`` (None or its name and strength).
    """
    planted = None if fault is None else dict(zip(("name", "strength"), parse_fault(fault), strict=True))
    return {"hosts": hosts.label, "seed": seed, "config": as_dict(config), "fault": planted}


def write_pairs(hosts, n, path, *, seed, config, fault=None, threads=None, force=False, advance=None):
    """Inject arcs into hosts and write the pairs to a Parquet file.

    What was asked for (`describe_injection`) is kept as JSON in the description of the column ``pair_id``: a column of
    its own would tell a classifier what it must not know.

    Parameters
    ----------
    hosts : gen5astro.sample.hosts.Hosts
        The galaxies.
    n : int
        Number of pairs.
    path : path-like
        File to write; it appears under its name once it is whole.
    seed : int
        Seed.
    config : gen5astro.config.InjectConfig
        Ranges and rendering.
    fault : str, optional
        ``NAME`` or ``NAME:STRENGTH`` of a fault to plant in every stamp.
    threads : int, optional
        Default: the processors that this process may use.
    force : bool
        Whether a file that is there may be replaced.
    advance : callable, optional
        Called with the number of pairs written since the last call.
    """
    from gen5astro.io.parquet import PairWriter

    blocks = inject_blocks(hosts, n, seed=seed, config=config, fault=fault, block=_WRITE_BLOCK, threads=threads)
    record = describe_injection(hosts, seed=seed, config=config, fault=fault)
    notes = COLUMN_NOTES | {"pair_id": f"{COLUMN_NOTES['pair_id']}; gen5astro.injection = {json.dumps(record)}"}
    with PairWriter(path, hosts.bands, hosts.pixel_scale, column_notes=notes, force=force) as writer:
        for block in blocks:
            writer.write(block)
            if advance is not None:
                advance(len(block))


def _block(hosts, start, stop, seed, config, planted):
    draws = draw_injections(hosts, start, stop, seed=seed, config=config)
    rows = draws["host"]
    cutouts = [hosts.cutout(row, config.size) for row in rows]
    ctrl = np.stack([cutout for cutout, _ in cutouts])
    draws["center_x"], draws["center_y"] = np.array([center for _, center in cutouts]).T
    arcs, draws["magnification"] = render_arcs(
        draws,
        (config.size, config.size),
        hosts.pixel_scale,
        hosts.psf,
        bands=hosts.bands,
        supersampling=config.supersampling,
    )
    if config.poisson:
        for at, index in enumerate(range(start, stop)):
            _add_photon_noise(arcs[at], config.gain_electrons_per_nmgy, item_generator(seed, index, purpose=_ARC_NOISE))
    sigma = hosts.sky_sigma[rows]
    stamp = ctrl + arcs.astype(np.float32)
    if planted is not None:
        stamp = np.concatenate(
            [_plant(stamp, ctrl, sigma, at, seed, start + at, planted) for at in range(stop - start)]
        )
    draws["arc_snr"] = np.sqrt(((arcs / sigma[:, :, None, None]) ** 2).sum((1, 2, 3)))
    return _pair_block(hosts, stamp, ctrl, _catalog(hosts, draws, start, seed), start)


def _add_photon_noise(arc, electrons, rng):
    expected = np.maximum(arc, 0) * electrons
    arc += (rng.poisson(expected) - expected) / electrons


def _plant(stamp, ctrl, sigma, at, seed, index, planted):
    one = slice(at, at + 1)
    rng = item_generator(seed, index, purpose=_FAULT_NOISE)
    name, strength = planted
    return apply_fault(stamp[one], ctrl[one], name=name, strength=strength, sky_sigma=sigma[one], rng=rng)


def _catalog(hosts, draws, start, seed):
    rows = draws["host"]
    host_id = hosts.catalog["host_id"][rows]
    catalog = {
        "pair_id": np.array([f"{host}-s{seed}-{start + at:06d}" for at, host in enumerate(host_id)]),
        "host_id": host_id,
        "ra": hosts.catalog["ra"][rows],
        "dec": hosts.catalog["dec"][rows],
    }
    if "brickname" in hosts.catalog:
        catalog["brickname"] = hosts.catalog["brickname"][rows]
    for band, fwhm in zip(hosts.bands, hosts.psf_fwhm_arcsec, strict=True):
        catalog[f"psfsize_{band}"] = np.full(len(rows), fwhm)
    shown = [name for name in COLUMN_NOTES if name in draws] + [f"source_mag_{band}" for band in hosts.bands]
    return catalog | {name: draws[name] for name in shown}


def _pair_block(hosts, stamp, ctrl, catalog, start):
    pixels = np.empty((2, *stamp.shape), dtype=np.float32)
    count, bands = stamp.shape[:2]
    digest = np.empty((count, 2), dtype=np.uint64)
    census = np.empty((count, 2, bands, 4))
    for side, images in enumerate((stamp, ctrl)):
        for row in range(count):
            census[row, side], digest[row, side] = ingest_row(images[row], pixels[side, row])
    return PairBlock(
        stamp=pixels[0],
        ctrl=pixels[1],
        catalog=catalog,
        row=np.arange(start, start + count, dtype=np.int64),
        digest=digest,
        census=census,
        bands=hosts.bands,
        pixel_scale=hosts.pixel_scale,
    )
