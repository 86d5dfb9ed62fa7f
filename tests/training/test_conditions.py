"""A run computes the same every time and leaves the process as it found it."""

import itertools
import os
import signal

import pytest
import torch

from gen5astro.config import TrainConfig
from gen5astro.errors import ConfigError
from gen5astro.training.conditions import catch_signals, learning_rate, make_fabric, repeatable, step_seed


def test_the_rate_rises_to_its_peak_and_falls_to_nearly_nothing():
    config = TrainConfig(learning_rate=0.01, warmup_fraction=0.1)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[:10] == pytest.approx([0.001 * (step + 1) for step in range(10)])
    assert max(rates) == pytest.approx(0.01)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert 0 < rates[-1] < 1e-5


def test_a_run_of_one_step_takes_it_at_the_peak():
    assert learning_rate(0, 1, TrainConfig(learning_rate=0.01)) == 0.01


def test_seeds_of_steps_differ():
    assert len({step_seed(seed, step) for seed in range(4) for step in range(1000)}) == 4000


def test_torch_is_left_as_it_was():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.random.get_rng_state()
    with repeatable(1):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled() != torch.cuda.is_available()
        torch.manual_seed(3)
    assert torch.get_num_threads() == before[0]
    assert torch.are_deterministic_algorithms_enabled() == before[1]
    assert torch.equal(torch.random.get_rng_state(), before[2])


WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def _standing():
    cudnn = torch.backends.cudnn
    return {
        "strict": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (cudnn.deterministic, cudnn.benchmark),
        "workspace": os.environ.get(WORKSPACE),
    }


@pytest.mark.parametrize(
    ("has_cuda", "asked", "strict", "cudnn", "workspace"),
    [
        (True, True, True, (True, False), ":4096:8"),
        (True, False, False, (False, True), None),
        (True, None, False, (False, False), None),
        (False, True, True, (False, False), None),
        (False, False, True, (False, False), None),
        (False, None, True, (False, False), None),
    ],
)
def test_a_gpu_is_deterministic_where_asked_and_else_fast(monkeypatch, has_cuda, asked, strict, cudnn, workspace):
    monkeypatch.delenv(WORKSPACE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    before = _standing()
    with repeatable(1, deterministic=asked):
        assert _standing() == {"strict": strict, "cudnn": cudnn, "workspace": workspace}
    assert _standing() == before
    with pytest.raises(ZeroDivisionError), repeatable(1, deterministic=asked):
        raise ZeroDivisionError
    assert _standing() == before


def test_what_a_user_told_cublas_stands(monkeypatch):
    monkeypatch.setenv(WORKSPACE, ":16:8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with repeatable(1, deterministic=True):
        assert os.environ[WORKSPACE] == ":16:8"
    assert os.environ[WORKSPACE] == ":16:8"


def _compute_what_cannot_be_repeated():
    torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))


def test_an_operation_without_a_deterministic_version_is_named_in_one_line(monkeypatch):
    said = r"^the network: got put_, of which .*; expected .*; use another model_name$"
    with pytest.raises(ConfigError, match=said), repeatable(1):
        _compute_what_cannot_be_repeated()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    said = (
        r"^train\.deterministic = true: got put_, of which .*; expected .*; use --set deterministic=false, or another"
    )
    with pytest.raises(ConfigError, match=said), repeatable(1, deterministic=True):
        _compute_what_cannot_be_repeated()
    with repeatable(1, deterministic=False):
        _compute_what_cannot_be_repeated()


def test_other_errors_of_torch_pass(monkeypatch):
    with pytest.raises(RuntimeError, match="of memory") as passed, repeatable(1, deterministic=True):
        raise RuntimeError("CUDA out of memory")
    assert not isinstance(passed.value, ConfigError)
    # As torch says it where cuBLAS was in use before it was told.
    error = RuntimeError(f"not deterministic because it uses CuBLAS ... set {WORKSPACE}=:4096:8 or {WORKSPACE}=:16:8")
    said = f"expected {WORKSPACE}=:4096:8 from the start; set it, or use --set deterministic=false"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match=said), repeatable(1, deterministic=True):
        raise error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_a_flag_and_the_handlers_come_back(number):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with catch_signals() as stopped:
        os.kill(os.getpid(), number)
        assert stopped.is_set()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_second_signal_acts_at_once():
    # A shell starts what runs in its background with interrupts ignored; here they must act.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with catch_signals():
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_accelerator_that_is_not_here_is_named():
    with pytest.raises(ConfigError, match="'abacus'"):
        make_fabric(TrainConfig(accelerator="abacus"))


def test_a_gpu_that_is_not_here_is_named(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"train\.accelerator: got 'mps', which torch \S+ does not find"):
        make_fabric(TrainConfig(accelerator="mps"))
