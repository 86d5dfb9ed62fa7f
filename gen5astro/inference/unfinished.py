"""Scores that are being made: a folder beside the output, which an interrupted run leaves such that the next can go on.

The folder ``SCORES.part`` holds a journal with a record for each block that is done, and a plan that says what is being
scored with what. The table is written of the journal, whether that was made in one go or in many.
"""

import json
import shutil
from pathlib import Path

from gen5astro.errors import ExistsError, SchemaError
from gen5astro.io.journal import Journal
from gen5astro.io.pairs import Reject

__all__ = ["Unfinished", "part_path"]


def part_path(out):
    """Return the folder of what is being made.

    Parameters
    ----------
    out : path-like
        The output.

    Returns
    -------
    folder : Path
        ``scores.parquet.part`` for ``scores.parquet``.
    """
    return Path(out).with_name(Path(out).name + ".part")


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
        if force and not resume:
            shutil.rmtree(self.folder, ignore_errors=True)
        if not planned.exists():
            self.folder.mkdir(exist_ok=True)
            (self.folder / "journal").unlink(missing_ok=True)
            planned.write_text(text, encoding="utf-8")
        elif not resume:
            raise ExistsError(
                f"folder {self.folder}",
                got="a run that was interrupted",
                remedy="pass --resume to go on with it, or --force to begin anew",
            )
        elif planned.read_text(encoding="utf-8") != text:
            raise SchemaError(
                f"folder {self.folder}",
                got="a run on other images, with another network or with other settings",
                expected="the one to resume",
                remedy="go on as it was begun, or pass --force to begin anew",
            )
        self._journal = Journal(self.folder / "journal")
        for record in self._journal:
            self._count(record)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.done:
            self._journal.close()
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
        shutil.rmtree(self.folder, ignore_errors=True)
