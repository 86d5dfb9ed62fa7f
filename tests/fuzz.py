"""Look long for what breaks the readers: ``python -m tests.fuzz npz --seconds 600``; see CONTRIBUTING.md."""

import argparse
import collections
import faulthandler
import itertools
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.io import fuzzed, test_fuzz

ROUND = 500
ROOM = 2 << 30
SLOW = 20


def write_seeds(folder):
    """Write archives, and the arrays in them, for the fuzzer of the compiled reader to begin with."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (fuzzed.npz_seeds() | fuzzed.npy_seeds()).items():
        (folder / name).write_bytes(content)


def replay(folder):
    """Ask of every input that the fuzzer of the compiled reader kept what the tests ask."""
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    counts = collections.Counter()
    for path in paths:
        for bands in test_fuzz.CHOICES:
            counts[test_fuzz.check_npz(path.read_bytes(), bands)] += 1
        counts[test_fuzz.check_npy(path.read_bytes())] += 1
    print(f"{len(paths)} inputs: {dict(counts)}")


def look(kind, seconds, folder):
    """Round after round of new examples, in little more memory than there is now; the last one is in the folder."""
    counts = collections.Counter()
    # What warns is no finding: the reader of FITS records warnings, and NumPy's are of headers from Python 2.
    warnings.simplefilter("ignore")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    began = time.monotonic()
    faulthandler.enable()

    def try_one(example):
        (folder / "last").write_bytes(repr(example).encode())
        faulthandler.dump_traceback_later(SLOW, exit=True)
        counts[test_fuzz.CHECKS[kind](*example)] += 1
        faulthandler.cancel_dump_traceback_later()

    for number in itertools.count():
        if time.monotonic() - began > seconds:
            break
        options = {"derandomize": False, "database": None, "suppress_health_check": list(HealthCheck)}
        check = hypothesis.given(st.tuples(*test_fuzz.INPUTS[kind]))(try_one)
        hypothesis.seed(number)(settings(max_examples=ROUND, deadline=None, **options)(check))()
    print(f"{kind}: {sum(counts.values()):,} examples in {time.monotonic() - began:.0f} s: {dict(counts)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["seeds", "replay", *test_fuzz.CHECKS])
    parser.add_argument(
        "folder", nargs="?", type=Path, help="of seeds to write, inputs to replay, or for the last example"
    )
    parser.add_argument("--seconds", type=float, default=600)
    arguments = parser.parse_args()
    if arguments.what == "seeds":
        write_seeds(arguments.folder)
    elif arguments.what == "replay":
        replay(arguments.folder)
    else:
        look(arguments.what, arguments.seconds, arguments.folder or Path(tempfile.gettempdir()))


if __name__ == "__main__":
    sys.exit(main())
