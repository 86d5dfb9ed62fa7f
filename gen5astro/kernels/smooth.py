"""Separable Gaussian smoothing, for kernels that need it inside their own loops."""

import math

import numpy as np
from numba import njit

__all__ = ["gaussian_kernels", "smooth_image"]


def gaussian_kernels(sigmas):
    """Sample one-sided Gaussian kernels out to three sigma.

    Parameters
    ----------
    sigmas : sequence of float
        Their widths [pix].

    Returns
    -------
    kernels : float64 array, (kernel, offset)
        From offset 0 on, padded with zeros to the widest; with the mirrored side each sums to 1.
    """
    reach = math.ceil(3 * max(sigmas))
    offset = np.arange(reach + 1)
    kernels = np.stack([np.exp(-0.5 * (offset / sigma) ** 2) * (offset <= 3 * sigma) for sigma in sigmas])
    return kernels / (2 * kernels.sum(axis=1) - kernels[:, 0])[:, None]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def smooth_image(image, kernel, out):
    """Convolve with a kernel, rows then columns; beyond its edge the image is mirrored.

    Parameters
    ----------
    image : float array, (y, x)
        What to smooth; larger than the kernel.
    kernel : float64 array, (offset,)
        One-sided, from `gaussian_kernels`.
    out : float64 array, (y, x)
        Filled with the result.
    """
    height, width = image.shape
    reach = len(kernel) - 1
    rows = np.empty((height, width))
    for y in range(height):
        for x in range(width):
            total = kernel[0] * image[y, x]
            for k in range(1, reach + 1):
                before, after = _mirrored(x - k, width), _mirrored(x + k, width)
                total += kernel[k] * (np.float64(image[y, before]) + np.float64(image[y, after]))
            rows[y, x] = total
    for y in range(height):
        for x in range(width):
            out[y, x] = kernel[0] * rows[y, x]
        for k in range(1, reach + 1):
            below, above = _mirrored(y - k, height), _mirrored(y + k, height)
            for x in range(width):
                out[y, x] += kernel[k] * (rows[below, x] + rows[above, x])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _mirrored(at, size):
    at = -1 - at if at < 0 else at
    return 2 * size - 1 - at if at >= size else at
