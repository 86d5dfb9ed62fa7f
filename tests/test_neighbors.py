"""Neighbors of the host are masked, the host is not."""

import numpy as np
import pytest

from gen5astro.neighbors import mask_neighbors
from gen5astro.sample import load_hosts

SIGMA = 0.01


def galaxy(size=64, center=(31.5, 31.5), *, flux=10.0, width=4.0):
    y, x = np.indices((size, size))
    return flux * np.exp(-np.hypot(x - center[0], y - center[1]) / width) / width**2


def images(*sources, n=1, seed=0, size=64):
    noise = np.random.default_rng(seed).normal(0, SIGMA, (n, 2, size, size))
    return (noise + sum(sources)).astype(np.float32)


def masks(ctrl, center=(31.5, 31.5)):
    return mask_neighbors(ctrl, np.tile(center, (len(ctrl), 1)), np.full(ctrl.shape[:2], SIGMA))


def test_a_host_alone_is_not_masked():
    assert masks(images(galaxy(), n=20)).mean() < 1e-3


def test_a_neighbor_is_masked_with_its_wings_and_no_more():
    masked = masks(images(galaxy(), galaxy(center=(50, 12), flux=1.0, width=1.5)))[0]
    assert masked[9:16, 47:54].all()
    assert not masked[22:42, 22:42].any()
    assert masked.mean() < 0.1


def test_a_neighbor_on_the_hosts_wings_is_masked():
    masked = masks(images(galaxy(), galaxy(center=(43, 31), flux=1.0, width=1.0)))[0]
    assert masked[31, 43]
    assert not masked[28:36, 28:36].any()


def test_the_saturated_star_of_a_real_host_is_masked_and_galaxies_are_not():
    hosts = load_hosts()
    star = int(np.argmax([hosts.image[row, 0].max() for row in range(len(hosts))]))
    cut = [hosts.cutout(row, 64) for row in range(len(hosts))]
    ctrl, center = np.stack([image for image, _ in cut]), np.array([place for _, place in cut])
    masked = mask_neighbors(ctrl, center, hosts.sky_sigma)
    brightest = np.unravel_index(ctrl[star, 0].argmax(), (64, 64))
    assert np.hypot(*(np.array(brightest) - 31.5)) > 15
    assert masked[star][brightest]
    assert masked[:, 31:33, 31:33].any(axis=(1, 2)).sum() <= 1


@pytest.mark.parametrize("size", [33, 64, 101])
def test_an_image_does_not_see_the_others(size):
    middle = (size - 1) / 2
    host = galaxy(size, (middle, middle))
    together = images(host, n=5, size=size)
    together[::2] += galaxy(size, (5, 6), flux=3.0, width=1.5).astype(np.float32)
    whole = masks(together, (middle, middle))
    assert whole.shape == (5, size, size)
    for row in range(5):
        np.testing.assert_array_equal(masks(together[row : row + 1], (middle, middle))[0], whole[row])
        assert whole[row].any() == (row % 2 == 0)


def test_an_image_that_is_not_finite_or_has_no_noise_has_no_neighbors():
    ctrl = images(galaxy(), galaxy(center=(50, 12)), n=3)
    ctrl[1, 0, 3, 3] = np.nan
    sigma = np.full((3, 2), SIGMA)
    sigma[2] = 0
    masked = mask_neighbors(ctrl, np.full((3, 2), 31.5), sigma)
    assert masked[0].any()
    assert not masked[1:].any()
