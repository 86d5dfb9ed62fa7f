"""Blocks on other processes and machines: a Dask cluster in place of this process's threads.

Inside ``with cluster("tcp://host:8786"):`` every `gen5astro.engine.map_blocks` that may be spread sends its function to
the cluster once and its blocks one by one. Results come back in the order of the blocks, a few at a time, as from
threads. When a worker dies, its blocks begin again on another; a block that ends three workers is named and the run
ends, so that none is lost in silence.
"""

import contextlib
import logging

from gen5astro.engine import ATTEMPTS, distribute
from gen5astro.errors import ConfigError, Gen5Error

__all__ = ["cluster"]

_CONNECT_SECONDS = 15
_LOCAL = "local"


@contextlib.contextmanager
def cluster(scheduler):
    """Do the work on blocks on a Dask cluster while the context lasts.

    Parameters
    ----------
    scheduler : str
        Address of a scheduler (``tcp://host:8786``), or ``local:N`` for N processes on this machine.

    Yields
    ------
    client : distributed.Client
        Connected to the cluster; closed afterwards, with the processes that were started for it.

    Raises
    ------
    ConfigError
        If dask.distributed is not installed, the address is of no known form, nobody answers at it, or there is no
        worker.
    """
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"scheduler {scheduler}", got="no dask.distributed", remedy="pip install 'gen5astro[cluster]'"
        ) from error
    # That a block is begun again is no news to whoever waits for it; what cannot be mended is raised.
    logging.getLogger("distributed.client").setLevel(logging.ERROR)
    with contextlib.ExitStack() as stack:
        client = _connect(distributed, stack, scheduler)
        stack.enter_context(distribute(_Spread(distributed, client)))
        yield client


def _connect(distributed, stack, scheduler):
    kind, _, rest = scheduler.partition(":")
    if kind == _LOCAL:
        if not rest.isdecimal() or int(rest) < 1:
            raise ConfigError("scheduler", got=repr(scheduler), expected="local:N, with N processes")
        started = distributed.LocalCluster(
            n_workers=int(rest), threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
        )
        stack.callback(_stop, started)
        return stack.enter_context(distributed.Client(started))
    if kind not in ("tcp", "tls", "ucx", "ws", "wss") or not rest.startswith("//"):
        raise ConfigError("scheduler", got=repr(scheduler), expected="tcp://HOST:PORT, or local:N")
    try:
        client = stack.enter_context(distributed.Client(scheduler, timeout=_CONNECT_SECONDS))
        client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError) as error:
        raise ConfigError(
            f"scheduler {scheduler}",
            got="no answer" if isinstance(error, OSError) and "worker" not in str(error) else "no worker",
            expected="a running dask scheduler with at least one dask worker",
        ) from error
    return client


def _stop(started):
    """Stop processes; one that is being started again at that moment may raise anything of these."""
    with contextlib.suppress(AssertionError, OSError, RuntimeError, TimeoutError):
        started.close()


class _Spread:
    """What `map_blocks` needs of a cluster: how many blocks to keep under way, and a way to begin one."""

    def __init__(self, distributed, client):
        self._distributed, self._client = distributed, client

    @property
    def lanes(self):
        """Blocks that the workers can do at once."""
        return max(1, sum(self._client.nthreads().values()))

    @contextlib.contextmanager
    def begin(self, function):
        """Send the function to all workers, and yield what sends a block after it."""
        run = _Run(self._distributed, self._client, function)
        try:
            yield run.submit
        finally:
            self._client.cancel(list(run.under_way))


class _Run:
    """A function on the cluster, and the blocks that are under way."""

    def __init__(self, distributed, client, function):
        self.distributed, self.under_way = distributed, set()
        self._client, self._function = client, function
        self._sent = None

    def submit(self, block):
        """Begin a block, and return what waits for its result."""
        return _Result(self, block)

    def send(self, block):
        """Send a block, and the function before it where no worker has it, or none has it any more."""
        if self._sent is None or self._sent.status != "finished":
            self._client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
            self._sent = self._client.scatter(self._function, broadcast=True, hash=False)
        future = self._client.submit(_call, self._sent, block, pure=False)
        self.under_way.add(future)
        return future


def _call(function, block):
    return function(block)


class _Result:
    """A block under way on the cluster."""

    def __init__(self, run, block):
        self._run, self._block = run, block
        self._future = run.send(block)

    def result(self):
        """Wait for the result, and let the cluster forget it."""
        distributed = self._run.distributed
        for _ in range(ATTEMPTS):
            try:
                result = self._future.result()
            except distributed.KilledWorker as error:
                self._give_up(error)
            except distributed.client.FutureCancelledError as error:
                # All that held the function are gone, and its blocks with them.
                last = error
                self._forget()
                self._future = self._send_again()
            else:
                self._forget()
                return result
        return self._give_up(last)

    def _send_again(self):
        try:
            return self._run.send(self._block)
        except (OSError, TimeoutError) as error:
            raise Gen5Error(
                f"block {self._block}", got="a cluster without workers", remedy="start them again, then this run"
            ) from error

    def _forget(self):
        self._run.under_way.discard(self._future)
        self._future.release()

    def _give_up(self, error):
        raise Gen5Error(
            f"block {self._block}",
            got=f"workers that died, {ATTEMPTS} times over",
            remedy="see their logs; a worker that runs out of memory is killed",
        ) from error
