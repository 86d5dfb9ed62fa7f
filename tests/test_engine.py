"""Blocks come back in order, few are under way at once, and errors reach the caller."""

import os
import signal
import threading
import time

import pytest

from gen5astro.engine import default_threads, map_blocks, remember_interrupts
from gen5astro.errors import ConfigError, FormatError, Gen5Error


@pytest.mark.parametrize("helping", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_results_keep_the_order_of_the_blocks(threads, helping):
    def slow_when_early(block):
        time.sleep(0.002 * (20 - block) / 20)
        return block * block

    results = list(map_blocks(slow_when_early, range(20), threads=threads, helping=helping))
    assert results == [block * block for block in range(20)]


@pytest.mark.parametrize("helping", [False, True])
@pytest.mark.parametrize("threads", [1, 4])
def test_blocks_are_drawn_only_as_fast_as_results_are_consumed(threads, helping):
    drawn = []

    def blocks():
        for block in range(100):
            drawn.append(block)
            yield block

    results = map_blocks(lambda block: block, blocks(), threads=threads, helping=helping)
    for consumed, _ in enumerate(results, start=1):
        assert len(drawn) <= consumed + 2 * threads


@pytest.mark.parametrize("helping", [False, True])
@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_arrives_after_the_results_before_it(threads, helping):
    def fail_at_five(block):
        if block == 5:
            raise FormatError("block 5")
        return block

    results = map_blocks(fail_at_five, range(50), threads=threads, helping=helping)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(FormatError, match="block 5"):
        next(results)


def test_an_error_while_drawing_blocks_arrives_too():
    def blocks():
        yield 0
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(map_blocks(abs, blocks(), threads=2))


@pytest.mark.parametrize("helping", [False, True])
def test_stopping_early_drops_what_has_not_begun_and_leaves_no_thread(helping):
    begun = []
    gate = threading.Event()

    def wait(block):
        begun.append(block)
        if block:
            gate.wait(5)
        return block

    results = map_blocks(wait, range(1000), threads=2, helping=helping)
    assert next(results) == 0
    gate.set()
    results.close()
    assert len(begun) <= 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gen5astro")]


@pytest.mark.parametrize("helping", [False, True])
def test_several_threads_are_really_used(helping):
    barrier = threading.Barrier(3, timeout=10)
    assert list(map_blocks(lambda _: barrier.wait() >= 0, range(3), threads=3, helping=helping)) == [True] * 3


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_consumer_that_helps_is_one_of_the_threads(threads):
    seen = set()

    def work(block):
        seen.add(threading.get_ident())
        time.sleep(0.001)
        return block

    assert list(map_blocks(work, range(60), threads=threads, helping=True)) == list(range(60))
    assert threading.get_ident() in seen
    assert len(seen) == threads


def test_no_blocks_make_no_results():
    assert list(map_blocks(abs, [], threads=2)) == []


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_than_one_thread_is_refused(threads):
    with pytest.raises(ConfigError, match="threads: got"):
        list(map_blocks(abs, [1], threads=threads))


def test_the_default_is_what_the_process_may_use(monkeypatch):
    assert default_threads() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_threads() == 1


def test_an_interrupt_ends_the_work_between_two_blocks():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []

    def work():
        for block in map_blocks(abs, range(100), threads=1):
            done.append(block)
            if block == 3:
                os.kill(os.getpid(), signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt), remember_interrupts():
            work()
        assert len(done) == 4
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_outside_the_mapping_acts_at_once():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with remember_interrupts():
            assert list(map_blocks(abs, range(3), threads=1)) == [0, 1, 2]
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_map_that_ends_inside_another_leaves_the_outer_interrupt_remembered():
    seen = []

    def nested(block):
        return sum(map_blocks(abs, range(3), threads=1)) + block

    def work():
        for block in map_blocks(nested, range(100), threads=1):
            seen.append(block)
            if len(seen) == 2:
                # Were the end of an inner map taken for that of the outer one, this would raise here.
                signal.raise_signal(signal.SIGINT)
                seen.append("remembered")

    # A shell in the background starts what it runs with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), remember_interrupts():
            work()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [3, 4, "remembered"]


def test_a_block_that_cannot_be_read_is_tried_thrice_and_named():
    tries = []

    def flaky(block):
        tries.append(block)
        if block == 2 or (block == 1 and tries.count(1) < 3):
            raise OSError(5, "Input/output error")
        return block

    results = map_blocks(flaky, range(3), threads=1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(Gen5Error, match=r"block 2: got .*Input/output error, 3 times over"):
        next(results)
    assert [tries.count(block) for block in range(3)] == [1, 3, 3]
