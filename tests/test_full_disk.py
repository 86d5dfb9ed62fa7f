"""Disks that are full, or may not be written to, in earnest: small file systems in memory, and another user."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from gen5astro.build import build_cube
from gen5astro.config import Config
from gen5astro.io import open_pairs
from gen5astro.io.parquet import PairWriter
from tests.factories import make_pairs
from tests.io.inputs import wcs_header

ROOT = Path(__file__).resolve().parents[1]
KILOBYTES = 8192
PIXELS = 2 * 4 * 48 * 3 * 32 * 32
NOBODY = 65534


@pytest.fixture
def disk(tmp_path):
    """Return what mounts a file system of some kilobytes, with options, at a folder; it is gone afterwards."""
    mounted = []

    def mount(kilobytes, *, options="rw"):
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=777,size={kilobytes}k", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a file system (root)")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def resize(place, kilobytes):
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(place)], check=True)


class Runner:
    """A process that runs command lines, begun anew when one has killed it."""

    def __init__(self, *before):
        self._command = [*before, sys.executable, "-m", "tests.full_disk"]
        self._process = None

    def __call__(self, *arguments):
        if self._process is None or self._process.poll() is not None:
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
            self._process = subprocess.Popen(self._command, env=environment, **pipes)
        print(json.dumps(list(map(str, arguments))), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, f"the process was ended by signal {-self._process.wait()}"
        return SimpleNamespace(**json.loads(line))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process is not None:
            self._process.communicate()


@pytest.fixture(scope="module")
def run():
    with Runner() as runner:
        yield runner


def assert_refused(result, *said):
    """Make sure that a run ended as for bad input, in one line that says what to do."""
    assert result.exit_code == 2, result.stderr
    assert result.stderr.startswith("gen5astro: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for text in ("got ", "expected ", *said):
        assert text in result.stderr


@pytest.fixture(scope="module")
def block():
    """Return pairs of which a cube takes some 1.6 MB, a third of it no pixels."""
    pairs = make_pairs(48, np.random.default_rng(2), size=32)
    columns = {f"note_{number}": np.full(48, "x" * 900) for number in range(8)}
    return dataclasses.replace(pairs, catalog=pairs.catalog | columns)


@pytest.fixture(scope="module")
def pairs(block, tmp_path_factory):
    path = tmp_path_factory.mktemp("input") / "pairs.parquet"
    with PairWriter(path, block.bands, block.pixel_scale) as writer:
        writer.write(block)
    path.parent.chmod(0o755)
    return path


@pytest.fixture(scope="module")
def cube(pairs):
    build_cube(open_pairs(pairs), pairs.with_name("cube.h5"), config=Config())
    return pairs.with_name("cube.h5")


@pytest.fixture(scope="module", params=[[], ["--set", "build.shard_pairs=20"]], ids=["one file", "shards"])
def build(request, pairs):
    """Return the command line of a build, but for its --out."""
    return ["build-hdf5", pairs, "--quiet", "--threads", "1", "--set", "build.block=16", *request.param]


@pytest.fixture(scope="module")
def whole(build, run, tmp_path_factory):
    """Return the content of the cube that nothing hinders, and the bytes of it."""
    path = tmp_path_factory.mktemp("whole") / "cube.h5"
    result = run(*build, "--out", path)
    assert result.exit_code == 0, result.stderr
    return result.content, sum(each.stat().st_size for each in path.parent.rglob("*.h5"))


def test_a_build_that_has_no_room_from_the_start_begins_nothing(disk, build, run):
    place = disk(400)
    assert_refused(run(*build, "--out", place / "cube.h5"), str(place / "cube.h5"), "free some space")
    assert list(place.iterdir()) == []


def test_a_build_that_fills_its_disk_at_any_stage_says_so_and_goes_on_when_there_is_room(disk, build, run, whole):
    """The free space is that of each stage in turn: laying out, pixels, journal, columns, attributes."""
    content, size = whole
    place, ends = disk(KILOBYTES), []
    for kilobytes in range(PIXELS // 1024 + 4, 2 * size // 1024, 44):
        resize(place, kilobytes)
        result = run(*build, "--out", place / "cube.h5")
        ends.append(result.exit_code)
        if result.exit_code:
            assert_refused(result, str(place / "cube.h5"), "No space left on device", "go on with --resume")
            assert not (place / "cube.h5").exists()
            resize(place, KILOBYTES)
            result = run(*build, "--out", place / "cube.h5", "--resume")
        assert result.exit_code == 0, result.stderr
        assert result.content == content
        assert not (place / "cube.h5.part").exists()
        (place / "cube.h5").unlink()
        shutil.rmtree(place / "cube.shards", ignore_errors=True)
    assert ends.count(2) > 5
    assert ends == sorted(ends, reverse=True)


def writers(pairs, cube):
    """Command lines that write, but for their --out, and the name of what they write."""
    hosts = ROOT / "gen5astro" / "sample" / "data" / "hosts.fits"
    return {
        "build": (["build-hdf5", pairs], "cube.h5"),
        "inject": (["inject", hosts, "--n", "64", "--size", "32"], "pairs.parquet"),
        "audit": (["audit-injection", pairs], "audit"),
        "export to Parquet": (["export", cube], "pairs.parquet"),
        "export to Arrow": (["export", cube], "pairs.arrow"),
        "export to FITS": (["export", cube], "pairs.fits"),
        "train": (["train", cube, "--set", "epochs=1", "--set", "width=8"], "run"),
    }


VERBS = ["inject", "audit", "export to Parquet", "export to Arrow", "export to FITS", "train"]
WHOLE = {"pairs.parquet", "pairs.arrow", "pairs.fits", "audit.json", "training.json"}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kilobytes", [4, 140])
def test_what_fills_its_disk_says_so_and_leaves_nothing_that_looks_whole(disk, run, pairs, cube, verb, kilobytes):
    command, name = writers(pairs, cube)[verb]
    place = disk(kilobytes)
    result = run(*command, "--quiet", "--out", place / name)
    assert_refused(result, str(place / name), "No space left on device", "free some space")
    left = {path.name for path in place.rglob("*")}
    assert not left & WHOLE
    assert not any("part" in each for each in left)


def test_a_cutout_that_fills_its_disk_says_so(disk, run, tmp_path):
    image = np.random.default_rng(0).normal(size=(3, 200, 200))
    fits.PrimaryHDU(image.astype(np.float32), wcs_header(BANDS="grz", CRPIX1=100.5, CRPIX2=100.5)).writeto(
        tmp_path / "coadd.fits"
    )
    (tmp_path / "catalog.csv").write_text("ra,dec\n" + "150.1,2.2\n" * 40)
    command = ["cutout", tmp_path / "catalog.csv", "--images", tmp_path / "coadd.fits", "--size", "32", "--quiet"]
    place = disk(64)
    assert_refused(run(*command, "--out", place / "cut.parquet"), str(place / "cut.parquet"), "free some space")
    assert list(place.iterdir()) == []
    resize(place, 4096)
    result = run(*command, "--out", place / "cut.parquet")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("verb", ["build", *VERBS])
def test_what_may_not_be_written_to_is_refused_in_one_line(disk, run, pairs, cube, verb):
    place = disk(KILOBYTES, options="ro")
    command, name = writers(pairs, cube)[verb]
    assert_refused(run(*command, "--quiet", "--out", place / name), str(place), "Read-only file system")


def test_a_folder_of_another_user_is_refused_in_one_line(pairs, cube, tmp_path):
    folder, before = tmp_path / "theirs", []
    folder.mkdir()
    if os.geteuid() == 0:
        # Root may write anywhere; root without this capability is one user among others.
        os.chown(folder, NOBODY, NOBODY)
        before = ["setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override"]
        if shutil.which("setpriv") is None or subprocess.run([*before, "true"], check=False).returncode:
            pytest.skip("needs setpriv to give up root's right to write anywhere")
    else:
        folder.chmod(0o555)
    with Runner(*before) as run:
        for verb in ("build", *VERBS):
            command, name = writers(pairs, cube)[verb]
            assert_refused(run(*command, "--quiet", "--out", folder / name), str(folder), "Permission denied")
    assert list(folder.iterdir()) == []
