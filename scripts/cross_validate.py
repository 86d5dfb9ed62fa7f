"""Train on all hosts but a fold, fold after fold, and judge each network on the fold it never saw.

    python scripts/cross_validate.py PAIRS.parquet OUT [--judge CLEAN.parquet] [--folds 5] [--set epochs=4]

An audit of PAIRS in the folder of its name without the ending is taken along, and its signal-to-noise with it. With
`--judge`, the networks are also judged on another injection into the same hosts, row for row the same arcs: what a
network that learned a fault of PAIRS is worth where there is none. OUT/cross_validation.json holds the result; folds
that are done are not trained again.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.build import build_cube
from gen5astro.evaluation import evaluate
from gen5astro.io import open_pairs
from gen5astro.io.hdf5 import Cube
from gen5astro.kernels.rank import draw_groups
from gen5astro.leakage import assign_folds
from gen5astro.metrics import auc_of_pairs, interval
from gen5astro.settings import load_config
from gen5astro.sky import group_objects
from gen5astro.training import train
from gen5astro.training.policy import pair_strengths

BOOTSTRAPS = 2000


def fold_of(table, n_folds, seed, config):
    """Fold of each pair: hosts whole, with their neighbors."""
    ra, dec, host = (np.array(table[name].to_pylist()) for name in ("ra", "dec", "host_id"))
    groups = group_objects(ra, dec, host, min_separation_arcsec=config.build.min_separation_arcsec)
    return assign_folds(groups, n_folds, np.random.default_rng(seed))


def build(pairs, fold, test, out, config):
    """Build the cube in which one fold is the test and the next the validation."""
    if not out.is_file():
        audit = pairs.with_suffix("") / "audit.json"
        n_folds = fold.max() + 1
        split = np.where(fold == test, "test", np.where(fold == (test + 1) % n_folds, "val", "train"))
        declared = out.with_suffix(".parquet")
        table = pq.read_table(pairs)
        pq.write_table(table.append_column("region_split", pa.array(split.tolist())), declared, row_group_size=500)
        build_cube(open_pairs(declared), out, config=config, audit=audit if audit.is_file() else None, force=True)
        declared.unlink()
    return out


def judged(run, cube_path, config):
    """Scores of the test pairs of a cube: logits of stamp and ctrl, host, and whether the arc should be seen."""
    scores = run / f"scores-{cube_path.stem}.parquet"
    evaluate(run, cube_path, config=config, scores=scores)
    table, cube = pq.read_table(scores).to_pydict(), Cube(cube_path)
    rows = np.array(table["cube_row"])
    seen = pair_strengths(cube, rows)["arc_snr"].value >= config.evaluate.clear_arc_snr
    seen &= np.array(table["theta_e_arcsec"]) >= config.evaluate.clear_theta_e_arcsec
    return {"stamp": table["stamp_logit"], "ctrl": table["ctrl_logit"], "host": cube.group[rows], "seen": seen}


def pooled_auc(folds, *, only_seen, seed=0):
    """AUC within each fold, since each has a network of its own, averaged by pairs; hosts are drawn whole."""
    rng, total, weights = np.random.default_rng(seed), 0.0, 0.0
    for each in folds:
        kept = each["seen"] if only_seen else np.ones(len(each["seen"]), bool)
        stamp, ctrl = (np.array(each[name])[kept] for name in ("stamp", "ctrl"))
        names, groups = np.unique(each["host"][kept], return_inverse=True)
        draws = np.concatenate([np.ones((1, len(names)), np.int32), draw_groups(len(names), BOOTSTRAPS, rng)])
        weight = draws @ np.bincount(groups)
        total, weights = total + weight * auc_of_pairs(stamp, ctrl, groups, draws), weights + weight
    areas = total / weights
    return {"auc": float(areas[0]), "interval": interval(areas[1:]), "n_pairs": int(weights[0])}


def main(arguments=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--judge", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(arguments)
    overrides = [each if "." in each.partition("=")[0] else f"train.{each}" for each in given.overrides]
    config = load_config(settings=[*overrides, "build.split=given"])
    given.out.mkdir(parents=True, exist_ok=True)
    fold = fold_of(pq.read_table(given.pairs, columns=["ra", "dec", "host_id"]), given.folds, given.seed, config)
    sets = {"own": given.pairs, **({"judge": given.judge} if given.judge else {})}
    found, watch = {name: [] for name in sets}, []
    for test in range(given.folds):
        cubes = {name: build(path, fold, test, given.out / f"{name}-{test}.h5", config) for name, path in sets.items()}
        run = given.out / f"run-{test}"
        resume = (run / "config.toml").is_file()
        summary = train(cubes["own"], run, config=config, resume=resume, threads=given.threads, say=print)
        watch.append([{probe["name"]: probe["share"] for probe in each["watch"]} for each in summary["history"]])
        for name, cube in cubes.items():
            found[name].append(judged(run, cube, config))
        result = {
            name: {"all": pooled_auc(folds, only_seen=False), "seen": pooled_auc(folds, only_seen=True)}
            for name, folds in found.items()
        }
        flags = [[probe["name"] for probe in each["watch"] if probe["flagged"]] for each in summary["history"]]
        print(json.dumps(result), "flagged by epoch:", flags, flush=True)
    result["n_hosts"] = len(np.unique(np.concatenate([each["host"] for each in found["own"]])))
    result["watch"] = watch
    (given.out / "cross_validation.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
