"""Digests that identify what a cube holds, taken when it is written and again when it is verified."""

import hashlib

import h5py
import numpy as np

__all__ = ["cube_digest", "seal_digest"]

_IDENTITY = ("schema", "bands", "pixel_scale", "zero_point", "survey", "n_in", "normalizer", "split_digest")
_IDENTITY += ("pixels", "quantization")
_PIXELS = ("stamp", "ctrl")
_ROWS = 1 << 16


def cube_digest(file, attributes):
    """Digest all datasets but the audit's, pixels by their own digests, and what says how to read them.

    Parameters
    ----------
    file : h5py.File
        The cube.
    attributes : dict
        Attributes of its root group.

    Returns
    -------
    text : str
        SHA-256, hexadecimal: two cubes share it if a network cannot tell them apart.
    """
    hashed = hashlib.sha256()
    for name in (each for each in _IDENTITY if each in attributes):
        hashed.update(f"{name}={attributes[name]}\n".encode())
    for name in _datasets(file):
        if name not in (*_PIXELS, "checksum") and not name.startswith("measure/"):
            _add(hashed, file, name)
    return hashed.hexdigest()


def seal_digest(file, attributes):
    """Digest all that `cube_digest` leaves out: the other attributes, and the datasets that an audit brought.

    Parameters
    ----------
    file : h5py.File
        The cube.
    attributes : dict
        Attributes of its root group; the seal itself does not count.

    Returns
    -------
    text : str
        SHA-256, hexadecimal.
    """
    hashed = hashlib.sha256()
    for name in sorted(set(attributes) - {"seal"}):
        hashed.update(f"{name}={attributes[name]}\n".encode())
    for name in _datasets(file):
        for key, value in sorted(file[name].attrs.items()):
            hashed.update(f"{name}@{key}={value}\n".encode())
        if name == "checksum" or name.startswith("measure/"):
            _add(hashed, file, name)
    return hashed.hexdigest()


def _datasets(file):
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(names)


def _add(hashed, file, name):
    dataset = file[name]
    hashed.update(f"{name} {dataset.dtype} {dataset.shape}\n".encode())
    for start in range(0, len(dataset), _ROWS):
        hashed.update(np.ascontiguousarray(dataset[start : start + _ROWS]).tobytes())
