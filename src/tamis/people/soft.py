"""Where people may differ: distributions of opinions, how much of a disagreement is slips, and ratings.

Soft labels themselves are `aggregate(labels, "soft", smoothing=0.5)`. Here: the share of slips from repeats by the same
rater, the distribution without slips (disagreement deconvolution), how well predictions fit opinions, and the median or
trimmed mean of ratings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tamis.errors import SaidNo
from tamis.people.labels import Labels

Floats = NDArray[np.float64]
_SEED = 11


class NotIdentified(ValueError, SaidNo):
    """The labels cannot answer the question; the message says which ones could."""


@dataclass(frozen=True)
class FlipRate:
    """How often a rater's label is a slip: `value` in [0, (K-1)/K), 95 % interval (bootstrap, 2,000 resamples of the
    `groups` of repeats), from `pairs` of labels of which `differing` is the share that differ."""

    value: float
    low: float
    high: float
    differing: float
    pairs: int
    groups: int


def flip_rate(labels: Labels, resamples: int = 2000) -> FlipRate:
    """From examples that one rater has labelled twice or more. If a slip moves a label to each other class alike, two
    labels differ with d = 1 - (1-f)^2 - f^2/(K-1), so f = (K-1)/K (1 - sqrt(1 - d K/(K-1))).

    Raises NotIdentified without repeats, or where they differ as often as labels by chance.

    >>> once = [("a", "ann", "yes"), ("a", "ann", "no")] + [(str(i), "ann", "yes") for i in range(9) for _ in "12"]
    >>> round(flip_rate(Labels.of(*zip(*once))).value, 4)
    0.0528
    """
    key = labels.example.astype(np.int64) * len(labels.raters) + labels.rater
    _, group, size = np.unique(key, return_inverse=True, return_counts=True)
    _, same = np.unique(group * len(labels.classes) + labels.label, return_counts=True)
    owner = np.unique(group * len(labels.classes) + labels.label) // len(labels.classes)
    pairs = size * (size - 1) / 2
    equal = np.bincount(owner, same * (same - 1) / 2, len(size))
    repeated = pairs > 0
    if not repeated.any():
        raise NotIdentified(
            "no rater has labelled an example twice, so slips cannot be told from opinions\n"
            "  Plan repeats (`repeats: 0.03` in the task), or state the flip rate."
        )
    pairs, differ = pairs[repeated], (pairs - equal)[repeated]
    classes = max(len(labels.classes), 2)
    share = float(differ.sum() / pairs.sum())
    value = _flip(share, classes)
    if math.isnan(value):
        raise NotIdentified(f"repeats differ in {share:.0%} of pairs, as labels by chance would: no flip rate fits")
    random = np.random.default_rng(_SEED)
    chosen = random.integers(0, len(pairs), (resamples, len(pairs)))
    shares = differ[chosen].sum(axis=1) / pairs[chosen].sum(axis=1)
    values = [_flip(float(one), classes) for one in shares]
    limit = (classes - 1) / classes
    low, high = np.quantile([limit if math.isnan(one) else one for one in values], [0.025, 0.975])
    return FlipRate(value, float(low), float(high), share, int(pairs.sum()), len(pairs))


def _flip(differing: float, classes: int) -> float:
    inner = 1 - differing * classes / (classes - 1)
    return (classes - 1) / classes * (1 - math.sqrt(inner)) if inner > 0 else math.nan


def deconvolve(opinions: Floats, flip: float) -> Floats:
    """Disagreement deconvolution (Gordon et al. 2021): the distribution of people's settled labels, without slips.

    opinions (I, K): shares of labels. p* = (p - f/(K-1)) / (1 - K f/(K-1)), negatives cut and rows made to sum to one.
    Raises NotIdentified for a flip rate of (K-1)/K or more: labels are noise then.

    >>> deconvolve(np.array([[0.9, 0.1], [0.6, 0.4]]), 0.1).round(3).tolist()
    [[1.0, 0.0], [0.625, 0.375]]
    """
    classes = opinions.shape[1]
    if classes < 2:
        return opinions.copy()
    if not 0 <= flip < (classes - 1) / classes:
        limit = (classes - 1) / classes
        raise NotIdentified(
            f"a flip rate of {flip:g} with {classes} classes: it must be at least 0 and below {limit:g}"
        )
    settled = (opinions - flip / (classes - 1)) / (1 - classes * flip / (classes - 1))
    settled = np.maximum(settled, 0)
    clean: Floats = settled / settled.sum(axis=1, keepdims=True)
    return clean


def expected_accuracy(opinions: Floats, predicted: NDArray[np.integer[Any]]) -> float:
    """Accuracy against a test set whose truth is drawn from `opinions` (I, K) for each of the (I,) predicted codes."""
    return float(opinions[np.arange(len(predicted)), predicted].mean())


def cross_entropy(opinions: Floats, predicted: Floats, least: float = 1e-12) -> float:
    """Mean over examples of -sum_k p_k log(max(predicted_k, least)), nats. `predicted` (I, K), or (K,) for all examples
    alike. With predicted = opinions this is the entropy of opinions: nothing can be lower."""
    return float(-(opinions * np.log(np.maximum(predicted, least))).sum(axis=1).mean())


def confidence(opinions: Floats, n: NDArray[np.integer[Any]]) -> Floats:
    """(I,) standard error of the largest share, from n labels an example; nan for n = 0."""
    top = opinions.max(axis=1)
    error: Floats = np.sqrt(np.divide(top * (1 - top), n, out=np.full(len(top), np.nan), where=n > 0))
    return error


Middle = Literal["median", "trimmed-mean"]


@dataclass(frozen=True)
class Ratings:
    """One value an example and how raters lean. value, low, high (I,): low and high are nan where there are too few
    ratings for a 95 % interval. bias (R,): a rater's mean difference from the others on the same examples, bias_low and
    bias_high its 95 % interval (Student's t); spread (R,): its standard deviation."""

    labels: Labels
    method: Middle
    value: Floats
    low: Floats
    high: Floats
    n: NDArray[np.int64]
    bias: Floats
    bias_low: Floats
    bias_high: Floats
    spread: Floats

    def table(self) -> pa.Table:
        """One row an example: example, label (the value), n, low, high (null where there are too few ratings)."""
        shown = np.flatnonzero(self.n > 0)
        interval = {name: pa.array(getattr(self, name)[shown], from_pandas=True) for name in ("low", "high")}
        examples = [self.labels.examples[row] for row in shown.tolist()]
        return pa.table({"example": examples, "label": self.value[shown], "n": self.n[shown], **interval})

    def raters(self) -> list[dict[str, Any]]:
        n = np.bincount(self.labels.rater, minlength=len(self.labels.raters))
        names = ("bias", "bias_low", "bias_high", "spread")
        return [
            {"rater": rater, "n": int(n[code])} | {name: _or_none(getattr(self, name)[code]) for name in names}
            for code, rater in enumerate(self.labels.raters)
        ]

    def to_json(self) -> dict[str, Any]:
        """As `Aggregated.to_json`: a rating has no posterior, and no model that a log-likelihood would be of."""
        rows = [
            {"example": row["example"], "label": row["label"], "posterior": None, "n": row["n"]}
            | {"low": row["low"], "high": row["high"]}
            for row in self.table().to_pylist()
        ]
        return {"labels": rows, "raters": self.raters(), "log_likelihood": None, "method": self.method}


def ratings(labels: Labels, method: Middle = "median", trim: float = 0.1) -> Ratings:
    """The median, or the mean without the `trim` share of ratings at either end, of every example.

    Interval: for the median the order statistics that hold it with 95 % (6 ratings or more); for the trimmed mean
    Yuen's, with the winsorised variance (3 or more that stay). Raises NotLabels where a label is no number, ValueError
    for a trim outside [0, 1/2).
    """
    if not 0 <= trim < 0.5:
        raise ValueError(f"trim={trim}: at least 0 and below 1/2")
    values = labels.values[labels.label]
    order = np.lexsort((values, labels.example))
    ranked, example = values[order], labels.example[order]
    n = np.bincount(example, minlength=len(labels.examples))
    first = np.cumsum(n) - n
    make = _medians if method == "median" else _trimmed
    value, low, high = make(ranked, example, first, n, trim)
    return Ratings(labels, method, value, low, high, n, *_biases(labels, values, n))


def _medians(
    ranked: Floats, example: Any, first: NDArray[np.int64], n: NDArray[np.int64], trim: float
) -> tuple[Floats, Floats, Floats]:
    from scipy.stats import binom

    some = n > 0
    left, right = np.where(some, first + (n - 1) // 2, 0), np.where(some, first + n // 2, 0)
    value = np.where(some, (ranked[left] + ranked[right]) / 2, np.nan)
    sizes = np.unique(n[some])
    below = np.zeros(int(n.max()) + 1, np.int64)  # ratings outside the interval at either end; -1: too few
    below[sizes] = np.asarray(binom.ppf(0.025, sizes, 0.5)).astype(np.int64) - 1
    out = below[n]
    wide = some & (out >= 0)
    low = np.where(wide, ranked[np.where(wide, first + out, 0)], np.nan)
    high = np.where(wide, ranked[np.where(wide, first + n - 1 - out, 0)], np.nan)
    return value, low, high


def _trimmed(
    ranked: Floats, example: Any, first: NDArray[np.int64], n: NDArray[np.int64], trim: float
) -> tuple[Floats, Floats, Floats]:
    from scipy.stats import t

    cut = np.floor(trim * n + 1e-9).astype(np.int64)  # 0.29 of 100 are 29, whatever binary fractions say
    place = np.arange(len(ranked)) - first[example]
    stays = (place >= cut[example]) & (place < (n - cut)[example])
    left = n - 2 * cut
    total = np.bincount(example, ranked * stays, len(n))
    value = np.divide(total, left, out=np.full(len(n), np.nan), where=left > 0)
    clipped = ranked[np.clip(place, cut[example], (n - cut - 1)[example]) + first[example]]
    mean = np.divide(np.bincount(example, clipped, len(n)), n, out=np.zeros(len(n)), where=n > 0)
    squares = np.bincount(example, (clipped - mean[example]) ** 2, len(n))
    # Yuen 1974: what stays decides, so that an example from which nothing was cut has Student's interval.
    error = np.sqrt(np.divide(squares, left * (left - 1), out=np.full(len(n), np.nan), where=left >= 3))
    width = t.ppf(0.975, np.maximum(left - 1, 1)) * error
    return value, value - width, value + width


def _biases(labels: Labels, values: Floats, n: NDArray[np.int64]) -> tuple[Floats, Floats, Floats, Floats]:
    from scipy.stats import t

    totals = np.bincount(labels.example, values, len(labels.examples))
    others = n[labels.example] - 1
    met = others > 0
    difference = np.where(met, values - (totals[labels.example] - values) / np.maximum(others, 1), 0)
    raters = len(labels.raters)
    count = np.bincount(labels.rater, met, raters)
    blank = np.full(raters, np.nan)
    bias = np.divide(np.bincount(labels.rater, difference, raters), count, out=blank.copy(), where=count > 0)
    squares = np.bincount(labels.rater, np.where(met, (difference - bias[labels.rater]) ** 2, 0), raters)
    spread = np.sqrt(np.divide(squares, count - 1, out=blank.copy(), where=count > 1))
    width = t.ppf(0.975, np.maximum(count - 1, 1)) * spread / np.sqrt(np.maximum(count, 1))
    return bias, bias - width, bias + width, spread


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
