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
from gen5astro.config import as_dict
from gen5astro.engine import DoneBefore, map_blocks
from gen5astro.errors import ConfigError, ExistsError, FormatError, RejectedError, SchemaError
from gen5astro.io.appended import AppendedPairs
from gen5astro.io.hdf5 import Cube, CubeWriter, content_digest
from gen5astro.io.records import read_record
from gen5astro.io.rejects import check_rejects, keep_rejects, rejects_path
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
from gen5astro.table import MeasureTable, read_table
from gen5astro.verdict import AUDIT_SCHEMA

__all__ = ["build_cube", "moves_path", "read_audit", "summarize_cube"]

ZERO_POINT = 22.5
_STORED_ELSEWHERE = {"row", "group", "region_split", "stamp_digest", "ctrl_digest"} | {
    f"ctrl_fingerprint_{at}" for at in (1, 2, 3, 4)
}


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
    if resume and not force and out.exists():
        return _finished(out, source, config)
    record = None if audit is None else read_audit(audit)
    _check_audit_form(record, audit, source, config.build.pixels)
    if config.build.pixels != "float32":
        source = _in_form(source, config.build.pixels, config.normalize.annulus_fraction)
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
        "plan": {"input": source.label, "size": _sizes(source, old), "config": as_dict(config)},
    }
    with CubeWriter(out, source.n_rows, **options, force=force, resume=resume) as writer:
        _stream(source, writer, config, threads, advance)
        _check_counts(source, len(writer), writer.rejects, out, config.audit.max_reject_fraction)
        content = writer.columns("row", "digest")
        _check_audited(record, audit, _read_digest(**content, rejects=writer.rejects))
        split, group = _allot(writer, source, old, config)
        torn = torn_pairs(split, **content)
        if torn:
            keep_rejects(sorted([*writer.rejects, *torn], key=lambda each: each.row), rejects_path(out))
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
        measure = None if audit is None else _read_measure(audit, content["row"], set(writer.column_names))
        writer.finish(split=split, group=group, attributes=attributes, measure=measure)
    return _told(out, config)


def _allot(writer, source, old, config):
    """Split and group of each pair that was read; what they are told from is many columns, and is let go of."""
    catalog = writer.columns("ra", "dec", "host_id", "region_split", "brickname", group="catalog")
    own = writer.columns("row", "digest", "fingerprint")
    guarded = widen_guard(config.build, source.shape, source.pixel_scale)
    known = None if old is None else known_splits(old, own["row"])
    return allot_pairs(catalog, own["digest"], own["fingerprint"], guarded, known=known)[:2]


def _digest_of_split(split, row, digest):
    at = np.argsort(row)
    at = at[split[at] != ""]
    return split_digest(split[at], digest[at])


def _told(out, config):
    """Say what is in the cube, and write down what a repair moved."""
    with Cube(out) as cube:
        summary = summarize_cube(cube, config.audit)
    if summary["moved"]:
        write_moves([Move(**each) for each in summary["moved"]], moves_path(out))
    else:
        moves_path(out).unlink(missing_ok=True)
    return summary


def _finished(out, source, config):
    """What the build to resume has made already; what it left, if it was killed in its last moment, is removed."""
    with Cube(out) as cube:
        asked = {"input": source.label, "n_in": source.n_rows, "config": _json(as_dict(config))}
        if any(cube.attributes[name] != value for name, value in asked.items()):
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
    return size_of(source.label) if old is None else [size_of(source.new.label), size_of(old.path)]


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
    for block, statistics, marks, rejected, stop in map_blocks(work, refs, threads=threads, spread=True):
        if advance is not None:
            advance(stop - writer.done)
        writer.append(stop, block, statistics, marks, rejected)


def _check_counts(source, n_ok, rejects, out, max_fraction):
    """Make sure that no row vanished, write down those that were rejected, and refuse too many."""
    label, place = f"pairs {source.label}", rejects_path(out)
    keep_rejects(rejects, place)
    # A known lens is a row as good as any, left out on purpose: it does not count as one that cannot be used.
    bad = [each for each in rejects if each.digest is None]
    n_left_out = len(rejects) - len(bad)
    check_rejects(label, bad, n_in=source.n_rows - n_left_out, n_ok=n_ok, allowed=max_fraction, place=place)
    if n_ok == 0:
        first = f", all left out (row {rejects[0].row}: {rejects[0].reason})" if rejects else ""
        raise RejectedError(label, got=f"{source.n_rows:,} rows{first}", expected="one good pair")


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
    """Digest of all pairs that could be read, as an audit has it: with those left out on purpose."""
    left_out = [each for each in rejects if each.digest is not None]
    others = np.array([each.digest for each in left_out], np.uint64).reshape(-1, 2)
    every = np.concatenate([row, np.array([each.row for each in left_out], np.int64)])
    return content_digest(np.concatenate([digest, others]), every)


def _check_audit_form(record, path, source, form):
    """Refuse at once an audit of pixels before they get another form: it is of other pixels."""
    if record is None or form in ("float32", getattr(source, "form", None)):
        return
    raise SchemaError(
        f"audit {path}",
        got="an audit of the pixels as they are before they are stored",
        expected=f"one of a cube of {form} pixels, where that cube is what is built from",
        remedy="build without --audit, audit the cube, and build it again from the cube with --audit and --split given",
    )


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
