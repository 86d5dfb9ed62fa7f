"""Slow definitions that the kernels are held against: one image, one number, no trick."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import ndimage
from scipy.integrate import quad


def median_and_mad(pixels):
    """Median and median absolute deviation of float32 pixels, as NumPy gives them."""
    center = np.median(pixels)
    return center, np.median(np.abs(pixels - center))


def noise_texture(image, inside, location, scale):
    """Immerkaer's high-frequency noise, and the lag-1 correlations of bounded deviations, over a region of an image.

    Every second pixel is looked at, as on a chessboard.
    """
    inner = np.zeros_like(inside)
    inner[1:-1, 1:-1] = inside[1:-1, 1:-1]
    inner &= np.add.outer(*map(np.arange, inside.shape)) % 2 == 0
    pixels = image.astype(np.float64)
    rough = ndimage.convolve(pixels, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    deviation = np.clip((pixels - location) / scale, -3, 3)
    here, power = deviation[inner], np.sum(deviation[inner] ** 2)
    pairs = [(np.roll(deviation, 1, axis) + np.roll(deviation, -1, axis))[inner] / 2 for axis in (1, 0)]
    return np.sqrt(np.pi / 2) / 6 * np.mean(np.abs(rough[inner])), *(np.sum(here * each) / power for each in pairs)


def ring_share(ring, core, brightness):
    """Share of a thin ring's light in a disc: the PSF's brightness, summed over circles about a point of the ring.

    Of a circle of radius t about a point at distance `ring` from the disc's center, an angle of
    2 arccos((t^2 + ring^2 - core^2) / (2 t ring)) lies in the disc.
    """

    def light(t):
        cosine = (t * t + ring * ring - core * core) / (2 * t * ring)
        return brightness(t) * t * 2 * np.arccos(np.clip(cosine, -1, 1))

    return quad(light, 0, core + ring, points=[abs(core - ring)], epsabs=1e-11, limit=400)[0]


def auc(scores, labels, weights=None):
    """Share of (positive, negative) pairs in which the positive scores higher, ties counting one half."""
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels, dtype=bool)
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=float)
    higher = np.sign(scores[labels][:, None] - scores[~labels]) / 2 + 0.5
    pairs = weights[labels][:, None] * weights[~labels]
    return np.sum(pairs * higher) / np.sum(pairs)


def on_threads(function, arrays, threads=2, parts=4):
    """Call `function` on parts of arrays that share their first axis, at once, and join what comes back."""
    pieces = zip(*(np.array_split(array, parts) for array in arrays), strict=True)
    with ThreadPoolExecutor(threads) as pool:
        return np.concatenate(list(pool.map(lambda piece: function(*piece), pieces)))


def turn(image, element):
    """Turn the last two axes by an element of the square's symmetry group: flip x, flip y, then swap them."""
    image = image[..., ::-1] if element & 1 else image
    image = image[..., ::-1, :] if element & 2 else image
    return np.swapaxes(image, -1, -2) if element & 4 else image
