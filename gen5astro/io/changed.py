"""What tells an input that has changed since a run was begun from the one that it was begun with."""

import glob
import os

__all__ = ["size_of"]


def size_of(label):
    """Return bytes and time of the last change of the files that an input is.

    Parameters
    ----------
    label : path-like
        A file, a folder or a glob; of anything else, such as a URI, nothing is known.

    Returns
    -------
    sizes : list of list of int
        Bytes and time of the last change [ns] of each file.
    """
    label = os.fspath(label)
    pattern = os.path.join(glob.escape(label), "**", "*") if os.path.isdir(label) else label
    names = [label] if os.path.isfile(label) else sorted(glob.glob(pattern, recursive=True))
    states = [os.stat(name) for name in names if os.path.isfile(name)]
    return [[each.st_size, each.st_mtime_ns] for each in states]
