"""A tiny network trained on the sample, and cutouts to score with it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.build import build_cube
from gen5astro.config import BuildConfig, Config, InjectConfig, TrainConfig
from gen5astro.inject import inject_blocks
from gen5astro.io.npz import encode_npz
from gen5astro.sample import load_hosts
from gen5astro.training import train
from gen5astro.training.checkpoint import load_checkpoint, save_checkpoint
from tests.sources import MemorySource

SIZE = 48
COUNT = 60


def train_on_sample(folder):
    """Train a few steps on pairs of the sample; return the run, its cube and the pairs."""
    (block,) = inject_blocks(load_hosts(), COUNT, seed=2, config=InjectConfig(size=SIZE), block=COUNT)
    config = Config(
        train=TrainConfig(width=8, epochs=2, batch_size=16, accelerator="cpu"), build=BuildConfig(split_seed=1)
    )
    build_cube(MemorySource(block), folder / "cube.h5", config=config)
    train(folder / "cube.h5", folder / "run", config=config, threads=1)
    return folder / "run", folder / "cube.h5", block


def write_cutouts(path, images, *, bands=("g", "r", "z"), pixel_scale=0.263, damage=None, **columns):
    """Write images as a team's Parquet has them; `damage` maps rows to what becomes of their bytes."""
    payloads = [encode_npz(image, bands) for image in images]
    for row, change in (damage or {}).items():
        payloads[row] = change(payloads[row])
    columns = {"ra": np.linspace(10, 20, len(images)), "dec": np.full(len(images), -5.0), **columns}
    table = pa.table({"image_npz": pa.array(payloads, pa.binary()), **columns})
    pq.write_table(table.replace_schema_metadata({"gen5astro.pixel_scale": str(pixel_scale)}), path)
    return path


def changed_checkpoint(run, path, **changes):
    """Write the checkpoint of a run with some of its content replaced."""
    content = load_checkpoint(run)
    content.pop("schema")
    save_checkpoint(content | changes, path)
    return path
