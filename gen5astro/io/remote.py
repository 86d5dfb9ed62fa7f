"""Files behind a URI, as fsspec lists them."""

import re

from gen5astro.errors import MissingFileError

__all__ = ["list_remote"]

#: How fsspec names the package that it lacks.
_INSTALL = re.compile(r"[Ii]nstall ([\w-]+)")


def list_remote(uri, is_data):
    """Files that a URI stands for.

    Parameters
    ----------
    uri : str
        A file, a folder or a glob.
    is_data : callable
        Whether a file in a folder, by its name, is one of them.

    Returns
    -------
    files : list of str
        URIs; empty where there is none.

    Raises
    ------
    MissingFileError
        If fsspec does not know its kind, or there is no way to it; says what the connection said.
    """
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(uri)
        if any(sign in path for sign in "*?["):
            found = system.glob(path)
        else:
            found = [name for name in system.find(path) if name == path or is_data(name)]
        reason = None if found else _reason(system, path)
    except ImportError as error:
        protocol, package = uri.partition("://")[0], _INSTALL.search(str(error))
        remedy = f"{error}" + (f": pip install {package[1]}" if package else "")
        got = f"no package that reads {protocol}://"
        raise MissingFileError(uri, got=got, expected="a URI that fsspec can open", remedy=remedy) from error
    except (OSError, ValueError) as error:
        found, reason = [], str(error)
    if reason is not None:
        raise MissingFileError(uri, got=reason, expected="a URI that fsspec can open")
    return [system.unstrip_protocol(name) for name in found]


def _reason(system, path):
    """Why nothing is found; None where it is just not there. To list takes a server that is down for an empty one."""
    try:
        system.info(path)
    except (OSError, ValueError) as error:
        cause = error.__cause__
        return None if cause is None and isinstance(error, FileNotFoundError) else str(cause or error)
    return None
