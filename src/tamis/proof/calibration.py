"""Is a model as often right as it says it is? Calibration error without the bias of bins, Brier scores, temperature.

Input: confidence (n,) in [0, 1] and correct (n,) bool. What the confidence is decides the result as much as the model
does (highest softmax over the options, length-normalized or not; see `choices.Choices.confidence`): name it.

Plain binned calibration error is far from zero even for a perfect model, because within a bin the observed share of
right answers scatters around the expected one. So these are the figures, with the plain one beside them:

- `sweep`: ECE_sweep (Roelofs, Cain, Shlens and Mozer 2022, algorithm 1): equal-mass bins, as many as leave the share
  of right answers monotone in confidence. Mean |share - confidence|, the ECE of the report.
- `debiased`: root mean squared calibration error over equal-mass bins, from whose square the expected scatter
  share (1 - share) / (n_bin - 1) is taken (Broecker 2012; Ferro and Fricker 2012; Kumar, Liang and Ma 2019, section
  4). Before the root it is unbiased for the error of the binned confidence.
- `perfect`: what each estimator gives, on average, for a perfectly calibrated model with the same confidences, and
  `p_perfect`: how often such a model gives at least the plain ECE that was seen (Broecker and Smith 2007).

Cases of equal confidence are exchangeable: each counts as the mean of them, so no figure depends on the order of rows.
Memory: a few arrays of n.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.intervals import wilson
from tamis.proof.metric import Floats, Ints, Metric, NothingCounted, interval, mean, ratio, widened

BINS = 15
RESAMPLES = 1000
PERFECT = 500  # simulated perfect models
# The sweep ends here at the latest: only nearly separable answers get this far, and each step costs its bins.
MOST_BINS = 1000
# HELM: below about this number of cases ten bins say little.
FEW = 300
# Sums of float32 probabilities may miss 1 by this much.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: mean confidence, share right with its Wilson interval, cases."""

    confidence: float
    right: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Calibration:
    """sweep, debiased, plain (equal-mass bins), plain_width (equal-width bins), brier: Metrics, direction lower.

    bins, sweep_bins: how many the plain and debiased errors and the sweep used. perfect: estimator -> its mean for a
    perfect model. p_perfect: see above. gap: mean confidence less share right, positive: overconfident. diagram: the
    equal-mass bins. curve: (2, m) confidence and calibrated probability by isotonic regression, for the diagram.
    """

    n: int
    confidence: str
    sweep: Metric
    debiased: Metric
    plain: Metric
    plain_width: Metric
    brier: Metric
    parts: BrierParts
    gap: Metric
    bins: int
    sweep_bins: int
    perfect: dict[str, float]
    p_perfect: float
    diagram: list[Bin]
    curve: Floats

    def to_json(self) -> dict[str, Any]:
        metrics = ("sweep", "debiased", "plain", "plain_width", "brier", "gap")
        return {
            "n": self.n,
            "confidence": self.confidence,
            "bins": self.bins,
            "sweep_bins": self.sweep_bins,
            **{name: getattr(self, name).to_json() for name in metrics},
            "perfect": self.perfect,
            "p_perfect": self.p_perfect,
            "brier_parts": vars(self.parts),
            "diagram": [vars(one) for one in self.diagram],
        }

    def __str__(self) -> str:
        lines = [f"calibration of {self.n:,} answers; confidence: {self.confidence}"]
        for label, metric, key in (
            (f"ECE, {self.sweep_bins} monotone bins", self.sweep, "sweep"),
            (f"RMS error, debiased, {self.bins} bins", self.debiased, "debiased"),
            (f"ECE, plain, {self.bins} equal-mass bins", self.plain, "plain"),
        ):
            lines.append(
                f"{label:<36} {metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]   "
                f"a perfect model gives {self.perfect[key]:.4f}"
            )
        lines.append(f"{'Brier score':<36} {self.brier.value:.4f} [{self.brier.low:.4f}, {self.brier.high:.4f}]")
        side = "overconfident" if self.gap.value > 0 else "underconfident"
        lines.append(f"{'mean confidence - share right':<36} {self.gap.value:+.4f} ({side})")
        lines.append(f"a perfectly calibrated model shows as much plain ECE with probability {self.p_perfect:.3f}")
        if self.n < FEW:
            lines.append(f"{self.n} answers are few: below {FEW} the bins say little")
        return "\n".join(lines)


def calibration(
    confidence: npt.ArrayLike,
    correct: npt.ArrayLike,
    *,
    what: str = "highest probability",
    bins: int = BINS,
    level: float = 0.95,
    seed: int = 17,
    resamples: int = RESAMPLES,
    documents: npt.ArrayLike | None = None,
) -> Calibration:
    """Everything about the calibration of n answers. documents (n,): answers of one are not independent, so intervals
    resample whole documents (those of the diagram's bins do not); of one document there is no interval. Raises
    NothingCounted, or ValueError where a confidence is no probability."""
    groups = Groups.make(confidence, correct, documents)
    n = groups.n
    bins = max(1, min(bins, n // 5))
    rng = np.random.default_rng(seed)
    estimators: dict[str, Callable[[Floats, Floats], float]] = {
        "sweep": lambda c, y: _sweep(c, y)[0],
        "debiased": lambda c, y: _debiased(c, y, bins),
        "plain": lambda c, y: _plain(c, y, bins),
        "plain_width": lambda c, y: _plain_width(c, y, bins),
    }
    right = groups.shared(groups.correct)
    seen = {name: one(groups.confidence, right) for name, one in estimators.items()}
    draws = {name: np.empty(resamples) for name in estimators}
    for k in range(resamples):
        rows = groups.resampled(rng)
        c, y = groups.confidence[rows], groups.correct[rows]
        shared = _shared(groups.number[rows], y)
        for name, one in estimators.items():
            draws[name][k] = one(c, shared)
    perfect = {name: np.empty(PERFECT) for name in estimators}
    for k in range(PERFECT):
        y = (rng.random(n) < groups.confidence).astype(np.float64)
        shared = _shared(groups.number, y)
        for name, one in estimators.items():
            perfect[name][k] = one(groups.confidence, shared)
    metrics = {
        name: _metric(_NAMES[name], seen[name], draws[name], perfect[name], groups, level) for name in estimators
    }
    squares = (groups.confidence - groups.correct) ** 2
    return Calibration(
        n=n,
        confidence=what,
        **metrics,
        brier=groups.mean("Brier score", squares, unit="square, 0 to 1", direction="lower", level=level, seed=seed),
        parts=brier_parts(groups.confidence, groups.correct, bins),
        gap=groups.mean(
            "mean confidence - share right",
            groups.confidence - groups.correct,
            unit="share",
            direction="neither",
            level=level,
            seed=seed,
        ),
        bins=bins,
        sweep_bins=_sweep(groups.confidence, right)[1],
        perfect={name: float(np.mean(np.maximum(one, 0))) for name, one in perfect.items()},
        p_perfect=float((1 + np.sum(perfect["plain"] >= seen["plain"])) / (PERFECT + 1)),
        diagram=diagram(groups.confidence, right, bins, level),
        curve=np.stack([groups.confidence, recalibrated(groups.confidence, right)]),
    )


def errors(confidence: npt.ArrayLike, correct: npt.ArrayLike, bins: int = BINS) -> tuple[float, float]:
    """(sweep, debiased) as `calibration` gives them, without intervals: of many models, whose scatter is the interval.
    Raises as it does."""
    groups = Groups.make(confidence, correct)
    right = groups.shared(groups.correct)
    bins = max(1, min(bins, groups.n // 5))
    return _sweep(groups.confidence, right)[0], max(_debiased(groups.confidence, right, bins), 0.0)


_NAMES = {
    "sweep": "ECE, monotone bins",
    "debiased": "RMS calibration error, debiased",
    "plain": "ECE, plain equal-mass bins",
    "plain_width": "ECE, plain equal-width bins",
}


@dataclass(frozen=True)
class Groups:
    """Answers sorted by confidence: confidence, correct (0 or 1), number of the group of equal confidence, and of the
    document where answers of one belong together, (n,)."""

    confidence: Floats
    correct: Floats
    number: Ints
    document: Ints | None = None

    @classmethod
    def make(cls, confidence: npt.ArrayLike, correct: npt.ArrayLike, documents: npt.ArrayLike | None = None) -> Groups:
        c, y = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
        if c.shape != y.shape or c.ndim != 1:
            raise ValueError(f"confidence has shape {c.shape} and correct {y.shape}: both must be lists of n answers")
        if not len(c):
            raise NothingCounted("calibration: there are no answers to measure it on")
        c = np.where((c > 1) & (c < 1 + _ROUNDING), 1.0, np.where((c < 0) & (c > -_ROUNDING), 0.0, c))
        if not ((c >= 0) & (c <= 1)).all():
            raise ValueError("a confidence is not between 0 and 1: give probabilities, not logits")
        if not np.isin(y, (0, 1)).all():
            raise ValueError("correct must be true or false for every answer")
        order = np.lexsort((y, c))
        c, y = c[order], y[order]
        document = None
        if documents is not None:
            if np.shape(documents) != np.shape(confidence):
                raise ValueError(f"{np.shape(documents)} documents do not fit {len(y)} answers")
            document = np.unique(np.asarray(documents), return_inverse=True)[1].astype(np.int64)[order]
        return cls(c, y, np.cumsum(np.concatenate([[0], np.diff(c) != 0])).astype(np.int64), document)

    @property
    def n(self) -> int:
        return len(self.confidence)

    @property
    def documents(self) -> int:
        """How many are resampled; 0 where answers are."""
        return 0 if self.document is None else int(self.document.max()) + 1

    @property
    def note(self) -> str:
        return f"interval: {self.documents:,} documents resampled" if self.documents else ""

    def resampled(self, rng: np.random.Generator) -> Ints:
        """Rows of answers, or of whole documents, drawn with replacement, sorted as the answers are."""
        if self.document is None:
            return np.sort(rng.integers(0, self.n, self.n))
        times = np.bincount(rng.integers(0, self.documents, self.documents), minlength=self.documents)
        return np.repeat(np.arange(self.n), times[self.document])

    def mean(self, name: str, values: Floats, **more: Any) -> Metric:
        """The mean over answers, its interval over what is resampled."""
        if self.document is None:
            return mean(name, values, of="answers", **more)
        sums, counts = np.bincount(self.document, values), np.bincount(self.document)
        found = ratio(name, sums, counts, of="documents", note=self.note, **more)
        return replace(found, n=self.n, of="answers", per_item=None)

    def shared(self, correct: Floats) -> Floats:
        return _shared(self.number, correct)


def _shared(number: Ints, correct: Floats) -> Floats:
    """correct (n,) averaged within groups of equal confidence (n,)."""
    counts = np.bincount(number)
    sums = np.bincount(number, weights=correct)
    found: Floats = (sums / np.maximum(counts, 1))[number]
    return found


def _edges(n: int, bins: int) -> Ints:
    """Where equal-mass bins of n sorted answers begin and end: (bins + 1,)."""
    return (np.arange(bins + 1) * n) // bins


def _means(confidence: Floats, right: Floats, edges: Ints) -> tuple[Ints, Floats, Floats]:
    """Of each bin: cases, mean confidence, share right."""
    counts = np.diff(edges)
    return counts, np.add.reduceat(confidence, edges[:-1]) / counts, np.add.reduceat(right, edges[:-1]) / counts


def _plain(confidence: Floats, right: Floats, bins: int) -> float:
    counts, said, seen = _means(confidence, right, _edges(len(confidence), min(bins, len(confidence))))
    return float(np.sum(counts * np.abs(seen - said)) / len(confidence))


def _plain_width(confidence: Floats, right: Floats, bins: int) -> float:
    """Guo et al. 2017: bins (lo, hi] of equal width; 0 belongs to the first."""
    index = np.maximum(np.ceil(confidence * bins).astype(np.int64) - 1, 0)
    gaps = np.bincount(index, weights=right - confidence)
    return float(np.abs(gaps).sum() / len(confidence))


def _debiased(confidence: Floats, right: Floats, bins: int) -> float:
    """Root of the mean squared gap of bins less its expected scatter; of a negative mean minus the root of its size."""
    counts, said, seen = _means(confidence, right, _edges(len(confidence), min(bins, len(confidence) // 2 or 1)))
    scatter = seen * (1 - seen) / np.maximum(counts - 1, 1)
    square = float(np.sum(counts * ((seen - said) ** 2 - scatter)) / len(confidence))
    return math.copysign(math.sqrt(abs(square)), square)


def _sweep(confidence: Floats, right: Floats) -> tuple[float, int]:
    """(mean |share - confidence| over the most equal-mass bins before shares stop rising, how many)."""
    n = len(confidence)
    said, seen = np.concatenate([[0.0], np.cumsum(confidence)]), np.concatenate([[0.0], np.cumsum(right)])
    bins = 1
    for more in range(2, min(n, MOST_BINS) + 1):
        edges = _edges(n, more)
        sums = seen[edges]
        share = (sums[1:] - sums[:-1]) / (edges[1:] - edges[:-1])
        if (share[1:] < share[:-1] - 1e-12).any():
            break
        bins = more
    edges = _edges(n, bins)
    return float(np.abs(np.diff(seen[edges]) - np.diff(said[edges])).sum() / n), bins


def _metric(name: str, value: float, draws: Floats, perfect: Floats, groups: Groups, level: float) -> Metric:
    """A resample scatters once more than the sample did, so errors of resamples lie too high; their spread, moved to
    the estimate, is the interval. It reaches down to 0 where a perfect model would often show as much."""
    if groups.documents == 1:
        low = high = math.nan
    else:
        low, high = interval(draws - draws.mean(), widened(level, groups.documents) if groups.documents else level)
    chance = (1 + np.sum(perfect >= value)) / (len(perfect) + 1)
    bottom = 0.0 if chance > (1 - level) / 2 and not math.isnan(low) else max(value + low, 0.0)
    return Metric(
        name, "share", "lower", max(value, 0.0), bottom, max(value + high, 0.0), groups.n, level, "answers", groups.note
    )


# --- Brier ---


@dataclass(frozen=True)
class BrierParts:
    """Brier = reliability - resolution + uncertainty, twice.

    By isotonic regression, exact and without bins (Dimitriadis, Gneiting and Jordan 2021): miscalibration -
    discrimination + uncertainty. By equal-mass bins with their bias removed (Ferro and Fricker 2012, equations 12 to
    14): reliability - resolution + uncertainty_unbiased, equal to the Brier score of the binned confidence.
    """

    miscalibration: float
    discrimination: float
    uncertainty: float
    reliability: float
    resolution: float
    uncertainty_unbiased: float


def brier(probabilities: npt.ArrayLike, labels: npt.ArrayLike) -> Metric:
    """The Brier score of K classes, sum over classes of (p - y)^2, 0 to 2, averaged over n cases; as in
    lm-evaluation-harness. Of two classes it is twice the binary score. probabilities (n, K), labels (n,)."""
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    if p.ndim != 2 or len(p) != len(y) or (len(y) and not 0 <= y.min() <= y.max() < p.shape[1]):
        raise ValueError(f"probabilities of shape {p.shape} do not fit {len(y)} labels")
    each = ((p - np.eye(p.shape[1])[y]) ** 2).sum(1)
    return mean("Brier score, sum over classes", each, unit="square, 0 to 2", direction="lower", of="answers")


def brier_parts(confidence: npt.ArrayLike, correct: npt.ArrayLike, bins: int = BINS) -> BrierParts:
    """Where a Brier score comes from."""
    groups = Groups.make(confidence, correct)
    c, y, n = groups.confidence, groups.correct, groups.n
    right = groups.shared(y)
    base = float(y.mean())
    best = recalibrated(c, right)
    score, ideal, flat = (float(np.mean((guess - y) ** 2)) for guess in (c, best, np.full(n, base)))
    counts, said, seen = _means(c, right, _edges(n, min(bins, n // 2 or 1)))
    scatter = np.sum(counts * seen * (1 - seen) / np.maximum(counts - 1, 1)) / n
    scatter_base = base * (1 - base) / max(n - 1, 1)
    return BrierParts(
        miscalibration=score - ideal,
        discrimination=flat - ideal,
        uncertainty=flat,
        reliability=float(np.sum(counts * (seen - said) ** 2) / n - scatter),
        resolution=float(np.sum(counts * (seen - base) ** 2) / n - scatter + scatter_base),
        uncertainty_unbiased=float(base * (1 - base) + scatter_base),
    )


def recalibrated(confidence: Floats, right: Floats) -> Floats:
    """Isotonic regression of sorted answers (n,): the calibrated probability of each."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(right).x, np.float64)


def diagram(confidence: Floats, right: Floats, bins: int = BINS, level: float = 0.95) -> list[Bin]:
    """The reliability diagram's equal-mass bins. Answers sorted by confidence, as `recalibrated` takes them."""
    counts, said, seen = _means(confidence, right, _edges(len(confidence), min(bins, len(confidence))))
    found = []
    for n, conf, share in zip(counts.tolist(), said.tolist(), seen.tolist(), strict=True):
        low, high = wilson(round(share * n), n, level)
        found.append(Bin(conf, share, low, high, n))
    return found
