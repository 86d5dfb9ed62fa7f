"""Augmentation keeps what makes a lens a lens, and treats a stamp and its ctrl alike."""

import numpy as np
import pytest
import torch

from gen5astro.config import NormalizerSpec, TrainConfig
from gen5astro.training.augment import augment, dim, shift
from gen5astro.training.views import VIEWS

SKY = NormalizerSpec(kind="sky", stretch="asinh", softening=3.0)
LINEAR = NormalizerSpec(kind="sky", stretch="none")


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _images(n=5, channels=3, size=16):
    return torch.randn(n, channels, size, size, generator=_generator(9))


def test_a_shift_moves_whole_pixels_and_mirrors_the_edge():
    images = _images(200, 2, 9)
    shifted = shift(images, torch.arange(200), max_px=2, generator=_generator())
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")
    seen = set()
    for image, around in zip(shifted.numpy(), padded, strict=True):
        found = [(y, x) for y in range(5) for x in range(5) if np.array_equal(around[:, y : y + 9, x : x + 9], image)]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) == 25


def test_dimming_keeps_the_sky_s_sigma_and_scales_the_rest():
    sky = torch.randn(400, 1, 32, 32, generator=_generator(1))
    source = torch.zeros(32, 32)
    source[16, 16] = 500.0
    kwargs = {"faintest": 0.25, "n_images": 1, "spec": LINEAR, "generator": _generator(2)}
    dimmed = dim(sky + source, torch.arange(400), **kwargs)
    empty = dimmed[:, :, source == 0]
    assert empty.std().item() == pytest.approx(1.0, abs=0.01)
    assert empty.mean().item() == pytest.approx(0.0, abs=0.01)
    factors = dimmed[:, 0, 16, 16] / 500
    assert 0.24 < factors.min() < 0.28
    assert 0.97 < factors.max() < 1.01
    assert factors.mean().item() == pytest.approx(0.625, abs=0.03)


def test_a_stretch_is_undone_and_done_again():
    images = 3 * _images()
    more = {"faintest": 0.3, "n_images": 1}
    plain = dim(images, torch.arange(5), spec=LINEAR, generator=_generator(), **more)
    stretched = dim((images / 3).asinh(), torch.arange(5), spec=SKY, generator=_generator(), **more)
    torch.testing.assert_close(stretched, (plain / 3).asinh(), rtol=1e-4, atol=1e-5)
    clipped = NormalizerSpec(kind="sky", stretch="none", clip=1.0)
    assert dim(images, torch.arange(5), spec=clipped, generator=_generator(), **more).abs().max() == 1.0


def _augment(images, draw, *, view="single", spec=SKY, **settings):
    config = TrainConfig(**settings)
    return augment(images, draw, view=VIEWS[view], spec=spec, config=config, generator=_generator(4))


def test_two_images_of_one_draw_differ_by_what_they_differed_by():
    ctrl = _images(1)
    stamp = ctrl.clone()
    stamp[0, :, 4, 11] += 7
    both = torch.cat([stamp, ctrl])
    linear = _augment(both, torch.tensor([0, 0]), spec=LINEAR)
    difference = (linear[0] - linear[1]).abs()
    assert ((difference > 1e-4).sum((1, 2)) == 1).all()
    apart = _augment(both, torch.tensor([0, 1]), spec=LINEAR)
    assert ((apart[0] - apart[1]).abs() > 1e-4).sum() > 100


def test_the_halves_of_a_paired_input_get_the_same_noise():
    half = _images(2)
    augmented = _augment(torch.cat([half, half], dim=1), torch.arange(2), view="paired")
    assert torch.equal(augmented[:, :3], augmented[:, 3:])
    assert not torch.equal(augmented[:, 0], augmented[:, 1])


def test_what_is_switched_off_leaves_the_images_alone():
    images, draw = _images(), torch.arange(5)
    assert torch.equal(_augment(images, draw, augment_shift_px=0, augment_dim=1.0), images)
    core = NormalizerSpec(kind="core")
    assert torch.equal(_augment(images, draw, spec=core, augment_shift_px=0), images)
