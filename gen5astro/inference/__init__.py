"""Inference: what a trained network makes of images of the sky, where no image has a ctrl."""

from gen5astro.inference.finder import open_finder
from gen5astro.inference.run import predict

__all__ = ["open_finder", "predict"]
