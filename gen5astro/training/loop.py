"""The training loop: flat, resumable to the step, the same on every run with the same seed.

What a step does depends on the seed and the number of the step alone: the plan of an epoch is drawn from (seed, epoch),
augmentation and dropout from (seed, step), the learning rate is a function of the step. So a checkpoint needs no state
of any generator, and a run that was stopped ends where an unbroken one ends. Several processes each take their share
of every batch, and what they sum to is the step that one process would take.
"""

import math
import time
from dataclasses import replace

import numpy as np
import torch

from gen5astro import __version__
from gen5astro.config import TrainConfig, as_dict
from gen5astro.engine import default_threads
from gen5astro.errors import Gen5Error
from gen5astro.io.hdf5 import Cube
from gen5astro.settings import from_dict
from gen5astro.training.augment import augment
from gen5astro.training.averaging import WeightAverage
from gen5astro.training.checkpoint import check_fit, describe_cube, load_checkpoint, save_checkpoint
from gen5astro.training.checks import checked_config, seen_places, usable_rows
from gen5astro.training.conditions import catch_signals, learning_rate, make_fabric, repeatable, step_seed
from gen5astro.training.dataset import PairReader
from gen5astro.training.feed import choose_memory, make_feed
from gen5astro.training.losses import classification_loss, pair_contrast
from gen5astro.training.model import build_model, forward_with_embedding
from gen5astro.training.plans import EpochPlans, share_of
from gen5astro.training.record import summarize_run
from gen5astro.training.run import RunFolder, agreed, toml_text
from gen5astro.training.score import score_pairs
from gen5astro.training.sync_norm import convert
from gen5astro.training.validate import judge_scores, merit
from gen5astro.training.views import VIEWS, check_view
from gen5astro.training.watch import watch_shortcuts

__all__ = ["TrainingRun", "train"]

_PROGRESS = ("epoch", "batch", "step", "loss_sum", "n_seen", "n_images", "seconds", "waited")
_LOOK = 50
"""Steps between two looks at the loss: each waits for the device."""


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
    is_first : bool
        Whether this is the process, of several, that writes and speaks.
    warnings : list of str
        What the user should know of the cube.
    """

    def __init__(self, cube_path, out, *, config, resume=False, force=False, override_gate=None, threads=None):
        self.folder, self.cube = RunFolder(out), Cube(cube_path)
        checkpoint = self._checkpoint_to_resume(config) if resume else None
        if checkpoint:
            self.config = from_dict(checkpoint["config"], TrainConfig)
            override_gate = override_gate or checkpoint["override_gate"]
        else:
            self.config = checked_config(config.train, self.cube)
        spec = agreed(config.normalize, self.cube.normalizer_spec, where="normalize", what=f"cube {cube_path}")
        self.override_gate, self.view = override_gate, VIEWS[self.config.view]
        self.warnings = check_view(
            self.view, self.cube.audit, label=f"cube {cube_path}", override_gate=override_gate
        )
        self.threads = threads or default_threads()
        self.rows = {name: usable_rows(self.cube, name) for name in ("train", "val")}
        if not len(self.rows["val"]):
            self.warnings.append(f"cube {cube_path} has no validation pairs: the last epoch counts as the best")
        self.plans = EpochPlans(self.cube, self.rows["train"], self.config)
        self.warnings += self.plans.notes
        self.reader = PairReader(self.cube, self.view, extras=self.plans.extras)
        self.n_pairs = self.plans.n_pairs
        config_of_model = replace(self.config, pretrained=False) if resume else self.config
        self.model = build_model(config_of_model, self.reader.channels, shape=self.cube.shape)
        self.average = WeightAverage(self.model, decay=self.config.ema_decay) if self.config.ema_decay else None
        self.epoch, self.step, self.history = 0, 0, []
        self._begin_epoch()
        self.fabric = make_fabric(self.config)
        self.is_first = self.fabric.is_global_zero
        self._optimizer_state = None
        if checkpoint:
            self._restore(checkpoint)
        elif self.is_first:
            self.folder.begin(force=force or resume)
            settings = toml_text(replace(config, train=self.config, normalize=spec), ("train", "normalize"))
            self.folder.write_text(self.folder.config, settings)

    def _begin_epoch(self):
        self.batch, self.loss_sum, self.n_seen, self.n_images, self.seconds, self.waited = 0, 0.0, 0, 0, 0.0, 0.0

    def _checkpoint_to_resume(self, config):
        """The checkpoint to go on from; None where the run was killed before it had written one."""
        if not self.folder.require_begun():
            return None
        checkpoint = load_checkpoint(self.folder.last)
        check_fit(checkpoint, self.cube, label=str(self.cube.path), same_cube=True)
        stored = from_dict(checkpoint["config"], TrainConfig)
        agreed(config.train, stored, where="train", what=f"run {self.folder.path}")
        return checkpoint

    def _restore(self, checkpoint):
        self.model.load_state_dict(checkpoint["weights"])
        if self.average:
            self.average.load_state_dict(checkpoint["average"])
        self._optimizer_state = checkpoint["optimizer"]
        for name, value in checkpoint["progress"].items():
            setattr(self, name, value)
        self.history = checkpoint["history"]

    def fit(self, *, advance=None, say=None):
        """Train to the end, writing a checkpoint after each epoch, every few minutes, and when interrupted.

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
        advance, say = (each if each and self.is_first else _ignore for each in (advance, say))
        for warning in self.warnings:
            say(f"warning: {warning}")
        with repeatable(self.threads), catch_signals() as stopped:
            say(self._set_up())
            if self.history:
                self._write(self.folder.write_history, self.history)
            elif not self.step:
                self._save(best=False)
            advance(self.plans.pairs_before(self.epoch) + self.n_seen)
            while self.epoch < self.config.epochs and not self._has_settled():
                self._train_epoch(advance, stopped)
                if self._stops(stopped):
                    self._save(best=False)
                    say(f"stopped in epoch {self.epoch + 1}; nothing is lost: the same command with --resume goes on")
                    raise KeyboardInterrupt
                say(self._finish_epoch())
            if self._has_settled():
                say(f"stopped early: no better epoch in {self.config.patience}")
        return self.summary()

    def _set_up(self):
        self.network = convert(self.model)
        if self.config.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)
        matrices = [each for each in self.network.parameters() if each.ndim > 1]
        others = [each for each in self.network.parameters() if each.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": self.config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=self.config.learning_rate,
        )
        network = torch.compile(self.network) if self.config.compile else self.network
        self.module, self.optimizer = self.fabric.setup(network, optimizer)
        if self.average:
            self.average.to(self.fabric.device)
        if self._optimizer_state:
            self.optimizer.load_state_dict(self._optimizer_state)
        memory = choose_memory(self.config, self.reader, self.fabric.device, processes=self.fabric.world_size)
        self.feed = make_feed(self.reader, memory.kind, self.fabric.device)
        self._saved_at = time.monotonic()
        return f"training on {self.fabric.world_size} x {self.fabric.device.type}: {memory.why}"

    def _train_epoch(self, advance, stopped):
        """Train from batch `self.batch` of the epoch to its end, or to where a signal stops it."""
        begin, waited_before, plans = time.monotonic(), self.feed.waited, self.plans.of(self.epoch)
        left = plans[self.batch :]
        shares = [share_of(plan, self.fabric.global_rank, self.fabric.world_size) for plan in left]
        self.module.train()
        loss_sum = torch.tensor(self.loss_sum, dtype=torch.float64, device=self.fabric.device)
        for plan, batch in zip(left, self.feed.batches(shares), strict=True):
            for each in self.optimizer.param_groups:
                each["lr"] = learning_rate(self.step, self.plans.n_steps, self.config)
            loss_sum += self._train_step(plan, batch) * plan.n_pairs
            self.batch, self.step = self.batch + 1, self.step + 1
            self.n_seen, self.n_images = self.n_seen + plan.n_pairs, self.n_images + len(plan)
            last = self._stops(stopped)
            is_due = time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes
            if last or is_due or self.step % _LOOK == 0 or plan is left[-1]:
                self._look(loss_sum)
            if is_due and not last:
                self._save(best=False)
            advance(plan.n_pairs)
            if last:
                break
        self.seconds += time.monotonic() - begin
        self.waited += self.feed.waited - waited_before

    def _train_step(self, plan, batch):
        """Take one step and return its loss, that of the whole batch over all processes."""
        seed = step_seed(self.config.seed, self.step)
        torch.manual_seed(seed)
        images = batch.images
        if self.config.augment:
            generator = torch.Generator(self.fabric.device).manual_seed(seed)
            images = augment(images, batch, plan=plan, reader=self.reader, config=self.config, generator=generator)
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        logits, embedding = forward_with_embedding(self.module, images)
        # The mean over processes, which the gradient is of, is then the mean over the whole batch.
        part = self.fabric.world_size * plan.share_of_weight(batch.weight, len(batch.label))
        loss = part * classification_loss(logits[:, 0].float(), batch.label, batch.weight, self.config)
        if self.config.pair_loss != "none":
            contrast = pair_contrast(embedding.float(), batch.label, batch.draw, self.config)
            loss = loss + self.config.pair_weight * contrast
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        if self.config.clip_norm:
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=self.config.clip_norm)
        self.optimizer.step()
        if self.average:
            self.average.update(self.network, self.step)
        return self.fabric.all_reduce(loss.detach().double(), reduce_op="mean")
