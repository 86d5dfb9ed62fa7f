"""The audit of an injection: measure every pair, judge by every gate, and keep the record."""

import importlib.metadata
import time
from dataclasses import dataclass, replace

import numpy as np

from gen5astro import __version__
from gen5astro.columns import PROFILE_BINS
from gen5astro.config import as_dict
from gen5astro.diagnosis import diagnose
from gen5astro.errors import FormatError, RejectedError
from gen5astro.gates import overall_status, run_gates
from gen5astro.io.hdf5_schema import content_digest
from gen5astro.io.pairs import BlockRef, Reject
from gen5astro.leakage import strata
from gen5astro.measure import measure_pairs
from gen5astro.sky import group_objects
from gen5astro.table import MeasureTable
from gen5astro.verdict import AUDIT_SCHEMA, Status

__all__ = ["AuditResult", "audit_pairs", "judge_table"]

_WORST_PAIRS = 6
_CORE_FLUXES = ("stamp_core_flux", "ctrl_core_flux", "physical_core_flux")
_EXPLAINABLE = ("pair_integrity", "core_leakage", "sky_leakage", "noise_leakage", "flux_budget")
_LIBRARIES = ("numpy", "scipy", "photutils", "numba", "scikit-learn", "astropy", "h5py", "pyarrow")


@dataclass(frozen=True)
class AuditResult:
    """What an audit leaves.

    Parameters
    ----------
    record : dict
        The record, as it goes to JSON.
    table : MeasureTable
        The measurement table.
    rejects : list of Reject
        Rows that could not be read.
    worst : list of dict
        The pairs that depart most from a faultless injection, with their pixels.
    """

    record: dict
    table: MeasureTable
    rejects: list[Reject]
    worst: list[dict]


def audit_pairs(source, *, config, psf=None, normalized=False, threads=None, advance=None, on_rejects=None):
    """Audit the pairs of a source.

    Parameters
    ----------
    source : PairSource
        Where the pairs come from.
    config : Config
        Sections ``measure``, ``audit`` and ``normalize`` are used.
    psf : float64 array, (band, k, k), optional
        PSF of each band, of unit sum, for the core's budget; without it the FWHM brackets it.
    normalized : bool
        Audit the pixels as the normalizer of the section ``normalize`` leaves them, and not as they are stored.
    threads : int, optional
        Blocks measured at once; does not change the result.
    advance : callable, optional
        Called with the number of rows done.
    on_rejects : callable, optional
        Called with the list of rejects before anything is judged, so that they can be kept even where the run fails;
        what it returns, if anything, is where the error says that they are.

    Returns
    -------
    result : AuditResult
        Record, table, rejects and worst pairs.

    Raises
    ------
    FormatError
        If no row could be read.
    RejectedError
        If more rows were rejected than the configuration allows.
    """
    began = time.perf_counter()
    normalizer = config.normalize if normalized else None
    table, rejects = measure_pairs(
        source, config.measure, psf=psf, normalizer=normalizer, threads=threads, advance=advance
    )
    place = None if on_rejects is None else on_rejects(rejects)
    _check_rejects(source, table, rejects, config.audit.max_reject_fraction, place)
    record, table = judge_table(table, config)
    record["provenance"]["seconds"] = round(time.perf_counter() - began, 3)
    return AuditResult(record, table, rejects, [_with_pixels(source, pair) for pair in record["worst_pairs"]])


def judge_table(table, config):
    """Judge a measurement table; no pixel is read.

    Parameters
    ----------
    table : MeasureTable
        With or without ``group``.
    config : Config
        Sections ``audit`` and ``normalize`` are used.

    Returns
    -------
    record : dict
        The record of the audit.
    table : MeasureTable
        With ``group``.
    """
    began = time.perf_counter()
    group = group_objects(
        table["ra"], table["dec"], table["host_id"], min_separation_arcsec=config.audit.min_separation_arcsec
    )
    table = replace(table, columns=table.columns | {"group": group})
    masks = strata(table, config.audit)
    results = run_gates(table, config.audit, masks, normalizer=config.normalize)
    return {
        "schema": AUDIT_SCHEMA,
        "status": overall_status(results).value,
        "counts": {
            "read": len(table) + table.origin.rejected,
            "measured": len(table),
            "rejected": table.origin.rejected,
            "hosts": len(np.unique(group)),
        },
        "input": {
            "label": table.origin.label,
            "bands": list(table.bands),
            "shape": list(table.shape),
            "pixel_scale": table.pixel_scale,
            "normalizer": table.origin.normalizer,
            "psf": table.origin.psf,
        },
        "gates": {name: result.as_dict() for name, result in results.items()},
        "diagnosis": diagnose(
            table,
            config.audit,
            leaks=bool(_explainable(results, Status.FAIL)),
            unanswered=_explainable(results, Status.ERROR),
        ),
        "residual_profile": _residual_profile(table, masks),
        "worst_pairs": _worst_pairs(table),
        "thresholds": {"classic_auc": config.audit.classic_auc, "judge_pairs": config.audit.judge_pairs},
        "provenance": {
            "input_digest": content_digest(
                np.stack([table["stamp_digest"], table["ctrl_digest"]], axis=1), table["row"]
            ),
            "versions": {"gen5astro": __version__} | {name: importlib.metadata.version(name) for name in _LIBRARIES},
            "config": {"measure": table.origin.settings}
            | {name: as_dict(getattr(config, name)) for name in ("audit", "normalize")},
            "seconds": round(time.perf_counter() - began, 3),
        },
    }, table


def _explainable(results, status):
    """Gates of a status that a cause could explain."""
    return [name for name in _EXPLAINABLE if name in results and results[name].status is status]


def _check_rejects(source, table, rejects, allowed, place):
    if len(table) + len(rejects) != source.n_rows:
        raise FormatError(
            source.label, got=f"{len(table)} measured + {len(rejects)} rejected", expected=f"{source.n_rows} rows"
        )
    if not len(table):
        reason = f"row {rejects[0].row}: {rejects[0].reason}" if rejects else "no rows"
        raise FormatError(source.label, got=f"no readable pair ({reason})", expected="stamp and ctrl images")
    share, listed = len(rejects) / source.n_rows, "" if place is None else f"see {place}, "
    if share > allowed:
        raise RejectedError(
            source.label,
            got=f"{len(rejects)} of {source.n_rows} rows rejected (row {rejects[0].row}: {rejects[0].reason})",
            expected=f"at most {allowed:.2%}",
            remedy=f"{listed}mend the rows, or allow more with --max-reject-fraction F",
        )


def _residual_profile(table, masks):
    """Median and 16-84 % range of the residual's radial profile, by theta_E stratum and band."""
    step = np.hypot(*table.shape) / 2 / PROFILE_BINS * table.pixel_scale
    curves = []
    for stratum, mask in masks.items():
        if "arc_snr" in stratum:
            continue
        for at, band in enumerate(table.bands):
            quantiles = [_quantiles(table["residual_profile"][mask, at, ring]) for ring in range(PROFILE_BINS)]
            lines = zip(*quantiles, strict=True)
            curve = {name: list(line) for name, line in zip(("median", "low", "high"), lines, strict=True)}
            curves.append({"stratum": stratum, "band": band} | curve)
    radius = (np.arange(PROFILE_BINS) + 0.5) * step
    return {"radius_arcsec": [float(value) for value in radius], "unit": "sky sigma / pix", "curves": curves}


def _quantiles(values):
    """Median and 16-84 % range of what is finite; None where nothing is."""
    known = values[np.isfinite(values)]
    return np.percentile(known, [50, 16, 84]).tolist() if len(known) else [None] * 3


def _worst_pairs(table):
    """Pairs whose core departs most from a faultless injection, one a host."""
    with np.errstate(divide="ignore", invalid="ignore"):
        departure = np.abs(table["stamp_core_flux"] - table["physical_core_flux"]) / np.abs(table["ctrl_core_flux"])
    band = np.argmax(np.nan_to_num(departure, nan=np.inf), axis=1)
    size = departure[np.arange(len(table)), band]
    pairs, seen = [], set()
    for at in np.argsort(-np.nan_to_num(size, nan=np.inf), kind="stable"):
        if len(pairs) == _WORST_PAIRS:
            break
        if table["group"][at] in seen:
            continue
        seen.add(table["group"][at])
        theta_e = float(table["theta_e_arcsec"][at])
        pairs.append(
            {
                "row": int(table["row"][at]),
                "pair_id": str(table["pair_id"][at]),
                "theta_e_arcsec": theta_e if np.isfinite(theta_e) else None,
                "reason": _departure_text(table, at, band[at], size[at]),
            }
        )
    return pairs


def _departure_text(table, at, band, size):
    """Say how a pair departs from a faultless injection in its worst band, or why that is not known."""
    name = table.bands[band]
    if np.isfinite(size):
        return f"{size:.1%} of the host's core flux in {name} is neither arc nor host"
    if min(table[f"{image}_finite_fraction"][at].min() for image in ("stamp", "ctrl")) < 1:
        return "pixels that are not finite"
    unknown = [column for column in _CORE_FLUXES if not np.isfinite(table[column][at, band])]
    if unknown:
        return f"a measurement that is not finite: {', '.join(unknown)} in {name}"
    return f"no flux in the host's core in {name} (ctrl_core_flux is 0)"


def _with_pixels(source, pair):
    """A pair of the list with its pixels, read again."""
    block, _ = source.read(BlockRef(pair["row"], pair["row"] + 1))
    images = {"stamp": block.stamp[0], "ctrl": block.ctrl[0], "residual": block.stamp[0] - block.ctrl[0]}
    return pair | images
