"""Augmentation keeps what makes a lens a lens, and treats a stamp and its ctrl alike."""

import math

import numpy as np
import pytest
import torch

from gen5astro.config import NormalizerSpec, TrainConfig
from gen5astro.errors import ConfigError
from gen5astro.kernels.normalize import core_pixels
from gen5astro.training.augment import augment, check_augment, stretch, unstretch
from gen5astro.training.views import VIEWS
from tests.reference import turn

SKY = NormalizerSpec(kind="sky", stretch="asinh", softening=3.0)
LINEAR = NormalizerSpec(kind="sky", stretch="none")
OFF = {"augment_dim": 1.0, "augment_background": 0.0}
SCALE = 0.262
EVERY = {
    "shift": {"augment_shift_px": 2.5},
    "blur": {"augment_fwhm_arcsec": 2.0},
    "dim": {"augment_dim": 0.3},
    "background": {"augment_background": 0.8},
    "core dropout": {"augment_core_dropout": 0.6},
    "band jitter": {"augment_band_jitter": 0.2},
}
EVERY["all"] = {name: value for each in EVERY.values() for name, value in each.items()}
NOISELESS = ("shift", "band jitter")


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _images(n=5, channels=3, size=16):
    return torch.randn(n, channels, size, size, generator=_generator(9), dtype=torch.float64)


def _places(size):
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return torch.meshgrid(at, at, indexing="ij")


def _augment(images, draw, *, view="single", spec=SKY, seed=4, own=1.2, **settings):
    config, view = TrainConfig(**{**OFF, **settings}), VIEWS[view]
    fwhm = torch.full((len(images), images.shape[1] // view.images), own)
    more = {"fwhm": fwhm, "pixel_scale": SCALE, "generator": _generator(seed)}
    return augment(images, draw, view=view, spec=spec, config=config, **more)


@pytest.mark.parametrize("name", EVERY)
def test_stamp_and_ctrl_differ_by_the_arc_as_it_would_look(name):
    stamp, ctrl = 30 * _images(2)
    alike = torch.stack([stamp, ctrl, stamp - ctrl, torch.zeros_like(ctrl)])
    stamp, ctrl, arc, nothing = _augment(alike, torch.zeros(4, dtype=torch.int64), spec=LINEAR, **EVERY[name])
    torch.testing.assert_close(stamp - ctrl, arc - nothing, rtol=1e-10, atol=1e-10)
    assert not torch.equal(stamp, alike[0]) or name == "core dropout"


@pytest.mark.parametrize("name", EVERY)
def test_images_of_different_draws_are_changed_differently(name):
    images = _images(1).expand(40, -1, -1, -1)
    changed = _augment(images, torch.arange(20).repeat(2), **EVERY[name])
    assert torch.equal(changed[:20], changed[20:])
    assert len(torch.unique(changed[:20].flatten(1), dim=0)) > 5


@pytest.mark.parametrize("name", sorted({*EVERY} - {"band jitter", "background"}))
@pytest.mark.parametrize("view", VIEWS)
def test_the_sky_is_as_noisy_as_it_was_up_to_the_edge(name, view):
    scatter, images = VIEWS[view].scatter, VIEWS[view].images
    sky = scatter * torch.randn(1500, images * 2, 14, 14, generator=_generator(1))
    settings = {**EVERY[name], "augment_band_jitter": 0.0, "augment_background": 0.0}
    changed = _augment(sky, torch.arange(1500), view=view, spec=LINEAR, **settings)
    for region in (changed, changed[..., 0, :], changed[..., 1], changed[..., 6:8, 6:8]):
        assert region.std().item() == pytest.approx(scatter, rel=0.02)
        assert region.mean().item() == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("name", EVERY)
def test_the_halves_of_a_paired_input_are_treated_alike(name):
    half = _images(2)
    changed = _augment(torch.cat([half, half], dim=1), torch.arange(2), view="paired", **EVERY[name])
    assert torch.equal(changed[:, :3], changed[:, 3:])
    other = _augment(half, torch.arange(2), **EVERY[name])
    torch.testing.assert_close(changed[:, :3], other)


@pytest.mark.parametrize("name", EVERY)
def test_a_stretch_is_undone_and_done_again(name):
    linear, draw = 30 * _images(), torch.arange(5)
    expected = _augment(linear, draw, spec=LINEAR, **EVERY[name])
    torch.testing.assert_close(_augment((linear / 3).asinh(), draw, **EVERY[name]), (expected / 3).asinh())
    clipped = NormalizerSpec(kind="sky", stretch="none", clip=1.0)
    assert _augment(linear, draw, spec=clipped, **EVERY[name]).abs().max() <= 1.0


def test_stretch_and_unstretch_are_inverse():
    linear = 100 * _images()
    for spec in (SKY, LINEAR):
        torch.testing.assert_close(unstretch(stretch(linear, spec), spec), linear)


@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_gives_the_same_and_single_precision_stays_single(name):
    images, draw = _images().float(), torch.arange(5)
    one, same = (_augment(images, draw, **EVERY[name]) for _ in range(2))
    assert torch.equal(one, same)
    assert one.dtype == torch.float32
    assert not torch.equal(one, _augment(images, draw, seed=5, **EVERY[name]))


def test_what_is_switched_off_leaves_the_images_alone():
    images, draw = _images(), torch.arange(5)
    for spec in (SKY, LINEAR, NormalizerSpec(kind="core")):
        assert torch.equal(_augment(images, draw, spec=spec), images)


def test_shifts_reach_every_distance_up_to_the_largest():
    y, x = _places(24)
    blob = (1e6 * (-(y**2 + x**2) / 8).exp()).expand(300, 1, 24, 24)
    shifted = _augment(blob, torch.arange(300), spec=LINEAR, augment_shift_px=1.5)[:, 0]
    moved = torch.stack([(shifted * each).sum((1, 2)) / shifted.sum((1, 2)) for each in (y, x)])
    assert moved.abs().max() <= 1.51
    assert moved.min() < -1.4
    assert moved.max() > 1.4
    assert moved.std(dim=1).numpy() == pytest.approx([1.5 / math.sqrt(3)] * 2, rel=0.1)


def test_an_image_is_blurred_to_a_width_between_its_own_and_the_largest():
    at = torch.arange(49.0, dtype=torch.float64) - 24
    own, largest = 1.0, 2.0
    sigma = own / 2.3548 / SCALE
    star = 1e7 * (-(at[:, None] ** 2 + at**2) / (2 * sigma**2)).exp()
    images = star.expand(300, 2, 49, 49)
    config = TrainConfig(augment_fwhm_arcsec=largest, **OFF)
    fwhm = torch.tensor([[own, 2.5]]).expand(300, 2)
    more = {"fwhm": fwhm, "pixel_scale": SCALE, "generator": _generator()}
    blurred = augment(images, torch.arange(300), view=VIEWS["single"], spec=LINEAR, config=config, **more)
    assert torch.equal(blurred[:, 1], images[:, 1])
    second_moment = (blurred[:, 0] * at**2).sum((1, 2)) / blurred[:, 0].sum((1, 2))
    width = 2.3548 * SCALE * second_moment.sqrt()
    assert (width >= own - 1e-3).all()
    assert (width <= largest + 1e-3).all()
    assert width.mean().item() == pytest.approx((own + largest) / 2, abs=0.06)
    assert blurred[:, 0].sum((1, 2)).numpy() == pytest.approx(star.sum().item(), rel=1e-4)


def test_dimming_scales_what_is_in_an_image():
    source = torch.zeros(400, 1, 8, 8)
    source[:, :, 4, 4] = 1e5
    factors = _augment(source, torch.arange(400), spec=LINEAR, augment_dim=0.25)[:, 0, 4, 4] / 1e5
    assert 0.249 < factors.min() < 0.28
    assert 0.97 < factors.max() < 1.001
    assert factors.mean().item() == pytest.approx(0.625, abs=0.03)


def test_each_band_gets_a_background_of_its_own_and_a_residual_none():
    images = torch.zeros(2000, 3, 4, 4)
    level = _augment(images, torch.arange(2000), spec=LINEAR, augment_background=0.8)
    assert torch.equal(level, level[..., :1, :1].expand_as(level))
    level = level[:, :, 0, 0]
    assert level.abs().max() <= 0.8
    assert level.std(dim=0).numpy() == pytest.approx([0.8 / math.sqrt(3)] * 3, rel=0.05)
    np.testing.assert_allclose(np.corrcoef(level.T), np.eye(3), atol=0.08)
    assert _augment(images, torch.arange(2000), view="residual", spec=LINEAR, augment_background=0.8) is images


def test_a_lost_core_is_sky_and_nothing_else_is_touched():
    images = torch.full((200, 2, 16, 16), 1e4)
    changed = _augment(images, torch.arange(200), spec=LINEAR, augment_core_dropout=0.3)
    core = torch.from_numpy(core_pixels((16, 16), 1.0 / SCALE))
    lost = (changed[:, :, core] != 1e4).all((1, 2))
    assert lost.double().mean().item() == pytest.approx(0.3, abs=0.1)
    assert changed[lost][:, :, core].std().item() == pytest.approx(1, abs=0.03)
    assert (changed[:, :, ~core] == 1e4).all()
    assert (changed[~lost] == 1e4).all()


def test_the_lost_core_is_where_the_shift_has_brought_it():
    y, x = _places(32)
    bright = (1e4 * (-(y**2 + x**2) / 2).exp()).expand(100, 1, 32, 32)
    settings = {"augment_shift_px": 6.0, "augment_core_dropout": 1.0}
    assert _augment(bright, torch.arange(100), spec=LINEAR, **settings).abs().max() < 50


def test_bands_are_brightened_apart_by_factors_of_the_stated_rms():
    images = torch.full((2000, 3, 4, 4), 1e6)
    changed = _augment(images, torch.arange(2000), spec=LINEAR, augment_band_jitter=0.2)
    assert (changed.std((2, 3)) < 2).all()
    factor = (changed.mean((2, 3)) / 1e6).log()
    assert factor.std(dim=0).numpy() == pytest.approx([0.2] * 3, rel=0.08)
    np.testing.assert_allclose(np.corrcoef(factor.T), np.eye(3), atol=0.1)


@pytest.mark.parametrize("kind", ["standard", "core", "pair"])
def test_where_the_scale_is_no_noise_none_is_added_and_what_needs_it_is_refused(kind):
    spec, nothing = NormalizerSpec(kind=kind, stretch="none"), torch.zeros(3, 2, 9, 9)
    for name, settings in EVERY.items():
        if name in NOISELESS:
            assert not _augment(nothing, torch.arange(3), spec=spec, **settings).any()
        elif name in ("dim", "background"):
            assert _augment(nothing, torch.arange(3), spec=spec, **settings) is nothing
        else:
            with pytest.raises(ConfigError, match=f"kind '{kind}'"):
                check_augment(TrainConfig(**settings), spec)
            with pytest.raises(ConfigError, match="the sky's sigma"):
                _augment(nothing, torch.arange(3), spec=spec, **settings)


@pytest.mark.parametrize("missing", ["fwhm", "pixel_scale"])
def test_a_blur_without_the_width_of_the_psf_or_the_scale_is_refused(missing):
    known = {"fwhm": torch.ones(1, 1), "pixel_scale": SCALE, missing: None}
    config = TrainConfig(augment_fwhm_arcsec=2.0)
    more = {"view": VIEWS["single"], "spec": SKY, "generator": _generator(), **known}
    with pytest.raises(ConfigError, match="augment_fwhm_arcsec: got no"):
        augment(torch.zeros(1, 1, 9, 9), torch.zeros(1, dtype=torch.int64), config=config, **more)


def test_a_blur_knows_no_direction():
    image = 30 * _images(1)
    config = {"augment_fwhm_arcsec": 2.0, "spec": LINEAR}
    draw = torch.zeros(2, dtype=torch.int64)
    plain = _augment(torch.cat([image, torch.zeros_like(image)]), draw, **config)
    turned = _augment(torch.cat([torch.from_numpy(turn(image[0].numpy(), 5).copy())[None], 0 * image]), draw, **config)
    np.testing.assert_allclose(turned[0] - turned[1], turn((plain[0] - plain[1]).numpy(), 5), atol=1e-10)
