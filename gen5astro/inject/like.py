"""Pairs made again: the same arcs, from the rows of a table, rendered cleanly into the same ctrls.

What a failed set should have been, row for row, to be audited beside it.
"""

import dataclasses
import json
from dataclasses import dataclass, field

import numpy as np

from gen5astro.config import InjectConfig, as_dict
from gen5astro.engine import map_blocks
from gen5astro.errors import ColumnError, ConfigError, SchemaError, closest
from gen5astro.inject.arcs import NATIVE_COLUMNS, Arcs, adapt_draws, check_engine, cut_hosts, needed_columns, pair_block
from gen5astro.inject.blocks import RECORD_KEY, describe_injection, pair_writer
from gen5astro.inject.faults import parse_fault
from gen5astro.io import open_pairs
from gen5astro.io.pairs import BlockRef, PairSource, Reject
from gen5astro.io.rejects import check_rejects
from gen5astro.kernels.psf import profile_psf
from gen5astro.sample.hosts import Hosts, measure_sky_sigma
from gen5astro.settings import from_dict

__all__ = ["Likeness", "Outcome", "inject_like", "open_like", "write_like"]

_WRITE_BLOCK = 128
_MODELS = ("engine", "lens_model", "source_model", "lens_kwargs", "source_kwargs")
_RENDERED = (*_MODELS, "supersampling", "poisson", "gain_electrons_per_nmgy", "moffat_beta")


@dataclass(frozen=True)
class Likeness:
    """Pairs to make again.

    Parameters
    ----------
    source : PairSource
        Where they are.
    renamed : dict of str to str
        Columns of ours that stand under another name.
    recorded : dict or None
        The record that `gen5astro inject` left in the file.
    """

    source: PairSource
    renamed: dict[str, str] = field(default_factory=dict)
    recorded: dict | None = None

    def choose(self, config, *, seed=None, keep=()):
        """Choose settings and seed: what the user changed, else what the pairs were made with.

        Parameters
        ----------
        config : gen5astro.config.InjectConfig
            The user's settings.
        seed : int, optional
            The user's seed.
        keep : iterable of str
            Keys of `config` that hold even where they are the default.

        Returns
        -------
        config : gen5astro.config.InjectConfig
            Keys that say what is drawn are the user's: nothing is drawn.
        seed : int
            By default that of the record, or 0.
        """
        recorded = self.recorded or {}
        default, keep = InjectConfig(), set(keep)
        keep |= {name for name in _RENDERED if getattr(config, name) != getattr(default, name)}
        if "engine" in keep:
            keep |= set(_MODELS)
        settings = recorded.get("config", {})
        taken = {name: settings[name] for name in _RENDERED if name in settings and name not in keep}
        return from_dict(as_dict(config) | taken, InjectConfig), recorded.get("seed", 0) if seed is None else seed

    def read(self, ref):
        """Read a block with our column names.

        Parameters
        ----------
        ref : BlockRef
            Which rows.

        Returns
        -------
        block : PairBlock
            The good rows.
        rejects : list of Reject
            The bad ones.
        """
        block, rejects = self.source.read(ref)
        theirs = {column: ours for ours, column in self.renamed.items()}
        for column in theirs:
            if column not in block.catalog:
                raise ColumnError(f"column {column!r}", got="no such column", remedy=closest(column, block.catalog))
        return dataclasses.replace(block, catalog={theirs.get(k, k): v for k, v in block.catalog.items()}), rejects


@dataclass
class Outcome:
    """What became of the rows.

    Parameters
    ----------
    pairs : int
        Pairs made.
    rejects : list of Reject
        Rows that could not be read.
    other_ctrls : int
        Pairs whose ctrl is not, bit for bit, the ctrl of the table.
    """

    pairs: int = 0
    rejects: list[Reject] = field(default_factory=list)
    other_ctrls: int = 0


def open_like(path, *, columns=None, **reading):
    """Open pairs to make again.

    Parameters
    ----------
    path : path-like
        Pairs of any kind that `gen5astro.io.open_pairs` opens.
    columns : dict of str to str, optional
        Our name to theirs, of any column that arcs are rendered from.
    **reading
        Other options of `gen5astro.io.open_pairs`.

    Returns
    -------
    likeness : Likeness
        The pairs, and the record that `gen5astro inject` left with them.
    """
    ours = {*NATIVE_COLUMNS, "center_x", "center_y"} - {"theta_e_arcsec"}
    given = columns or {}
    renamed = {name: column for name, column in given.items() if name in ours or name.startswith("source_mag_")}
    source = open_pairs(
        path, columns={name: column for name, column in given.items() if name not in renamed}, **reading
    )
    return Likeness(source, renamed, _read_record(source))


def _read_record(source):
    from gen5astro.io.parquet import ParquetPairs
    from gen5astro.io.parquet_files import describe_file, list_parquet

    if not isinstance(source, ParquetPairs):
        return None
    schema = describe_file(list_parquet(source.label)[0]).schema
    notes = [(each.metadata or {}).get(b"description", b"").decode() for each in schema if each.name == "pair_id"]
    _, found, text = "".join(notes).partition(RECORD_KEY)
    return json.loads(text) if found else None


def inject_like(likeness, hosts, *, seed, config, fault=None, block=256, threads=None):
    """Make pairs again, block by block.

    Parameters
    ----------
    likeness : Likeness
        The pairs.
    hosts : gen5astro.sample.hosts.Hosts, optional
        The galaxies, found by host_id; without them the ctrls of the pairs are the hosts, the PSF is a Moffat profile
        of FWHM ``psfsize_<band>``, and the lens is in the middle where the table has no ``center_x``, ``center_y``.
    seed : int
        Seed of photon noise and fault.
    config : gen5astro.config.InjectConfig
        Engine and rendering.
    fault : str, optional
        ``NAME`` or ``NAME:STRENGTH`` of a fault to plant in every stamp.
    block : int
        Pairs a block.
    threads : int, optional
        Default: the processors that this process may use.

    Returns
    -------
    blocks : iterator of tuple
        Each ``(PairBlock, list of Reject, int)``: the pairs, in the table's order and with its columns; the rows that
        could not be read; and how many ctrls differ from the table's.

    Raises
    ------
    ColumnError
        If a column is missing or holds no number, or a host is not there.
    SchemaError
        If hosts and pairs differ in bands or pixel scale.
    ConfigError
        If engine or fault cannot be used.
    """
    if block < 1:
        raise ConfigError("inject", got=f"block={block}", expected="at least 1")
    check_engine(config)
    source = likeness.source
    planted = None if fault is None else parse_fault(fault)
    if hosts is not None and (hosts.bands, hosts.pixel_scale) != (source.bands, source.pixel_scale):
        got, expected = (f"{','.join(each.bands)} at {each.pixel_scale} arcsec / pix" for each in (hosts, source))
        raise SchemaError(f"hosts {hosts.label}", got=got, expected=f"{expected}, as {source.label}")
    arcs = Arcs(seed=seed, config=config, planted=planted, bands=source.bands, pixel_scale=source.pixel_scale)
    again = _Again(likeness, hosts, arcs)
    again.check(likeness.read(BlockRef(0, 1))[0])
    return map_blocks(again, source.blocks(block), threads=threads, spread=True)


@dataclass(frozen=True)
class _Again:
    """Makes a block again."""

    likeness: Likeness
    hosts: Hosts | None
    arcs: Arcs

    def __call__(self, ref):
        block, rejects = self.likeness.read(ref)
        if not len(block):
            return block, rejects, 0
        self.check(block)
        ctrl, catalog, psfs, sky_sigma = self._of_ctrls(block) if self.hosts is None else self._of_hosts(block)
        catalog = adapt_draws(catalog, self.arcs.config)
        self._check_numbers(catalog)
        parts = []
        for at, psf in zip(range(len(block)), psfs, strict=False):
            one = slice(at, at + 1)
            rows = {name: values[one] for name, values in catalog.items()}
            parts.append(self.arcs.add(ctrl[one], rows, block.row[one], psf=psf, sky_sigma=sky_sigma[one]))
        stamp = np.concatenate([each for each, _ in parts])
        catalog |= {name: np.concatenate([each[name] for _, each in parts]) for name in parts[0][1]}
        own = block.psf if self.hosts is None or self.hosts.psf_index is None else np.stack(psfs)
        options = {"bands": block.bands, "pixel_scale": block.pixel_scale, "psf": own}
        made = pair_block(stamp, ctrl, catalog, block.row, **options)
        return made, rejects, int(np.sum(made.digest[:, 1] != block.digest[:, 1]))

    def check(self, block):
        """Refuse a table that lacks a column, naming all that it lacks."""
        missing = [name for name in self._needed(own_psf=block.psf is not None) if name not in block.catalog]
        if missing:
            raise ColumnError(
                f"columns of {self.likeness.source.label}",
                got=f"no {', '.join(missing)}",
                expected="what the arcs are rendered from",
                remedy="name yours with --column NAME=COLUMN",
            )

    def _needed(self, *, own_psf):
        from_ctrls = () if own_psf else _psf_columns(self.arcs.bands)
        from_hosts = from_ctrls if self.hosts is None else ("host_id",)
        return (*_all_columns(self.arcs.config, self.arcs.bands), *from_hosts)

    def _check_numbers(self, catalog):
        for name in (*_all_columns(self.arcs.config, self.arcs.bands), "center_x", "center_y"):
            values = catalog[name]
            bad = np.flatnonzero(~np.isfinite(values)) if values.dtype.kind == "f" else [0]
            if len(bad):
                what = f"column {name!r} of pair {catalog['pair_id'][bad[0]]} of {self.likeness.source.label}"
                raise ColumnError(what, got=values[bad[0]], expected="a finite number")

    def _of_hosts(self, block):
        height, width = block.stamp.shape[2:]
        place = {name: row for row, name in enumerate(self.hosts.catalog["host_id"])}
        for name in block.catalog["host_id"]:
            if name not in place:
                what, expected = f"host_id of {self.likeness.source.label}", f"a host of {self.hosts.label}"
                remedy = "give the hosts of these pairs, or the word ctrl: their ctrls are then the hosts"
                raise ColumnError(what, got=repr(str(name)), expected=expected, remedy=remedy)
        rows = np.array([place[name] for name in block.catalog["host_id"]])
        if height != width:
            raise SchemaError(self.likeness.source.label, got=f"{height} x {width} pix", expected="square images")
        ctrl, center_x, center_y = cut_hosts(self.hosts, rows, width)
        sizes = zip(_psf_columns(self.hosts.bands), self.hosts.fwhm_of(rows).T, strict=True)
        catalog = block.catalog | dict(sizes)
        catalog |= {"center_x": center_x, "center_y": center_y}
        psfs = [self.hosts.psf_of(row) for row in rows]
        return ctrl, catalog, psfs, self.hosts.sky_sigma[rows]

    def _of_ctrls(self, block):
        middle = {
            name: np.full(len(block), (side - 1) / 2)
            for name, side in zip(("center_y", "center_x"), block.ctrl.shape[2:], strict=True)
        }
        psfs = (self._psf_of(block, at) for at in range(len(block)))
        return block.ctrl, middle | block.catalog, psfs, measure_sky_sigma(block.ctrl)

    def _psf_of(self, block, at):
        """PSF of a pair: its own, or profiles of the widths that the table states."""
        if block.psf is not None and np.isfinite(block.psf[at]).all():
            return block.psf[at].astype(np.float64)
        unknown = np.full(len(block), np.nan)
        sizes = [block.catalog.get(name, unknown)[at] / block.pixel_scale for name in _psf_columns(block.bands)]
        return np.stack([_moffat_psf(size, self.arcs.config.moffat_beta) for size in sizes])


def _all_columns(config, bands):
    return (*needed_columns(config), *(f"source_mag_{band}" for band in bands))


def _psf_columns(bands):
    return tuple(f"psfsize_{band}" for band in bands)


def _moffat_psf(fwhm_px, beta):
    if not fwhm_px > 0:
        raise ColumnError("column psfsize", got=fwhm_px, expected="a positive FWHM [arcsec]")
    return profile_psf(fwhm_px, profile="moffat", beta=beta)


def write_like(likeness, hosts, path, *, seed, config, max_reject_fraction, fault=None, threads=None, **options):
    """Make pairs again and write them to a Parquet file.

    Parameters
    ----------
    likeness : Likeness
        The pairs.
    hosts : gen5astro.sample.hosts.Hosts, optional
        The galaxies; without them the ctrls of the pairs.
    path : path-like
        File to write; it appears under its name once it is whole.
    seed : int
        Seed of photon noise and fault.
    config : gen5astro.config.InjectConfig
        Engine and rendering.
    max_reject_fraction : float
        Share of rows that may be left out because they cannot be read.
    fault : str, optional
        ``NAME`` or ``NAME:STRENGTH`` of a fault to plant in every stamp.
    threads : int, optional
        Default: the processors that this process may use.
    **options
        ``force``, whether a file that is there may be replaced; ``advance``, called with the number of rows done;
        ``on_rejects``, called with the list of rejects, also where they are too many.

    Returns
    -------
    outcome : Outcome
        How many pairs there are, and which rows were left out.

    Raises
    ------
    RejectedError
        If more rows cannot be read than are allowed; nothing is written then.
    """
    force, advance = options.get("force", False), options.get("advance")
    source, outcome = likeness.source, Outcome()
    blocks = inject_like(likeness, hosts, seed=seed, config=config, fault=fault, block=_WRITE_BLOCK, threads=threads)
    label = "ctrl" if hosts is None else hosts.label
    record = describe_injection(label, seed=seed, config=config, fault=fault) | {"like": source.label}
    with pair_writer(path, source, record, force=force) as writer:
        for made, rejects, other_ctrls in blocks:
            if len(made):
                writer.write(made)
            outcome.pairs += len(made)
            outcome.rejects += rejects
            outcome.other_ctrls += other_ctrls
            if advance is not None:
                advance(len(made) + len(rejects))
        if options.get("on_rejects") is not None:
            options["on_rejects"](outcome.rejects)
        counts = {"n_in": source.n_rows, "n_ok": outcome.pairs}
        check_rejects(source.label, outcome.rejects, **counts, allowed=max_reject_fraction)
    return outcome
