"""What a difference in loss is worth, in tokens and in compute, by inverting a fitted law.

L(N, D) = E + A / N^alpha + B / D^beta. Arm A has trained N parameters on D tokens; B's loss is lower by `gain`:

- data-equivalent: how many tokens D' would A need, at the same N, for L(N, D') = L(N, D) - gain;
- compute-equivalent: how much more compute would lower the law's best loss by the same gain, from the point of the
  compute-optimal frontier (C = 6 N D; Hoffmann et al. 2022, equation 4) that has the loss L(N, D).

Both are ratios: 1.2 says that B saves 1 / 1.2 of the cost. The law's unit counts: a difference in bits per byte becomes
nats per token by `nats_per_token`. A gain beyond what tokens can give has no equivalent: infinity, and `why`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tamis.proof.loss_problem import NAMES
from tamis.proof.metric import Floats
from tamis.proof.scaling import LossFit

_DRAWS = 4000
_Factor = Callable[[Floats, float, float, Floats], Floats]


@dataclass(frozen=True)
class Equivalent:
    """factor: more tokens (or FLOP) that A would need for B's loss, with its interval over draws of the difference and
    of the law. amount: factor times what A had. unreachable: share of the draws without an equivalent. extrapolates:
    how many times beyond the law's runs the amount lies (1: inside)."""

    kind: str
    factor: float
    low: float
    high: float
    amount: float
    unreachable: float
    extrapolates: float = 1.0
    why: str = ""

    def __str__(self) -> str:
        if math.isinf(self.factor):
            return f"{self.kind}: none; {self.why}"
        high = "no end" if math.isinf(self.high) else f"{self.high:.3g}"
        far = f"; {self.extrapolates:.2g} times beyond the runs of the law" if self.extrapolates > 1 else ""
        return f"{self.kind}: {self.factor:.3g}x [{self.low:.3g}, {high}]{far}"


def nats_per_token(bits_per_byte: float, bytes_per_token: float) -> float:
    """
    >>> round(nats_per_token(1.0, 4.0), 4)
    2.7726
    """
    return bits_per_byte * math.log(2) * bytes_per_token


def data_equivalent(
    law: LossFit, parameters: float, tokens: float, gain: float, *, gains: npt.ArrayLike = (), level: float = 0.95,
    seed: int = 17,
) -> Equivalent:  # fmt: skip
    """gain: how much lower B's loss is than A's (negative: higher), in nats per token. gains: draws of it, such as
    bootstrap means over seeds, drawn together with the bootstrap draws of the law; without draws of either the interval
    is the point. Raises Unreliable where the fit is."""
    return _equivalent("data-equivalent", _data, law, parameters, tokens, gain, gains, level, seed, tokens)


def compute_equivalent(
    law: LossFit, parameters: float, tokens: float, gain: float, *, gains: npt.ArrayLike = (), level: float = 0.95,
    seed: int = 17,
) -> Equivalent:  # fmt: skip
    """As `data_equivalent`, in FLOP along the compute-optimal frontier; amount: of 6 N D."""
    flop = 6 * parameters * tokens
    return _equivalent("compute-equivalent", _compute, law, parameters, tokens, gain, gains, level, seed, flop)


def _data(values: Floats, n: float, d: float, gain: Floats) -> Floats:
    """Of draws of the law (K, 5) and of the gain (K,): (K,) factors."""
    _, b, _, _, beta = _named(values)
    return _inverted(b * d**-beta, gain, beta)


def _compute(values: Floats, n: float, d: float, gain: Floats) -> Floats:
    """The frontier is L = E + K C^-(alpha beta / (alpha + beta)), and K cancels."""
    a, b, _, alpha, beta = _named(values)
    return _inverted(a * n**-alpha + b * d**-beta, gain, alpha * beta / (alpha + beta))


def _inverted(term: Floats, gain: Floats, power: Floats) -> Floats:
    """How many times more of x lowers term ~ x^-power by gain; infinite where gain is all of it or more."""
    left = np.maximum((term - gain) / term, 0.0)
    with np.errstate(divide="ignore", over="ignore"):
        return left ** (-1 / power)


def _named(values: Floats) -> list[Floats]:
    return [values[:, NAMES.index(name)] for name in ("A", "B", "E", "alpha", "beta")]


def _equivalent(
    kind: str, factor: _Factor, law: LossFit, n: float, d: float, gain: float, gains: npt.ArrayLike, level: float,
    seed: int, base: float,
) -> Equivalent:  # fmt: skip
    if not (n > 0 and d > 0 and math.isfinite(gain)):
        raise ValueError(f"{n:g} parameters, {d:g} tokens, gain {gain:g}: positive sizes and a number are needed")
    samples, drawn = law.require().samples, np.asarray(gains, np.float64)
    value = float(factor(samples[:1], n, d, np.array([gain]))[0])
    laws = samples[1:] if len(samples) > 1 else samples
    drawn = drawn if len(drawn) else np.array([gain])
    rng = np.random.default_rng(seed)
    draws = factor(laws[rng.integers(0, len(laws), _DRAWS)], n, d, drawn[rng.integers(0, len(drawn), _DRAWS)])
    # by rank, so that an infinite draw is only the largest
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    amount = value * base
    beyond = law.extrapolates(params=n, **{"tokens" if factor is _data else "flops": amount})
    what = "tokens" if factor is _data else "FLOP"
    why = "" if math.isfinite(value) else f"by the law no number of {what} can give the gain of {gain:.3g}"
    return Equivalent(
        kind, value, float(low), float(high), amount, float(np.mean(np.isinf(draws))),
        beyond if math.isfinite(beyond) else math.inf, why,
    )  # fmt: skip
