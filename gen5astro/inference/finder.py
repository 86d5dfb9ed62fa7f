"""A trained network on its way to where images are scored: what it takes, where it comes from, and its weights.

A `Finder` can be pickled and carries its weights as bytes, so that the processes of a cluster need not read the
checkpoint. Each process makes the network of them once, however many blocks it scores.
"""

import hashlib
import io
import threading
from dataclasses import dataclass, field

import numpy as np
import torch

from gen5astro.errors import SchemaError
from gen5astro.kernels.gather import not_finite
from gen5astro.training.checkpoint import checkpoint_file, load_checkpoint, load_model
from gen5astro.training.score import score_images, sky_inputs
from gen5astro.training.views import VIEWS

__all__ = ["DEPLOYMENT", "Finder", "open_finder"]

#: What is known of every network's fitness for a survey, until it is proven on real lenses.
DEPLOYMENT = "UNKNOWN (not proven on real lenses)"

_PACKED = ("config", "cube", "model", "members")
_loaded: dict[str, tuple] = {}  # the last network that this process scored with, by its digest
_loading = threading.Lock()


@dataclass(frozen=True)
class Finder:
    """A trained network for single images.

    Parameters
    ----------
    label : str
        Its checkpoint.
    digest : str
        SHA-256 of the checkpoint's file.
    bands : tuple of str
        Bands that it takes, in its order.
    shape : tuple of int
        ``(y, x)`` that it takes.
    pixel_scale : float
        Pixel scale that it was trained at [arcsec / pix].
    origin : dict
        Where it comes from, in plain types: ``cube_digest``, ``audit_status``, ``normalizer``, ``override_gate``,
        ``warnings``, ``code_version``.
    packed : bytes
        What the network is made of.
    """

    label: str
    digest: str
    bands: tuple[str, ...]
    shape: tuple[int, int]
    pixel_scale: float
    origin: dict
    packed: bytes = field(repr=False)

    def score(self, images, pixel_scale, *, batch_size):
        """Score images, each from itself alone.

        The network sees batches of one size, the last one filled up: the score of an image depends neither on how many
        others there are nor on where among them it stands. In the thread that calls, torch computes with one thread
        from here on; more images at once are the caller's to arrange.

        Parameters
        ----------
        images : float32 array, (n, band, y, x)
            Fluxes [nanomaggy], of the finder's bands and shape.
        pixel_scale : float
            Their pixel scale [arcsec / pix].
        batch_size : int
            Images that the network sees at once.

        Returns
        -------
        logits : float64 array, (n,)
            Higher means more probably a lens; NaN where an image, or what the normalizer makes of it, is not finite.
        """
        model, spec, device = _network(self)
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        inputs = sky_inputs(images, spec, pixel_scale)
        logits = np.empty(len(inputs))
        batch = np.empty((batch_size, *inputs.shape[1:]), np.float32)
        for start in range(0, len(inputs), batch_size):
            part = inputs[start : start + batch_size]
            batch[: len(part)], batch[len(part) :] = part, 0
            logits[start : start + len(part)] = score_images(model, batch, device=device)[: len(part)]
        logits[not_finite(inputs)] = np.nan
        return logits


def open_finder(path):
    """Read a checkpoint whose network can score images of the sky.

    Parameters
    ----------
    path : path-like
        The folder of a run, whose best checkpoint is taken, or a checkpoint.

    Returns
    -------
    finder : Finder
        The network.

    Raises
    ------
    MissingFileError
        If there is none.
    FormatError
        If the file cannot be read, or is damaged.
    SchemaError
        If it is none of ours, or its network needs a ctrl beside each image.
    """
    file = checkpoint_file(path)
    checkpoint = load_checkpoint(file)
    _refuse_what_needs_a_ctrl(checkpoint, file)
    packed = io.BytesIO()
    torch.save({name: checkpoint[name] for name in _PACKED if name in checkpoint}, packed)
    cube = checkpoint["cube"]
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return Finder(
        label=str(file),
        digest=digest,
        bands=tuple(cube["bands"]),
        shape=tuple(cube["shape"]),
        pixel_scale=cube["pixel_scale"],
        origin={
            "cube_digest": cube["cube_digest"],
            "normalizer": cube["normalizer"],
            **{name: checkpoint[name] for name in ("audit_status", "override_gate", "warnings", "code_version")},
        },
        packed=packed.getvalue(),
    )


def _refuse_what_needs_a_ctrl(checkpoint, file):
    view, kind = checkpoint["config"]["view"], checkpoint["cube"]["normalizer"]["kind"]
    if not checkpoint["deployable"] or view not in VIEWS or not VIEWS[view].deployable:
        raise SchemaError(
            f"checkpoint {file}",
            got=f"a network of view {view!r}, which must be shown a ctrl, and no image of the sky has one",
            expected="one of view 'single'",
            remedy="train with --set view=single",
        )
    if kind == "pair":
        raise SchemaError(
            f"checkpoint {file}",
            got="normalizer 'pair', whose statistics are those of a ctrl, and no image of the sky has one",
            expected="sky, standard or core",
            remedy="build the cube with another normalize.kind",
        )


def _network(finder):
    """The network on this process's device, its normalizer and that device."""
    with _loading:
        if finder.digest not in _loaded:
            _loaded.clear()
            checkpoint = torch.load(io.BytesIO(finder.packed), map_location="cpu", weights_only=True)
            model, _, spec = load_model(checkpoint)
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            _loaded[finder.digest] = model.to(device), spec, device
        return _loaded[finder.digest]
