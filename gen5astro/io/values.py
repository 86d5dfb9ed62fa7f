"""Columns of any kind as strings or numbers, with the missing ones marked."""

import numpy as np

from gen5astro.errors import ColumnError

__all__ = ["as_numbers", "as_text"]


def as_text(values):
    """Turn a column into strings; '' where a value is missing.

    Parameters
    ----------
    values : array, (n,)
        Masked, NaN and None are missing.

    Returns
    -------
    text : str array, (n,)
        Whole floating numbers without their decimals.
    """
    missing = np.ma.getmaskarray(values).copy()
    plain = np.ma.getdata(values)
    if plain.dtype.kind == "f":
        missing |= ~np.isfinite(plain)
        whole = np.where(missing, 0, plain)
        plain = whole.astype(np.int64) if np.all(whole == np.floor(whole)) else whole
    elif plain.dtype.kind == "S":
        plain = np.char.decode(plain, "utf-8", "replace")
    elif plain.dtype.kind == "O":
        missing |= np.array([value is None for value in plain], bool)
    return np.where(missing, "", plain.astype(str))


def as_numbers(values, name, first_row):
    """Turn a column into float64; NaN where a value is missing.

    Parameters
    ----------
    values : array, (n,)
        Masked, NaN and None are missing.
    name : str
        What to call the column in messages.
    first_row : int
        Number of its first row.

    Returns
    -------
    numbers : float64 array, (n,)
        The values.

    Raises
    ------
    ColumnError
        If one is no number; says which.
    """
    plain = np.ma.getdata(values)
    missing = np.ma.getmaskarray(values).copy()
    if plain.dtype.kind == "O":
        missing |= np.array([value is None for value in plain], bool)
    plain = np.where(missing, "nan" if plain.dtype.kind in "OSU" else 0, plain)
    try:
        numbers = plain.astype(np.float64)
    except (TypeError, ValueError) as error:
        at = next(at for at, value in enumerate(plain) if not _is_number(value))
        what = f"column {name!r}, row {first_row + at}"
        raise ColumnError(what, got=repr(str(plain[at])), expected="a number") from error
    return np.where(missing, np.nan, numbers)


def _is_number(value):
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
