"""Two processes of one run, started as torchrun would; prints the losses of the first steps as JSON."""

import json
import os
import sys

from gen5astro.config import Config, TrainConfig
from gen5astro.training import TrainingRun


def main(cube, out, settings, n_steps):
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run = TrainingRun(cube, out, config=Config(train=TrainConfig(**json.loads(settings))), threads=1)
    # In single precision, what rounding leaves of a step grows within twenty to what a wrong gradient would look like.
    run.model.double().register_forward_pre_hook(lambda _model, inputs: tuple(each.double() for each in inputs))
    losses, step = [], run.train_step

    def keep(share, batch):
        loss = step(share, batch)
        losses.append(loss.item())
        return loss

    run.train_step = keep
    summary = run.fit()
    if run.is_first:
        numbers = [[each["val_loss"], each["val_auc"], each["val_completeness"]] for each in summary["history"]]
        print(json.dumps({"losses": losses[: int(n_steps)], "val": numbers, "processes": run.fabric.world_size}))


if __name__ == "__main__":
    main(*sys.argv[1:])
