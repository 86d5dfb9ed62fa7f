"""Shifts between pixels and blurs, as matrices that act along an axis of an image.

An image that is shifted or blurred is ``Y image X^T``, with a matrix for each axis. The matrices also tell what becomes
of white noise: a pixel keeps ``sum_j Y[y, j]^2 * sum_i X[x, i]^2`` of its variance, at the edges as elsewhere.
"""

import math

import torch

__all__ = ["axis_matrix", "blur_taps", "shift_taps"]

_CUBIC = -0.75
"""Keys' parameter, as `torch.nn.functional.grid_sample` has it."""


def shift_taps(offset, reach):
    """Weights of the pixels around that give the value at some distance, by cubic convolution.

    R. Keys 1981, IEEE Trans. ASSP 29, 1153, equation 15 with a = -0.75, as torch interpolates. A whole number of pixels
    picks one pixel.

    Parameters
    ----------
    offset : torch.Tensor, (...)
        Distance [pix], at most ``reach - 2`` in size.
    reach : int
        Farthest pixel [pix].

    Returns
    -------
    taps : torch.Tensor, (..., 2 reach + 1)
        Weights of the pixels from ``-reach`` to ``reach``, of sum 1.
    """
    away = (_steps(reach, offset) - offset[..., None]).abs()
    near = ((_CUBIC + 2) * away - (_CUBIC + 3)) * away**2 + 1
    far = (((away - 5) * away + 8) * away - 4) * _CUBIC
    return torch.where(away <= 1, near, torch.where(away < 2, far, 0.0))


def blur_taps(variance, reach):
    """Weights of the pixels around that blur by a Gaussian: the discrete one, ``exp(-t) I_k(t)``.

    T. Lindeberg 1990, IEEE Trans. PAMI 12, 234, equation 19. Unlike samples of a Gaussian its variance is ``t``
    however narrow it is, so that widths add in quadrature. Made from its Fourier series,
    ``(1 / N) sum_w exp(t (cos w - 1)) cos(w k)``.

    Parameters
    ----------
    variance : torch.Tensor, (...)
        Square of sigma, ``t`` [pix^2]; where it is 0, nothing is blurred.
    reach : int
        Farthest pixel [pix], from 1; five sigma and two more hold all but a millionth.

    Returns
    -------
    taps : torch.Tensor, (..., 2 reach + 1)
        Weights of the pixels from ``-reach`` to ``reach``, of sum 1.
    """
    length, whole = 2 * reach + 1, torch.arange(-reach, reach + 1, device=variance.device)
    # Folded as whole numbers, the angles stay small and exact.
    turns = torch.remainder(whole[:, None] * whole + reach, length) - reach
    cosine = (turns.to(variance.dtype) * (2 * math.pi / length)).cos()
    series = (variance[..., None] * (cosine[:, reach + 1] - 1)).exp()
    taps = series @ cosine / length
    return torch.where(variance[..., None] > 0, taps, (whole == 0).to(variance.dtype))


def axis_matrix(taps, size):
    """Turn weights into a matrix that acts along an axis; beyond the edge the image is mirrored about its last pixel.

    Parameters
    ----------
    taps : torch.Tensor, (..., 2 reach + 1)
        Weights of the pixels from ``-reach`` to ``reach``.
    size : int
        Pixels along the axis.

    Returns
    -------
    matrix : torch.Tensor, (..., size, size)
        Row i makes pixel i; its sum is that of the taps.
    """
    reach = taps.shape[-1] // 2
    at = torch.arange(size, device=taps.device)
    source = _mirrored(torch.arange(-reach, reach + 1, device=taps.device)[:, None] + at, size)
    places = (source[..., None] == at).to(taps.dtype)
    return (taps @ places.flatten(1)).unflatten(-1, (size, size))


def _steps(reach, like):
    return torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)


def _mirrored(at, size):
    """Fold indices that leave 0 to size - 1 back in, as often as it takes."""
    period = max(2 * (size - 1), 1)
    at = torch.remainder(at, period)
    return torch.where(at > size - 1, period - at, at)
