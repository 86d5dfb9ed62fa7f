"""Scores of a network: its logit for the stamp and the ctrl of a pair, or for images of the sky."""

import numpy as np
import torch

from gen5astro.engine import map_blocks
from gen5astro.kernels.normalize import normalize, normalizer_statistics

__all__ = ["center_crop", "probability", "score_images", "score_pairs", "sky_inputs"]


def score_pairs(model, reader, rows, *, batch_size, device="cpu"):
    """Score the stamp and the ctrl of each pair.

    Parameters
    ----------
    model : torch.nn.Module
        Put into evaluation mode.
    reader : PairReader
        Where the inputs come from.
    rows : int64 array, (n,)
        Rows of the cube.
    batch_size : int
        Images at a time.
    device : torch.device or str
        Where the model is.

    Returns
    -------
    logits : float64 array, (n, 2)
        Of stamp and ctrl; higher means more probably a lens.
    """
    row, label = np.repeat(rows, 2), np.tile([1, 0], len(rows))
    blocks = [slice(start, start + batch_size) for start in range(0, len(row), batch_size)]
    inputs = map_blocks(lambda block: reader.read(row[block], label[block]), blocks, threads=1)
    logits = [score_images(model, images, device=device) for images in inputs]
    return np.concatenate(logits).reshape(-1, 2) if logits else np.empty((0, 2))


def score_images(model, images, *, device="cpu"):
    """Score images that are normalized already.

    Parameters
    ----------
    model : torch.nn.Module
        Put into evaluation mode.
    images : float32 array, (n, channels, y, x)
        Normalized as in the training.
    device : torch.device or str
        Where the model is.

    Returns
    -------
    logits : float64 array, (n,)
        Higher means more probably a lens.
    """
    model.eval()
    with torch.inference_mode():
        return model(torch.from_numpy(images).to(device))[:, 0].double().cpu().numpy()


def sky_inputs(images, spec, pixel_scale):
    """Normalize images of the sky, each from itself alone, as a network that was trained on single images sees them.

    Parameters
    ----------
    images : float32 array, (n, band, y, x)
        Fluxes [nanomaggy]; the network's bands, in its order, and its size.
    spec : NormalizerSpec
        How its inputs are normalized.
    pixel_scale : float
        Pixel scale of the images [arcsec / pix].

    Returns
    -------
    inputs : float32 array, (n, band, y, x)
        Without unit; NaN where a pixel or a statistic is not finite.
    """
    return normalize(images, normalizer_statistics(images, spec, pixel_scale), spec)


def center_crop(image, shape):
    """Cut the middle of an image; where the middle falls between pixels, half a pixel toward the origin.

    Parameters
    ----------
    image : array, (..., y, x)
        The image.
    shape : tuple of int
        ``(y, x)`` to keep.

    Returns
    -------
    middle : array, (..., y, x)
        C-contiguous copy.
    """
    top, left = ((have - want) // 2 for have, want in zip(image.shape[-2:], shape, strict=True))
    return np.ascontiguousarray(image[..., top : top + shape[0], left : left + shape[1]])


def probability(logit):
    """Turn a logit into a score between 0 and 1.

    Parameters
    ----------
    logit : float64 array, or float
        From `score_images`.

    Returns
    -------
    score : float64 array, or float
        Its sigmoid, without overflow.
    """
    result = 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logit)))
    return result if result.ndim else float(result)
