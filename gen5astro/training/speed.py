"""How well a run uses its device: images a second with the loader, without it, and of the loader alone."""

import itertools
import time

import numpy as np
import torch

from gen5astro.engine import map_blocks
from gen5astro.training.feed import Feed
from gen5astro.training.plans import share_of

__all__ = ["SCHEMA", "measure_speed"]

SCHEMA = "gen5astro-training-speed/1"
_SHORT_TURNS = 10
"""Turns of loader and kernel in the time of one of the others: their ratio is near 1, and load comes and goes."""


class _SameBatch(Feed):
    """A feed that hands out one batch again and again."""

    def __init__(self, feed, plan):
        super().__init__(feed.reader, feed.device)
        self._same = next(iter(feed.batches([plan])))

    def batches(self, plans):
        for _ in plans:
            yield self._same


def measure_speed(run, *, seconds=10.0):
    """Measure a run's training steps against the same steps on a batch that never changes.

    Each kind of step is timed in turns, three times over, and the fastest turn counts; what else runs on the machine
    slows all alike. The loader and the kernel take shorter turns, of which the median counts.

    Parameters
    ----------
    run : TrainingRun
        Not begun; its weights are of no use afterwards.
    seconds : float
        About how long each turn takes.

    Returns
    -------
    record : dict
        Plain types: ``device``, ``memory``, ``model``, ``batch_size``, ``precision`` and, in images a second,
        ``trained`` (as in a run), ``same_batch`` (on a batch that never changes), ``read`` (the loader with a model
        that does nothing) and ``kernel`` (nothing but `PairReader.read_plan`, on as many threads as the loader has);
        ``ratio`` is trained over same_batch, ``loader_ratio`` read over kernel, ``loader_share`` the share of a step
        that waits for its batch.
    """
    with run.prepared() as why:
        plans = [share_of(plan, run.fabric.global_rank, run.fabric.world_size) for plan in run.plans.of(0)]
        feed, same = run.feed, _SameBatch(run.feed, plans[0].plan)
        device, trained, repeated, loader = run.fabric.device, [], [], []
        for _ in range(3):
            before = feed.waited
            rate, spent = _rate(plans, _steps(run, feed, plans), seconds, device)
            trained.append((rate, (feed.waited - before) / spent))
            repeated.append(_rate(plans, _steps(run, same, plans[:1]), seconds, device)[0])
            for _ in range(_SHORT_TURNS):
                read = _rate(plans, feed.batches(_endless(plans)), seconds / _SHORT_TURNS, device)[0]
                loader.append((read, _kernel_rate(feed, plans, seconds / _SHORT_TURNS)))
    rate, waited = max(trained)
    read, kernel = np.median(loader, axis=0)
    rates = {"trained": rate, "same_batch": max(repeated), "read": read, "kernel": kernel}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {
        "schema": SCHEMA,
        "device": f"{name}, {run.fabric.world_size} process(es), {run.threads} threads",
        "memory": why,
        "model": run.config.model_name,
        "batch_size": run.config.batch_size,
        "precision": run.config.precision,
        **{key: round(float(value), 1) for key, value in rates.items()},
        "ratio": round(rate / max(repeated), 4),
        "loader_ratio": round(float(read / kernel), 4),
        "loader_share": round(waited, 5),
    }


def _endless(shares):
    return (share.plan for share in itertools.cycle(shares))


def _steps(run, feed, shares):
    """Take steps without end."""
    run.module.train()
    for share, batch in zip(itertools.cycle(shares), feed.batches(_endless(shares)), strict=False):
        yield run.train_step(share, batch)


def _kernel_rate(feed, shares, seconds):
    """Images a second of bare threads that do nothing but read, each into two rooms in turn, as the feed has them."""
    plans, reader = [share.plan for share in shares], feed.reader

    def rate(first):
        own = itertools.cycle(plans[first:] + plans[:first])
        # The system hands out memory when it is first written to.
        rooms = torch.zeros((2, max(map(len, plans)), reader.channels, *reader.shape)).numpy()
        begin, images = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            for room, plan in zip(rooms, own, strict=False):
                images += len(reader.read_plan(plan, out=room[: len(plan)]))
        return images / (time.perf_counter() - begin)

    starts = [len(plans) * number // feed.threads for number in range(feed.threads)]
    return sum(map_blocks(rate, starts, threads=feed.threads))


def _rate(shares, work, seconds, device):
    """Images a second, and seconds, of work that is drawn for some time; the first few batches do not count."""
    sizes = itertools.cycle([len(share.plan) for share in shares])
    for _ in range(3):
        next(work), next(sizes)
    _wait(device)
    begin, images = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        next(work)
        images += next(sizes)
    _wait(device)
    spent = time.perf_counter() - begin
    return images / spent, spent


def _wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)
