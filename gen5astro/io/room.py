"""A disk that is full, or that may not be written to, told as what it is, whoever of those that write ran into it."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from pathlib import Path

from gen5astro.errors import Gen5Error, WriteError

__all__ = ["writing"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
#: As HDF5, Arrow, and NumPy, which does not know why, put it.
_SAID = re.compile(r"errno(?: =)? (\d+)|No space left on device|Not enough space on disk|\d+ requested and \d+ written")
_NAMED = re.compile(r".*'([^']+)'.*")


@contextlib.contextmanager
def writing(out):
    """Turn what the system says against writing an output into an error that names it.

    HDF5, Arrow, astropy and PyTorch each say in their own way that a disk is full, and none says of which file.

    Parameters
    ----------
    out : path-like or None
        The file or folder; None where nothing is written.

    Yields
    ------
    nothing : None
        While it is written.

    Raises
    ------
    WriteError
        If its disk, or that of temporary files, is full, or it may not be written to.
    """
    try:
        yield
    except Gen5Error:
        raise
    except Exception as error:
        number, place = _what_the_system_said(error)
        if out is not None and number in _FULL:
            raise _full(Path(out), number) from error
        if out is not None and number in _FORBIDDEN and _is_of(place, Path(out)):
            remedy = "choose another --out, or give yourself the right to write there"
            got, expected = os.strerror(number), "a folder that can be written to"
            raise WriteError(f"output {out}", got=got, expected=expected, remedy=remedy) from error
        raise


def _what_the_system_said(error):
    """Number of the system's error behind an error, and the file that it was of, each None where none is told."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno, error.filename or _NAMED.sub(r"\1", str(error).partition("\n")[0])
        if said := _SAID.search(str(error)):
            return int(said[1] or errno.ENOSPC), None
        error = error.__cause__ or error.__context__
    return None, None


def _is_of(place, out):
    """Whether a file is the output or beside or in it, and not an input."""
    return place is not None and out.absolute().parent in (Path(place).absolute(), *Path(place).absolute().parents)


def _full(out, number):
    begun = out.with_name(out.name + ".part").is_dir()
    folder = next(each for each in out.absolute().parents if each.is_dir())
    free = ", ".join(
        f"{shutil.disk_usage(each).free / 1e6:,.1f} MB free in {each}" for each in (folder, tempfile.gettempdir())
    )
    remedy = "free some space" + (" and go on with --resume" if begun else "") + ", or choose another --out"
    return WriteError(f"output {out}", got=f"{os.strerror(number)} ({free})", expected="room for it", remedy=remedy)
