"""Means with Student's interval: over seeds, and over seeds and items together.

Not over items within one seed: items that one model judged share its luck.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Mean:
    """n: items behind each seed's value (1 where a seed gives one number)."""

    value: float
    low: float
    high: float
    n: int
    seeds: int


def over_seeds(values: npt.ArrayLike, level: float = 0.95) -> Mean:
    """values: (seeds,), one for each. The whole line where there is one seed."""
    from scipy.stats import t

    found = np.asarray(values, np.float64)
    seeds = len(found)
    value = float(found.mean())
    if seeds < 2:
        return Mean(value, -math.inf, math.inf, 1, seeds)
    half = float(t.ppf((1 + level) / 2, seeds - 1)) * float(found.std(ddof=1)) / math.sqrt(seeds)
    return Mean(value, value - half, value + half, 1, seeds)


def over_seeds_and_items(cases: npt.NDArray[Any], level: float = 0.95) -> Mean:
    """cases: (seeds, items), every item judged in every seed: shares of 0 and 1, or differences of such. The interval
    holds for other seeds and other items.

    Both are random effects of a crossed design: the variance of the mean is that of the seeds' means over the seeds,
    plus that of the items' means over the items, less the residual that both contain; degrees of freedom by
    Satterthwaite (1946), so that many items do not borrow the few degrees of the seeds. Where nothing varies, the
    upper end of Wilson's interval of none in n items stands on each side.
    """
    from scipy.stats import t

    from tamis.intervals import wilson

    found = np.asarray(cases, np.float64)
    seeds, n = found.shape
    value = float(found.mean())
    least = 0.0 if found.min() >= 0 else -1.0
    if seeds < 2 or n < 2:
        return Mean(value, least, 1.0, n, seeds)
    by_seed, by_item = found.mean(1), found.mean(0)
    rest = found - by_seed[:, None] - by_item + value
    parts = (
        (float(by_seed.var(ddof=1)) / seeds, seeds - 1),
        (float(by_item.var(ddof=1)) / n, n - 1),
        (float((rest**2).sum()) / ((seeds - 1) * (n - 1)) / (seeds * n), (seeds - 1) * (n - 1)),
    )
    (a, _), (b, _), (residual, _) = parts
    variance = max(a + b - residual, a, b)
    if variance <= 0:
        half = wilson(0, n, level)[1]
    else:
        freedom = variance**2 / sum(part**2 / free for part, free in parts)
        half = float(t.ppf((1 + level) / 2, max(freedom, min(seeds, n) - 1))) * math.sqrt(variance)
    return Mean(value, max(least, value - half), min(1.0, value + half), n, seeds)
