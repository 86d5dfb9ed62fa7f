"""Map a function over blocks, in order, on the caller's threads.

Kernels release the GIL and are serial; this is the only place that decides how many of them run at once. Results come
back in the order of the blocks whatever the number of threads, so nothing downstream can depend on it.
"""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from gen5astro.errors import ConfigError

__all__ = ["default_threads", "map_blocks"]


def default_threads():
    """Return the number of processors that this process may use.

    Returns
    -------
    threads : int
        At least 1.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_blocks(function, blocks, *, threads=None):
    """Yield ``function(block)`` for every block, in order.

    At most two blocks a thread are under way or waiting to be consumed, so memory does not grow with their number. When
    the consumer stops early (an error, Ctrl-C), blocks not yet begun are dropped.

    Parameters
    ----------
    function : callable
        Thread-safe; called once a block.
    blocks : iterable
        Cheap descriptions of work, drawn as needed.
    threads : int, optional
        Default: the processors that this process may use.

    Yields
    ------
    result : object
        What `function` returned.

    Raises
    ------
    ConfigError
        If `threads` is less than 1.
    """
    threads = default_threads() if threads is None else threads
    if threads < 1:
        raise ConfigError("threads", got=threads, expected="1 or more")
    pool = ThreadPoolExecutor(threads, thread_name_prefix="gen5astro")
    pending: deque = deque()
    try:
        for block in blocks:
            pending.append(pool.submit(function, block))
            if len(pending) >= 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
