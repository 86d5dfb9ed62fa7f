import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fuzz import write_seeds

FOLDER = Path(__file__).resolve().parents[2] / "ext" / "tests"


def test_the_compiled_code_is_clean_under_the_sanitizers(tmp_path):
    assert make("check", f"BUILD={tmp_path}").count("all checks passed") == 2


def test_the_fuzzer_finds_its_way_and_nothing_that_breaks(tmp_path):
    """A short run, the same each time; ``make -C ext/tests fuzz SECONDS=600`` is a long one."""
    compiler = os.environ.get("CC", "cc")
    trial = [compiler, "-fsanitize-coverage=trace-pc,trace-cmp", "-x", "c", "-c", "-o", str(tmp_path / "trial"), "-"]
    if shutil.which(compiler) is None or subprocess.run(trial, input=b"", capture_output=True, check=False).returncode:
        pytest.skip("needs a compiler that traces coverage as gcc does")
    write_seeds(tmp_path / "corpus")
    seeds = len(list((tmp_path / "corpus").iterdir()))
    said = make("fuzz", f"BUILD={tmp_path}", "SECONDS=0", "RUNS=20000")
    executions, edges, inputs = map(int, re.search(r"(\d+) executions .* (\d+) edges, (\d+) inputs", said).groups())
    assert executions == 20_000
    assert edges > 500
    assert inputs > seeds
    assert not (tmp_path / "crash").exists()


def make(*arguments):
    """Run make in the folder of the C tests, and return what it says."""
    if shutil.which("make") is None or shutil.which(os.environ.get("CC", "cc")) is None:
        pytest.skip("needs make and a C compiler")
    done = subprocess.run(["make", "-C", str(FOLDER), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
