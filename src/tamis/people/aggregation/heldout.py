"""Which method knows most about these labels? Held-out label likelihood, the same question to all methods.

A fifth of the labels is taken out, five times. From the rest a method makes posteriors q. How well do they predict the
labels that were taken out?

    P(rater w says l on item i) = sum_k q_i[k]^t e_w[k, l] / sum_k q_i[k]^t,
    e_w[k, l] = (count_w[k, l] + s pool[k, l]) / (count_w[k] + s)

Counts and pool (all raters together, with half a label more per class) are made from q in one way for all methods, so
majority can be compared with a model, and a rater without labels in the rest is predicted by the pool. Each method is
scored at the temperature t and strength s that suit it best: a posterior is judged by what it knows, not by how sure of
itself it is. Without t, models that count dependent raters as independent lose to worse ones that are less sure.

Labels of one rater on one item are taken out together. Only items that two raters have seen count. Sums are over items,
so two methods can be compared with a standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tamis.people.aggregation.counts import Counts, Floats, Ints, sums
from tamis.people.aggregation.result import Fit

FOLDS = 5
TEMPERATURES = (0.25, 0.5, 0.75, 1.0)
STRENGTHS = (1.0, 3.0, 10.0)
SAMPLE = 40_000  # labels: more of them make the choice slower, and hardly better
_SEED = 5  # the order of `Counts` follows from content, and so do folds

Method = Callable[[Counts], Fit]


@dataclass(frozen=True)
class Score:
    """Nats a held-out label (higher is better), the temperature that was best, and the sums by item (I,)."""

    nats: float
    temperature: float
    by_item: Floats

    def beats(self, other: Score) -> bool:
        """By more than one standard error of the difference over items."""
        difference = self.by_item - other.by_item
        seen = difference[(self.by_item != 0) | (other.by_item != 0)]
        return bool(len(seen) > 1 and seen.sum() > seen.std(ddof=1) * len(seen) ** 0.5)


def scores(counts: Counts, methods: Mapping[str, Method]) -> dict[str, Score]:
    """The score of each method, on a sample of items if there are more than `SAMPLE` labels."""
    counts = _sample(counts)
    fold = _folds(counts)
    return {name: _score(counts, method, fold) for name, method in methods.items()}


def _sample(counts: Counts) -> Counts:
    if counts.weight.sum() <= SAMPLE:
        return counts
    order = np.random.default_rng(_SEED).permutation(counts.items)
    chosen = np.zeros(counts.items, bool)
    chosen[order[np.cumsum(counts.size[order]) <= SAMPLE]] = True
    return counts.of_items(chosen)


def _folds(counts: Counts) -> Ints:
    """(M,) the fold of each triple: the raters of an item are dealt out in random order, from a random fold on."""
    random = np.random.default_rng(_SEED)
    first = np.ones(len(counts.item), bool)
    first[1:] = (counts.item[1:] != counts.item[:-1]) | (counts.rater[1:] != counts.rater[:-1])
    group = np.cumsum(first) - 1  # (M,) which visit of a rater to an item
    item = counts.item[first]
    order = np.lexsort((random.random(len(item)), item))
    place = np.empty(len(item), np.int64)
    place[order] = np.arange(len(item)) - np.searchsorted(item, item)
    fold: Ints = (place + random.integers(0, FOLDS, counts.items)[item]) % FOLDS
    return np.asarray(fold[group])


def _score(counts: Counts, method: Method, fold: Ints) -> Score:
    grid = [(temperature, strength) for temperature in TEMPERATURES for strength in STRENGTHS]
    by_item = np.zeros((len(grid), counts.items))
    judged = counts.shared[counts.item]
    for held_out in range(FOLDS):
        rest, test = counts.part(fold != held_out), counts.part((fold == held_out) & judged)
        if not len(test.item) or not rest.shared.any():
            continue
        posterior = method(rest).posterior
        for row, (temperature, strength) in enumerate(grid):
            logs = test.weight * np.log(_predict(rest, test, _temper(posterior, temperature), strength))
            by_item[row] += sums(test.item, logs, counts.items)
    totals = by_item.sum(axis=1)
    best = int(totals.argmax())
    labels = float((counts.weight * judged).sum())
    return Score(float(totals[best]) / max(labels, 1), grid[best][0], by_item[best])


def _temper(posterior: Floats, temperature: float) -> Floats:
    tempered = posterior**temperature
    tempered /= tempered.sum(axis=1, keepdims=True)
    return tempered


def _predict(rest: Counts, test: Counts, posterior: Floats, strength: float) -> Floats:
    """(M,) the probability of each label of `test`."""
    mass = rest.teaching @ posterior  # (P, K)
    pool = rest.of_label @ mass + 0.5 / rest.classes
    pool /= pool.sum(axis=0)
    size = rest.of_rater @ mass  # (W, K)
    codes = rest.pair_rater * rest.classes + rest.pair_label  # ascending
    wanted = test.rater * rest.classes + test.label
    place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    count = np.where((codes[place] == wanted)[:, None], mass[place], 0)
    shares = (count + strength * pool[test.label]) / (size[test.rater] + strength)
    predicted: Floats = (posterior[test.item] * shares).sum(axis=1)
    return np.maximum(predicted, 1e-300)
