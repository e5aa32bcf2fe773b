"""Is one share higher than another? Two samples, or the same items answered by two models.

Two samples: the chi-squared test with (N - 1) / N (Campbell 2007; Pearson 1900) where every expected count is at least
1, else Fisher's exact test; interval of the difference by Newcombe's hybrid score method (1998, method 10). The same
items: McNemar's exact test with mid-p (Fagerland, Lydersen and Laake 2013); interval by Agresti and Min (2005).
`false_positive_rate` says by simulation how often a test errs; docs/evaluation.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.intervals import wilson
from tamis.proof.metric import Bools, NothingCounted


@dataclass(frozen=True)
class ShareDifference:
    """second - first, its interval and two-sided p. n: cases of the first and of the second."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    n: tuple[int, int]
    test: str
    level: float = 0.95

    def __str__(self) -> str:
        return (
            f"{self.first:.3f} ({self.n[0]:,}) against {self.second:.3f} ({self.n[1]:,}): {self.difference:+.3f} "
            f"[{self.low:+.3f}, {self.high:+.3f}], p = {self.p:.3g} ({self.test})"
        )


def two_shares(hits_1: int, n_1: int, hits_2: int, n_2: int, level: float = 0.95) -> ShareDifference:
    """Two independent samples. Raises NothingCounted where one is empty.

    >>> two_shares(56, 70, 48, 80).difference                # Newcombe 1998, table II, example (a)
    -0.20000000000000007
    """
    if not n_1 or not n_2:
        raise NothingCounted(f"shares of {n_1} and {n_2} cases cannot be compared")
    if not (0 <= hits_1 <= n_1 and 0 <= hits_2 <= n_2):
        raise ValueError(f"{hits_1} of {n_1} or {hits_2} of {n_2} is no share")
    p_1, p_2 = hits_1 / n_1, hits_2 / n_2
    (low_1, high_1), (low_2, high_2) = wilson(hits_1, n_1, level), wilson(hits_2, n_2, level)
    low = p_2 - p_1 - math.hypot(p_2 - low_2, high_1 - p_1)
    high = p_2 - p_1 + math.hypot(high_2 - p_2, p_1 - low_1)
    p, test = _p_independent(hits_1, n_1, hits_2, n_2)
    return ShareDifference(p_1, p_2, p_2 - p_1, low, high, p, (n_1, n_2), test, level)


def same_items(first: npt.ArrayLike, second: npt.ArrayLike, level: float = 0.95) -> ShareDifference:
    """Two models on the same items: first and second (n,) bool."""
    from scipy.stats import norm

    a, b = np.asarray(first, np.bool_), np.asarray(second, np.bool_)
    if a.shape != b.shape:
        raise ValueError(f"{a.shape} and {b.shape}: the models did not answer the same items")
    if not len(a):
        raise NothingCounted("there are no items to compare two models on")
    n, won, lost = len(a), int((b & ~a).sum()), int((a & ~b).sum())
    # Agresti and Min: half an item added to each of the four cells
    up, down, whole = won + 0.5, lost + 0.5, n + 2.0
    half = float(norm.ppf((1 + level) / 2)) * math.sqrt(up + down - (up - down) ** 2 / whole) / whole
    middle = (up - down) / whole
    return ShareDifference(
        float(a.mean()), float(b.mean()), (won - lost) / n, middle - half, middle + half, _p_paired(won, lost), (n, n),
        "McNemar, mid-p", level,
    )  # fmt: skip


def _p_independent(hits_1: int, n_1: int, hits_2: int, n_2: int) -> tuple[float, str]:
    from scipy.stats import chi2, fisher_exact

    whole, hits = n_1 + n_2, hits_1 + hits_2
    if hits in (0, whole):
        return 1.0, "all equal"
    if min(n_1, n_2) * min(hits, whole - hits) / whole < 1:
        return float(fisher_exact(np.array([[hits_1, n_1 - hits_1], [hits_2, n_2 - hits_2]])).pvalue), "Fisher's exact"
    cross = hits_1 * (n_2 - hits_2) - hits_2 * (n_1 - hits_1)
    statistic = (whole - 1) * cross**2 / (n_1 * n_2 * hits * (whole - hits))
    return float(chi2.sf(statistic, 1)), "N - 1 chi-squared"


def _p_paired(won: int, lost: int) -> float:
    """Twice the tail of a fair coin, the seen count weighed half."""
    from scipy.stats import binom

    n, k = won + lost, min(won, lost)
    if not n:
        return 1.0
    return float(min(1.0, 2 * binom.cdf(k, n, 0.5) - binom.pmf(k, n, 0.5)))


def false_positive_rate(
    test: Callable[[Bools, Bools], float], n: tuple[int, int], share: float, *, level: float = 0.05, trials: int = 2000,
    seed: int = 17,
) -> tuple[float, float, float]:  # fmt: skip
    """How often `test` (two samples -> p) says p <= level where both shares are equal: (rate, low, high), by
    simulation."""
    rng = np.random.default_rng(seed)
    errors = sum(test(rng.random(n[0]) < share, rng.random(n[1]) < share) <= level for _ in range(trials))
    return (errors / trials, *wilson(errors, trials))
