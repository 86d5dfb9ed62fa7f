"""Search for settings that find more lenses: python scripts/sweep_example.py CUBE OUT"""

import dataclasses
import sys

import optuna

from gen5astro.config import Config
from gen5astro.training import train


def objective(trial, cube, out, fixed):
    """Completeness at the validation's false-positive rate, of the best epoch; its AUC where hosts are too few."""
    drawn = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
        "augment_dim": trial.suggest_float("augment_dim", 0.3, 1.0),
        "pair_loss": trial.suggest_categorical("pair_loss", ["none", "margin", "infonce"]),
    }
    settings = dataclasses.replace(Config().train, **fixed, **drawn)
    summary = train(cube, f"{out}/trial-{trial.number}", config=Config(train=settings))
    best = summary["best"]
    return best["val_auc"] if best["val_completeness"] is None else best["val_completeness"]


def search(cube, out, *, n_trials, seed=0, **fixed):
    """Try settings; what is done stays in OUT/study.db, and the same call goes on with it."""
    study = optuna.create_study(
        study_name="gen5astro",
        storage=f"sqlite:///{out}/study.db",
        sampler=optuna.samplers.TPESampler(seed=seed),
        direction="maximize",
        load_if_exists=True,
    )
    study.optimize(lambda trial: objective(trial, cube, out, fixed), n_trials=n_trials)
    return study


if __name__ == "__main__":
    found = search(*sys.argv[1:3], n_trials=20, epochs=5, width=16)
    print(f"{found.best_value:.3f} with {found.best_params}")
