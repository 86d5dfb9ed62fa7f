"""What a cube holds: every dataset and attribute, and the digests that identify its content.

The writer creates what stands here, the reader refuses what differs, the page "file format" is tested against it.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

__all__ = [
    "ATTRIBUTES",
    "CHECKSUM_BLOCK",
    "DATASETS",
    "FORMS",
    "OLDER",
    "SCHEMA_VERSION",
    "SHARD_SCHEMA",
    "SPLITS",
    "Attribute",
    "Dataset",
    "block_checksums",
    "content_digest",
    "datasets_of",
]

SCHEMA_VERSION = "gen5astro-cube/3"
SHARD_SCHEMA = "gen5astro-shard/1"
SPLITS = ("train", "val", "test")
CHECKSUM_BLOCK = 256
FORMS = ("float32", "float16", "int16")
#: Versions that are read as well, and the attributes that they lack: their pixels are float32.
OLDER = {"gen5astro-cube/2": ("pixels", "quantization")}


@dataclass(frozen=True)
class Dataset:
    """One dataset of a cube.

    Parameters
    ----------
    name : str
        Path in the file; ``*`` stands for any column.
    dtype : str
        Type of an element; ``column`` is a number or fixed-length UTF-8 text, ``pixels`` the form of the cube.
    axes : tuple of str or int
        Length of each axis: ``n`` pairs, ``band``, ``y``, ``x``, ``block`` or a number; ``...`` for whatever follows.
    unit : str
        Unit; '' where there is none.
    meaning : str
        What it holds.
    forms : tuple of str
        Forms of cubes that have it.
    """

    name: str
    dtype: str
    axes: tuple
    unit: str
    meaning: str
    forms: tuple = FORMS


@dataclass(frozen=True)
class Attribute:
    """One attribute of the root group of a cube.

    Parameters
    ----------
    name : str
        Its name.
    dtype : type
        str (UTF-8), float or int.
    meaning : str
        What it says.
    """

    name: str
    dtype: type
    meaning: str


_IMAGE = ("n", "band", "y", "x")
_LOSSY = FORMS[1:]

#: Every dataset, in the order in which the format page lists them.
DATASETS = (
    Dataset(
        "stamp", "pixels", _IMAGE, "nmgy", "host with arc, physical flux, never normalized; contiguous, or in shards"
    ),
    Dataset("ctrl", "pixels", _IMAGE, "nmgy", "the same host without the arc; contiguous, or in shards"),
    Dataset("step", "float32", ("n", "band"), "nmgy", "of int16 pixels: flux = code * step, in float32", ("int16",)),
    Dataset("catalog/*", "column", ("n",), "", "a column of the input's catalog; NaN or '' where a value is missing"),
    Dataset("split", "uint8", ("n",), "", f"0 {SPLITS[0]}, 1 {SPLITS[1]}, 2 {SPLITS[2]}"),
    Dataset("group", "int64", ("n",), "", "objects on one host or close on the sky have one label, from 0"),
    Dataset(
        "normalizer/stamp",
        "float64",
        ("n", "band", 2),
        "nmgy",
        "location and scale that the normalizer takes from stamp",
    ),
    Dataset("normalizer/ctrl", "float64", ("n", "band", 2), "nmgy", "the same of ctrl"),
    Dataset(
        "row",
        "int64",
        ("n",),
        "",
        "number of the row in the input, from 0; each once",
    ),
    Dataset("digest", "uint64", ("n", 2), "", "XXH64, seed 0, of stamp[i] and of ctrl[i] as little-endian float32"),
    Dataset(
        "fingerprint",
        "uint64",
        ("n", 4),
        "",
        "256 bits that a rounded, rescaled, turned or shifted ctrl[i] nearly keeps",
    ),
    Dataset(
        "checksum",
        "uint64",
        ("block", 2),
        "",
        f"of the stamps and ctrls of each {CHECKSUM_BLOCK} pairs: first 8 bytes of BLAKE2b over their digests",
    ),
    Dataset(
        "quantization/stamp",
        "float32",
        ("n", "band", 2),
        "nmgy",
        "error of stamp in its form: rms of a pixel, and of the flux within 1 arcsec of the center",
        _LOSSY,
    ),
    Dataset("quantization/ctrl", "float32", ("n", "band", 2), "nmgy", "the same of ctrl", _LOSSY),
    Dataset(
        "quantization/noise",
        "float32",
        ("n", "band", 2),
        "nmgy",
        "sky noise of ctrl before: of a pixel (1.4826 MAD of the annulus), and of that flux",
        _LOSSY,
    ),
    Dataset(
        "measure/*", "column", ("n", "..."), "", "a column of the audit's measurements, where an audit was embedded"
    ),
)

#: Every attribute of the root group, in the order in which the format page lists them.
ATTRIBUTES = (
    Attribute("schema", str, f"version of this format, {SCHEMA_VERSION}"),
    Attribute("bands", str, "names of the bands in the order of the planes, separated by commas"),
    Attribute("pixel_scale", float, "pixel scale [arcsec / pix]"),
    Attribute("zero_point", float, "AB magnitude of a flux of 1, 22.5"),
    Attribute("survey", str, "name of the survey, or ''"),
    Attribute("input", str, "what the cube was built from"),
    Attribute("pixels", str, "form of stamp and ctrl: float32, float16 or int16"),
    Attribute("quantization", str, "JSON: how large the error of that form is, or '' for float32"),
    Attribute("n_in", int, "rows of the input"),
    Attribute("n_ok", int, "pairs in the cube; n_in = n_ok + n_rejected"),
    Attribute("n_rejected", int, "rows that could not be used, or were left out on purpose"),
    Attribute("normalizer", str, "JSON: the normalizer whose statistics are stored"),
    Attribute("config", str, "JSON: every setting of the build"),
    Attribute("audit", str, "JSON: the audit of these pairs (gen5astro-audit/1), or '' where none was embedded"),
    Attribute(
        "input_digest", str, "SHA-256 over digest in the order of row, as little-endian bytes: identifies the pixels"
    ),
    Attribute("split_digest", str, "SHA-256 over digest and the names of the splits: identifies the split"),
    Attribute("cube_digest", str, "SHA-256 over all but audit, measure, config, input and the three below"),
    Attribute("seal", str, "SHA-256 over what cube_digest leaves out, of attributes and datasets"),
    Attribute("code_version", str, "version of gen5astro that wrote the file"),
    Attribute("created", str, "time of writing, ISO 8601, UTC"),
)


def datasets_of(form, *, only=False):
    """Return the datasets of a cube by the form of its pixels.

    Parameters
    ----------
    form : str
        One of `FORMS`.
    only : bool
        Whether to leave out those that every form has.

    Returns
    -------
    datasets : tuple of Dataset
        In the order of `DATASETS`.
    """
    return tuple(each for each in DATASETS if form in each.forms and not (only and each.forms == FORMS))


def content_digest(digests, row):
    """Digest of the pixels of many pairs, the same wherever they are stored.

    Parameters
    ----------
    digests : uint64 array, (n, 2)
        Digest of each stamp and ctrl.
    row : int64 array, (n,)
        Row of the input that each pair came from; their order is that of the digest.

    Returns
    -------
    text : str
        SHA-256 over the little-endian bytes, hexadecimal.
    """
    return hashlib.sha256(np.ascontiguousarray(digests[np.argsort(row)], dtype="<u8").tobytes()).hexdigest()


def block_checksums(digests):
    """Checksum of the stamps and of the ctrls of each block of rows.

    Parameters
    ----------
    digests : uint64 array, (n, 2)
        Digest of each stamp and ctrl.

    Returns
    -------
    checksums : uint64 array, (ceil(n / CHECKSUM_BLOCK), 2)
        First eight bytes of the BLAKE2b digest of each block's digests, little-endian.
    """
    digests = np.asarray(digests, "<u8")
    starts = range(0, len(digests), CHECKSUM_BLOCK)
    blocks = [digests[start : start + CHECKSUM_BLOCK] for start in starts]
    words = [hashlib.blake2b(block[:, image].tobytes(), digest_size=8).digest() for block in blocks for image in (0, 1)]
    return np.frombuffer(b"".join(words), "<u8").astype(np.uint64).reshape(-1, 2)
