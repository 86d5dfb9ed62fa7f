"""Hosts and draws made into blocks of pairs."""

import json

import numpy as np

from gen5astro.config import as_dict
from gen5astro.engine import map_blocks
from gen5astro.errors import ConfigError
from gen5astro.inject.arcs import Arcs, adapt_draws, check_engine, cut_hosts, pair_block
from gen5astro.inject.draw import draw_injections
from gen5astro.inject.faults import parse_fault

__all__ = ["COLUMN_NOTES", "RECORD_KEY", "describe_injection", "inject_blocks", "pair_writer", "write_pairs"]

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
    "source_e1": "ellipticity of the source",
    "source_e2": "ellipticity of the source",
    "lens_e1": "ellipticity of the lens, from the host's light",
    "lens_e2": "ellipticity of the lens, from the host's light",
    "gamma1": "external shear",
    "gamma2": "external shear",
    "center_x": "the lens, at the host's centroid [pix]",
    "center_y": "the lens, at the host's centroid [pix]",
}
"""Meaning of the catalog columns; ``psfsize_<band>`` and ``source_mag_<band>`` beside them."""

RECORD_KEY = "gen5astro.injection = "
"""What stands before the record in the description of the column ``pair_id``."""


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
    check_engine(config)
    draw_injections(hosts, 0, 1, seed=seed, config=config)
    spans = ((start, min(start + block, n)) for start in range(0, n, block))
    return map_blocks(lambda span: _block(hosts, *span, seed, config, planted), spans, threads=threads, spread=True)


def describe_injection(label, *, seed, config, fault=None):
    """Describe an injection as a record to keep with its output.

    Parameters
    ----------
    label : str
        What the hosts are called.
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
    return {"hosts": label, "seed": seed, "config": as_dict(config), "fault": planted}


def pair_writer(path, pairs, record, *, force=False):
    """Open a file of pairs that keeps, with the meaning of its columns, the record of its injection.

    Parameters
    ----------
    path : path-like
        File to write.
    pairs : object
        What has the ``bands`` and the ``pixel_scale`` of the pairs: hosts, or a source of pairs.
    record : dict
        From `describe_injection`.
    force : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    writer : gen5astro.io.parquet.PairWriter
        A context manager.
    """
    from gen5astro.io.parquet import PairWriter

    notes = COLUMN_NOTES | {"pair_id": f"{COLUMN_NOTES['pair_id']}; {RECORD_KEY}{json.dumps(record)}"}
    return PairWriter(path, pairs.bands, pairs.pixel_scale, column_notes=notes, force=force)


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
    blocks = inject_blocks(hosts, n, seed=seed, config=config, fault=fault, block=_WRITE_BLOCK, threads=threads)
    record = describe_injection(hosts.label, seed=seed, config=config, fault=fault)
    with pair_writer(path, hosts, record, force=force) as writer:
        for block in blocks:
            writer.write(block)
            if advance is not None:
                advance(len(block))


def _block(hosts, start, stop, seed, config, planted):
    numbers = np.arange(start, stop, dtype=np.int64)
    draws = adapt_draws(draw_injections(hosts, start, stop, seed=seed, config=config), config)
    rows = draws["host"]
    ctrl, draws["center_x"], draws["center_y"] = cut_hosts(hosts, rows, config.size)
    arcs = Arcs(seed=seed, config=config, planted=planted, bands=hosts.bands, pixel_scale=hosts.pixel_scale)
    psf = hosts.psf_of(rows)
    stamp, measured = arcs.add(ctrl, draws, numbers, psf=psf, sky_sigma=hosts.sky_sigma[rows])
    catalog = _catalog(hosts, draws | measured, start, seed)
    told = {"bands": hosts.bands, "pixel_scale": hosts.pixel_scale, "psf": psf if psf.ndim == 4 else None}
    return pair_block(stamp, ctrl, catalog, numbers, **told)


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
    catalog |= {f"psfsize_{band}": fwhm for band, fwhm in zip(hosts.bands, hosts.fwhm_of(rows).T, strict=True)}
    shown = [name for name in COLUMN_NOTES if name in draws] + [f"source_mag_{band}" for band in hosts.bands]
    return catalog | {name: draws[name] for name in shown}
