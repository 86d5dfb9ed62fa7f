"""A run from beginning to end."""

from gen5astro.training.loop import TrainingRun

__all__ = ["train"]


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
