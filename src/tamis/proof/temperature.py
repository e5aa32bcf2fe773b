"""Temperature scaling: one number by which logits are divided so that the model is as often right as it says.

The ranking of answers does not change, only how sure the model is (Guo, Pleiss, Sun and Weinberger 2017). Fitted on one
part of the answers and judged on the other, for a temperature judged where it was fitted is always too good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof.calibration import Calibration, calibration
from tamis.proof.metric import Floats, Ints, NothingCounted


@dataclass(frozen=True)
class Temperature:
    """Logits are divided by `value`. before, after: calibration on the other half of the answers, never on the half
    that the temperature was fitted on. nats_before, nats_after: negative log-likelihood there. at_bound: the interval
    reaches the end of the range that was searched (0.01 to 100): every answer was right, or the logits say nothing."""

    value: float
    low: float
    high: float
    fitted_on: int
    nats_before: float
    nats_after: float
    before: Calibration
    after: Calibration

    @property
    def at_bound(self) -> bool:
        return math.log(self.low) <= _COLDEST or math.log(self.high) >= _HOTTEST

    def to_json(self) -> dict[str, Any]:
        names = ("value", "low", "high", "at_bound", "fitted_on", "nats_before", "nats_after")
        body = {name: getattr(self, name) for name in names}
        return body | {"before": self.before.to_json(), "after": self.after.to_json()}


def temperature(
    logits: npt.ArrayLike, labels: npt.ArrayLike, *, share: float = 0.5, seed: int = 17, level: float = 0.95,
    documents: npt.ArrayLike | None = None,
) -> Temperature:  # fmt: skip
    """Temperature scaling (Guo et al. 2017): the T of the least negative log-likelihood on a random `share` of the
    answers, judged on the rest. logits (n, K), -inf where a case has fewer options; labels (n,). The interval is that
    of the profile likelihood. documents (n,): see `calibration`, whose intervals then resample documents. Raises
    NothingCounted, or ValueError where a label has no finite logit."""
    z, y = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if z.ndim != 2 or z.shape[0] != len(y) or (len(y) and not 0 <= y.min() <= y.max() < z.shape[1]):
        raise ValueError(f"logits of shape {z.shape} do not fit {len(y)} labels")
    if np.isnan(z).any() or np.isposinf(z).any() or not np.isfinite(z[np.arange(len(y)), y]).all():
        raise ValueError("temperature: the logit of a right answer is not a finite number")
    order = np.random.default_rng(seed).permutation(len(y))
    fit, rest = order[: round(share * len(y))], order[round(share * len(y)) :]
    if min(len(fit), len(rest)) < 10:
        raise NothingCounted(f"temperature: {len(y)} answers cannot be split into one half to fit and one to judge")
    value, low, high = _fit_temperature(z[fit], y[fit], level)
    owners = None if documents is None else np.asarray(documents)[rest]
    both = []
    for t in (1.0, value):
        p = _softmax(z[rest] / t)
        both.append(
            calibration(
                p.max(1),
                p.argmax(1) == y[rest],
                what=f"highest probability at temperature {t:.3f}",
                seed=seed,
                documents=owners,
            )
        )
    before, after = (_nats(z[rest], y[rest], t) for t in (1.0, value))
    return Temperature(value, low, high, len(fit), before, after, both[0], both[1])


_COLDEST, _HOTTEST = math.log(1e-2), math.log(1e2)


def _fit_temperature(z: Floats, y: Ints, level: float) -> tuple[float, float, float]:
    from scipy.optimize import brentq, minimize_scalar
    from scipy.stats import chi2

    best = minimize_scalar(lambda t: _nats(z, y, math.exp(t)), bounds=(_COLDEST, _HOTTEST), method="bounded")
    limit = best.fun + chi2.ppf(level, 1) / (2 * len(y))
    ends = []
    for end in (_COLDEST, _HOTTEST):
        inside = _nats(z, y, math.exp(end)) <= limit
        ends.append(
            end if inside else brentq(lambda t: _nats(z, y, math.exp(t)) - limit, min(end, best.x), max(end, best.x))
        )
    return math.exp(best.x), math.exp(ends[0]), math.exp(ends[1])


def _nats(z: Floats, y: Ints, t: float) -> float:
    scaled = z / t
    top = scaled.max(1)
    return float(np.mean(top + np.log(np.exp(scaled - top[:, None]).sum(1)) - scaled[np.arange(len(y)), y]))


def _softmax(z: Floats) -> Floats:
    shifted = np.exp(z - z.max(1, keepdims=True))
    found: Floats = shifted / shifted.sum(1, keepdims=True)
    return found
