"""Extra negatives are seen as any image of the sky is, and none of them is a lens or a galaxy that judges."""

import numpy as np
import pytest

from gen5astro.config import AuditConfig, BuildConfig, Config, TrainConfig
from gen5astro.errors import ConfigError, MissingFileError, RejectedError, SchemaError
from gen5astro.io.hdf5 import Cube
from gen5astro.sample import load_candidates, load_hosts, load_known_lenses
from gen5astro.training import extras as module
from gen5astro.training.dataset import plan_epoch
from gen5astro.training.extras import ExtraNegatives
from gen5astro.training.reader import PairReader
from gen5astro.training.score import center_crop, sky_inputs
from gen5astro.training.views import VIEWS
from tests.inference.cutouts import write_cutouts
from tests.reference import turn
from tests.training.cubes import PIXEL_SCALE, make_cube

COUNT, SIZE = 40, 32


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return Cube(make_cube(tmp_path_factory.mktemp("cube") / "cube.h5", size=SIZE))


@pytest.fixture
def images():
    return np.random.default_rng(4).normal(5, 2, (COUNT, 4, SIZE + 9, SIZE + 4)).astype(np.float32)


@pytest.fixture
def write(tmp_path, images):
    def change(pixels=images, **columns):
        columns = {"bands": ("z", "i", "g", "r"), "pixel_scale": PIXEL_SCALE, **columns}
        return write_cutouts(tmp_path / "negatives.parquet", pixels, **columns)

    return change


def _seen(images):
    """Return what a cube of g, r and z sees of them."""
    return np.ascontiguousarray(center_crop(images, (SIZE, SIZE))[:, [2, 3, 0]])


def test_they_are_seen_as_predict_sees_them_and_turned_as_the_cube_s_are(cube, images, write):
    extras = ExtraNegatives(write(), cube)
    expected = sky_inputs(_seen(images), cube.normalizer_spec, PIXEL_SCALE)
    number = np.array([7, 0, 39, 7, 12, 3, 20, 21])
    np.testing.assert_array_equal(extras.read(number), expected[number])
    turned = extras.read(number, np.arange(8))
    for at in range(8):
        np.testing.assert_array_equal(turned[at], turn(expected[number[at]], at))
    assert "Of bands g,r,i,z the network sees g,r,z" in extras.notes
    assert "Of 41 x 36 pix the network sees the middle 32 x 32" in extras.notes
    assert len(extras) == COUNT


def test_galaxies_of_the_sample_serve_and_its_lens_candidates_do_not(tmp_path):
    hosts = load_hosts()
    cube = Cube(make_cube(tmp_path / "cube.h5", size=64, pixel_scale=hosts.pixel_scale, n_hosts=12))
    images = np.concatenate([hosts.image[:6], [each.pixels[:, 5:96, 5:96] for each in load_candidates()]])
    place = [(20 + at, -10) for at in range(6)] + [(each.ra, each.dec) for each in load_candidates()]
    ra, dec = np.array(place, float).T
    path = write_cutouts(tmp_path / "a.parquet", images, pixel_scale=hosts.pixel_scale, ra=ra, dec=dec)
    extras = ExtraNegatives(path, cube)
    known = {each.row for each in extras.rejects}
    assert known <= {6, 7, 8}
    assert known
    assert extras.record()["left_out"] == {"damaged": 0, "known_lens": len(known), "held_out": 0}
    expected = sky_inputs(center_crop(hosts.image[:6], (64, 64)), cube.normalizer_spec, hosts.pixel_scale)
    np.testing.assert_array_equal(extras.read(np.arange(6)), expected)


def test_what_is_left_out_is_counted_with_its_reason(cube, images, write):
    images[3, 2, 20, 20] = np.nan
    images[5, 0] = 1.0
    images[6, 1, 0, 0] = np.inf  # in a band that the network does not see, and outside its middle
    lens = load_known_lenses()[0]
    far = load_known_lenses()[1]
    ra, dec = np.linspace(10, 20, COUNT), np.full(COUNT, -5.0)
    ra[8], dec[8] = lens["ra"], lens["dec"] + 4 / 3600
    ra[9], dec[9] = far["ra"], far["dec"] + 6 / 3600
    judges = np.flatnonzero(cube.split == "val")[0]
    taught = np.flatnonzero(cube.split == "train")[0]
    ra[10], dec[10] = cube.catalog["ra"][judges], cube.catalog["dec"][judges] + 50 / 3600
    ra[11], dec[11] = cube.catalog["ra"][judges], cube.catalog["dec"][judges] + 70 / 3600
    ra[12], dec[12] = cube.catalog["ra"][taught], cube.catalog["dec"][taught]
    ra[13] = np.nan
    extras = ExtraNegatives(write(damage={2: lambda payload: payload[:50]}, ra=ra, dec=dec), cube)
    reasons = {each.row: each.reason for each in extras.rejects}
    assert list(reasons) == [2, 3, 5, 8, 10]
    assert reasons[3].startswith("image: got 1 pixels without a value")
    assert reasons[5] == "image: got one value in all pixels of band z; expected an image"
    assert reasons[8] == f"it is the known lens {lens['name']}, 4.0 arcsec away"
    assert reasons[10] == "it is 50.0 arcsec from a pair of the split val"
    assert extras.row.tolist() == [row for row in range(COUNT) if row not in reasons]
    assert extras.record() | {"input": ""} == {
        "input": "",
        "read": COUNT,
        "kept": COUNT - 5,
        "left_out": {"damaged": 3, "known_lens": 1, "held_out": 1},
        "unlocated": 1,
    }
    told = "5 of 40 rows left out (3 damaged, 1 held out, 1 known lens); the first, row 2: "
    assert any(told in note for note in extras.notes)
    assert any("1 image has no position" in note for note in extras.notes)
    expected = sky_inputs(_seen(images)[extras.row], cube.normalizer_spec, PIXEL_SCALE)
    np.testing.assert_array_equal(extras.read(np.arange(len(extras))), expected)


def test_the_number_of_threads_changes_nothing(cube, write, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)
    one, many = (ExtraNegatives(write(), cube, threads=threads) for threads in (1, 4))
    np.testing.assert_array_equal(one.images, many.images)
    np.testing.assert_array_equal(one.row, many.row)


def test_a_batch_with_extra_images_is_read_in_the_order_of_its_plan(cube, write):
    reader = PairReader(cube, VIEWS["single"], ExtraNegatives(write(), cube))
    config = TrainConfig(batch_size=16, batch_composition={"positives": 1, "negatives": 3})
    rows = np.flatnonzero(cube.split == "train")
    plans = plan_epoch(rows, cube.group[rows], config, epoch=0, n_extra=COUNT)
    for plan in plans[:3]:
        batch = reader.read(plan.row, plan.label, plan.element, extra=plan.extra)
        inside = plan.extra < 0
        assert 0 < inside.sum() < len(plan)
        alone = PairReader(cube, VIEWS["single"])
        expected = alone.read(plan.row[inside], plan.label[inside], plan.element[inside])
        np.testing.assert_array_equal(batch[inside], expected)
        np.testing.assert_array_equal(batch[~inside], reader.extras.read(plan.extra[~inside], plan.element[~inside]))


@pytest.mark.parametrize("view", [name for name in VIEWS if name != "single"])
def test_images_without_a_ctrl_are_for_the_single_view(cube, write, view):
    with pytest.raises(ConfigError, match=f"without a ctrl in view '{view}'.*view=single"):
        PairReader(cube, VIEWS[view], ExtraNegatives(write(), cube))


def test_images_that_do_not_fit_are_refused(cube, images, write, tmp_path, monkeypatch):
    with pytest.raises(SchemaError, match="pixel scale"):
        ExtraNegatives(write(pixel_scale=0.168), cube)
    with pytest.raises(SchemaError, match="bands: got g,r; expected g,r,z"):
        ExtraNegatives(write(images[:, :2], bands=("g", "r")), cube)
    with pytest.raises(SchemaError, match="image size"):
        ExtraNegatives(write(images[..., :30]), cube)
    with pytest.raises(MissingFileError, match="nothing"):
        ExtraNegatives(tmp_path / "nothing.parquet", cube)
    monkeypatch.setattr(module, "MOST_BYTES", 30 * 3 * SIZE * SIZE * 4)
    with pytest.raises(ConfigError, match=r"40 images.*in memory; expected .* at most; give 30 rows or fewer"):
        ExtraNegatives(write(), cube)


def test_none_that_is_left_is_an_error(cube, images, write):
    lens = load_known_lenses()[0]
    path = write(ra=np.full(COUNT, lens["ra"]), dec=np.full(COUNT, lens["dec"]))
    with pytest.raises(RejectedError, match=r"40 of 40 rows left out \(40 known lens\)"):
        ExtraNegatives(path, cube)


def test_the_radius_is_that_which_the_cube_was_built_with(write, tmp_path):
    config = Config(build=BuildConfig(split_seed=20), audit=AuditConfig(known_lens_radius_arcsec=7.0))
    cube = Cube(make_cube(tmp_path / "cube.h5", size=SIZE, n_hosts=12, config=config))
    lens = load_known_lenses()[0]
    ra, dec = np.linspace(10, 20, COUNT), np.full(COUNT, -5.0)
    ra[:2], dec[:2] = lens["ra"], lens["dec"] + np.array([6, 8]) / 3600
    assert [each.row for each in ExtraNegatives(write(ra=ra, dec=dec), cube).rejects] == [0]
