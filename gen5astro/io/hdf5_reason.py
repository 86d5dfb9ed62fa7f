"""What HDF5 says of a file that it cannot read, in words for a user."""

import re

__all__ = ["hdf5_reason"]

_TRUNCATED = re.compile(r"truncated file: eof = (\d+).*stored_eof = (\d+)")
_UNABLE = re.compile(r"Unable to [^(]*\((.+)\)$")


def hdf5_reason(error):
    """Say what is wrong with a file.

    Parameters
    ----------
    error : Exception or str
        From h5py.

    Returns
    -------
    reason : str
        One line, without the names that HDF5 has for its own parts where they would tell a user nothing.
    """
    said = (str(error).splitlines() or [""])[0]
    if sizes := _TRUNCATED.search(said):
        held, whole = map(int, sizes.groups())
        return f"a truncated file: {held:,} of {whole:,} bytes"
    unable = _UNABLE.match(said)
    return unable[1] if unable else said
