"""Factories of small records, as audit, evaluation and training make them."""

import numpy as np

from gen5astro.inject.faults import FAULTS
from gen5astro.kernels.residual import TERMS
from gen5astro.selftest.sets import Outcome, TestSet
from gen5astro.selftest.tally import summarize_outcomes

STRATA = ("all", "theta_e<1", "1<=theta_e<2", "theta_e>=2", "arc_snr<20")
_MEASURED = (0.71, 0.89, 0.74, 0.59, 0.66)


def _core_findings(view, excess, limit):
    for stratum, measured in zip(STRATA, _MEASURED, strict=True):
        place = {"view": view, "stratum": stratum, "band": None, "low": None, "high": None, "hosts": 29.6, "note": None}
        shift = min(excess, 0.97 - measured)
        top = measured + shift
        unexplained = shift + 0.004
        judged = "FAIL" if unexplained > limit else "PASS"
        yield {**place, "name": "measured_auc", "value": top, "interval": [top - 0.03, top + 0.03], "status": "SKIP"}
        yield {
            **place, "name": "explained_auc", "value": top - unexplained,
            "interval": [measured - 0.035, measured + 0.025], "status": "SKIP",
        }  # fmt: skip
        yield {
            **place, "name": "unexplained_auc", "value": unexplained, "high": limit, "status": judged,
            "interval": [unexplained - 0.02, unexplained + 0.02],
        }  # fmt: skip


def make_gate(status, *findings, question="Is it so?", note="", advisory=False):
    """A gate's record."""
    return {"status": status, "question": question, "findings": list(findings), "note": note, "advisory": advisory}


def make_finding(name, value, status, **more):
    """A finding's record, with every key that the real one has."""
    empty = dict.fromkeys(("view", "band", "interval", "low", "high", "hosts", "unit", "note"))
    return {**empty, "stratum": "all", "name": name, "value": value, "status": status, **more}


def make_profile():
    """A residual profile: a ring that moves out with theta_E."""
    radius = np.arange(0.25, 8, 0.5)
    curves = []
    for stratum, ring in zip(STRATA[:4], (1.4, 0.8, 1.5, 2.4), strict=True):
        for band, flux in zip("grz", (0.02, 0.03, 0.025), strict=True):
            median = flux * np.exp(-0.5 * ((radius - ring) / 0.6) ** 2)
            low, high = 0.4 * median, 2 * median
            curve = {"stratum": stratum, "band": band, "median": median, "low": low, "high": high}
            curves.append({key: each.tolist() if isinstance(each, np.ndarray) else each for key, each in curve.items()})
    return {"radius_arcsec": radius.tolist(), "unit": "sky sigma / pix", "curves": curves}


def make_audit(*, excess=0.0, label="pairs.parquet"):
    """An audit's record; `excess` is the unexplained core AUC."""
    core = "FAIL" if excess > 0.03 else "PASS"
    findings = [*_core_findings("single", excess, 0.03), *_core_findings("paired", excess, 0.03)]
    sky = make_finding("corner_auc", 0.5 + excess, core, view="single", interval=[0.47, 0.53], low=0.47, high=0.53)
    gates = {
        "finite_pixels": make_gate("PASS", make_finding("bad_fraction", 0.0, "PASS", high=0.001)),
        "core_leakage": make_gate(core, *findings, question="Can the core alone tell stamp from ctrl beyond physics?"),
        "sky_leakage": make_gate(core, sky, question="Can the corners, where neither arc nor host is?"),
        "stratum_diversity": make_gate(
            "PASS", make_finding("effective_hosts", 22.4, "PASS", stratum="theta_e>=2", low=20.0, unit="hosts")
        ),
        "split_integrity": make_gate("SKIP", note="the input has no splits"),
        "six_channel_viability": make_gate(
            core, question="May stamp and ctrl be shown side by side?", note="core_leakage, paired view", advisory=True
        ),
    }
    record = {
        "schema": "gen5astro-audit/1",
        "status": core,
        "counts": {"read": 1000, "measured": 998, "rejected": 2, "hosts": 30},
        "gates": gates,
        "thresholds": {"classic_auc": 0.7},
        "input": {"label": label, "bands": ["g", "r", "z"], "shape": [64, 64], "pixel_scale": 0.262},
        "residual_profile": make_profile(),
        "provenance": {
            "config": {"audit": {"seed": 0, "limits": {}}},
            "versions": {"gen5astro": "0.1"},
            "seconds": 1.5,
        },
    }
    if core == "FAIL":
        record["diagnosis"] = make_diagnosis()
    return record


def make_diagnosis():
    """A diagnosis that finds a pedestal."""
    magnitude = {band: {"value": 0.0025, "error": 0.0001, "unit": "nmgy / pix"} for band in "grz"}
    look_first = "the constant that is added when the arc image is made"
    scaling = {"theta_e": "none", "host_flux": {"value": 0.01, "error": 0.02, "unit": ""}}
    x = [0.7, 1.2, 1.8, 2.5]
    evidence = [
        {
            "label": "level [nmgy / pix] against theta_E",
            "x": x,
            "y": [0.0024, 0.0026, 0.0025, 0.0025],
            "yerr": [1e-4] * 4,
        },
        {"label": "level by band", "x": ["g", "r", "z"], "y": [0.0025, 0.0025, None], "y_label": "nmgy / pix"},
    ]
    return {
        "top": "pedestal",
        "causes": [
            {
                "name": "pedestal", "confidence": 0.99, "magnitude": magnitude, "look_first": look_first,
                "scaling": scaling, "evidence": evidence,
            },
            {"name": "gain", "confidence": 0.01, "magnitude": {}, "look_first": "the zero points"},
        ],
    }  # fmt: skip


def make_explanation(*, share=1.0, profiles=False, missed=1):
    """An explanation in which the lens accounts for `share` of the excess, in each stratum a little less by band."""
    pairs, rows, psf = [], [], "profiles" if profiles else "image"
    for at in range(12):
        bands = {
            band: {"share": share - 0.02 * place, "bracket": [0.9 * share, 1.1 * share] if profiles else None,
                   "unaccounted": 0.01 * (1 - share)}
            for place, band in enumerate("grz")
        }  # fmt: skip
        pair = {"row": at, "pair_id": f"pair-{at}", "theta_e_arcsec": 0.6 + 0.2 * at, "fitted": at >= missed}
        if at < missed:
            bands = {band: dict.fromkeys(("share", "bracket", "unaccounted")) for band in "grz"}
        reason = "" if at >= missed else "left over outside the core: 31% of the arc's rms"
        pairs.append(
            {**pair, "reason": reason, "psf": "moffat" if profiles else "image", "misfit": 0.02, "bands": bands}
        )
    for stratum, theta_e, count in zip(STRATA[:4], (1.6, 0.8, 1.5, 2.4), (12, 2, 5, 5), strict=True):
        for place, band in enumerate("grz"):
            fitted = count - missed * (stratum in STRATA[:2])
            value = share - 0.02 * place
            interval = [value - 0.04, value + 0.03] if fitted > 5 else None
            rows.append(
                {
                    "stratum": stratum, "band": band, "sample": count, "fitted": fitted, "hosts": fitted,
                    "theta_e_arcsec": theta_e, "misfit": 0.02, "with_share": fitted, "share": value,
                    "interval": interval, "bracket": [0.9 * share, 1.1 * share] if profiles else None,
                    "unaccounted": 0.01 * (1 - share), "unaccounted_interval": interval and [-0.01, 0.02],
                }
            )  # fmt: skip
    counts = {"sample": 12, "fitted": 12 - missed, "not_fitted": missed, "hosts": 12}
    return {
        "psf": psf,
        "core_radius_arcsec": 1.0,
        "misfit_limit": 0.2,
        "counts": counts,
        "strata": rows,
        "pairs": pairs,
    }


def make_worst(n, *, pedestal=0.0, pair_id="pair", seed=1):
    """Pairs with pixels, as an audit hands them over to be drawn."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - 31.5
    radius = np.hypot(x, y)
    color = np.array([0.35, 1.0, 1.8])[:, None, None]
    pairs = []
    for at in range(n):
        ring = 3.0 + 2 * at
        sky = rng.normal(0, 0.0025, (3, 64, 64)) * np.array([1.0, 1.3, 3.0])[:, None, None]
        ctrl = sky + 0.5 * color * np.exp(-(radius**0.5))
        residual = 0.05 / color * np.exp(-0.5 * ((radius - ring) / 1.8) ** 2) * (x > -0.3 * ring) + pedestal
        stamp = ctrl + residual
        images = {"stamp": stamp, "ctrl": ctrl, "residual": residual}
        images = {name: image.astype(np.float32) for name, image in images.items()}
        reason = "3.1 % of the host's core flux in r is neither arc nor host"
        pairs.append(
            {"pair_id": f"{pair_id}-{at}", "row": at, "reason": reason, "theta_e_arcsec": 0.262 * ring, **images}
        )
    return pairs


def make_evaluation():
    """An evaluation's record."""
    rng = np.random.default_rng(2)
    fpr = np.concatenate([[0], np.geomspace(0.005, 1, 40)])
    return {
        "schema": "gen5astro-evaluation/1",
        "status": "PASS",
        "run": "run",
        "cube": "cube.h5",
        "split": "test",
        "counts": {"stamps": 200, "ctrls": 200, "hosts": 9},
        "metrics": [
            {"name": "auc", "value": 0.931, "interval": [0.902, 0.957], "note": ""},
            {"name": "average_precision", "value": 0.94, "interval": [0.91, 0.96], "note": ""},
        ],
        "completeness": [
            {"fpr": 0.1, "value": 0.82, "interval": [0.74, 0.89], "note": ""},
            {"fpr": 0.01, "value": None, "interval": None, "note": "needs 1000 ctrls, there are 200"},
        ],
        "by_theta_e": [
            {"low": 0.5, "high": 1.0, "n": 60, "completeness": 0.55, "interval": [0.42, 0.68]},
            {"low": 1.0, "high": 2.0, "n": 90, "completeness": 0.86, "interval": [0.78, 0.93]},
            {"low": 2.0, "high": None, "n": 50, "completeness": 0.94, "interval": [0.86, 0.99]},
        ],
        "by_arc_snr": [],
        "roc": {"fpr": fpr.tolist(), "tpr": (fpr**0.15).tolist()},
        "scores": {"stamp": rng.beta(5, 2, 200).tolist(), "ctrl": rng.beta(2, 6, 200).tolist()},
        "candidates": [
            {"name": "DES J0120-5143", "ra": 20.1, "dec": -51.7, "score": 0.81, "percentile_among_ctrl": 98.5}
        ],
        "provenance": {"checkpoint": "best.pt", "versions": {"gen5astro": "0.1"}},
    }


def make_training():
    """A training run's record."""
    history = [
        {
            "epoch": epoch, "step": 12 * epoch, "train_loss": 0.7 / epoch**0.5, "val_loss": 0.72 / epoch**0.4,
            "val_auc": 1 - 0.5 / (1 + epoch) ** 0.6, "images_per_s": 900.0 + epoch,
        }
        for epoch in range(1, 9)
    ]  # fmt: skip
    return {
        "schema": "gen5astro-training/1",
        "run": "run",
        "history": history,
        "audit_status": "PASS",
        "override_gate": None,
        "warnings": ["few pairs"],
        "counts": {"train": 400, "val": 80},
        "cube": {"path": "cube.h5"},
        "seeds": {"train": 0, "split": 0},
        "config": {"view": "single", "batch_size": 128},
        "provenance": {"torch": "2.13"},
    }


def make_demo():
    """The demo's record."""
    links = [{"label": "Audit of the clean injection", "href": "clean/audit.html"}]
    commands = ["gen5astro audit-injection PAIRS --out audit", "gen5astro build-hdf5 PAIRS --out cube.h5"]
    return {
        "clean": make_audit(),
        "pedestal": make_audit(excess=0.14),
        "links": links,
        "evaluation": make_evaluation(),
        "next": commands,
    }


def make_outcomes(*, sets=2, clean=4, false=0, missed=()):
    """What an audit says of clean and of faulty sets: weak faults are taken for a gain, those in `missed` always."""
    bands = ("g", "r", "z")
    quiet = {"core_leakage": "PASS", "sky_leakage": "PASS", "split_integrity": "PASS", "six_channel_viability": "FAIL"}
    advisory = frozenset({"six_channel_viability"})
    means = np.full((len(TERMS), len(bands)), 1e-4)
    outcomes = []
    for at in range(clean):
        top = "gain" if at < false else "physical"
        terms = {f"host-{host}": np.stack([np.full_like(means, 10), 10 * means * (host + 1)]) for host in range(4)}
        zero = {"core_leakage": (at > 0, False), "sky_leakage": (True, False)}
        outcomes.append(Outcome(TestSet((), at), quiet, advisory, top, (top,), terms, zero))
    for name, fault in FAULTS.items():
        for grade, strength in enumerate(fault.grades):
            for at in range(sets):
                right = name not in missed and (grade >= 2 or (grade == 1 and at == 0))
                top = name if right else "gain" if name != "gain" else "host_light"
                statuses = quiet | ({"sky_leakage": "FAIL"} if grade else {})
                outcomes.append(Outcome(TestSet(((name, strength),), at), statuses, advisory, top, (top,), {}))
    return outcomes


def make_selftest(*, label="sample", notes=(), complete=True, together=False, **outcomes):
    """A self-test's record."""
    found = make_outcomes(**outcomes)
    if together:
        planted = (("gain", 1.02), ("pedestal", 0.2))
        first = found[-1]
        found += [
            Outcome(TestSet(planted, at), first.gates, first.advisory, "gain", ("gain", "pedestal")[: 2 - at], {})
            for at in range(2)
        ]
    return {
        "schema": "gen5astro-selftest/1",
        **summarize_outcomes(found, ("g", "r", "z"), complete=complete),
        "complete": complete,
        "notes": list(notes),
        "counts": {"sets_planned": len(found) + (not complete), "sets_judged": len(found), "pairs_a_set": 1000},
        "input": {"label": label, "bands": ["g", "r", "z"], "pixel_scale": 0.263},
        "limits": {"least_right": 0.95, "most_false": 0.02, "confidence": 0.95},
        "provenance": {"versions": {"gen5astro": "0.1.0"}, "config": {"selftest": {"pairs": 1000}}, "seconds": 12.5},
    }
