"""Augmentation on the device: what may change in an image without making a lens of a galaxy or a galaxy of a lens.

Some tens of hosts with hundreds of arcs each are few galaxies: a network soon knows every ctrl by heart, noise and all,
and calls a lens whatever differs. Turning, shifting, blurring and dimming take that way from it; losing the core, or
the balance of the bands, takes others. What is drawn for a stamp is drawn for its ctrl in the same batch too, and both
get the same noise: the two still differ by the arc alone, as it would look.

All happens at once, on linear flux: with ``M`` the shift and the blur, and ``g`` the factor of a pixel,

    x -> g M x + sqrt(1 - g^2 v) e + b

where ``v`` is the share of its variance that white noise keeps under ``M``, and ``e`` standard normal: in units of the
sky's sigma, the sky is as noisy as it was. Where ``g^2 v`` is above 1, nothing is added. ``b`` is a background of its
own for each band, as one that was measured wrong: nothing in a pair says what a network shall do with that, and left
alone it takes a higher sky for an arc.
"""

import math

import torch

from gen5astro.errors import ConfigError
from gen5astro.training.resample import axis_matrix, blur_taps, shift_taps

__all__ = ["augment", "check_augment", "stretch", "unstretch"]

_FWHM = 2 * math.sqrt(2 * math.log(2))
"""FWHM of a Gaussian in units of its sigma."""

_BLUR_REACH = 5.0
"""Reach of a blur in units of its sigma."""


def check_augment(config, spec):
    """Refuse augmentation that needs to know the noise where the normalizer does not tell it.

    `augment_dim` and `augment_background`, which are on by default, are left out there instead.

    Parameters
    ----------
    config : TrainConfig
        Its settings of the augmentation.
    spec : NormalizerSpec
        How the inputs are normalized.

    Raises
    ------
    ConfigError
        If `augment_fwhm_arcsec` or `augment_core_dropout` is asked for and the normalizer's kind is not ``sky``.
    """
    for name in ("augment_fwhm_arcsec", "augment_core_dropout"):
        if getattr(config, name) and spec.kind != "sky":
            raise ConfigError(
                f"train.{name} = {getattr(config, name)}",
                got=f"inputs normalized by kind {spec.kind!r}",
                expected="kind 'sky', whose scale is the sky's sigma: fresh noise is made by it",
                remedy="leave it out, or build the cube with kind sky",
            )


def augment(inputs, draw, *, view, spec, config, generator, fwhm=None, pixel_scale=None, n_draws=None):
    """Shift, blur, dim and otherwise change the inputs of a batch; they are turned when they are read.

    Parameters
    ----------
    inputs : torch.Tensor, (n, channels, y, x)
        Normalized.
    draw : torch.Tensor, (n,)
        Images of one number, a stamp and its own ctrl, are changed alike and get the same noise; numbers from 0.
    view : View
        How many images lie side by side in an input, which are changed alike too, and how noisy they are.
    spec : NormalizerSpec
        How the inputs were normalized. Without kind ``sky``, whose scale is the sky's sigma, no noise is added and
        nothing is dimmed.
    config : TrainConfig
        Its `augment_shift_px`, `augment_fwhm_arcsec`, `augment_dim`, `augment_background`, `augment_core_dropout` and
        `augment_band_jitter`. With all of them off, the inputs come back as they are.
    generator : torch.Generator
        Source of randomness, on the device of the inputs.
    fwhm : torch.Tensor, (n, band), optional
        FWHM of each image's own PSF [arcsec], for `augment_fwhm_arcsec`; the same for images of one draw.
    pixel_scale : float, optional
        Pixel scale [arcsec / pix], for `augment_fwhm_arcsec` and `augment_core_dropout`.
    n_draws : int, optional
        How many draws there are, where these are some images of a batch that others share: what is drawn is that of
        the whole batch.

    Returns
    -------
    augmented : torch.Tensor, (n, channels, y, x)
        Normalized in the same way, of the same dtype and device.

    Raises
    ------
    ConfigError
        If what is asked for needs kind ``sky``, or the FWHM or pixel scale is not given.
    """
    check_augment(config, spec)
    _require_optics(config, fwhm, pixel_scale)
    noisy = spec.kind == "sky"
    dims = noisy and config.augment_dim < 1
    moves = config.augment_shift_px or config.augment_fwhm_arcsec
    # A difference of two images has no background.
    lifts = noisy and config.augment_background > 0 and view.name != "residual"
    if not (moves or dims or lifts or config.augment_core_dropout or config.augment_band_jitter):
        return inputs
    n_bands, shape = inputs.shape[1] // view.images, inputs.shape[2:]
    n_draws = int(draw.max()) + 1 if n_draws is None else n_draws
    like = {"dtype": inputs.dtype, "device": inputs.device}
    random = {**like, "generator": generator}
    linear = unstretch(inputs, spec).unflatten(1, (view.images, n_bands))
    offset, kept = torch.zeros(n_draws, 2, **like), torch.ones((), **like)
    if config.augment_shift_px:
        offset = config.augment_shift_px * (2 * torch.rand(n_draws, 2, **random) - 1)
    if moves:
        y, x = _axis_matrices(offset, draw, shape, config, random, fwhm=fwhm, pixel_scale=pixel_scale)
        linear = y @ linear @ x.mT
        kept = (y**2).sum(-1)[..., :, None] * (x**2).sum(-1)[..., None, :]
    factor = _factors(n_draws, n_bands, config, random, dims=dims)[draw]
    if config.augment_core_dropout:
        lost = torch.rand(n_draws, 1, 1, **random) < config.augment_core_dropout
        lost = (lost & _cores(offset, shape, spec.core_radius_arcsec / pixel_scale))[draw]
        factor = torch.where(lost[:, None, None], 0.0, factor)
    linear = factor * linear
    if noisy:
        noise = view.scatter * torch.randn(n_draws, 1, n_bands, *shape, **random)
        linear = linear + (1 - factor**2 * kept).clamp(min=0).sqrt() * noise[draw]
    if lifts:
        level = config.augment_background * (2 * torch.rand(n_draws, 1, n_bands, 1, 1, **random) - 1)
        linear = linear + level[draw]
    return stretch(linear.flatten(1, 2), spec)


def _require_optics(config, fwhm, pixel_scale):
    needs_scale = [name for name in ("augment_fwhm_arcsec", "augment_core_dropout") if getattr(config, name)]
    if (needs_scale and pixel_scale is None) or (config.augment_fwhm_arcsec and fwhm is None):
        got = "no pixel scale" if pixel_scale is None else "no FWHM of the images"
        raise ConfigError(f"train.{needs_scale[0]}", got=got, expected="those of the cube", remedy="leave it out")


def _axis_matrices(offset, draw, shape, config, random, *, fwhm, pixel_scale):
    """Matrices that shift and then blur along y and x: two of (n, 1, 1 or band, size, size)."""
    reach = math.ceil(config.augment_shift_px) + 2
    matrices = [axis_matrix(shift_taps(offset[:, axis], reach), size)[draw] for axis, size in enumerate(shape)]
    matrices = [each[:, None, None] for each in matrices]
    if not config.augment_fwhm_arcsec:
        return matrices
    widest = config.augment_fwhm_arcsec
    own = fwhm.to(offset).clamp(max=widest)
    target = own + (widest - own) * torch.rand(len(offset), 1, **random)[draw]
    variance = (target**2 - own**2) / (_FWHM * pixel_scale) ** 2
    taps = blur_taps(variance, math.ceil(_BLUR_REACH * widest / (_FWHM * pixel_scale)) + 2)[:, None]
    return [axis_matrix(taps, len(each[0, 0, 0])) @ each for each in matrices]


def _factors(n_draws, n_bands, config, random, *, dims):
    """Draw by what the light of each band is multiplied: (n_draws, 1, band, 1, 1)."""
    factor = torch.ones(n_draws, n_bands, dtype=random["dtype"], device=random["device"])
    if dims:
        factor = config.augment_dim + (1 - config.augment_dim) * torch.rand(n_draws, 1, **random) * factor
    if config.augment_band_jitter:
        factor = factor * (config.augment_band_jitter * torch.randn(n_draws, n_bands, **random)).exp()
    return factor[:, None, :, None, None]


def _cores(offset, shape, radius_px):
    """Find the core's pixels where a shift has brought it: bool, (n_draws, y, x)."""
    y, x = (
        torch.arange(size, dtype=offset.dtype, device=offset.device) - (size - 1) / 2 + offset[:, axis, None]
        for axis, size in enumerate(shape)
    )
    return torch.hypot(y[:, :, None], x[:, None, :]) <= radius_px


def unstretch(inputs, spec):
    """Undo the stretch of a normalizer; what it clipped stays at the clip.

    Parameters
    ----------
    inputs : torch.Tensor, (...)
        Normalized.
    spec : NormalizerSpec
        Its stretch and softening.

    Returns
    -------
    linear : torch.Tensor, (...)
        Flux above the location, in units of the scale.
    """
    return spec.softening * inputs.sinh() if spec.stretch == "asinh" else inputs


def stretch(linear, spec):
    """Stretch and clip as a normalizer does.

    Parameters
    ----------
    linear : torch.Tensor, (...)
        Flux above the location, in units of the scale.
    spec : NormalizerSpec
        Its stretch, softening and clip.

    Returns
    -------
    inputs : torch.Tensor, (...)
        Normalized.
    """
    stretched = (linear / spec.softening).asinh() if spec.stretch == "asinh" else linear
    return stretched if spec.clip is None else stretched.clamp(-spec.clip, spec.clip)
