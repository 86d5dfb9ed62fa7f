"""What a run that was interrupted leaves beside its output, and whether it is the one to go on with."""

import glob
import hashlib
import os
from pathlib import Path

from gen5astro.errors import ExistsError, SchemaError

__all__ = ["check_plan", "part_path", "size_of"]


def part_path(out):
    """Return the folder of what is done of an output that is not yet whole.

    Parameters
    ----------
    out : path-like
        The output.

    Returns
    -------
    folder : Path
        ``cube.h5.part`` for ``cube.h5``.
    """
    return Path(out).with_name(Path(out).name + ".part")


def check_plan(planned, plan, *, resume, name, other, remedy):
    """Refuse what an interrupted run left where it shall not be gone on with, or is of another run.

    Parameters
    ----------
    planned : Path
        File that says what was begun.
    plan : str
        What it has to say.
    resume : bool
        Whether to go on.
    name : str
        What to call such a run.
    other : str
        What to call one that is not this.
    remedy : str
        How to go on with that.

    Raises
    ------
    ExistsError
        If `resume` is not given.
    SchemaError
        If another run was begun.
    """
    if not resume:
        raise ExistsError(
            f"folder {planned.parent}",
            got=f"{name} that was interrupted",
            remedy="pass --resume to go on with it, or --force to begin anew",
        )
    if planned.read_text(encoding="utf-8") != plan:
        raise SchemaError(
            f"folder {planned.parent}",
            got=other,
            expected="the one to resume",
            remedy=f"{remedy}, or pass --force to begin anew",
        )


def size_of(label, named=()):
    """Return bytes and time of the last change of the files that an input is.

    Parameters
    ----------
    label : path-like
        A file, a folder or a glob; of anything else, such as a URI, nothing is known.
    named : iterable of str
        Files that it names.

    Returns
    -------
    sizes : list
        Bytes and time of the last change [ns] of each file, and a digest of those of all files that are named.
    """
    label = os.fspath(label)
    pattern = os.path.join(glob.escape(label), "**", "*") if os.path.isdir(label) else label
    names = [label] if os.path.isfile(label) else sorted(glob.glob(pattern, recursive=True))
    states = [os.stat(name) for name in names if os.path.isfile(name)]
    told = [[each.st_size, each.st_mtime_ns] for each in states]
    if not named:
        return told
    digest = hashlib.sha256()
    for name in named:
        digest.update(f"{name}\0{_state(name)}\n".encode())
    return [*told, digest.hexdigest()]


def _state(name):
    try:
        found = os.stat(name)
    except OSError:
        return "nothing there"
    return f"{found.st_size} {found.st_mtime_ns}"
