"""Every setting of every command: one frozen dataclass a section.

A section's fields carry their default, and their ``metadata``: ``doc`` says in a line what a key means (``--help``, the
docs and `describe` are made from it), ``choices`` which words it allows, ``within`` which numbers.
`gen5astro.settings` reads them.
"""

import dataclasses
import math
from dataclasses import dataclass, field

__all__ = [
    "AuditConfig",
    "BuildConfig",
    "Config",
    "CutoutConfig",
    "EvaluateConfig",
    "InjectConfig",
    "MeasureConfig",
    "NormalizerSpec",
    "PredictConfig",
    "SelfTestConfig",
    "TrainConfig",
    "as_dict",
    "describe",
]


_SHARE, _COUNT, _POSITIVE = (0, 1), (1, math.inf), (0, math.inf)
_POLICIES = ("include", "exclude", "weight", "curriculum")
_MEMORY = ("auto", "mapped", "host", "device")


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
    judge_pairs: int = _key(
        20_000, "pairs that classifiers see at most; hosts are there as evenly as can be", within=_COUNT
    )
    folds: int = _key(5, "folds of the cross-validation; all pairs of one host are in one fold", within=(2, math.inf))
    bootstraps: int = _key(1000, "bootstrap draws over hosts behind an interval", within=_COUNT)
    permutations: int = _key(50, "label permutations behind a null", within=_COUNT)
    min_effective_hosts: float = _key(20.0, "effective number of independent hosts below which nothing is judged")
    theta_e_edges: tuple[float, ...] = _key((1.0, 2.0), "edges of the theta_E strata [arcsec]")
    arc_snr_edges: tuple[float, ...] = _key((20.0, 50.0), "edges of the arc_snr strata")
    min_separation_arcsec: float = _key(
        10.0, "objects closer than this on the sky belong to one group [arcsec]", within=_POSITIVE
    )
    known_lens_radius_arcsec: float = _key(5.0, "a ctrl no farther than this from a known lens is that lens [arcsec]")
    classic_auc: float = _key(0.70, "threshold of the classic core-only test, shown for comparison")
    max_reject_fraction: float = _key(0.01, "share of bad rows above which a run fails", within=_SHARE)
    explain_pairs: int = _key(30, "pairs that --explain fits a lens and a source to", within=_COUNT)
    limits: dict[str, dict[str, list[float | None]]] = _key(
        {}, "limits that replace a gate's own: [audit.limits.GATE] NAME = [low, high]; -inf or inf leaves a side open"
    )


@dataclass(frozen=True)
class NormalizerSpec:
    """How pixels are scaled for a network; stored in cube and checkpoint, and compared."""

    kind: str = _key("sky", "sky, standard, core or pair", choices=("sky", "standard", "core", "pair"))
    stretch: str = _key("asinh", "none or asinh", choices=("none", "asinh"))
    softening: float = _key(
        3.0, "asinh(x / softening): where the stretch turns logarithmic, in units of the scale", within=_POSITIVE
    )
    clip: float | None = _key(None, "absolute value at which the result is clipped, or none")
    annulus_fraction: tuple[float, float] = _key((0.75, 1.0), "the sky annulus of kind sky, as in measure")
    core_radius_arcsec: float = _key(1.0, "the core of kind core [arcsec]")


@dataclass(frozen=True)
class BuildConfig:
    """How the cube is built and split."""

    split: str = _key(
        "sky",
        "sky (by host and cell of the sky), brick (by host and column brickname), or given (column region_split)",
        choices=("sky", "brick", "given"),
    )
    repair: bool = _key(False, "mend a given split that leaks by moving the fewest hosts")
    fractions: tuple[float, float, float] = _key(
        (0.7, 0.15, 0.15), "shares of the pairs in train, val and test", within=_SHARE
    )
    split_seed: int = _key(0, "seed of the stable hash that orders hosts and cells for the splits")
    min_separation_arcsec: float = _key(10.0, "objects closer than this share a group [arcsec]", within=_POSITIVE)
    guard_arcsec: float = _key(
        60.0,
        "objects closer than this, or than an image's diagonal, share a split, whatever their cell or brick [arcsec]",
        within=_POSITIVE,
    )
    cell_deg: float = _key(0.1, "side of the cells of the sky that are in one split [deg]", within=(0.001, 90))
    known_lenses: str = _key(
        "reject",
        "reject pairs whose ctrl is a known lens (within audit.known_lens_radius_arcsec), or keep them",
        choices=("reject", "keep"),
    )
    nonfinite: str = _key(
        "reject",
        "reject pairs with a pixel that is not finite, which no network can be shown, or keep them",
        choices=("reject", "keep"),
    )
    pixels: str = _key(
        "float32",
        "form of the stored pixels: float32 (lossless), float16, or int16 (dithered at 1/16 of the sky noise)",
        choices=("float32", "float16", "int16"),
    )
    block: int = _key(256, "pairs read and written at a time", within=_COUNT)
    shard_pairs: int = _key(50_000, "pairs of one file; of more, each file holds neighbors on the sky", within=_COUNT)


@dataclass(frozen=True)
class InjectConfig:
    """What is drawn and how it is rendered."""

    size: int = _key(64, "side of the written images [pix]", within=(16, math.inf))
    supersampling: int = _key(3, "rays a pixel side", within=_COUNT)
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
    velocity_dispersion_kms: float = _key(
        250.0, "velocity dispersion of a host whose table states none [km / s]", within=_POSITIVE
    )
    z_lens: tuple[float, float] = _key((0.2, 0.7), "uniform range of the lens redshift")
    z_source: tuple[float, float] = _key((0.9, 3.0), "uniform range of the source redshift")
    theta_e_arcsec: tuple[float, float] = _key((0.5, 3.0), "draws outside this range are drawn again [arcsec]")
    source_mag_r: tuple[float, float] = _key((23.0, 26.0), "uniform range of the source's unlensed r magnitude (AB)")
    source_offset: float = _key(
        0.5, "sources lie uniformly in area within this many theta_E of the lens, at most 0.8", within=(0, 0.8)
    )
    shear: tuple[float, float] = _key((0.0, 0.08), "uniform range of the external shear")
    poisson: bool = _key(False, "add the arc's own photon noise")
    gain_electrons_per_nmgy: float = _key(300.0, "electrons a nanomaggy behind poisson")


@dataclass(frozen=True)
class CutoutConfig:
    """How stamps are cut out of coadds."""

    size: int = _key(91, "side of the stamps [pix]; inject needs room about the galaxy", within=(16, math.inf))
    max_missing_fraction: float = _key(
        0.0,
        "share of a stamp's pixels that may be without data in a band; inject takes whole galaxies",
        within=_SHARE,
    )


@dataclass(frozen=True)
class TrainConfig:
    """What is trained and how; names as the field knows them."""

    view: str = _key(
        "single",
        "single (stamp or ctrl), paired (both side by side) or residual (stamp less ctrl, against noise)",
        choices=("single", "paired", "residual"),
    )
    input_channels: int | None = _key(None, "channels of the network; default: the view's bands")

    use_ctrl_as_negative: bool = _key(True, "show each host's ctrl as a negative")
    batch_composition: dict[str, float] = _key(
        {"positives": 1, "negatives": 1}, "ratio of positives to negatives in a batch; a host's two stay together"
    )
    balance: tuple[str, ...] = _key((), "strata that come equally often: theta_e, arc_snr, or both")
    extra_negatives: str | None = _key(None, "cutouts without lenses (spirals, rings, mergers), as predict takes them")
    extra_negative_share: float = _key(0.25, "share of a batch's negatives that extra_negatives gives", within=_SHARE)
    batch_size: int = _key(128, "images a step, on all devices together", within=_COUNT)

    arc_snr_policy: str = _key("include", "what is done with arcs below arc_snr_threshold", choices=_POLICIES)
    arc_snr_threshold: float = _key(10.0, "signal-to-noise of the arc, as the audit measured it", within=_POSITIVE)
    theta_e_policy: str = _key("include", "what is done with rings below theta_e_threshold", choices=_POLICIES)
    theta_e_threshold: float = _key(1.0, "Einstein radius in units of the PSF's FWHM", within=_POSITIVE)
    curriculum_fraction: float = _key(
        0.5, "share of the epochs in which the thresholds of policy curriculum fall to zero", within=_SHARE
    )

    model_name: str = _key("resnet18", "a classifier of torchvision")
    pretrained: bool | str = _key(False, "false, true (torchvision's hub), or a file of weights")
    width: int | None = _key(None, "width of the first stage of a ResNet; default: the model's own (64)")
    small_input_stem: bool = _key(False, "let a ResNet begin with 3 x 3 pixels and without pooling, for small images")

    loss: str = _key("bce", "bce (binary cross-entropy) or focal", choices=("bce", "focal"))
    label_smoothing: float = _key(0.0, "labels become 1 - s/2 and s/2", within=_SHARE)
    focal_gamma: float = _key(2.0, "exponent of the focal loss", within=_POSITIVE)
    pair_loss: str = _key(
        "none", "contrast of a stamp and its own ctrl: none, margin or infonce", choices=("none", "margin", "infonce")
    )
    pair_weight: float = _key(0.1, "weight of pair_loss beside the loss", within=_POSITIVE)
    pair_margin: float = _key(1.0, "distance in the embedding that pair_loss margin asks for", within=_POSITIVE)
    pair_temperature: float = _key(0.1, "temperature of pair_loss infonce", within=_POSITIVE)

    augment: bool = _key(True, "random flips, quarter turns and what follows, the same for both members of a pair")
    augment_shift_px: float = _key(0.0, "largest shift along an axis [pix]; between pixels, it interpolates")
    augment_fwhm_arcsec: float = _key(0.0, "largest PSF FWHM that an image is blurred to [arcsec]", within=_POSITIVE)
    augment_dim: float = _key(
        0.5, "smallest factor by which an image is made fainter under the same noise (kind sky)", within=_SHARE
    )
    augment_background: float = _key(
        0.3, "largest background that is added to or taken from a band [sky sigma] (kind sky)", within=_POSITIVE
    )
    augment_core_dropout: float = _key(0.0, "chance that the core is replaced by sky", within=_SHARE)
    augment_band_jitter: float = _key(0.0, "rms of ln of the factor by which each band is brightened", within=_SHARE)

    epochs: int = _key(10, "passes over the training pairs", within=_COUNT)
    optimizer: str = _key("adamw", "adamw", choices=("adamw",))
    learning_rate: float = _key(1e-3, "peak learning rate")
    warmup_fraction: float = _key(
        0.05, "share of the steps in which the learning rate rises to its peak", within=_SHARE
    )
    weight_decay: float = _key(0.05, "decoupled weight decay")
    clip_norm: float = _key(1.0, "norm that gradients are clipped to; 0 leaves them", within=_POSITIVE)
    ema_decay: float = _key(
        0.99, "decay of the running mean of weights that is judged and kept; 0 has none", within=_SHARE
    )
    patience: int = _key(0, "epochs without a better validation after which a run ends; 0 never", within=_POSITIVE)
    val_false_positive_rate: float = _key(
        0.01, "rate of false positives at which the validation's completeness decides what is best", within=_SHARE
    )
    watch_pairs: int = _key(256, "validation pairs that the shortcut watch tries; 0 leaves it out", within=_POSITIVE)

    memory: str = _key(
        "auto", "where the training images lie: mapped (disk), host, device, or auto, by size", choices=_MEMORY
    )
    precision: str = _key("32-true", "Lightning Fabric's precision", choices=("32-true", "bf16-mixed"))
    channels_last: bool = _key(False, "keep a pixel's channels together, which convolutions in bf16 like")
    compile: bool = _key(False, "compile the network first (torch.compile)")
    deterministic: bool = _key(
        False, "use no algorithm on CUDA that may differ from run to run, which is slower; on the CPU none does"
    )
    accelerator: str = _key("auto", "Lightning Fabric's accelerator: auto, cpu, cuda, mps")
    devices: int = _key(
        1, "processes on this machine, a device each; torchrun and SLURM start their own", within=_COUNT
    )
    checkpoint_minutes: float = _key(10.0, "a checkpoint is written at least so often [min]", within=_POSITIVE)
    seed: int = _key(0, "seed of weights, order and augmentation")


@dataclass(frozen=True)
class EvaluateConfig:
    """How a trained network is judged."""

    bootstraps: int = _key(1000, "bootstrap draws over hosts behind an interval", within=_COUNT)
    false_positive_rates: tuple[float, ...] = _key(
        (0.1, 0.01, 0.001), "rates at which completeness is stated", within=_SHARE
    )
    min_negatives_at_rate: int = _key(10, "false positives that a rate must leave, or it is refused")
    theta_e_edges: tuple[float, ...] = _key((1.0, 1.5, 2.0), "edges of the bins in theta_E [arcsec]")
    arc_snr_edges: tuple[float, ...] = _key((10.0, 20.0, 50.0, 100.0), "edges of the bins in arc_snr")
    clear_arc_snr: float = _key(20.0, "signal-to-noise from which an arc counts as clear, beside its theta_E")
    clear_theta_e_arcsec: float = _key(1.2, "Einstein radius from which it does [arcsec]")
    batch_size: int = _key(256, "images scored at a time", within=_COUNT)
    seed: int = _key(0, "seed of the bootstrap")


@dataclass(frozen=True)
class PredictConfig:
    """How images of the sky are scored."""

    batch_size: int = _key(
        64, "images that the network sees at once; another number may change the last digits of a logit", within=_COUNT
    )
    thresholds: tuple[float, ...] = _key((0.5, 0.9), "scores above which images are counted", within=_SHARE)


@dataclass(frozen=True)
class SelfTestConfig:
    """How the audit is tried out on planted faults."""

    pairs: int = _key(1000, "pairs a set", within=_COUNT)
    sets: int = _key(3, "sets a fault and strength", within=_POSITIVE)
    clean_sets: int = _key(
        50, "sets without a fault; of 50, one false alarm is the 2 % that is allowed", within=_POSITIVE
    )
    together: bool = _key(False, "plant every two faults at once as well, at the third strength of each")
    seed: int = _key(0, "seed of the sets' pairs and noise, beside audit.seed")


@dataclass(frozen=True)
class Config:
    """All settings.

    Parameters
    ----------
    measure, audit, normalize, build, inject, cutout, train, evaluate, predict, selftest : dataclass instance
        The sections.
    """

    measure: MeasureConfig = field(default_factory=MeasureConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    normalize: NormalizerSpec = field(default_factory=NormalizerSpec)
    build: BuildConfig = field(default_factory=BuildConfig)
    inject: InjectConfig = field(default_factory=InjectConfig)
    cutout: CutoutConfig = field(default_factory=CutoutConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    predict: PredictConfig = field(default_factory=PredictConfig)
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
