"""The residual view: an arc under the noise of two exposures, or that noise alone."""

import numpy as np
import pytest

from gen5astro.config import BuildConfig, Config, NormalizerSpec
from gen5astro.errors import ConfigError, FormatError
from gen5astro.io.hdf5 import Cube
from gen5astro.kernels.normalize import normalize
from gen5astro.training.reader import PairReader
from gen5astro.training.score import score_pairs
from gen5astro.training.views import VIEWS
from tests.reference import turn
from tests.training.cubes import make_cube

LINEAR = NormalizerSpec(kind="sky", stretch="none")
STRETCHED = NormalizerSpec(kind="sky", stretch="asinh", softening=2.0, clip=1.5)


def _cube(path, *, spec=LINEAR, pixels="float32", **more):
    build = BuildConfig(split_seed=20, pixels=pixels, **more)
    return Cube(make_cube(path, config=Config(build=build, normalize=spec)))


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return _cube(tmp_path_factory.mktemp("cube") / "cube.h5")


@pytest.fixture(scope="module")
def reader(cube):
    return PairReader(cube, VIEWS["residual"])


def _both(reader, row, **more):
    return np.split(reader.read(np.tile(row, 2), np.repeat([1, 0], len(row)), **more), 2)


def test_an_input_has_the_bands_and_nothing_on_the_sky_can_be_shown(reader):
    assert reader.channels == 3
    assert reader.read(np.array([1]), np.array([1])).shape == (1, 3, 32, 32)
    assert not VIEWS["residual"].deployable


def test_a_negative_is_noise_of_sqrt_2_sky_sigma_whatever_its_ctrl_is(reader):
    negative = reader.read(np.arange(60), np.zeros(60, int))
    assert negative.std() == pytest.approx(np.sqrt(2), rel=0.01)
    assert negative.mean() == pytest.approx(0, abs=0.01)
    assert np.abs(negative).max() < 8


@pytest.mark.parametrize("pixels", ["float32", "float16", "int16"])
def test_the_two_of_a_pair_differ_by_the_arc_alone_in_units_of_the_ctrl_s_scale(tmp_path, pixels):
    stored, row = _cube(tmp_path / "cube.h5", pixels=pixels), np.array([3, 0, 70, 11])
    stamp, ctrl = (np.stack([images[at] for at in row]).astype(np.float64) for images in (stored.stamp, stored.ctrl))
    scale = stored.normalizer_statistics["ctrl"][row][:, :, 1, None, None]
    positive, negative = _both(PairReader(stored, VIEWS["residual"]), row)
    np.testing.assert_allclose(positive - negative, (stamp - ctrl) / scale, rtol=1e-5, atol=1e-5)
    same = stamp == ctrl
    assert same.any()
    np.testing.assert_array_equal(positive[same], negative[same])


def test_noise_comes_from_its_seed_alone(reader):
    row, seeds = np.arange(5), np.array([4, 9, 4, 1, 2**40])
    positive, negative = _both(reader, row, noise=np.tile(seeds, 2))
    np.testing.assert_array_equal(negative[0], negative[2])
    again = _both(reader, row[::-1], noise=np.tile(seeds[::-1], 2))
    np.testing.assert_array_equal(again[0][::-1], positive)
    others = _both(reader, row, noise=np.tile(seeds + 1, 2))[1]
    assert np.abs(np.corrcoef(others.reshape(5, -1), negative.reshape(5, -1))[:5, 5:]).max() < 0.1


def test_a_turn_is_of_the_arc_and_leaves_its_noise(reader):
    row, element = np.array([2, 4, 1]), np.array([1, 6, 7])
    positive, negative = _both(reader, row)
    turned, empty = _both(reader, row, element=np.tile(element, 2))
    np.testing.assert_array_equal(empty, negative)
    for at in range(3):
        np.testing.assert_allclose((turned - empty)[at], turn((positive - negative)[at], element[at]), atol=1e-5)


def test_the_stretch_and_clip_are_the_cube_s(reader, tmp_path):
    stretched = PairReader(_cube(tmp_path / "cube.h5", spec=STRETCHED), VIEWS["residual"])
    row, label = np.arange(12), np.arange(12) % 2
    unit = np.broadcast_to([0.0, 1.0], (12, 3, 2))
    np.testing.assert_array_equal(stretched.read(row, label), normalize(reader.read(row, label), unit, STRETCHED))


def test_a_pair_scores_the_same_on_every_run_and_in_shards(reader, tmp_path):
    import torch

    class Power(torch.nn.Module):
        def forward(self, images):
            return (images**2).mean((1, 2, 3))[:, None]

    shards = _cube(tmp_path / "cube.h5", shard_pairs=12)
    assert len(shards.files) > 3
    rows = np.array([5, 60, 17, 2, 44])
    one = score_pairs(Power(), reader, rows, batch_size=3)
    np.testing.assert_array_equal(one, score_pairs(Power(), reader, rows, batch_size=3))
    place = np.argsort(shards.row)[rows]
    np.testing.assert_array_equal(score_pairs(Power(), PairReader(shards, VIEWS["residual"]), place, batch_size=3), one)
    assert (one[:, 0] > one[:, 1]).all()


@pytest.mark.parametrize("kind", ["standard", "core"])
def test_a_scale_that_is_no_noise_is_refused(tmp_path, kind):
    other = _cube(tmp_path / "cube.h5", spec=NormalizerSpec(kind=kind))
    with pytest.raises(ConfigError, match=f"kind '{kind}'.*kind 'sky'.*view=single"):
        PairReader(other, VIEWS["residual"])


@pytest.mark.parametrize("label", [0, 1])
def test_a_pixel_that_is_not_finite_stops_the_training(cube, label):
    reader = PairReader(cube, VIEWS["residual"])
    pixels = np.array(cube.ctrl)
    pixels[4, 1, 16, 16] = np.nan
    reader.stored = ((pixels,), reader.stored[1])
    with pytest.raises(FormatError, match="row 4"):
        reader.read(np.array([3, 4]), np.array([label, label]))
