"""Scores of a network: its logit for the stamp and the ctrl of a pair, or for images of the sky."""

import numpy as np
import torch

from gen5astro.engine import map_blocks

__all__ = ["score_images", "score_pairs"]


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
