"""Build the cube: read every pair once, keep physical flux, take the normalizer's statistics, split, seal.

Blocks are read and measured on threads and written in order, so the cube does not depend on their number.
"""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from gen5astro import __version__
from gen5astro.allot import allot_pairs, describe_allotment, widen_guard
from gen5astro.appending import check_appending, known_splits, torn_pairs
from gen5astro.carried_audit import check_audited, check_form, read_audit, read_digest, read_measure
from gen5astro.config import as_dict
from gen5astro.engine import DoneBefore, map_blocks
from gen5astro.errors import ConfigError, ExistsError, RejectedError
from gen5astro.holes import WithoutHoles
from gen5astro.io.appended import AppendedPairs
from gen5astro.io.hdf5 import Cube, CubeWriter
from gen5astro.io.rejects import check_rejects, keep_rejects, refuse_early, rejects_path
from gen5astro.io.resuming import part_path, size_of
from gen5astro.kernels.fingerprint import fingerprint
from gen5astro.kernels.normalize import normalizer_statistics
from gen5astro.known_lenses import WithoutKnownLenses
from gen5astro.leakage import strata
from gen5astro.measure import with_psf_sizes
from gen5astro.quantization import InForm
from gen5astro.shards import plan_shards
from gen5astro.sky import effective_number
from gen5astro.split_repair import Move, write_moves
from gen5astro.splits import SPLITS, split_digest
from gen5astro.table import MeasureTable
from gen5astro.twins import count_copies

__all__ = ["build_cube", "moves_path", "summarize_cube"]

ZERO_POINT = 22.5


def build_cube(source, out, *, config, audit=None, threads=None, force=False, resume=False, advance=None):
    """Build a cube of a source's pairs.

    Rows that cannot be used, and by default those whose ctrl is a known lens, are written beside the cube
    (`gen5astro.io.rejects.rejects_path`) and counted in it. Hosts that a repair of a given split moved are written
    there as well (`moves_path`). More pairs than ``build.shard_pairs`` are put into several files in a folder beside
    the cube, neighbors on the sky together.

    Parameters
    ----------
    source : PairSource
        The pairs. Of `gen5astro.io.appended.AppendedPairs`, those of the cube keep the split that they have; new ones
        follow the hosts, the guard band and the cells of those, and one that would be between two splits is a reject.
    out : path-like
        The cube to write; it appears only when it is whole.
    config : Config
        Sections ``build`` (split), ``normalize`` and ``audit`` (``max_reject_fraction``, ``known_lens_radius_arcsec``).
    audit : path-like, optional
        ``audit.json`` of the same pairs, to embed.
    threads : int, optional
        Blocks read at once; does not change the result.
    force : bool
        Whether `out`, and what an interrupted build of it left, may be overwritten.
    resume : bool
        Whether to go on with what an interrupted build left; one that has come to its end is left as it is.
    advance : callable, optional
        Called with the number of rows done.

    Returns
    -------
    summary : dict
        What is in the cube, from `summarize_cube`.

    Raises
    ------
    ExistsError
        If `out`, or what an interrupted build left, is there, and neither `force` nor `resume` is given.
    RejectedError
        If too many rows, or all, cannot be used.
    SchemaError
        If the audit is of other pairs or of pixels in another form, the build to resume is another one, or the pairs
        to append are of another kind.
    ConfigError
        If the pairs cannot be split as asked, or not as the cube to append to was, or the normalizer needs a ctrl.
    """
    out = Path(out)
    if config.normalize.kind == "pair":
        raise ConfigError(
            "normalize.kind", got="'pair'", expected="sky, standard or core", remedy="no ctrl exists at inference"
        )
    old = source.old.cube if isinstance(source, AppendedPairs) else None
    if old is not None:
        check_appending(old, out, config, audit)
    if resume and not force and out.exists() and not _is_begun_anew(out):
        return _finished(out, source, config)
    record = None if audit is None else read_audit(audit)
    check_form(record, audit, source, config.build.pixels)
    if config.build.pixels != "float32":
        source = _in_form(source, config.build.pixels, config.normalize.annulus_fraction)
    if config.build.nonfinite == "reject":
        source = WithoutHoles(source)
    if config.build.known_lenses == "reject":
        source = WithoutKnownLenses(source, config.audit.known_lens_radius_arcsec)
    most = config.build.shard_pairs
    options = {
        "bands": source.bands,
        "shape": source.shape,
        "pixel_scale": source.pixel_scale,
        "pixels": config.build.pixels,
        # A cube of one file need not know where its pairs are before it reads them.
        "shards": plan_shards(*source.positions(), most) if source.n_rows > most else None,
        "plan": {"input": source.label, "input files": _sizes(source, old), "config": _planned(config)},
    }
    with CubeWriter(out, source.n_rows, **options, force=force, resume=resume) as writer:
        _stream(source, writer, config, threads, advance)
        _check_counts(source, writer, config.audit.max_reject_fraction)
        content = writer.columns("row", "digest", "fingerprint")
        fingerprints = content.pop("fingerprint")
        check_audited(record, audit, read_digest(**content, rejects=writer.rejects))
        split, group = _allot(writer, fingerprints, source, old, config, **content)
        del fingerprints
        torn = torn_pairs(split, **content)
        if torn:
            keep_rejects(sorted([*writer.rejects, *torn], key=lambda each: each.row), rejects_path(out), source=source)
        attributes = {
            "zero_point": ZERO_POINT,
            "survey": getattr(source, "survey", ""),
            "input": source.label,
            "normalizer": _json(as_dict(config.normalize)),
            "config": _json(as_dict(config)),
            "audit": "" if record is None else _json(record),
            "split_digest": _digest_of_split(split, **content),
            "code_version": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        measure = None if audit is None else read_measure(audit, content["row"], set(writer.column_names))
        writer.finish(split=split, group=group, attributes=attributes, measure=measure)
    return _told(out, config)


def _allot(writer, fingerprints, source, old, config, *, row, digest):
    """Split and group of each pair that was read; what they are told from is many columns, and is let go of."""
    catalog = writer.columns("ra", "dec", "host_id", "region_split", "brickname", group="catalog")
    guarded = widen_guard(config.build, source.shape, source.pixel_scale)
    known = None if old is None else known_splits(old, row)
    return allot_pairs(catalog | {"row": row}, digest, fingerprints, guarded, known=known)[:2]


def _digest_of_split(split, row, digest):
    at = np.argsort(row)
    at = at[split[at] != ""]
    return split_digest(split[at], digest[at])


def _planned(config):
    """Settings that the pairs of a build depend on; how many may be bad is not one of them."""
    record = as_dict(config)
    del record["audit"]["max_reject_fraction"]
    return record


def _told(out, config):
    """Say what is in the cube, and write down what a repair moved."""
    with Cube(out) as cube:
        summary = summarize_cube(cube, config.audit)
    if summary["moved"]:
        write_moves([Move(**each) for each in summary["moved"]], moves_path(out))
    else:
        moves_path(out).unlink(missing_ok=True)
    return summary


def _is_begun_anew(out):
    """Whether a build was begun in the place of a cube that was there: what it left is younger than that."""
    plan = part_path(out) / "plan.json"
    return plan.exists() and plan.stat().st_mtime_ns > out.stat().st_mtime_ns


def _finished(out, source, config):
    """What the build to resume has made already; what it left, if it was killed in its last moment, is removed."""
    with Cube(out) as cube:
        asked = {"input": source.label, "n_in": source.n_rows}
        same = all(cube.attributes[name] == value for name, value in asked.items())
        if not same or _planned(cube.config) != _planned(config):
            got = "a cube of other pairs or with other settings"
            raise ExistsError(f"cube {out}", got=got, remedy="choose another place or pass --force")
    shutil.rmtree(part_path(out), ignore_errors=True)
    return _told(out, config)


def _in_form(source, *options):
    """The source with pixels as they will be stored; those of a cube that is appended to are so already."""
    if isinstance(source, AppendedPairs):
        return AppendedPairs(source.old.cube, InForm(source.new, *options))
    return InForm(source, *options)


def _sizes(source, old):
    """What the files of the input, and of the cube to append to, are now."""
    new = source if old is None else source.new
    sizes = size_of(new.label, getattr(new, "named_files", ()))
    return sizes if old is None else [sizes, size_of(old.path)]


def _stream(source, writer, config, threads, advance):
    """Read, measure and write every block that is not yet done, in order."""

    def work(ref):
        block, rejected = source.read(ref)
        block = with_psf_sizes(block)
        statistics = [
            normalizer_statistics(images, config.normalize, block.pixel_scale) if len(block) else None
            for images in (block.stamp, block.ctrl)
        ]
        return block, statistics, fingerprint(block.ctrl), rejected, ref.stop

    if advance is not None:
        advance(DoneBefore(writer.done))
    refs = (ref for ref in source.blocks(config.build.block) if ref.start >= writer.done)
    n_bad, most = len(_unusable(writer.rejects)), config.audit.max_reject_fraction * source.n_rows
    for block, statistics, marks, rejected, stop in map_blocks(work, refs, threads=threads, spread=True):
        if advance is not None:
            advance(stop - writer.done)
        writer.append(stop, block, statistics, marks, rejected)
        n_bad += len(_unusable(rejected))
        if n_bad > most:
            limit = {"n_in": source.n_rows, "allowed": config.audit.max_reject_fraction}
            told = {"place": rejects_path(writer.path), "resumable": writer.is_worth_keeping, "source": source}
            refuse_early(f"pairs {source.label}", _unusable(writer.rejects), **limit, **told)


def _check_counts(source, writer, max_fraction):
    """Make sure that no row vanished, write down those that were rejected, and refuse too many."""
    n_ok, rejects = len(writer), writer.rejects
    label, place = f"pairs {source.label}", rejects_path(writer.path)
    keep_rejects(rejects, place, source=source)
    bad = _unusable(rejects)
    n_left_out = len(rejects) - len(bad)
    limit = {"n_in": source.n_rows - n_left_out, "allowed": max_fraction, "place": place}
    check_rejects(label, bad, n_ok=n_ok, resumable=writer.is_worth_keeping, **limit)
    if n_ok == 0:
        first = f", all left out (row {rejects[0].row}: {rejects[0].reason})" if rejects else ""
        raise RejectedError(label, got=f"{source.n_rows:,} rows{first}", expected="one good pair")


def _unusable(rejects):
    """Rejects without those that are as good as any and left out on purpose, which have digests: known lenses."""
    return [each for each in rejects if each.digest is None]


def moves_path(out):
    """Return where the hosts that a repair moved are written.

    Parameters
    ----------
    out : path-like
        The cube.

    Returns
    -------
    path : Path
        ``cube.moved.parquet`` for ``cube.h5``.
    """
    return Path(out).with_suffix(".moved.parquet")


def _json(record):
    return json.dumps(record, sort_keys=True, allow_nan=False)


def summarize_cube(cube, config):
    """Say what is in a cube, in plain types.

    Parameters
    ----------
    cube : Cube
        The cube.
    config : AuditConfig
        Edges of the strata.

    Returns
    -------
    summary : dict
        Counts, layout, splits and strata with their groups, leaks, copies, normalizer, audit and digests.
    """
    attributes, catalog, split, group = cube.attributes, cube.catalog, cube.split, cube.group
    columns = {name: catalog[name] for name in ("theta_e_arcsec", "arc_snr") if name in catalog}
    table = MeasureTable(columns | {"row": cube.row}, cube.bands, cube.shape, cube.pixel_scale)
    audited = cube.audit
    return {
        "schema": attributes["schema"],
        "path": str(cube.path),
        "bytes": sum(each.stat().st_size for each in cube.files),
        "shards": len(cube.files) - 1,
        "input": attributes["input"],
        "survey": attributes["survey"],
        "bands": list(cube.bands),
        "image_shape": list(cube.shape),
        "pixel_scale": cube.pixel_scale,
        "zero_point": attributes["zero_point"],
        "pixels": cube.form,
        "pixel_error": cube.pixel_error,
        "counts": {name: attributes[name] for name in ("n_in", "n_ok", "n_rejected")},
        "splits": {name: _count(split == name, group) for name in SPLITS},
        **describe_allotment(cube),
        "copies": count_copies(cube.digest),
        "strata": {name: _count(mask, group) for name, mask in strata(table, config).items()},
        "columns": list(catalog),
        "normalizer": json.loads(attributes["normalizer"]),
        "audit": None if audited is None else _audit_in_short(audited),
        "digests": {name: attributes[f"{name}_digest"] for name in ("input", "split", "cube")},
        "code_version": attributes["code_version"],
        "created": attributes["created"],
    }


def _count(chosen, group):
    """Count the pairs chosen and their hosts."""
    chosen_groups = group[chosen]
    return {
        "pairs": int(chosen.sum()),
        "groups": int(np.unique(chosen_groups).size),
        "effective_groups": round(effective_number(chosen_groups), 2),
    }


def _audit_in_short(record):
    gates = record.get("gates", {})
    return {
        "status": record.get("status"),
        "gates": {name: gate.get("status") for name, gate in gates.items()},
        "advisory": [name for name, gate in gates.items() if gate.get("advisory")],
    }
