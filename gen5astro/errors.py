"""What can go wrong, said so that the reader can mend it.

Every error names the thing, what was found, what was expected and the remedy, and carries the four as attributes.
Only the command line catches them, in one place, and turns them into one line and an exit code.
"""

import difflib

__all__ = [
    "BlockedError",
    "ColumnError",
    "ConfigError",
    "ExistsError",
    "FormatError",
    "Gen5Error",
    "MissingFileError",
    "RejectedError",
    "SchemaError",
    "ShapeError",
    "WriteError",
    "closest",
]


class Gen5Error(Exception):
    """Base of all errors that a user can act on.

    Parameters
    ----------
    what : str
        The thing that is wrong: a file, a column, an option.
    got : object, optional
        What was found.
    expected : object, optional
        What should have been there.
    remedy : str, optional
        What to do about it.
    """

    exit_code = 2

    def __init__(self, what, *, got=None, expected=None, remedy=None):
        super().__init__(what)
        self.what = what
        self.got = got
        self.expected = expected
        self.remedy = remedy

    def __str__(self):
        parts = [
            None if self.got is None else f"got {self.got}",
            None if self.expected is None else f"expected {self.expected}",
            self.remedy,
        ]
        rest = "; ".join(part for part in parts if part)
        line = f"{self.what}: {rest}" if rest else str(self.what)
        return " ".join(line.split())

    def __reduce__(self):
        return _restore, (type(self), self.what, self.got, self.expected, self.remedy)


def _restore(kind, what, got, expected, remedy):
    return kind(what, got=got, expected=expected, remedy=remedy)


class MissingFileError(Gen5Error, FileNotFoundError):
    """A file or folder that was named is not there."""


class ExistsError(Gen5Error, FileExistsError):
    """An output is already there and was not to be overwritten."""


class FormatError(Gen5Error, ValueError):
    """The bytes of a file are not what its kind promises."""


class SchemaError(Gen5Error, ValueError):
    """A file of ours of another version, or two files of ours that do not fit each other."""


class ColumnError(Gen5Error, KeyError):
    """A column is missing or of the wrong type."""


class ShapeError(Gen5Error, ValueError):
    """An array does not have the shape that the work needs."""


class ConfigError(Gen5Error, ValueError):
    """A configuration key or value, or an option, that cannot be used."""


class RejectedError(Gen5Error, ValueError):
    """More rows were rejected than the run allows."""


class WriteError(Gen5Error, OSError):
    """An output cannot be written: its disk is full, or it may not be written to."""


class BlockedError(Gen5Error, RuntimeError):
    """A gate forbids what was asked for."""

    exit_code = 3


def closest(name, choices):
    """Remedy that names the closest of the valid choices.

    Parameters
    ----------
    name : str
        What was asked for.
    choices : iterable of str
        What there is.

    Returns
    -------
    remedy : str
        A clause such as ``did you mean 'ra'? (there are: dec, ra)``, or ``there are: dec, ra`` where none is close.
    """
    choices = sorted(map(str, choices))
    shown = ", ".join(choices[:30]) + (", ..." if len(choices) > 30 else "")
    lowered = {choice.lower(): choice for choice in choices}
    match = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    if match:
        return f"did you mean {lowered[match[0]]!r}? (there are: {shown})"
    return f"there are: {shown}" if shown else "there are none"
