"""Wrong labels in four shapes. A share p of wrong labels: exactly p of the training labels differ from the truth.

- another class: wrong labels are drawn evenly among the other classes (what the claim is about)
- any class: labels drawn evenly among all classes, the true one too, until p of them are wrong
- next class: every wrong label is the class after the true one, so that at one half truth and error are tied
- look-alike: a linear model of the clean data says which class a picture is most easily taken for; pictures near the
  line are more often wrong (labels depend on the picture, as those of people do)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

SHAPES = ("another class", "any class", "next class", "look-alike")

Array = npt.NDArray[Any]


def wrong_labels(x: Array, truth: Array, classes: int, shape: str, share: float, seed: int) -> Array:
    """Labels of which round(share x n) are wrong. A seed makes the same pictures wrong at a larger share."""
    labels = truth.copy()
    count = round(share * len(truth))
    if not count:
        return labels
    rng = np.random.default_rng([seed, SHAPES.index(shape)])
    order = rng.permutation(len(truth))
    if shape == "another class":
        which = order[:count]
        labels[which] = (truth[which] + rng.integers(1, classes, len(truth))[:count]) % classes
    elif shape == "any class":
        drawn = rng.integers(0, classes, len(truth))
        until = np.searchsorted(np.cumsum(drawn[order] != truth[order]), count) + 1
        labels[order[:until]] = drawn[order[:until]]
    elif shape == "next class":
        which = order[:count]
        labels[which] = (truth[which] + 1) % classes
    else:
        scores = _linear(x, truth, classes)
        own = scores[np.arange(len(truth)), truth].copy()
        scores[np.arange(len(truth)), truth] = -np.inf
        margin = own - scores.max(1)
        # Drawn without replacement, odds falling with the margin (Gumbel's top k): near the line, not only on it.
        keys = rng.gumbel(size=len(truth)) - 2 * margin / margin.std()
        which = np.argsort(-keys, kind="stable")[:count]
        labels[which] = scores.argmax(1)[which]
    return labels


def _linear(x: Array, y: Array, classes: int) -> Array:
    """Scores of ridge regression on the clean labels (n, classes): what a simple eye takes a picture for."""
    some = x[:5000].astype(np.float64)  # enough for 785 numbers a class
    middle = some.mean(0)
    gram = (some - middle).T @ (some - middle)
    gram[np.diag_indices_from(gram)] += 1e-2 * len(some)
    target = np.eye(classes)[y[:5000]]
    weights = np.linalg.solve(gram, (some - middle).T @ (target - target.mean(0)))
    found: Array = x @ weights.astype(x.dtype) + (target.mean(0) - middle @ weights).astype(x.dtype)
    return found
