"""Places to write: claimed before a verb begins, never what it reads, and what is kept of one that is interrupted."""

import contextlib
import glob
import os
from pathlib import Path

import click

from gen5astro.errors import ConfigError, ExistsError, MissingFileError

__all__ = ["claim_file", "claim_folder", "kept_part", "refuse_input_as_output"]

# A run that is refused for its bad rows leaves their list, which must not stand in the way of the next.
_LEFT_BY_A_REFUSAL = "rejects.parquet"
# Arguments that may be a folder of which every file is read.
_FOLDERS_OF_TABLES = ("pairs", "cutouts", "catalog")


def claim_file(path, *, force=False):
    """Refuse a file that would be overwritten or could not be written; make its folder.

    Parameters
    ----------
    path : path-like
        The file to write.
    force : bool
        Whether it may be overwritten.

    Raises
    ------
    ExistsError
        If it is there and `force` is not given, or if it is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ExistsError(f"output {path}", got="a folder", expected="the name of a file")
    if path.exists() and not force:
        raise ExistsError(f"output {path}", got="a file that is there", remedy="choose another --out, or pass --force")
    _make_folder(path.parent)


def claim_folder(path, *, force=False):
    """Make an output folder; refuse one that holds something.

    Parameters
    ----------
    path : path-like
        The folder to write into.
    force : bool
        Whether files in it may be overwritten.

    Raises
    ------
    ExistsError
        If it holds files and `force` is not given, or if it is a file.
    """
    path = Path(path)
    if path.is_dir() and any(each.name != _LEFT_BY_A_REFUSAL for each in path.iterdir()) and not force:
        raise ExistsError(f"output {path}", got="a folder with files", remedy="choose another --out, or pass --force")
    _make_folder(path)


def _make_folder(path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ExistsError(f"output {path}", got="a file of that name", expected="a folder") from error
    except OSError as error:
        raise MissingFileError(f"output {path}", got=error.strerror, expected="a folder that can be made") from error


@contextlib.contextmanager
def kept_part(out, *, quiet=False):
    """Say, where what happens in the context is interrupted, what is kept of it and how to go on.

    Parameters
    ----------
    out : path-like
        The output.
    quiet : bool
        Say nothing.

    Yields
    ------
    None
    """
    try:
        yield
    except KeyboardInterrupt:
        from gen5astro.io.resuming import part_path

        if part_path(out).exists() and not quiet:
            click.echo(f"interrupted: what is done is kept in {part_path(out)}; --resume goes on with it", err=True)
        raise


def refuse_input_as_output(given):
    """Refuse, with ``--force`` too, to write over what the command reads.

    Parameters
    ----------
    given : dict
        Arguments and options of the command; the output is ``out``, what is read are strings and paths.

    Raises
    ------
    ConfigError
        If the output is among the files read.
    """
    out = given.get("out")
    if out is None or not Path(out).is_file():
        return
    for name, values in given.items():
        for value in values if isinstance(values, (tuple, list)) else (values,):
            if name == "out" or not isinstance(value, (str, Path)):
                continue
            if _is_among(Path(out), str(value), folder=name in _FOLDERS_OF_TABLES):
                expected = "another place: it would be written over"
                raise ConfigError(f"output {out}", got="what the command reads", expected=expected)


def _is_among(out, named, *, folder):
    """Whether a file is what an argument names: the file itself, one of a glob, or one in a folder that is read."""
    if Path(named).is_dir():
        return folder and Path(named).resolve() in out.resolve().parents
    names = [named] if Path(named).exists() else glob.glob(named, recursive=True)
    return any(os.path.samefile(each, out) for each in names)
