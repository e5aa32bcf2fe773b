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
_GRID = 200


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
    factors = _factors(shares, drawn, gains)
    # by rank, so that what lies outside is only the largest or the smallest
    low, high = np.quantile(factors, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    gain = -float(d.mean())
    factor = float(_factors(shares, means[None], np.array([gain]))[0])
    return Here(factor, float(low), float(high), tokens, gain, list(shares), [float(x) for x in means])


def _factors(shares: Sequence[float], losses: Floats, gains: Floats) -> Floats:
    """Of K draws, losses (K, lengths) relative to share 1 and gains (K,): where A's loss is -gain, (K,). Losses are
    made to fall (isotonic), and are a monotone cubic of the logarithm of tokens (Fritsch and Carlson 1980)."""
    from scipy.interpolate import PchipInterpolator

    x = np.log(np.array([*shares, 1.0]))
    order = np.argsort(x)
    x = x[order]
    whole = int(np.flatnonzero(order == len(shares))[0])
    fallen = -np.hstack([losses, np.zeros((len(losses), 1))])[:, order]
    # the whole length counts more, so that no gain is no factor but 1
    rising = _rising(fallen, np.where(order == len(shares), 1e6, 1.0))
    # strictly, or there is no inverse
    rising = rising + 1e-6 * (np.ptp(rising, axis=1, keepdims=True) + 1e-3) * x
    rising = rising - rising[:, [whole]]
    grid = np.unique(np.concatenate([np.linspace(x[0], x[-1], _GRID), x]))
    curves = PchipInterpolator(x, rising, axis=1)(grid)
    at = np.clip((curves < gains[:, None]).sum(1), 1, len(grid) - 1)
    rows = np.arange(len(curves))
    left, right = curves[rows, at - 1], curves[rows, at]
    inside = np.exp(grid[at - 1] + (gains - left) / (right - left) * (grid[at] - grid[at - 1]))
    found: Floats = np.where(gains > rising[:, -1], np.inf, np.where(gains < rising[:, 0], 0.0, inside))
    return found


def _rising(values: Floats, weights: Floats) -> Floats:
    """Isotonic regression of every row, by the max-min formula: for a handful of columns."""
    n = values.shape[1]
    means = {
        (a, b): (values[:, a : b + 1] * weights[a : b + 1]).sum(1) / weights[a : b + 1].sum()
        for a in range(n)
        for b in range(a, n)
    }
    columns = [
        np.max([np.min([means[a, b] for b in range(i, n)], axis=0) for a in range(i + 1)], axis=0) for i in range(n)
    ]
    return np.stack(columns, axis=1)
