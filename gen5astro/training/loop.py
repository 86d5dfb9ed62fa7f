"""The training loop: flat, resumable to the step, the same on every run with the same seed.

What a step does depends on the seed and the number of the step alone: the plan of an epoch is drawn from (seed, epoch),
augmentation and dropout from (seed, step), the learning rate is a function of the step. So a checkpoint needs no state
of any generator, and a run that was stopped ends where an unbroken one ends. Several processes each take their share
of every batch, and what they sum to is the step that one process would take.
"""

import contextlib
import math
import time
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from gen5astro.config import TrainConfig
from gen5astro.engine import DoneBefore, default_threads
from gen5astro.errors import Gen5Error
from gen5astro.io.hdf5 import Cube
from gen5astro.leakage import sample_hosts
from gen5astro.settings import from_dict, toml_text
from gen5astro.training.augment import augment, check_augment
from gen5astro.training.averaging import AveragedWeights
from gen5astro.training.checkpoint import check_fit, load_checkpoint, save_checkpoint
from gen5astro.training.checks import checked_config, usable_rows
from gen5astro.training.conditions import (
    catch_signals,
    learning_rate,
    make_fabric,
    make_optimizer,
    repeatable,
    step_seed,
)
from gen5astro.training.feed import choose_memory, make_feed
from gen5astro.training.losses import classification_loss, pair_contrast
from gen5astro.training.model import build_model, forward_with_embedding
from gen5astro.training.observing import blur_notes, pair_fwhm
from gen5astro.training.plans import EpochPlans, share_of
from gen5astro.training.processes import gather_rows
from gen5astro.training.reader import PairReader
from gen5astro.training.record import describe_epoch, describe_network, describe_pace, list_seen, summarize_run
from gen5astro.training.run import RunFolder, agreed
from gen5astro.training.score import score_pairs
from gen5astro.training.sync_norm import convert
from gen5astro.training.validate import judge_scores, merit, validation_notes
from gen5astro.training.views import VIEWS, check_view
from gen5astro.training.watch import watch_shortcuts

__all__ = ["TrainingRun"]

_PROGRESS = ("epoch", "batch", "step", "loss_sum", "n_seen", "n_images", "seconds", "waited")
_LOOK = 50
"""Steps between two looks at the loss on a device that computes by itself: each look waits for it."""


class TrainingRun:
    """A run: where it stands, and how it goes on.

    Parameters
    ----------
    cube_path : path-like
        The cube.
    out : path-like
        Folder of the run.
    config : Config
        Its section ``train``; ``normalize`` may be left at its default, else it must be the cube's.
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
    counts : dict of int
        Pairs, and hosts, to train on and to validate on.
    is_first : bool
        Whether this is the process, of several, that writes and speaks.
    warnings : list of str
        What the user should know of the cube.
    notes : list of str
        What the user should know of the run.
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
        self.warnings = check_view(self.view, self.cube.audit, label=f"cube {cube_path}", override_gate=override_gate)
        self.threads = threads or default_threads()
        self.rows = {name: usable_rows(self.cube, name) for name in ("train", "val")}
        if not len(self.rows["val"]):
            self.warnings.append(f"cube {cube_path} has no validation pairs: the last epoch counts as the best")
        self.plans = EpochPlans(self.cube, self.rows["train"], self.config)
        self.counts = {name: len(rows) for name, rows in self.rows.items()}
        self.counts |= {f"{name}_hosts": len(np.unique(self.cube.group[rows])) for name, rows in self.rows.items()}
        self.notes = [*self.plans.notes, *blur_notes(self.cube, self.rows["train"], self.config.augment_fwhm_arcsec)]
        self.notes += validation_notes(self.config.val_false_positive_rate, self.counts["val_hosts"])
        self.reader = PairReader(self.cube, self.view, extras=self.plans.extras)
        self.n_pairs = self.plans.n_pairs
        config_of_model = replace(self.config, pretrained=False) if resume else self.config
        self.model = build_model(config_of_model, self.reader.channels, shape=self.cube.shape)
        check_augment(self.config, spec)
        self.average = None
        self.epoch, self.step, self.history = 0, 0, []
        self._begin_epoch()
        self.fabric = make_fabric(self.config)
        self.is_first = self.fabric.is_global_zero
        self._to_restore = checkpoint
        if checkpoint:
            self.model.load_state_dict(checkpoint["weights"])
            self.history = checkpoint["history"]
            for name, value in checkpoint["progress"].items():
                setattr(self, name, value)
        elif self.is_first:
            self.folder.begin(force=force or resume)
            settings = toml_text(replace(config, train=self.config, normalize=spec), ("train", "normalize"))
            self.folder.write_text(self.folder.config, settings)

    @cached_property
    def seen(self):
        """Hosts and positions of training and validation, from `list_seen`; every checkpoint has them: dict."""
        return list_seen(self.cube.catalog, np.concatenate([self.rows["train"], self.rows["val"]]))

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

    def fit(self, *, advance=None, say=None, note=None):
        """Train to the end, writing a checkpoint after each epoch, every few minutes, and when interrupted.

        Parameters
        ----------
        advance : callable, optional
            Called with the number of pairs shown after each step.
        say : callable, optional
            Called with each line for the user.
        note : callable, optional
            Called with a few words on how the epoch goes, whenever the loss is looked at.

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
        advance, say, note = (each if each and self.is_first else _ignore for each in (advance, say, note))
        for line in (*(f"warning: {each}" for each in self.warnings), *self.notes):
            say(line)
        with self.prepared() as where, catch_signals() as stopped:
            say(where)
            if self.history and self.is_first:
                self.folder.write_history(self.history)
            elif not self.step:
                self._save(best=False)
            if self.epoch == self.config.epochs:
                say("the run had ended: nothing is left to do")
            before, begin = self.plans.pairs_before(self.epoch) + self.n_seen, time.monotonic()
            advance(DoneBefore(before))
            while self.epoch < self.config.epochs and not self._has_settled():
                self._train_epoch(advance, note, stopped)
                if self._stops(stopped):
                    self._save(best=False)
                    say(f"stopped in epoch {self.epoch + 1}; nothing is lost: gen5astro train --resume goes on")
                    raise KeyboardInterrupt
                self._finish_epoch()
                shown = self.plans.pairs_before(self.epoch)
                pace = (time.monotonic() - begin) / (shown - before) if shown > before else 0.0
                seconds_left = pace * (self.n_pairs - shown)
                say(describe_epoch(self.history[-1], self.config.epochs, seconds_left=seconds_left))
            if self._has_settled() and self.epoch < self.config.epochs:
                say(f"stopped early: no better epoch in {self.config.patience}")
        return self.summary()

    @contextlib.contextmanager
    def prepared(self):
        """Compute repeatably, with the network and the images where they shall be, for as long as the context lasts.

        Yields
        ------
        where : str
            A sentence on the device and the images.
        """
        with repeatable(self.threads, deterministic=self.config.deterministic):
            yield self._set_up()

    def _set_up(self):
        """Bring the network to its devices; say where it and the images are."""
        checkpoint, device = self._to_restore, self.fabric.device
        self.network = convert(self.model.to(device), device=device)
        if self.config.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)
        if self.config.ema_decay:
            self.average = AveragedWeights(self.network, decay=self.config.ema_decay)
        network = torch.compile(self.network) if self.config.compile else self.network
        self.module, self.optimizer = self.fabric.setup(network, make_optimizer(self.network, self.config))
        if checkpoint:
            self.optimizer.load_state_dict(checkpoint["optimizer"])
            if self.average:
                self.average.load_state_dict(checkpoint["average"])
        memory, why = choose_memory(self.config.memory, self.reader, device, processes=self.fabric.world_size)
        self.feed = make_feed(self.reader, memory, device)
        # Compiles the kernels, which would else look like a loader that is slow in the first epoch.
        self.feed.reader.read(self.rows["train"][:1], np.ones(1, np.int64))
        self._fwhm = None
        if self.config.augment_fwhm_arcsec:
            widths = torch.from_numpy(pair_fwhm(self.cube)).to(torch.float32)
            # Images that are not of the cube have row -1: the last. A GPU's median is not deterministic.
            self._fwhm = torch.cat([widths, widths.nanmedian(dim=0, keepdim=True).values]).to(device)
        self._saved_at = time.monotonic()
        processes = f"{self.fabric.world_size} x " if self.fabric.world_size > 1 else ""
        return f"training on {processes}{device.type}: {why}"

    def _train_epoch(self, advance, note, stopped):
        """Train from batch `self.batch` of the epoch to its end, or to where a signal stops it."""
        begin, waited = time.monotonic() - self.seconds, self.feed.waited - self.waited
        every = 1 if self.fabric.device.type == "cpu" else _LOOK
        left = self.plans.of(self.epoch)[self.batch :]
        shares = [share_of(plan, self.fabric.global_rank, self.fabric.world_size) for plan in left]
        self.module.train()
        loss_sum = torch.tensor(self.loss_sum, dtype=torch.float64, device=self.fabric.device)
        batches = self.feed.batches([each.plan for each in shares])
        for plan, share, batch in zip(left, shares, batches, strict=True):
            for each in self.optimizer.param_groups:
                each["lr"] = learning_rate(self.step, self.plans.n_steps, self.config)
            loss_sum += self.train_step(share, batch) * plan.n_pairs
            self.batch, self.step = self.batch + 1, self.step + 1
            self.n_seen, self.n_images = self.n_seen + plan.n_pairs, self.n_images + len(plan)
            stops = self._stops(stopped)
            is_due = time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes
            if stops or is_due or self.step % every == 0 or plan is left[-1]:
                self._look(loss_sum)
                self.seconds, self.waited = time.monotonic() - begin, self.feed.waited - waited
                pace = self.n_images / self.seconds, self.waited / self.seconds
                note(describe_pace(*pace, self.loss_sum / self.n_seen))
            if is_due and not stops:
                self._save(best=False)
            advance(plan.n_pairs)
            if stops:
                break

    def train_step(self, share, batch):
        """Take one step.

        Parameters
        ----------
        share : Share
            What of the batch is this process's.
        batch : Batch
            It, on the device.

        Returns
        -------
        loss : torch.Tensor, ()
            That of the whole batch, over all processes.
        """
        seed = step_seed(self.config.seed, self.step)
        torch.manual_seed(seed)
        images = batch.images
        if self.config.augment:
            generator = torch.Generator(self.fabric.device).manual_seed(seed)
            optics = {"pixel_scale": self.cube.pixel_scale, "n_draws": share.n_draws}
            optics["fwhm"] = None if self._fwhm is None else self._fwhm[batch.row]
            how = {"view": self.view, "spec": self.reader.spec, "config": self.config, "generator": generator}
            images = augment(images, batch.draw, **how, **optics)
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        logits, embedding = forward_with_embedding(self.module, images)
        # A mean over processes is what gradients are of.
        loss = share.part * classification_loss(logits[:, 0], batch.label, batch.weight, self.config)
        if self.config.pair_loss != "none":
            contrast = pair_contrast(embedding, batch.label, batch.draw, self.config)
            loss = loss + share.pair_part * self.config.pair_weight * contrast
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        if self.config.clip_norm:
            norm = self.config.clip_norm
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=norm, error_if_nonfinite=False)
        self.optimizer.step()
        if self.average:
            self.average.update(self.network)
        return self.fabric.all_reduce(loss.detach().double(), reduce_op="mean")

    def _look(self, loss_sum):
        """Take note of the loss, and refuse one that is no number."""
        self.loss_sum = loss_sum.item()
        if not math.isfinite(self.loss_sum):
            got = self.loss_sum / self.n_seen
            raise Gen5Error(f"loss by step {self.step}", got=got, remedy="lower train.learning_rate")

    def _stops(self, stopped):
        """Whether a signal has reached any of the processes."""
        if self.fabric.world_size == 1:
            return stopped.is_set()
        mark = torch.tensor(float(stopped.is_set()), device=self.fabric.device)
        return bool(self.fabric.all_reduce(mark, reduce_op="sum"))

    def _has_settled(self):
        """Whether as many epochs as `patience` says have brought nothing better."""
        if not self.config.patience or not self.history:
            return False
        best = max(self.history, key=merit)["epoch"]
        return self.epoch - best >= self.config.patience

    def _finish_epoch(self):
        """Validate, and write metrics and checkpoints."""
        record = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "train_loss": self.loss_sum / self.n_seen,
            **self._validate(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": round(self.seconds, 3),
            "images_per_s": round(self.n_images / self.seconds, 1) if self.seconds else None,
            "loader_share": round(self.waited / self.seconds, 5) if self.seconds else None,
        }
        if self.override_gate:
            record["override_gate"] = self.override_gate
        best = not self.history or merit(record) >= max(map(merit, self.history))
        self.history.append(record)
        self.epoch += 1
        self._begin_epoch()
        self._save(best=best)
        if self.is_first:
            self.folder.write_history(self.history)

    def _validate(self):
        """Judge the network, or the mean of its weights, on the validation pairs, and try it with shortcuts."""
        network = self.average.model if self.average else self.network
        rows = self.rows["val"]
        options = {"batch_size": self.config.batch_size, "device": self.fabric.device}
        rank, n_processes = self.fabric.global_rank, self.fabric.world_size
        own = score_pairs(network, self.reader, rows[rank::n_processes], **options)
        logits, _ = gather_rows(torch.from_numpy(own).to(self.fabric.device))
        group = self.cube.group[rows]
        groups = np.concatenate([group[each::n_processes] for each in range(n_processes)])
        numbers = judge_scores(logits.cpu().numpy(), groups, rate=self.config.val_false_positive_rate)
        # The same pairs in every epoch, and of every host: intervals are as narrow as hosts are many.
        chosen = sample_hosts(group, self.config.watch_pairs, np.random.default_rng(0))
        tried = rows[chosen]
        watch = watch_shortcuts(network, self.reader, self.cube, tried, **options) if len(tried) else []
        return {**numbers, "watch": watch}

    def _save(self, *, best):
        """Write the checkpoint of where the run stands, after that of the best epoch where this was it."""
        self._saved_at = time.monotonic()
        if not self.is_first:
            return
        judged = self.average.model if self.average else self.network
        content = {**describe_network(self), "model": judged.state_dict()}
        if best:
            save_checkpoint(content, self.folder.best)
        standing = {
            "weights": self.network.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "progress": {name: getattr(self, name) for name in _PROGRESS},
        }
        save_checkpoint({**content, **standing}, self.folder.last)

    def summary(self):
        """Return the record of the run.

        Returns
        -------
        summary : dict
            Plain types: settings, cube, every epoch, the best one, warnings, hardware.
        """
        return summarize_run(self)


def _ignore(_thing):
    pass
