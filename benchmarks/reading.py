"""Images from npz bytes, and from stored pixels to rows of a block, against NumPy."""

import io

import numpy as np
import xxhash

from benchmarks.comparison import Comparison, Peer
from gen5astro.io.ingest import ingest_row
from gen5astro.io.npz import decode_npz, encode_npz

BANDS = ("g", "r", "z")


class StoredNpz(Comparison):
    """Read the three planes of an npz whose members are not compressed."""

    name = "npz, stored"
    compress = False
    peers = {"time_numpy": Peer("numpy load", 10.0, share=0.5)}

    def setup(self):
        images = np.random.default_rng(0).normal(size=(self.count, 3, 64, 64)).astype(np.float32)
        self.payloads = [encode_npz(image, BANDS, compress=self.compress) for image in images]

    def time_gen5astro(self):
        return [decode_npz(payload, bands=BANDS).pixels for payload in self.payloads]

    def time_numpy(self):
        images = []
        for payload in self.payloads[: self.part("time_numpy")]:
            with np.load(io.BytesIO(payload)) as archive:
                images.append([archive[f"image_{band}"] for band in BANDS])
        return images


class DeflatedNpz(StoredNpz):
    """Read the three planes of an npz whose members are deflated."""

    name = "npz, deflated"
    compress = True
    count = 500
    peers = {"time_numpy": Peer("numpy load", 2.9)}


class Ingest(Comparison):
    """Big-endian pixels, bands last, to a row of a block: converted, counted and digested."""

    name = "ingest of a row"
    count = 2000
    peers = {"time_numpy": Peer("numpy, a pass for each, and xxhash", 3.0)}

    def setup(self):
        self.wires = np.random.default_rng(0).normal(size=(self.count, 64, 64, 3)).astype(">f4")
        self.out = np.empty((self.count, 3, 64, 64), np.float32)

    def time_gen5astro(self):
        census = [ingest_row(wire, out, layout="hwc")[0] for wire, out in zip(self.wires, self.out, strict=True)]
        return np.array(census)

    def time_limit(self):
        np.copyto(self.out.reshape(self.wires.shape), self.wires.view(np.float32))

    def time_numpy(self):
        census = []
        for wire, out in zip(self.wires, self.out, strict=True):
            out[:] = wire.transpose(2, 0, 1)
            finite = np.isfinite(out)
            counts = finite.sum(axis=(1, 2)), (out == 0).sum(axis=(1, 2))
            usable = np.where(finite, out, np.nan)
            bounds = np.nanmin(usable, axis=(1, 2)), np.nanmax(usable, axis=(1, 2))
            census.append(np.stack([*counts, *bounds], axis=1))
            xxhash.xxh64_intdigest(out)
        return np.array(census)
