"""How batches reach the network: read ahead from disk or host memory, or put together on the device.

========= ==========================================================================================================
memory    where the images lie during the run
========= ==========================================================================================================
mapped    in the cube's file; the system keeps in memory what fits
host      in this process's memory, read once
device    in the device's memory, read once; batches are normalized and turned there
========= ==========================================================================================================

``auto`` takes the device where it is a GPU with room for twice the images, else the host where that has the room and a
GPU is waiting, else the map.
"""

import math
import os
import threading
import time
import weakref
from dataclasses import dataclass

import numpy as np
import torch

from gen5astro.engine import default_threads, map_blocks
from gen5astro.errors import ConfigError, FormatError
from gen5astro.training.augment import stretch

__all__ = ["READERS", "Batch", "DeviceFeed", "Feed", "choose_memory", "make_feed"]

READERS = 3
"""Threads that read batches, at most, of which the one that trains is one: it reads where it would else wait."""


@dataclass(frozen=True)
class Batch:
    """A batch on the device.

    Parameters
    ----------
    images : torch.Tensor, (n, channels, y, x)
        Normalized and turned.
    label, draw, row : torch.Tensor, (n,)
        Of the plan.
    weight : torch.Tensor, (n,)
        Weight in the loss.
    """

    images: torch.Tensor
    label: torch.Tensor
    draw: torch.Tensor
    row: torch.Tensor
    weight: torch.Tensor


def choose_memory(asked, reader, device, *, processes=1):
    """Choose where the images of a run lie.

    Parameters
    ----------
    asked : str
        ``train.memory``.
    reader : PairReader
        Reads the images.
    device : torch.device
        Where the network is.
    processes : int
        Processes on this machine, each with a copy of what it holds.

    Returns
    -------
    memory : {'mapped', 'host', 'device'}
        The choice.
    why : str
        A sentence for the user.

    Raises
    ------
    ConfigError
        If the images do not fit where they were asked to lie.
    """
    size = sum(images.nbytes for each in reader.stored for images in each)
    # Noise and images that are not of the cube come from the host.
    is_gpu = device.type == "cuda" and reader.view.name != "residual" and reader.extras is None
    if asked == "device" and (reader.view.name == "residual" or reader.extras is not None):
        expected = "mapped or host: a view of residuals, and extra negatives, are made on the host"
        raise ConfigError("train.memory", got="device", expected=expected, remedy="use --set memory=auto")
    on_device = torch.cuda.mem_get_info(device)[0] if is_gpu else _available_memory()
    rooms = {"device": on_device / 2, "host": _available_memory() / 2 / processes, "mapped": np.inf}
    if asked == "auto":
        asked = next((name for name in ("device", "host") if is_gpu and size <= rooms[name]), "mapped")
    if size > rooms[asked]:
        got = f"{asked}, where {2 * rooms[asked] / 1e9:.1f} GB are free"
        expected = f"room for twice the {size / 1e9:.1f} GB of images"
        raise ConfigError("train.memory", got=got, expected=expected, remedy="use --set memory=mapped")
    where = {"device": f"in the memory of {device}", "host": "in memory", "mapped": "mapped from the disk"}
    return asked, f"{size / 1e9:.2f} GB of images, {where[asked]}"


def _available_memory():
    """Free memory of the host [byte]."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def make_feed(reader, memory, device):
    """Make the feed of a run.

    Parameters
    ----------
    reader : PairReader
        Reads the cube as the network sees it.
    memory : str
        From `choose_memory`.
    device : torch.device
        Where the network is.

    Returns
    -------
    feed : Feed
        Of that kind.
    """
    if memory == "device":
        return DeviceFeed(reader, device)
    if memory == "host":
        reader = reader.resident()
    return Feed(reader, device)


class Feed:
    """Reads batches ahead, on threads, and hands them to the device.

    Parameters
    ----------
    reader : PairReader
        Reads the cube as the network sees it.
    device : torch.device
        Where the network is.

    Attributes
    ----------
    waited : float
        Seconds in which the network had nothing to do.
    threads : int
        Threads that read.
    """

    def __init__(self, reader, device):
        self.reader, self.device, self.waited = reader, device, 0.0
        self.threads = min(READERS, default_threads())
        self._spare = {}

    def batches(self, plans):
        """Read batches in order.

        Parameters
        ----------
        plans : iterable of BatchPlan
            What they show.

        Yields
        ------
        batch : Batch
            On the device.
        """
        inputs = map_blocks(self._read, plans, threads=self.threads, helping=True)
        while True:
            begin = time.perf_counter()
            plan, images = next(inputs, (None, None))
            if plan is None:
                return
            batch = self._batch(images, plan)
            self.waited += time.perf_counter() - begin
            yield batch
            # What the network is done with has the next batch read into it.
            del batch, images

    def _read(self, plan):
        images = self._room(len(plan))
        self.reader.read_plan(plan, out=images.numpy())
        return plan, images

    def _room(self, n):
        """Memory for the images of a batch: that of an earlier one, as soon as nothing holds its tensor.

        The system hands out fresh memory page by page, each cleared first, which took a quarter of the loader's time.
        Pinned memory torch itself hands out again.
        """
        shape = (n, self.reader.channels, *self.reader.shape)
        if self.device.type != "cpu":
            return torch.empty(shape, pin_memory=self.device.type == "cuda")
        # Each thread, of whichever epoch, has its own: to write over what another core wrote can take a sixth more.
        spare = self._spare.setdefault(threading.current_thread().name, [])
        room = spare.pop() if spare else None
        if room is None or len(room) < math.prod(shape):
            # Of torch, which lets it begin where a vector of the processor may; numpy's costs the kernel a sixth more.
            room = torch.empty(math.prod(shape)).numpy()
        images = room[: math.prod(shape)].reshape(shape)
        # The tensor holds this very array for as long as anything holds its pixels.
        weakref.finalize(images, spare.append, room)
        return torch.from_numpy(images)

    def _batch(self, images, plan):
        columns = {name: getattr(plan, name) for name in ("label", "draw", "row", "weight")}
        tensors = {name: self._put(torch.from_numpy(each)) for name, each in columns.items()}
        return Batch(self._put(images), **tensors)

    def _put(self, tensor):
        return tensor.to(self.device, non_blocking=True)


class DeviceFeed(Feed):
    """Holds all images on the device, as they are stored, and normalizes and turns them there.

    Parameters
    ----------
    reader : PairReader
        Of the cube; its images are read once.
    device : torch.device
        Where the network is.

    Raises
    ------
    FormatError
        If a pixel is not finite.
    """

    def __init__(self, reader, device):
        super().__init__(reader, device)
        self._stored, self._statistics, self._step = [], [], None
        for images, statistics in zip(reader.stored, reader.statistics, strict=True):
            held = torch.cat([torch.from_numpy(np.array(each)).to(device) for each in images])
            self._stored.append(held)
            self._statistics.append(torch.from_numpy(statistics.astype(np.float32)).to(device))
        if reader.step is not None:
            self._step = torch.from_numpy(reader.step).to(device)
        self._check()

    def batches(self, plans):
        """Put batches together in order.

        Parameters
        ----------
        plans : sequence of BatchPlan
            What they show.

        Yields
        ------
        batch : Batch
            On the device.
        """
        for plan in plans:
            begin = time.perf_counter()
            batch = self._batch(None, plan)
            self.waited += time.perf_counter() - begin
            yield batch

    def _batch(self, images, plan):
        row, label, element = (self._put(torch.from_numpy(getattr(plan, name))) for name in ("row", "label", "element"))
        parts = [self._look(row, label if at == 0 else 1 - label) for at in range(self.reader.view.images)]
        return super()._batch(_turned(torch.cat(parts, dim=1), element), plan)

    def _look(self, row, member):
        """Normalized images of rows, of the stamp where `member` is 1."""
        images = torch.empty((len(row), *self._stored[0].shape[1:]), device=self.device)
        for number in (0, 1):
            chosen = torch.nonzero(member == number)[:, 0]
            at = row[chosen]
            step = None if self._step is None else self._step[at]
            location, scale = self._statistics[number][at].unbind(-1)
            linear = (_decoded(self._stored[number][at], step) - location[..., None, None]) / scale[..., None, None]
            images[chosen] = stretch(linear, self.reader.spec)
        return images

    def _check(self):
        for number, images in enumerate(self._stored):
            for start in range(0, len(images), 1024):
                part = images[start : start + 1024]
                step = None if self._step is None else self._step[start : start + 1024]
                bad = ~torch.isfinite(_decoded(part, step)).all(dim=(1, 2, 3))
                bad |= ~torch.isfinite(self._statistics[number][start : start + 1024]).all(dim=(1, 2))
                if bad.any():
                    got = f"a pixel that is not finite in row {start + int(bad.nonzero()[0])} of the cube"
                    remedy = "reject such rows when building the cube"
                    raise FormatError("training images", got=got, remedy=remedy)


def _decoded(stored, step):
    """Fluxes [nanomaggy] of stored pixels."""
    if step is None:
        return stored.float()
    return torch.where(stored == -32768, torch.nan, stored.float() * step[..., None, None])


def _turned(images, element):
    """Turn each image by its element of the square's symmetry group, as `gen5astro.kernels.gather.gather` does."""
    for bit, axis in ((1, -1), (2, -2)):
        images = torch.where((element & bit).bool()[:, None, None, None], images.flip(axis), images)
    if (element & 4).any():
        images = torch.where((element & 4).bool()[:, None, None, None], images.transpose(-1, -2), images)
    return images
