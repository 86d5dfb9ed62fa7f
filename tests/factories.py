"""Pairs for tests, made from the real galaxies that travel with the package."""

from gen5astro.config import InjectConfig
from gen5astro.inject import inject_blocks
from gen5astro.sample import load_hosts


def make_pairs(n, rng, *, size=48, fault=None, **settings):
    """Make a block of pairs with clean arcs, or with a planted fault (``"pedestal:0.5"``).

    `settings` are keys of `InjectConfig`. Hosts are used in turn: 30 pairs have 30 hosts.
    """
    config = InjectConfig(size=size, **settings)
    seed = int(rng.integers(2**31))
    (block,) = inject_blocks(load_hosts(), n, seed=seed, config=config, fault=fault, block=n, threads=1)
    return block
