"""Records as JSON: whole or not at all, in a stable order, and never with a NaN."""

import dataclasses
import json
import math
import os
from datetime import date
from pathlib import Path

import numpy as np

__all__ = ["encode", "write_json", "write_text"]


def encode(record):
    """Return a record as JSON text.

    Keys keep their order, because the order of gates and strata means something. NaN and infinities become null,
    NumPy scalars and arrays plain numbers and lists, tuples and sets lists (a set sorted), paths and dates strings.

    Parameters
    ----------
    record : dict
        What to write.

    Returns
    -------
    text : str
        Strict JSON, indented, with a final newline.

    Raises
    ------
    TypeError
        If something in it has no JSON form.
    """
    return json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(record, path):
    """Write a record as UTF-8 JSON, whole or not at all.

    Parameters
    ----------
    record : dict
        What to write; see `encode`.
    path : path-like
        File to make or replace.
    """
    write_text(encode(record), path)


def write_text(text, path):
    """Write text as UTF-8 beside its place, sync it, and rename it into place.

    Parameters
    ----------
    text : str
        What to write.
    path : path-like
        File to make or replace; its folder is made where it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _plain(thing):
    """Turn `thing` into what the JSON encoder takes, refusing what it does not know."""
    if isinstance(thing, dict):
        return {str(key): _plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_plain(value) for value in thing]
    if isinstance(thing, (set, frozenset)):
        return [_plain(value) for value in sorted(thing)]
    if isinstance(thing, np.ndarray):
        return _plain(thing.tolist())
    if isinstance(thing, np.generic):
        return _plain(thing.item())
    if isinstance(thing, float):
        return float(thing) if math.isfinite(thing) else None
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        return _plain(dataclasses.asdict(thing))
    if isinstance(thing, (date, os.PathLike)):
        return str(thing)
    if thing is None or isinstance(thing, (str, int)):
        return thing
    raise TypeError(f"{type(thing).__name__} has no JSON form: {thing!r}")
