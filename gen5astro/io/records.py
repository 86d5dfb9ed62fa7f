"""Reading back the records that commands leave as JSON."""

import json
from pathlib import Path

from gen5astro.errors import FormatError, MissingFileError, SchemaError

__all__ = ["read_record"]


def read_record(path, *, name, schema, expected, remedy):
    """Read a record and check its schema.

    Parameters
    ----------
    path : path-like
        The file.
    name : str
        What to call it in messages.
    schema : str
        Name and version that this code knows.
    expected : str
        Which file is meant.
    remedy : str
        What to do about a record of another version; of one of another kind it is said which is meant.

    Returns
    -------
    record : dict
        The record.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is not JSON.
    SchemaError
        If its schema is another.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"{name} {path}", got="no such file", expected=expected)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{name} {path}", got="a file that is not JSON", expected=expected) from error
    found = record.get("schema") if isinstance(record, dict) else None
    if found != schema:
        if str(found).partition("/")[0] != schema.partition("/")[0]:
            remedy = f"name {expected}"
        raise SchemaError(f"{name} {path}", got=f"schema {found}", expected=schema, remedy=remedy)
    return record
