"""The galaxies that arcs are injected into: where `gen5astro.sample.hosts` is found by those who inject."""

from gen5astro.sample.hosts import Hosts, read_hosts

__all__ = ["Hosts", "read_hosts"]
