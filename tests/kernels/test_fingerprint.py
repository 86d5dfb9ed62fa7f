import itertools

import numpy as np
import pytest

from gen5astro.errors import ShapeError
from gen5astro.kernels.fingerprint import BITS, fingerprint
from gen5astro.sample import load_hosts
from gen5astro.twins import MOST_BITS

SIZE = 64


def differing(some, others):
    """How many bits differ."""
    return np.bitwise_count(some ^ others).sum(axis=-1)


@pytest.fixture(scope="module")
def images():
    hosts = load_hosts()
    return np.stack([hosts.cutout(row, SIZE)[0] for row in range(len(hosts))])


@pytest.fixture(scope="module")
def marks(images):
    return fingerprint(images)


def test_no_two_real_galaxies_are_twins(marks):
    bits = [differing(some, other) for some, other in itertools.combinations(marks, 2)]
    assert min(bits) > 2 * MOST_BITS
    assert np.mean(bits) == pytest.approx(BITS / 2, abs=5)


SIGMA = load_hosts().sky_sigma[:, :, None, None]
COPIES = {
    "half precision": lambda images: (1000 * images).astype(np.float16).astype(np.float32) / 1000,
    "rounded to a quarter of the noise": lambda images: np.round(images / SIGMA * 4) * SIGMA / 4,
    "another zero point": lambda images: images * 0.0251,
    "a zero point of each band": lambda images: images * np.array([0.9, 1.1, 1.3])[:, None, None],
    "a pedestal": lambda images: images + 2 * SIGMA,
    "flipped": lambda images: images[..., ::-1],
    "turned": lambda images: np.rot90(images, axes=(2, 3)),
    "turned and flipped": lambda images: images.swapaxes(2, 3),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_a_copy_keeps_nearly_all_bits(images, marks, change):
    bits = differing(fingerprint(change(images).astype(np.float32)), marks)
    assert bits.max() <= MOST_BITS // 2


@pytest.mark.parametrize("shift", [(1, 0), (-3, 2), (4, -4)])
def test_a_whole_pixel_shift_keeps_all_bits(shift, marks):
    hosts = load_hosts()
    kept = 0
    for row in range(len(hosts)):
        x, y = (int(np.rint(at - (SIZE - 1) / 2)) + by for at, by in zip(hosts.center[row], shift, strict=True))
        kept += differing(fingerprint(hosts.image[row, :, y : y + SIZE, x : x + SIZE][None]), marks[row])[0] == 0
    assert kept == len(hosts)


def test_a_galaxy_seen_again_under_other_noise_is_no_copy(images, marks):
    noise = np.random.default_rng(0).normal(size=images.shape) * SIGMA
    assert np.mean(differing(fingerprint((images + noise).astype(np.float32)), marks) > MOST_BITS) > 0.9


def test_a_fingerprint_depends_on_its_image_alone(images, marks):
    np.testing.assert_array_equal(fingerprint(images[7:9]), marks[7:9])
    assert marks.dtype == np.uint64
    assert marks.shape == (len(images), BITS // 64)


def test_what_cannot_be_told_apart_has_no_fingerprint(images):
    blank, broken = np.zeros_like(images[:1]), images[:1].copy()
    broken[0, 1, SIZE // 2, SIZE // 2 + 9] = np.nan
    for useless in (blank, np.full_like(blank, 0.1), broken, images[:1, :, :20, :20], images[:0]):
        assert not fingerprint(useless).any()


def test_mocks_without_noise_are_not_taken_for_each_other():
    rng = np.random.default_rng(1)
    y, x = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    for noise in (0.0, 1e-3, 1e-2, 3e-2, 0.1):
        sizes = rng.uniform(4, 9, (60, 1, 1, 1))
        mocks = np.exp(-7.0 * (np.sqrt(x**2 * rng.uniform(0.6, 1, sizes.shape) + y**2 + 0.3) / sizes) ** 0.25 + 7.0)
        mocks = (mocks * np.array([0.3, 1.0, 1.5])[:, None, None]).astype(np.float32)
        marks = fingerprint(mocks + noise * rng.normal(size=mocks.shape))
        marks = marks[marks.any(axis=1)]
        assert all(differing(some, other) > MOST_BITS for some, other in itertools.combinations(marks, 2))
        assert len(marks) == (0 if noise < 1e-3 else 60 if noise == 0.1 else len(marks))


def test_images_of_another_shape_are_refused(images):
    with pytest.raises(ShapeError, match=r"expected \(n, band, y, x\)"):
        fingerprint(images[0])
