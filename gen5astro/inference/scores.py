"""The table of scores: a row an image, written as it comes, and what is said of all of them."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gen5astro.training.score import probability

__all__ = ["KEPT", "Tally", "write_scores"]

KEPT = ("ra", "dec", "pair_id", "host_id", "brickname", "name")
"""Columns of the catalog that the table has as well, where there are such."""

ROW_GROUP = 1 << 16
"""Rows of a row group."""

_BINS = 100_000
_NOTES = {
    "row": "row of the input, from 0",
    "ra": "right ascension, ICRS [deg]",
    "dec": "declination, ICRS [deg]",
    "score": "sigmoid of the logit; a probability only at the share of lenses of the training",
    "logit": "what the network gives; higher means more probably a lens",
}


class Tally:
    """What is said of scores that were seen one after another, in memory that does not grow with their number.

    Parameters
    ----------
    thresholds : sequence of float
        Scores above which to count.

    Attributes
    ----------
    above : dict of str to int
        How many scores lie above each threshold.
    """

    def __init__(self, thresholds):
        self._thresholds = tuple(thresholds)
        self._bins = np.zeros(_BINS + 1, np.int64)
        self.above = {f"{each:g}": 0 for each in self._thresholds}

    def add(self, scores):
        """Count some.

        Parameters
        ----------
        scores : float64 array, (n,)
            From 0 to 1.
        """
        self._bins += np.bincount(np.floor(scores * _BINS).astype(np.int64), minlength=_BINS + 1)
        for name, threshold in zip(self.above, self._thresholds, strict=True):
            self.above[name] += int(np.count_nonzero(scores > threshold))

    def quantiles(self, shares):
        """Return the scores that shares of all lie at or below, rounded down to five digits.

        Parameters
        ----------
        shares : sequence of float
            From 0 to 1.

        Returns
        -------
        quantiles : dict of str to float
            By share.
        """
        running = np.cumsum(self._bins)
        ranks = [max(1, int(np.ceil(share * running[-1]))) for share in shares]
        return {
            f"{share:g}": int(np.searchsorted(running, rank)) / _BINS for share, rank in zip(shares, ranks, strict=True)
        }


def write_scores(records, path, *, metadata, tally):
    """Write the table, row group by row group; the file appears under its name once it is whole.

    Parameters
    ----------
    records : iterable of dict of array
        ``row``, ``logit`` and ``column_<name>`` of some images each, in order.
    path : path-like
        Where to; replaced whole if it is there.
    metadata : dict of str to str
        Metadata of the file.
    tally : Tally
        What counts the scores.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part") / "scores.parquet"
    writer, waiting, count = None, [], 0
    try:
        for record in records:
            columns = _columns(record)
            tally.add(columns["score"])
            if writer is None:
                schema = _schema(columns, metadata)
                writer = pq.ParquetWriter(part, schema, compression="zstd")
            waiting.append(pa.table({name: pa.array(values) for name, values in columns.items()}, schema=schema))
            count += len(columns["row"])
            if count >= ROW_GROUP:
                # Whole row groups only: where they end must not depend on how the rows came.
                table = pa.concat_tables(waiting)
                whole = count - count % ROW_GROUP
                writer.write_table(table.slice(0, whole), row_group_size=ROW_GROUP)
                waiting, count = [table.slice(whole)], count - whole
        if count:
            writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP)
    finally:
        if writer is not None:
            writer.close()
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _columns(record):
    kept = {name: record[f"column_{name}"] for name in KEPT if f"column_{name}" in record}
    return {"row": record["row"], **kept, "score": probability(record["logit"]), "logit": record["logit"]}


def _schema(columns, metadata):
    kinds = {"U": pa.string(), "i": pa.int64(), "f": pa.float64()}
    fields = [
        pa.field(name, kinds[values.dtype.kind], metadata={"description": _NOTES[name]} if name in _NOTES else None)
        for name, values in columns.items()
    ]
    return pa.schema(fields, metadata)
