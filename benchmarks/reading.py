"""Images from npz bytes, and from stored pixels to rows of a block, against NumPy."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from benchmarks.comparison import Comparison, Peer
from benchmarks.loading import BANDS, hold, load, load_held, shown
from gen5astro.engine import map_blocks
from gen5astro.io.ingest import BlockFiller, Reference, ingest_row
from gen5astro.io.npz import decode_npz, encode_npz
from gen5astro.io.parquet import ParquetPairs

CHUNK = 64
BLOCK = 128
COLUMNS = ("stamp_npz", "ctrl_stamp_npz")


class StoredNpz(Comparison):
    """Read the three planes of an npz whose members are not compressed."""

    name = "npz, stored"
    compress = False
    peers = {"time_numpy": Peer("numpy load", 10.0, share=0.5)}

    def setup(self):
        images = np.random.default_rng(0).normal(size=(self.count, 3, 64, 64)).astype(np.float32)
        self.payloads = [encode_npz(image, BANDS, compress=self.compress) for image in images]

    def time_gen5astro(self):
        return [shown(decode_npz(payload, bands=BANDS).pixels) for payload in self.payloads]

    def time_numpy(self):
        return [shown(load(payload)) for payload in self.payloads[: self.part("time_numpy")]]


class DeflatedNpz(StoredNpz):
    """Read the three planes of an npz whose members are deflated."""

    name = "npz, deflated"
    compress = True
    count = 500
    needs = "deflate"
    peers = {"time_numpy": Peer("numpy load", 2.9)}


class StoredNpzThreads(StoredNpz):
    """Ingest such archives on two threads; the peer's processes hold theirs and send the images back."""

    name = "npz, stored, on two threads"
    count = 2048
    threads = 2
    peers = {"time_processes": Peer("numpy load in two processes", 15.0)}

    def setup(self):
        super().setup()
        self.parts = [slice(start, start + CHUNK) for start in range(0, self.count, CHUNK)]
        self.joined = []
        for part in self.parts:
            some = self.payloads[part]
            self.joined.append((b"".join(some), np.cumsum([0, *map(len, some)])))
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(2, context, initializer=hold, initargs=(self.payloads,))
        list(self.pool.map(load_held, [slice(1)] * 8))

    def finish(self):
        self.pool.shutdown()

    def time_gen5astro(self):
        blocks = map_blocks(self._ingest, self.joined, threads=self.threads)
        return [shown(image) for block in blocks for image in block.image]

    def _ingest(self, archives):
        filler = BlockFiller(len(archives[1]) - 1, Reference(BANDS, (64, 64)), pixel_scale=1.0, members=("image",))
        filler.add_archives(0, [archives])
        return filler.finish({}, 0)[0]

    def time_processes(self):
        return [shown(image) for block in self.pool.map(load_held, self.parts) for image in block]


class DeflatedNpzThreads(StoredNpzThreads):
    """The same, deflated."""

    name = "npz, deflated, on two threads"
    compress = True
    count = 1024
    needs = "deflate"
    peers = {"time_processes": Peer("numpy load in two processes", 2.5)}


class StoredParquet(Comparison):
    """From a Parquet file's two binary columns to a block, counted and digested."""

    name = "Parquet, stored, to a block"
    compress = False
    count = 1024
    peers = {"time_numpy": Peer("pyarrow read_table and numpy load", 13.0)}

    def setup(self):
        images = np.random.default_rng(0).normal(size=(self.count, 3, 64, 64)).astype(np.float32)
        payloads = [encode_npz(image, BANDS, compress=self.compress) for image in images]
        half = self.count // 2
        columns = {"pair_id": [str(at) for at in range(half)], "ra": np.arange(half) / 10, "dec": np.arange(half) / 20}
        columns |= dict(zip(COLUMNS, (payloads[:half], payloads[half:]), strict=True))
        self.path = self.folder / "pairs.parquet"
        pq.write_table(pa.table(columns), self.path, compression="none", use_dictionary=False, row_group_size=256)
        self.source = ParquetPairs(self.path, bands=BANDS)

    def time_gen5astro(self):
        blocks = (self.source.read(ref)[0] for ref in self.source.blocks(BLOCK))
        return self._in_order((block.stamp, block.ctrl) for block in blocks)

    def _in_order(self, blocks):
        """What is shown of each stamp and of each ctrl, drawn block by block."""
        found = [[[shown(image) for image in images] for images in block] for block in blocks]
        return [image for member in (0, 1) for block in found for image in block[member]]

    def time_limit(self):
        return pq.read_table(self.path, use_threads=False)

    def time_numpy(self):
        table = pq.read_table(self.path, use_threads=False)
        parts = (table.slice(start, BLOCK) for start in range(0, len(table), BLOCK))
        return self._in_order([self._load_column(part[name]) for name in COLUMNS] for part in parts)

    def _load_column(self, column):
        return np.array([load(value.as_py()) for value in column])


class DeflatedParquet(StoredParquet):
    """The same, from archives that are deflated."""

    name = "Parquet, deflated, to a block"
    compress = True
    count = 512
    needs = "deflate"
    peers = {"time_numpy": Peer("pyarrow read_table and numpy load", 3.0)}


class Ingest(Comparison):
    """Big-endian pixels, bands last, to a row of a block: converted, counted and digested."""

    name = "ingest of a row, bands last"
    layout = "hwc"
    count = 2000
    peers = {"time_numpy": Peer("numpy, a pass for each, and xxhash", 3.0)}

    def setup(self):
        planes = np.random.default_rng(0).normal(size=(self.count, 3, 64, 64))
        self.wires = np.ascontiguousarray(planes if self.layout == "chw" else planes.transpose(0, 2, 3, 1), dtype=">f4")
        self.out = np.empty((self.count, 3, 64, 64), np.float32)

    def time_gen5astro(self):
        pairs = zip(self.wires, self.out, strict=True)
        return np.array([ingest_row(wire, out, layout=self.layout)[0] for wire, out in pairs])

    def time_limit(self):
        np.copyto(self.out.reshape(self.wires.shape), self.wires.view(np.float32))

    def time_numpy(self):
        census = []
        for wire, out in zip(self.wires, self.out, strict=True):
            out[:] = wire if self.layout == "chw" else wire.transpose(2, 0, 1)
            finite = np.isfinite(out)
            counts = finite.sum(axis=(1, 2)), (out == 0).sum(axis=(1, 2))
            usable = np.where(finite, out, np.nan)
            bounds = np.nanmin(usable, axis=(1, 2)), np.nanmax(usable, axis=(1, 2))
            census.append(np.stack([*counts, *bounds], axis=1))
            xxhash.xxh64_intdigest(out)
        return np.array(census)


class IngestPlanes(Ingest):
    """Big-endian planes, as FITS stores them."""

    name = "ingest of FITS planes"
    layout = "chw"
