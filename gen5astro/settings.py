"""Settings from a TOML file and from ``--set key=value``, checked against the sections of `gen5astro.config`.

An unknown key is refused and the nearest one named.
"""

import dataclasses
import json
import math
import tomllib
import types
import typing
from pathlib import Path

from gen5astro.config import Config, as_dict, describe
from gen5astro.errors import ConfigError, MissingFileError, closest

__all__ = ["commented_toml", "from_dict", "load_config", "toml_text", "toml_value"]


def from_dict(record, kind=Config, *, where=""):
    """Make a config (or a section) of plain types, checking names and types.

    Parameters
    ----------
    record : dict
        Keys and values; what is absent keeps its default.
    kind : type
        `Config` or the class of a section.
    where : str
        Prefix of the keys in messages.

    Returns
    -------
    config : dataclass instance
        Of class `kind`.

    Raises
    ------
    ConfigError
        If a key is unknown or a value has the wrong type or size.
    """
    hints = typing.get_type_hints(kind)
    known = {each.name: each for each in dataclasses.fields(kind)}
    values = {}
    for name, value in record.items():
        label = f"{where}{name}"
        if name not in known:
            raise ConfigError(f"config key {label!r}", got="an unknown name", remedy=closest(name, known))
        if dataclasses.is_dataclass(hints[name]):
            if not isinstance(value, dict):
                raise ConfigError(f"config key {label!r}", got=repr(value), expected="a section")
            values[name] = from_dict(value, hints[name], where=f"{label}.")
            continue
        choices = known[name].metadata.get("choices")
        if choices and value not in choices:
            remedy = closest(str(value), choices)
            raise ConfigError(f"config key {label!r}", got=repr(value), remedy=remedy)
        values[name] = _coerce(value, hints[name], label)
        _check_within(values[name], known[name].metadata.get("within"), label)
    return kind(**values)


def _check_within(value, within, label):
    if within is None:
        return
    low, high = within
    # Not the other way round: NaN is within nothing.
    if not all(low <= each <= high for each in (value if isinstance(value, tuple) else (value,))):
        expected = f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
        raise ConfigError(f"config key {label!r}", got=repr(value), expected=expected)


def _coerce(value, hint, label):
    """Check `value` against a type hint, turning lists to tuples and whole numbers to floats where asked."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    wrong = ConfigError(f"config key {label!r}", got=repr(value), expected=_type_name(hint))
    if origin in (typing.Union, types.UnionType):
        for part in parts:
            try:
                return _coerce(value, part, label)
            except ConfigError:
                continue
        raise wrong
    if hint is type(None):
        if value is None:
            return None
        raise wrong
    if origin is tuple:
        fixed = Ellipsis not in parts
        if not isinstance(value, (list, tuple)) or (fixed and len(value) != len(parts)):
            wrong.remedy = None if fixed else _one_as_list(value, parts[0])
            raise wrong
        return tuple(_coerce(each, parts[at] if fixed else parts[0], label) for at, each in enumerate(value))
    if origin is list:
        if not isinstance(value, (list, tuple)):
            raise wrong
        return [_coerce(each, parts[0], label) for each in value]
    if origin is dict:
        if not isinstance(value, dict):
            raise wrong
        return {key: _coerce(each, parts[1], f"{label}.{key}") for key, each in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise wrong
    return value


def _one_as_list(value, hint):
    """Remedy for a value that stands alone where a list is wanted, if it could be in one."""
    try:
        return f"write {toml_value([_coerce(value, hint, '')])}"
    except ConfigError:
        return None


_WORDS = {float: "number", int: "whole number", str: "text", bool: "true or false", type(None): "none", object: "value"}


def _type_name(hint):
    """Words for a type hint, in the notation of TOML."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_type_name, parts))
    if origin in (tuple, list):
        repeated = ("...",) if origin is list or Ellipsis in parts else ()
        return f"[{', '.join([*(_type_name(part) for part in parts if part is not Ellipsis), *repeated])}]"
    if origin is dict:
        return f"{{name = {_type_name(parts[1])}, ...}}"
    return _WORDS[hint]


def load_config(path=None, settings=(), *, section=None, options=None):
    """Read a TOML file and apply ``key=value`` settings on top.

    Parameters
    ----------
    path : path-like, optional
        TOML file with sections named as the fields of `Config`.
    settings : iterable of str
        Each ``section.key=value``; the value is TOML, and a bare word is a string.
    section : str, optional
        Section that a key without a dot, in the file or in a setting, belongs to (``train`` for `gen5astro train`).
    options : dict of str to tuple, optional
        ``(section.key, value)`` of options of their own, by name such as ``--split``; one whose value is None was not
        given.

    Returns
    -------
    config : Config
        Defaults, then the file, then settings and options.

    Raises
    ------
    MissingFileError
        If `path` is not there.
    ConfigError
        If the TOML is broken, a key or value cannot be used, or an option and a setting say different things.
    """
    record, said = {}, {}
    if path is not None:
        path = Path(path)
        if not path.is_file():
            raise MissingFileError(f"config {path}", got="no such file", expected="a TOML file")
        try:
            record = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"config {path}", got=str(error), expected="TOML") from error
    sections = {each.name for each in dataclasses.fields(Config)}
    if section is not None:
        own = {each.name for each in dataclasses.fields(getattr(Config(), section))}
        bare = [key for key, value in record.items() if key not in sections and (key in own or not _is_table(value))]
        loose = {key: record.pop(key) for key in bare}
        if loose and _is_table(record.setdefault(section, {})):
            record[section].update(loose)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}", got="no '='", expected="key=value")
        keys = name.strip().split(".")
        if section is not None and keys[0] not in sections and (len(keys) == 1 or keys[0] in own):
            keys.insert(0, section)
        inner = record
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"--set {setting}", got=f"{key!r} that is no section", expected="section.key=value")
        inner[keys[-1]] = _parse_value(text.strip())
        said[".".join(keys)] = setting, inner[keys[-1]]
    for option, (key, value) in (options or {}).items():
        if value is not None:
            _add_option(record, said, option, key, list(value) if isinstance(value, tuple) else value)
    return from_dict(record)


def _add_option(record, said, option, key, value):
    """Put the value of an option in its place; `said` has the settings and their values by key."""
    setting, other = said.get(key, (None, value))
    if other != value:
        remedy = "give one of the two"
        what = option if value is True else f"{option} {value}"
        raise ConfigError(what, got=f"--set {setting} as well", expected="one value", remedy=remedy)
    section, _, name = key.partition(".")
    if _is_table(record.setdefault(section, {})):
        record[section][name] = value


def _is_table(value):
    return isinstance(value, dict)


def _parse_value(text):
    if text.lower() in ("none", "null"):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def toml_text(config, sections):
    """Write sections of a config as TOML that `load_config` reads back.

    Parameters
    ----------
    config : Config
        The settings.
    sections : iterable of str
        Names of the sections to write.

    Returns
    -------
    text : str
        TOML; keys whose value is none are left out.
    """
    lines = []
    for section in sections:
        lines.append(f"[{section}]")
        record = as_dict(getattr(config, section))
        lines += [f"{key} = {toml_value(value)}" for key, value in record.items() if value is not None]
        lines.append("")
    return "\n".join(lines)


def commented_toml(config, section):
    """Write a section as TOML in which each key says what it means, to be edited and read by `load_config`.

    Parameters
    ----------
    config : Config
        The settings.
    section : str
        Name of the section.

    Returns
    -------
    text : str
        TOML; a key whose value is none is commented out.
    """
    values, lines = as_dict(getattr(config, section)), [f"[{section}]"]
    for name, _, doc in describe(type(getattr(config, section))):
        value = values[name]
        lines.append(f"# {doc}")
        lines.append(f"# {name} =" if value is None else f"{name} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def toml_value(value):
    """Write a value as it stands in TOML, or after ``--set``.

    Parameters
    ----------
    value : object
        Plain types, as `gen5astro.config.as_dict` makes them; TOML itself has nothing for None.

    Returns
    -------
    text : str
        Which `load_config` reads back.
    """
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(each)}" for key, each in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
