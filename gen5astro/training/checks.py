"""What is refused before a run begins: settings that cannot be meant, and cubes that cannot be trained on."""

import math
from dataclasses import replace

import numpy as np

from gen5astro.errors import ConfigError, FormatError
from gen5astro.training.views import VIEWS

__all__ = ["checked_config", "usable_rows"]


def checked_config(config, cube):
    """Return the training section with the channels resolved, refusing numbers that cannot be meant.

    Parameters
    ----------
    config : TrainConfig
        As asked for.
    cube : Cube
        The cube.

    Returns
    -------
    config : TrainConfig
        With `input_channels`.

    Raises
    ------
    ConfigError
        If a setting cannot be meant; names it.
    """
    channels = VIEWS[config.view].channels(cube.bands)
    if config.input_channels not in (None, channels):
        expected = f"{channels}: view {config.view!r} of bands {','.join(cube.bands)}"
        raise ConfigError("train.input_channels", got=config.input_channels, expected=expected, remedy="leave it out")
    for name, is_good, expected in (
        ("epochs", config.epochs >= 1, "1 or more"),
        ("learning_rate", 0 < config.learning_rate < math.inf, "a number above 0"),
        ("warmup_fraction", 0 <= config.warmup_fraction <= 1, "0 to 1"),
        ("augment_dim", 0 < config.augment_dim <= 1, "above 0, and 1 at most"),
        ("augment_shift_px", 0 <= config.augment_shift_px < min(cube.shape), "0 to less than the image's side"),
        ("ema_decay", config.ema_decay < 1, "0 to less than 1"),
        ("val_false_positive_rate", 0 < config.val_false_positive_rate < 1, "between 0 and 1"),
        ("pair_temperature", config.pair_temperature > 0, "above 0"),
        ("checkpoint_minutes", config.checkpoint_minutes > 0, "above 0"),
    ):
        if not is_good:
            raise ConfigError(f"train.{name}", got=getattr(config, name), expected=expected)
    return replace(config, input_channels=channels)


def usable_rows(cube, split):
    """Find the rows of a split.

    Parameters
    ----------
    cube : Cube
        The cube.
    split : str
        Its name.

    Returns
    -------
    rows : int64 array, (n,)
        Rising.

    Raises
    ------
    FormatError
        If there is none to train on.
    """
    rows = np.flatnonzero(cube.split == split)
    if split == "train" and not len(rows):
        raise FormatError(
            f"cube {cube.path}", got="no pair in the training split", expected="some", remedy="build it anew"
        )
    return rows
