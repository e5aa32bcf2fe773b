"""Other readings of a table of runs: Chinchilla's first two approaches, Kaplan's form, the over-training form.

Each returns an object with a status; where the table does not allow it, the object says why. Losses in nats per token,
compute in FLOP, exponents without unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.proof import logsumexp
from tamis.proof.loss_problem import DELTA
from tamis.proof.runs import FLOP_PER_PARAMETER_TOKEN, Runs
from tamis.proof.scaling import Interval, Status, spread

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WINDOW = 0.08  # runs whose compute differs by at most this share are one IsoFLOP level
LEVEL_RUNS, LEVEL_SPAN = 6, 4.0  # fewest runs of a level, and how many times its largest model is its smallest
FRONTIER = 100  # compute values at which the envelope of the curves is read
KAPLAN = (0.005, 2.0)  # alpha_D is sought here


@dataclass(frozen=True)
class Level:
    """One IsoFLOP level: the parabola of loss over ln N, and its lowest point where it has one inside."""

    flops: float
    rows: Ints  # places in the table
    parabola: tuple[float, float, float]  # of ln N, highest power first
    params: float | None  # at the lowest point
    loss: float | None
    why: str  # why it has no lowest point, or nothing


@dataclass(frozen=True)
class Frontier:
    """Optimal parameters as a power of compute: N = coefficient x C^a; tokens grow with C^(1-a)."""

    name: str
    status: Status
    why: str
    a: Interval | None = None
    coefficient: float | None = None
    levels: tuple[Level, ...] = ()
    note: str = ""

    def params(self, flops: npt.ArrayLike) -> Floats:
        """Optimal parameters at the compute."""
        if self.a is None or self.coefficient is None:
            raise ValueError(f"{self.name}: {self.why}")
        return np.asarray(self.coefficient * np.asarray(flops, dtype=np.float64) ** self.a.value)

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"name": self.name, "status": str(self.status), "why": self.why}
        if self.a is not None:
            body |= {"a": self.a.to_json(), "coefficient": self.coefficient}
        if self.levels:
            body["levels"] = [
                {
                    "flops": level.flops,
                    "runs": len(level.rows),
                    "params": level.params,
                    "loss": level.loss,
                    "why": level.why,
                }
                for level in self.levels
            ]
        return body | ({"note": self.note} if self.note else {})


@dataclass(frozen=True)
class Form:
    """Another form of the law: its parameters, and the Huber sum (delta 1e-3) of ln L, that of the main fit by default,
    to be compared."""

    name: str
    formula: str
    status: Status
    why: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    objective: float | None = None
    predict: Callable[[npt.ArrayLike, npt.ArrayLike], Floats] | None = None  # loss of (N, D)

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"name": self.name, "formula": self.formula, "status": str(self.status), "why": self.why}
        if self.status is Status.CONVERGED:
            body |= {"parameters": dict(self.parameters), "objective": self.objective}
        return body


def envelope(runs: Runs, *, bootstrap: int = 200, seed: int = 42) -> Frontier:
    """Approach 1 (Hoffmann et al. 2022, section 3.1): at each compute, the model size whose training curve is lowest,
    then a power law through those. Needs curves, each trained with a schedule that ends where it is read: a curve of a
    longer schedule lies too high."""
    name = "approach 1: lowest of the training curves"
    if runs.curve is None:
        return Frontier(
            name, Status.TOO_FEW_POINTS, "the table has one row a run; this needs curves (name the run's column)"
        )
    labels = np.array(runs.curve)
    curves = []
    for label in dict.fromkeys(runs.curve):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(runs.flops[rows])]
        if len(rows) >= 3:
            curves.append((np.log(runs.flops[rows]), runs.loss[rows], float(np.log(runs.params[rows[0]]))))
    if len(curves) < 4:
        return Frontier(name, Status.TOO_FEW_POINTS, f"{len(curves)} curves of 3 points or more; at least 4 are needed")
    low, high = min(c[0][0] for c in curves), max(c[0][-1] for c in curves)
    at = np.linspace(low, high, FRONTIER)
    losses = np.stack([np.interp(at, c[0], c[1], left=np.inf, right=np.inf) for c in curves])  # (curves, FRONTIER)
    sizes = np.array([c[2] for c in curves])

    def line(chosen: Ints) -> tuple[float, float] | None:
        best = losses[chosen].argmin(axis=0)
        # Where the smallest or the largest model is lowest, one beyond the table might be lower still.
        inside = (sizes[chosen][best] > sizes[chosen].min()) & (sizes[chosen][best] < sizes[chosen].max())
        seen = np.isfinite(losses[chosen].min(axis=0)) & inside
        y = sizes[chosen][best][seen]
        return _line(at[seen], y) if len(np.unique(y)) >= 3 else None

    found = line(np.arange(len(curves)))
    if found is None:
        return Frontier(name, Status.TOO_FEW_POINTS, "fewer than 3 model sizes are lowest anywhere")
    random = np.random.RandomState(seed)
    draws = [line(random.choice(len(curves), len(curves), replace=True)) for _ in range(bootstrap)]
    slopes = np.array([draw[0] for draw in draws if draw])
    if not bootstrap:
        nan = float("nan")
        a: Interval | None = Interval(found[0], nan, nan, method="none")
    else:
        a = Interval(found[0], *spread(slopes), method="bootstrap over runs") if len(slopes) > bootstrap / 2 else None
    if a is None:
        return Frontier(name, Status.FLAT, "most resamples of the runs have fewer than 3 sizes on the envelope")
    return Frontier(name, Status.CONVERGED, f"{len(curves)} curves", a, float(np.exp(found[1])))


def isoflop(runs: Runs, *, bootstrap: int = 1000, seed: int = 42) -> Frontier:
    """Approach 2 (section 3.2): a parabola of loss over ln N at each compute level, then a power law through the lowest
    points. Runs are resampled within their levels.

    The exponent is sound; the coefficient is biased unless alpha = beta and the sizes lie evenly about the optimum:
    without any noise, by 3% on Chinchilla's surface with sizes 8 times either way."""
    name = "approach 2: IsoFLOP parabolas"
    runs = runs.finals()
    levels = tuple(_level(runs, rows) for rows in _levels(runs))
    usable = [level for level in levels if level.params is not None]
    lowest = [(level.flops, level.params) for level in levels if level.params is not None]
    if len(usable) < 3:
        seen = "; ".join(f"{level.flops:.2g} FLOP: {level.why}" for level in levels if level.why)
        why = f"{len(usable)} compute levels with a lowest point inside; at least 3 are needed"
        why += f" ({seen})" if seen else ""
        return Frontier(name, Status.TOO_FEW_POINTS, why, levels=levels)
    slope, height = _line(*np.log(np.array(lowest)).T)
    random = np.random.RandomState(seed)
    slopes = []
    for _ in range(bootstrap):
        again = [_level(runs, np.sort(random.choice(level.rows, len(level.rows)))) for level in usable]
        lowest = [(level.flops, level.params) for level in again if level.params is not None]
        if len(lowest) >= 3:
            slopes.append(_line(*np.log(np.array(lowest)).T)[0])
    if len(slopes) < 0.9 * bootstrap:
        return Frontier(
            name, Status.FLAT, "the parabolas' lowest points vanish in many resamples of the runs", levels=levels
        )
    ends = spread(np.array(slopes)) if slopes else (float("nan"), float("nan"))
    a = Interval(slope, *ends, method="bootstrap over runs within levels" if slopes else "none")
    return Frontier(
        name,
        Status.CONVERGED,
        f"{len(usable)} of {len(levels)} levels have a lowest point inside",
        a,
        float(np.exp(height)),
        levels,
        "the exponent is sound; the coefficient is biased by a few per cent where alpha and beta differ",
    )


def _levels(runs: Runs) -> list[Ints]:
    """Places of the runs of each level, in order of compute: the densest window first, each run in one."""
    x = np.log(runs.flops)
    free = np.ones(len(runs), dtype=bool)
    found = []
    while True:
        near = (np.abs(x[:, None] - x[None, :]) <= WINDOW) & free[None, :]
        counts = np.where(free, near.sum(axis=1), 0)
        best = int(counts.argmax())
        if counts[best] < LEVEL_RUNS:
            break
        rows = np.flatnonzero(near[best])
        free[rows] = False
        if np.ptp(np.log(runs.params[rows])) >= np.log(LEVEL_SPAN):
            found.append(rows)
    return sorted(found, key=lambda rows: float(x[rows].mean()))


def _level(runs: Runs, rows: Ints) -> Level:
    flops = float(np.exp(np.log(runs.flops[rows]).mean()))
    n = np.log(runs.params[rows])
    if len(np.unique(np.round(n, 6))) < 4:
        return Level(flops, rows, (0.0, 0.0, 0.0), None, None, "fewer than 4 model sizes")
    middle = n.mean()
    curve, slope, height = np.polyfit(n - middle, runs.loss[rows], 2)
    parabola = (float(curve), float(slope - 2 * curve * middle), float(height - slope * middle + curve * middle**2))
    lowest = middle - slope / (2 * curve) if curve > 0 else np.inf
    if curve <= 0 or not n.min() < lowest < n.max():
        return Level(flops, rows, parabola, None, None, "its lowest point lies outside the sizes tried")
    return Level(flops, rows, parabola, float(np.exp(lowest)), float(height - slope**2 / (4 * curve)), "")


def _line(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[float, float]:
    slope, height = np.polyfit(np.asarray(x), np.asarray(y), 1)
    return float(slope), float(height)


def kaplan(runs: Runs) -> Form:
    """L = ((Nc/N)^(alphaN/alphaD) + Dc/D)^alphaD, which has no floor (Kaplan et al. 2020, equation 1.5).

    At a fixed alphaD it is a sum of powers again, for L^(1/alphaD); alphaD is sought on a grid that closes in."""
    formula = "((Nc/N)^(alphaN/alphaD) + Dc/D)^alphaD"
    runs = runs.finals()
    if len(runs) < 8:
        return Form("Kaplan", formula, Status.TOO_FEW_POINTS, f"{len(runs)} runs; at least 8 are needed")
    n, d, y = np.log(runs.params), np.log(runs.tokens), np.log(runs.loss)
    n0, d0 = float(n.mean()), float(d.mean())
    zero, one = np.zeros_like(n), np.ones_like(n)
    design = np.stack([np.stack([one, n0 - n, zero], axis=1), np.stack([zero, zero, one], axis=1)])
    offset = np.stack([zero, d0 - d])  # the exponent of D is 1: nothing to fit

    def at(exponent: float, start: Floats) -> logsumexp.Minima:
        # Huber_delta(x s - y) = x^2 Huber_(delta/x)(s - y/x)
        found = logsumexp.minimise(
            _with(design, offset),
            y / exponent,
            start,
            delta=DELTA / exponent,
            fixed=np.tile([False, False, False, True], (len(start), 1)),
        )
        return logsumexp.Minima(found.theta, found.objective * exponent**2, found.gain, found.steps)

    low, high = np.log(KAPLAN[0]), np.log(KAPLAN[1])
    best: tuple[float, float, Floats] | None = None
    settled = False
    for _ in range(5):
        for x in np.linspace(low, high, 13):
            exponent = float(np.exp(x))
            top = float(y.mean()) / exponent
            start = np.array([[top - 0.7, q, top - 0.7, 1.0] for q in (0.3, 0.7, 1.5)])
            if best is not None:
                start = np.vstack([best[2][None], start])
            found = at(exponent, start)
            here = found.best()
            if best is None or found.objective[here] < best[0]:
                best, settled = (float(found.objective[here]), float(x), found.theta[here]), bool(found.settled[here])
        assert best is not None
        width = (high - low) / 12
        low, high = max(best[1] - width, np.log(KAPLAN[0])), min(best[1] + width, np.log(KAPLAN[1]))
    assert best is not None
    objective, x, theta = best
    alpha_d, ratio = float(np.exp(x)), float(theta[1])
    log_nc, log_dc = (theta[0] + ratio * n0) / ratio if ratio else np.nan, theta[2] + d0
    values = {
        "alpha_N": ratio * alpha_d,
        "alpha_D": alpha_d,
        "N_c": float(np.exp(log_nc)),
        "D_c": float(np.exp(log_dc)),
    }
    if not settled:
        return Form("Kaplan", formula, Status.STOPPED_EARLY, "the best start was not at an optimum")
    if not np.log(KAPLAN[0]) + 1e-3 < x < np.log(KAPLAN[1]) - 1e-3 or ratio <= 0:
        return Form("Kaplan", formula, Status.AT_BOUND, f"alpha_D {alpha_d:.3g}, alpha_N {ratio * alpha_d:.3g}")

    def predict(params: npt.ArrayLike, tokens: npt.ArrayLike) -> Floats:
        one = ratio * (log_nc - np.log(params))
        return np.asarray(np.exp(alpha_d * np.logaddexp(one, log_dc - np.log(tokens))))

    return Form(
        "Kaplan",
        formula,
        Status.CONVERGED,
        "it has no floor: it predicts a loss of 0 for endless data",
        values,
        objective,
        predict,
    )


def _with(design: Floats, offset: Floats) -> Floats:
    """The design with one more column, whose parameter is fixed at 1."""
    return np.concatenate([design, offset[:, :, None]], axis=2)


def overtraining(runs: Runs) -> Form:
    """L = E + (a M^eta + b M^-eta) C^-eta with M = D/N tokens a parameter: one exponent, so that curves of
    over-training are parallel in ln C (Gadre et al. 2024, equation 4)."""
    formula = "E + (a M^eta + b M^-eta) C^-eta, M = D/N"
    runs = runs.finals()
    if len(runs) < 7:
        return Form("over-training", formula, Status.TOO_FEW_POINTS, f"{len(runs)} runs; at least 7 are needed")
    # C is 6 N D, whatever the table counts as FLOP: the form needs M and C to give N and D back.
    compute = FLOP_PER_PARAMETER_TOKEN * runs.params * runs.tokens
    m, c, y = np.log(runs.tokens / runs.params), np.log(compute), np.log(runs.loss)
    m0, c0 = float(m.mean()), float(c.mean())
    zero, one = np.zeros_like(m), np.ones_like(m)
    m, c = m - m0, c - c0
    design = np.stack(
        [
            np.stack([one, zero, zero, zero], axis=1),
            np.stack([zero, one, zero, m - c], axis=1),
            np.stack([zero, zero, one, -m - c], axis=1),
        ]
    )
    low = float(y.min())
    start = np.array(
        [[low + e, low + t, low + t, x] for e in (-0.1, -0.5) for t in (-2.0, -1.0) for x in (0.05, 0.15, 0.3)]
    )
    bounds = np.array([low - 6.9, low - 15, low - 15, 0.005]), np.array([low + 1, low + 5, low + 5, 1.25])
    found = logsumexp.minimise(design, y, start, delta=DELTA, lower=bounds[0], upper=bounds[1])
    best = found.best()
    theta = found.theta[best]
    if ((theta <= bounds[0] + 1e-6) | (theta >= bounds[1] - 1e-6)).any():
        return Form("over-training", formula, Status.AT_BOUND, "a term vanishes: the runs do not show it")
    if not found.settled[best]:
        return Form("over-training", formula, Status.STOPPED_EARLY, "the best start was not at an optimum")
    e, a, b, eta = theta
    values = {
        "E": float(np.exp(e)),
        "a": float(np.exp(a + eta * (c0 - m0))),
        "b": float(np.exp(b + eta * (c0 + m0))),
        "eta": float(eta),
    }

    def predict(params: npt.ArrayLike, tokens: npt.ArrayLike) -> Floats:
        ratio = np.asarray(tokens) / np.asarray(params)
        flops = FLOP_PER_PARAMETER_TOKEN * np.asarray(params) * np.asarray(tokens)
        return np.asarray(values["E"] + (values["a"] * ratio**eta + values["b"] * ratio**-eta) * flops**-eta)

    why = f"tokens a parameter from {np.exp(m.min() + m0):.2g} to {np.exp(m.max() + m0):.2g}"
    return Form("over-training", formula, Status.CONVERGED, why, values, float(found.objective[best]), predict)
