"""What a run that was interrupted leaves beside its output, and whether it is the one to go on with."""

import fcntl
import glob
import hashlib
import json
import os
import shutil
from pathlib import Path

from gen5astro.errors import ExistsError, SchemaError

__all__ = ["PartFolder", "check_plan", "part_path", "size_of"]

_LOCK = "lock"


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


class PartFolder:
    """The folder of what is done, held by this process alone; made where it is not there.

    Parameters
    ----------
    path : Path
        The folder.
    names : collection of str
        What a run may have left in it.

    Raises
    ------
    ExistsError
        If it holds anything else, which is nobody's to remove, or another process is at it.
    """

    def __init__(self, path, names):
        self.path = path
        strangers = sorted({each.name for each in path.iterdir()} - {*names, _LOCK}) if path.is_dir() else ()
        if strangers:
            got = f"{strangers[0]!r}, which no run leaves there"
            raise ExistsError(f"folder {path}", got=got, remedy="move it away, or choose another --out")
        path.mkdir(exist_ok=True)
        self._lock = open(path / _LOCK, "ab")  # noqa: SIM115 - held for as long as the run lasts
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            got = "a run that another process is at"
            raise ExistsError(f"folder {path}", got=got, remedy="wait for that process, or end it") from error

    def clear(self):
        """Remove what is in the folder."""
        for each in self.path.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
            elif each.name != _LOCK:
                each.unlink()

    def close(self):
        """Let go of the folder, and leave it there."""
        self._lock.close()

    def remove(self):
        """Remove the folder."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)


def check_plan(planned, plan, *, resume, name, remedy):
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
    remedy : str
        How to go on with another one that was begun.

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
    begun = planned.read_text(encoding="utf-8")
    if begun != plan:
        name, then, now = next(_differences(json.loads(begun), json.loads(plan)))
        raise SchemaError(
            f"{name} of what is to be resumed in {planned.parent}",
            got=now,
            expected=f"{then}, as it was begun",
            remedy=f"{remedy}, or pass --force to begin anew",
        )


def _differences(begun, asked, name=""):
    """Name of what differs, how it was begun and how it is asked for, of each difference of two plans."""
    if isinstance(begun, dict) and isinstance(asked, dict):
        for key in dict.fromkeys((*begun, *asked)):
            yield from _differences(begun.get(key), asked.get(key), f"{name}.{key}" if name else key)
    elif begun != asked:
        yield name.removeprefix("config."), _short(begun), _short(asked)


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
