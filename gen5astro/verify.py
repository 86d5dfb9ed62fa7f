"""Verify a cube: read all of it, and hold every byte that is read against what was written.

Pixels are held against the digest of each image, digests against the checksum of each block and the digest of the
input, everything else against the digests in the attributes; counts must add up, and no split may leak.
"""

import numpy as np

from gen5astro.allot import describe_allotment
from gen5astro.engine import map_blocks
from gen5astro.errors import Gen5Error
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.hdf5_digest import cube_digest, seal_digest
from gen5astro.io.hdf5_schema import block_checksums, content_digest
from gen5astro.io.parquet_columns import read_columns
from gen5astro.io.rejects import rejects_path
from gen5astro.splits import split_digest
from gen5astro.verdict import Status, worst

__all__ = ["verify_cube"]

_BLOCK = 256
_SHOWN = 5


def verify_cube(cube, *, threads=None, advance=None):
    """Verify a cube.

    Parameters
    ----------
    cube : path-like or Cube
        The cube.
    threads : int, optional
        Blocks read at once; does not change the result.
    advance : callable, optional
        Called with the number of pairs done.

    Returns
    -------
    record : dict
        ``path``, ``status`` (PASS or FAIL), ``pairs``, ``files``, ``checks``: a list of dict with ``name``, ``status``
        and ``note``; and ``remedy``, empty where it passes.

    Raises
    ------
    Gen5Error
        If it cannot be opened as a cube; what can is judged.
    """
    source = CubeSource(cube)
    with source.cube as cube:
        checks = [
            _check("pixels", _pixels, source, threads, advance),
            _check("checksums of blocks", _checksums, cube),
            _check("digest of the input", _input, cube),
            _check("digest of the split", _split, cube),
            _check("digest of the cube", _content, cube),
            _check("seal of all else", _seal, cube),
            _check("counts", _counts, cube),
            _check("splits", _leaks, cube),
        ]
        return {
            "path": str(cube.path),
            "status": str(worst(Status(each["status"]) for each in checks)),
            "pairs": len(cube),
            "files": [str(each) for each in cube.files],
            "checks": checks,
            "remedy": _remedy(cube, [each["name"] for each in checks if each["status"] != Status.PASS]),
        }


def _remedy(cube, failed):
    if not failed:
        return ""
    copy = "copy it again" if len(cube.files) == 1 else f"copy it again, and the folder {cube.files[1].parent.name}"
    again = f"or build it again from {cube.attributes['input']}"
    if failed == ["pixels"]:
        again += "; what is built from this file as it is leaves the damaged pairs out, as rejects"
    return f"{copy}, {again}"


def _check(name, judge, *arguments):
    """Run one check; what it cannot read is a FAIL, as is what it finds."""
    try:
        wrong, note = judge(*arguments)
    except (Gen5Error, OSError, RuntimeError, ValueError, KeyError) as error:
        wrong, note = True, f"cannot be read: {' '.join(str(error).split())}"
    return {"name": name, "status": str(Status.FAIL if wrong else Status.PASS), "note": note}


def _pixels(source, threads, advance):
    cube, wrong = source.cube, []
    for rejects, count in map_blocks(_Read(source), source.blocks(_BLOCK), threads=threads):
        wrong += rejects
        if advance is not None:
            advance(count)
    if not wrong:
        return False, f"{2 * len(cube):,} images match their digests"
    rows = ", ".join(str(each.row) for each in wrong[:_SHOWN]) + (", ..." if len(wrong) > _SHOWN else "")
    return True, f"{len(wrong):,} of {len(cube):,} pairs do not match their digests: rows {rows}"


class _Read:
    """Reads a block and returns the pairs that are damaged, and how many it has."""

    def __init__(self, source):
        self._source = source

    def __call__(self, ref):
        return self._source.check(ref), ref.stop - ref.start


def _checksums(cube):
    wrong = (block_checksums(cube.digest) != cube.checksum).any(axis=1)
    if not wrong.any():
        return False, f"the stored digests of {len(wrong):,} blocks match their checksums; no pixel is looked at"
    first = f"the first is block {wrong.argmax()}"
    return True, f"the stored digests of {wrong.sum():,} of {len(wrong):,} blocks do not match their checksums, {first}"


def _same(stored, found):
    return stored != found, f"{found[:16]}..." + ("" if stored == found else f", but {stored[:16]}... is stored")


def _input(cube):
    return _same(cube.attributes["input_digest"], content_digest(cube.digest, cube.row))


def _split(cube):
    by_row = np.argsort(cube.row)
    return _same(cube.attributes["split_digest"], split_digest(cube.split[by_row], cube.digest[by_row]))


def _content(cube):
    with cube.opened() as file:
        return _same(cube.attributes["cube_digest"], cube_digest(file, cube.attributes))


def _seal(cube):
    with cube.opened() as file:
        return _same(cube.attributes["seal"], seal_digest(file, cube.attributes))


def _counts(cube):
    n_in, n_ok, n_rejected = (cube.attributes[name] for name in ("n_in", "n_ok", "n_rejected"))
    note = f"{n_in:,} rows = {n_ok:,} pairs + {n_rejected:,} rejected"
    if n_in != n_ok + n_rejected:
        return True, f"{note}: they do not add up"
    rejects = rejects_path(cube.path)
    listed = len(read_columns(rejects)["row"]) if rejects.is_file() else 0
    if listed and listed != n_rejected:
        return True, f"{note}, but {rejects.name} lists {listed:,}"
    return False, note


def _leaks(cube):
    leaks = describe_allotment(cube)["leaks"]
    guarded = leaks["guarded_positions"]
    found = {name: leaks[name] for name in ("groups", "close_positions", "twins", "near_twins")}
    note = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.items()) + " across splits"
    note += f", {guarded} positions in the guard band"
    # A split that was given has no guard band to keep.
    return any(found.values()) or (guarded > 0 and cube.config.build.split != "given"), note
