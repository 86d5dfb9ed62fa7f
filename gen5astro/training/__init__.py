"""Training: what a network sees of a cube, how it is built, and the loop that trains it."""

from gen5astro.training.committee import train_committee
from gen5astro.training.loop import TrainingRun
from gen5astro.training.runs import train
from gen5astro.training.speed import measure_speed

__all__ = ["TrainingRun", "measure_speed", "train", "train_committee"]
