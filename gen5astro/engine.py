"""Map a function over blocks, in order, on the caller's threads, or on a cluster that `gen5astro.cluster` connects.

Kernels release the GIL and are serial; this is the only place that decides how many of them run at once. Results come
back in the order of the blocks whatever the number of threads or workers, so nothing downstream can depend on it.
"""

import contextlib
import functools
import os
import signal
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from gen5astro.errors import ConfigError, Gen5Error

__all__ = [
    "ATTEMPTS",
    "DoneBefore",
    "default_threads",
    "distribute",
    "map_blocks",
    "remember_interrupts",
    "warnings_lock",
]

#: How often a block is tried that the operating system could not read, or that a worker died of.
ATTEMPTS = 3


class DoneBefore(int):
    """Amount of work that an earlier run did: given to an ``advance``, it counts as done and not towards the rate."""


warnings_lock = threading.Lock()
"""To hold while warning filters are changed and put back: they are those of the whole process, and threads that change
them at once put back each other's. Not all of it is cosmetic: scikit-learn learns of an ill-conditioned fit by a
warning that it turns into an error."""

_interrupted = threading.Event()
_spread: Any = None  # the cluster that blocks may go to
_mapping: set[object] = set()  # what is being mapped: more than one thing where the work on a block maps blocks itself


@contextlib.contextmanager
def remember_interrupts():
    """Make sure that Ctrl-C ends the work, also where compiled code would swallow the exception; so does SIGTERM.

    While blocks are mapped, the first signal is remembered and raised between two blocks; a second one, or one at any
    other time, raises at once. By SIGTERM a batch system takes a machine back. A signal that whoever started the
    process had it ignore, as shells do with SIGINT in the background, stays ignored.

    Yields
    ------
    nothing : None
        Afterwards the handlers are as they were.
    """

    def handle(_number, _frame):
        if _mapping and not _interrupted.is_set():
            _interrupted.set()
        else:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    for number in heard:
        signal.signal(number, handle)
    _interrupted.clear()
    try:
        yield
    finally:
        _interrupted.clear()
        for number in heard:
            signal.signal(number, before[number])


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


@contextlib.contextmanager
def distribute(spread):
    """Let a cluster do what may be spread, while the context lasts.

    Parameters
    ----------
    spread : object
        With ``lanes`` (blocks at once) and a context ``begin(function)`` that yields ``submit(block)``, whose results
        are waited for by ``result()``; `gen5astro.cluster.cluster` makes one.

    Yields
    ------
    nothing : None
        Afterwards blocks are done here again.
    """
    global _spread
    before, _spread = _spread, spread
    try:
        yield
    finally:
        _spread = before


def map_blocks(function, blocks, *, threads=None, spread=False, helping=False):
    """Yield ``function(block)`` for every block, in order.

    At most two blocks a thread are under way or waiting to be consumed, so memory does not grow with their number. When
    the consumer stops early (an error, Ctrl-C), blocks not yet begun are dropped. A block that the operating system
    cannot read or write is tried three times.

    Parameters
    ----------
    function : callable
        Thread-safe; called once a block.
    blocks : iterable
        Cheap descriptions of work, drawn as needed.
    threads : int, optional
        Default: the processors that this process may use.
    spread : bool
        Whether function, blocks and results can be pickled, so that a cluster may do them (see `distribute`).
    helping : bool
        Whether the consumer is one of the threads: where it would wait for a result, it does a block. For a consumer
        that has little else to do, as no processor then goes from one thread to another with every block.

    Yields
    ------
    result : object
        What `function` returned.

    Raises
    ------
    ConfigError
        If `threads` is less than 1.
    Gen5Error
        If the operating system refused a block thrice, or a cluster failed; names the block.
    """
    kind = _HelpedThreads if helping else _Threads
    workers = _spread if spread and _spread is not None else kind(threads)
    pending: deque = deque()
    token = object()
    _mapping.add(token)
    try:
        with workers.begin(functools.partial(_attempt, function)) as submit:
            for block in blocks:
                pending.append(submit(block))
                if len(pending) >= 2 * workers.lanes:
                    yield _next_result(pending)
            while pending:
                yield _next_result(pending)
    finally:
        _mapping.discard(token)


class _Threads:
    """This process's threads, as `map_blocks` sees them."""

    def __init__(self, threads):
        self.lanes = default_threads() if threads is None else threads
        if self.lanes < 1:
            raise ConfigError("threads", got=threads, expected="1 or more")

    @contextlib.contextmanager
    def begin(self, function):
        pool = ThreadPoolExecutor(self.lanes, thread_name_prefix="gen5astro")
        try:
            yield functools.partial(pool.submit, function)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _HelpedThreads(_Threads):
    """Threads of which the consumer is one."""

    @contextlib.contextmanager
    def begin(self, function):
        not_begun: deque = deque()

        def do_oldest():
            try:
                task, block = not_begun.popleft()
            except IndexError:
                return False
            try:
                task.set_result(function(block))
            except BaseException as error:
                task.set_exception(error)
            return True

        def submit(block):
            task = _HelpedTask(do_oldest)
            not_begun.append((task, block))
            if pool is not None:
                pool.submit(do_oldest)
            return task

        pool = ThreadPoolExecutor(self.lanes - 1, thread_name_prefix="gen5astro") if self.lanes > 1 else None
        try:
            yield submit
        finally:
            not_begun.clear()
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)


class _HelpedTask(Future):
    """A result that is not waited for while there is a block to do."""

    def __init__(self, do_oldest):
        super().__init__()
        self._do_oldest = do_oldest

    def result(self, timeout=None):
        while not self.done() and self._do_oldest():
            pass
        return super().result(timeout)


def _attempt(function, block):
    for _ in range(ATTEMPTS):
        try:
            return function(block)
        except Gen5Error:
            raise
        except OSError as error:
            last = error
    raise Gen5Error(f"block {block}", got=f"{last}, {ATTEMPTS} times over") from last


def _next_result(pending):
    if _interrupted.is_set():
        raise KeyboardInterrupt
    return pending.popleft().result()
