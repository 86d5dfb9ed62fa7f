"""Only a whole checkpoint of a network that needs no ctrl can score, and only images that it was made for."""

import pickle
import threading

import numpy as np
import pytest

from gen5astro.errors import FormatError, MissingFileError, SchemaError
from gen5astro.inference import finder as module
from gen5astro.inference import open_finder
from gen5astro.io import open_cutouts
from gen5astro.training.checkpoint import load_checkpoint
from gen5astro.training.cutouts import check_cutouts
from tests.inference.cutouts import SIZE, changed_checkpoint, train_on_sample, write_cutouts


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_on_sample(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def finder(trained):
    return open_finder(trained[0])


def test_a_run_and_its_best_checkpoint_are_the_same_finder(trained, finder):
    again = open_finder(trained[0] / "best.ckpt")
    assert (again.digest, again.label) == (finder.digest, finder.label)
    assert (finder.bands, finder.shape, finder.pixel_scale) == (("g", "r", "z"), (SIZE, SIZE), 0.263)
    assert finder.origin["cube_digest"] == load_checkpoint(trained[0])["cube"]["cube_digest"]


def test_a_damaged_checkpoint_is_refused(trained, tmp_path):
    content = bytearray((trained[0] / "best.ckpt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "damaged.ckpt").write_bytes(content)
    with pytest.raises(FormatError, match="damaged"):
        open_finder(tmp_path / "damaged.ckpt")
    with pytest.raises(MissingFileError, match="no such file"):
        open_finder(tmp_path / "absent.ckpt")


@pytest.mark.parametrize("view", ["paired", "residual"])
def test_a_network_that_must_be_shown_a_ctrl_is_refused(trained, tmp_path, view):
    config = load_checkpoint(trained[0])["config"] | {"view": view}
    path = changed_checkpoint(trained[0], tmp_path / "last.ckpt", config=config, deployable=False)
    with pytest.raises(SchemaError, match=f"view '{view}', which must be shown a ctrl.*expected one of view 'single'"):
        open_finder(path)
    # What the file says of itself is not believed against its view, nor its view against that.
    believed = changed_checkpoint(trained[0], tmp_path / "believed.ckpt", config=config, deployable=True)
    with pytest.raises(SchemaError, match="must be shown a ctrl"):
        open_finder(believed)
    undeployable = changed_checkpoint(trained[0], tmp_path / "undeployable.ckpt", deployable=False)
    with pytest.raises(SchemaError, match="must be shown a ctrl"):
        open_finder(undeployable)


def test_a_normalizer_that_reads_the_ctrl_is_refused(trained, tmp_path):
    cube = load_checkpoint(trained[0])["cube"]
    cube["normalizer"] = cube["normalizer"] | {"kind": "pair"}
    with pytest.raises(SchemaError, match="normalizer 'pair'"):
        open_finder(changed_checkpoint(trained[0], tmp_path / "pair.ckpt", cube=cube))


@pytest.mark.parametrize(
    ("bands", "pixel_scale", "size", "said"),
    [
        ("gr", 0.263, SIZE, "bands: got g,r; expected g,r,z, as the network has it; .*--bands"),
        ("grz", 0.168, SIZE, "pixel scale: got 0.168 arcsec; expected 0.263, as the network has it"),
        ("grz", 0.263, 40, "image size: got 40 x 40 pix; expected 48 x 48 or more, .*gen5astro cutout ... --size 48"),
    ],
)
def test_images_that_do_not_fit_are_one_line(finder, tmp_path, bands, pixel_scale, size, said):
    images = np.random.default_rng(1).normal(size=(3, len(bands), size, size)).astype(np.float32)
    path = write_cutouts(tmp_path / "a.parquet", images, bands=tuple(bands), pixel_scale=pixel_scale)
    with pytest.raises(SchemaError, match=said) as refused:
        check_cutouts(finder, open_cutouts(path))
    assert "\n" not in str(refused.value)


def test_what_is_done_to_make_images_fit_is_said(finder, tmp_path):
    images = np.random.default_rng(1).normal(size=(3, 4, 61, 61)).astype(np.float32)
    path = write_cutouts(tmp_path / "a.parquet", images, bands=("g", "r", "i", "z"), pixel_scale=0.262)
    notes = check_cutouts(finder, open_cutouts(path))
    assert notes == ["Of bands g,r,i,z the network sees g,r,z", "Of 61 x 61 pix the network sees the middle 48 x 48"]
    assert check_cutouts(finder, open_cutouts(write_cutouts(path, images[:, :3, :48, :48]))) == []


def test_a_score_depends_neither_on_the_number_nor_on_the_order_of_the_others(trained, finder):
    images = trained[2].stamp
    whole = finder.score(images, 0.263, batch_size=16)
    np.testing.assert_array_equal(finder.score(images[::-1], 0.263, batch_size=16)[::-1], whole)
    np.testing.assert_array_equal(finder.score(images[5:6], 0.263, batch_size=16), whole[5:6])
    np.testing.assert_allclose(finder.score(images, 0.263, batch_size=7), whole, atol=1e-5)


def test_what_is_not_finite_has_no_score_and_its_neighbors_have_theirs(trained, finder):
    images = trained[2].stamp.copy()
    whole = finder.score(images, 0.263, batch_size=16)
    images[3, 1, 0, 0], images[4, 2, 20, 20] = np.nan, np.inf
    scores = finder.score(images, 0.263, batch_size=16)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [3, 4]
    others = np.delete(np.arange(len(images)), [3, 4])
    np.testing.assert_array_equal(scores[others], whole[others])


def test_a_process_makes_the_network_once(trained, finder, monkeypatch):
    made = []

    def make(checkpoint, original=module.load_model):
        made.append(1)
        return original(checkpoint)

    monkeypatch.setattr(module, "load_model", make)
    monkeypatch.setattr(module, "_loaded", {})
    images, sent = trained[2].stamp[:8], [pickle.loads(pickle.dumps(finder)) for _ in range(4)]
    threads = [threading.Thread(target=each.score, args=(images, 0.263), kwargs={"batch_size": 8}) for each in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
