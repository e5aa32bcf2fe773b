"""How well a score tells good from bad, and how honest it is, each with an interval.

Labels are bool (N,), scores float (N,), weights float (N,) where given. Intervals are percentiles of a bootstrap over
groups (documents of one host go together), since documents of a host are not independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

REPLICATES = 200


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return {name: round(float(getattr(self, name)), 4) for name in ("value", "low", "high")}

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Ranking:
    """Scores in order once, so that metrics under any weights cost one pass (for the bootstrap)."""

    def __init__(self, good: Bools, scores: Floats) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.good = good[self.order]
        ordered = scores[self.order]
        # last position of each run of equal scores
        self.ends = np.flatnonzero(np.append(np.diff(ordered) != 0, True))

    def auc(self, weights: Floats) -> float:
        """Chance that a good document scores above a bad one, ties half: the area under the ROC curve."""
        hits, alarms = self._curve(weights)
        if not hits[-1] or not alarms[-1]:
            return float("nan")
        return float(np.trapezoid(hits, alarms) / (hits[-1] * alarms[-1]))

    def average_precision(self, weights: Floats) -> float:
        """Precision at each good document, averaged: the area under the precision-recall steps."""
        hits, alarms = self._curve(weights)
        if not hits[-1]:
            return float("nan")
        found = hits[1:] + alarms[1:]
        precision = np.divide(hits[1:], found, out=np.zeros_like(found), where=found > 0)
        return float(np.sum(np.diff(hits) * precision) / hits[-1])

    def _curve(self, weights: Floats) -> tuple[Floats, Floats]:
        w = weights[self.order]
        hits = np.cumsum(np.where(self.good, w, 0.0))[self.ends]
        alarms = np.cumsum(np.where(self.good, 0.0, w))[self.ends]
        return np.append(0.0, hits), np.append(0.0, alarms)


def auc(good: Bools, scores: Floats, weights: Floats | None = None) -> float:
    """Area under the ROC curve.

    >>> auc(np.array([True, False, True, False]), np.array([0.9, 0.1, 0.4, 0.4]))
    0.875
    """
    return Ranking(good, scores).auc(np.ones(len(good)) if weights is None else weights)


def average_precision(good: Bools, scores: Floats, weights: Floats | None = None) -> float:
    """Average precision (as scikit-learn's).

    >>> round(average_precision(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8])), 4)
    0.8333
    """
    return Ranking(good, scores).average_precision(np.ones(len(good)) if weights is None else weights)


def matched_auc(good: Bools, scores: Floats, strata: Ints, weights: Floats | None = None) -> float:
    """AUC over pairs of the same stratum only: what is left where strata are held equal. NaN without such pairs."""
    w = np.ones(len(good)) if weights is None else weights
    won = pairs = 0.0
    order = np.argsort(strata, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(strata[order])) + 1):
        here = w[rows].sum(where=good[rows]) * w[rows].sum(where=~good[rows]) if len(rows) else 0.0
        if here > 0:
            won += here * auc(good[rows], scores[rows], w[rows])
            pairs += here
    return won / pairs if pairs else float("nan")


def bins_of(scores: Floats, bins: int = 10) -> Ints:
    """Equal-mass bins of scores: int64 (N,), by rank; equal scores share a bin."""
    edges = np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(np.unique(edges), scores, side="right")


def reliability(good: Bools, scores: Floats, weights: Floats, bins: int = 10) -> list[dict[str, float]]:
    """Per equal-mass bin: mean score, share of good documents, documents."""
    index = bins_of(scores, bins)
    table = []
    for b in np.unique(index):
        rows = index == b
        total = weights[rows].sum()
        table.append(
            {
                "score": round(float((scores[rows] * weights[rows]).sum() / total), 4),
                "good": round(float((good[rows] * weights[rows]).sum() / total), 4),
                "documents": int(rows.sum()),
            }
        )
    return table


def calibration_error(good: Bools, scores: Floats, weights: Floats, bins: int = 10) -> float:
    """Expected calibration error (L2) without the bias of its bins: Kumar, Liang and Ma 2019, section 4.

    The squared gap of a bin overstates the true one by the variance of its observed share, which is subtracted; the
    root of what is left, 0 where nothing is.
    """
    index, total, error = bins_of(scores, bins), weights.sum(), 0.0
    for b in np.unique(index):
        rows = index == b
        w = weights[rows]
        share = w.sum() / total
        seen = (good[rows] * w).sum() / w.sum()
        effective = w.sum() ** 2 / (w**2).sum()
        gap = (scores[rows] * w).sum() / w.sum() - seen
        error += share * (gap**2 - seen * (1 - seen) / max(effective - 1, 1))
    return float(np.sqrt(max(error, 0.0)))


def interval(
    metric: Callable[[Floats], float], groups: Ints, seed: int, base: Floats | None = None, replicates: int = REPLICATES
) -> Estimate:
    """Bootstraps `metric(weights)` over groups: 2.5% to 97.5% of `replicates` resamples. groups int (N,) from 0 on."""
    base = np.ones(len(groups)) if base is None else base
    generator = np.random.default_rng([seed, 1])
    count = int(groups.max()) + 1 if len(groups) else 0
    drawn = []
    for _ in range(replicates):
        times = np.bincount(generator.integers(0, count, count), minlength=count).astype(np.float64)
        value = metric(base * times[groups])
        if not np.isnan(value):
            drawn.append(value)
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (float("nan"),) * 2
    return Estimate(metric(base), float(low), float(high))


def spearman(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> float:
    """Rank correlation, ties averaged; NaN where one side does not vary."""
    a, b = _ranks(left), _ranks(right)
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: npt.NDArray[Any]) -> Floats:
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((2 * ends - counts - 1) / 2.0)[index]
