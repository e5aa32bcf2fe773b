"""The law of loss over parameters and tokens, L(N, D) = E + A/N^alpha + B/D^beta, fitted to a table of runs.

Chinchilla's third approach (Hoffmann et al. 2022, section 3.3) as corrected by Besiroglu et al. 2024: the SUM of Huber
losses (delta 1e-3) of ln L, from many starts, to the optimum. A fit carries its status: one that stopped early, lies at
a bound or does not determine its parameters is an object that says so. Rows of the table are runs: intervals come from
a bootstrap over them, and from the profile of the objective.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import SaidNo
from tamis.proof import logsumexp
from tamis.proof.loss_problem import DELTA, NAMES, Flag, LossFunction, Problem, starts
from tamis.proof.runs import FLOP_PER_PARAMETER_TOKEN, Runs

Floats = npt.NDArray[np.float64]
FEWEST_RUNS, FEWEST_SIZES = 8, 3


class Status(enum.StrEnum):
    CONVERGED = "CONVERGED"
    AT_BOUND = "AT_BOUND"
    FLAT = "FLAT"
    TOO_FEW_POINTS = "TOO_FEW_POINTS"
    STOPPED_EARLY = "STOPPED_EARLY"


class Unreliable(ValueError, SaidNo):
    """A figure was asked of a fit that does not determine it."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval; method is `bootstrap over runs` or `profile`."""

    value: float
    low: float
    high: float
    level: float = 0.95
    method: str = ""

    def to_json(self) -> dict[str, float | None]:
        """What is open or unknown is null."""
        body = {"value": self.value, "low": self.low, "high": self.high}
        return {name: value if np.isfinite(value) else None for name, value in body.items()}


@dataclass(frozen=True)
class Prediction:
    """A predicted loss in nats per token. `extrapolates`: how many times beyond the fitted runs N, D or C lies (1 is
    inside); no interval covers an error of the law's form."""

    value: float
    low: float | None
    high: float | None
    extrapolates: float


@dataclass(frozen=True)
class LossFit:
    """L(N, D) = E + A/N^alpha + B/D^beta; N parameters, D tokens, L nats per token."""

    A: float
    B: float
    E: float
    alpha: float
    beta: float
    objective: float  # the sum over runs of Huber losses, or of absolute deviations, in ln L
    status: Status
    why: str  # in one sentence what the status means here
    loss_function: LossFunction = "huber"
    delta: float = DELTA
    starts: int = 0  # tried
    agree: int = 0  # of them, how many ended in this optimum
    draws: Floats | None = None  # (K, 5) bootstrapped parameters in the order of NAMES
    lost_draws: int = 0  # resamples whose fit was unreliable; they are in the draws
    profile: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    # Ranges of params, tokens, flops, tokens_per_parameter.
    fitted: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    runs: Runs | None = None

    @property
    def reliable(self) -> bool:
        return self.status is Status.CONVERGED

    @property
    def values(self) -> Floats:
        return np.array([self.A, self.B, self.E, self.alpha, self.beta])

    @property
    def samples(self) -> Floats:
        """The parameters and, below, their bootstrap draws: (1 + K, 5)."""
        return self.values[None] if self.draws is None else np.vstack([self.values[None], self.draws])

    @property
    def a(self) -> float:
        """The optimal number of parameters grows with C to this power: beta / (alpha + beta)."""
        return self.beta / (self.alpha + self.beta)

    def require(self) -> LossFit:
        """Itself, or raises Unreliable."""
        if not self.reliable:
            raise Unreliable(f"the fit is unreliable ({self.status}): {self.why}")
        return self

    def interval(self, name: str, level: float = 0.95) -> Interval:
        """Of a parameter, or of `a`: percentiles of the bootstrap over runs, else the profile (95% only). Raises
        Unreliable where the fit is, or where nothing gives an interval."""
        self.require()
        value = float(getattr(self, name))
        if self.draws is not None:
            low, high = spread(exponent(self.draws) if name == "a" else self.draws[:, NAMES.index(name)], level)
            return Interval(value, low, high, level, "bootstrap over runs")
        if name in self.profile and level == 0.95:
            low, high = self.profile[name]
            return Interval(value, low, high, level, "profile")
        raise Unreliable(f"{name} has no interval: the fit was made without a bootstrap")

    def predict(self, params: float, tokens: float, level: float = 0.95) -> Prediction:
        """The loss of a model of `params` parameters trained on `tokens` distinct tokens."""
        self.require()
        values = law(self.samples, params, tokens)
        low, high = spread(values[1:], level) if len(values) > 1 else (None, None)
        return Prediction(float(values[0]), low, high, self.extrapolates(params=params, tokens=tokens))

    def tokens_for(self, loss: float, params: float) -> float:
        """The tokens on which a model of `params` parameters reaches `loss`; infinite where it never does."""
        left = loss - self.E - self.A * params**-self.alpha
        return float((self.B / left) ** (1 / self.beta)) if left > 0 else np.inf

    def params_for(self, loss: float, tokens: float) -> float:
        """The parameters with which `tokens` tokens reach `loss`; infinite where they never do."""
        left = loss - self.E - self.B * tokens**-self.beta
        return float((self.A / left) ** (1 / self.alpha)) if left > 0 else np.inf

    def extrapolates(self, **sizes: float) -> float:
        """How many times beyond the fitted range the farthest of params, tokens, flops lies; 1 inside."""
        beyond = [1.0]
        for name, size in sizes.items():
            if name in self.fitted:
                low, high = self.fitted[name]
                beyond += [size / high, low / size]
        return max(beyond)

    def to_json(self, *, draws: bool = False) -> dict[str, Any]:
        """The published form. An unreliable fit has no parameters, only its status."""
        objective = self.objective if np.isfinite(self.objective) else None
        body: dict[str, Any] = {"parameters": None, "objective": objective, "status": str(self.status)}
        body["why"] = self.why
        body |= {
            "loss_function": self.loss_function,
            "delta": self.delta,
            "fitted": {k: list(v) for k, v in self.fitted.items()},
        }
        body |= {
            "runs": None if self.runs is None else len(self.runs),
            "starts": self.starts,
            "starts_agree": self.agree,
        }
        body["flagged"] = [vars(flag) for flag in self.flags]
        if not self.reliable:
            return body
        body["parameters"] = {}
        for at, name in enumerate(NAMES):
            entry: dict[str, Any] = {"value": float(self.values[at]), "low": None, "high": None}
            if self.draws is not None or name in self.profile:
                entry = dict(self.interval(name).to_json())
            if self.draws is not None:
                entry["standard_error"] = float(self.draws[:, at].std())
            if name in self.profile:
                entry["profile"] = list(self.profile[name])
            body["parameters"][name] = entry
        body["a"] = self.interval("a").to_json() if self.draws is not None else {"value": self.a}
        body["bootstraps"] = 0 if self.draws is None else len(self.draws)
        body["bootstraps_unreliable"] = self.lost_draws
        if draws and self.draws is not None:
            body["draws"] = [[float(f"{value:.9g}") for value in row] for row in self.draws]
        return body


def from_json(body: Mapping[str, Any]) -> LossFit:
    """The fit that `to_json` wrote (with its draws where they are there). Raises Unreliable for one that is."""
    if not body.get("parameters"):
        raise Unreliable(f"the fit is unreliable ({body.get('status')}): {body.get('why', 'it holds no parameters')}")
    values = [float(body["parameters"][name]["value"]) for name in NAMES]
    profile = {
        name: (float(entry["profile"][0]), float(entry["profile"][1]))
        for name, entry in body["parameters"].items()
        if entry.get("profile")
    }
    A, B, E, alpha, beta = values
    return LossFit(
        A,
        B,
        E,
        alpha,
        beta,
        objective=float(body["objective"]),
        status=Status(body["status"]),
        why=str(body.get("why", "")),
        loss_function=body.get("loss_function", "huber"),
        delta=float(body.get("delta", DELTA)),
        draws=np.array(body["draws"]) if body.get("draws") else None,
        profile=profile,
        fitted={name: (float(pair[0]), float(pair[1])) for name, pair in body.get("fitted", {}).items()},
    )


def law(values: Floats, params: npt.ArrayLike, tokens: npt.ArrayLike) -> Floats:
    """E + A/N^alpha + B/D^beta of parameters (..., 5) in the order of NAMES."""
    A, B, E, alpha, beta = np.moveaxis(np.asarray(values), -1, 0)
    return np.asarray(E + A * np.asarray(params) ** -alpha + B * np.asarray(tokens) ** -beta)


def exponent(values: Floats) -> Floats:
    """a = beta / (alpha + beta) of parameters (..., 5)."""
    return np.asarray(values[..., 4] / (values[..., 3] + values[..., 4]))


def spread(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The percentiles that hold `level` of the values."""
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def fit(
    runs: Runs,
    *,
    loss_function: LossFunction = "huber",
    bootstrap: int = 0,
    seed: int = 42,
    steps: int = 300,
    profiles: bool = True,
    draws_of: Sequence[npt.NDArray[np.int64]] | None = None,
) -> LossFit:
    """Fits the law to runs (n,). Nothing is dropped; runs that the fit leans on are flagged.

    bootstrap: resamples of the runs (numpy's frozen RandomState(seed), one `choice` each, so that published draws can
    be repeated); draws_of: resamples as row numbers instead; steps: most Newton steps of each start. Never raises for
    bad data: the status says what is wrong.
    """
    runs = runs.finals()
    fitted = {name: (float(v.min()), float(v.max())) for name, v in _sizes(runs).items()} if len(runs) else {}
    if reason := _too_few(runs):
        return _nothing(Status.TOO_FEW_POINTS, reason, loss_function, fitted, runs)
    problem = Problem(runs, loss_function)
    begin = starts(runs)
    found = problem.solve(problem.theta(begin), steps=steps)
    best = found.best()
    objective = float(found.objective[best])
    agree = int((found.settled & (found.objective <= objective * (1 + 1e-6))).sum())
    theta = found.theta[best]
    values = problem.values(theta[None])[0]
    A, B, E, alpha, beta = (float(value) for value in values)
    result = LossFit(
        A,
        B,
        E,
        alpha,
        beta,
        objective=objective,
        status=Status.CONVERGED,
        why=f"{agree} of the {len(found.objective)} starts that were followed to the end lie in this optimum",
        loss_function=loss_function,
        delta=DELTA if loss_function == "huber" else 0.0,
        starts=len(begin),
        agree=agree,
        fitted=fitted,
        runs=runs,
    )
    if edge := problem.edges(theta):
        return replace(result, status=Status.AT_BOUND, why=edge + _together(runs))
    if not found.settled[best]:
        why = (
            f"the best of {len(begin)} starts was not at an optimum after {int(found.steps[best])} steps: the next "
            f"step still promises {found.gain[best]:.1%} of the objective; allow more steps{_together(runs)}"
        )
        return replace(result, status=Status.STOPPED_EARLY, why=why)
    if profiles:
        profile, open_ends = problem.profile(theta)
        result = replace(result, profile=profile)
        if open_ends:
            return replace(result, status=Status.FLAT, why=_flat(open_ends, runs))
    if draws_of is None and bootstrap:
        random = np.random.RandomState(seed)
        draws_of = [random.choice(len(runs), len(runs), replace=True) for _ in range(bootstrap)]
    if draws_of is not None and len(draws_of):
        weights = np.stack([np.bincount(rows, minlength=len(runs)) for rows in draws_of]).astype(np.float64)
        again = problem.solve(np.repeat(theta[None], len(weights), axis=0), weights=weights)
        lost = ~again.settled | np.array([bool(problem.edges(one)) for one in again.theta])
        result = replace(result, draws=problem.values(again.theta), lost_draws=int(lost.sum()))
        if lost.mean() > 0.05:
            why = f"{lost.mean():.0%} of the resamples of the runs have no optimum inside the bounds"
            return replace(result, status=Status.FLAT, why=why)
    return replace(result, flags=problem.flags(theta, result.draws))


def examine(runs: Runs, values: Sequence[float], loss_function: LossFunction = "huber") -> tuple[Status, str, float]:
    """Whether parameters (A, B, E, alpha, beta) from elsewhere are an optimum of these runs: status, why, objective.
    Finds fits that stopped early, as those with a mean instead of a sum do (Besiroglu et al. 2024, appendix)."""
    problem = Problem(runs, loss_function)
    start = problem.theta(np.array(values, dtype=np.float64)[None])
    residual = logsumexp.predict(problem.design, start)[0] - problem.target
    best = fit(runs, loss_function=loss_function, profiles=False)
    if best.status is Status.TOO_FEW_POINTS:
        return best.status, best.why, float("nan")
    objective = float((logsumexp.huber(residual, DELTA) if loss_function == "huber" else np.abs(residual)).sum())
    excess = objective / best.objective - 1
    if excess > 1e-3:
        why = f"its objective {objective:.6g} is {excess:.1%} above that of the optimum, {best.objective:.6g}"
        return Status.STOPPED_EARLY, why, objective
    if not best.reliable:
        return best.status, best.why, objective
    return best.status, f"its objective {objective:.6g} is that of the optimum", objective


def _sizes(runs: Runs) -> dict[str, Floats]:
    ratio = runs.tokens / runs.params
    return {"params": runs.params, "tokens": runs.tokens, "flops": runs.flops, "tokens_per_parameter": ratio}


def _too_few(runs: Runs) -> str:
    if len(runs) < FEWEST_RUNS:
        return f"{len(runs)} runs for five parameters; at least {FEWEST_RUNS} are needed"
    for what, values in (("model sizes", runs.params), ("numbers of tokens", runs.tokens)):
        distinct = len(np.unique(np.round(np.log(values), 3)))
        if distinct < FEWEST_SIZES:
            return f"{distinct} different {what}; at least {FEWEST_SIZES} are needed to see a power and a floor"
    return ""


def _flat(open_ends: Sequence[str], runs: Runs) -> str:
    return f"the runs do not determine {', '.join(open_ends)}: the objective hardly rises far away{_together(runs)}"


def _together(runs: Runs) -> str:
    together = abs(float(np.corrcoef(np.log(runs.params), np.log(runs.tokens))[0, 1]))
    if together < 0.95:
        return ""
    return f"; parameters and tokens go together in these runs (correlation {together:.3f}): vary them apart"


def _nothing(
    status: Status, why: str, loss_function: LossFunction, fitted: Mapping[str, tuple[float, float]], runs: Runs
) -> LossFit:
    nan = float("nan")
    return LossFit(nan, nan, nan, nan, nan, nan, status, why, loss_function, fitted=fitted, runs=runs)


def optimum(values: Floats, flops: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Compute-optimal parameters and tokens at C = 6 N D, of parameters (..., 5): N = G (C/6)^a, D = (C/6)^(1-a) / G
    with G = (alpha A / beta B)^(1 / (alpha + beta)). Hoffmann et al. 2022, equation 4."""
    A, B, _, alpha, beta = np.moveaxis(np.asarray(values), -1, 0)
    product = np.asarray(flops, dtype=np.float64) / FLOP_PER_PARAMETER_TOKEN
    scale = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    params = scale * product ** (beta / (alpha + beta))
    return np.asarray(params), np.asarray(product / params)
