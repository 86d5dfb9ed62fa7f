"""The folder of a training run: what lies in it, and how a run begins or goes on there.

=============== ====================================================================================================
config.toml     the settings as resolved; ``gen5astro train CUBE --config RUN/config.toml`` repeats the run
metrics.jsonl   a line an epoch
metrics.csv     the same, numbers alone
tensorboard     the same, where TensorBoard is installed
metrics.png     the curves
last.ckpt       where the run stands: ``--resume`` goes on from it
best.ckpt       the network of the best epoch (`gen5astro.training.validate.merit`)
training.html   the page of a run that has ended, and ``training.json`` its record
=============== ====================================================================================================
"""

import csv
import dataclasses
import importlib.util
import io
import json
import os
import shutil
from pathlib import Path

from gen5astro.errors import ConfigError, ExistsError, MissingFileError

__all__ = ["RunFolder", "agreed", "flattened", "plot_curves"]


class RunFolder:
    """Names of the files of a run.

    Parameters
    ----------
    path : path-like
        The folder.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.metrics = self.path / "metrics.jsonl"
        self.table = self.path / "metrics.csv"
        self.events = self.path / "tensorboard"
        self.last = self.path / "last.ckpt"
        self.best = self.path / "best.ckpt"
        self.curves = self.path / "metrics.png"
        self.page = self.path / "training.html"
        self.record = self.path / "training.json"

    @property
    def members(self):
        """Folders of the runs of a committee, if it is that of one, by name: list of RunFolder."""
        return [RunFolder(each.parent) for each in sorted(self.path.glob("seed-*/config.toml"))]

    def begin(self, *, force=False):
        """Make the folder for a new run; an old run in it is removed where `force` allows it.

        Parameters
        ----------
        force : bool
            Whether an old run may be overwritten.

        Raises
        ------
        ExistsError
            If the folder holds files and `force` is not given, is that of a committee, or is no folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ExistsError(f"run {self.path}", got="a file", expected="a folder")
        if not force:
            self.require_empty("run")
        self.refuse_committee()
        self.path.mkdir(parents=True, exist_ok=True)
        self.remove()

    def remove(self):
        """Remove the files of a run, and no other."""
        old_run = (self.config, self.metrics, self.table, self.last, self.best, self.curves, self.page, self.record)
        for old in old_run:
            old.unlink(missing_ok=True)
        shutil.rmtree(self.events, ignore_errors=True)

    def refuse_committee(self):
        """Refuse the folder of a committee, for one run.

        Raises
        ------
        ExistsError
            If it is one.
        """
        if self.members:
            remedy = f"give --seeds {len(self.members)} as well, or choose another --out"
            raise ExistsError(f"run {self.path}", got="the folder of a committee", remedy=remedy)

    def require_empty(self, what):
        """Refuse a folder with files in it.

        Parameters
        ----------
        what : str
            What was to be made there.

        Raises
        ------
        ExistsError
            If there is a file.
        """
        if self.path.is_dir() and any(self.path.iterdir()):
            remedy = "go on with --resume, begin anew with --force, or choose another --out"
            raise ExistsError(f"{what} {self.path}", got="a folder with files", remedy=remedy)

    def require_begun(self):
        """Refuse a folder without a run to go on with.

        Returns
        -------
        has_checkpoint : bool
            False where the run was killed before it had written its first.

        Raises
        ------
        MissingFileError
            If no run was begun there.
        ExistsError
            If it is the folder of a committee.
        """
        self.refuse_committee()
        if not self.config.is_file():
            got = "no config.toml in it" if self.path.is_dir() else "no such folder"
            raise MissingFileError(f"run {self.path}", got=got, remedy="begin it without --resume")
        return self.last.is_file()

    def write_text(self, path, text):
        """Write a text file of the run, whole or not at all.

        Parameters
        ----------
        path : path-like
            One of the run's files.
        text : str
            What to write.
        """
        part = path.with_name(path.name + ".part")
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def write_history(self, history):
        """Write the metrics: JSON lines, a table, curves, and what TensorBoard shows where it is installed.

        Parameters
        ----------
        history : list of dict
            An epoch each.
        """
        self.write_text(self.metrics, "".join(json.dumps(each, allow_nan=False) + "\n" for each in history))
        numbers = [flattened(each) for each in history]
        columns = list(dict.fromkeys(name for row in numbers for name in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(numbers)
        self.write_text(self.table, table.getvalue())
        plot_curves(history, self.curves)
        if importlib.util.find_spec("tensorboard") is not None:
            self._write_events(numbers)

    def _write_events(self, numbers):
        """Write the scalars of all epochs anew, so that a run that was resumed shows none twice."""
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(self.events, ignore_errors=True)
        with SummaryWriter(self.events) as writer:
            for row in numbers:
                for name, value in row.items():
                    if isinstance(value, (int, float)) and name not in ("epoch", "step"):
                        writer.add_scalar(name, value, row["step"])


def flattened(record):
    """Take the numbers of an epoch's record, those of the shortcut watch under names of their own.

    Parameters
    ----------
    record : dict
        Of the epoch.

    Returns
    -------
    numbers : dict of float or None
        By name.
    """
    numbers = {name: value for name, value in record.items() if name != "watch"}
    return numbers | {f"watch {each['name']}": each["share"] for each in record.get("watch", ())}


def agreed(asked, stored, *, where, what):
    """Return the stored settings if nothing that was asked for contradicts them.

    A setting that has its default counts as not asked for.

    Parameters
    ----------
    asked, stored : dataclass instance
        The same section of a config.
    where : str
        Name of the section.
    what : str
        What the stored settings belong to.

    Returns
    -------
    stored : dataclass instance
        As it came.

    Raises
    ------
    ConfigError
        If a setting differs from both.
    """
    default = type(asked)()
    for each in dataclasses.fields(asked):
        wanted, kept = getattr(asked, each.name), getattr(stored, each.name)
        if wanted not in (kept, getattr(default, each.name)):
            raise ConfigError(
                f"{where}.{each.name} = {wanted}",
                got=f"{kept} in {what}",
                expected="the same, or nothing said",
                remedy="leave it out",
            )
    return stored


def plot_curves(history, path):
    """Plot loss and validation AUC against the epoch.

    Parameters
    ----------
    history : list of dict
        An epoch each.
    path : path-like
        PNG file to make or replace.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    epochs = [each["epoch"] for each in history]
    left, right = figure.subplots(1, 2)
    for name, label in (("train_loss", "training"), ("val_loss", "validation")):
        left.plot(epochs, [_number(each[name]) for each in history], marker="o", ms=3, label=label)
    right.plot(epochs, [_number(each["val_auc"]) for each in history], marker="o", ms=3, label="validation")
    left.set(xlabel="epoch", ylabel="loss (binary cross-entropy)")
    right.set(xlabel="epoch", ylabel="AUC", ylim=(0.45, 1.01))
    left.legend()
    right.legend()
    figure.savefig(path, dpi=120)


def _number(value):
    return float("nan") if value is None else value
