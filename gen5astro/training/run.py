"""The folder of a training run: what lies in it, and how a run begins or goes on there.

=============== ====================================================================================================
config.toml     the settings as resolved; ``gen5astro train CUBE --config RUN/config.toml`` repeats the run
metrics.jsonl   a line an epoch
last.ckpt       where the run stands: ``--resume`` goes on from it
best.ckpt       the network of the epoch with the best validation AUC
metrics.png     the curves
=============== ====================================================================================================
"""

import dataclasses
import json
import os
from pathlib import Path

from gen5astro.config import as_dict
from gen5astro.errors import ConfigError, ExistsError, MissingFileError
from gen5astro.settings import toml_value

__all__ = ["RunFolder", "agreed", "plot_curves", "toml_text"]


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
        self.last = self.path / "last.ckpt"
        self.best = self.path / "best.ckpt"
        self.curves = self.path / "metrics.png"

    def begin(self, *, force=False):
        """Make the folder for a new run; an old run in it is removed where `force` allows it.

        Parameters
        ----------
        force : bool
            Whether an old run may be overwritten.

        Raises
        ------
        ExistsError
            If the folder holds files and `force` is not given, or is no folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ExistsError(f"run {self.path}", got="a file", expected="a folder")
        if self.path.is_dir() and any(self.path.iterdir()) and not force:
            remedy = "go on with --resume, begin anew with --force, or choose another --out"
            raise ExistsError(f"run {self.path}", got="a folder with files", remedy=remedy)
        self.path.mkdir(parents=True, exist_ok=True)
        for old in (self.config, self.metrics, self.last, self.best, self.curves):
            old.unlink(missing_ok=True)

    def require_last(self):
        """Refuse a folder without a run to go on with.

        Raises
        ------
        MissingFileError
            If there is no last checkpoint.
        """
        if not self.last.is_file():
            got = "no last.ckpt in it" if self.path.is_dir() else "no such folder"
            raise MissingFileError(f"run {self.path}", got=got, remedy="begin it without --resume")

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
        """Write the metrics, a JSON line an epoch, and their curves.

        Parameters
        ----------
        history : list of dict
            An epoch each.
        """
        self.write_text(self.metrics, "".join(json.dumps(each, allow_nan=False) + "\n" for each in history))
        plot_curves(history, self.curves)


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


def toml_text(config, sections):
    """Write sections of a config as TOML that `load_config` reads back.

    Parameters
    ----------
    config : Config
        The settings.
    sections : iterable of str
        Names of the sections to write.

    Returns
    -------
    text : str
        TOML; keys whose value is none are left out.
    """
    lines = []
    for section in sections:
        lines.append(f"[{section}]")
        record = as_dict(getattr(config, section))
        lines += [f"{key} = {toml_value(value)}" for key, value in record.items() if value is not None]
        lines.append("")
    return "\n".join(lines)


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
