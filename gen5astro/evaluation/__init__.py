"""Evaluation: what a trained network finds on hosts that it never saw, and on real candidates."""

from gen5astro.evaluation.judge import evaluate

__all__ = ["evaluate"]
