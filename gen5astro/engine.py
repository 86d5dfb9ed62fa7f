"""Map a function over blocks, in order, on the caller's threads.

Kernels release the GIL and are serial; this is the only place that decides how many of them run at once. Results come
back in the order of the blocks whatever the number of threads, so nothing downstream can depend on it.
"""

import contextlib
import os
import signal
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from gen5astro.errors import ConfigError

__all__ = ["default_threads", "map_blocks", "remember_interrupts", "warnings_lock"]

warnings_lock = threading.Lock()
"""To hold while warning filters are changed and put back: they are those of the whole process, and threads that change
them at once put back each other's. Not all of it is cosmetic: scikit-learn learns of an ill-conditioned fit by a
warning that it turns into an error."""

_interrupted = threading.Event()
_mapping: set[object] = set()  # what is being mapped: more than one thing where the work on a block maps blocks itself


@contextlib.contextmanager
def remember_interrupts():
    """Make sure that Ctrl-C ends the work, also where compiled code would swallow the exception.

    While blocks are mapped, the first SIGINT is remembered and raised between two blocks; a second one, or one at any
    other time, raises at once.

    Yields
    ------
    nothing : None
        Afterwards the handler is as it was.
    """

    def handle(_number, _frame):
        if _mapping and not _interrupted.is_set():
            _interrupted.set()
        else:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    before = signal.signal(signal.SIGINT, handle)
    _interrupted.clear()
    try:
        yield
    finally:
        _interrupted.clear()
        signal.signal(signal.SIGINT, before)


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
    _mapping.add(pool)
    try:
        for block in blocks:
            pending.append(pool.submit(function, block))
            if len(pending) >= 2 * threads:
                yield _next_result(pending)
        while pending:
            yield _next_result(pending)
    finally:
        _mapping.discard(pool)
        pool.shutdown(wait=True, cancel_futures=True)


def _next_result(pending):
    if _interrupted.is_set():
        raise KeyboardInterrupt
    return pending.popleft().result()
