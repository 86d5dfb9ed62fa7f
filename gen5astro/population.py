"""Numbers of a population of hosts from numbers of pairs."""

import numpy as np

__all__ = ["Population", "mean_place"]

_FAR_RADII = 2.0


class Population:
    """The median over hosts of each host's median; many pairs of one host count as one.

    Parameters
    ----------
    group : int array, (n,)
        Host of each pair, numbered from 0.
    """

    def __init__(self, group):
        self._group = group
        self._count = np.bincount(group)
        order = np.argsort(group, kind="stable")
        first = np.cumsum(self._count) - self._count
        self._place = np.empty(len(order), dtype=np.intp)
        self._place[order] = np.arange(len(order)) - first[group[order]]

    def __call__(self, values):
        """Median over hosts of the hosts' medians, and its standard error.

        Parameters
        ----------
        values : float array, (n, band)
            One number a pair and band.

        Returns
        -------
        value, error : float64 array, (band,)
            Error from the scatter between hosts (of a median: sqrt(pi / 2) times that of a mean).
        """
        hosts = self._host_medians(values)
        value = np.median(hosts, axis=0)
        scatter = 1.4826 * np.median(np.abs(hosts - value), axis=0)
        return value, np.sqrt(np.pi / 2) * scatter / np.sqrt(len(hosts))

    def _host_medians(self, values):
        """Median of each host's pairs, (host, band): all hosts at once, padded to the longest with infinity."""
        padded = np.full((len(self._count), self._count.max(), values.shape[1]), np.inf)
        padded[self._group, self._place] = values
        padded.sort(axis=1)
        host = np.arange(len(self._count))
        return 0.5 * (padded[host, (self._count - 1) // 2] + padded[host, self._count // 2])


def mean_place(place, radius, group):
    """Average where the arcs of many lenses are; sources lie on all sides, so that of centered arcs it is the lens.

    Parameters
    ----------
    place : float array, (n, band)
        Where along one axis the light of each arc is centered, from the lens [pix].
    radius : float array, (n,)
        Einstein radius [pix]; an arc's place scatters with it, so its inverse square is the arc's weight.
    group : int array, (n,)
        Host of each pair, numbered from 0.

    Returns
    -------
    mean, error : float64 array, (band,)
        Mean [pix], and its error from the scatter between hosts. Places that are not finite, or farther out than an
        image of a lensed source can be, do not count; NaN where none does.
    """
    weight = np.broadcast_to(1 / np.asarray(radius, dtype=np.float64)[:, None] ** 2, place.shape)
    far = np.abs(place) * np.sqrt(weight) > _FAR_RADII
    weight = np.where(far | ~np.isfinite(place), 0.0, weight)
    sums, weights = (
        np.stack([np.bincount(group, band) for band in each.T], axis=1)
        for each in (weight * np.nan_to_num(place), weight)
    )
    total = weights.sum(axis=0)
    total[total == 0] = np.nan
    mean = sums.sum(axis=0) / total
    return mean, np.sqrt(((sums - mean * weights) ** 2).sum(axis=0)) / total
