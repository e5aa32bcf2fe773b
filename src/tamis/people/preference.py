"""Strengths from comparisons: Bradley and Terry, with ties, the effect of position, and raters.

    d = skill_r (s_first - s_second) + position_r
    `half`       P(first) = sigmoid(d); a tie is half a win for either side
    `davidson`   P(first), P(second), P(tie)  ~  exp(d/2), exp(-d/2), exp(tie)          (Davidson 1970)

A weak normal prior (precision `prior`, mean 0) keeps the undefeated finite. Strengths have mean 0 within each connected
component of the graph of comparisons: between components nothing can be compared, and the components are reported.
Maximised by L-BFGS on the exact gradient: accepted steps never lower the objective. Memory: the comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tamis.people.labels import Labels, NotLabels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CHOICES: Mapping[str, float] = {"first": 1.0, "second": 0.0, "tie": 0.5}
_INTERVALS_UP_TO = 500  # parameters: the covariance needs twice as many gradients and a matrix of that size


class Standing(Enum):
    """How far the strengths can be trusted; `Strengths.why` says it in words."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not converged"
    HELD_BY_PRIOR = "held by the prior"  # someone never lost, or never won: only the prior keeps them finite
    SEVERAL_COMPONENTS = "several components"


@dataclass(frozen=True)
class Comparisons:
    """N comparisons: first, second (N,) codes into `names`, outcome (N,) 1 first, 0 second, 1/2 tie; rater (N,) codes.
    Names are sorted and so are rows, so that no result depends on their order."""

    first: Ints
    second: Ints
    outcome: Floats
    rater: Ints
    names: tuple[str, ...]
    raters: tuple[str, ...]

    @classmethod
    def of(
        cls, firsts: Iterable[Any], seconds: Iterable[Any], choices: Iterable[str], raters: Iterable[Any] | None = None
    ) -> Comparisons:
        """choices: `first`, `second` or `tie`. Raises NotLabels for another word or sequences of unequal length."""
        left, right = [str(name) for name in firsts], [str(name) for name in seconds]
        chosen = list(choices)
        who = ["" for _ in left] if raters is None else [str(name) for name in raters]
        if not len(left) == len(right) == len(chosen) == len(who):
            raise NotLabels("comparisons need as many firsts, seconds, choices and raters")
        strange = sorted({str(choice) for choice in chosen if choice not in CHOICES})
        if strange:
            raise NotLabels(f"a choice is first, second or tie, not {', '.join(strange[:5])}")
        if not left:
            raise NotLabels("there are no comparisons")
        names, people = sorted({*left, *right}), sorted(set(who))
        code, person = ({name: number for number, name in enumerate(all_)} for all_ in (names, people))
        rows = sorted(
            (code[a], code[b], CHOICES[c], person[w]) for a, b, c, w in zip(left, right, chosen, who, strict=True)
        )
        if any(a == b for a, b, *_ in rows):
            raise NotLabels("something is compared with itself")
        first, second, outcome, rater = (np.array(column) for column in zip(*rows, strict=True))
        return cls(first, second, outcome, rater, tuple(names), tuple(people))

    @classmethod
    def from_labels(cls, labels: Labels, pairs: Mapping[str, tuple[str, str]]) -> Comparisons:
        """Labels `first`, `second`, `tie` on examples of which `pairs` names the two that were shown, in that order."""
        rows = [(*pairs[example], label, rater) for example, rater, label in labels if example in pairs]
        return cls.of(*zip(*rows, strict=True)) if rows else cls.of([], [], [])

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class Strengths:
    """Log-strengths with mean 0 in each component, and their 95 % interval (Wald, from the observed information; nan
    above 500 parameters). position: log-odds for the first place, by rater where asked for. skill: by rater."""

    names: tuple[str, ...]
    strength: Floats
    low: Floats
    high: Floats
    n: Ints
    component: Ints
    position: Mapping[str, tuple[float, float, float]]
    skill: Mapping[str, tuple[float, float, float]]
    tie: float | None
    log_likelihood: float
    trace: tuple[float, ...]
    standing: Standing
    why: str

    @property
    def components(self) -> int:
        return int(self.component.max()) + 1

    def probability(self, a: str, b: str) -> float:
        """That `a` is preferred to `b` when neither has the better place (of a decided comparison). Raises ValueError
        across components, where nothing is known."""
        i, j = self.names.index(a), self.names.index(b)
        if self.component[i] != self.component[j]:
            raise ValueError(f"{a} and {b} are in different components: nobody compared anything that joins them")
        return 1 / (1 + math.exp(self.strength[j] - self.strength[i]))

    def to_json(self) -> dict[str, Any]:
        order = np.lexsort((np.arange(len(self.names)), -self.strength)).tolist()
        columns = {"strength": self.strength, "low": self.low, "high": self.high}
        rows = [
            {"name": self.names[row], **{name: _or_none(values[row]) for name, values in columns.items()}}
            | {"n": int(self.n[row]), "component": int(self.component[row])}
            for row in order
        ]
        return {
            "strengths": rows,
            "position": {name: dict(zip(("value", "low", "high"), map(_or_none, found), strict=True))
                         for name, found in self.position.items()},
            "skill": {name: dict(zip(("value", "low", "high"), map(_or_none, found), strict=True))
                      for name, found in self.skill.items()},
            "tie": self.tie,
            "log_likelihood": self.log_likelihood,
            "components": self.components,
            "status": self.standing.value,
            "why": self.why,
        }  # fmt: skip


def bradley_terry(
    comparisons: Comparisons,
    *,
    ties: Literal["half", "davidson"] = "half",
    prior: float = 0.01,
    position: Literal["none", "all", "rater"] = "none",
    skill: bool = False,
    weights: Mapping[str, float] | None = None,
) -> Strengths:
    """Strengths by penalised maximum likelihood.

    prior: precision of the normal prior on strengths (0.01: a standard deviation of 10, which nobody with a win and a
    loss feels; 0 for none). position: one log-odds for the first place, or one a rater (prior N(0, 1)). skill: a factor
    a rater on differences, prior N(1, 1): 0 is a rater who does not look, below 0 one who prefers the weaker.
    Strengths and skills share a scale that only the prior holds, so compare skills with each other.
    weights: how much a rater's comparisons count; 1 where not named.
    """
    problem = _Problem(comparisons, ties == "davidson", prior, position, skill, weights or {})
    from scipy.optimize import minimize

    start = problem.start()
    trace = [-problem.loss(start)[0]]

    def note(intermediate_result: Any) -> None:
        trace.append(-float(intermediate_result.fun))

    options: Any = {"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-8}
    loss: Any = problem.loss
    found = minimize(loss, start, jac=True, method="L-BFGS-B", callback=note, options=options)
    error = problem.errors(found.x)
    component, strong = _components(comparisons)
    size = len(comparisons.names)
    strength = found.x[:size].copy()
    for one in range(int(component.max()) + 1):
        strength[component == one] -= strength[component == one].mean()
    width = 1.959963984540054 * error
    steep = float(np.abs(problem.loss(found.x)[1]).max())
    standing = Standing.CONVERGED if found.success or steep < 1e-4 else Standing.NOT_CONVERGED
    why = f"{found.nit} steps; the steepest slope left is {steep:.1g}"
    if component.max() > 0:
        standing, why = (
            Standing.SEVERAL_COMPONENTS,
            f"{int(component.max()) + 1} groups that nobody compared: each has its own zero",
        )
    elif not strong:
        standing = Standing.HELD_BY_PRIOR
        why = "some never lost to the rest, or never won: their strength is as far as the prior lets it"
    n = np.bincount(comparisons.first, minlength=size) + np.bincount(comparisons.second, minlength=size)
    positions = {name: _around(found.x[at], width[at]) for name, at in problem.position_names().items()}
    skills = {name: _around(found.x[at], width[at]) for name, at in problem.skill_names().items()}
    return Strengths(
        comparisons.names, strength, strength - width[:size], strength + width[:size], n, component, positions, skills,
        float(found.x[problem.tie_at]) if problem.davidson else None,
        problem.likelihood(found.x), tuple(trace), standing, why,
    )  # fmt: skip


class _Problem:
    """Parameters in a row: strengths (A), position (0, 1 or R), skill (0 or R), tie (0 or 1)."""

    def __init__(
        self, data: Comparisons, davidson: bool, prior: float, position: str, skill: bool, weights: Mapping[str, float]
    ) -> None:
        self.davidson, self.prior = davidson, prior
        self.raters = data.raters
        self.each = position == "rater"
        self.positions = {"none": 0, "all": 1, "rater": len(data.raters)}[position]
        self.skills = len(data.raters) if skill else 0
        self.position_at = len(data.names)
        self.skill_at = self.position_at + self.positions
        self.tie_at = self.skill_at + self.skills
        # Equal comparisons are counted once, with their number: after that, cost does not grow with their number.
        raters = data.rater if self.each or skill or weights else np.zeros(len(data), np.int64)
        key = (data.first * len(data.names) + data.second) * 3 + (2 * data.outcome).astype(np.int64)
        _, at, number = np.unique(key * len(data.raters) + raters, return_index=True, return_counts=True)
        self.first, self.second, self.outcome, self.rater = (
            data.first[at],
            data.second[at],
            data.outcome[at],
            raters[at],
        )
        self.weight = number * np.array([weights.get(name, 1.0) for name in data.raters])[self.rater]
        self.where = self.rater if self.each else np.zeros(len(at), np.int64)

    def start(self) -> Floats:
        parameters = np.zeros(self.tie_at + self.davidson)
        parameters[self.skill_at : self.tie_at] = 1
        return parameters

    def _difference(self, parameters: Floats) -> tuple[Floats, Floats, Floats | float]:
        gap = parameters[self.first] - parameters[self.second]
        scale: Floats | float = parameters[self.skill_at : self.tie_at][self.rater] if self.skills else 1.0
        d = scale * gap
        if self.positions:
            d = d + parameters[self.position_at : self.skill_at][self.where]
        return d, gap, scale

    def _terms(self, parameters: Floats) -> tuple[Floats, Floats, Floats]:
        """Log-likelihood of each comparison, its slope in d, and in the tie parameter."""
        d, _, _ = self._difference(parameters)
        outcome = self.outcome
        if not self.davidson:
            value = -outcome * np.logaddexp(0, -d) - (1 - outcome) * np.logaddexp(0, d)
            return value, outcome - 0.5 * (1 + np.tanh(d / 2)), np.zeros(0)
        tie = parameters[self.tie_at]
        total = np.logaddexp(np.logaddexp(d / 2, -d / 2), tie)
        is_tie = outcome == 0.5
        value = np.where(is_tie, tie, (outcome - 0.5) * d) - total
        slope = (outcome - 0.5) - 0.5 * (np.exp(d / 2 - total) - np.exp(-d / 2 - total))
        return value, slope, is_tie - np.exp(tie - total)

    def likelihood(self, parameters: Floats) -> float:
        return float((self.weight * self._terms(parameters)[0]).sum())

    def loss(self, parameters: Floats) -> tuple[float, Floats]:
        _, gap, scale = self._difference(parameters)
        values, slope, tie_slope = self._terms(parameters)
        slope = self.weight * slope
        gradient = np.zeros_like(parameters)
        size = self.position_at
        gradient[:size] = np.bincount(self.first, slope * scale, size)
        gradient[:size] -= np.bincount(self.second, slope * scale, size)
        penalty = 0.5 * self.prior * float((parameters[:size] ** 2).sum())
        gradient[:size] -= self.prior * parameters[:size]
        if self.positions:
            place = slice(self.position_at, self.skill_at)
            gradient[place] = np.bincount(self.where, slope, self.positions)
            if self.each:
                gradient[place] -= parameters[place]
                penalty += 0.5 * float((parameters[place] ** 2).sum())
        if self.skills:
            place = slice(self.skill_at, self.tie_at)
            gradient[place] = np.bincount(self.rater, slope * gap, self.skills) - (parameters[place] - 1)
            penalty += 0.5 * float(((parameters[place] - 1) ** 2).sum())
        if self.davidson:  # a weak prior, or data without ties would send it away
            gradient[self.tie_at] = float((self.weight * tie_slope).sum()) - 0.01 * parameters[self.tie_at]
            penalty += 0.005 * float(parameters[self.tie_at] ** 2)
        return penalty - float((self.weight * values).sum()), -gradient

    def errors(self, parameters: Floats) -> Floats:
        """Standard errors from the curvature, in the space where strengths sum to zero."""
        size = len(parameters)
        if size > _INTERVALS_UP_TO:
            return np.full(size, np.nan)
        step = 1e-5
        curvature = np.empty((size, size))
        for at in range(size):
            shift = np.zeros(size)
            shift[at] = step
            curvature[at] = (self.loss(parameters + shift)[1] - self.loss(parameters - shift)[1]) / (2 * step)
        curvature = (curvature + curvature.T) / 2
        centre = np.eye(size)
        centre[: self.position_at, : self.position_at] -= 1 / self.position_at
        covariance = centre @ np.linalg.pinv(curvature, rcond=1e-10, hermitian=True) @ centre.T
        errors: Floats = np.sqrt(np.maximum(np.diag(covariance), 0))
        return errors

    def position_names(self) -> dict[str, int]:
        names = self.raters if self.each else ("all",) * self.positions
        return {name: self.position_at + number for number, name in enumerate(names)}

    def skill_names(self) -> dict[str, int]:
        return {name: self.skill_at + number for number, name in enumerate(self.raters) if self.skills}


def _components(data: Comparisons) -> tuple[Ints, bool]:
    """(A,) the component of each, numbered by its first name; and whether everyone is reachable from everyone by wins
    or ties, which is what finite strengths need without a prior (Ford 1957)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    size = len(data.names)
    wins, losses = data.outcome > 0, data.outcome < 1
    winner = np.concatenate([data.first[wins], data.second[losses]])
    loser = np.concatenate([data.second[wins], data.first[losses]])
    graph = coo_array((np.ones(len(winner)), (winner, loser)), shape=(size, size)).tocsr()
    _, weak = connected_components(graph, directed=True, connection="weak")
    strong, _ = connected_components(graph, directed=True, connection="strong")
    _, first = np.unique(weak, return_index=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[weak], strong == 1


def _around(value: float, width: float) -> tuple[float, float, float]:
    return float(value), float(value - width), float(value + width)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
