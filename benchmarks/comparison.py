"""Time ours and its peers in turn, in one process and on one thread, so that the ratio holds on any machine.

The fastest of some rounds counts: whatever else the machine does only slows a round down.
"""

import time
from dataclasses import dataclass

__all__ = ["Comparison", "Peer", "compare"]

ROUNDS = 7
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
    """

    name: str
    target: float
    share: float = 1.0
    tolerance: float = 1e-6


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
    peers : dict of str to Peer
        By name of the method that times the peer.
    """

    name = ""
    unit = "images"
    count = 1000
    toy = 4
    peers: dict[str, Peer] = {}

    def part(self, method):
        """Number of units that a method works on, at least one."""
        peer = self.peers.get(method)
        return max(1, round(self.count * (peer.share if peer else 1.0)))


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
        over that of moving the same bytes through memory (None where that is not what bounds the work).
    """
    work = kind()
    work.count = kind.toy if toy else kind.count
    work.setup()
    methods = ["time_gen5astro", *kind.peers, *(["time_limit"] if hasattr(kind, "time_limit") else [])]
    seconds = {method: [] for method in methods}
    for method in methods if not toy else []:
        getattr(work, method)()
    for _ in range(1 if toy else ROUNDS):
        for method in methods:
            if sum(seconds[method]) < PATIENCE_SECONDS:
                begin = time.perf_counter()
                getattr(work, method)()
                seconds[method].append(time.perf_counter() - begin)
    rates = {method: work.part(method) / min(taken) for method, taken in seconds.items()}
    ours = rates["time_gen5astro"]
    return [
        {
            "name": kind.name,
            "unit": kind.unit,
            "ours": ours,
            "peer": rates[method],
            "peer_name": peer.name,
            "ratio": ours / rates[method],
            "limit_ratio": ours / rates["time_limit"] if "time_limit" in rates else None,
            "target": peer.target,
        }
        for method, peer in kind.peers.items()
    ]
