"""A cube that is whole passes; one that is not is refused, or fails, or differs where nobody reads."""

import json
import shutil

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from gen5astro.build import build_cube
from gen5astro.cli import main
from gen5astro.config import InjectConfig
from gen5astro.errors import Gen5Error
from gen5astro.inject import inject_blocks
from gen5astro.io.hdf5 import Cube
from gen5astro.sample import load_hosts
from gen5astro.settings import from_dict
from gen5astro.verify import verify_cube
from tests.sources import MemorySource


@pytest.fixture(scope="module")
def pairs():
    (block,) = inject_blocks(load_hosts(), 40, seed=5, config=InjectConfig(size=16), block=40)
    return block


@pytest.fixture(scope="module", params=[1000, 15], ids=["one file", "shards"])
def built(pairs, tmp_path_factory, request):
    out = tmp_path_factory.mktemp("built") / "cube.h5"
    config = from_dict({"build": {"shard_pairs": request.param}, "audit": {"max_reject_fraction": 0.5}})
    build_cube(MemorySource(pairs, bad={3: "torn"}), out, config=config)
    return out


def statuses(path):
    return {each["name"]: each["status"] for each in verify_cube(path)["checks"]}


def is_intact(path, original):
    """Whether all that can be read of a cube is what it was."""
    cube = Cube(path)
    same = [
        np.array_equal(np.asarray(getattr(cube, name)), original[name]) for name in ("stamp", "ctrl", "row", "split")
    ]
    same += [np.array_equal(values, original["catalog"][name]) for name, values in cube.catalog.items()]
    return all(same) and cube.attributes == original["attributes"]


def contents(path):
    cube = Cube(path)
    read = {name: np.array(getattr(cube, name)) for name in ("stamp", "ctrl", "row", "split")}
    return read | {"catalog": dict(cube.catalog), "attributes": cube.attributes}


def copied(built, folder):
    shutil.copytree(built.parent, folder)
    return folder / built.name


def test_a_whole_cube_passes_every_check(built):
    record = verify_cube(built)
    assert record["status"] == "PASS"
    assert {each["status"] for each in record["checks"]} == {"PASS"}
    assert record["pairs"] == 39
    assert record["remedy"] == ""
    notes = {each["name"]: each["note"] for each in record["checks"]}
    assert notes["pixels"] == "78 images match their digests"
    assert notes["counts"] == "40 rows = 39 pairs + 1 rejected"


def change_split(file):
    file["split"][0] = (file["split"][0] + 1) % 3


def change_catalog(file):
    file["catalog/theta_e_arcsec"][2] += 1


def change_digest(file):
    file["digest"][5, 1] ^= np.uint64(1)


def change_counts(file):
    file.attrs["n_in"] = 50


def change_audit(file):
    file.attrs["audit"] = '{"status": "PASS"}'


def change_meaning(file):
    file["group"].attrs["meaning"] = "something else"


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        (change_split, {"digest of the split", "digest of the cube", "splits"}),
        (change_catalog, {"digest of the cube"}),
        (
            change_digest,
            {"pixels", "checksums of blocks", "digest of the input", "digest of the split", "digest of the cube"},
        ),
        (change_counts, {"digest of the cube", "seal of all else", "counts"}),
        (change_audit, {"seal of all else"}),
        (change_meaning, {"seal of all else"}),
    ],
)
def test_what_is_changed_is_caught_by_the_checks_that_cover_it(built, tmp_path, change, caught):
    path = copied(built, tmp_path / "copy")
    with h5py.File(path, "r+") as file:
        change(file)
    found = {name for name, status in statuses(path).items() if status == "FAIL"}
    assert caught - {"splits"} <= found <= caught


@pytest.mark.parametrize(
    ("split", "caught"), [("sky", {"seal of all else", "splits"}), ("given", {"seal of all else"})]
)
def test_only_a_split_that_was_assigned_has_a_guard_band_to_keep(built, tmp_path, split, caught):
    path = copied(built, tmp_path / "copy")
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["config"])
        config["build"] |= {"split": split, "guard_arcsec": 180.0 * 3600}
        file.attrs["config"] = json.dumps(config)
    record = verify_cube(path)
    assert {each["name"] for each in record["checks"] if each["status"] == "FAIL"} == caught
    assert "positions in the guard band" in record["checks"][-1]["note"]


def test_pairs_whose_pixels_are_damaged_are_named(built, tmp_path):
    path = copied(built, tmp_path / "copy")
    image = Cube(path)
    file, offset, _ = image._pieces["ctrl"][0]
    with open(file, "r+b") as handle:
        handle.seek(offset + 4 * 3 * 16 * 16 * 2 + 100)
        handle.write(b"\x55\x55")
    record = verify_cube(path)
    (pixels,) = [each for each in record["checks"] if each["name"] == "pixels"]
    assert record["status"] == pixels["status"] == "FAIL"
    assert pixels["note"].startswith(f"1 of 39 pairs do not match their digests: rows {image.row[2]}")
    assert record["remedy"].startswith("copy it again")
    assert "build it again from" in record["remedy"]
    text = CliRunner().invoke(main, ["verify", str(path)]).stdout
    assert "To mend it: copy it again" in text
    assert "no pixel is looked at" in text


def test_a_list_of_rejects_of_another_build_is_told(built, tmp_path):
    path = copied(built, tmp_path / "copy")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"row": [3, 5], "reason": ["torn", "torn"]}), path.with_name("cube.rejects.parquet"))
    assert statuses(path)["counts"] == "FAIL"


def test_a_cube_that_is_cut_anywhere_is_refused_or_fails(built, tmp_path):
    rng = np.random.default_rng(1)
    files = Cube(built).files
    for number in range(200):
        path = copied(built, tmp_path / str(number))
        file = path.parent / files[number % len(files)].relative_to(built.parent)
        size = file.stat().st_size
        with open(file, "r+b") as handle:
            handle.truncate(int(rng.integers(0, size)))
        try:
            status = verify_cube(path)["status"]
        except Gen5Error:
            status = "refused"
        assert status in ("FAIL", "refused"), number
        shutil.rmtree(path.parent)


def test_no_flipped_bit_gives_wrong_pixels_in_silence(built, tmp_path):
    rng, original, caught = np.random.default_rng(2), contents(built), 0
    files = Cube(built).files
    path = copied(built, tmp_path / "copy")
    sizes = [file.stat().st_size for file in files]
    for number in range(250):
        # As many in what HDF5 wrote for itself as anywhere.
        file = path.parent / files[number % len(files)].relative_to(built.parent)
        size = sizes[number % len(files)]
        at = int(rng.integers(0, 4096 if number % 2 else size))
        with open(file, "r+b") as handle:
            handle.seek(at)
            byte = handle.read(1)
            handle.seek(at)
            handle.write(bytes([byte[0] ^ 1 << int(rng.integers(0, 8))]))
        try:
            passed = verify_cube(path)["status"] == "PASS"
        except Gen5Error:
            passed = False
        assert not passed or is_intact(path, original), (number, file, at)
        caught += not passed
        with open(file, "r+b") as handle:
            handle.seek(at)
            handle.write(byte)
    assert caught > 100
    assert verify_cube(path)["status"] == "PASS"


def test_the_verb_prints_what_it_found_and_ends_with_the_exit_code_of_a_gate(built, tmp_path):
    passed = CliRunner().invoke(main, ["verify", str(built)], standalone_mode=False)
    assert "78 images match their digests" in passed.output
    path = copied(built, tmp_path / "copy")
    with h5py.File(path, "r+") as file:
        change_catalog(file)
    failed = CliRunner().invoke(main, ["verify", str(path), "--json", "-q"])
    assert failed.exit_code == 3
    assert json.loads(failed.stdout)["status"] == "FAIL"
