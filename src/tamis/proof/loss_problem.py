"""The fitting problem of L(N, D) = E + A/N^alpha + B/D^beta: its coordinates, bounds, starts, covariance and profiles.

Parameters are written (..., 5) in the order of NAMES: A, B, E, alpha, beta.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from tamis.proof import logsumexp
from tamis.proof.runs import Runs

Floats = npt.NDArray[np.float64]
LossFunction = Literal["huber", "lad"]

NAMES = ("A", "B", "E", "alpha", "beta")
DELTA = 1e-3  # Huber's kink in ln L: Hoffmann et al. 2022, section 3.3
LAD_SMOOTH = 1e-6
LAD = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)  # kinks on the way to least absolute deviations, each from the last
HOFFMANN = (406.4, 410.7, 1.69, 0.339, 0.285)  # as printed in 2022 (rounded; the TeX source has .33917 and .28494)
EXPONENTS = (0.01, 2.5)  # the box: beyond it a power of the size is no description of a loss
FLOOR = 1e-3  # E below this share of the lowest loss is no floor
# Multiples of the standard error at which a profile is taken: fine around 2, where most intervals end.
PROFILED = np.array([0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 3, 3.5, 4, 5, 6, 8, 10, 13, 16, 20, 30, 45])
CHI2 = 3.841458820694124  # of 1 degree of freedom, at 95%


@dataclass(frozen=True)
class Flag:
    """A run that the fit leans on: leverage in (0, 1], and how far each parameter moves without it, in standard
    errors (the largest)."""

    row: int
    params: float
    tokens: float
    loss: float
    leverage: float
    moves: float
    parameter: str


def starts(runs: Runs, grid: int = 16, keep: int = 31) -> Floats:
    """Where to start from, as (K, 5) parameters A, B, E, alpha, beta: the best of a grid over alpha and beta, with A,
    B and E by non-negative least squares of the relative loss (variable projection), and Hoffmann's published fit."""
    exponents = np.geomspace(0.05, 1.5, grid)
    alpha, beta = (axis.ravel() for axis in np.meshgrid(exponents, exponents, indexing="ij"))
    n, d = runs.params / np.exp(np.log(runs.params).mean()), runs.tokens / np.exp(np.log(runs.tokens).mean())
    columns = (
        np.stack([n ** -alpha[:, None], d ** -beta[:, None], np.ones((len(alpha), len(n)))], axis=2)
        / runs.loss[:, None]
    )
    size, error = _non_negative(columns, np.ones(len(n)))
    order = np.argsort(error, kind="stable")[:keep]
    size, alpha, beta = np.maximum(size[order], 1e-3 * runs.loss.min()), alpha[order], beta[order]
    A = size[:, 0] * (runs.params / n)[0] ** alpha
    B = size[:, 1] * (runs.tokens / d)[0] ** beta
    return np.vstack([np.stack([A, B, size[:, 2], alpha, beta], axis=1), np.array(HOFFMANN)[None]])


def _non_negative(columns: Floats, target: Floats) -> tuple[Floats, Floats]:
    """min |columns x - target|^2 with x >= 0, for K problems (K, n, 3): the best of the 7 sets of columns that is
    non-negative."""
    gram = np.einsum("kni,knj->kij", columns, columns)
    right = np.einsum("kni,n->ki", columns, target)
    best, solution = np.full(len(columns), np.inf), np.zeros((len(columns), 3))
    for chosen in ([0, 1, 2], [0, 1], [0, 2], [1, 2], [0], [1], [2]):
        part = gram[:, chosen][:, :, chosen] + 1e-14 * np.eye(len(chosen))
        x = np.linalg.solve(part, right[:, chosen, None])[..., 0]
        error = target @ target - np.einsum("ki,ki->k", x, right[:, chosen])
        better = (x >= 0).all(axis=1) & (error < best)
        best[better] = error[better]
        full = np.zeros((len(columns), 3))
        full[:, chosen] = x
        solution[better] = full[better]
    return solution, best


class Problem:
    """The fit in its own coordinates: (ln A - alpha n0, ln B - beta d0, ln E, alpha, beta) with n0 and d0 the middle of
    ln N and ln D, where the parameters hardly depend on each other."""

    def __init__(self, runs: Runs, loss_function: LossFunction) -> None:
        self.n, self.d, self.target = np.log(runs.params), np.log(runs.tokens), np.log(runs.loss)
        self.runs, self.loss_function = runs, loss_function
        self.n0, self.d0 = float(self.n.mean()), float(self.d.mean())
        self.design = self._design(self.n0, self.d0)
        low, high = float(self.target.min()), float(self.target.max())
        self.lower = np.array([low - 15, low - 15, low + np.log(FLOOR), EXPONENTS[0], EXPONENTS[0]])
        self.upper = np.array([high + 5, high + 5, high + 1, EXPONENTS[1], EXPONENTS[1]])

    def _design(self, n0: float, d0: float) -> Floats:
        zero, one = np.zeros_like(self.n), np.ones_like(self.n)
        return np.stack(
            [
                np.stack([one, zero, zero, n0 - self.n, zero], axis=1),
                np.stack([zero, one, zero, zero, d0 - self.d], axis=1),
                np.stack([zero, zero, one, zero, zero], axis=1),
            ]
        )

    def theta(self, values: Floats) -> Floats:
        A, B, E, alpha, beta = values.T
        return np.stack([np.log(A) - alpha * self.n0, np.log(B) - beta * self.d0, np.log(E), alpha, beta], axis=1)

    def values(self, theta: Floats) -> Floats:
        a, b, e, alpha, beta = theta.T
        return np.stack([np.exp(a + alpha * self.n0), np.exp(b + beta * self.d0), np.exp(e), alpha, beta], axis=1)

    def solve(self, start: Floats, *, weights: Floats | None = None, steps: int = 300) -> logsumexp.Minima:
        """From own coordinates (K, 5). Least absolute deviations are approached by ever smaller kinks: to 1e-9, and of
        resamples to 1e-6, where parameters agree to 4 digits."""
        if self.loss_function == "huber":
            return self._minimise(start, DELTA, weights, steps)
        found = self._minimise(start, DELTA, weights, steps)
        if (
            weights is None and len(start) > 1
        ):  # the optimum of one loss is near that of the other: only the best goes on
            order = np.argsort(found.objective, kind="stable")[:4]
            found = logsumexp.Minima(*(getattr(found, name)[order] for name in ("theta", "objective", "gain", "steps")))
        for kink in LAD if weights is None else LAD[1:4:2]:
            found = self._minimise(found.theta, kink, weights, steps)
        deviations = np.abs(logsumexp.predict(self.design, found.theta) - self.target)
        return replace(found, objective=(deviations if weights is None else deviations * weights).sum(axis=1))

    def _minimise(self, start: Floats, delta: float, weights: Floats | None, steps: int) -> logsumexp.Minima:
        return logsumexp.minimise(
            self.design,
            self.target,
            start,
            delta=delta,
            weights=weights,
            lower=self.lower,
            upper=self.upper,
            steps=steps,
        )

    def edges(self, theta: Floats) -> str:
        """Which parameters lie at the edge of what a law can be, or nothing."""
        low = [name for name, value, edge in zip(NAMES, theta, self.lower, strict=True) if value <= edge + 1e-6]
        high = [name for name, value, edge in zip(NAMES, theta, self.upper, strict=True) if value >= edge - 1e-6]
        said = [f"{name} is at its lower bound" for name in low] + [f"{name} is at its upper bound" for name in high]
        return f"{', '.join(said)}: the runs do not show that power or floor" if said else ""

    @property
    def kink(self) -> float:
        """Huber's delta; for least absolute deviations a small one, where derivatives are needed."""
        return DELTA if self.loss_function == "huber" else LAD_SMOOTH

    def spread(self, theta: Floats) -> tuple[float, float]:
        """The means of psi^2 and of psi' (Huber's psi), the latter by the density of the residuals about 0 where the
        kink is smaller than their scatter."""
        residual = logsumexp.predict(self.design, theta[None])[0] - self.target
        psi = np.clip(residual, -self.kink, self.kink)
        width = max(self.kink, 1.06 * 1.4826 * float(np.median(np.abs(residual))) * len(residual) ** -0.2)
        inside = max(float((np.abs(residual) <= width).mean()), 1 / len(residual)) * self.kink / width
        return float((psi * psi).mean()), inside

    def covariance(self, theta: Floats) -> Floats:
        """Of an M-estimate: E psi^2 / (E psi')^2 (J' J)^-1 (Huber 1981, section 7.6)."""
        square, slope = self.spread(theta)
        lean = logsumexp.jacobian(self.design, theta)
        return np.asarray(square / slope**2 * np.linalg.pinv(lean.T @ lean))

    def profile(self, theta: Floats) -> tuple[dict[str, tuple[float, float]], list[str]]:
        """95% profile intervals: the values of one parameter at which the others, fitted anew, raise the objective by
        chi2_1 / 2 x E psi^2 / E psi' (the robust likelihood ratio). Also the names of those that never do within the
        bounds."""
        found: dict[str, tuple[float, float]] = {}
        open_ends: list[str] = []
        for at, name in enumerate(NAMES):
            # A and B are the heights at N = 1 and D = 1: to hold one fixed, that is where its coordinate must lie.
            n0, d0 = (0.0 if at == 0 else self.n0), (0.0 if at == 1 else self.d0)
            centre = theta + np.array([theta[3] * (self.n0 - n0), theta[4] * (self.d0 - d0), 0, 0, 0])
            low, high = self._profile(at, centre, self._design(n0, d0), self.spread(theta))
            if low is None or high is None:
                open_ends.append(name)
                continue
            found[name] = (float(np.exp(low)), float(np.exp(high))) if at < 3 else (low, high)
        return found, open_ends

    def _profile(
        self, at: int, centre: Floats, design: Floats, spread: tuple[float, float]
    ) -> tuple[float | None, float | None]:
        square, slope = spread
        lean = logsumexp.jacobian(design, centre)
        along = np.linalg.pinv(lean.T @ lean)[at] * square / slope**2  # covariances of this parameter with all
        ways = np.concatenate([-PROFILED[::-1], [0.0], PROFILED]) * np.sqrt(max(along[at], 1e-16))
        begin = centre + ways[:, None] * along / max(along[at], 1e-300)
        lower, upper = np.full(5, -np.inf), np.full(5, np.inf)
        lower[2:], upper[2:] = self.lower[2:], self.upper[2:]
        begin[:, at] = np.clip(centre[at] + ways, lower[at], upper[at])
        fixed = np.zeros(begin.shape, dtype=bool)
        fixed[:, at] = True
        found = logsumexp.minimise(design, self.target, begin, delta=self.kink, fixed=fixed, lower=lower, upper=upper)
        middle = len(PROFILED)
        rise = max(0.5 * CHI2 * square / slope, 1e-30)
        above = np.sqrt(np.maximum(found.objective - found.objective[middle], 0) / rise)
        low = _crossing(begin[middle::-1, at], above[middle::-1])
        return low, _crossing(begin[middle:, at], above[middle:])

    def flags(self, theta: Floats, draws: Floats | None) -> tuple[Flag, ...]:
        """Runs with more than three times the mean leverage, or without which a parameter moves by half a standard
        error or more; the strongest first."""
        count = len(self.target)
        lean = logsumexp.jacobian(self.design, theta)
        leverage = np.einsum("np,pq,nq->n", lean, np.linalg.pinv(lean.T @ lean), lean)
        without = self.solve(np.repeat(theta[None], count, axis=0), weights=1 - np.eye(count))
        errors = np.sqrt(np.diag(self.covariance(theta)))
        if draws is not None:
            errors = np.std(self.theta(draws), axis=0)
        moves = np.abs(without.theta - theta) / errors
        largest = moves.argmax(axis=1)
        strongest = moves.max(axis=1)
        chosen = np.flatnonzero((leverage > 3 * 5 / count) | (strongest > 0.5))
        order = sorted(chosen, key=lambda i: (-strongest[i], i))
        runs = self.runs
        return tuple(
            Flag(
                int(runs.row[i]),
                float(runs.params[i]),
                float(runs.tokens[i]),
                float(runs.loss[i]),
                float(leverage[i]),
                float(strongest[i]),
                NAMES[int(largest[i])],
            )
            for i in order
        )


def _crossing(places: Floats, above: Floats) -> float | None:
    """Where the square root of the relative rise, 0 at the first place, first reaches 1; None if nowhere."""
    beyond = np.flatnonzero(above >= 1)
    if not len(beyond):
        return None
    at = int(beyond[0])
    part = (1 - above[at - 1]) / (above[at] - above[at - 1])
    return float(places[at - 1] + part * (places[at] - places[at - 1]))
