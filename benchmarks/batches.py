"""Random batches of a stored set, as they lie and as a network sees them, against h5py and PyTorch."""

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.comparison import Comparison, Peer
from gen5astro.config import NormalizerSpec
from gen5astro.io.forms import decode, encode
from gen5astro.kernels.gather import gather
from gen5astro.kernels.normalize import MAD_TO_SIGMA, annulus_pixels, normalizer_statistics
from gen5astro.kernels.quantize import lattice_step, sky_scatter, to_lattice

BATCH = 256
STORED = 4096
SPEC = NormalizerSpec(annulus_fraction=(0.0, 2.0))


class Batches(Comparison):
    """Images in a contiguous dataset of an HDF5 file, mapped at its offset as the cube is, in random order."""

    count = 2048

    def setup(self):
        rng = np.random.default_rng(0)
        stored = STORED if self.count == type(self).count else 16
        self.path = self.folder / "set.h5"
        images = rng.normal(0.003, 0.02, (stored, 3, 64, 64)).astype(np.float32)
        with h5py.File(self.path, "w") as file:
            file.create_dataset("images", data=images)
        self.file = h5py.File(self.path, "r")
        self.dataset = self.file["images"]
        offset = self.dataset.id.get_offset()
        self.mapped = np.memmap(self.path, "<f4", "r", offset=offset, shape=self.dataset.shape)
        self.order = [rng.choice(stored, min(BATCH, self.count), replace=False) for _ in range(0, self.count, BATCH)]
        self.out = np.empty((min(BATCH, self.count), 3, 64, 64), np.float32)
        self.images = np.asarray(self.mapped)

    def finish(self):
        self.file.close()

    def batches(self, method):
        """Rows of each batch that a method reads."""
        n = self.part(method)
        return [row[: n - BATCH * at] for at, row in enumerate(self.order[: -(-n // BATCH)])]


class RandomBatches(Batches):
    """The pixels as they are."""

    name = "random batches of 256"
    peers = {
        "time_h5py": Peer("h5py, image by image", 1.7),
        "time_h5py_sorted": Peer("h5py, sorted index", 1.7),
        "time_loader": Peer("torch DataLoader over h5py", 1.7),
    }

    def time_gen5astro(self):
        for row in self.order:
            np.take(self.images, row, axis=0, out=self.out, mode="clip")
        return self.out

    def time_limit(self):
        for start in range(0, self.count, BATCH):
            np.copyto(self.out, self.images[start : start + len(self.out)])

    def time_h5py(self):
        for row in self.order:
            for at, each in enumerate(row):
                self.out[at] = self.dataset[each]
        return self.out

    def time_h5py_sorted(self):
        for row in self.order:
            order = np.argsort(row)
            self.out[order] = self.dataset[row[order]]
        return self.out

    def time_loader(self):
        for batch in DataLoader(_Images(self.dataset), batch_sampler=[row.tolist() for row in self.order]):
            last = batch
        return last.numpy()


class _Images(Dataset):
    """Images of a dataset, one at a time."""

    def __init__(self, images, prepare=torch.from_numpy):
        self._images = images
        self._prepare = prepare

    def __len__(self):
        return len(self._images)

    def __getitem__(self, at):
        return self._prepare(self._images[at])


class TrainingBatches(Batches):
    """Normalized by stored statistics, stretched and turned, as a network sees them."""

    name = "training batches of 256"
    peers = {
        "time_dataset": Peer("torch Dataset, statistics taken of each sample", 35.0, share=0.125, tolerance=3e-3),
        "time_batched": Peer("torch, whole batches, stored statistics", 11.0, share=0.5, tolerance=1e-5),
    }

    def setup(self):
        super().setup()
        self.statistics = normalizer_statistics(self.images, SPEC, 0.262)
        self.elements = [np.random.default_rng(at).integers(0, 8, len(row)) for at, row in enumerate(self.order)]

    def time_gen5astro(self):
        for row, element in zip(self.order, self.elements, strict=True):
            batch = gather(self.images, self.statistics, row, SPEC, element=element)
        return batch

    def time_dataset(self):
        rows = self.batches("time_dataset")
        elements = iter(np.concatenate(self.elements).tolist())
        whole = _Images(self.images, lambda image: turned(normalized(torch.from_numpy(image.copy())), next(elements)))
        for batch in DataLoader(whole, batch_sampler=[row.tolist() for row in rows]):
            last = batch
        return last.numpy()

    def read(self, row):
        """Images of a batch."""
        return torch.from_numpy(np.take(self.images, row, axis=0))

    def time_batched(self):
        for row, element in zip(self.batches("time_batched"), self.elements, strict=False):
            images = self.read(row)
            location, scale = torch.from_numpy(self.statistics[row].astype(np.float32))[..., None, None].unbind(2)
            images = torch.asinh((images - location) / (scale * SPEC.softening))
            batch = turned_batch(images, element[: len(row)])
        return batch.numpy()


class HalfBatches(TrainingBatches):
    """The same of float16, decoded on the way."""

    name = "training batches of 256, float16"
    form = "float16"
    peers = {
        "time_float32": Peer("the same of the decoded float32", 1.0),
        "time_batched": Peer("torch, whole batches, stored statistics", 11.0, share=0.5, tolerance=1e-5),
    }

    def setup(self):
        super().setup()
        self.step = None
        if self.form == "int16":
            sigma = sky_scatter(self.images, annulus_pixels(self.images.shape, (0.75, 1.0)))
            self.step = lattice_step(self.images, self.images, sigma)
            self.images = to_lattice(self.images, self.step, np.arange(len(self.images), dtype=np.uint64))
        self.stored = encode(self.images, self.form, self.step)
        self.images = decode(self.stored, self.step)

    def time_gen5astro(self):
        for row, element in zip(self.order, self.elements, strict=True):
            batch = gather(self.stored, self.statistics, row, SPEC, step=self.step, element=element)
        return batch

    def time_float32(self):
        return super().time_gen5astro()

    def read(self, row):
        """Images of a batch, decoded by PyTorch."""
        images = torch.from_numpy(np.take(self.stored, row, axis=0)).float()
        return images if self.step is None else images * torch.from_numpy(self.step[row])[..., None, None]


class CodeBatches(HalfBatches):
    """The same of int16."""

    name = "training batches of 256, int16"
    form = "int16"


def normalized(image):
    """One sample by its own median and MAD; torch takes the lower of the two middle values."""
    location = image.flatten(1).median(dim=1).values[:, None, None]
    spread = (image - location).abs().flatten(1).median(dim=1).values[:, None, None]
    return torch.asinh((image - location) / (MAD_TO_SIGMA * SPEC.softening * spread))


def turned(image, element):
    """One image, flipped and transposed."""
    image = image.flip(-1) if element & 1 else image
    image = image.flip(-2) if element & 2 else image
    return image.mT if element & 4 else image


def turned_batch(images, element):
    """Each image of a batch, flipped and transposed as its element says."""
    element = torch.from_numpy(element)[:, None, None, None]
    images = torch.where((element & 1).bool(), images.flip(-1), images)
    images = torch.where((element & 2).bool(), images.flip(-2), images)
    return torch.where((element & 4).bool(), images.mT, images)
