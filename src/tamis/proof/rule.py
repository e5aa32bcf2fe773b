"""The rule by which a comparison is decided, fixed before anything is trained.

One primary metric, differences B - A paired by seed, a two-sided paired t-test at looks of 4, 8 and 12 seeds. The
error of .01 is spent over the looks by the power family alpha x (n / N)^1.5 (Kim and DeMets 1987): what a look may
spend is what the family has gained since the look before, so by the union bound all looks together err at most .01,
whatever their correlation. A crossed look is final: later seeds do not reopen it.

What t assumes: differences of two arms that are alike are symmetric about 0, and their mean is near enough to normal.
Heavy tails only make it err less; flat ones err more (uniform differences: 1.8 % in all, either way; two-valued ones
with a little noise: 13 %), so the primary metric is a loss, not a count of few items; differences without any scatter
decide nothing; and the exact permutation p stands beside (`comparison`). With 4 pairs it cannot fall below 2 / 16.

Simulated in the tests: A against A is accepted at most 1 % of the time, an effect of `smallest_effect` at least 80 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from tamis.errors import WrongUse
from tamis.proof.metric import Direction, Floats

Answer = Literal["accept", "reject", "more"]

_PATHS = 40_000
_SEED = 20260113


class BadRule(ValueError, WrongUse):
    """A rule that cannot be followed."""


@dataclass(frozen=True)
class Decision:
    """answer: "accept", B is better; "reject", B is worse or the last look showed no difference; "more", `more` seeds
    are needed. look: seeds of the deciding (or last passed) look, 0 before the first. mean, low, high: of the
    differences up to that look, the interval at the level that the look was allowed, so that it excludes 0 exactly
    where the look decided. t, p: of the paired t-test there, to be compared with `spends`."""

    answer: Answer
    why: str
    more: int
    look: int
    mean: float
    low: float
    high: float
    t: float
    p: float
    spends: float

    @property
    def shown(self) -> bool:
        """Whether a look showed a difference, to either side."""
        return self.answer != "more" and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Rule:
    """direction: which way the primary metric is better. looks: seeds at which the differences are tested, rising;
    alpha: chance in all of declaring a difference where there is none; power: chance of accepting `smallest_effect`.
    exponent: of the spending family; the larger, the less early looks may spend."""

    metric: str = "bits per byte"
    direction: Direction = "lower"
    looks: tuple[int, ...] = (4, 8, 12)
    alpha: float = 0.01
    power: float = 0.8
    exponent: float = 1.5

    def __post_init__(self) -> None:
        if self.direction == "neither":
            raise BadRule(f"{self.metric} has no better direction: it cannot be the primary metric")
        if not self.looks or self.looks[0] < 2 or any(b <= a for a, b in zip(self.looks, self.looks[1:], strict=False)):
            raise BadRule(f"looks {self.looks}: they must rise from at least 2 seeds")
        if not 0 < self.alpha < self.power < 1:
            raise BadRule(f"alpha {self.alpha} and power {self.power}: 0 < alpha < power < 1 is wanted")

    @property
    def spends(self) -> tuple[float, ...]:
        """The two-sided level of the t-test at each look; their sum is alpha."""
        spent = [self.alpha * (n / self.looks[-1]) ** self.exponent for n in self.looks]
        return tuple(b - a for a, b in zip([0.0, *spent], spent, strict=False))

    @property
    def critical(self) -> tuple[float, ...]:
        """|t| that decides at each look."""
        from scipy.stats import t

        return tuple(float(t.isf(a / 2, n - 1)) for a, n in zip(self.spends, self.looks, strict=True))

    def decide(self, differences: npt.ArrayLike) -> Decision:
        """differences: (n,) B - A of the primary metric, in the order in which the seeds were fixed. Looks beyond n
        are not taken; seeds after the last whole look wait for the next. Raises ValueError for a value that is no
        number."""
        d = np.asarray(differences, np.float64)
        if d.ndim != 1 or not np.isfinite(d).all():
            raise ValueError("a difference is not a finite number: a run failed, and a rule is not decided without it")
        last = Decision("more", "", 0, 0, math.nan, math.nan, math.nan, math.nan, math.nan, 0.0)
        for look, level, critical in zip(self.looks, self.spends, self.critical, strict=True):
            if len(d) < look:
                more, said = look - len(d), f"the first look is at {look} seeds"
                if last.look:
                    said = (
                        f"not decided at {last.look} seeds{last.why and f' ({last.why})'}; the next look is at {look}"
                    )
                return replace(last, why=said, more=more)
            last = self._look(d[:look], level, critical)
            if last.answer != "more":
                return last
        said = f"no difference shown in {last.look} seeds{last.why and f' ({last.why})'}"
        return replace(last, answer="reject", why=said)

    def smallest_effect(self, sd: float) -> float:
        """The smallest true difference that is accepted with probability `power`, where the paired differences have
        the standard deviation `sd`; same unit."""
        return sd * _smallest(self.looks, self.critical, self.power)

    def chances(self, effect: float, sd: float) -> tuple[float, ...]:
        """Probability of having accepted by each look, where B is truly better by `effect`."""
        return tuple(_accepted(self.looks, self.critical, effect / sd).tolist())

    def announce(self, sd: float, unit: str, where: str) -> str:
        """What this rule can see, to be printed before anything is spent. where: what `sd` was learnt from."""
        effect = self.smallest_effect(sd)
        by = self.chances(effect, sd)
        looks = ", ".join(
            f"{n} seeds (p < {a:.4f}; {chance:.0%} by then)"
            for n, a, chance in zip(self.looks, self.spends, by, strict=True)
        )
        return (
            f"rule      {self.metric}, {self.direction} is better; paired t at {looks}; {self.alpha:g} in all\n"
            f"can see   a difference of {effect:.3g} {unit} {self.power:.0%} of the time, where differences of pairs "
            f"scatter by {sd:.3g} ({where})\n"
            f"cannot    see less: it would take {self.needed(effect / 2, sd)} pairs for half of that"
        )

    def needed(self, effect: float, sd: float) -> int:
        """Pairs that one look at level alpha needs to see `effect` with `power`: beyond this rule's looks, a guide."""
        from scipy.stats import nct, t

        n = 2
        while True:
            miss = nct.cdf(t.isf(self.alpha / 2, n - 1), n - 1, abs(effect) / sd * math.sqrt(n))
            if 1 - miss >= self.power or n > 100_000:
                return n
            n = n + 1 if n < 200 else math.ceil(n * 1.02)

    def _look(self, d: Floats, level: float, critical: float) -> Decision:
        from scipy.stats import t as student

        n, mean, sd = len(d), float(d.mean()), float(d.std(ddof=1))
        error = sd / math.sqrt(n)
        if sd <= 1e-12 * max(1e-300, float(np.abs(d).max())):
            why = "the differences do not scatter at all" + ("; both arms are the same" if mean == 0 else "")
            return Decision("more", why, 0, n, mean, -math.inf, math.inf, 0.0, 1.0, level)
        t = mean / error
        p = float(2 * student.sf(abs(t), n - 1))
        better = mean < 0 if self.direction == "lower" else mean > 0
        low, high = mean - critical * error, mean + critical * error
        if abs(t) <= critical:
            return Decision("more", "", 0, n, mean, low, high, t, p, level)
        answer: Answer = "accept" if better else "reject"
        why = f"B is {'better' if better else 'worse'}: p = {p:.2g} < {level:.2g} at {n} seeds"
        return Decision(answer, why, 0, n, mean, low, high, t, p, level)


@lru_cache(maxsize=8)
def _paths(looks: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Means and standard deviations at each look of simulated differences without effect: two arrays (looks, paths)."""
    z = np.random.default_rng(_SEED).standard_normal((_PATHS, looks[-1]))
    means = np.stack([z[:, :n].mean(1) for n in looks])
    return means, np.stack([z[:, :n].std(1, ddof=1) for n in looks])


def _accepted(looks: tuple[int, ...], critical: tuple[float, ...], effect: float) -> Floats:
    """Share of paths accepted by each look, with an effect of that many standard deviations."""
    means, sds = _paths(looks)
    t = (means + effect) / sds * np.sqrt(looks)[:, None]
    edge = np.array(critical)[:, None]
    # the first crossing is final, on whichever side
    first = np.argmax(np.vstack([np.abs(t) > edge, np.ones((1, t.shape[1]), np.bool_)]), axis=0)
    won = np.vstack([t > edge, np.zeros((1, t.shape[1]), np.bool_)])[first, np.arange(t.shape[1])]
    return np.array([np.mean(won & (first <= k)) for k in range(len(looks))])


@lru_cache(maxsize=64)
def _smallest(looks: tuple[int, ...], critical: tuple[float, ...], power: float) -> float:
    """In standard deviations, by bisection; aims three standard errors of the simulation higher."""
    aim = power + 3 * math.sqrt(power * (1 - power) / _PATHS)
    low, high = 0.0, 1.0
    while _accepted(looks, critical, high)[-1] < aim:
        high *= 2
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _accepted(looks, critical, middle)[-1] < aim else (low, middle)
    return high
