"""What is drawn for each injection: host, lens, source.

Every injection has a generator of its own, seeded by the run's seed and the injection's number, so that no draw depends
on blocks, threads, or how many injections are asked for. Hosts are used in turn, in one permutation a seed.
"""

import math

import numpy as np

from gen5astro.errors import ConfigError
from gen5astro.inject.lens import einstein_radius

__all__ = ["COLORS", "draw_injections", "item_generator"]

COLORS = {"g": (0.0, 0.5), "r": (0.0, 0.0), "z": (-0.5, 0.0)}
"""Uniform range of a source's magnitude minus its r magnitude, in each band: blue, star-forming galaxies at z 1-3."""

_TRIES = 200
_SOURCE_INDEX = (0.5, 2.0)
_SOURCE_RADIUS_ARCSEC = (0.1, 0.4)
_SOURCE_AXIS_RATIO = (0.4, 1.0)
_PERMUTATION_KEY = 2**32 - 1


def item_generator(seed, index, *, purpose=0):
    """Generator of one injection.

    Parameters
    ----------
    seed : int
        Seed of the run.
    index : int
        Number of the injection.
    purpose : int
        0 for the draws of lens and source; other numbers for other uses, independent of each other.

    Returns
    -------
    rng : numpy.random.Generator
        The same for the same arguments, whatever else is drawn.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index, purpose))))


def draw_injections(hosts, start, stop, *, seed, config):
    """Draw the injections numbered `start` to `stop`.

    The lens has the host's velocity dispersion times a uniform boost, and the ellipticity and position angle of the
    host's light; redshifts are uniform, shear uniform in strength and direction. The source lies uniformly in area
    within ``config.source_offset`` Einstein radii, inside the cut of the lens, so that it is always imaged more than
    once. Lens and redshifts are drawn again until theta_E is in range; a host that cannot reach the range in 200 tries
    gets the draw nearest to it.

    Parameters
    ----------
    hosts : gen5astro.sample.hosts.Hosts
        The galaxies.
    start, stop : int
        Numbers of the injections.
    seed : int
        Seed of the run.
    config : gen5astro.config.InjectConfig
        Ranges.

    Returns
    -------
    draws : dict of array, (n,)
        ``host`` (row number), the parameters that `gen5astro.inject.render` takes, and ``velocity_dispersion_kms,
        z_lens, z_source, source_mag_<band>``.

    Raises
    ------
    ConfigError
        If a band has no color in `COLORS`, or a range cannot be used.
    """
    _check(hosts, config)
    order = item_generator(seed, _PERMUTATION_KEY).permutation(len(hosts))
    rows = [
        _draw_one(hosts, order[index % len(hosts)], item_generator(seed, index), config) for index in range(start, stop)
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _check(hosts, config):
    unknown = set(hosts.bands) - set(COLORS)
    if unknown:
        got, remedy = ", ".join(sorted(unknown)), "choose among the bands of cutouts with --bands g,r,z"
        raise ConfigError(f"bands of {hosts.label}", got=got, expected="g, r, z", remedy=remedy)
    if config.z_source[1] <= config.z_lens[0]:
        raise ConfigError("inject.z_source", got=config.z_source, expected=f"redshifts behind {config.z_lens}")
    if not 0 <= config.source_offset <= 0.8:
        raise ConfigError("inject.source_offset", got=config.source_offset, expected="0 to 0.8, inside the lens's cut")
    for name in ("velocity_boost", "z_lens", "z_source", "theta_e_arcsec", "source_mag_r", "shear"):
        low, high = getattr(config, name)
        if not 0 <= low <= high:
            raise ConfigError(f"inject.{name}", got=(low, high), expected="0 <= low <= high")


def _draw_one(hosts, host, rng, config):
    known = float(hosts.catalog["velocity_dispersion_kms"][host])
    dispersion = known if known > 0 else config.velocity_dispersion_kms
    lens = _draw_lens(dispersion, rng, config)
    theta_e = lens["theta_e_arcsec"]
    offset = config.source_offset * theta_e * math.sqrt(rng.random())
    direction = rng.uniform(0, 2 * math.pi)
    source_e1, source_e2 = _ellipticity(rng.uniform(*_SOURCE_AXIS_RATIO), rng.uniform(0, math.pi))
    shear, shear_angle = rng.uniform(*config.shear), rng.uniform(0, math.pi)
    drawn = {
        "host": int(host),
        **lens,
        "lens_e1": float(hosts.ellipticity[host, 0]),
        "lens_e2": float(hosts.ellipticity[host, 1]),
        "gamma1": shear * math.cos(2 * shear_angle),
        "gamma2": shear * math.sin(2 * shear_angle),
        "source_x": offset * math.cos(direction),
        "source_y": offset * math.sin(direction),
        "source_radius_arcsec": rng.uniform(*_SOURCE_RADIUS_ARCSEC),
        "source_index": rng.uniform(*_SOURCE_INDEX),
        "source_e1": source_e1,
        "source_e2": source_e2,
    }
    magnitude = rng.uniform(*config.source_mag_r)
    colors = {band: rng.uniform(*span) for band, span in COLORS.items()}
    return drawn | {f"source_mag_{band}": magnitude + colors[band] for band in hosts.bands}


def _draw_lens(dispersion, rng, config):
    """Draw boost and redshifts, `_TRIES` of them at once, and keep the first whose Einstein radius is in range."""
    boost = rng.uniform(*config.velocity_boost, _TRIES)
    z_lens = rng.uniform(*config.z_lens, _TRIES)
    z_source = rng.uniform(*config.z_source, _TRIES)
    theta_e = einstein_radius(dispersion * boost, z_lens, z_source)
    low, high = config.theta_e_arcsec
    miss = np.maximum(low - theta_e, 0) + np.maximum(theta_e - high, 0)
    at = int(np.argmin(miss))
    if theta_e[at] <= 0:
        raise ConfigError("inject.z_source", got=config.z_source, expected=f"redshifts behind {config.z_lens}")
    if miss[at] > 0:
        raise ConfigError(
            "inject.theta_e_arcsec",
            got=f"[{low:g}, {high:g}], which a host of {dispersion:.0f} km/s does not reach in {_TRIES} draws",
            expected=f"a range with radii such as {theta_e[at]:.2f} arcsec",
            remedy="widen it, or inject.velocity_boost",
        )
    return {
        "theta_e_arcsec": float(theta_e[at]),
        "velocity_dispersion_kms": float(dispersion * boost[at]),
        "z_lens": float(z_lens[at]),
        "z_source": float(z_source[at]),
    }


def _ellipticity(q, angle):
    strength = (1 - q) / (1 + q)
    return strength * math.cos(2 * angle), strength * math.sin(2 * angle)
