import dataclasses
import json

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from gen5astro.build import build_cube, moves_path
from gen5astro.config import BuildConfig, Config, NormalizerSpec
from gen5astro.errors import (
    ConfigError,
    ExistsError,
    FormatError,
    Gen5Error,
    MissingFileError,
    RejectedError,
    SchemaError,
)
from gen5astro.inject.arcs import pair_block
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.hdf5 import Cube, content_digest
from gen5astro.kernels.normalize import normalizer_statistics
from gen5astro.measure import measure_pairs
from gen5astro.sample import load_known_lenses
from gen5astro.settings import from_dict
from gen5astro.splits import SPLITS
from gen5astro.table import write_table
from tests.factories import make_pairs
from tests.sources import MemorySource

LENIENT = from_dict({"audit": {"max_reject_fraction": 0.5}})


@pytest.fixture(scope="module")
def pairs():
    return make_pairs(90, np.random.default_rng(11), size=32)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "cube.h5"


def contents(path):
    """All datasets and attributes of a cube but the time of writing."""
    with h5py.File(path) as file:
        found = {f"@{name}": value for name, value in file.attrs.items() if name not in ("created", "seal")}
        file.visititems(
            lambda name, item: found.update({name: item[...].tobytes()}) if isinstance(item, h5py.Dataset) else None
        )
        return found


def write_audit(folder, pairs, **changes):
    """Write a small audit record of some pairs."""
    record = {
        "schema": "gen5astro-audit/1",
        "status": "FAIL",
        "gates": {"core_leakage": {"status": "FAIL"}, "finite_pixels": {"status": "PASS"}},
        "provenance": {"input_digest": content_digest(pairs.digest, pairs.row)},
    }
    folder.mkdir(exist_ok=True)
    (folder / "audit.json").write_text(json.dumps(record | changes))
    return folder / "audit.json"


def test_the_sample_is_split_by_host_with_several_hosts_in_each(out, pairs):
    summary = build_cube(MemorySource(pairs), out, config=Config())
    assert [summary["splits"][name]["groups"] for name in SPLITS] in ([21, 4, 5], [21, 5, 4])
    with Cube(out) as cube:
        for host in np.unique(cube.catalog["host_id"]):
            assert len(set(cube.split[cube.catalog["host_id"] == host])) == 1
    assert not any(number for name, number in summary["leaks"].items() if name != "nearest_separation_arcsec")
    assert list(summary["balance"]) == ["theta_e", "arc_snr", "psf_fwhm_r", "sky_sigma_r"]
    assert summary["moved"] is None


def test_the_cube_does_not_depend_on_threads_or_blocks(tmp_path, pairs):
    source = MemorySource(pairs, bad={4: "torn", 30: "torn"})
    cubes = []
    for threads, block in ((1, 90), (2, 7), (5, 1)):
        path = tmp_path / f"{threads}.h5"
        build_cube(source, path, config=from_dict({"audit": {"max_reject_fraction": 0.1}, "build": {"block": block}}))
        cubes.append({name: value for name, value in contents(path).items() if name != "@config"})
    assert cubes[0] == cubes[1] == cubes[2]


def test_two_builds_of_the_same_pairs_are_equal(tmp_path, pairs):
    for name in ("one", "two"):
        build_cube(MemorySource(pairs), tmp_path / f"{name}.h5", config=Config())
    assert contents(tmp_path / "one.h5") == contents(tmp_path / "two.h5")


def test_a_cube_of_a_cube_has_the_same_content(tmp_path, pairs):
    build_cube(MemorySource(pairs, bad={8: "torn"}), tmp_path / "one.h5", config=LENIENT)
    build_cube(CubeSource(tmp_path / "one.h5"), tmp_path / "two.h5", config=LENIENT)
    one, two = Cube(tmp_path / "one.h5"), Cube(tmp_path / "two.h5")
    for name in ("input_digest", "split_digest"):
        assert one.attributes[name] == two.attributes[name]
    np.testing.assert_array_equal(one.row, two.row)
    np.testing.assert_array_equal(one.stamp, two.stamp)


def test_no_row_vanishes(out, pairs):
    bad = {0: "broken zip", 44: "object array", 89: "NaN"}
    summary = build_cube(MemorySource(pairs, bad=bad), out, config=LENIENT)
    assert summary["counts"] == {"n_in": 90, "n_ok": 87, "n_rejected": 3}
    table = pq.read_table(out.with_name("cube.rejects.parquet")).to_pydict()
    assert dict(zip(table["row"], table["reason"], strict=True)) == bad
    good = np.delete(np.arange(90), list(bad))
    with Cube(out) as cube:
        np.testing.assert_array_equal(cube.row, good)
        np.testing.assert_array_equal(cube.stamp, pairs.stamp[good])
        np.testing.assert_array_equal(cube.ctrl, pairs.ctrl[good])
        expected = normalizer_statistics(pairs.ctrl[good], NormalizerSpec(), pairs.pixel_scale)
        np.testing.assert_array_equal(cube.normalizer_statistics["ctrl"], expected)


def test_a_cube_takes_no_more_room_for_rows_that_were_rejected(tmp_path, pairs):
    build_cube(MemorySource(pairs.choose(slice(0, 60))), tmp_path / "few.h5", config=LENIENT)
    bad = dict.fromkeys(range(60, 90), "torn")
    build_cube(MemorySource(pairs, bad=bad), tmp_path / "some.h5", config=LENIENT)
    sizes = [(tmp_path / f"{name}.h5").stat().st_size for name in ("few", "some")]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)


def test_a_row_that_the_source_loses_is_a_bug(out, pairs):
    class Losing(MemorySource):
        def read(self, ref):
            return self.block.choose(slice(ref.start, ref.stop - 1)), []

    with pytest.raises(RuntimeError, match="90 rows in, but 89 good and 0 rejected"):
        build_cube(Losing(pairs), out, config=Config())
    assert not out.exists()


def test_too_many_rejects_end_the_build_and_are_written_down(out, pairs):
    with pytest.raises(
        RejectedError,
        match=r"got 2 rejected up to row 6 .row 5: broken zip.; expected at most 1.00% of 90.*--max-reject-fraction",
    ):
        build_cube(MemorySource(pairs, bad={5: "broken zip", 6: "NaN"}), out, config=Config())
    assert [path.name for path in out.parent.iterdir()] == ["cube.rejects.parquet"]
    assert pq.read_table(out.with_name("cube.rejects.parquet")).num_rows == 2


def test_no_good_pair_makes_no_cube(out, pairs):
    bad = dict.fromkeys(range(90), "torn")
    with pytest.raises(RejectedError, match="90 of 90 rows"):
        build_cube(MemorySource(pairs, bad=bad), out, config=from_dict({"audit": {"max_reject_fraction": 1.0}}))
    assert not out.exists()


def test_a_clean_build_removes_the_rejects_of_an_earlier_one(out, pairs):
    build_cube(MemorySource(pairs, bad={5: "torn"}), out, config=LENIENT)
    build_cube(MemorySource(pairs), out, config=LENIENT, force=True)
    assert [path.name for path in out.parent.iterdir()] == ["cube.h5"]


def test_what_is_there_is_kept_unless_forced(out, pairs):
    out.write_text("mine")
    with pytest.raises(ExistsError, match="--force"):
        build_cube(MemorySource(pairs), out, config=Config())
    assert out.read_text() == "mine"
    build_cube(MemorySource(pairs), out, config=Config(), force=True)
    assert len(Cube(out)) == 90


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_build_leaves_what_was_there(out, pairs, error):
    class Interrupted(MemorySource):
        def read(self, ref):
            if ref.start >= 40:
                raise error
            return super().read(ref)

    out.write_text("mine")
    with pytest.raises((KeyboardInterrupt, Gen5Error)):
        build_cube(Interrupted(pairs), out, config=from_dict({"build": {"block": 10}}), force=True)
    left = {path.name for path in out.parent.iterdir()}
    assert left == {"cube.h5", "cube.h5.part"}
    assert out.read_text() == "mine"


def test_progress_counts_every_row_once(out, pairs):
    done = []
    config = from_dict({"build": {"block": 16}, "audit": {"max_reject_fraction": 0.5}})
    build_cube(MemorySource(pairs, bad={3: "torn"}), out, config=config, advance=done.append)
    assert sum(done) == 90


def test_an_audit_of_these_pairs_travels_with_the_cube(tmp_path, out, pairs):
    audit = write_audit(tmp_path / "audit", pairs)
    summary = build_cube(MemorySource(pairs), out, config=Config(), audit=audit)
    gates = {"core_leakage": "FAIL", "finite_pixels": "PASS"}
    assert summary["audit"] == {"status": "FAIL", "gates": gates, "advisory": []}
    with Cube(out) as cube:
        assert cube.audit == json.loads(audit.read_text())
        assert cube.measure == {}


def test_a_long_audit_fits(tmp_path, out, pairs):
    audit = write_audit(tmp_path / "audit", pairs, worst_pairs=["x" * 1000] * 1000)
    build_cube(MemorySource(pairs), out, config=Config(), audit=audit)
    assert len(Cube(out).audit["worst_pairs"]) == 1000


def test_an_audit_changes_nothing_that_is_trained_on(tmp_path, pairs):
    build_cube(MemorySource(pairs), tmp_path / "one.h5", config=Config())
    audit = write_audit(tmp_path / "audit", pairs)
    build_cube(MemorySource(pairs), tmp_path / "two.h5", config=Config(), audit=audit)
    digests = [Cube(tmp_path / f"{name}.h5").attributes["cube_digest"] for name in ("one", "two")]
    assert digests[0] == digests[1]


def test_the_digest_of_a_cube_changes_with_what_is_trained_on(tmp_path, pairs):
    other = pairs.choose(slice(None))
    other.catalog["theta_e_arcsec"] = other.catalog["theta_e_arcsec"] * 1.01
    configs = [Config(), Config(build=BuildConfig(split_seed=6)), Config(normalize=NormalizerSpec(softening=4.0))]
    digests = set()
    for number, (block, config) in enumerate([(pairs, each) for each in configs] + [(other, Config())]):
        build_cube(MemorySource(block), tmp_path / f"{number}.h5", config=config)
        digests.add(Cube(tmp_path / f"{number}.h5").attributes["cube_digest"])
    assert len(digests) == 4


def test_measurements_beside_the_audit_are_joined_to_their_pairs(tmp_path, out, pairs):
    source = MemorySource(pairs, bad={7: "torn"})
    audit = write_audit(tmp_path / "audit", pairs.choose(np.delete(np.arange(90), 7)))
    table, _ = measure_pairs(source, Config().measure)
    write_table(table, audit.with_name("measure.parquet"))
    build_cube(source, out, config=LENIENT, audit=audit)
    with Cube(out) as cube:
        assert cube.measure["ctrl_core_flux"].shape == (89, 3)
        for name, values in cube.measure.items():
            np.testing.assert_array_equal(values, table[name])
        assert not set(cube.measure) & set(cube.catalog)
    with_one_less = table.select(np.arange(88))
    write_table(with_one_less, audit.with_name("measure.parquet"))
    with pytest.raises(SchemaError, match="got other rows than the audit beside it"):
        build_cube(source, out, config=LENIENT, audit=audit, force=True)


def test_an_audit_of_other_pairs_is_refused(tmp_path, out, pairs):
    audit = write_audit(tmp_path / "audit", pairs.choose(slice(0, 89)))
    with pytest.raises(SchemaError, match=r"got an audit of pairs .*run gen5astro audit-injection on these pairs"):
        build_cube(MemorySource(pairs), out, config=Config(), audit=audit)
    assert not out.exists()


def test_an_audit_of_normalized_pixels_is_refused(tmp_path, out, pairs):
    audit = write_audit(tmp_path / "audit", pairs, input={"normalizer": "sky"})
    with pytest.raises(FormatError, match=r"as the normalizer sky leaves them.*without --normalized"):
        build_cube(MemorySource(pairs), out, config=Config(), audit=audit)
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", FormatError),
        ("[]", SchemaError),
        ('{"schema": "gen5astro-audit/9"}', SchemaError),
        (None, MissingFileError),
    ],
)
def test_what_is_no_audit_is_refused_before_any_pixel_is_read(out, pairs, content, error):
    audit = out.with_name("audit.json")
    if content is not None:
        audit.write_text(content)
    with pytest.raises(error, match="audit"):
        build_cube(None, out, config=Config(), audit=audit)


def test_a_normalizer_that_needs_a_ctrl_is_refused(out, pairs):
    with pytest.raises(ConfigError, match="no ctrl exists at inference"):
        build_cube(MemorySource(pairs), out, config=Config(normalize=NormalizerSpec(kind="pair")))


def test_a_given_split_is_kept(out, pairs):
    block = pairs.choose(slice(None))
    block.catalog["region_split"] = np.resize(["train", "validation", "test"], 90)
    summary = build_cube(MemorySource(block), out, config=Config(build=BuildConfig(split="given")))
    assert {name: each["pairs"] for name, each in summary["splits"].items()} == {"train": 30, "val": 30, "test": 30}
    assert summary["leaks"]["groups"] == 0 or summary["leaks"]["nearest_separation_arcsec"] < 10.0


def test_a_summary_is_plain_json_and_counts_every_pair(out, pairs):
    block = pairs.choose(slice(None))
    block.catalog["theta_e_arcsec"][:5] = np.nan
    block.catalog["ra"] = np.full(90, np.nan)
    summary = build_cube(MemorySource(block), out, config=Config())
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["leaks"]["nearest_separation_arcsec"] is None
    assert sum(each["pairs"] for each in summary["splits"].values()) == 90
    by_theta_e = [each["pairs"] for name, each in summary["strata"].items() if "theta_e" in name]
    assert sum(by_theta_e) == 85


def with_columns(block, **columns):
    """The same pairs with other columns of their catalog."""
    return dataclasses.replace(block, catalog=block.catalog | columns)


def test_a_given_split_that_leaks_is_mended_and_what_was_moved_is_written_down(out, pairs):
    given = np.where(pairs.catalog["host_id"] < np.sort(np.unique(pairs.catalog["host_id"]))[15], "train", "test")
    given[-1] = {"train": "val", "test": "train"}[given[-1]]
    given[:2] = "val"
    block = with_columns(pairs, region_split=given)
    config = Config(build=BuildConfig(split="given", fractions=(0.5, 0.0, 0.5)))
    assert build_cube(MemorySource(block), out, config=config)["leaks"]["groups"] == 3
    assert not moves_path(out).exists()
    mending = dataclasses.replace(config, build=dataclasses.replace(config.build, repair=True))
    with pytest.raises(ConfigError, match="split val: got no pairs after the repair"):
        build_cube(MemorySource(block), out, config=mending, force=True)
    given[pairs.catalog["host_id"] == pairs.catalog["host_id"][5]] = "val"
    summary = build_cube(MemorySource(with_columns(pairs, region_split=given)), out, config=mending, force=True)
    assert summary["leaks"]["groups"] == 0
    moved = pq.read_table(moves_path(out)).to_pylist()
    assert summary["moved"] == moved
    assert len(moved) == 3
    assert {row["reason"] for row in moved} == {"its pairs were in several splits"}
    with Cube(out) as cube:
        changed = cube.split != cube.catalog["region_split"]
        assert set(cube.catalog["host_id"][changed]) == {row["host"] for row in moved}
    moves_path(out).unlink()
    finished = build_cube(MemorySource(with_columns(pairs, region_split=given)), out, config=mending, resume=True)
    assert finished["moved"] == pq.read_table(moves_path(out)).to_pylist() == moved
    build_cube(MemorySource(pairs), out, config=Config(), force=True)
    assert not moves_path(out).exists()


def test_a_repair_of_a_split_that_is_not_given_is_refused(out, pairs):
    with pytest.raises(ConfigError, match=r"build.repair: got true with build.split=sky.*--split given"):
        build_cube(MemorySource(pairs), out, config=Config(build=BuildConfig(repair=True)))


def test_a_copy_under_another_name_and_place_shares_the_split_of_its_original(out):
    pairs = make_pairs(60, np.random.default_rng(3), size=64)
    ctrl = np.concatenate([pairs.ctrl, np.round(2.5 * pairs.ctrl[:30, :, ::-1], 4)])
    stamp = np.concatenate([pairs.stamp, 2.5 * pairs.stamp[:30, :, ::-1]])
    names = np.append(pairs.catalog["host_id"], np.char.add("copy", np.arange(30).astype(str)))
    ra = np.append(pairs.catalog["ra"], (pairs.catalog["ra"][:30] + 90.0) % 360.0)
    catalog = {name: np.append(column, column[:30]) for name, column in pairs.catalog.items()}
    catalog |= {"host_id": names, "ra": ra}
    block = pair_block(stamp, ctrl, catalog, np.arange(90), bands=pairs.bands, pixel_scale=pairs.pixel_scale)
    summary = build_cube(MemorySource(block), out, config=Config())
    assert sum(each["groups"] for each in summary["splits"].values()) == 30
    with Cube(out) as cube:
        np.testing.assert_array_equal(cube.split[60:], cube.split[:30])
    given = with_columns(block, region_split=np.where(np.arange(90) < 60, "train", "test"))
    config = Config(build=BuildConfig(split="given", fractions=(0.7, 0.0, 0.3)))
    leaks = build_cube(MemorySource(given), out, config=config, force=True)["leaks"]
    assert (leaks["near_twins"], leaks["twins"]) == (30, 0)


def on_a_lens(pairs, row):
    """The same pairs, one of them 3 arcsec from a known lens."""
    lens = load_known_lenses()[11]
    ra, dec = pairs.catalog["ra"].copy(), pairs.catalog["dec"].copy()
    ra[row], dec[row] = lens["ra"], lens["dec"] + 3 / 3600
    return with_columns(pairs, ra=ra, dec=dec), str(lens["name"])


def test_a_pair_on_a_known_lens_is_left_out_with_its_reason_and_does_not_count_as_bad(tmp_path, out, pairs):
    block, name = on_a_lens(pairs, [7, 8])
    audit = write_audit(tmp_path / "audit", block)
    table, _ = measure_pairs(MemorySource(block), Config().measure)
    write_table(table, audit.with_name("measure.parquet"))
    strict = from_dict({"audit": {"max_reject_fraction": 0.0}})
    summary = build_cube(MemorySource(block), out, config=strict, audit=audit)
    assert summary["counts"] == {"n_in": 90, "n_ok": 88, "n_rejected": 2}
    rejects = pq.read_table(out.with_name("cube.rejects.parquet")).to_pylist()
    reason = f"the ctrl is the known lens {name}, 3.0 arcsec away"
    assert rejects[0] == {"row": 7, "reason": reason, "left_out": True, "pair_id": block.catalog["pair_id"][7]}
    with Cube(out) as cube:
        np.testing.assert_array_equal(cube.row, np.delete(np.arange(90), [7, 8]))
        np.testing.assert_array_equal(
            cube.measure["ctrl_core_flux"], np.delete(table["ctrl_core_flux"], [7, 8], axis=0)
        )


def test_known_lenses_are_kept_on_request_or_beyond_the_radius(out, pairs):
    block, _ = on_a_lens(pairs, [7])
    for settings in ({"build": {"known_lenses": "keep"}}, {"audit": {"known_lens_radius_arcsec": 2.9}}):
        summary = build_cube(MemorySource(block), out, config=from_dict(settings), force=True)
        assert summary["counts"]["n_ok"] == 90


def test_nothing_but_known_lenses_makes_no_cube(out, pairs):
    block, name = on_a_lens(pairs, np.arange(90))
    with pytest.raises(RejectedError, match=f"90 rows, all left out .row 0: the ctrl is the known lens {name}"):
        build_cube(MemorySource(block), out, config=Config())


def test_no_pixel_of_the_sky_is_in_two_splits(out, pairs):
    # Images of 8.4 arcsec a side in a row, 11 arcsec apart: their diagonals are 11.9, and all in one split.
    ra = 50.0 + np.arange(90) * 11.0 / 3600
    block = with_columns(pairs, ra=ra, dec=np.zeros(90), host_id=np.arange(90).astype(str))
    block.catalog["ra"][:30] += 10.0 + np.arange(30)
    ctrl = np.random.default_rng(0).normal(size=block.ctrl.shape).astype(np.float32)
    block = pair_block(block.stamp, ctrl, block.catalog, block.row, bands=block.bands, pixel_scale=0.263)
    build_cube(MemorySource(block), out, config=from_dict({"build": {"guard_arcsec": 1.0}}))
    with Cube(out) as cube:
        assert len(set(cube.split[30:])) == 1


def test_bricks_split_a_cube(out, pairs):
    bricks = np.char.add("b", (np.arange(90) % 30 // 2).astype(str))
    summary = build_cube(
        MemorySource(with_columns(pairs, brickname=bricks)), out, config=Config(build=BuildConfig(split="brick"))
    )
    assert sum(each["pairs"] for each in summary["splits"].values()) == 90
    with Cube(out) as cube:
        for each in np.unique(bricks):
            assert len(set(cube.split[cube.catalog["brickname"] == each])) == 1


def test_rows_without_a_split_are_counted_and_named_by_their_number_in_the_input(out, pairs):
    given = np.resize(["train", "val", "test"], 90)
    given[[12, 40, 41]] = ""
    source = MemorySource(with_columns(pairs, region_split=given), bad={3: "torn", 7: "torn"})
    config = from_dict({"build": {"split": "given"}, "audit": {"max_reject_fraction": 0.1}})
    with pytest.raises(FormatError, match=r"column region_split: got '' in 3 rows, the first 12; expected test"):
        build_cube(source, out, config=config)
    config = from_dict({"build": {"split": "brick"}, "audit": {"max_reject_fraction": 0.1}})
    source = MemorySource(with_columns(pairs, brickname=given), bad={3: "torn", 7: "torn"})
    with pytest.raises(FormatError, match=r"column brickname: got no brick in 3 rows, the first 12"):
        build_cube(source, out, config=config)
