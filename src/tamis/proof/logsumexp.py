"""Robust fits of laws that are sums of powers: ln L = logsumexp of terms that are linear in the parameters.

L = E + A/N^alpha + B/D^beta is ln L = lse(a - alpha ln N, b - beta ln D, e) with A = exp a and so on: three terms, each
linear in (a, b, e, alpha, beta). So are its relatives (tied exponents, one power, a power of the compute). The sum of
Huber losses of the residuals in ln L is minimised by Newton steps with exact derivatives, for many problems at once:
many starts, or many resamples of the rows, which differ only in the weights of the rows.

Memory: about 20 arrays of CHUNK x rows; time grows with problems x rows x steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CHUNK = 500  # problems at a time: arrays of 1 MB at 240 rows stay in the cache
SETTLED = 1e-13  # share of the objective that a further step would gain: below it a problem is solved
EARLY = 1e-7  # above it, a problem whose steps ran out has not been solved


@dataclass(frozen=True)
class Minima:
    """Where K problems ended. `gain` is the share of the objective that the next step promises: 0 at an optimum."""

    theta: Floats  # (K, p)
    objective: Floats  # (K,) sum of Huber losses, not scaled
    gain: Floats  # (K,)
    steps: npt.NDArray[np.int64]  # (K,)

    @property
    def settled(self) -> Bools:
        return np.asarray(self.gain <= EARLY)

    def best(self) -> int:
        return int(np.argmin(self.objective))


def huber(residuals: Floats, delta: float) -> Floats:
    """Huber's loss with kink at delta: r^2/2 inside, delta (|r| - delta/2) outside."""
    size = np.abs(residuals)
    return np.asarray(np.where(size <= delta, 0.5 * residuals * residuals, delta * (size - 0.5 * delta)))


def predict(design: Floats, theta: Floats) -> Floats:
    """ln L of K parameter vectors: (terms, rows, p) and (K, p) -> (K, rows)."""
    return _softmax(design, theta)[0]


def _softmax(design: Floats, theta: Floats) -> tuple[Floats, Floats]:
    terms = np.stack([theta @ part.T for part in design])  # (terms, K, rows)
    top = terms.max(axis=0)
    powers = np.exp(terms - top)
    total = powers.sum(axis=0)
    return top + np.log(total), powers / total


def jacobian(design: Floats, theta: Floats) -> Floats:
    """d ln L / d theta at one parameter vector (p,): (rows, p)."""
    shares = _softmax(design, theta[None])[1][:, 0]
    return np.asarray(np.einsum("tn,tnp->np", shares, design))


def minimise(
    design: Floats,
    target: Floats,
    start: Floats,
    *,
    delta: float,
    weights: Floats | None = None,
    fixed: Bools | None = None,
    lower: Floats | None = None,
    upper: Floats | None = None,
    steps: int = 300,
) -> Minima:
    """Minimises sum_i w_i Huber_delta(ln L_i(theta) - target_i) from each start.

    design (terms, rows, p), target (rows,) = ln L, start (K, p), weights (K, rows) or None for ones, fixed (K, p) true
    where a parameter must stay as it starts, lower and upper (p,) the box. The objective is scaled inside (delta is
    1e-3 and the sum is 1e-3: a tolerance relative to max(1, f), as optimisers have, would stop at once).
    """
    done = [
        _minimise(
            design,
            target,
            start[at : at + CHUNK],
            delta,
            None if weights is None else weights[at : at + CHUNK],
            None if fixed is None else fixed[at : at + CHUNK],
            np.full(design.shape[2], -np.inf) if lower is None else lower,
            np.full(design.shape[2], np.inf) if upper is None else upper,
            steps,
        )
        for at in range(0, len(start), CHUNK)
    ]
    return Minima(
        np.concatenate([part.theta for part in done]),
        np.concatenate([part.objective for part in done]),
        np.concatenate([part.gain for part in done]),
        np.concatenate([part.steps for part in done]),
    )


def _minimise(
    design: Floats,
    target: Floats,
    start: Floats,
    delta: float,
    weights: Floats | None,
    fixed: Bools | None,
    lower: Floats,
    upper: Floats,
    steps: int,
) -> Minima:
    number, parameters = start.shape
    if weights is None:
        weights = np.ones((number, len(target)))
    free: Floats = np.ones((number, parameters)) if fixed is None else np.asarray(1.0 - fixed, dtype=np.float64)
    products = _products(design)
    theta = np.clip(start, lower, upper).astype(np.float64)
    value = np.full(number, np.inf)
    gain = np.full(number, np.inf)
    taken = np.zeros(number, dtype=np.int64)
    damping = np.full(number, 1e-2)
    active = np.arange(number)
    current = _Local(design, products, target, theta, weights, delta)
    value[:] = current.value
    for _ in range(steps):
        move, promised = current.step(damping[active], free[active], lower, upper)
        gain[active] = promised / (current.value + 1e-14 * len(target))  # a perfect fit has nothing left to gain
        # Where the damping has grown absurd no descent is left within the precision of the numbers.
        stuck = (damping[active] > 1e8) & (gain[active] < EARLY)
        going = (gain[active] > SETTLED) & ~stuck & (damping[active] < 1e14)
        if not going.any():
            break
        active, current, move = active[going], current.take(going), move[going]
        trial = np.clip(theta[active] + move, lower, upper)
        tried = _Local(design, products, target, trial, weights[active], delta)
        better = tried.value < current.value
        theta[active[better]] = trial[better]
        value[active[better]] = tried.value[better]
        taken[active] += 1
        damping[active] = np.where(better, np.maximum(damping[active] / 5, 1e-12), damping[active] * 4)
        current = current.merge(tried, better)
    return Minima(theta, value * delta, gain, taken)


def _products(design: Floats) -> dict[tuple[int, int], Floats]:
    """Of each pair of terms, the outer products of their rows: (rows, p*p), so that Hessians are matrix products."""
    terms, rows, _ = design.shape
    return {
        (one, two): (design[one][:, :, None] * design[two][:, None, :]).reshape(rows, -1)
        for one in range(terms)
        for two in range(one, terms)
    }


class _Local:
    """Value, gradient and Hessian of K problems at K points. The objective here is sum w (|r| - delta/2) far out: the
    Huber sum divided by delta."""

    def __init__(
        self,
        design: Floats,
        products: dict[tuple[int, int], Floats],
        target: Floats,
        theta: Floats,
        weights: Floats,
        delta: float,
    ) -> None:
        log_loss, shares = _softmax(design, theta)
        residual = log_loss - target
        size = np.abs(residual)
        inside = size <= delta
        slope = weights * np.clip(residual / delta, -1, 1)
        curve = weights * inside / delta
        # Huber's majorising parabola (iteratively reweighted least squares) is always convex: it sets the scales.
        bowl = weights / np.maximum(size, delta)
        number, parameters = theta.shape
        self.theta = theta
        self.value = (weights * np.where(inside, 0.5 * residual * residual / delta, size - 0.5 * delta)).sum(axis=1)
        self.gradient = np.zeros((number, parameters))
        hessian = np.zeros((number, parameters, parameters))
        convex = np.zeros((number, parameters, parameters))
        for (one, two), outer in products.items():
            both = shares[one] * shares[two]
            part = (curve - slope) * both
            if one == two:
                part = part + slope * shares[one]
                self.gradient += (slope * shares[one]) @ design[one]
            block = (part @ outer).reshape(number, parameters, parameters)
            bound = ((bowl * both) @ outer).reshape(number, parameters, parameters)
            hessian += block if one == two else block + block.transpose(0, 2, 1)
            convex += bound if one == two else bound + bound.transpose(0, 2, 1)
        self.scale = np.sqrt(np.maximum(np.einsum("kpp->kp", convex), 1e-12))
        self.hessian = hessian

    def step(self, damping: Floats, free: Floats, lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
        """The damped Newton step of each problem (K, p), negative curvature turned over, and the gain that the
        undamped model promises (K,)."""
        at_edge = ((self.theta <= lower) & (self.gradient > 0)) | ((self.theta >= upper) & (self.gradient < 0))
        free = free * ~at_edge
        gradient = self.gradient / self.scale * free
        hessian = self.hessian / (self.scale[:, :, None] * self.scale[:, None, :])
        hessian = hessian * (free[:, :, None] * free[:, None, :])
        values, vectors = np.linalg.eigh(hessian)
        along = np.einsum("kpq,kp->kq", vectors, gradient)
        bent = np.maximum(np.abs(values), 1e-9)
        move = -np.einsum("kpq,kq->kp", vectors, along / (bent + damping[:, None]))
        promised = 0.5 * (along * along / (bent + 1e-4)).sum(axis=1)
        return move / self.scale * free, promised

    def take(self, rows: Bools) -> _Local:
        chosen = object.__new__(_Local)
        for name in ("theta", "value", "gradient", "hessian", "scale"):
            setattr(chosen, name, getattr(self, name)[rows])
        return chosen

    def merge(self, other: _Local, rows: Bools) -> _Local:
        for name in ("theta", "value", "gradient", "hessian", "scale"):
            getattr(self, name)[rows] = getattr(other, name)[rows]
        return self
