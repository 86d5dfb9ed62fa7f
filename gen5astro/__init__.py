"""Strong-lens injection pairs: inject, audit, build, train, and prove it on real lenses.

The names below are the library; each is imported when it is first used, so that ``import gen5astro`` costs nothing.
"""

import importlib

__version__ = "0.1.0"

_WHERE = {
    "Config": "gen5astro.config",
    "NormalizerSpec": "gen5astro.config",
    "load_config": "gen5astro.settings",
    "open_pairs": "gen5astro.io",
    "open_cutouts": "gen5astro.io",
    "PairWriter": "gen5astro.io.parquet",
    "read_image": "gen5astro.io.fits",
    "Cube": "gen5astro.io.hdf5",
    "read_positions": "gen5astro.cutout",
    "cut_catalog": "gen5astro.cutout",
    "read_hosts": "gen5astro.inject.hosts",
    "inject_blocks": "gen5astro.inject",
    "audit_pairs": "gen5astro.audit",
    "run_selftest": "gen5astro.selftest",
    "build_cube": "gen5astro.build",
    "train": "gen5astro.training",
    "evaluate": "gen5astro.evaluation",
    "open_finder": "gen5astro.inference",
    "predict": "gen5astro.inference",
}

__all__ = ["__version__", *_WHERE]


def __getattr__(name):
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
