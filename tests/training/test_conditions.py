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
