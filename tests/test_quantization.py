"""A cube in a form of 16 bits: what it holds, how far it is off, and that nothing of it tells stamp from ctrl."""

import contextlib
import dataclasses
import json
import shutil

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import xxhash
from click.testing import CliRunner
from photutils.aperture import CircularAperture, aperture_photometry
from sklearn.metrics import roc_auc_score

from gen5astro.build import build_cube
from gen5astro.cli import main
from gen5astro.errors import FormatError, SchemaError
from gen5astro.export import export_cube
from gen5astro.inject.arcs import pair_block
from gen5astro.io import hdf5_writer, open_pairs
from gen5astro.io.appended import AppendedPairs
from gen5astro.io.cube_source import CubeSource
from gen5astro.io.forms import summarize_errors
from gen5astro.io.hdf5 import Cube
from gen5astro.io.hdf5_digest import cube_digest, seal_digest
from gen5astro.io.hdf5_schema import DATASETS, content_digest, datasets_of
from gen5astro.io.journal import Journal
from gen5astro.kernels.fingerprint import fingerprint
from gen5astro.kernels.normalize import annulus_pixels, normalizer_statistics, region_statistics
from gen5astro.measure import measure_pairs
from gen5astro.settings import from_dict
from gen5astro.training.reader import PairReader
from gen5astro.training.views import VIEWS
from gen5astro.verify import verify_cube
from tests.factories import make_pairs
from tests.sources import MemorySource
from tests.test_build import contents, write_audit
from tests.test_shards import Interrupted

LOSSY = ("float16", "int16")
CORE_PX = 1.0 / 0.263


def settings(form, **build):
    return from_dict({"build": {"pixels": form, "block": 16, **build}, "audit": {"max_reject_fraction": 0.1}})


@pytest.fixture(scope="module")
def pairs():
    """Real galaxies; in half of the pairs the outermost pixels of stamp and ctrl are equal."""
    block = make_pairs(90, np.random.default_rng(11), size=48)
    block.stamp[::2, :, :5] = block.ctrl[::2, :, :5]
    layout = {"bands": block.bands, "pixel_scale": block.pixel_scale}
    return pair_block(block.stamp, block.ctrl, block.catalog, block.row, **layout)


@pytest.fixture(scope="module", params=[(form, most) for form in LOSSY for most in (1000, 25)], ids=str)
def built(pairs, tmp_path_factory, request):
    form, most = request.param
    out = tmp_path_factory.mktemp("built") / "cube.h5"
    build_cube(MemorySource(pairs), out, config=settings(form, shard_pairs=most))
    return out


@pytest.fixture(scope="module")
def int16(pairs, tmp_path_factory):
    out = tmp_path_factory.mktemp("int16") / "cube.h5"
    build_cube(MemorySource(pairs), out, config=settings("int16"))
    return out


def by_row(cube, name):
    return np.asarray(getattr(cube, name))[np.argsort(cube.row)]


def decoded(cube, name):
    """The pixels as an independent reader decodes them."""
    with h5py.File(cube.path) as file:
        stored = file[name][...]
        if cube.form == "float16":
            return stored.astype(np.float32)
        flux = (stored.astype(np.float64) * file["step"][...].astype(np.float64)[..., None, None]).astype(np.float32)
    return np.where(stored == -32768, np.float32(np.nan), flux)


def test_everything_is_of_the_pixels_that_a_reader_gets(built):
    cube = Cube(built)
    for at, name in enumerate(("stamp", "ctrl")):
        images = decoded(cube, name)
        np.testing.assert_array_equal(np.asarray(getattr(cube, name)), images)
        assert [xxhash.xxh64_intdigest(each.tobytes()) for each in images] == cube.digest[:, at].tolist()
        expected = normalizer_statistics(images, cube.normalizer_spec, cube.pixel_scale)
        np.testing.assert_array_equal(cube.normalizer_statistics[name], expected)
    np.testing.assert_array_equal(cube.fingerprint, fingerprint(decoded(cube, "ctrl")))
    assert verify_cube(built)["status"] == "PASS"


def test_the_pixels_take_half_the_room_and_are_mapped_as_they_are(built, pairs):
    cube = Cube(built)
    assert {each.dtype for each in cube.stamp.maps} == {np.dtype(cube.form)}
    assert sum(each.nbytes for each in cube.stamp.maps) == pairs.stamp.nbytes // 2
    assert all(not each.flags.writeable and each.offset % 4096 == 0 for each in cube.stamp.maps)


def test_stamp_and_ctrl_differ_nowhere_that_they_did_not(built, pairs):
    cube = Cube(built)
    residual = by_row(cube, "stamp") - by_row(cube, "ctrl")
    same = pairs.stamp == pairs.ctrl
    assert same.mean() > 0.05
    assert (residual[same] == 0).all()
    assert (by_row(cube, "ctrl")[pairs.ctrl == 0] == 0).all()


def test_the_step_is_a_sixteenth_of_the_ctrls_noise(int16, pairs):
    cube = Cube(int16)
    sigma = region_statistics(pairs.ctrl, annulus_pixels(pairs.ctrl.shape, (0.75, 1.0)))[..., 1]
    peak = np.maximum(np.abs(pairs.stamp), np.abs(pairs.ctrl)).max(axis=(2, 3))
    np.testing.assert_allclose(cube.step, np.maximum(sigma / 16, peak / 32766), rtol=1e-6)
    np.testing.assert_allclose(cube.quantization["quantization/noise"][..., 0], sigma, rtol=1e-6)
    assert (cube.step == (sigma / 16).astype(np.float32)).mean() > 0.5


def test_the_error_is_what_numpy_and_photutils_find(built, pairs):
    cube = Cube(built)
    order = np.argsort(cube.row)
    aperture = CircularAperture([(23.5, 23.5)], CORE_PX)
    weights = aperture.to_mask()[0].to_image((48, 48))
    noise = cube.quantization["quantization/noise"][order]
    np.testing.assert_allclose(noise[..., 1], noise[..., 0] * np.sqrt(np.sum(weights**2)), rtol=1e-6)
    for name in ("stamp", "ctrl"):
        error = cube.quantization[f"quantization/{name}"][order]
        change = by_row(cube, name).astype(np.float64) - getattr(pairs, name)
        np.testing.assert_allclose(error[..., 0], np.sqrt(np.mean(change**2, axis=(2, 3))), rtol=1e-5)
        for row in range(0, 90, 9):
            for band in range(3):
                before, after = (
                    aperture_photometry(np.float64(images[row, band]), aperture)["aperture_sum"][0]
                    for images in (getattr(pairs, name), by_row(cube, name))
                )
                assert error[row, band, 1] == pytest.approx(after - before, abs=1e-7)


def test_the_summary_is_of_what_is_stored_and_keeps_what_is_promised(built):
    cube = Cube(built)
    assert cube.pixel_error == json.loads(json.dumps(summarize_errors(cube.quantization)))
    assert cube.pixel_error["planes"] == 90 * 2 * 3
    rms, core = cube.pixel_error["rms_sky_sigma"], cube.pixel_error["core_flux_sigma"]
    assert rms["median"] == pytest.approx(1 / 16 / np.sqrt(6), rel=0.01) if cube.form == "int16" else rms["max"] < 0.05
    assert core["median"] < 0.03
    assert core["max"] < 0.3


def test_flux_is_neither_added_nor_taken(int16, pairs):
    cube = Cube(int16)
    for name in ("stamp", "ctrl"):
        error = np.asarray(getattr(cube, name), np.float64) - getattr(pairs, name)
        assert abs((error / cube.step[..., None, None]).sum()) < 4 * np.sqrt(error.size / 6)


def tell_apart(stamp, ctrl):
    """AUC of each band's number of stamp against that of ctrl."""
    label = np.repeat([1, 0], len(stamp))
    return np.array([roc_auc_score(label, each) for each in np.concatenate([stamp, ctrl]).T])


def test_neither_noise_nor_corners_nor_the_lattice_tell_stamp_from_ctrl(int16, pairs):
    """What the rounding adds to an AUC is nothing: not in the sky, nor in its own error, nor in its own zeros."""
    before, after = (
        measure_pairs(source, settings("int16").measure)[0] for source in (MemorySource(pairs), CubeSource(int16))
    )
    for name in (
        "sky_sigma",
        "corner_level",
        "corner_sigma",
        "noise_hf",
        "noise_autocorrelation_x",
        "distinct_fraction",
    ):
        aucs = [tell_apart(table[f"stamp_{name}"], table[f"ctrl_{name}"]) for table in (before, after)]
        np.testing.assert_allclose(*aucs, atol=0.02, err_msg=name)
    cube = Cube(int16)
    errors = [cube.quantization[f"quantization/{name}"][..., 0] / cube.step for name in ("stamp", "ctrl")]
    np.testing.assert_allclose(tell_apart(*errors), 0.5, atol=0.1)
    # Light lifts pixels from zero with and without a lattice: that many pixels are 0 whose flux is within a step of it.
    step = cube.step[..., None, None]
    near = [np.clip(1 - np.abs(images) / step, 0, 1).mean(axis=(2, 3)) for images in (pairs.stamp, pairs.ctrl)]
    zeros = [np.mean(np.asarray(images) == 0, axis=(2, 3)) for images in (cube.stamp, cube.ctrl)]
    np.testing.assert_allclose(tell_apart(*zeros), tell_apart(*near), atol=0.05)


def test_a_cube_does_not_depend_on_threads_or_blocks(tmp_path, pairs):
    found = []
    for threads, block in ((1, 90), (3, 7)):
        out = tmp_path / f"{threads}.h5"
        build_cube(MemorySource(pairs), out, config=settings("int16", block=block), threads=threads)
        found.append({name: value for name, value in contents(out).items() if name != "@config"})
    assert found[0] == found[1]


def test_a_cube_of_a_cube_keeps_codes_digests_and_stated_errors(built, tmp_path):
    one = Cube(built)
    config = settings(one.form, split="given", shard_pairs=one.config.build.shard_pairs)
    build_cube(CubeSource(built), tmp_path / "again.h5", config=config)
    two = Cube(tmp_path / "again.h5")
    for name in ("input_digest", "split_digest", "quantization"):
        assert one.attributes[name] == two.attributes[name]
    for name in ("stamp", "ctrl"):
        for some, others in zip(getattr(one, name).maps, getattr(two, name).maps, strict=True):
            np.testing.assert_array_equal(some, others)
    for name, values in one.quantization.items():
        np.testing.assert_array_equal(values, two.quantization[name])


def test_errors_add_up_over_forms(int16, pairs, tmp_path):
    build_cube(CubeSource(int16), tmp_path / "half.h5", config=settings("float16"))
    cube = Cube(tmp_path / "half.h5")
    assert set(cube.quantization) == {each.name for each in datasets_of("float16", only=True)}
    weights = CircularAperture([(23.5, 23.5)], CORE_PX).to_mask()[0].to_image((48, 48))
    change = np.asarray(cube.stamp, np.float64) - pairs.stamp
    error = cube.quantization["quantization/stamp"]
    np.testing.assert_allclose(error[..., 1], np.einsum("nbyx,yx->nb", change, weights), atol=2e-7)
    np.testing.assert_allclose(error[..., 0], np.sqrt(np.mean(change**2, axis=(2, 3))), rtol=0.02)


def test_a_float32_cube_of_it_holds_the_decoded_pixels(built, tmp_path):
    build_cube(CubeSource(built), tmp_path / "wide.h5", config=settings("float32"))
    one, two = Cube(built), Cube(tmp_path / "wide.h5")
    np.testing.assert_array_equal(by_row(one, "stamp"), by_row(two, "stamp"))
    assert (two.form, two.quantization, two.step, two.pixel_error) == ("float32", {}, None, None)
    assert one.attributes["input_digest"] == two.attributes["input_digest"]


@pytest.mark.parametrize("form", LOSSY)
def test_an_audit_of_the_pairs_is_refused_and_one_of_the_cube_travels_with_its_rebuild(tmp_path, pairs, form):
    audit = write_audit(tmp_path / "pairs", pairs)
    with pytest.raises(SchemaError, match=r"before they are stored.*audit the cube, and build it again from the cube"):
        build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=settings(form), audit=audit)
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=settings(form))
    (block, _), *_ = (CubeSource(tmp_path / "cube.h5").read(ref) for ref in CubeSource(tmp_path / "cube.h5").blocks(90))
    audit = write_audit(tmp_path / "cube", block)
    config = settings(form, split="given")
    build_cube(CubeSource(tmp_path / "cube.h5"), tmp_path / "audited.h5", config=config, audit=audit)
    assert Cube(tmp_path / "audited.h5").audit == json.loads(audit.read_text())
    other = settings("int16" if form == "float16" else "float16", split="given")
    with pytest.raises(SchemaError, match="before they are stored"):
        build_cube(CubeSource(tmp_path / "cube.h5"), tmp_path / "other.h5", config=other, audit=audit)


@pytest.mark.parametrize(
    ("form", "value", "reason"),
    [
        ("float16", 7e4, "float16 cannot hold a pixel of 70000 nmgy"),
        ("int16", np.inf, "int16 cannot hold a pixel of inf nmgy"),
    ],
)
def test_a_pixel_that_a_form_cannot_hold_rejects_its_pair(tmp_path, pairs, form, value, reason):
    stamp = pairs.stamp.copy()
    stamp[40, 1, 3, 4], stamp[41, 1, 3, 4], stamp[42, 2, 24, 24] = value, 6e4, np.nan
    config = settings(form, nonfinite="keep")
    build_cube(MemorySource(dataclasses.replace(pairs, stamp=stamp)), tmp_path / "cube.h5", config=config)
    rejects = pq.read_table(tmp_path / "cube.rejects.parquet").to_pylist()
    assert [(each["row"], each["reason"], each["left_out"]) for each in rejects] == [(40, reason, False)]
    cube = Cube(tmp_path / "cube.h5")
    assert cube.stamp[40, 1, 3, 4] == pytest.approx(6e4, rel=1e-3)
    assert np.argwhere(np.isnan(np.asarray(cube.stamp))).tolist() == [[41, 2, 24, 24]]
    assert cube.pixel_error["planes"] == 89 * 6
    assert verify_cube(cube)["status"] == "PASS"


@pytest.mark.parametrize("form", LOSSY)
@pytest.mark.parametrize("most", [1000, 25])
def test_a_build_that_was_killed_ends_as_one_that_was_not(tmp_path, pairs, form, most):
    config = settings(form, shard_pairs=most)
    build_cube(MemorySource(pairs), tmp_path / "whole.h5", config=config)
    with contextlib.suppress(KeyboardInterrupt):
        build_cube(Interrupted(pairs), tmp_path / "cube.h5", config=config, threads=1)
    # As after a kill, nothing is known to be on the disk: all is read again, and one file lost its last pixels.
    part = tmp_path / "cube.h5.part"
    with Journal(part / "journal") as journal:
        records = [dict(record) for record in journal if "synced" not in record]
        journal.cut(0)
        for record in records:
            journal.append(record)
    last = part / "pixels.h5" if most == 1000 else part / "shards" / f"{records[-1]['shard'][-1]:04d}.h5"
    with h5py.File(last, "r+") as file:
        file["ctrl"][
            int((np.concatenate([each["shard"] for each in records]) == records[-1]["shard"][-1]).sum()) - 1
        ] = 7
    seen = []
    build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=config, resume=True, advance=seen.append)
    assert seen[0] == 32
    one, two = contents(tmp_path / "whole.h5"), contents(tmp_path / "cube.h5")
    assert one == two


def test_a_float32_build_is_not_resumed_as_another_form(tmp_path, pairs):
    with contextlib.suppress(KeyboardInterrupt):
        build_cube(Interrupted(pairs), tmp_path / "cube.h5", config=settings("float32"), threads=1)
    with pytest.raises(SchemaError, match=r'build\.pixels of .*got "int16"; expected "float32"'):
        build_cube(MemorySource(pairs), tmp_path / "cube.h5", config=settings("int16"), resume=True)


def change_step(file):
    file["step"][4, 1] = np.nextafter(file["step"][4, 1], np.float32(1))


def change_code(file):
    file["stamp"][4, 1, 5, 6] += 1


def change_error(file):
    file["quantization/noise"][4, 1] *= 2


def change_summary(file):
    file.attrs["quantization"] = file.attrs["quantization"].replace("median", "mean")


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        (change_step, {"pixels", "digest of the cube"}),
        (change_code, {"pixels"}),
        (change_error, {"digest of the cube"}),
        (change_summary, {"digest of the cube", "seal of all else"}),
    ],
)
def test_what_is_changed_is_caught(int16, tmp_path, change, caught):
    path = shutil.copy(int16, tmp_path / "copy.h5")
    with h5py.File(path, "r+") as file:
        change(file)
    checks = verify_cube(path)["checks"]
    assert {each["name"] for each in checks if each["status"] == "FAIL"} == caught


@pytest.mark.parametrize("form", ["float32", "float64", ""])
def test_a_cube_that_states_another_form_than_it_has_is_refused(int16, tmp_path, form):
    path = shutil.copy(int16, tmp_path / "copy.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["pixels"] = form
    with pytest.raises(FormatError, match=r"/stamp of int16|attribute pixels"):
        Cube(path)


def test_pairs_that_are_appended_get_the_form_and_are_not_doubled(int16, tmp_path, pairs):
    others = make_pairs(20, np.random.default_rng(5), size=48)
    more = MemorySource(
        dataclasses.replace(
            others,
            stamp=np.concatenate([others.stamp, pairs.stamp[:3]]),
            ctrl=np.concatenate([others.ctrl, pairs.ctrl[:3]]),
            catalog={
                name: np.concatenate([values, pairs.catalog[name][:3]]) for name, values in others.catalog.items()
            },
            row=np.arange(23),
            digest=np.concatenate([others.digest, pairs.digest[:3]]),
            census=np.concatenate([others.census, pairs.census[:3]]),
        ),
        label="more",
    )
    build_cube(AppendedPairs(int16, more), tmp_path / "bigger.h5", config=settings("int16"))
    one, two = Cube(int16), Cube(tmp_path / "bigger.h5")
    np.testing.assert_array_equal(two.stamp.maps[0][:90], one.stamp.maps[0])
    np.testing.assert_array_equal(two.digest[:90], one.digest)
    reasons = [each["reason"] for each in pq.read_table(tmp_path / "bigger.rejects.parquet").to_pylist()]
    assert reasons[-3:] == [f"the pair is in the cube already, as row {row}" for row in range(3)]
    assert verify_cube(two)["status"] == "PASS"


def test_what_is_exported_is_what_is_decoded(int16, tmp_path):
    export_cube(int16, tmp_path / "pairs.parquet")
    source = open_pairs(tmp_path / "pairs.parquet")
    (block, _), *_ = (source.read(ref) for ref in source.blocks(90))
    np.testing.assert_array_equal(block.stamp, np.asarray(Cube(int16).stamp))


@pytest.mark.parametrize("view", ["single", "paired", "residual"])
def test_a_network_is_shown_what_is_decoded(built, tmp_path, view):
    build_cube(CubeSource(built), tmp_path / "wide.h5", config=settings("float32", split="given"))
    one, two = Cube(built), Cube(tmp_path / "wide.h5")
    row = np.array([3, 80, 41, 3])
    label, element = np.array([1, 0, 1, 0]), np.array([0, 5, 2, 7])
    at = np.array([np.flatnonzero(two.row == each)[0] for each in one.row[row]])
    found = PairReader(one, VIEWS[view]).read(row, label, element)
    np.testing.assert_array_equal(found, PairReader(two, VIEWS[view]).read(at, label, element))


def test_the_disk_needs_half_the_room(tmp_path, pairs, monkeypatch):
    needed = 2 * 2 * 90 * 3 * 48 * 48
    usage = type("Usage", (), {"free": needed})
    monkeypatch.setattr(hdf5_writer.shutil, "disk_usage", lambda _: usage)
    options = {"bands": pairs.bands, "shape": (48, 48), "pixel_scale": 0.262}
    hdf5_writer.CubeWriter(tmp_path / "cube.h5", 90, pixels="int16", **options)
    with pytest.raises(Exception, match="free on its disk"):
        hdf5_writer.CubeWriter(tmp_path / "cube.h5", 90, **options)


def test_a_cube_of_the_version_before_is_read(tmp_path, pairs):
    path = tmp_path / "cube.h5"
    build_cube(MemorySource(pairs), path, config=settings("float32"))
    with h5py.File(path, "r+") as file:
        del file.attrs["pixels"], file.attrs["quantization"]
        attributes = dict(file.attrs) | {"schema": "gen5astro-cube/2"}
        attributes["cube_digest"] = cube_digest(file, attributes)
        file.attrs.update(attributes | {"seal": seal_digest(file, attributes)})
    cube = Cube(path)
    np.testing.assert_array_equal(cube.stamp, pairs.stamp)
    assert (cube.form, cube.pixel_error) == ("float32", None)
    assert verify_cube(path)["status"] == "PASS"


def test_the_datasets_of_a_form_are_those_of_the_schema(built):
    cube = Cube(built)
    with h5py.File(built) as file:
        for spec in DATASETS:
            if "*" not in spec.name:
                assert (spec.name in file) == (cube.form in spec.forms)
        unit = "step" if cube.form == "int16" else "nmgy"
        assert (file["stamp"].attrs["unit"], file["ctrl"].attrs["unit"]) == (unit, unit)
    assert cube.attributes["input_digest"] == content_digest(cube.digest, cube.row)


def test_the_verbs_say_what_the_form_does(int16, tmp_path):
    out = tmp_path / "cube.h5"
    built = CliRunner().invoke(main, ["build-hdf5", str(int16), "--pixels", "float16", "--out", str(out)])
    assert built.exit_code == 0, built.output
    assert Cube(out).form == "float16"
    told = " ".join(CliRunner().invoke(main, ["info", str(int16)]).output.split())
    assert "int16; median error: rms 0.025" in told
    assert "flux within 1 arcsec" in told
    summary = json.loads(CliRunner().invoke(main, ["info", str(int16), "--json"]).output)
    assert summary["pixel_error"] == Cube(int16).pixel_error
