"""The whole pipeline on the embedded galaxies: the same arcs, injected cleanly and with a pedestal, and what follows.

::

    DIR/index.html        the two audits side by side
    DIR/clean.parquet     pairs, and DIR/clean/ their audit
    DIR/pedestal.parquet  pairs, and DIR/pedestal/ their audit
    DIR/cube.h5           the training cube of the clean pairs
    DIR/run/              the trained network and its page
    DIR/evaluation/       its evaluation on held-out hosts and on real lens candidates
"""

import dataclasses
from pathlib import Path

from gen5astro.audit import audit_pairs
from gen5astro.build import build_cube
from gen5astro.evaluation import evaluate
from gen5astro.inject.blocks import write_pairs
from gen5astro.inject.hosts import read_hosts
from gen5astro.io import open_pairs
from gen5astro.report.folder import write_audit, write_training
from gen5astro.report.html import write_demo_page, write_evaluation_page
from gen5astro.report.json import write_json
from gen5astro.training import train
from gen5astro.verdict import Status

__all__ = ["NEXT_COMMANDS", "run_demo"]

FAULTS = {"clean": None, "pedestal": "pedestal:1"}

#: What to type next, on pairs of one's own.
NEXT_COMMANDS = (
    "gen5astro audit-injection PAIRS.parquet --out audit",
    "gen5astro build-hdf5 PAIRS.parquet --audit audit/audit.json --out cube.h5",
    "gen5astro train cube.h5 --out run",
    "gen5astro evaluate run cube.h5 --out evaluation",
)

_PAGES = (
    ("Clean injection and pedestal side by side", "index.html"),
    ("Audit of the clean injection", "clean/audit.html"),
    ("Audit of the injection with a pedestal", "pedestal/audit.html"),
    ("Training of the network", "run/training.html"),
    ("Evaluation of the network", "evaluation/evaluation.html"),
)


def run_demo(out, *, n, seed, config, threads, stage, say):
    """Inject twice, audit both, build, train and evaluate.

    Parameters
    ----------
    out : path-like
        Folder that is there; files of an earlier demo are replaced.
    n : int
        Number of pairs a set.
    seed : int
        Seed of the injection.
    config : Config
        All settings.
    threads : int or None
        Threads; default: all processors.
    stage : callable
        ``stage(label, total)`` is a context manager that gives an ``advance(n)``.
    say : callable
        Called with each line for the user.

    Returns
    -------
    record : dict
        ``clean``, ``pedestal``, ``cube``, ``training`` and ``evaluation`` records, ``links``, ``next``, and ``status``:
        PASS where the audit tells the two sets apart.
    """
    out = Path(out)
    hosts = read_hosts("sample")
    audits = {name: _inject_and_audit(out, name, hosts, n, seed, config, threads, stage) for name in FAULTS}
    cube = out / "cube.h5"
    with stage("building the cube", n) as advance:
        source = open_pairs(out / "clean.parquet")
        summary = build_cube(
            source,
            cube,
            config=config,
            audit=out / "clean" / "audit.json",
            threads=threads,
            force=True,
            advance=advance,
        )
    with stage("training", None) as advance:
        training = train(cube, out / "run", config=config, force=True, threads=threads, advance=advance, say=say)
    write_training(training, out / "run")
    with stage("evaluating", None) as advance:
        evaluation = _evaluate(out, cube, config, threads, advance)
    told = [audits[name]["gates"]["core_leakage"]["status"] for name in FAULTS]
    record = {
        "status": (Status.PASS if told == [Status.PASS, Status.FAIL] else Status.FAIL).value,
        **audits,
        "cube": summary,
        "training": training,
        "evaluation": evaluation,
        "links": [{"label": label, "href": href} for label, href in _PAGES[1:]],
        "next": list(NEXT_COMMANDS),
    }
    write_demo_page(record, out / "index.html")
    return record | {"links": [{"label": label, "href": str(out / href)} for label, href in _PAGES]}


def _inject_and_audit(out, name, hosts, n, seed, config, threads, stage):
    """Write one set of pairs and its audit; the same seed draws the same arcs."""
    pairs, folder = out / f"{name}.parquet", out / name
    folder.mkdir(exist_ok=True)
    with stage(f"injecting ({name})", n) as advance:
        options = {"seed": seed, "config": config.inject, "fault": FAULTS[name], "threads": threads}
        write_pairs(hosts, n, pairs, force=True, advance=advance, **options)
    with stage(f"auditing ({name})", n) as advance:
        result = audit_pairs(open_pairs(pairs), config=config, threads=threads, advance=advance)
    write_audit(result, folder)
    return result.record


def _evaluate(out, cube, config, threads, advance):
    folder = out / "evaluation"
    folder.mkdir(exist_ok=True)
    record = evaluate(
        out / "run", cube, config=config, scores=folder / "scores.parquet", threads=threads, advance=advance
    )
    write_evaluation_page(record, folder / "evaluation.html")
    write_json(record, folder / "evaluation.json")
    return record


def quick(config):
    """Fit the settings to 30 hosts and two cores, where the user left them alone.

    Parameters
    ----------
    config : Config
        Settings of the user.

    Returns
    -------
    config : Config
        A narrow network for a few epochs, and a split that leaves nine hosts for the test.
    """
    return dataclasses.replace(
        config,
        train=_unless_set(config.train, width=16, epochs=6, batch_size=32),
        build=_unless_set(config.build, fractions=(0.5, 0.2, 0.3)),
    )


def _unless_set(section, **values):
    default = type(section)()
    return dataclasses.replace(
        section, **{key: value for key, value in values.items() if getattr(section, key) == getattr(default, key)}
    )
