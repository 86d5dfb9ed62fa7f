"""Candidates are scored from one image alone, or it is said why not."""

import numpy as np
import pytest
import torch

from gen5astro.config import NormalizerSpec
from gen5astro.evaluation.real_lenses import score_candidates
from gen5astro.sample import load_candidates
from gen5astro.training.score import center_crop
from gen5astro.training.views import VIEWS

SPEC = NormalizerSpec(kind="sky")


class Brightness(torch.nn.Module):
    """Scores an image by the sum of its planes."""

    def forward(self, images):
        return images.sum((1, 2, 3))[:, None]


def _score(view="single", *, bands="grz", shape=(64, 64), pixel_scale=0.262, ctrl_scores=(0.0,)):
    layout = {"bands": tuple(bands), "shape": shape, "pixel_scale": pixel_scale}
    ctrl_scores = np.array(ctrl_scores)
    return score_candidates(load_candidates(), Brightness(), VIEWS[view], SPEC, **layout, ctrl_scores=ctrl_scores)


def test_the_middle_is_kept():
    image = np.arange(35.0).reshape(5, 7)
    assert center_crop(image, (3, 3)).tolist() == image[1:4, 2:5].tolist()
    assert center_crop(image, (2, 2)).tolist() == image[1:3, 2:4].tolist()
    assert center_crop(image, (5, 7)).tolist() == image.tolist()


def test_every_candidate_has_a_score_and_a_rank_among_the_ctrls():
    scores = [row["score"] for row in _score()]
    assert np.all(np.isfinite(scores))
    middle = sorted(scores)[1]
    ranks = [row["percentile_among_ctrl"] for row in _score(ctrl_scores=[middle, middle, 1e9, -1e9])]
    assert sorted(ranks) == pytest.approx([25.0, 50.0, 75.0])


def test_a_candidate_is_seen_in_the_network_s_order_of_bands():
    forward, backward = _score(bands="grz"), _score(bands="zrg")
    assert [row["score"] for row in forward] == pytest.approx([row["score"] for row in backward], rel=1e-5)
    assert all(row["note"] is None for row in _score(bands="r"))


def test_des_and_decam_pixels_are_near_enough():
    assert all(row["score"] is not None for row in _score(pixel_scale=0.263))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"view": "paired"}, "needs a ctrl"),
        ({"bands": "griz"}, "no band i"),
        ({"shape": (128, 128)}, "smaller"),
        ({"pixel_scale": 0.2}, "pixel scale 0.262 against 0.2"),
    ],
)
def test_a_candidate_that_cannot_be_shown_has_no_score_but_a_reason(change, reason):
    for row in _score(**change):
        assert row["score"] is None
        assert row["percentile_among_ctrl"] is None
        assert reason in row["note"]
