"""Training: what a network sees of a cube, how it is built, and the loop that trains it."""

from gen5astro.training.loop import TrainingRun, train

__all__ = ["TrainingRun", "train"]
