"""What a repeated token is worth: the data-constrained law (Muennighoff et al. 2023, "Scaling Data-Constrained Language
Models", equations 5 to 7).

L = E + A/N'^alpha + B/D'^beta, where D' = U (1 + r (1 - exp(-(D/U - 1)/r))) with U distinct tokens seen D/U times and
r = R_D*; N' likewise of the parameters beyond those that U tokens can use, with R_N*.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import SaidNo
from tamis.proof import scaling
from tamis.proof.logsumexp import huber
from tamis.proof.loss_problem import DELTA
from tamis.proof.runs import Runs
from tamis.proof.scaling import Interval, LossFit, Status

Floats = npt.NDArray[np.float64]

# Muennighoff et al. 2023, section 4 (C4, GPT-2 shapes to 9 B parameters): the default where nothing was fitted.
R_DATA, R_PARAMS = 15.39, 5.31
ONCE = 1.02  # epochs up to which tokens count as distinct
RANGE = (0.05, 2000.0)  # R* is sought here: below, repeats are worth nothing; above, as much as fresh tokens


class NoBase(ValueError, SaidNo):
    """The runs without repeats do not give a law on which repeats could be judged."""


@dataclass(frozen=True)
class Repeats:
    """The two constants of repetition, with intervals where they were fitted."""

    data: Interval  # R_D*, in epochs beyond the first
    params: Interval  # R_N*
    status: Status
    why: str
    objective: float | None = None

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"status": str(self.status), "why": self.why}
        if self.status is Status.CONVERGED:
            body |= {"R_D": self.data.to_json(), "R_N": self.params.to_json(), "objective": self.objective}
        return body


PUBLISHED = Repeats(
    Interval(R_DATA, R_DATA, R_DATA),
    Interval(R_PARAMS, R_PARAMS, R_PARAMS),
    Status.CONVERGED,
    "R* as published (Muennighoff et al. 2023), not fitted to these runs",
)


def worth(unique: npt.ArrayLike, repeats: npt.ArrayLike, constant: npt.ArrayLike) -> Floats:
    """unique (1 + r (1 - exp(-repeats/r))): what `repeats` more passes make of it. Equals all of them as r grows."""
    r = np.asarray(constant, dtype=np.float64)
    return np.asarray(np.asarray(unique) * (1 - r * np.expm1(-np.asarray(repeats) / r)))


def effective(
    values: Floats,
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    unique: npt.ArrayLike,
    r_data: npt.ArrayLike = R_DATA,
    r_params: npt.ArrayLike = R_PARAMS,
) -> tuple[Floats, Floats]:
    """(N', D') under the law `values` (..., 5): what N parameters and D tokens, U of them distinct, count as."""
    n, d = np.asarray(params, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    distinct = np.minimum(np.asarray(unique, dtype=np.float64), d)
    useful = np.minimum(n, params_for_tokens(values, distinct))
    return worth(useful, n / useful - 1, r_params), worth(distinct, d / distinct - 1, r_data)


def params_for_tokens(values: Floats, tokens: npt.ArrayLike) -> Floats:
    """The parameters for which `tokens` are compute-optimal: alpha A / N^alpha = beta B / D^beta."""
    A, B, _, alpha, beta = np.moveaxis(np.asarray(values), -1, 0)
    return np.asarray((alpha * A * np.asarray(tokens, dtype=np.float64) ** beta / (beta * B)) ** (1 / alpha))


def predict(
    values: Floats, params: npt.ArrayLike, tokens: npt.ArrayLike, unique: npt.ArrayLike, repeats: Repeats = PUBLISHED
) -> Floats:
    """The loss in nats per token of N parameters trained on D tokens of which U are distinct."""
    return scaling.law(values, *effective(values, params, tokens, unique, repeats.data.value, repeats.params.value))


def fit(runs: Runs, base: LossFit | None = None, *, bootstrap: int = 200, seed: int = 42) -> Repeats:
    """R_D* and R_N* from runs that say how many of their tokens are distinct, given the law of fresh tokens.

    base: that law; if None it is fitted to the runs without repeats. The same Huber sum as the law's own fit, on a grid
    in ln R* that closes in. The interval resamples the repeated runs and takes the law from its own draws. Raises
    NoBase."""
    runs = runs.finals()
    nan = Interval(float("nan"), float("nan"), float("nan"))
    if runs.unique is None:
        return Repeats(nan, nan, Status.TOO_FEW_POINTS, "the table does not say how many tokens are distinct")
    again = runs.tokens / runs.unique > ONCE
    repeated = runs.take(again)
    if len(repeated) < 6:
        return Repeats(
            nan, nan, Status.TOO_FEW_POINTS, f"{len(repeated)} runs with repeated tokens; at least 6 are needed"
        )
    if base is None:
        base = scaling.fit(runs.take(~again), bootstrap=bootstrap, profiles=False)
    if not base.reliable:
        raise NoBase(f"the runs without repeats give no law ({base.status}): {base.why}")
    centre, objective = _closest(repeated, base.values, np.ones(len(repeated)))
    random = np.random.RandomState(seed)
    draws = np.empty((bootstrap, 2))
    for at in range(bootstrap):
        weights = np.bincount(random.choice(len(repeated), len(repeated)), minlength=len(repeated))
        values = base.values if base.draws is None else base.draws[at % len(base.draws)]
        draws[at] = _closest(repeated, values, weights.astype(np.float64))[0]
    method = "bootstrap over runs" if base.draws is not None else "bootstrap over repeated runs, the law held fixed"
    data, params = (
        Interval(float(np.exp(centre[i])), *scaling.spread(np.exp(draws[:, i])), method=method) for i in (0, 1)
    )
    edges = np.log(np.array(RANGE))
    at_edge = (centre <= edges[0] + 1e-2) | (centre >= edges[1] - 1e-2)
    if at_edge[0]:
        why = f"R_D* is at its bound {data.value:.3g}: the runs do not show what a repeated token is worth"
        return Repeats(data, params, Status.AT_BOUND, why, objective)
    epochs = float((repeated.tokens / np.asarray(repeated.unique)).max())
    why = f"{len(repeated)} repeated runs, up to {epochs:.3g} epochs"
    if np.isclose(data.high, RANGE[1], rtol=1e-2):
        why += f"; R_D* has no upper end: {RANGE[1]:g}, the bound of the search, is in its interval"
    if at_edge[1]:
        why += "; R_N* is at its bound: no model was much larger than its distinct tokens can use"
    return Repeats(data, params, Status.CONVERGED, why, objective)


def _closest(
    repeated: Runs, values: Floats, weights: Floats, points: int = 13, rounds: int = 9
) -> tuple[Floats, float]:
    """ln R_D* and ln R_N* of least weighted Huber loss: a grid whose cells halve around the best point."""
    assert repeated.unique is not None
    low, high = np.log(np.array(RANGE))
    middle, half = np.full(2, (low + high) / 2), (high - low) / 2
    target = np.log(repeated.loss)
    best = np.inf
    for _ in range(rounds):
        one, two = (np.clip(np.linspace(at - half, at + half, points), low, high) for at in middle)
        data, params = (axis.ravel()[:, None] for axis in np.meshgrid(np.exp(one), np.exp(two), indexing="ij"))
        shape = effective(values, repeated.params, repeated.tokens, repeated.unique, data, params)
        total = huber(np.log(scaling.law(values, *shape)) - target, DELTA) @ weights
        place = int(total.argmin())
        middle, best = np.log(np.array([data[place, 0], params[place, 0]])), float(total[place])
        half *= 0.4
    return middle, best


def from_json(body: dict[str, Any] | None) -> Repeats | None:
    """The constants that `to_json` wrote, or None where nothing reliable was written."""
    if not body or body.get("status") != Status.CONVERGED:
        return None
    data, params = (
        Interval(float(body[name]["value"]), float(body[name]["low"]), float(body[name]["high"]))
        for name in ("R_D", "R_N")
    )
    return Repeats(data, params, Status.CONVERGED, f"R* fitted: {body.get('why', '')}", body.get("objective"))
