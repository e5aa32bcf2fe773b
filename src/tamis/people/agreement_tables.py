"""Agreement told apart: per rater, over time, and of each rater with himself.

Every row carries its own interval and counts, as `Agreement` does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tamis.people.agreement import (
    CONFIDENCE,
    RESAMPLES,
    SEED,
    Agreement,
    Level,
    Ratings,
    alpha,
    interval,
    ratings_of,
    scale_of,
)
from tamis.people.units import BLOCK, Floats

if TYPE_CHECKING:
    from tamis.people.labels import Labels

Period = Literal["hour", "day", "week", "month"]


@dataclass(frozen=True)
class OfRater:
    """How one rater agrees with the others. `alpha` is on the scale of Krippendorff's alpha: 1 minus the mean
    disagreement of this rater's ratings with the others' on the same examples, over the chance disagreement of all;
    weighted by `ratings`, the mean over raters is alpha itself. raw: share of the others' ratings that are equal.
    Intervals are from resampling the rater's examples, the chance disagreement held fixed."""

    rater: str
    ratings: int  # on examples that somebody else rated, too
    alone: int  # ratings of examples that nobody else rated
    raw: float
    raw_low: float
    raw_high: float
    alpha: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """JSON; nan as null."""
        return _json(asdict(self))


@dataclass(frozen=True)
class OfSelf:
    """How one rater answers the same example again. flips: share of pairs of own answers that differ."""

    rater: str
    examples: int
    pairs: int
    flips: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """JSON; nan as null."""
        return _json(asdict(self))


def by_rater(
    labels: Labels | Ratings,
    level: Level = "nominal",
    *,
    order: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    confidence: float = CONFIDENCE,
) -> list[OfRater]:
    """One row per rater, the least agreeing first; those who rated nothing together with others stand last.

    Memory: (N,) numbers, for the ratio level (N, V) in blocks.
    """
    ratings = ratings_of(labels)
    scale = scale_of(ratings.values, level, order)
    sizes = np.bincount(ratings.example, minlength=1)
    shared = sizes[ratings.example] >= 2
    paired = ratings.only(shared)
    apart, chance = _disagreement(paired, level, scale)
    differs, _ = _disagreement(paired, "nominal", scale)
    alone = np.bincount(ratings.rater[~shared], minlength=len(ratings.raters))
    order_ = np.argsort(paired.rater, kind="stable")
    ends = np.searchsorted(paired.rater[order_], np.arange(len(ratings.raters) + 1))
    rows: list[OfRater] = []
    nan = math.nan
    for code in np.unique(ratings.rater):
        mine = order_[ends[code] : ends[code + 1]]
        name, number = ratings.raters[code], len(mine)
        if not number:
            rows.append(OfRater(name, 0, int(alone[code]), nan, nan, nan, nan, nan, nan))
            continue
        means = _resampled(np.stack([1 - differs[mine], apart[mine]]), resamples, seed)  # (2, resamples)
        raw_low, raw_high, _ = interval(means[0], confidence)
        low, high, _ = interval(1 - means[1] / chance, confidence) if chance > 0 else (math.nan, math.nan, 0)
        value = 1 - float(apart[mine].mean()) / chance if chance > 0 else math.nan
        raw = 1 - float(differs[mine].mean())
        rows.append(OfRater(name, number, int(alone[code]), raw, raw_low, raw_high, value, low, high))
    return sorted(rows, key=lambda row: (math.isnan(row.raw), row.alpha if not math.isnan(row.alpha) else row.raw))


def over_time(
    labels: Labels | Ratings, when: Mapping[str, str], period: Period = "day", level: Level = "nominal", **settings: Any
) -> list[tuple[str, Agreement]]:
    """(period, alpha) of the examples of each period, in order of time. `when`: example -> ISO 8601 time; an example
    without a time is left out. Weeks are ISO weeks, `2026-W07`. Raises ValueError for a time that is none."""
    ratings = ratings_of(labels)
    periods = [_period(when[name], period) if name in when else "" for name in ratings.examples]
    names, code = np.unique(np.array(periods, dtype=object).astype(str), return_inverse=True)
    of = code.reshape(-1)[ratings.example] if len(ratings.example) else np.zeros(0, np.int64)
    return [(str(n), alpha(ratings.only(of == k), level, **settings)) for k, n in enumerate(names) if n]


def with_self(
    labels: Labels, *, resamples: int = RESAMPLES, seed: int = SEED, confidence: float = CONFIDENCE
) -> list[OfSelf]:
    """Flip rates of the raters who answered examples more than once, highest first. `labels` keeps repeats as rows."""
    cell = labels.example.astype(np.int64) * max(len(labels.raters), 1) + labels.rater
    cells, inverse, times = np.unique(cell, return_inverse=True, return_counts=True)
    kinds = max(len(labels.classes), 1)
    answers, given = np.unique(inverse.reshape(-1) * kinds + labels.label, return_counts=True)
    equal = np.bincount(answers // kinds, weights=given * (given - 1) / 2, minlength=len(cells))
    pairs = times * (times - 1) / 2
    rater = cells % max(len(labels.raters), 1)
    rows = []
    for code in np.unique(rater[times > 1]):
        mine = (rater == code) & (times > 1)
        differing, all_pairs = (pairs - equal)[mine], pairs[mine]
        drawn = _resampled(np.stack([differing, all_pairs]), resamples, seed)
        low, high, _ = interval(drawn[0] / drawn[1], confidence) if mine.sum() > 1 else (math.nan, math.nan, 0)
        value = float(differing.sum() / all_pairs.sum())
        rows.append(OfSelf(labels.raters[code], int(mine.sum()), int(all_pairs.sum()), value, low, high))
    return sorted(rows, key=lambda row: (-row.flips, row.rater))


def _disagreement(ratings: Ratings, level: Level, scale: Floats) -> tuple[Floats, float]:
    """(N,) mean difference of each rating from the others of its example, and the mean between all ratings."""
    if not len(ratings.example):
        return np.zeros(0), math.nan
    size = np.bincount(ratings.example)[ratings.example].astype(np.float64)
    counts = np.bincount(ratings.value, minlength=len(scale)).astype(np.float64)
    total = counts.sum()
    if level == "nominal":
        cells = ratings.example * len(scale) + ratings.value
        _, inverse, same = np.unique(cells, return_inverse=True, return_counts=True)
        apart = 1 - (same[inverse.reshape(-1)] - 1) / (size - 1)
        return apart, float((total * total - (counts**2).sum()) / (total * (total - 1)))
    if level == "ratio":
        sums = scale[:, None] + scale[None, :]
        between = ((scale[:, None] - scale[None, :]) / np.where(sums == 0, 1.0, sums)) ** 2
        summed = ratings.units.matrix @ between  # (G, V): from each pattern's ratings to each value
        kinds = np.unique(ratings.example, return_inverse=True)[1].reshape(-1)
        apart = summed[ratings.units.kinds[kinds], ratings.value] / (size - 1)
        return apart, float(counts @ between @ counts / (total * (total - 1)))
    place = scale - scale.mean()
    if level == "ordinal":
        low_to_high = np.argsort(scale, kind="stable")
        ordered = counts[low_to_high]
        place = np.empty(len(scale))
        place[low_to_high] = ordered.cumsum() - ordered / 2
    mine = place[ratings.value]
    total_place = np.bincount(ratings.example, weights=mine)[ratings.example]
    squares = np.bincount(ratings.example, weights=mine**2)[ratings.example]
    apart = np.maximum(size * mine**2 - 2 * mine * total_place + squares, 0.0) / (size - 1)
    chance = 2 * (total * (counts @ place**2) - (counts @ place) ** 2) / (total * (total - 1))
    return apart, float(chance)


def _resampled(values: Floats, resamples: int, seed: int) -> Floats:
    """Means (k, resamples) of k rows of values over resampled columns."""
    size = values.shape[1]
    rng = np.random.default_rng(seed)
    step = max(1, BLOCK // max(size, 1))
    blocks = []
    for start in range(0, resamples, step):
        drawn = rng.integers(0, size, (min(step, resamples - start), size))
        blocks.append(values[:, drawn].mean(-1))
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(values), 0))


def _period(time: str, period: Period) -> str:
    from datetime import datetime

    moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
    if period == "week":
        year, week, _ = moment.isocalendar()
        return f"{year}-W{week:02d}"
    return moment.strftime({"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}[period])


def _json(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
