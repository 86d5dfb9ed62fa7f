"""Under which conditions a run computes: devices and precision, threads, determinism, seeds, signals."""

import contextlib
import math
import os
import signal
import threading

import torch
from lightning_fabric import Fabric

from gen5astro.errors import ConfigError

__all__ = ["catch_signals", "learning_rate", "make_fabric", "make_optimizer", "repeatable", "step_seed"]

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""What cuBLAS must be told to be deterministic."""

_BACKENDS = {"cuda": torch.cuda, "mps": torch.backends.mps}


def make_fabric(config):
    """Set up Lightning Fabric, on as many processes as were started or are asked for.

    Where ``torchrun`` or SLURM has started the processes, they are taken as they are; else ``config.devices`` of them
    are started here.

    Parameters
    ----------
    config : TrainConfig
        Its `accelerator`, `devices` and `precision`.

    Returns
    -------
    fabric : lightning_fabric.Fabric
        Launched.

    Raises
    ------
    ConfigError
        If there is no such accelerator here, or it cannot compute in this precision.
    """
    if config.accelerator in _BACKENDS and not _BACKENDS[config.accelerator].is_available():
        got = f"{config.accelerator!r}, which torch {torch.__version__} does not find on this machine"
        raise ConfigError("train.accelerator", got=got, remedy="use --set accelerator=auto")
    devices, nodes = _processes(config)
    options = {"devices": devices, "num_nodes": nodes, "strategy": "ddp" if devices * nodes > 1 else "auto"}
    try:
        fabric = Fabric(accelerator=config.accelerator, precision=config.precision, **options)
    except (ValueError, RuntimeError) as error:
        line = str(error).strip().partition("\n")[0]
        got = f"accelerator {config.accelerator!r}, {devices} devices, precision {config.precision!r}: {line}"
        raise ConfigError("train.accelerator", got=got, remedy="use --set accelerator=auto --set devices=1") from error
    fabric.launch()
    return fabric


def _processes(config):
    """Processes a node, and nodes."""
    started = {name: int(os.environ.get(name, 0)) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE")}
    if all(started.values()):
        return started["LOCAL_WORLD_SIZE"], started["WORLD_SIZE"] // started["LOCAL_WORLD_SIZE"]
    tasks, nodes = (int(os.environ.get(name, 0)) for name in ("SLURM_NTASKS", "SLURM_NNODES"))
    if tasks > 1:
        return tasks // max(nodes, 1), max(nodes, 1)
    return config.devices, 1


def make_optimizer(network, config):
    """Make AdamW (Loshchilov & Hutter 2019), which decays matrices and leaves biases and norms alone.

    Parameters
    ----------
    network : torch.nn.Module
        Whose parameters it moves.
    config : TrainConfig
        Its `learning_rate` and `weight_decay`.

    Returns
    -------
    optimizer : torch.optim.AdamW
        At the peak of the learning rate.
    """
    decayed = [each for each in network.parameters() if each.ndim > 1]
    others = [each for each in network.parameters() if each.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


@contextlib.contextmanager
def repeatable(threads, *, deterministic=None):
    """Compute the same on every run, and leave torch as it was found.

    On a machine without CUDA all algorithms are deterministic for a given number of threads, and torch refuses any that
    is not. With CUDA this is so where it is asked for: it is slower, and some networks cannot be trained so.

    Parameters
    ----------
    threads : int
        Threads of an operation on the CPU.
    deterministic : bool, optional
        With CUDA, whether no algorithm may be used that is not deterministic; where it is False, cuDNN tries which of
        its own is the fastest, which pays where batches have one size. Default: neither.

    Yields
    ------
    nothing : None
        The conditions hold inside.

    Raises
    ------
    ConfigError
        If there is no deterministic algorithm for something that is to be computed.
    """
    has_cuda, cudnn = torch.cuda.is_available(), torch.backends.cudnn
    asked = has_cuda and bool(deterministic)
    old_threads, old_mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    old_cudnn, old_workspace = (cudnn.deterministic, cudnn.benchmark), os.environ.get(_WORKSPACE)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(asked or not has_cuda)
    if has_cuda and deterministic is not None:
        cudnn.deterministic, cudnn.benchmark = asked or cudnn.deterministic, not asked
    if asked:
        # Early enough: it is read when the process multiplies its first matrices on a GPU.
        os.environ.setdefault(_WORKSPACE, ":4096:8")
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    except RuntimeError as error:
        refusal = _refusal(str(error), asked=asked)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        torch.set_num_threads(old_threads)
        torch.set_deterministic_debug_mode(old_mode)
        cudnn.deterministic, cudnn.benchmark = old_cudnn
        if old_workspace is None:
            os.environ.pop(_WORKSPACE, None)


def _refusal(message, *, asked):
    """What torch says in a paragraph, in a line; None of other errors."""
    what = "train.deterministic = true" if asked else "the network"
    remedy = "use --set deterministic=false, or another model_name" if asked else "use another model_name"
    operation, found, _ = message.partition(" does not have a deterministic implementation")
    if found:
        got, expected = f"{operation}, of which torch has no deterministic version", "operations that have one"
        return ConfigError(what, got=got, expected=expected, remedy=remedy)
    if _WORKSPACE in message:
        got = f"{_WORKSPACE}={os.environ.get(_WORKSPACE, '')}, or a GPU that the process had used before"
        expected = f"{_WORKSPACE}=:4096:8 from the start"
        return ConfigError(what, got=got, expected=expected, remedy="set it, or use --set deterministic=false")
    return None


@contextlib.contextmanager
def catch_signals():
    """Turn SIGINT and SIGTERM into a flag, so that a step is never cut in two; the second one acts at once.

    Yields
    ------
    stopped : threading.Event
        Set when one has arrived. Outside the main thread, where none can be caught, it stays clear.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(_number, _frame):
        stopped.set()
        restore()

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        restore()


def step_seed(seed, step):
    """Seed of the augmentation and dropout of one step.

    Parameters
    ----------
    seed : int
        Seed of the run.
    step : int
        Number of the step, from 0.

    Returns
    -------
    seed : int
        Below 2**63, different for every step and run of moderate size.
    """
    return (seed * 1_000_003 + step) % 2**63


def learning_rate(step, n_steps, config):
    """Learning rate of a step: linear warm-up, then half a cosine down to zero (Loshchilov & Hutter 2017).

    Parameters
    ----------
    step : int
        Number of the step, from 0.
    n_steps : int
        Steps of the whole run.
    config : TrainConfig
        Its `learning_rate` and `warmup_fraction`.

    Returns
    -------
    rate : float
        Never above `config.learning_rate`.
    """
    warmup = max(1, round(config.warmup_fraction * n_steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, n_steps - warmup)))
