"""Every setting of every command: one frozen dataclass a section, read from TOML and from ``--set key=value``.

A section's fields carry their default, and ``metadata["doc"]`` says in a line what each means; ``--help``, the docs and
`describe` are made from them. An unknown key is refused and the nearest one named.
"""

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

from gen5astro.errors import ConfigError, MissingFileError, closest

__all__ = [
    "AuditConfig",
    "BuildConfig",
    "Config",
    "EvaluateConfig",
    "InjectConfig",
    "MeasureConfig",
    "NormalizerSpec",
    "SelfTestConfig",
    "TrainConfig",
    "as_dict",
    "describe",
    "from_dict",
    "load_config",
]


def _key(default, doc, **more):
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata={"doc": doc, **more})
    return field(default=default, metadata={"doc": doc, **more})


@dataclass(frozen=True)
class MeasureConfig:
    """What the one pass over the pixels measures."""

    core_radius_arcsec: float = _key(1.0, "radius of the core [arcsec]")
    apertures_arcsec: tuple[float, ...] = _key((0.5, 1.0, 1.5), "radii of the core apertures [arcsec]")
    annulus_fraction: tuple[float, float] = _key(
        (0.75, 1.0), "inner and outer radius of the sky annulus, as a fraction of half the image's shorter side"
    )
    arc_half_width_arcsec: float = _key(1.2, "half width of the ring about theta_E that counts as the arc [arcsec]")
    psf_fwhm_arcsec: float = _key(1.3, "PSF FWHM where the table has no psfsize column [arcsec]")
    moffat_beta: float = _key(2.5, "beta of the Moffat profile that brackets the PSF's wings")


@dataclass(frozen=True)
class AuditConfig:
    """How the gates judge."""

    seed: int = _key(0, "seed of folds, bootstrap and permutations")
    judge_pairs: int = _key(20_000, "pairs that classifiers see at most; hosts are there as evenly as can be")
    folds: int = _key(5, "folds of the cross-validation; all pairs of one host are in one fold")
    bootstraps: int = _key(1000, "bootstrap draws over hosts behind an interval")
    permutations: int = _key(50, "label permutations behind a null")
    min_effective_hosts: float = _key(20.0, "effective number of independent hosts below which nothing is judged")
    theta_e_edges: tuple[float, ...] = _key((1.0, 2.0), "edges of the theta_E strata [arcsec]")
    arc_snr_edges: tuple[float, ...] = _key((20.0, 50.0), "edges of the arc_snr strata")
    min_separation_arcsec: float = _key(10.0, "objects closer than this on the sky belong to one group [arcsec]")
    known_lens_radius_arcsec: float = _key(5.0, "a ctrl no farther than this from a known lens is that lens [arcsec]")
    classic_auc: float = _key(0.70, "threshold of the classic core-only test, shown for comparison")
    max_reject_fraction: float = _key(0.01, "share of bad rows above which a run fails")
    explain_pairs: int = _key(30, "pairs that --explain fits a lens and a source to")
    limits: dict[str, dict[str, list[float | None]]] = _key(
        {}, "limits that replace a gate's own: [audit.limits.GATE] NAME = [low, high]; -inf or inf leaves a side open"
    )


@dataclass(frozen=True)
class NormalizerSpec:
    """How pixels are scaled for a network; stored in cube and checkpoint, and compared."""

    kind: str = _key("sky", "sky, standard, core or pair", choices=("sky", "standard", "core", "pair"))
    stretch: str = _key("asinh", "none or asinh", choices=("none", "asinh"))
    softening: float = _key(3.0, "asinh(x / softening): where the stretch turns logarithmic, in units of the scale")
    clip: float | None = _key(None, "absolute value at which the result is clipped, or none")
    annulus_fraction: tuple[float, float] = _key((0.75, 1.0), "the sky annulus of kind sky, as in measure")
    core_radius_arcsec: float = _key(1.0, "the core of kind core [arcsec]")


@dataclass(frozen=True)
class BuildConfig:
    """How the cube is built and split."""

    split: str = _key("sky", "sky (assign by group), or given (use the column region_split)", choices=("sky", "given"))
    fractions: tuple[float, float, float] = _key((0.7, 0.15, 0.15), "shares of train, val and test")
    split_seed: int = _key(
        5, "seed of the stable hash that assigns a group to a split; 5 splits the 30 hosts of the sample 21, 4, 5"
    )
    min_separation_arcsec: float = _key(10.0, "objects closer than this share a group [arcsec]")
    block: int = _key(256, "pairs read and written at a time")


@dataclass(frozen=True)
class InjectConfig:
    """What is drawn and how it is rendered."""

    size: int = _key(64, "side of the written images [pix]")
    supersampling: int = _key(3, "rays a pixel side")
    engine: str = _key("native", "native (fast), or lenstronomy (its models)", choices=("native", "lenstronomy"))
    lens_model: tuple[str, ...] = _key(("SIE", "SHEAR"), "lens models of lenstronomy, the main one first")
    source_model: tuple[str, ...] = _key(("SERSIC_ELLIPSE",), "light models of lenstronomy that make up the source")
    lens_kwargs: dict[str, object] = _key(
        {}, "values of lens model parameters: [inject.lens_kwargs] NAME = value, or MODEL.NAME, or PLACE.NAME"
    )
    source_kwargs: dict[str, object] = _key({}, "values of source model parameters, as lens_kwargs")
    moffat_beta: float = _key(2.5, "beta of the PSF that is made of psfsize columns where hosts come without one")
    velocity_boost: tuple[float, float] = _key(
        (0.7, 1.9),
        "uniform range of the factor on the host's velocity dispersion: all hosts reach narrow and wide arcs",
    )
    z_lens: tuple[float, float] = _key((0.2, 0.7), "uniform range of the lens redshift")
    z_source: tuple[float, float] = _key((0.9, 3.0), "uniform range of the source redshift")
    theta_e_arcsec: tuple[float, float] = _key((0.5, 3.0), "draws outside this range are drawn again [arcsec]")
    source_mag_r: tuple[float, float] = _key((23.0, 26.0), "uniform range of the source's unlensed r magnitude (AB)")
    source_offset: float = _key(0.5, "sources lie uniformly in area within this many theta_E of the lens, at most 0.8")
    shear: tuple[float, float] = _key((0.0, 0.08), "uniform range of the external shear")
    poisson: bool = _key(False, "add the arc's own photon noise")
    gain_electrons_per_nmgy: float = _key(300.0, "electrons a nanomaggy behind poisson")


@dataclass(frozen=True)
class TrainConfig:
    """What is trained and how; names as the field knows them."""

    view: str = _key("single", "single (stamp or ctrl) or paired (both side by side)", choices=("single", "paired"))
    input_channels: int | None = _key(None, "channels of the network; default: the view's bands")
    use_ctrl_as_negative: bool = _key(True, "show each host's ctrl as a negative")
    batch_composition: dict[str, float] = _key(
        {"positives": 1, "negatives": 1}, "ratio of positives to negatives in a batch; a host's two stay together"
    )
    model_name: str = _key("resnet18", "a classifier of torchvision")
    pretrained: bool | str = _key(False, "false, true (torchvision's hub), or a file of weights")
    width: int | None = _key(None, "width of the first stage of a ResNet; default: the model's own (64)")
    batch_size: int = _key(128, "images a step")
    epochs: int = _key(10, "passes over the training pairs")
    learning_rate: float = _key(1e-3, "peak learning rate")
    warmup_fraction: float = _key(0.05, "share of the steps in which the learning rate rises to its peak")
    optimizer: str = _key("adamw", "adamw", choices=("adamw",))
    weight_decay: float = _key(0.05, "decoupled weight decay")
    augment: bool = _key(True, "random flips, quarter turns and what follows, the same for both members of a pair")
    augment_shift_px: int = _key(0, "largest shift along an axis [pix]")
    augment_dim: float = _key(0.5, "smallest factor by which an image is made fainter under the same noise (kind sky)")
    precision: str = _key("32-true", "Lightning Fabric's precision", choices=("32-true", "bf16-mixed"))
    accelerator: str = _key("auto", "Lightning Fabric's accelerator: auto, cpu, cuda, mps")
    seed: int = _key(0, "seed of weights, order and augmentation")


@dataclass(frozen=True)
class EvaluateConfig:
    """How a trained network is judged."""

    bootstraps: int = _key(1000, "bootstrap draws over hosts behind an interval")
    false_positive_rates: tuple[float, ...] = _key((0.1, 0.01, 0.001), "rates at which completeness is stated")
    min_negatives_at_rate: int = _key(10, "false positives that a rate must leave, or it is refused")
    theta_e_edges: tuple[float, ...] = _key((1.0, 1.5, 2.0), "edges of the bins in theta_E [arcsec]")
    arc_snr_edges: tuple[float, ...] = _key((10.0, 20.0, 50.0, 100.0), "edges of the bins in arc_snr")
    batch_size: int = _key(256, "images scored at a time")
    seed: int = _key(0, "seed of the bootstrap")


@dataclass(frozen=True)
class SelfTestConfig:
    """How the audit is tried out on planted faults."""

    pairs: int = _key(1000, "pairs a set")
    sets: int = _key(3, "sets a fault and strength")
    clean_sets: int = _key(50, "sets without a fault; of 50, one false alarm is the 2 % that is allowed")
    together: bool = _key(False, "plant every two faults at once as well, at the third strength of each")
    seed: int = _key(0, "seed of the sets' pairs and noise, beside audit.seed")


@dataclass(frozen=True)
class Config:
    """All settings.

    Parameters
    ----------
    measure, audit, normalize, build, inject, train, evaluate, selftest : dataclass instance
        The sections.
    """

    measure: MeasureConfig = field(default_factory=MeasureConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    normalize: NormalizerSpec = field(default_factory=NormalizerSpec)
    build: BuildConfig = field(default_factory=BuildConfig)
    inject: InjectConfig = field(default_factory=InjectConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    selftest: SelfTestConfig = field(default_factory=SelfTestConfig)


def as_dict(config):
    """Return a config (or a section) as plain types, as TOML and JSON hold them.

    Parameters
    ----------
    config : dataclass instance
        The config or one of its sections.

    Returns
    -------
    record : dict
        Tuples become lists, an infinite bound None.
    """
    return _plain(dataclasses.asdict(config))


def _plain(thing):
    if isinstance(thing, dict):
        return {key: _plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_plain(value) for value in thing]
    return None if isinstance(thing, float) and math.isinf(thing) else thing


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
        If a key is unknown or a value has the wrong type.
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
        values[name] = _coerce(value, hints[name], label)
        choices = known[name].metadata.get("choices")
        if choices and values[name] not in choices:
            raise ConfigError(f"config key {label!r}", got=repr(value), expected=" or ".join(choices))
    return kind(**values)


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


def load_config(path=None, settings=(), *, section=None):
    """Read a TOML file and apply ``key=value`` settings on top.

    Parameters
    ----------
    path : path-like, optional
        TOML file with sections named as the fields of `Config`.
    settings : iterable of str
        Each ``section.key=value``; the value is TOML, and a bare word is a string.
    section : str, optional
        Section that a key without a dot, in the file or in a setting, belongs to (``train`` for `gen5astro train`).

    Returns
    -------
    config : Config
        Defaults, then the file, then the settings.

    Raises
    ------
    MissingFileError
        If `path` is not there.
    ConfigError
        If the TOML is broken or a key or value cannot be used.
    """
    record = {}
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
    return from_dict(record)


def _is_table(value):
    return isinstance(value, dict)


def _parse_value(text):
    if text.lower() in ("none", "null"):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def describe(kind):
    """List the keys of a section: name, default and meaning.

    Parameters
    ----------
    kind : type
        Class of a section.

    Returns
    -------
    rows : list of tuple
        ``(name, default, doc)``.
    """
    default = kind()
    return [(each.name, getattr(default, each.name), each.metadata.get("doc", "")) for each in dataclasses.fields(kind)]
