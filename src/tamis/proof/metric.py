"""One measured number as people see it: what it is, its unit, which way is better, from how many cases, how sure.

Intervals of means and of ratios of sums are percentiles of a bootstrap over whole cases (Efron and Tibshirani 1993,
chapter 13), a little further out than the level says so that few cases are allowed for (Hesterberg 2015, section 5.3);
those of shares are Wilson's. They say how much the number would move with other cases of the same kind, not with
another training seed: `comparison` does that. One case has no interval: low and high are no numbers.

Memory: the values of the cases, kept so that two models can be compared case by case; resampling adds a block of
`_BLOCK` numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tamis.errors import SaidNo
from tamis.intervals import wilson

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

Direction = Literal["lower", "higher", "neither"]

RESAMPLES = 2000
_BLOCK = 1 << 22
# From here on sums of resamples are drawn from their normal limit: the same to three digits, and not 13 s at 100,000.
_MANY = 20_000


class NothingCounted(ValueError, SaidNo):
    """There are no cases to measure on; the message says of what."""


@dataclass(frozen=True)
class Metric:
    """A number with its `level` interval [low, high].

    unit: of value, low and high. direction: which way is better. n: `of` (documents, items, tokens ...) measured.
    per_item: (n,) the value of each case, or None where a case has none of its own. note: what a reader must know.
    """

    name: str
    unit: str
    direction: Direction
    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    of: str = "items"
    note: str = ""
    per_item: Floats | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Without the values of single cases; what is not a number is null."""
        names = ("name", "unit", "direction", "value", "low", "high", "n", "level", "of", "note")
        found = {name: getattr(self, name) for name in names}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in found.items()}

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        better = "" if self.direction == "neither" else f", {self.direction} is better"
        note = f"; {self.note}" if self.note else ""
        return (
            f"{self.name} {self.value:.4g}{unit} [{self.low:.4g}, {self.high:.4g}] "
            f"({self.level:.0%} interval, {self.n:,} {self.of}{better}{note})"
        )


def mean(
    name: str, values: npt.ArrayLike, *, unit: str, direction: Direction, of: str = "items", seed: int = 17, **more: Any
) -> Metric:
    """The mean of one value per case, with a bootstrap interval."""
    found = np.asarray(values, np.float64)
    return ratio(name, found, np.ones(len(found)), unit=unit, direction=direction, of=of, seed=seed, **more)


def ratio(
    name: str,
    above: npt.ArrayLike,
    below: npt.ArrayLike,
    *,
    unit: str,
    direction: Direction,
    of: str = "items",
    level: float = 0.95,
    seed: int = 17,
    note: str = "",
) -> Metric:
    """sum(above) / sum(below) over cases, as bits of documents over their bytes. A case with nothing in either is not
    counted. Raises NothingCounted, or ValueError where a case is not a finite number."""
    up, down = np.asarray(above, np.float64), np.asarray(below, np.float64)
    bad = np.flatnonzero(~(np.isfinite(up) & np.isfinite(down)))
    if len(bad):
        raise ValueError(f"{name}: {len(bad):,} of {len(up):,} {of} have no finite value, the first is number {bad[0]}")
    if not len(up) or not down.sum() > 0:
        raise NothingCounted(f"{name}: there are no {of} to measure it on")
    counted = (up != 0) | (down > 0)
    n = int(counted.sum())
    low = high = math.nan
    if n > 1:
        ups, downs = resampled_sums(np.stack([up[counted], down[counted]]), seed=seed)
        low, high = interval(ups[downs > 0] / downs[downs > 0], widened(level, n))
    each = np.divide(up, down, out=np.full(len(up), np.nan), where=down > 0)
    value = float(up.sum() / down.sum())
    return Metric(name, unit, direction, value, low, high, n, level, of, _few(n, of, note), each)


def share(
    name: str, hits: npt.ArrayLike, *, direction: Direction, of: str = "items", level: float = 0.95, note: str = ""
) -> Metric:
    """The share of cases that are true, with Wilson's interval. Raises NothingCounted."""
    found = np.asarray(hits, np.bool_)
    if not len(found):
        raise NothingCounted(f"{name}: there are no {of} to measure it on")
    k, n = int(found.sum()), len(found)
    low, high = wilson(k, n, level)
    return Metric(name, "share", direction, k / n, low, high, n, level, of, note, found.astype(np.float64))


def paired(
    name: str, first: Metric, second: Metric, *, below: npt.ArrayLike | None = None, level: float = 0.95, seed: int = 17
) -> Metric:
    """second - first over the same cases, resampled together. below: what each case weighs (the bytes of documents
    for bits per byte), 1 by default."""
    if first.per_item is None or second.per_item is None or len(first.per_item) != len(second.per_item):
        raise ValueError(f"{name}: both metrics must hold the values of the same cases to be compared case by case")
    if (first.name, first.unit, first.direction) != (second.name, second.unit, second.direction):
        raise ValueError(f"{name}: {first.name} ({first.unit}) and {second.name} ({second.unit}) are different things")
    weight = np.ones(len(first.per_item)) if below is None else np.asarray(below, np.float64)
    gap = np.where(weight > 0, (second.per_item - first.per_item) * weight, 0.0)
    return ratio(
        name, gap, weight, unit=first.unit, direction=first.direction, of=first.of, level=level, seed=seed,
        note="paired by case; says nothing about other training seeds",
    )  # fmt: skip


def resampled_sums(columns: Floats, resamples: int = RESAMPLES, seed: int = 17) -> Floats:
    """Sums of columns (K, n) over `resamples` samples of n cases with replacement: (K, resamples)."""
    n = columns.shape[1]
    rng = np.random.default_rng(seed)
    if n >= _MANY:
        spread = np.atleast_2d(np.cov(columns, bias=True)) * n
        limits = rng.multivariate_normal(columns.sum(1), spread, resamples, method="svd")
        return np.ascontiguousarray(limits.T)
    found = np.empty((columns.shape[0], resamples))
    step = max(1, _BLOCK // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, n, (rows, n))
        for column, sums in zip(columns, found, strict=True):
            sums[start : start + rows] = column[drawn].sum(1)
    return found


def widened(level: float, n: int) -> float:
    """The level at which percentiles of a bootstrap of n cases are taken to cover `level`: the tails are those of
    sqrt(n / (n - 1)) Student's t (Hesterberg 2015, section 5.3).

    >>> [round(widened(0.95, n), 3) for n in (5, 20, 1000)]
    [0.998, 0.968, 0.95]
    """
    from scipy.stats import norm, t

    return 1 - 2 * float(norm.sf(math.sqrt(n / (n - 1)) * float(t.ppf((1 + level) / 2, n - 1))))


def interval(draws: Floats, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of the draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _few(n: int, of: str, note: str) -> str:
    """What is said of few cases: simulated with 10 cases, a 95% interval covers 94% of normal and 84% of
    lognormal values (docs/evaluation.md)."""
    warning = "" if n >= 20 else f"only {n} {of}: the interval is rough" if n > 1 else f"one of {of}: no interval"
    return "; ".join(one for one in (note, warning) if one)
