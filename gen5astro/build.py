"""Build the cube: read every pair once, keep physical flux, take the normalizer's statistics, split, seal.

Blocks are read and measured on threads and written in order, so the cube does not depend on their number.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from gen5astro import __version__
from gen5astro.allot import allot_pairs, describe_allotment, widen_guard
from gen5astro.config import as_dict
from gen5astro.engine import map_blocks
from gen5astro.errors import ConfigError, FormatError, RejectedError, SchemaError
from gen5astro.io.hdf5 import Cube, CubeWriter, content_digest
from gen5astro.io.records import read_record
from gen5astro.io.rejects import write_rejects
from gen5astro.kernels.fingerprint import fingerprint
from gen5astro.kernels.normalize import normalizer_statistics
from gen5astro.known_lenses import LensReject, WithoutKnownLenses
from gen5astro.leakage import strata
from gen5astro.sky import effective_number
from gen5astro.split_repair import write_moves
from gen5astro.splits import SPLITS, split_digest
from gen5astro.table import MeasureTable, read_table
from gen5astro.verdict import AUDIT_SCHEMA

__all__ = ["build_cube", "moves_path", "read_audit", "rejects_path", "summarize_cube"]

ZERO_POINT = 22.5
_STORED_ELSEWHERE = {"row", "group", "region_split", "stamp_digest", "ctrl_digest"} | {
    f"ctrl_fingerprint_{at}" for at in (1, 2, 3, 4)
}


def build_cube(source, out, *, config, audit=None, threads=None, force=False, advance=None):
    """Build a cube of a source's pairs.

    Rows that cannot be used, and by default those whose ctrl is a known lens, are written beside the cube
    (`rejects_path`) and counted in it. Hosts that a repair of a given split moved are written there as well
    (`moves_path`).

    Parameters
    ----------
    source : PairSource
        The pairs.
    out : path-like
        The cube to write; it appears only when it is whole.
    config : Config
        Sections ``build`` (split), ``normalize`` and ``audit`` (``max_reject_fraction``, ``known_lens_radius_arcsec``).
    audit : path-like, optional
        ``audit.json`` of the same pairs, to embed.
    threads : int, optional
        Blocks read at once; does not change the result.
    force : bool
        Whether `out` may be overwritten.
    advance : callable, optional
        Called with the number of rows done.

    Returns
    -------
    summary : dict
        What is in the cube, from `summarize_cube`.

    Raises
    ------
    ExistsError
        If `out` is there and `force` is not given.
    RejectedError
        If too many rows, or all, cannot be used.
    SchemaError
        If the audit is of other pairs.
    ConfigError
        If the pairs cannot be split as asked, or the normalizer needs a ctrl.
    """
    out = Path(out)
    if config.normalize.kind == "pair":
        raise ConfigError(
            "normalize.kind", got="'pair'", expected="sky, standard or core", remedy="no ctrl exists at inference"
        )
    record = None if audit is None else read_audit(audit)
    if config.build.known_lenses == "reject":
        source = WithoutKnownLenses(source, config.audit.known_lens_radius_arcsec)
    layout = {"bands": source.bands, "shape": source.shape, "pixel_scale": source.pixel_scale}
    with CubeWriter(out, source.n_rows, **layout, force=force) as writer:
        rejects = _stream(source, writer, config, threads, advance)
        _check_counts(source, len(writer), rejects, out, config.audit.max_reject_fraction)
        catalog, digest = writer.catalog, writer.digest
        _check_audited(record, audit, _read_digest(writer.row, digest, rejects))
        split, group, moves = allot_pairs(
            catalog, digest, writer.fingerprint, widen_guard(config.build, source.shape, source.pixel_scale)
        )
        attributes = {
            "zero_point": ZERO_POINT,
            "survey": getattr(source, "survey", ""),
            "input": source.label,
            "normalizer": _json(as_dict(config.normalize)),
            "config": _json(as_dict(config)),
            "audit": "" if record is None else _json(record),
            "split_digest": split_digest(split, digest),
            "code_version": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        measure = None if audit is None else _read_measure(audit, writer.row, set(catalog))
        writer.finish(split=split, group=group, attributes=attributes, measure=measure)
    _write_or_remove(write_moves, moves, moves_path(out))
    with Cube(out) as cube:
        return summarize_cube(cube, config.audit)


def _stream(source, writer, config, threads, advance):
    """Read, measure and write every block, in order; return the rejects."""

    def work(ref):
        block, rejected = source.read(ref)
        statistics = [
            normalizer_statistics(images, config.normalize, block.pixel_scale) if len(block) else None
            for images in (block.stamp, block.ctrl)
        ]
        return block, [*statistics, fingerprint(block.ctrl)], rejected, ref.stop - ref.start

    rejects = []
    for block, statistics, rejected, n_rows in map_blocks(work, source.blocks(config.build.block), threads=threads):
        if len(block):
            writer.append(block, *statistics)
        rejects.extend(rejected)
        if advance is not None:
            advance(n_rows)
    return rejects


def _check_counts(source, n_ok, rejects, out, max_fraction):
    """Make sure that no row vanished, write down those that were rejected, and refuse too many."""
    n_in, n_rejected = source.n_rows, len(rejects)
    if n_in != n_ok + n_rejected:
        raise RuntimeError(f"{source.label}: {n_in} rows in, but {n_ok} good and {n_rejected} rejected")
    place = rejects_path(out)
    _write_or_remove(write_rejects, rejects, place)
    # A known lens is a row as good as any, left out on purpose: it does not count as one that cannot be used.
    bad = [each for each in rejects if not isinstance(each, LensReject)] if n_ok else rejects
    if n_ok == 0 or len(bad) > max_fraction * n_in:
        first = f"; the first, row {bad[0].row}: {bad[0].reason}" if bad else ""
        raise RejectedError(
            f"pairs {source.label}",
            got=f"{len(bad):,} of {n_in:,} rows that cannot be used{first}",
            expected=f"at most {max_fraction:.2%}, and one good pair",
            remedy=f"see {place}, mend them, or raise --set audit.max_reject_fraction" if rejects else None,
        )


def _write_or_remove(write, items, path):
    """Write what there is, or remove what an earlier build wrote."""
    if items:
        write(items, path)
    else:
        path.unlink(missing_ok=True)


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


def rejects_path(out):
    """Return where the rejected rows of a cube are written.

    Parameters
    ----------
    out : path-like
        The cube.

    Returns
    -------
    path : Path
        ``cube.rejects.parquet`` for ``cube.h5``.
    """
    return Path(out).with_suffix(".rejects.parquet")


def read_audit(path):
    """Read the record of an audit.

    Parameters
    ----------
    path : path-like
        ``audit.json``.

    Returns
    -------
    record : dict
        The record.

    Raises
    ------
    MissingFileError
        If it is not there.
    FormatError
        If it is no JSON.
    SchemaError
        If it is not an audit of the version that this code knows.
    """
    expected = "audit.json of gen5astro audit-injection"
    return read_record(path, name="audit", schema=AUDIT_SCHEMA, expected=expected, remedy="audit the pairs again")


def _read_digest(row, digest, rejects):
    """Digest of all pairs that could be read, as an audit has it: with those left out as known lenses."""
    lenses = [each for each in rejects if isinstance(each, LensReject)]
    if not lenses:
        return content_digest(digest)
    row = np.concatenate([row, [each.row for each in lenses]])
    digest = np.concatenate([digest, np.array([each.digest for each in lenses], np.uint64)])
    return content_digest(digest[np.argsort(row)])


def _check_audited(record, path, input_digest):
    """Refuse an audit of other pixels."""
    if record is None:
        return
    if kind := record.get("input", {}).get("normalizer"):
        got = f"an audit of the pixels as the normalizer {kind} leaves them"
        raise FormatError(
            f"audit {path}",
            got=got,
            expected="one of the pixels as they are stored",
            remedy="audit without --normalized",
        )
    audited = record.get("provenance", {}).get("input_digest")
    if audited != input_digest:
        raise SchemaError(
            f"audit {path}",
            got=f"an audit of pairs {str(audited)[:12]}",
            expected=f"one of the pairs given, {input_digest[:12]}",
            remedy="run gen5astro audit-injection on these pairs and pass its audit.json",
        )


def _read_measure(audit, row, known):
    """Return the columns of the measurement table beside an audit, for the rows of the cube, where there is one."""
    path = Path(audit).with_name("measure.parquet")
    if not path.is_file():
        return None
    table = read_table(path)
    table = table.select(np.isin(table["row"], row))
    if not np.array_equal(table["row"], row):
        raise SchemaError(
            f"measurements {path}", got="other rows than the audit beside it", remedy="audit the pairs again"
        )
    return {name: values for name, values in table.columns.items() if name not in known | _STORED_ELSEWHERE}


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
        Counts, layout, splits and strata with their groups, leaks, normalizer, audit and digests.
    """
    attributes, catalog, split, group = cube.attributes, cube.catalog, cube.split, cube.group
    table = MeasureTable(catalog | {"row": cube.row}, cube.bands, cube.shape, cube.pixel_scale)
    audited = cube.audit
    return {
        "schema": attributes["schema"],
        "path": str(cube.path),
        "bytes": cube.path.stat().st_size,
        "input": attributes["input"],
        "survey": attributes["survey"],
        "bands": list(cube.bands),
        "image_shape": list(cube.shape),
        "pixel_scale": cube.pixel_scale,
        "zero_point": attributes["zero_point"],
        "counts": {name: attributes[name] for name in ("n_in", "n_ok", "n_rejected")},
        "splits": {name: _count(split == name, group) for name in SPLITS},
        **describe_allotment(cube),
        "strata": {name: _count(mask, group) for name, mask in strata(table, config).items()},
        "columns": list(catalog),
        "normalizer": json.loads(attributes["normalizer"]),
        "audit": None if audited is None else {"status": audited.get("status"), "gates": _gates(audited)},
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


def _gates(record):
    return {name: gate.get("status") for name, gate in record.get("gates", {}).items()}
