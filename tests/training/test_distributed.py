"""Two processes that share every batch train as one that has it whole: losses, and what is judged."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.cubes import make_cube

SCRIPT = Path(__file__).with_name("distributed.py")
STEPS = 20
PAIRED = {"pair_weight": 0.3, "batch_composition": {"positives": 2, "negatives": 3}}
"""Of batches of 7, one process has two pairs and the other one."""


def free_port():
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return each.getsockname()[1]


def torchrun(rank, n):
    """What torchrun tells a process."""
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "GROUP_RANK": 0}
    return own | {"TORCHELASTIC_RUN_ID": "test"}


def slurm(rank, n):
    """What SLURM tells a task."""
    own = {"NTASKS": n, "NTASKS_PER_NODE": n, "NNODES": 1, "PROCID": rank, "LOCALID": rank, "NODEID": 0}
    own |= {"JOB_ID": 7, "JOB_NAME": "train", "NODELIST": "localhost"}
    return {f"SLURM_{name}": value for name, value in own.items()}


def losses(cube, out, settings, n_processes, start=torchrun):
    command = [sys.executable, str(SCRIPT), str(cube), str(out), json.dumps(settings), str(STEPS)]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    here = {"PYTHONPATH": str(SCRIPT.parents[2])}
    ranks = []
    for rank in range(n_processes):
        own = {name: str(value) for name, value in start(rank, n_processes).items()} if n_processes > 1 else {}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        ranks.append(subprocess.Popen(command, env={**os.environ, **common, **here, **own}, **pipes))
    ends = [each.communicate(timeout=300) for each in ranks]
    assert [each.returncode for each in ranks] == [0] * n_processes, ends
    return json.loads(ends[0][0].strip().splitlines()[-1])


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (torchrun, {}),
        (slurm, {**PAIRED, "pair_loss": "margin"}),
        (torchrun, {**PAIRED, "pair_loss": "infonce", "batch_size": 7, "epochs": 2}),
    ],
    ids=["default", "margin", "infonce"],
)
def test_two_processes_take_the_steps_of_one(tmp_path, start, more):
    cube = make_cube(tmp_path / "cube.h5", size=24)
    settings = {"width": 4, "epochs": 4, "batch_size": 16, "accelerator": "cpu", "watch_pairs": 0, **more}
    one = losses(cube, tmp_path / "one", settings, 1)
    two = losses(cube, tmp_path / "two", settings, 2, start)
    assert (one["processes"], two["processes"]) == (1, 2)
    assert len(one["losses"]) == STEPS
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.array(two["val"], float), np.array(one["val"], float), rtol=0, atol=1e-9)
