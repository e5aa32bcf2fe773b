"""Intervals for shares that were counted in samples.

`clopper_pearson` for one share; `stratified` for ratios of
sums over strata that were sampled without replacement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

DRAWS = 20_000
_STEPS = 60  # of bisection: beyond double precision


def clopper_pearson(hits: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """The exact interval of Clopper and Pearson 1934; it covers at least `level`.

    >>> [round(x, 4) for x in clopper_pearson(0, 100)]
    [0.0, 0.0362]
    """
    _checked(hits, trials)
    if not trials:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: 1 - _at_most(hits - 1, trials, p) - tail)
    high = 1.0 if hits == trials else _solve(lambda p: tail - _at_most(hits, trials, p))
    return low, high


def _checked(hits: int, trials: int) -> None:
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} of {trials} is no share")


def _solve(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2


def _at_most(hits: int, trials: int, share: float) -> float:
    """P(X <= hits) of a binomial X."""
    if share <= 0:
        return 1.0
    if share >= 1:
        return float(hits >= trials)
    a, b = math.log(share), math.log1p(-share)
    whole = math.lgamma(trials + 1)
    terms = [
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * a + (trials - k) * b)
        for k in range(hits + 1)
    ]
    return min(1.0, math.fsum(terms))


@dataclass(frozen=True)
class Stratum:
    """`total` units, `judged` of them drawn at random and judged, `hits` of these judged true."""

    total: int
    judged: int
    hits: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.judged <= self.total:
            raise ValueError(f"a stratum of {self.total} units cannot have {self.hits} hits of {self.judged} judged")


@dataclass(frozen=True)
class Estimate:
    """A share with its interval; value None where nothing was judged that could tell."""

    value: float | None
    low: float
    high: float


def stratified(
    decided: Sequence[Stratum], missed: Sequence[Stratum] = (), *, level: float = 0.95, seed: int = 1
) -> Estimate:
    """true(decided) / all(decided) without `missed` (precision), else true(decided) / (true(decided) +
    true(missed)) (recall), each stratum weighted by its size.

    The interval melds one-sample intervals (Fay, Proschan and Brittain 2015): for the lower limit the true share of a
    decided stratum is drawn from Beta(hits, misses + 1), the lower confidence distribution of Clopper and Pearson, for
    the upper from Beta(hits + 1, misses); of missed strata the other way round; half of the draws are of each kind
    (mid-p), and units that nobody judged are then drawn from the binomial. So a stratum that was judged whole adds no
    uncertainty, and one without a hit still leaves room for some. A stratum of which nothing was judged makes its
    share anything from 0 to 1.
    """
    if not sum(s.total for s in decided) + sum(s.total for s in missed):
        return Estimate(None, 0.0, 1.0)
    rng = np.random.Generator(np.random.PCG64(seed))
    low_true, high_true = _drawn(decided, rng)
    low_missed, high_missed = _drawn(missed, rng)
    whole = float(sum(s.total for s in decided))

    def ratio(true: F64, lost: F64) -> F64:
        below = true + lost if missed else np.full_like(true, whole)
        return np.divide(true, below, out=np.ones_like(true), where=below > 0)

    draws = np.concatenate([ratio(low_true, high_missed), ratio(high_true, low_missed)])
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], method="inverted_cdf")
    if any(s.total and not s.judged for s in (*decided, *missed)):
        value = None
    else:
        found, lost = _expected(decided), _expected(missed)
        below = found + lost if missed else whole
        value = found / below if below else None
    return Estimate(value, float(low), float(high))


def _expected(strata: Sequence[Stratum]) -> float:
    return math.fsum(s.total * s.hits / s.judged for s in strata if s.total)


def _drawn(strata: Sequence[Stratum], rng: np.random.Generator) -> tuple[F64, F64]:
    """True units in all strata, `DRAWS` times: from the lower and from the upper confidence distributions."""
    sums = np.zeros((2, DRAWS))
    for s in strata:
        rest = s.total - s.judged
        misses = s.judged - s.hits
        for kind, (a, b) in enumerate(((s.hits, misses + 1), (s.hits + 1, misses))):
            share = rng.beta(a, b, DRAWS) if a and b else np.full(DRAWS, float(bool(a)))
            sums[kind] += s.hits + rng.binomial(rest, share)
    return sums[0], sums[1]
