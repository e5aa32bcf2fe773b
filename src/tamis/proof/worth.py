"""What the difference of a proof is worth in tokens: by training arm A for other lengths, or by a fitted law.

By training (`here`): arm A is trained at a quarter, half and twice the tokens too, each with a schedule of its own, and
its mean loss over the logarithm of tokens is interpolated: at how many tokens would A have B's loss? Nothing is
assumed but that more tokens do not harm; what lies outside is said to be less than a quarter or more than twice.
Model and tokenizer are held fixed, so FLOPs grow with tokens, and the same factor is the compute-equivalent at this
size (not that along a compute-optimal frontier, which needs a law: `equivalence`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.proof.comparison import mean_draws
from tamis.proof.metric import Floats

SHARES = (0.25, 0.5, 2.0)
SEEDS = (1, 2)
_DRAWS = 2000


@dataclass(frozen=True)
class Here:
    """factor: times the tokens of a run that A would need for B's loss, with its interval: 0 stands for less than the
    shortest run, infinity for more than the longest. gain: how much lower B's loss is. shares, losses: of A's runs,
    losses relative to that of the whole length."""

    factor: float
    low: float
    high: float
    tokens: int
    gain: float
    shares: list[float]
    losses: list[float]

    def __str__(self) -> str:
        inside = 0 < self.factor < math.inf
        amount = f", {self.factor * self.tokens:,.0f} tokens" if inside else ""
        return (
            f"data-equivalent: A needs {_said(self.factor)} its tokens for B's loss, 95 % interval from "
            f"{_said(self.low)} to {_said(self.high)}{amount} (trained here; at this size also the compute-equivalent, "
            "FLOPs being in proportion to tokens)"
        )


def _said(factor: float) -> str:
    """
    >>> _said(1.234), _said(math.inf), _said(0.0)
    ('1.23x', 'more than 2x', 'less than a quarter of')
    """
    if factor == 0:
        return "less than a quarter of"
    return f"more than {SHARES[-1]:g}x" if math.isinf(factor) else f"{factor:.3g}x"


def here(
    whole: Mapping[int, float], others: Mapping[float, Mapping[int, float]], differences: npt.ArrayLike, tokens: int,
    *, level: float = 0.95, seed: int = 17,
) -> Here:  # fmt: skip
    """whole: A's loss by seed at `tokens`; others: share of the tokens -> A's loss by seed, the same seeds, at least
    two. differences: B - A of the pairs, in the same unit; lower is better.

    The interval is from pairs (as `comparison.mean_draws`) and from seeds: the scatter of A's losses against the same
    seeds' at the whole length, pooled over lengths, since two seeds tell little at each.
    """
    d = np.asarray(differences, np.float64)
    shares = sorted(others)
    gaps = [np.array([others[x][s] - whole[s] for s in sorted(others[x])]) for x in shares]
    counts = np.array([len(one) for one in gaps])
    if counts.min(initial=2) < 2:
        raise ValueError("a length with fewer than 2 seeds has no scatter")
    means = np.array([one.mean() for one in gaps])
    free = int((counts - 1).sum())
    sd = math.sqrt(sum(float(((one - one.mean()) ** 2).sum()) for one in gaps) / free)
    rng = np.random.default_rng(seed)
    # Student's t with one scatter for all lengths: its uncertainty is common to them
    scale = sd / np.sqrt(rng.chisquare(free, (_DRAWS, 1)) / free)
    drawn = means + scale * rng.standard_normal((_DRAWS, len(shares))) / np.sqrt(counts)
    gains = -mean_draws(d, _DRAWS, seed)
    factors = [_factor(shares, losses, gain) for losses, gain in zip(drawn, gains, strict=True)]
    # by rank, so that what lies outside is only the largest or the smallest
    low, high = np.quantile(factors, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    gain = -float(d.mean())
    return Here(
        _factor(shares, means, gain), float(low), float(high), tokens, gain, list(shares), [float(x) for x in means]
    )


def _factor(shares: Sequence[float], losses: Floats, gain: float) -> float:
    """Where A's loss, 0 at share 1, is -gain: monotone cubic in the logarithm of tokens (Fritsch and Carlson 1980)."""
    from scipy.interpolate import PchipInterpolator
    from scipy.optimize import isotonic_regression

    x = np.log(np.array([*shares, 1.0]))
    order = np.argsort(x)
    fallen = -np.array([*losses, 0.0])[order]
    # the whole length counts more, so that no gain is no factor but 1
    weights = np.where(x[order] == 0, 1e6, 1.0)
    rising = np.asarray(isotonic_regression(fallen, weights=weights).x)
    # strictly, or there is no inverse
    rising = rising + np.arange(len(rising)) * max(1e-9, 1e-6 * float(np.ptp(rising)))
    rising -= rising[int(np.argmax(weights))]
    if gain > rising[-1]:
        return math.inf
    if gain < rising[0]:
        return 0.0
    return float(np.exp(PchipInterpolator(rising, x[order])(gain)))
