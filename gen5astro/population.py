"""Numbers of a population of hosts from numbers of pairs."""

import numpy as np

__all__ = ["Population"]


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
