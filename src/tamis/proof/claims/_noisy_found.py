"""What models trained on noisy labels got wrong, gathered by data set, number of pictures, shape and share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tamis.proof.claims._batched import Trained
from tamis.proof.claims._means import Mean, over_seeds_and_items
from tamis.proof.claims._noise import Array

HALF = 0.5


class Found:
    """The trained models by (data, n, shape, share): wrongness (seeds, 2, test items), in the order of seeds."""

    def __init__(self, trained: Sequence[Trained]) -> None:
        gathered: dict[tuple[str, int, str, float], dict[int, tuple[Array, Array, float]]] = {}
        for one in trained:
            for place, (shape, share, seed) in enumerate(one.job.models):
                key = (one.job.data, one.job.n, shape, share)
                gathered.setdefault(key, {})[seed] = (one.wrong[place], one.curve[place], float(one.kept[place]))
        self.keys = sorted(gathered)
        self.steps = {one.job.data: one.job.steps for one in trained}
        self._wrong = {key: np.stack([by[seed][0] for seed in sorted(by)]) for key, by in gathered.items()}
        self.kept = {key: float(np.mean([each[2] for each in by.values()])) for key, by in gathered.items()}
        self.lowest = {key: float(np.mean([each[1].min() for each in by.values()])) for key, by in gathered.items()}

    def error(self, data: str, n: int, shape: str, share: float, last: bool = False) -> Mean:
        return over_seeds_and_items(self._wrong[data, n, shape, share][:, int(last)].astype(np.float64))

    def excess(self, data: str, n: int, shape: str, share: float, last: bool = False, level: float = 0.95) -> Mean:
        """Above clean labels, of the same seeds on the same test items."""
        by = self._wrong[data, n, shape, share], self._wrong[data, n, "clean", 0.0]
        noisy, clean = (one[:, int(last)].astype(np.float64) for one in by)
        return over_seeds_and_items(noisy - clean, level)

    def shares(self, data: str, n: int, shape: str) -> list[float]:
        return [0.0, *(share for d, m, s, share in self.keys if (d, m, s) == (data, n, shape))]
