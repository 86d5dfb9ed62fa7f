"""Factories of small cubes: smooth galaxies, some with a ring."""

import json

import h5py
import numpy as np

from gen5astro.build import build_cube
from gen5astro.config import BuildConfig, Config
from gen5astro.io.pairs import PairBlock
from tests.sources import MemorySource

BANDS = ("g", "r", "z")
PIXEL_SCALE = 0.262


def make_block(
    *, n_hosts=24, per_host=3, size=32, seed=0, ring=20.0, pixel_scale=PIXEL_SCALE, bands=BANDS, ra0=10.0, prefix="host"
):
    """Make pairs: every host a Gaussian galaxy of its own on noise, every stamp the same with a ring."""
    rng = np.random.default_rng(seed)
    n, host = n_hosts * per_host, np.repeat(np.arange(n_hosts), per_host)
    y, x = np.indices((size, size)) - (size - 1) / 2
    radius = np.hypot(x, y)
    flux = rng.uniform(20, 60, (n_hosts, 1, 1, 1)) * np.exp(
        -(radius**2) / (2 * rng.uniform(2, 4, (n_hosts, 1, 1, 1)) ** 2)
    )
    hosts = (flux + rng.normal(0, 1, (n_hosts, len(bands), size, size))).astype(np.float32)
    theta_e = rng.uniform(0.8, 2.4, n)
    strength = rng.uniform(0.5, 1.5, n)
    arc = np.exp(-((radius - (theta_e / pixel_scale)[:, None, None]) ** 2) / 4) * (ring * strength)[:, None, None]
    ctrl = np.ascontiguousarray(hosts[host])
    stamp = ctrl + arc[:, None].astype(np.float32)
    catalog = {
        "pair_id": np.array([f"pair{at}" for at in range(n)]),
        "host_id": np.array([f"{prefix}{each}" for each in host]),
        "ra": ra0 + host * 0.5,
        "dec": np.full(n, 5.0),
        "theta_e_arcsec": theta_e,
        "arc_snr": 30 * strength,
    }
    digest = np.stack([1_000_000 * (seed + 1) + np.arange(n), host], axis=1).astype(np.uint64)
    census = np.zeros((n, 2, len(bands), 4))
    census[..., 0] = size * size
    for number, images in enumerate((stamp, ctrl)):
        census[:, number, :, 2], census[:, number, :, 3] = images.min((2, 3)), images.max((2, 3))
    return PairBlock(
        stamp=stamp,
        ctrl=ctrl,
        catalog=catalog,
        row=np.arange(n),
        digest=digest,
        census=census,
        bands=tuple(bands),
        pixel_scale=pixel_scale,
    )


def make_cube(path, *, config=None, audit=None, **more):
    """Build a cube of such pairs, carrying an audit's record where one is given."""
    build_cube(MemorySource(make_block(**more)), path, config=config or Config(build=BuildConfig(split_seed=20)))
    if audit is not None:
        with h5py.File(path, "r+") as file:
            file.attrs["audit"] = json.dumps(audit)
    return path


def make_audit(status="PASS", six_channel="PASS", note=""):
    """Make as much of an audit's record as the training looks at."""
    gates = {
        "core_leakage": {"status": status, "note": "", "advisory": False},
        "six_channel_viability": {"status": six_channel, "note": note, "advisory": True},
    }
    return {"schema": "gen5astro-audit/1", "status": status, "gates": gates}
