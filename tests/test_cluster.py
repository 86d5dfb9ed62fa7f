"""A cluster gives what threads give, outlives its workers, and names the block that kills them."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from gen5astro.build import build_cube
from gen5astro.cluster import cluster
from gen5astro.config import Config, InjectConfig
from gen5astro.engine import distribute, map_blocks
from gen5astro.errors import ConfigError, FormatError, Gen5Error
from gen5astro.inference import open_finder, predict
from gen5astro.inject import inject_blocks
from gen5astro.io import open_cutouts
from gen5astro.measure import measure_pairs
from gen5astro.sample import load_hosts
from gen5astro.settings import from_dict
from tests.inference.cutouts import train_on_sample, write_cutouts
from tests.sources import MemorySource

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def processes():
    """Two processes on this machine, shared by the tests that harm neither."""
    with cluster("local:2") as client:
        yield client


def test_results_keep_the_order_of_the_blocks_and_few_are_under_way(processes):
    drawn = []

    def blocks():
        for block in range(30):
            drawn.append(block)
            yield block

    def slow_when_early(block):
        time.sleep(0.01 * (30 - block) / 30)
        return block, os.getpid()

    found = []
    for result in map_blocks(slow_when_early, blocks(), spread=True):
        found.append(result)
        assert len(drawn) <= len(found) + 4
    assert [block for block, _ in found] == list(range(30))
    workers = {process for _, process in found}
    assert len(workers) == 2
    assert os.getpid() not in workers


def test_what_may_not_be_spread_stays_here(processes):
    assert set(map_blocks(lambda _block: os.getpid(), range(5))) == {os.getpid()}


def test_an_error_arrives_as_it_was_raised(processes):
    def fail_at_five(block):
        if block == 5:
            raise FormatError("block 5", got="nothing")
        return block

    results = map_blocks(fail_at_five, range(50), spread=True)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(FormatError, match="block 5: got nothing"):
        next(results)


def test_pairs_are_injected_and_measured_as_by_threads(processes):
    def measured():
        (block,) = inject_blocks(load_hosts(), 40, seed=3, config=InjectConfig(size=64), block=40)
        return block, measure_pairs(MemorySource(block), Config().measure, block=10)[0]

    spread_block, spread = measured()
    with_threads = MemorySource(spread_block)
    here = measure_pairs(with_threads, Config().measure, block=7, threads=2)[0]
    for name, values in here.columns.items():
        np.testing.assert_array_equal(spread[name], values, err_msg=name)


def test_a_cube_is_built_as_by_threads(processes, tmp_path):
    (block,) = inject_blocks(load_hosts(), 40, seed=3, config=InjectConfig(size=48), block=40)
    config = from_dict({"build": {"block": 8, "shard_pairs": 15}})
    with_cluster = build_cube(MemorySource(block), tmp_path / "spread.h5", config=config)
    with distribute(None):
        here = build_cube(MemorySource(block), tmp_path / "here.h5", config=config, threads=2)
    assert with_cluster["shards"] > 1
    assert with_cluster["digests"] == here["digests"]


def test_images_are_scored_as_by_threads_by_workers_that_cannot_read_the_checkpoint(processes, tmp_path):
    run, _, block = train_on_sample(tmp_path)
    finder = open_finder(run)
    shutil.rmtree(run)
    source = open_cutouts(write_cutouts(tmp_path / "cutouts.parquet", block.stamp))
    config = from_dict({"predict": {"batch_size": 4}})
    predict(finder, source, tmp_path / "spread.parquet", config=config)
    with distribute(None):
        predict(finder, source, tmp_path / "here.parquet", config=config, threads=2)
    assert (tmp_path / "spread.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()


def test_the_blocks_of_a_worker_that_dies_are_done_by_another(tmp_path):
    def die_once(block, marker=str(tmp_path / "died")):
        if block == 7 and not os.path.exists(marker):
            with open(marker, "w"):
                os._exit(1)
        return block

    with cluster("local:2"):
        assert list(map_blocks(die_once, range(20), spread=True)) == list(range(20))
    assert (tmp_path / "died").exists()


def test_a_block_that_kills_every_worker_is_named():
    def die(block):
        if block == 3:
            os._exit(1)
        return block

    with cluster("local:2"), pytest.raises(Gen5Error, match=r"block 3: got workers that died, 3 times over"):
        list(map_blocks(die, range(5), spread=True))


def test_a_cluster_started_by_hand_loses_a_worker_halfway(tmp_path):
    port = 18786 + os.getpid() % 1000
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": os.getcwd()}
    python = [sys.executable, "-m"]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = subprocess.Popen(
        [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        **options,
    )
    place = ["--local-directory", str(tmp_path), "--no-dashboard", "--no-nanny"]
    workers = [
        subprocess.Popen(
            [*python, "distributed.cli.dask_worker", address, "--nworkers", "1", "--nthreads", "1", *place], **options
        )
        for _ in range(2)
    ]
    try:
        with cluster(address) as client:
            client.wait_for_workers(2, timeout=60)
            found = []
            for result in map_blocks(_slowly, range(40), spread=True):
                found.append(result)
                if len(found) == 15:
                    workers[0].kill()
        assert found == list(range(40))
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def _slowly(block):
    time.sleep(0.02)
    return block


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("local:0", "expected local:N"),
        ("local:two", "expected local:N"),
        ("http://here", "expected tcp://HOST:PORT, or local:N"),
        ("tcp:here", "expected tcp://HOST:PORT, or local:N"),
    ],
)
def test_an_address_of_no_known_form_is_refused(scheduler, message):
    with pytest.raises(ConfigError, match=message), cluster(scheduler):
        pass


def test_an_address_where_nobody_answers_is_refused(monkeypatch):
    monkeypatch.setattr("gen5astro.cluster._CONNECT_SECONDS", 1)
    with (
        pytest.raises(ConfigError, match="got no answer; expected a running dask scheduler"),
        cluster("tcp://127.0.0.1:9"),
    ):
        pass


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install 'gen5astro\[cluster\]'"), cluster("local:2"):
        pass
