"""Augmentation on the device: what may change in an image without making a lens of a galaxy or a galaxy of a lens.

Some tens of hosts with hundreds of arcs each are few galaxies: a network soon knows every ctrl by heart, noise and all,
and calls a lens whatever differs. Turning, shifting and dimming take that way from it. What is drawn for a stamp is
drawn for its ctrl in the same batch too, so that the two still differ by the arc alone.
"""

import torch

__all__ = ["augment", "dim", "shift"]


def augment(inputs, draw, *, view, spec, config, generator):
    """Shift and dim the inputs of a batch; they are turned when they are read.

    Parameters
    ----------
    inputs : torch.Tensor, (n, channels, y, x)
        Normalized.
    draw : torch.Tensor, (n,)
        Images of one number are shifted and dimmed alike; numbers from 0.
    view : View
        How many images lie side by side in an input.
    spec : NormalizerSpec
        How the inputs were normalized.
    config : TrainConfig
        Its `augment_shift_px` and `augment_dim`.
    generator : torch.Generator
        Source of randomness, on the device of the inputs.

    Returns
    -------
    augmented : torch.Tensor, (n, channels, y, x)
        Of the same dtype and device.
    """
    if config.augment_shift_px:
        inputs = shift(inputs, draw, max_px=config.augment_shift_px, generator=generator)
    if config.augment_dim < 1 and spec.kind == "sky":
        inputs = dim(inputs, draw, faintest=config.augment_dim, n_images=view.images, spec=spec, generator=generator)
    return inputs


def shift(images, draw, *, max_px, generator):
    """Shift each image by whole pixels, mirrored at the edge that comes in.

    Parameters
    ----------
    images : torch.Tensor, (n, channels, y, x)
        The images.
    draw : torch.Tensor, (n,)
        Images of one number are shifted alike.
    max_px : int
        Largest shift along an axis [pix]; all up to it are equally likely.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    shifted : torch.Tensor, (n, channels, y, x)
        Pixel values as they were.
    """
    offset = torch.randint(-max_px, max_px + 1, (int(draw.max()) + 1, 2), generator=generator, device=images.device)[
        draw
    ]
    y, x = (
        _mirrored(torch.arange(size, device=images.device) + offset[:, axis : axis + 1], size)
        for axis, size in enumerate(images.shape[-2:])
    )
    n, channels = (torch.arange(size, device=images.device) for size in images.shape[:2])
    return images[n[:, None, None, None], channels[:, None, None], y[:, None, :, None], x[:, None, None, :]]


def _mirrored(at, size):
    """Fold indices that leave 0 to size - 1 back in."""
    at = at.abs()
    return torch.where(at > size - 1, 2 * (size - 1) - at, at)


def dim(images, draw, *, faintest, n_images, spec, generator):
    """Show each image as if all that is in it were fainter, under as much noise as before.

    For pixels in units of the sky's sigma, ``x -> s x + sqrt(1 - s^2) e`` with ``e`` standard normal leaves the sigma
    of the sky at 1; ``s`` is uniform from `faintest` to 1. A stretch is undone first and done again.

    Parameters
    ----------
    images : torch.Tensor, (n, channels, y, x)
        Normalized by kind ``sky``.
    draw : torch.Tensor, (n,)
        Images of one number are dimmed alike and get the same noise.
    faintest : float
        Smallest factor, above 0.
    n_images : int
        Images side by side in an input; they get the same noise.
    spec : NormalizerSpec
        The stretch and clip.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    dimmed : torch.Tensor, (n, channels, y, x)
        Normalized in the same way.
    """
    channels, *shape = images.shape[1:]
    n_draws, like = int(draw.max()) + 1, {"generator": generator, "device": images.device}
    factor = faintest + (1 - faintest) * torch.rand(n_draws, 1, 1, 1, **like)
    noise = torch.randn(n_draws, channels // n_images, *shape, **like) * (1 - factor**2).sqrt()
    linear = spec.softening * images.sinh() if spec.stretch == "asinh" else images
    linear = factor[draw] * linear + noise.repeat(1, n_images, 1, 1)[draw]
    stretched = (linear / spec.softening).asinh() if spec.stretch == "asinh" else linear
    return stretched if spec.clip is None else stretched.clamp(-spec.clip, spec.clip)
