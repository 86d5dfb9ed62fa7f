"""A trained network on disk: what it was trained on, and whether it fits what it is to be used on.

A checkpoint is written beside its place, synced and renamed, so that whichever moment a run is killed at, the file
under the name is whole. It holds plain types and tensors: ``torch.load(path, weights_only=True)`` reads it.
"""

import os
import zipfile
from pathlib import Path

import torch

from gen5astro.config import NormalizerSpec, TrainConfig, as_dict
from gen5astro.errors import FormatError, MissingFileError, SchemaError
from gen5astro.settings import from_dict
from gen5astro.training.model import Committee, build_model
from gen5astro.training.run import RunFolder
from gen5astro.training.views import VIEWS

__all__ = [
    "PIXEL_SCALE_TOLERANCE",
    "SCHEMA",
    "check_fit",
    "checkpoint_file",
    "describe_cube",
    "load_checkpoint",
    "load_model",
    "save_checkpoint",
    "train_config",
]

SCHEMA = "gen5astro-checkpoint/1"
#: Relative difference of pixel scale that a network is trusted to bear: DES (0.263 arcsec) beside DR10 (0.262).
PIXEL_SCALE_TOLERANCE = 0.01


def save_checkpoint(content, path):
    """Write a checkpoint, whole or not at all.

    Parameters
    ----------
    content : dict
        Plain types and tensors.
    path : path-like
        File to make or replace.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            torch.save({"schema": SCHEMA, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def checkpoint_file(path):
    """Find the file of a checkpoint.

    Parameters
    ----------
    path : path-like
        The file, or the folder of a run, whose best checkpoint is meant.

    Returns
    -------
    file : Path
        It is there.

    Raises
    ------
    MissingFileError
        If there is none.
    """
    path = Path(path)
    remedy = None
    if path.is_dir():
        run = RunFolder(path)
        begun = run.config.is_file() or run.members
        remedy = "it was begun and has not come so far: go on with gen5astro train --resume" if begun else None
        path = run.best
    if not path.is_file():
        expected = "a run of gen5astro train"
        raise MissingFileError(f"checkpoint {path}", got="no such file", expected=expected, remedy=remedy)
    return path


def load_checkpoint(path):
    """Read a checkpoint into the memory of the host.

    Parameters
    ----------
    path : path-like
        The file, or the folder of a run, whose best checkpoint is read.

    Returns
    -------
    checkpoint : dict
        What `save_checkpoint` was given.

    Raises
    ------
    MissingFileError
        If there is none.
    FormatError
        If the file cannot be read, or a byte of it has changed since it was written.
    SchemaError
        If it is none of ours, or of another version.
    """
    path = checkpoint_file(path)
    try:
        _check_sums(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        others = [name for name in ("best.ckpt", "last.ckpt") if name != path.name and (path.parent / name).is_file()]
        raise FormatError(
            f"checkpoint {path}",
            got=_what_it_is(path),
            expected="best.ckpt or last.ckpt of a run of gen5astro train, or the folder of the run",
            remedy=f"{others[0]} beside it may be whole; to train again, use --force" if others else None,
        ) from error
    schema = checkpoint.get("schema") if isinstance(checkpoint, dict) else None
    if schema != SCHEMA:
        raise SchemaError(f"checkpoint {path}", got=f"schema {schema!r}", expected=repr(SCHEMA), remedy="train again")
    return checkpoint


def _check_sums(path):
    """Check the sums that torch writes into its archive and does not look at when it reads."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)


def _what_it_is(path):
    """What a file that torch cannot read looks like by its first bytes."""
    with path.open("rb") as file:
        start = file.read(8)
    if start == b"\x89HDF\r\n\x1a\n":
        return "an HDF5 file"
    if start.startswith(b"PK\x03\x04"):
        return "a truncated or damaged file, or an archive of another kind"
    return "a file of another kind" if start else "an empty file"


def describe_cube(cube):
    """Take from a cube what a checkpoint must know of it.

    Parameters
    ----------
    cube : Cube
        The open cube.

    Returns
    -------
    description : dict
        Bands, pixel scale, shape, normalizer and digests; plain types.
    """
    return {
        "bands": list(cube.bands),
        "pixel_scale": float(cube.pixel_scale),
        "shape": list(map(int, cube.shape)),
        "normalizer": as_dict(cube.normalizer_spec),
        "cube_digest": str(cube.attributes["cube_digest"]),
        "split_digest": str(cube.attributes["split_digest"]),
    }


def check_fit(checkpoint, cube, *, label, same_cube=False):
    """Refuse a cube that a network was not made for.

    Parameters
    ----------
    checkpoint : dict
        From `load_checkpoint`.
    cube : Cube
        The open cube.
    label : str
        What to call the cube in messages.
    same_cube : bool
        Whether it must be the very cube of the training, as for going on with a run.

    Raises
    ------
    SchemaError
        If bands, pixel scale, shape or normalizer differ, or the cube does where it must not.
    """
    trained, found = checkpoint["cube"], describe_cube(cube)
    names = ["bands", "shape", "normalizer"] + (["cube_digest"] if same_cube else [])
    wrong = [name for name in names if trained[name] != found[name]]
    if abs(found["pixel_scale"] / trained["pixel_scale"] - 1) > PIXEL_SCALE_TOLERANCE:
        wrong.append("pixel_scale")
    if wrong:
        name = wrong[0]
        expected, got = trained[name], found[name]
        if name == "normalizer":
            differing = [key for key in expected if expected[key] != got.get(key)]
            expected, got = ({key: each.get(key) for key in differing} for each in (expected, got))
        remedy = "resume on the cube that the run began with" if same_cube else "use a cube made as the one trained on"
        raise SchemaError(
            f"cube {label}, {name.replace('_', ' ')}",
            got=got,
            expected=f"{expected}, as the checkpoint has it",
            remedy=remedy,
        )


def train_config(checkpoint):
    """Return the settings that a network was trained with.

    Parameters
    ----------
    checkpoint : dict
        From `load_checkpoint`.

    Returns
    -------
    config : TrainConfig
        As resolved when the run began.
    """
    return from_dict(checkpoint["config"], TrainConfig)


def load_model(checkpoint):
    """Rebuild the network of a checkpoint.

    Parameters
    ----------
    checkpoint : dict
        From `load_checkpoint`.

    Returns
    -------
    model : torch.nn.Module
        On the CPU, in evaluation mode; of a committee all its networks, whose logit is the mean of theirs.
    view : View
        What it sees.
    spec : NormalizerSpec
        How its inputs are normalized.
    """
    record = {**checkpoint["config"], "pretrained": False}
    config = from_dict(record, TrainConfig)
    states = checkpoint["model"] if "members" in checkpoint else [checkpoint["model"]]
    view = VIEWS[config.view]
    models = [build_model(config, view.channels(checkpoint["cube"]["bands"])) for _ in states]
    for model, state in zip(models, states, strict=True):
        model.load_state_dict(state)
    model = Committee(models) if "members" in checkpoint else models[0]
    return model.eval(), view, from_dict(checkpoint["cube"]["normalizer"], NormalizerSpec)
