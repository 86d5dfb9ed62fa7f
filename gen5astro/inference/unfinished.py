"""Scores that are being made: a folder beside the output, which an interrupted run leaves such that the next can go on.

The folder ``SCORES.part`` holds a journal with a record for each block that is done, and a plan that says what is being
scored with what. The table is written of the journal, whether that was made in one go or in many.
"""

import json

from gen5astro.io.journal import Journal
from gen5astro.io.pairs import Reject
from gen5astro.io.resuming import PartFolder, check_plan, part_path

__all__ = ["Unfinished"]


class Unfinished:
    """The folder of a run, opened to write on; a context manager.

    Parameters
    ----------
    out : path-like
        The output.
    plan : dict
        What is being made, in plain types; a run that is taken up again must have the same.
    resume : bool
        Whether to go on where a folder that is there ends.
    force : bool
        Whether to throw away a folder that is there.

    Attributes
    ----------
    done : int
        Rows of the input that are done with, good or bad.
    n_scored : int
        Rows that have a score.
    rejects : list of Reject
        The others.

    Raises
    ------
    ExistsError
        If the folder is there, and neither `resume` nor `force` is given.
    SchemaError
        If the folder is that of another run.
    """

    def __init__(self, out, plan, *, resume=False, force=False):
        self.folder = part_path(out)
        self.done, self.n_scored, self.rejects = 0, 0, []
        planned, text = self.folder / "plan.json", json.dumps(plan, sort_keys=True)
        self._part = PartFolder(self.folder, ("plan.json", "journal", "scores.parquet"))
        try:
            if force and not resume:
                self._part.clear()
            if not planned.exists():
                self._part.clear()
                planned.write_text(text, encoding="utf-8")
            else:
                check_plan(planned, text, resume=resume, name="a run", remedy="go on as it was begun")
        except BaseException:
            self._part.close()
            raise
        self._journal = Journal(self.folder / "journal")
        for record in self._journal:
            self._count(record)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.done:
            self._journal.close()
            self._part.close()
        else:
            self.remove()

    def append(self, record):
        """Add a block.

        Parameters
        ----------
        record : dict of array
            ``stop``, ``row`` of the images that have a score, ``reject_row`` and ``reject_reason``, and whatever else
            the table is made of.
        """
        self._journal.append(record)
        self._count(record)

    def _count(self, record):
        self.done = int(record["stop"])
        self.n_scored += len(record["row"])
        rejects = zip(record["reject_row"].tolist(), record["reject_reason"].tolist(), strict=True)
        self.rejects += [Reject(row, reason) for row, reason in rejects]

    def __iter__(self):
        """Read back the records, in the order of the input."""
        return iter(self._journal)

    def remove(self):
        """Remove the folder."""
        self._journal.close()
        self._part.remove()
