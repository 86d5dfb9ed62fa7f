"""Which share of the core's excess a lens and a source account for that were fitted without seeing the core.

The measurement brackets what seeing and counter-image can bring into the core. Where an explanation is asked for, a
sample of residuals is fitted by a forward model instead, from the pixels outside the core alone, and what the model
then puts into the core is set against the excess that is there. A clean injection is accounted for whole; where a
pedestal, a gain or the host's light was added, only the arc's part is.

The PSF is the image that is given. Without one it is known by its width alone, and both a Gaussian and a Moffat of that
width are fitted: the share is that of the profile which leaves less outside the core, and its bracket spans both.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from gen5astro.engine import map_blocks
from gen5astro.explain.fit import MISFIT_LIMIT, LensFit, fit_lens
from gen5astro.explain.sample import choose_pairs
from gen5astro.explain.summary import summarize
from gen5astro.explain.target import see_outside
from gen5astro.io.pairs import BlockRef
from gen5astro.kernels.psf import profile_psf
from gen5astro.leakage import strata

__all__ = ["explain_pairs"]

_PROFILES = ("gaussian", "moffat")
_TOLD_SIGMA = 2.0


def explain_pairs(source, table, config, *, psf=None, threads=None, advance=None):
    """Fit lenses and sources to a sample of pairs, and say which share of the core's excess they account for.

    Parameters
    ----------
    source : PairSource
        Where the pairs come from; those of the sample are read again.
    table : MeasureTable
        Their measurements, with ``group``.
    config : Config
        Sections ``measure`` and ``audit``; ``audit.explain_pairs`` is the size of the sample.
    psf : float64 array, (band, k, k), optional
        PSF of each band, of sum 1, k odd. Default: profiles of the width ``psf_fwhm_arcsec`` of the table.
    threads : int, optional
        Pairs fitted at once; does not change the result.
    advance : callable, optional
        Called with the number of pairs done.

    Returns
    -------
    explanation : dict
        Plain types: ``psf``, ``core_radius_arcsec``, ``misfit_limit``, ``counts`` (``sample, fitted, not_fitted,
        hosts``), ``strata`` (see `gen5astro.explain.summary.summarize`) and ``pairs``, one for each of the sample:
        ``row, pair_id, theta_e_arcsec, fitted, reason, psf, misfit, parameters, source_flux`` and ``bands``, in each
        ``share`` (None where the excess is not above 2 sigma of its noise), ``bracket`` (None where a PSF image was
        given) and ``unaccounted``, the rest of the excess over the host's own flux in the core.
    """
    masks = {name: mask for name, mask in strata(table, config.audit).items() if "arc_snr" not in name}
    rng = np.random.default_rng([config.audit.seed, *b"explanation"])
    chosen = choose_pairs(table, masks, config.audit.explain_pairs, rng)

    def work(at):
        return _explain(source, table, at, config, psf)

    pairs = []
    # The sums of a threaded BLAS depend on its threads; those of the engine are enough.
    with threadpool_limits(1):
        for pair in map_blocks(work, chosen, threads=threads):
            pairs.append(pair)
            if advance is not None:
                advance(1)
    n_fitted = sum(pair["fitted"] for pair in pairs)
    return {
        "psf": "profiles" if psf is None else "image",
        "core_radius_arcsec": config.measure.core_radius_arcsec,
        "misfit_limit": MISFIT_LIMIT,
        "counts": {
            "sample": len(pairs),
            "fitted": n_fitted,
            "not_fitted": len(pairs) - n_fitted,
            "hosts": len(np.unique(table["group"][chosen])),
        },
        "strata": summarize(pairs, table, chosen, masks, config.audit.bootstraps, rng),
        "pairs": pairs,
    }


def _explain(source, table, at, config, psf):
    """Fit the pair in row `at` of the table with each PSF, and describe what was found."""
    row = int(table["row"][at])
    block, rejected = source.read(BlockRef(row, row + 1))
    if not len(block):
        nothing = np.full(len(table.bands), np.nan)
        lost = LensFit({}, nothing, nothing, np.inf, f"cannot be read again: {rejected[0].reason}")
        return _describe(table, at, {None: lost})
    target = see_outside(
        block.stamp[0],
        block.ctrl[0],
        center=(table["center_x"][at], table["center_y"][at]),
        theta_e_arcsec=table["theta_e_arcsec"][at],
        core_radius_arcsec=config.measure.core_radius_arcsec,
        sky_sigma=table["ctrl_sky_sigma"][at],
        noise=table["residual_noise"][at],
        pixel_scale=table.pixel_scale,
    )
    images = {"image": psf}
    if psf is None:
        widths, beta = table["psf_fwhm_arcsec"][at] / table.pixel_scale, config.measure.moffat_beta
        images = {
            name: np.stack([profile_psf(width, profile=name, beta=beta) for width in widths]) for name in _PROFILES
        }
    return _describe(table, at, {name: fit_lens(target, image) for name, image in images.items()})


def _describe(table, at, fits):
    """Plain record of a pair: the best fit and, where several PSFs fit, what they give between them."""
    good = {name: fit for name, fit in fits.items() if not fit.reason}
    name, best = min((good or fits).items(), key=lambda each: each[1].misfit)
    record = {
        "row": int(table["row"][at]),
        "pair_id": str(table["pair_id"][at]),
        "theta_e_arcsec": _plain(table["theta_e_arcsec"][at]),
        "fitted": bool(good),
        "reason": best.reason,
        "psf": name,
        "misfit": _plain(best.misfit),
    }
    if not good:
        nothing = {"share": None, "bracket": None, "unaccounted": None}
        return record | {
            "parameters": None,
            "source_flux": None,
            "bands": {band: dict(nothing) for band in table.bands},
        }
    return record | {
        "parameters": {key: _plain(value) for key, value in best.parameters.items()},
        "source_flux": dict(zip(table.bands, map(_plain, best.flux), strict=True)),
        "bands": _core_bands(table, at, best, list(good.values())),
    }


def _core_bands(table, at, best, good):
    """What the best fit accounts for in each band, and the span of all that fit."""
    excess, error, host = (
        table[column][at].astype(np.float64) for column in ("core_excess", "core_excess_error", "ctrl_core_flux")
    )
    told = excess > _TOLD_SIGMA * np.nan_to_num(error)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.stack([np.where(told, fit.core_flux / excess, np.nan) for fit in (best, *good)])
        unaccounted = (excess - best.core_flux) / host
    bands = {}
    for band, share, rest in zip(table.bands, shares.T, unaccounted, strict=True):
        ends = [_plain(share[1:].min()), _plain(share[1:].max())]
        bracket = ends if len(good) > 1 and None not in ends else None
        bands[band] = {"share": _plain(share[0]), "bracket": bracket, "unaccounted": _plain(rest)}
    return bands


def _plain(value):
    return float(value) if np.isfinite(value) else None
