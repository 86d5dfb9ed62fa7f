"""Time ours and its peers in turn, in one process, so that the ratio holds on any machine.

Each works on one thread unless the comparison says otherwise, and takes processor time, so that a run counts the same
while the machine does something else; several threads or processes take the time of the clock. The fastest of some runs
counts. In a round each is run again and again for a moment, so that what is quick is not measured less often than what
is slow.
"""

import contextlib
import importlib.metadata
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Comparison", "Peer", "compare", "missing", "prepared"]

ROUNDS = 7
BURST_SECONDS = 0.2
PATIENCE_SECONDS = 4.0


@dataclass(frozen=True)
class Peer:
    """What ours is compared with.

    Parameters
    ----------
    name : str
        How the peer is called in the table.
    target : float
        Least ratio of our rate to the peer's that is aimed at.
    share : float
        Part of the work, from its beginning, that the peer is given because it is slow.
    tolerance : float
        Largest difference of the results, relative to the largest result.
    needs : str, optional
        Distribution that the peer is from, where the ``test`` extra does not bring it.
    """

    name: str
    target: float
    share: float = 1.0
    tolerance: float = 1e-6
    needs: str | None = None


class Comparison:
    """One kind of work; subclasses time it.

    Attributes
    ----------
    name : str
        Name of the rows.
    unit : str
        What is counted.
    count, toy : int
        How many of them a run works on, and a run at toy size.
    threads : int
        Threads of ours, and threads or processes of the peers.
    needs : str or None
        Distribution without which ours is not what it is meant to be.
    peers : dict of str to Peer
        By name of the method that times the peer.
    folder : Path
        For files, where there are any; empty before `setup`.
    """

    name = ""
    unit = "images"
    count = 1000
    toy = 4
    threads = 1
    needs = None
    peers: dict[str, Peer] = {}

    def setup(self):
        """Make the input."""

    def finish(self):
        """Let go of what `setup` holds."""

    def part(self, method):
        """Number of units that a method works on, at least one."""
        peer = self.peers.get(method)
        return max(1, round(self.count * (peer.share if peer else 1.0)))


@contextlib.contextmanager
def prepared(kind, *, toy=False):
    """A comparison with its input made, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="gen5astro-benchmark-") as folder:
        work = kind()
        work.count = kind.toy if toy else kind.count
        work.folder = Path(folder)
        work.setup()
        try:
            yield work
        finally:
            work.finish()


def missing(kind, method):
    """Say why a peer cannot be timed here; None where it can."""
    for needs in (kind.needs, kind.peers[method].needs):
        if needs is not None:
            try:
                importlib.metadata.version(needs)
            except importlib.metadata.PackageNotFoundError:
                return f"{needs} is not installed"
    return None


def compare(kind, *, toy=False):
    """Time one kind of work.

    Parameters
    ----------
    kind : type
        Subclass of `Comparison`.
    toy : bool
        Run once, at toy size: shows that it works, not how fast.

    Returns
    -------
    rows : list of dict
        One a peer. ``ours`` and ``peer`` are rates [units / s], ``ratio`` is ours over the peer's, ``limit_ratio`` ours
        over that of moving the same bytes through memory (None where that is not what bounds the work). A peer that
        cannot be timed has the reason as ``skipped`` instead.
    """
    reasons = {method: missing(kind, method) for method in kind.peers}
    peers = [method for method, reason in reasons.items() if reason is None]
    methods = ["time_gen5astro", *peers, *(["time_limit"] if hasattr(kind, "time_limit") else [])]
    rates = {}
    if peers:
        with prepared(kind, toy=toy) as work:
            seconds = _taken(work, methods, toy=toy)
            rates = {method: work.part(method) / min(taken) for method, taken in seconds.items()}
    rows = []
    for method, peer in kind.peers.items():
        row = {"name": kind.name, "unit": kind.unit, "threads": kind.threads}
        row |= {"peer_name": peer.name, "target": peer.target}
        if reasons[method] is not None:
            rows.append(row | {"skipped": reasons[method]})
            continue
        ours, theirs, limit = rates["time_gen5astro"], rates[method], rates.get("time_limit")
        row |= {"ours": ours, "peer": theirs, "ratio": ours / theirs}
        rows.append(row | {"limit_ratio": None if limit is None else ours / limit})
    return rows


def _taken(work, methods, *, toy):
    """Seconds of each run of each method, the methods in turn."""
    seconds = {method: [] for method in methods}
    clock = time.process_time if work.threads == 1 else time.perf_counter
    for method in methods if not toy else []:
        getattr(work, method)()
    for _ in range(1 if toy else ROUNDS):
        for method in methods:
            if sum(seconds[method]) < PATIENCE_SECONDS:
                seconds[method] += _burst(getattr(work, method), clock, 0.0 if toy else BURST_SECONDS)
    return seconds


def _burst(run, clock, least):
    """Seconds of each run, of as many as fill a moment."""
    taken = []
    while not taken or sum(taken) < least:
        begin = clock()
        run()
        taken.append(max(clock() - begin, 1e-9))
    return taken
