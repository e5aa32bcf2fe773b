"""The shape of a metric over model sizes: better, worse, U-shaped or emergent, by tests and not by eye.

Input: one row a trained model: its size, its metric, its seed. Sizes are compared on a log scale. Fewer than 6 sizes or
3 seeds a size: `not shown here`. Each statement has a stated false-positive rate (LEVEL), which simulations check, and
is corrected for the number of metrics of one call (Benjamini and Hochberg 1995), each kind of test for itself:

- improves, inverse scaling: Kendall's tau-b of metric and size.
- U-shape: two lines meet at a break, both slopes significant and opposite (Simonsohn 2018). A significant quadratic is
  not a U.
- emergent: a jump between neighbouring sizes that none of the smooth curves can make (constant, line, parabola, power
  law, logistic at least a decade wide), each by a parametric bootstrap. Then the metric's own artefact: exact match of
  L tokens is about p^L of a token's probability p, an elbow over a p that moves smoothly (Schaeffer et al. 2023).
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import WrongUse

Floats = npt.NDArray[np.float64]

SIZES, SEEDS = 6, 3  # fewest distinct sizes, and seeds of each
LEVEL = 0.05
RESAMPLES = 999
POWERS = (-1.0, -0.75, -0.5, -0.35, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.35, 0.5)  # exponents of the power-law family
NARROWEST = 1.0  # decades in which a smooth logistic rises from 10% to 90%: a faster rise is what we call sharp


class Shape(enum.StrEnum):
    IMPROVES = "improves"
    FLAT = "no trend shown"
    INVERSE = "inverse scaling"
    U = "U-shape"
    INVERTED_U = "inverted U-shape"
    EMERGENT = "emergent"
    ARTEFACT = "sharp by the metric"
    NOT_SHOWN = "not shown here"


class BadTrend(ValueError, WrongUse):
    """The columns do not fit together, or a setting is out of range."""


@dataclass(frozen=True)
class TwoLines:
    """Slopes per decade of size before and after the break, and their two-sided p-values."""

    at: float
    before: float
    after: float
    p_before: float
    p_after: float

    @property
    def p(self) -> float:
        """Of both slopes at once: the larger; 1 where they are not opposite."""
        return max(self.p_before, self.p_after) if self.before * self.after < 0 else 1.0

    @property
    def u(self) -> bool:
        """Both slopes significant and opposite."""
        return self.p < LEVEL


@dataclass(frozen=True)
class Trend:
    """What was tested and found for one metric; p-values are NaN where nothing was tested."""

    metric: str
    shape: Shape
    why: str
    sizes: Floats  # distinct, rising
    means: Floats  # of the metric at each size
    seeds: tuple[int, ...]
    tau: float = float("nan")
    p_trend: float = float("nan")
    p_corrected: float = float("nan")  # of the trend, over all metrics of one call
    p_u: float = float("nan")  # the larger p of two opposite slopes, over all metrics of one call; 1 if not opposite
    p_jump: float = float("nan")  # p_sharp, over all metrics of one call
    lines: TwoLines | None = None
    emergence: float = float("nan")  # Schaeffer's score
    p_sharp: float = float("nan")  # the largest over the smooth families
    p_by_family: Mapping[str, float] = field(default_factory=dict)
    jump: tuple[float, float] | None = None  # the two sizes of the largest jump beyond the smooth
    artefact: str = ""

    def to_json(self) -> dict[str, Any]:
        body = {name: getattr(self, name) for name in ("metric", "shape", "why", "tau", "p_trend", "p_corrected")}
        body |= {"sizes": self.sizes.tolist(), "means": self.means.tolist(), "seeds": list(self.seeds)}
        body |= {"p_u": self.p_u, "p_jump": self.p_jump}
        body |= {"emergence": self.emergence, "p_sharp": self.p_sharp, "p_by_family": dict(self.p_by_family)}
        body |= {"jump": None if self.jump is None else list(self.jump), "artefact": self.artefact or None}
        body["two_lines"] = None if self.lines is None else vars(self.lines)
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in body.items()
        }


def trends(
    size: npt.ArrayLike,
    metrics: Mapping[str, npt.ArrayLike],
    *,
    lower_is_better: Sequence[str] = (),
    continuous: Mapping[str, str] | None = None,
    length: float | None = None,
    seed: int = 17,
) -> list[Trend]:
    """The shape of each metric (n,) over sizes (n,), one row a model.

    continuous: of a metric, the name of another in `metrics` that measures the same outputs on a continuous scale (the
    probability of a token, Brier). length: tokens of an answer, where the metrics are exact matches. NaN rows of a
    metric are left out. Raises BadTrend."""
    sizes = np.asarray(size, dtype=np.float64)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise BadTrend("sizes must be positive numbers")
    if length is not None and length < 1:
        raise BadTrend(f"an answer has at least one token, not {length}")
    found = []
    for name, values in metrics.items():
        y = np.asarray(values, dtype=np.float64)
        if y.shape != sizes.shape:
            raise BadTrend(f"{name} has {y.shape} values, the sizes {sizes.shape}")
        rows = np.isfinite(y)
        found.append(_measure(name, sizes[rows], y[rows], seed))
    tested = [at for at, one in enumerate(found) if np.isfinite(one.p_trend)]
    slopes = [one.lines.p if one.lines is not None else 1.0 for one in found]
    kinds = [[found[at].p_trend for at in tested], [slopes[at] for at in tested], [found[at].p_sharp for at in tested]]
    corrected = [benjamini_hochberg(np.array(p)) for p in kinds]
    for at, trend, bend, jump in zip(tested, *corrected, strict=True):
        found[at] = replace(found[at], p_corrected=float(trend), p_u=float(bend), p_jump=float(jump))
    by_name = {one.metric: one for one in found}
    return [
        _judge(
            one,
            one.metric in lower_is_better,
            by_name.get((continuous or {}).get(one.metric, "")),
            length,
            metrics,
            sizes,
            seed,
        )
        for one in found
    ]


def _measure(name: str, sizes: Floats, y: Floats, seed: int) -> Trend:
    distinct, place = np.unique(sizes, return_inverse=True)
    counts = np.bincount(place, minlength=len(distinct))
    means = np.bincount(place, weights=y, minlength=len(distinct)) / np.maximum(counts, 1)
    base = Trend(name, Shape.NOT_SHOWN, "", distinct, means, tuple(int(count) for count in counts))
    if len(distinct) < SIZES or counts.min(initial=SEEDS) < SEEDS:
        fewest = int(counts.min(initial=0))
        why = f"{len(distinct)} sizes with {fewest} seeds or more; at least {SIZES} sizes of {SEEDS} seeds are needed"
        return replace(base, why=why)
    x = np.log10(sizes)
    tau, p = kendall(x, y)
    lines = two_lines(x, y)
    by_family, jump = sharpness(x, y, seed=seed)
    return replace(
        base,
        tau=tau,
        p_trend=p,
        lines=lines,
        emergence=emergence_score(means),
        p_sharp=max(by_family.values()),
        p_by_family=by_family,
        jump=(float(distinct[jump]), float(distinct[jump + 1])),
    )


def _judge(
    one: Trend,
    lower: bool,
    smooth: Trend | None,
    length: float | None,
    metrics: Mapping[str, npt.ArrayLike],
    sizes: Floats,
    seed: int,
) -> Trend:
    if one.why or one.lines is None or one.jump is None:
        return one
    sign = -1 if lower else 1
    better = sign * one.tau > 0
    if one.p_u < LEVEL:
        lines = one.lines
        shape = Shape.U if sign * lines.after > 0 else Shape.INVERTED_U
        first, then = ("worse", "better") if shape is Shape.U else ("better", "worse")
        why = f"{first} up to size {10**lines.at:.3g} (p {lines.p_before:.2g}), then {then} (p {lines.p_after:.2g})"
        why += f"; both {one.p_u:.2g} over all metrics"
        return replace(one, shape=shape, why=why)
    if one.p_corrected >= LEVEL:
        return replace(
            one, shape=Shape.FLAT, why=f"Kendall's tau {one.tau:+.2f}, p {one.p_corrected:.2g} over all metrics"
        )
    if not better:
        return replace(
            one,
            shape=Shape.INVERSE,
            why=f"larger is worse: tau {one.tau:+.2f}, p {one.p_corrected:.2g} over all metrics",
        )
    if one.p_jump >= LEVEL:
        family = max(one.p_by_family, key=lambda name: one.p_by_family[name])
        why = f"tau {one.tau:+.2f}; a smooth curve ({family}) explains every step, p {one.p_jump:.2g} over all metrics"
        return replace(one, shape=Shape.IMPROVES, why=why)
    jump = f"from size {one.jump[0]:.3g} to {one.jump[1]:.3g}"
    artefact = _artefact(one, smooth, length, np.asarray(metrics[one.metric], dtype=np.float64), sizes, seed)
    if artefact:
        why = f"the jump {jump} comes with the metric: {artefact}"
        return replace(one, shape=Shape.ARTEFACT, why=why, artefact=artefact)
    checked = (
        "; no continuous metric of the same outputs was given to check it against"
        if smooth is None and not length
        else ""
    )
    why = f"the jump {jump} is beyond every smooth curve tried (p {one.p_jump:.2g} over all metrics){checked}"
    return replace(one, shape=Shape.EMERGENT, why=why)


def _artefact(one: Trend, smooth: Trend | None, length: float | None, y: Floats, sizes: Floats, seed: int) -> str:
    """What in the metric makes the jump: the same outputs are smooth on a continuous scale, or p^L makes it."""
    if smooth is not None and np.isfinite(smooth.p_sharp) and smooth.p_sharp >= LEVEL:
        return f"{smooth.metric} of the same outputs changes smoothly (p {smooth.p_sharp:.2g})"
    if length is None or length == 1:
        return ""
    rows = np.isfinite(y)
    if ((y[rows] < 0) | (y[rows] > 1)).any():
        raise BadTrend(f"{one.metric} is no share in [0, 1], so no exact match of {length:g} tokens")
    by_family, _ = sharpness(np.log10(sizes[rows]), y[rows], seed=seed, power=length)
    if max(by_family.values()) < LEVEL:
        return ""
    return f"exact match of {length:g} tokens is p^{length:g}, and a p that changes smoothly explains every step"


def kendall(x: Floats, y: Floats) -> tuple[float, float]:
    """Kendall's tau-b and its two-sided p-value, with ties."""
    from scipy import stats

    if np.ptp(y) == 0:
        return 0.0, 1.0
    found = stats.kendalltau(x, y)
    return float(found.statistic), float(found.pvalue)


def benjamini_hochberg(p: Floats) -> Floats:
    """p-values corrected so that LEVEL bounds the expected share of false findings. Benjamini and Hochberg 1995.

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    count = len(p)
    order = np.argsort(p)
    rising = np.minimum.accumulate((p[order] * count / np.arange(1, count + 1))[::-1])[::-1]
    corrected = np.empty(count)
    corrected[order] = np.minimum(rising, 1)
    return corrected


def emergence_score(means: Floats) -> float:
    """sign(argmax - argmin) (max - min) / sqrt(median of squared steps): Schaeffer et al. 2023, section 4. A score
    without a threshold: it grows with the number of sizes, and noise moves it; the test is `sharpness`."""
    steps = np.median(np.diff(means) ** 2)
    rise = np.sign(means.argmax() - means.argmin()) * np.ptp(means)
    return float(rise / np.sqrt(steps)) if steps > 0 else float("nan") if rise == 0 else float(np.sign(rise) * np.inf)


def two_lines(x: Floats, y: Floats) -> TwoLines:
    """Simonsohn's two-lines test: the break by his "Robin Hood" rule, then two interrupted regressions, one with the
    break in either line, heteroscedasticity-robust (HC3).

    x is log10 of size. Tentative break: the middle of the stretch where a smooth curve (cubic) is within a standard
    error of its most extreme inner value; then it moves towards the side whose slope is less significant."""
    middle, spread = x.mean(), x.std()
    basis = np.vander((x - middle) / spread, 4)
    solution, *_ = np.linalg.lstsq(basis, y, rcond=None)
    residual = y - basis @ solution
    error = np.sqrt(
        residual
        @ residual
        / max(len(y) - 4, 1)
        * np.einsum("np,pq,nq->n", basis, np.linalg.pinv(basis.T @ basis), basis)
    )
    places = np.unique(x)
    inner = (x > places[0]) & (x < places[-1])
    curve = basis @ solution
    line = np.polyfit(x, curve, 1)
    # The extreme against the straight line's ends tells a valley from a hill.
    bend = curve - np.polyval(line, x)
    extreme = np.flatnonzero(inner)[np.abs(bend[inner]).argmax()]
    valley = bend[extreme] < 0
    side = curve if not valley else -curve
    top = np.flatnonzero(inner)[side[inner].argmax()]
    near = inner & (side >= side[top] - error[top])
    flat = np.unique(x[near])
    first = _interrupted(x, y, float(np.median(x[near])))
    weight = abs(first[2]) / max(abs(first[2]) + abs(first[3]), 1e-12)  # of the second slope's strength: less, if weak
    at = float(np.quantile(flat, 1 - weight)) if len(flat) > 1 else float(flat[0])
    before, _, z_before, _ = _interrupted(x, y, at, inclusive=True)
    _, after, _, z_after = _interrupted(x, y, at, inclusive=False)
    from scipy import stats

    freedom = max(len(y) - 4, 1)
    return TwoLines(
        at, before, after, float(2 * stats.t.sf(abs(z_before), freedom)), float(2 * stats.t.sf(abs(z_after), freedom))
    )


def _interrupted(x: Floats, y: Floats, at: float, inclusive: bool = True) -> tuple[float, float, float, float]:
    """Slopes before and after `at`, and their t values (HC3). inclusive: rows at the break belong to the first line."""
    left = (x <= at) if inclusive else (x < at)
    design = np.column_stack([np.where(left, x - at, 0), np.where(left, 0, x - at), ~left, np.ones_like(x)])
    inverse = np.linalg.pinv(design.T @ design)
    solution = inverse @ design.T @ y
    hat = np.einsum("np,pq,nq->n", design, inverse, design)
    residual = (y - design @ solution) / np.maximum(1 - hat, 1e-6)
    covariance = inverse @ (design.T * residual**2) @ design @ inverse
    errors = np.sqrt(np.maximum(np.diag(covariance)[:2], 1e-300))
    return float(solution[0]), float(solution[1]), float(solution[0] / errors[0]), float(solution[1] / errors[1])


def sharpness(
    x: Floats, y: Floats, *, resamples: int = RESAMPLES, seed: int = 17, power: float | None = None
) -> tuple[dict[str, float], int]:
    """Per smooth family, the p-value of the largest jump between neighbouring sizes beyond the family's best curve, and
    the place of that jump (between sizes i and i + 1) under the family that explains it best.

    The statistic is the largest (step of the means - step of the curve) in standard errors of a step by the seeds' own
    scatter; its distribution by curves and scatter simulated from the fitted family, fitted anew. With `power` L the
    only family is a smooth logistic to the L-th power."""
    places, at = np.unique(x, return_inverse=True)
    counts = np.bincount(at).astype(np.float64)
    means = np.bincount(at, weights=y) / counts
    within = y - means[at]
    variance = float(within @ within) / (len(y) - len(places))
    if variance <= 0:
        variance = float(np.finfo(float).eps * max(np.abs(y).max(), 1e-300)) ** 2
    errors = np.sqrt(variance * (1 / counts[1:] + 1 / counts[:-1]))
    random = np.random.RandomState(seed)
    noise = random.standard_normal((resamples, len(places))) * np.sqrt(variance / counts)
    scatter = random.chisquare(len(y) - len(places), resamples) / (len(y) - len(places))
    found: dict[str, float] = {}
    jumps: dict[str, int] = {}
    for name, (curve, grid) in _families(places, power).items():
        bases = _bases(curve, grid, means, counts)
        fitted = _best(bases, means[None], counts)[0]
        excess = np.diff(means - fitted) / errors
        again = fitted + noise
        simulated = np.abs(np.diff(again - _best(bases, again, counts), axis=1) / errors).max(axis=1) / np.sqrt(scatter)
        found[name] = float((1 + (simulated >= np.abs(excess).max()).sum()) / (1 + resamples))
        jumps[name] = int(np.abs(excess).argmax())
    kindest = max(found, key=lambda name: found[name])
    return found, jumps[kindest]


Curve = Callable[[Floats], Floats]  # the parameters of a curve -> its basis over the sizes (sizes, k)


def _families(places: Floats, power: float | None = None) -> dict[str, tuple[Curve, list[Floats]]]:
    """The smooth curves over log10 size: of each family its basis by its parameters, and a grid of those (one axis
    each, none for a family that is linear)."""
    x = places - places.mean()
    one = np.ones_like(x)
    span = float(np.ptp(places))
    widths = np.log10(NARROWEST * np.array([1.0, 1.5, 2.0, 3.0]))
    middles = np.linspace(x[0] - 0.25 * span, x[-1] + 0.25 * span, 25)

    def logistic(at: Floats) -> Floats:
        # It rises from 10% to 90% within ln 81 of its scales, and never in less than NARROWEST.
        scale = max(10 ** at[1], NARROWEST) / np.log(81)
        return np.asarray(np.column_stack([one, (1 / (1 + np.exp((at[0] - x) / scale))) ** (power or 1.0)]))

    if power is not None:
        # A p that is half at m is a rare match there: the power's own middle lies ln L scales further on.
        return {"power of a logistic": (logistic, [np.linspace(x[0] - span, x[-1] + 0.25 * span, 50), widths])}
    return {
        "constant": (lambda at: one[:, None], []),
        "line": (lambda at: np.column_stack([one, x]), []),
        "parabola": (lambda at: np.column_stack([one, x, x * x]), []),
        "power law": (lambda at: np.column_stack([one, 10 ** (at[0] * x)]), [np.array(POWERS)]),
        "logistic": (logistic, [middles, widths]),
    }


def _bases(curve: Curve, grid: list[Floats], means: Floats, counts: Floats) -> list[Floats]:
    """The family's spans on its grid and, ever closer, about the one that explains the means best: the curve that is
    compared is the family's own best, not the grid's."""
    points = [np.array(point) for point in itertools.product(*grid)]
    bases = [_orthonormal(curve(point), counts) for point in points]
    scaled = means * np.sqrt(counts)
    steps = np.array([np.ptp(axis) / (len(axis) - 1) for axis in grid])
    for _ in range(10 if grid else 0):
        best = points[int(np.argmax([((scaled @ basis) ** 2).sum() for basis in bases]))]
        near = [best + steps * np.array(move) for move in itertools.product((-1.0, 0.0, 1.0), repeat=len(grid))]
        points += near
        bases += [_orthonormal(curve(point), counts) for point in near]
        steps = steps / 1.8
    return bases


def _orthonormal(basis: Floats, counts: Floats) -> Floats:
    return np.asarray(np.linalg.qr(basis * np.sqrt(counts)[:, None])[0])


def _best(bases: Sequence[Floats], means: Floats, counts: Floats) -> Floats:
    """Of each row of means (R, sizes), the least-squares curve among the spans of the bases, weighted by seeds."""
    root = np.sqrt(counts)
    scaled = means * root
    gains = np.stack([((scaled @ basis) ** 2).sum(axis=1) for basis in bases])  # the share of squares each explains
    chosen = gains.argmax(axis=0)
    fitted = np.empty_like(means)
    for at, basis in enumerate(bases):
        rows = chosen == at
        if rows.any():
            fitted[rows] = (scaled[rows] @ basis) @ basis.T / root
    return fitted
