"""Friends of friends on the sky against astropy; and, as ``python -m benchmarks.splitting``, a million pairs split."""

import resource
import sys
import time

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord, search_around_sky
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from benchmarks.comparison import Comparison, Peer
from gen5astro.balance import compare_splits
from gen5astro.config import BuildConfig
from gen5astro.sky import group_objects
from gen5astro.split_repair import repair_splits
from gen5astro.splits import SPLITS, assign_splits, audit_splits, find_homes
from gen5astro.twins import label_twins

SEPARATION_ARCSEC = 10.0


def draw_objects(n_hosts, per_host=1):
    """Positions [deg], names, digests and fingerprints of pairs on hosts of the density of red galaxies."""
    rng = np.random.default_rng(0)
    host = np.repeat(np.arange(n_hosts), per_host)
    width = np.sqrt(n_hosts / 200.0)
    ra = 180.0 + rng.uniform(-width / 2, width / 2, n_hosts)
    dec = np.degrees(np.arcsin(rng.uniform(-1, 1, n_hosts) * np.sin(np.radians(min(width / 2, 80.0)))))
    digest = np.stack([np.arange(len(host)), host + len(host)], axis=1).astype(np.uint64)
    marks = rng.integers(0, 2**64, (n_hosts, 4), dtype=np.uint64)
    return ra[host], dec[host], np.char.add("host", host.astype(str)), digest, marks[host]


class Grouping(Comparison):
    """Friends of friends on the sky."""

    name = "grouping of objects"
    unit = "objects"
    count = 20_000
    toy = 200
    peers = {"time_astropy": Peer("astropy, scipy", 1.0)}

    def setup(self):
        self.ra, self.dec = draw_objects(self.count)[:2]
        self.nameless = np.full(self.count, "")

    def time_gen5astro(self):
        return group_objects(self.ra, self.dec, self.nameless, min_separation_arcsec=SEPARATION_ARCSEC)

    def time_astropy(self):
        place = SkyCoord(self.ra, self.dec, unit="deg")
        first, second = search_around_sky(place, place, SEPARATION_ARCSEC * u.arcsec)[:2]
        graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(self.count, self.count))
        label = connected_components(graph, directed=False)[1]
        _, where, inverse = np.unique(label, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(where))[inverse]


def main(n_hosts=1_000_000, per_host=1):
    """Split and audit, step by step, and print the seconds of each."""
    ra, dec, host_id, digest, marks = draw_objects(n_hosts, per_host)
    config, begin, rng = BuildConfig(), time.perf_counter(), np.random.default_rng(1)

    def step(name, work):
        start = time.perf_counter()
        result = work()
        print(f"{name:28} {time.perf_counter() - start:6.2f} s")
        return result

    separation = {"min_separation_arcsec": config.min_separation_arcsec}
    twins = step("twins", lambda: label_twins(digest, marks))
    group = step("groups", lambda: group_objects(ra, dec, host_id, twins=twins, **separation))
    columns = {"groups": group, "digest": digest}
    split = step("splits", lambda: assign_splits(ra, dec, host_id, config, **columns))
    options = {"guard_arcsec": config.guard_arcsec, "twins": twins, **separation}
    numbers = step("audit", lambda: audit_splits(split, group, ra, dec, digest, **options))
    print(f"{'all of these':28} {time.perf_counter() - begin:6.2f} s")
    home = step("homes", lambda: find_homes(ra, dec, host_id, config, **columns)[0])
    step("balance of one quantity", lambda: compare_splits(split, home, {"x": ("", rng.normal(size=len(ra)))}))
    leaky = np.where(rng.random(len(ra)) < 0.01, rng.choice(SPLITS, len(ra)), split)
    step("repair", lambda: repair_splits(leaky, ra, dec, host_id, twins=twins, **separation))
    shares = ", ".join(f"{name} {np.mean(split == name):.4f}" for name in SPLITS)
    print(f"{len(ra):,} pairs, {numbers['groups']:,} groups; {shares}")
    print(f"nearest across splits {numbers['nearest_separation_arcsec']:.1f} arcsec")
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
