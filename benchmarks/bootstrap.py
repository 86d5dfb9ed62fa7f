"""The AUC's bootstrap over hosts against scikit-learn, a draw at a time, and against NumPy sorting once."""

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.comparison import Comparison, Peer
from gen5astro.kernels.rank import bootstrap_auc, draw_groups


class Bootstrap(Comparison):
    """Draws over 25,000 hosts with eight rows each."""

    name = "bootstrap of the AUC"
    unit = "draws"
    count = 1000
    rows = 200_000
    peers = {
        "time_scikit_learn": Peer("scikit-learn roc_auc_score with weights", 300.0, share=0.005),
        "time_numpy": Peer("numpy, sorted once", 8.0, share=0.1),
    }

    def setup(self):
        rng = np.random.default_rng(0)
        rows = self.rows if self.count == Bootstrap.count else 400
        self.labels = rng.integers(0, 2, rows)
        self.scores = rng.normal(0.5 * self.labels)
        self.groups = np.arange(rows) // 8
        self.draws = draw_groups(rows // 8, self.count, rng)

    def time_gen5astro(self):
        return bootstrap_auc(self.scores, self.labels, self.groups, self.draws)[:, 0]

    def time_scikit_learn(self):
        draws = self.draws[: self.part("time_scikit_learn")]
        return np.array([roc_auc_score(self.labels, self.scores, sample_weight=draw[self.groups]) for draw in draws])

    def time_numpy(self):
        order = np.argsort(self.scores)
        groups, positive = self.groups[order], self.labels[order].astype(bool)
        areas = []
        for draw in self.draws[: self.part("time_numpy")]:
            weight = draw[groups].astype(float)
            below = np.cumsum(np.where(positive, 0.0, weight))
            won = np.where(positive, weight, 0.0)
            areas.append(won @ below / (won.sum() * below[-1]))
        return np.array(areas)
