"""The training loop: flat, resumable to the step, the same on every run with the same seed.

What a step does depends on the seed and the number of the step alone: the plan of an epoch is drawn from (seed, epoch),
dropout from (seed, step), the learning rate is a function of the step. So a checkpoint needs no state of any generator,
and a run that was stopped ends where an unbroken one ends.
"""

import math
import platform
import time
from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from gen5astro import __version__
from gen5astro.config import TrainConfig, as_dict
from gen5astro.engine import DoneBefore, default_threads, map_blocks
from gen5astro.errors import ConfigError, FormatError, Gen5Error
from gen5astro.io.hdf5 import Cube
from gen5astro.kernels.rank import auc
from gen5astro.settings import from_dict
from gen5astro.training.augment import augment
from gen5astro.training.checkpoint import check_fit, describe_cube, load_checkpoint, save_checkpoint
from gen5astro.training.conditions import catch_signals, learning_rate, make_fabric, repeatable, step_seed
from gen5astro.training.dataset import PairReader, plan_epoch
from gen5astro.training.model import build_model
from gen5astro.training.run import RunFolder, agreed, toml_text
from gen5astro.training.score import score_pairs
from gen5astro.training.views import VIEWS, check_view

__all__ = ["TrainingRun", "train"]

SCHEMA = "gen5astro-training/1"
_PROGRESS = ("epoch", "batch", "step", "loss_sum", "n_seen", "n_images", "seconds")


def train(
    cube_path, out, *, config, resume=False, force=False, override_gate=None, threads=None, advance=None, say=None
):
    """Train a classifier on the training split of a cube.

    Parameters
    ----------
    cube_path : path-like
        The cube.
    out : path-like
        Folder of the run; see `gen5astro.training.run`.
    config : Config
        Its section ``train``; ``normalize`` may be left at its default, else it must be the cube's.
    resume : bool
        Go on with the run in `out`, with its own settings.
    force : bool
        Overwrite a run that is there.
    override_gate : str, optional
        Reason to train in the paired view although the cube's audit blocks it; recorded in every checkpoint.
    threads : int, optional
        Threads of the network on the CPU; default: all processors.
    advance : callable, optional
        Called with the number of pairs shown after each step.
    say : callable, optional
        Called with each line for the user.

    Returns
    -------
    summary : dict
        The record of the run, schema ``gen5astro-training/1``.

    Raises
    ------
    BlockedError
        If the cube's audit forbids the view.
    KeyboardInterrupt
        If interrupted, after a checkpoint was written.
    """
    run = TrainingRun(
        cube_path, out, config=config, resume=resume, force=force, override_gate=override_gate, threads=threads
    )
    return run.fit(advance=advance, say=say)


class TrainingRun:
    """A run: where it stands, and how it goes on.

    Parameters
    ----------
    cube_path : path-like
        The cube.
    out : path-like
        Folder of the run.
    config : Config
        Settings, as for `train`.
    resume, force : bool
        Go on with, or overwrite, the run that is there.
    override_gate : str, optional
        Reason to train although a gate blocks it.
    threads : int, optional
        Threads of the network on the CPU.

    Attributes
    ----------
    n_pairs : int
        Pairs that the whole run shows.
    warnings : list of str
        What the user should know of the cube.
    """

    def __init__(self, cube_path, out, *, config, resume=False, force=False, override_gate=None, threads=None):
        self.folder = RunFolder(out)
        self.cube = Cube(cube_path)
        checkpoint = self._checkpoint_to_resume(config) if resume else None
        if checkpoint:
            self.config = from_dict(checkpoint["config"], TrainConfig)
            override_gate = override_gate or checkpoint["override_gate"]
        else:
            self.config = _checked_config(config.train, self.cube)
        spec = agreed(config.normalize, self.cube.normalizer_spec, where="normalize", what=f"cube {cube_path}")
        self.override_gate = override_gate
        self.warnings = check_view(
            VIEWS[self.config.view], self.cube.audit, label=f"cube {cube_path}", override_gate=override_gate
        )
        self.threads = threads or default_threads()
        self.reader = PairReader(self.cube, VIEWS[self.config.view])
        self.rows = {name: _usable_rows(self.cube, name) for name in ("train", "val")}
        if not len(self.rows["val"]):
            self.warnings.append(f"cube {cube_path} has no validation pairs: the last epoch counts as the best")
        self.n_pairs = self.config.epochs * len(self.rows["train"])
        config_of_model = replace(self.config, pretrained=False) if resume else self.config
        self.model = build_model(config_of_model, self.reader.channels, shape=self.cube.shape)
        self.epoch, self.step = 0, 0
        self.history = []
        self._begin_epoch()
        self._optimizer_state = None
        if checkpoint:
            self._restore(checkpoint)
        else:
            self.folder.begin(force=force)
            self.folder.write_text(
                self.folder.config,
                toml_text(replace(config, train=self.config, normalize=spec), ("train", "normalize")),
            )

    def _begin_epoch(self):
        self.batch, self.loss_sum, self.n_seen, self.n_images, self.seconds = 0, 0.0, 0, 0, 0.0

    def _checkpoint_to_resume(self, config):
        self.folder.require_last()
        checkpoint = load_checkpoint(self.folder.last)
        check_fit(checkpoint, self.cube, label=str(self.cube.path), same_cube=True)
        agreed(
            config.train, from_dict(checkpoint["config"], TrainConfig), where="train", what=f"run {self.folder.path}"
        )
        return checkpoint

    def _restore(self, checkpoint):
        self.model.load_state_dict(checkpoint["model"])
        self._optimizer_state = checkpoint["optimizer"]
        for name, value in checkpoint["progress"].items():
            setattr(self, name, value)
        self.history = checkpoint["history"]

    def fit(self, *, advance=None, say=None):
        """Train to the end, writing a checkpoint after each epoch and when interrupted.

        Parameters
        ----------
        advance : callable, optional
            Called with the number of pairs shown after each step.
        say : callable, optional
            Called with each line for the user.

        Returns
        -------
        summary : dict
            The record of the run.

        Raises
        ------
        KeyboardInterrupt
            If SIGINT or SIGTERM arrives; a checkpoint is written first.
        Gen5Error
            If the loss is no longer a number.
        """
        advance, say = advance or _ignore, say or _ignore
        for warning in self.warnings:
            say(f"warning: {warning}")
        with repeatable(self.threads), catch_signals() as stopped:
            self._set_up()
            if self.history:
                self.folder.write_history(self.history)
            elif not self.step:
                self._save(best=False)
            advance(DoneBefore(self.epoch * len(self.rows["train"]) + self.n_seen))
            for epoch in range(self.epoch, self.config.epochs):
                begin = time.monotonic()
                self._train_epoch(epoch, advance, stopped)
                self.seconds += time.monotonic() - begin
                if stopped.is_set():
                    self._save(best=False)
                    say(f"stopped in epoch {epoch + 1}; nothing is lost: the same command with --resume goes on")
                    raise KeyboardInterrupt
                say(self._finish_epoch())
        return self.summary()

    def _set_up(self):
        self.fabric = make_fabric(self.config)
        matrices = [each for each in self.model.parameters() if each.ndim > 1]
        others = [each for each in self.model.parameters() if each.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": self.config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=self.config.learning_rate,
        )
        self.network, self.optimizer = self.fabric.setup(self.model, optimizer)
        if self._optimizer_state:
            self.optimizer.load_state_dict(self._optimizer_state)

    def _train_epoch(self, epoch, advance, stopped):
        """Train from batch `self.batch` of an epoch to its end, or to where a signal stops it."""
        rows = self.rows["train"]
        square = self.cube.shape[0] == self.cube.shape[1]
        plans = plan_epoch(rows, self.cube.group[rows], self.config, epoch=epoch, square=square)
        self.network.train()
        read = self.reader.read
        inputs = map_blocks(lambda plan: read(plan.row, plan.label, plan.element), plans[self.batch :], threads=1)
        for plan, images in zip(plans[self.batch :], inputs, strict=True):
            for each in self.optimizer.param_groups:
                each["lr"] = learning_rate(self.step, self.config.epochs * len(plans), self.config)
            self._count(self._train_step(plan, images), plan)
            advance(plan.n_pairs)
            if stopped.is_set():
                break

    def _train_step(self, plan, images):
        """Take one step and return its loss."""
        seed = step_seed(self.config.seed, self.step)
        torch.manual_seed(seed)
        images, label, draw = self.fabric.to_device(tuple(map(torch.from_numpy, (images, plan.label, plan.draw))))
        if self.config.augment:
            generator = torch.Generator(self.fabric.device).manual_seed(seed)
            more = {"view": self.reader.view, "spec": self.reader.spec, "config": self.config, "generator": generator}
            images = augment(images, draw, **more)
        logits = self.network(images)
        loss = binary_cross_entropy_with_logits(logits[:, 0].float(), label.float())
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()
        return loss.item()

    def _count(self, loss, plan):
        if not math.isfinite(loss):
            raise Gen5Error(f"loss of step {self.step + 1}", got=loss, remedy="lower train.learning_rate")
        self.batch += 1
        self.step += 1
        self.loss_sum += loss * plan.n_pairs
        self.n_seen += plan.n_pairs
        self.n_images += len(plan)

    def _finish_epoch(self):
        """Validate, write metrics and checkpoints, and return a line about the epoch."""
        record = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "train_loss": self.loss_sum / self.n_seen,
            **self._validate(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": round(self.seconds, 3),
            "images_per_s": round(self.n_images / self.seconds, 1) if self.seconds else None,
        }
        best = not self.history or _merit(record) >= max(map(_merit, self.history))
        self.history.append(record)
        self.epoch += 1
        self._begin_epoch()
        self._save(best=best)
        self.folder.write_history(self.history)
        loss, area = record["val_loss"], record["val_auc"]
        validation = f", validation loss {loss:.4f}" if loss is not None else ""
        validation += f", AUC {area:.3f}" if area is not None else ""
        return f"epoch {self.epoch} of {self.config.epochs}: loss {record['train_loss']:.4f}{validation}"

    def _validate(self):
        rows = self.rows["val"]
        if not len(rows):
            return {"val_loss": None, "val_auc": None}
        scores = score_pairs(
            self.network, self.reader, rows, batch_size=self.config.batch_size, device=self.fabric.device
        )
        labels = np.tile([1, 0], (len(rows), 1))
        loss = binary_cross_entropy_with_logits(torch.from_numpy(scores), torch.from_numpy(labels).double())
        return {"val_loss": loss.item(), "val_auc": auc(scores.ravel(), labels.ravel())}

    def _save(self, *, best):
        train_rows = np.concatenate([self.rows["train"], self.rows["val"]])
        content = {
            "code_version": __version__,
            "config": as_dict(self.config),
            "cube": describe_cube(self.cube),
            "audit_status": (self.cube.audit or {}).get("status"),
            "deployable": VIEWS[self.config.view].deployable,
            "override_gate": self.override_gate,
            "warnings": self.warnings,
            "seen": _places(self.cube.catalog, train_rows),
            "history": self.history,
            "model": self.model.state_dict(),
        }
        if best:
            save_checkpoint(content, self.folder.best)
        progress = {name: getattr(self, name) for name in _PROGRESS}
        save_checkpoint({**content, "progress": progress, "optimizer": self.optimizer.state_dict()}, self.folder.last)

    def summary(self):
        """Return the record of the run.

        Returns
        -------
        summary : dict
            Plain types: settings, cube, every epoch, the best one, warnings, hardware.
        """
        best = max(self.history, key=_merit) if self.history else None
        return {
            "schema": SCHEMA,
            "run": str(self.folder.path),
            "cube": {"path": str(self.cube.path), **describe_cube(self.cube)},
            "audit_status": (self.cube.audit or {}).get("status"),
            "config": as_dict(self.config),
            "counts": {name: len(rows) for name, rows in self.rows.items()},
            "history": self.history,
            "best": best,
            "warnings": self.warnings,
            "override_gate": self.override_gate,
            "seeds": {"train": self.config.seed, "split": self.cube.config.build.split_seed},
            "provenance": {
                "code_version": __version__,
                "torch": torch.__version__,
                "device": str(self.fabric.device) if hasattr(self, "fabric") else None,
                "machine": platform.machine(),
                "threads": self.threads,
                "parameters": sum(each.numel() for each in self.model.parameters()),
            },
        }


def _checked_config(config, cube):
    """Return the training section with the channels resolved, refusing numbers that cannot be meant."""
    channels = VIEWS[config.view].channels(cube.bands)
    if config.input_channels not in (None, channels):
        expected = f"{channels}: view {config.view!r} of bands {','.join(cube.bands)}"
        raise ConfigError("train.input_channels", got=config.input_channels, expected=expected, remedy="leave it out")
    if config.epochs < 1:
        raise ConfigError("train.epochs", got=config.epochs, expected="1 or more")
    if not 0 < config.learning_rate < math.inf:
        raise ConfigError("train.learning_rate", got=config.learning_rate, expected="a number above 0")
    if not 0 <= config.warmup_fraction <= 1:
        raise ConfigError("train.warmup_fraction", got=config.warmup_fraction, expected="0 to 1")
    if not 0 < config.augment_dim <= 1:
        raise ConfigError("train.augment_dim", got=config.augment_dim, expected="above 0, and 1 at most")
    if not 0 <= config.augment_shift_px < min(cube.shape):
        raise ConfigError(
            "train.augment_shift_px", got=config.augment_shift_px, expected="0 to less than the image's side"
        )
    return replace(config, input_channels=channels)


def _usable_rows(cube, split):
    rows = np.flatnonzero(cube.split == split)
    if split == "train" and not len(rows):
        raise FormatError(
            f"cube {cube.path}", got="no pair in the training split", expected="some", remedy="build it anew"
        )
    return rows


def _places(catalog, rows):
    """Return host and position of each object of some rows, once each."""
    objects = np.unique(np.rec.fromarrays([catalog[name][rows] for name in ("host_id", "ra", "dec")]))
    host_id, ra, dec = (objects[name] for name in objects.dtype.names)
    return {
        "host_id": host_id.tolist(),
        "ra": torch.from_numpy(np.array(ra, np.float64)),
        "dec": torch.from_numpy(np.array(dec, np.float64)),
    }


def _merit(record):
    """Rank an epoch: by validation AUC, then by validation loss, then the later one."""
    if record["val_auc"] is None:
        return 0.0, 0.0, record["epoch"]
    return record["val_auc"], -record["val_loss"], record["epoch"]


def _ignore(_thing):
    pass
