"""Run command lines in a process of its own, one a line of standard input: a signal must not end the tests."""

import hashlib
import json
import os
import sys
from pathlib import Path

import h5py
from click.testing import CliRunner

from gen5astro.cli import main


def content_of(path):
    """Digest of all datasets and attributes of a cube but the time of writing."""
    found = hashlib.sha256()
    with h5py.File(path) as file:
        for name, value in sorted(file.attrs.items()):
            if name not in ("created", "seal"):
                found.update(f"{name}={value}".encode())

        def see(name, item):
            if isinstance(item, h5py.Dataset):
                found.update(name.encode() + item[...].tobytes())

        file.visititems(see)
    return found.hexdigest()


def answer(arguments):
    """Run one command line; how it ended, what it said, and the content of the cube that it wrote, if it did."""
    result = CliRunner().invoke(main, arguments)
    out = Path(arguments[arguments.index("--out") + 1])
    whole = content_of(out) if out.suffix == ".h5" and out.is_file() else None
    return {"exit_code": result.exit_code, "stderr": result.stderr, "content": whole}


if __name__ == "__main__":
    os.umask(0o022)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
