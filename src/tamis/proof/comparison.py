"""Two corpora compared through the models trained on them: differences B - A, paired by seed.

A seed fixes initialization and data order of both arms, so the pair shares its luck and the difference scatters less
than either arm. Each metric gets its mean difference with an interval and an exact sign-flip permutation p (Fisher
1935), corrected for the number of metrics by Holm (1979); the decision is that of the `rule` on its one primary
metric.

Intervals: from 8 pairs on, percentiles of a bootstrap over pairs, widened for their small number (Hesterberg 2015,
section 5.3: at n pairs the tails are those of sqrt(n / (n - 1)) t); with fewer, Student's t, since 4 values resampled
cover 88 % where 95 % is said (simulated; docs/evaluation.md). They are about seeds, at one look; the rule's own
interval allows for all looks. Which arm is better is therefore not read from an interval: of the primary metric the
rule says it, of every other one the corrected p.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import WrongUse
from tamis.proof.metric import RESAMPLES, Direction, Floats, resampled_sums
from tamis.proof.rule import Decision, Rule

LEAST_FOR_BOOTSTRAP = 8
# Sign flips are enumerated up to this many pairs (65,536 patterns), drawn beyond.
_EXACT = 16
_DRAWN = 100_000


class Unpaired(ValueError, WrongUse):
    """The arms cannot be paired by seed; the message names the metric and the seeds."""


@dataclass(frozen=True)
class Measured:
    """One metric of one arm: its value for each seed."""

    values: Mapping[int, float]
    unit: str
    direction: Direction


@dataclass(frozen=True)
class Difference:
    """B - A of one metric over n seeds. a, b: means of the arms. p: sign-flip permutation, two-sided; p_holm: corrected
    for all metrics of the comparison; p_least: the least p that n pairs can give. sd: of the paired differences.
    could_see: the true difference that n pairs would have shown (two-sided `level`) four times in five. shown: whether
    a difference is: of the primary metric by the rule, of others by p_holm."""

    metric: str
    unit: str
    direction: Direction
    a: float
    b: float
    value: float
    low: float
    high: float
    interval: str
    level: float
    sd: float
    n: int
    p: float
    p_holm: float
    p_least: float
    could_see: float
    differences: Floats
    shown: bool

    @property
    def says(self) -> str:
        """ "B better", "A better", or that nothing was shown and what would have been."""
        if self.shown:
            return self._side
        if self.low <= 0 <= self.high:
            return f"no difference shown; {self.could_see:.3g} would be seen 4 times in 5"
        return f"not shown; {self._side} only by this interval alone, uncorrected"

    @property
    def _side(self) -> str:
        if self.direction == "neither":
            return "B lower" if self.value < 0 else "B higher"
        return "B better" if (self.value < 0) == (self.direction == "lower") else "A better"

    def __str__(self) -> str:
        return (
            f"{self.metric:<32} {self.a:>9.4f} {self.b:>9.4f} {self.value:>+9.4f}  [{self.low:+.4f}, {self.high:+.4f}]"
            f"  p {self.p_holm:.3f}  {self.says}"
        )


@dataclass(frozen=True)
class Comparison:
    """decision: by the rule on its primary metric, which is the first of `differences`."""

    rule: Rule
    decision: Decision
    differences: list[Difference]
    seeds: list[int]

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": {**vars(self.rule), "spends": self.rule.spends, "critical": self.rule.critical},
            "decision": {k: None if isinstance(v, float) and not math.isfinite(v) else v
                         for k, v in vars(self.decision).items()},
            "seeds": self.seeds,
            "metrics": [{**vars(one), "differences": one.differences.tolist(), "says": one.says}
                        for one in self.differences],
        }  # fmt: skip

    def __str__(self) -> str:
        d = self.decision
        answer = {"accept": "B.", "reject": "not B:", "more": f"needs {d.more} more seeds:"}[d.answer]
        head = f"{'metric':<32} {'A':>9} {'B':>9} {'B - A':>9}  {len(self.seeds)} pairs by seed; p: permutation, Holm"
        return "\n".join([head, *map(str, self.differences), f"answer    {answer} {d.why}"])


def compare(
    a: Mapping[str, Measured], b: Mapping[str, Measured], rule: Rule, *, level: float = 0.95, seed: int = 17
) -> Comparison:
    """Metrics by name, as measured on the models of either corpus. Seeds are taken in rising order. Raises Unpaired
    where arms differ in metrics or seeds, so that no failed run is left out unseen."""
    if set(a) != set(b):
        raise Unpaired(f"only one arm has the metrics {', '.join(sorted(set(a) ^ set(b)))}")
    if rule.metric not in a:
        raise Unpaired(f"the primary metric {rule.metric!r} was not measured; there are {', '.join(sorted(a))}")
    seeds = sorted(a[rule.metric].values)
    names = [rule.metric, *(name for name in a if name != rule.metric)]
    found = []
    for name in names:
        if sorted(a[name].values) != seeds or sorted(b[name].values) != seeds:
            raise Unpaired(
                f"{name}: seeds {sorted(a[name].values)} of A and {sorted(b[name].values)} of B against {seeds}"
            )
        if (a[name].unit, a[name].direction) != (b[name].unit, b[name].direction):
            raise Unpaired(f"{name}: {a[name].unit} in A is {b[name].unit} in B")
        first, second = (np.array([arm[name].values[s] for s in seeds]) for arm in (a, b))
        found.append((name, first, second))
    if a[rule.metric].direction != rule.direction:
        raise Unpaired(
            f"{rule.metric}: the rule says {rule.direction} is better, the metric {a[rule.metric].direction}"
        )
    decision = rule.decide(found[0][2] - found[0][1])
    raw = [permutation_p(second - first, seed) for _, first, second in found]
    rows = [
        difference(
            name, first, second, a[name].unit, a[name].direction, level=level, seed=seed, p=p, p_holm=corrected,
            shown=decision.shown if name == rule.metric else None,
        )
        for (name, first, second), p, corrected in zip(found, raw, holm(raw), strict=True)
    ]  # fmt: skip
    return Comparison(rule, decision, rows, seeds)


def difference(
    metric: str, a: npt.ArrayLike, b: npt.ArrayLike, unit: str, direction: Direction, *, level: float = 0.95,
    seed: int = 17, p: float | None = None, p_holm: float | None = None, shown: bool | None = None,
) -> Difference:  # fmt: skip
    """One metric of paired runs: a and b (n,) in the order of seeds, n at least 2. shown: p_holm (else p) of at most
    1 - level where not given."""
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    d = second - first
    if len(d) < 2:
        raise Unpaired(f"{metric}: {len(d)} pairs have no scatter: at least 2 seeds are needed")
    n, sd = len(d), float(d.std(ddof=1))
    low, high, kind = mean_interval(d, level, seed)
    p = permutation_p(d, seed) if p is None else p
    corrected = p if p_holm is None else p_holm
    return Difference(
        metric, unit, direction, float(first.mean()), float(second.mean()), float(d.mean()), low, high, kind, level, sd,
        n, p, corrected, 2 / 2 ** min(n, _EXACT), _could_see(n, sd, level), d,
        corrected <= 1 - level if shown is None else shown,
    )  # fmt: skip


def mean_interval(d: Floats, level: float = 0.95, seed: int = 17) -> tuple[float, float, str]:
    """(low, high, which kind) of the mean of n paired differences."""
    from scipy.stats import norm, t

    n, mean = len(d), float(d.mean())
    quantile = float(t.ppf((1 + level) / 2, n - 1))
    if n < LEAST_FOR_BOOTSTRAP:
        half = quantile * float(d.std(ddof=1)) / math.sqrt(n)
        return mean - half, mean + half, "Student's t"
    tail = float(norm.cdf(-math.sqrt(n / (n - 1)) * quantile))
    means = resampled_sums(d[None], 5 * RESAMPLES, seed)[0] / n
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high), "bootstrap over seeds"


def mean_draws(d: Floats, count: int = RESAMPLES, seed: int = 17) -> Floats:
    """(count,) draws of the mean of n paired differences, whose percentiles cover as `mean_interval` does: of Student's
    t under 8 pairs, from there on of a bootstrap, spread by sqrt(n / (n - 1)) t over the normal quantile."""
    from scipy.stats import norm, t

    n, mean = len(d), float(d.mean())
    if n < LEAST_FOR_BOOTSTRAP:
        drawn = np.random.default_rng(seed).standard_t(n - 1, count)
        return mean + drawn * float(d.std(ddof=1)) / math.sqrt(n)
    wider = math.sqrt(n / (n - 1)) * float(t.ppf(0.975, n - 1) / norm.ppf(0.975))
    found: Floats = mean + wider * (resampled_sums(d[None], count, seed)[0] / n - mean)
    return found


def permutation_p(d: npt.ArrayLike, seed: int = 17) -> float:
    """Two-sided p of the mean of paired differences under exchange of the arms within each pair: exact up to 16 pairs,
    beyond by 100,000 draws with the seen one counted (Phipson and Smyth 2010).

    >>> permutation_p([0.1, 0.2, 0.15, 0.3])
    0.125
    """
    values = np.asarray(d, np.float64)
    n = len(values)
    if n <= _EXACT:
        signs = 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (_DRAWN, n))
    sums = np.abs(signs @ values)
    seen = abs(values.sum()) * (1 - 1e-12)
    return float(np.mean(sums >= seen)) if n <= _EXACT else float((1 + np.sum(sums >= seen)) / (_DRAWN + 1))


def holm(p: npt.ArrayLike) -> list[float]:
    """Holm's step-down correction: the chance of any false finding among all.

    >>> [round(x, 3) for x in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    raw = np.asarray(p, np.float64)
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * (len(raw) - np.arange(len(raw))))
    found = np.empty(len(raw))
    found[order] = np.minimum(stepped, 1.0)
    return [float(x) for x in found]


def _could_see(n: int, sd: float, level: float) -> float:
    """The difference that a paired t-test of n pairs shows with probability .8: sd x effect, by the noncentral t."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    edge = float(t.ppf((1 + level) / 2, n - 1))
    # below by 0: no power; above by 20 critical values: certain
    effect = brentq(lambda e: nct.sf(edge, n - 1, e * math.sqrt(n)) - 0.8, 0.0, 20 * edge / math.sqrt(n))
    return sd * float(effect)
