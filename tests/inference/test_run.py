"""Scores of a survey are those of the training's own reader, for any number of threads, and no row is lost."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from gen5astro.config import Config, PredictConfig
from gen5astro.engine import DoneBefore
from gen5astro.errors import ExistsError, RejectedError, SchemaError
from gen5astro.inference import open_finder, predict
from gen5astro.io import open_cutouts
from gen5astro.io.hdf5 import Cube
from gen5astro.io.rejects import rejects_path
from gen5astro.io.resuming import part_path
from gen5astro.settings import from_dict
from gen5astro.training.checkpoint import load_checkpoint, load_model
from gen5astro.training.conditions import repeatable
from gen5astro.training.reader import PairReader
from gen5astro.training.score import probability, score_pairs
from tests.inference.cutouts import COUNT, changed_checkpoint, train_on_sample, write_cutouts

CONFIG = Config(predict=PredictConfig(batch_size=4))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_on_sample(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def finder(trained):
    return open_finder(trained[0])


@pytest.fixture(scope="module")
def cutouts(trained, tmp_path_factory):
    catalog = trained[2].catalog
    columns = {name: catalog[name] for name in ("ra", "dec", "host_id")} | {"name": catalog["pair_id"]}
    return write_cutouts(tmp_path_factory.mktemp("cutouts") / "a.parquet", trained[2].stamp, **columns, mag=np.ones(60))


@pytest.fixture(scope="module")
def whole(finder, cutouts, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "scores.parquet"
    return out, predict(finder, open_cutouts(cutouts), out, config=CONFIG, threads=1)


def test_scores_are_what_the_training_s_own_reader_gives_through_a_cube(trained, whole):
    model, view, _ = load_model(load_checkpoint(trained[0]))
    with Cube(trained[1]) as cube, repeatable(1):
        logits = score_pairs(model, PairReader(cube, view), np.arange(COUNT), batch_size=32)
        table = pq.read_table(whole[0]).take(cube.row)
        assert table["name"].to_pylist() == cube.catalog["pair_id"].tolist()
    np.testing.assert_allclose(table["logit"], logits[:, 0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(table["score"], probability(logits[:, 0]), rtol=0, atol=1e-5)
    assert np.ptp(logits[:, 0]) > 0.1


def test_the_table_names_each_image_and_tells_where_its_score_comes_from(trained, finder, whole):
    out, summary = whole
    table = pq.read_table(out)
    assert table.column_names == ["row", "ra", "dec", "pair_id", "host_id", "name", "score", "logit"]
    assert table["row"].to_pylist() == list(range(COUNT))
    for name in ("ra", "dec", "host_id"):
        assert table[name].to_pylist() == trained[2].catalog[name].tolist()
    metadata = {name.decode(): text.decode() for name, text in table.schema.metadata.items()}
    assert metadata["gen5astro.deployment"] == "UNKNOWN (not proven on real lenses)"
    assert metadata["gen5astro.model_digest"] == finder.digest
    assert metadata["gen5astro.cube_digest"] == load_checkpoint(trained[0])["cube"]["cube_digest"]
    assert metadata["gen5astro.override_gate"] == "none"
    assert "carries no audit" in json.loads(metadata["gen5astro.warnings"])[0]
    assert json.loads(metadata["gen5astro.record"])["counts"] == summary["counts"]
    assert summary["counts"] == {"read": COUNT, "scored": COUNT, "rejected": 0}
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_an_overridden_gate_stays_with_the_scores(trained, cutouts, tmp_path):
    path = changed_checkpoint(trained[0], tmp_path / "a.ckpt", override_gate="to see", warnings=["mind the gap"])
    summary = predict(open_finder(path), open_cutouts(cutouts), tmp_path / "a.parquet", config=CONFIG)
    metadata = pq.read_schema(tmp_path / "a.parquet").metadata
    assert metadata[b"gen5astro.override_gate"] == b"to see"
    assert metadata[b"gen5astro.warnings"] == b'["mind the gap"]'
    assert (summary["model"]["override_gate"], summary["model"]["warnings"]) == ("to see", ["mind the gap"])


@pytest.mark.parametrize("threads", [2, 5])
def test_the_file_is_the_same_for_any_number_of_threads(finder, cutouts, whole, tmp_path, threads):
    counted = []
    options = {"threads": threads, "advance": counted.append}
    predict(finder, open_cutouts(cutouts), tmp_path / "a.parquet", config=CONFIG, **options)
    assert (tmp_path / "a.parquet").read_bytes() == whole[0].read_bytes()
    assert sum(counted) == COUNT
    assert not part_path(tmp_path / "a.parquet").exists()


def test_bands_are_picked_by_name_and_the_middle_of_larger_images_is_taken(trained, finder, whole, tmp_path):
    stamp = trained[2].stamp
    images = np.zeros((COUNT, 4, 53, 52), np.float32)
    images[:, [2, 3, 0], 2:50, 2:50] = stamp
    images[:, 1, 1:] = np.nan
    source = open_cutouts(write_cutouts(tmp_path / "a.parquet", images, bands="zigr"), bands=tuple("zigr"))
    summary = predict(finder, source, tmp_path / "scores.parquet", config=CONFIG)
    found, expected = (pq.read_table(each)["logit"].to_pylist() for each in (tmp_path / "scores.parquet", whole[0]))
    assert found == expected
    assert "Of bands z,i,g,r the network sees g,r,z" in summary["notes"]


def _damaged(trained, path, **more):
    """Cutouts of which six cannot be scored."""
    images = trained[2].stamp.copy()
    images[7, 1, 20:22, 30] = np.nan
    images[11, 2] = 0.0
    images[20, 0, 5, 5] = np.inf
    images[59, 0, 24, 24] = 3e38
    images[59, 0, 25:] = -3e38
    damage = {0: lambda payload: payload[:300], 30: lambda payload: b""}
    return write_cutouts(path, images, damage=damage, **more)


def test_rows_that_cannot_be_scored_are_rejects_and_the_others_keep_their_scores(trained, finder, whole, tmp_path):
    out, source = tmp_path / "scores.parquet", open_cutouts(_damaged(trained, tmp_path / "a.parquet"))
    config = from_dict({"predict": {"batch_size": 4}, "audit": {"max_reject_fraction": 0.2}})
    summary = predict(finder, source, out, config=config, threads=2)
    table, expected = pq.read_table(out).to_pydict(), pq.read_table(whole[0]).to_pydict()
    rejects = {each["row"]: each["reason"] for each in pq.read_table(rejects_path(out)).to_pylist()}
    assert list(rejects) == [0, 7, 11, 20, 30, 59]
    assert summary["counts"] == {"read": COUNT, "scored": COUNT - 6, "rejected": 6}
    assert summary["rejects"] == str(rejects_path(out))
    assert table["row"] == [row for row in range(COUNT) if row not in rejects]
    assert table["logit"] == [expected["logit"][row] for row in table["row"]]
    assert rejects[7] == "image: got 2 pixels without a value; expected a whole image"
    assert rejects[11] == "image: got one value in all pixels of band z; expected an image"
    assert rejects[59] == "image: got pixels of which the network makes no finite number"


def test_too_many_rejects_end_the_run_and_what_is_scored_is_not_lost(trained, finder, tmp_path):
    out, path = tmp_path / "scores.parquet", _damaged(trained, tmp_path / "a.parquet")
    with pytest.raises(RejectedError, match=r"6 of 60 rows rejected .*--max-reject-fraction"):
        predict(finder, open_cutouts(path), out, config=CONFIG)
    assert not out.exists()
    assert pq.read_table(rejects_path(out)).num_rows == 6
    config, counted = from_dict({"predict": {"batch_size": 4}, "audit": {"max_reject_fraction": 0.2}}), []
    predict(finder, open_cutouts(path), out, config=config, resume=True, advance=counted.append)
    assert counted == [COUNT]
    assert pq.read_table(out).num_rows == COUNT - 6


class Interrupted:
    """A source whose reading ends early, as Ctrl-C ends it."""

    def __init__(self, source, at):
        self._source, self._at = source, at

    def __getattr__(self, name):
        return getattr(self._source, name)

    def read(self, ref):
        if ref.start >= self._at:
            raise KeyboardInterrupt
        return self._source.read(ref)


def test_an_interrupted_run_goes_on_and_ends_as_an_unbroken_one(finder, cutouts, whole, tmp_path):
    out, source = tmp_path / "scores.parquet", open_cutouts(cutouts)
    for at, resume in ((20, False), (45, True)):
        with pytest.raises(KeyboardInterrupt):
            predict(finder, Interrupted(source, at), out, config=CONFIG, threads=1, resume=resume)
        assert not out.exists()
    with pytest.raises(ExistsError, match=r"a run that was interrupted; pass --resume .* or --force"):
        predict(finder, source, out, config=CONFIG)
    counted = []
    predict(finder, source, out, config=CONFIG, resume=True, advance=counted.append)
    assert counted[0] == 48
    assert isinstance(counted[0], DoneBefore)
    assert out.read_bytes() == whole[0].read_bytes()


def test_another_run_is_not_resumed_but_may_be_begun_anew(trained, finder, cutouts, whole, tmp_path):
    out, source = tmp_path / "scores.parquet", open_cutouts(cutouts)
    with pytest.raises(KeyboardInterrupt):
        predict(finder, Interrupted(source, 20), out, config=CONFIG, threads=1)
    other = open_finder(changed_checkpoint(trained[0], tmp_path / "other.ckpt", override_gate="another file"))
    shutil.copy(cutouts, tmp_path / "copy.parquet")
    elsewhere = open_cutouts(tmp_path / "copy.parquet")
    for network, images, config, name in (
        (other, source, CONFIG, r"model\.checkpoint"),
        (finder, elsewhere, CONFIG, "input"),
        (finder, source, Config(), "batch_size"),
    ):
        with pytest.raises(SchemaError, match=rf"^{name} of what is to be resumed in .* begin anew"):
            predict(network, images, out, config=config, resume=True)
    predict(finder, source, out, config=CONFIG, force=True)
    assert out.read_bytes() == whole[0].read_bytes()


def test_an_interrupt_before_anything_is_done_leaves_nothing(finder, cutouts, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        predict(finder, Interrupted(open_cutouts(cutouts), 0), tmp_path / "a.parquet", config=CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_scores_that_are_there_are_kept(finder, cutouts, whole, tmp_path):
    out = tmp_path / "scores.parquet"
    out.write_bytes(b"mine")
    for options, said in (({}, "a file that is there;"), ({"resume": True}, "got scores of other images")):
        with pytest.raises(ExistsError, match=said):
            predict(finder, open_cutouts(cutouts), out, config=CONFIG, **options)
    assert out.read_bytes() == b"mine"
    predict(finder, open_cutouts(cutouts), out, config=CONFIG, force=True)
    assert out.read_bytes() == whole[0].read_bytes()


def test_torch_is_left_as_it_was_found(finder, cutouts, tmp_path):
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    predict(finder, open_cutouts(cutouts), tmp_path / "a.parquet", config=CONFIG, threads=2)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
