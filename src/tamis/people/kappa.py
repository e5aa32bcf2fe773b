"""Cohen's kappa of pairs of raters, plain or weighted, on the examples that both rated; and its mean over pairs.

All pairs of ratings of one example are formed once: memory is 40 bytes for each (an example with m ratings has
m (m - 1) / 2 of them), and pairs of raters times values squared for the tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tamis.people.agreement import Agreement, Drawing, NoOrder, Ratings, interval, ratings_of, scale_of
from tamis.people.units import BLOCK, Floats, Ints

if TYPE_CHECKING:
    from tamis.people.labels import Labels

Weights = Literal["none", "linear", "quadratic"]
NAMES = {
    "none": "Cohen's kappa",
    "linear": "Cohen's kappa, linear weights",
    "quadratic": "Cohen's kappa, quadratic weights",
}
MOST_CELLS = 5_000_000  # of all tables of pairs: beyond, no mean is formed


@dataclass(frozen=True)
class Pairs:
    """P pairs of raters that share examples. first, second: (P,) codes of raters, first < second; examples: (M,), pair:
    (M,), left and right: (M,) the two values, one row for every two ratings of one example."""

    first: Ints
    second: Ints
    example: Ints
    pair: Ints
    left: Ints
    right: Ints

    def __len__(self) -> int:
        return len(self.first)

    def tables(self, values: int) -> Floats:
        """(P, V, V): how often the first of each pair said c where the second said k."""
        cells = (self.pair * values + self.left) * values + self.right
        flat = np.bincount(cells, minlength=len(self) * values * values)
        return flat.reshape(len(self), values, values).astype(np.float64)


def cohen(
    labels: Labels | Ratings,
    first: str | None = None,
    second: str | None = None,
    weights: Weights = "none",
    **settings: Any,
) -> Agreement:
    """Cohen's kappa of two raters on the examples that both rated: 1 - sum w o / sum w e, e from each one's margins.

    Weights grow with the distance of the labels, linearly or as its square; numbers are taken as numbers, words need
    `order`. The names may be left out where there are two raters. Raises NoOrder, KeyError for an unknown rater.
    Source: Cohen, A coefficient of agreement for nominal scales (1960); weighted kappa (1968).
    """
    ratings = ratings_of(labels)
    if first is None or second is None:
        known = [ratings.raters[code] for code in np.unique(ratings.rater)]
        if len(known) != 2:
            raise KeyError(f"Cohen's kappa is of two raters, and here are {len(known)}: name two, or take `light`")
        first, second = known
    codes = [ratings.raters.index(name) if name in ratings.raters else -1 for name in (first, second)]
    for code, name in zip(codes, (first, second), strict=True):
        if code < 0:
            raise KeyError(f"no rater is named {name!r}")
    pairs = pairs_of(ratings.only(np.isin(ratings.rater, codes)))
    apart = distances(ratings, weights, settings.pop("order", None))
    if not len(pairs):
        return _alone(ratings, weights, f"{first} and {second} rated no example in common.", Drawing(**settings))
    return _of_table(ratings, pairs.tables(len(ratings.values))[0], apart, weights, Drawing(**settings))


def each_pair(
    labels: Labels | Ratings, weights: Weights = "none", *, least: int = 1, **settings: Any
) -> Iterator[tuple[str, str, Agreement]]:
    """(first, second, kappa) for every two raters with at least `least` examples in common, in the order of names."""
    ratings = ratings_of(labels)
    apart = distances(ratings, weights, settings.pop("order", None))
    pairs, drawing = pairs_of(ratings), Drawing(**settings)
    values = len(ratings.values)
    cells = np.lexsort((pairs.right, pairs.left, pairs.pair))
    ends = np.searchsorted(pairs.pair[cells], np.arange(len(pairs) + 1))
    for number in range(len(pairs)):
        rows = cells[ends[number] : ends[number + 1]]
        if len(rows) < least:
            continue
        table = np.bincount(pairs.left[rows] * values + pairs.right[rows], minlength=values * values)
        found = _of_table(ratings, table.reshape(values, values).astype(np.float64), apart, weights, drawing)
        yield ratings.raters[pairs.first[number]], ratings.raters[pairs.second[number]], found


def light(labels: Labels | Ratings, weights: Weights = "none", *, least: int = 5, **settings: Any) -> Agreement:
    """The mean of Cohen's kappa over pairs of raters with at least `least` examples in common, where it is defined.

    Source: Light, Measures of response agreement for qualitative data (1971). Undefined resamples of a pair leave it
    out of that resample's mean.
    """
    ratings = ratings_of(labels)
    apart = distances(ratings, weights, settings.pop("order", None))
    drawing = Drawing(**settings)
    pairs = _often(pairs_of(ratings), least)
    values = len(ratings.values)
    name = f"mean of {NAMES[weights]} over {len(pairs):,} pairs"
    if not len(pairs):
        return _alone(ratings, weights, f"No two raters have {least} examples in common.", drawing, name)
    if len(pairs) * values * values > MOST_CELLS:
        why = f"{len(pairs):,} pairs of raters with {values} values are too many tables: ask for single pairs."
        return _alone(ratings, weights, why, drawing, name)
    tables = pairs.tables(values)
    kappas = kappa_of(tables, apart)
    about = _about(ratings, name, len(np.unique(pairs.example)), pairs, drawing)
    agreeing = tables[:, np.arange(values), np.arange(values)].sum(1) / tables.sum((1, 2))
    about["raw"] = float(agreeing.mean())
    if np.isnan(kappas).all():
        why = "In every pair both raters used one and the same value only: chance agreement is complete."
        return Agreement(value=math.nan, low=math.nan, high=math.nan, why=why, **about)
    drawn = _resampled_means(pairs, values, apart, drawing)
    value = float(np.nanmean(kappas))
    low, high, undefined = interval(drawn, drawing.confidence)
    # Kappas of few examples are biased, and more so in resamples: the interval is centred on the value.
    shift = value - float(np.nanmean(drawn)) if len(drawn) > undefined else math.nan
    return Agreement(
        value=value, low=low + shift, high=high + shift, undefined=undefined, resamples=drawing.resamples, **about
    )


def pairs_of(ratings: Ratings) -> Pairs:
    """Every two ratings of one example, by pair of raters."""
    order = np.lexsort((ratings.rater, ratings.example))
    example, rater, value = ratings.example[order], ratings.rater[order], ratings.value[order]
    starts = np.flatnonzero(np.r_[True, example[1:] != example[:-1]]) if len(example) else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[starts, len(example)])
    lefts, rights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for size in np.unique(sizes[sizes > 1]):
        one, other = np.triu_indices(size, 1)
        begin = starts[sizes == size][:, None]
        lefts.append((begin + one).ravel())
        rights.append((begin + other).ravel())
    a, b = np.concatenate(lefts), np.concatenate(rights)
    key, pair = np.unique(rater[a] * len(ratings.raters) + rater[b], return_inverse=True)
    width = max(len(ratings.raters), 1)
    return Pairs(key // width, key % width, example[a], pair.reshape(-1), value[a], value[b])


def distances(ratings: Ratings, weights: Weights, order: Sequence[str] | None = None) -> Floats:
    """(V, V): how bad it is that one says c and the other k."""
    if weights not in NAMES:
        raise NoOrder(f"no weights of kappa are named {weights!r}: choose {', '.join(NAMES)}")
    if weights == "none":
        return 1.0 - np.eye(len(ratings.values))
    place = scale_of(ratings.values, "ordinal", order)
    apart = np.abs(place[:, None] - place[None, :])
    return apart if weights == "linear" else apart**2


def kappa_of(tables: Floats, apart: Floats) -> Floats:
    """(..., V, V) tables -> (...,) kappas, nan where chance disagreement is 0."""
    total = tables.sum((-2, -1))
    seen = (tables * apart).sum((-2, -1)) * total
    rows, columns = tables.sum(-1), tables.sum(-2)
    chance = ((rows @ apart) * columns).sum(-1)
    kappas: Floats = 1 - seen / np.where(chance > 0, chance, np.nan)
    return kappas


def _of_table(ratings: Ratings, table: Floats, apart: Floats, weights: Weights, drawing: Drawing) -> Agreement:
    """Kappa of one table; resampling examples is resampling its cells."""
    total = int(table.sum())
    raters = 2
    about: dict[str, Any] = {
        "name": NAMES[weights], "examples": total, "raters": raters, "ratings": 2 * total,
        "raw": float(np.trace(table) / total), "seed": drawing.seed, "confidence": drawing.confidence,
    }  # fmt: skip
    value = float(kappa_of(table, apart))
    if math.isnan(value):
        only = ratings.values[int(table.sum(0).argmax())]
        why = f"Both raters said {only!r} every time: chance agreement is complete, so kappa is undefined."
        return Agreement(value=value, low=math.nan, high=math.nan, why=why, **about)
    low = high = math.nan
    undefined = 0
    if drawing.resamples and total > 1:
        used = np.flatnonzero(table)
        rng = np.random.default_rng(drawing.seed)
        drawn = np.zeros((drawing.resamples, table.size))
        drawn[:, used] = rng.multinomial(total, table.ravel()[used] / total, size=drawing.resamples)
        low, high, undefined = interval(kappa_of(drawn.reshape(-1, *table.shape), apart), drawing.confidence)
    return Agreement(
        value=value, low=low, high=high, undefined=undefined, resamples=drawing.resamples, **about
    )  # fmt: skip


def _resampled_means(pairs: Pairs, values: int, apart: Floats, drawing: Drawing) -> Floats:
    from scipy.sparse import csr_array

    examples, row = np.unique(pairs.example, return_inverse=True)
    cells = (pairs.pair * values + pairs.left) * values + pairs.right
    width = len(pairs) * values * values
    share = csr_array((np.ones(len(row)), (row.reshape(-1), cells)), shape=(len(examples), width))
    rng = np.random.default_rng(drawing.seed)
    step = max(1, BLOCK // max(width, len(examples)))
    means = []
    for start in range(0, drawing.resamples, step):
        number = min(step, drawing.resamples - start)
        drawn = rng.integers(0, len(examples), (number, len(examples))) + len(examples) * np.arange(number)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=number * len(examples)).reshape(number, -1).astype(np.float64)
        kappas = kappa_of(np.asarray(weights @ share).reshape(number, len(pairs), values, values), apart)
        known = ~np.isnan(kappas)
        means.append(np.where(known, kappas, 0.0).sum(1) / np.where(known.any(1), known.sum(1), np.nan))
    return np.concatenate(means) if means else np.zeros(0)


def _often(pairs: Pairs, least: int) -> Pairs:
    kept = np.bincount(pairs.pair, minlength=len(pairs)) >= least
    rows = kept[pairs.pair] if len(pairs.pair) else np.zeros(0, np.bool_)
    number = np.cumsum(kept) - 1
    return Pairs(
        pairs.first[kept], pairs.second[kept], pairs.example[rows], number[pairs.pair[rows]], pairs.left[rows],
        pairs.right[rows],
    )  # fmt: skip


def _about(ratings: Ratings, name: str, examples: int, pairs: Pairs, drawing: Drawing) -> dict[str, Any]:
    raters = np.unique(np.concatenate([pairs.first, pairs.second]))
    used = np.isin(ratings.rater, raters) & np.isin(ratings.example, pairs.example)
    return {
        "name": name, "examples": examples, "raters": len(raters), "ratings": int(used.sum()), "raw": math.nan,
        "seed": drawing.seed, "confidence": drawing.confidence,
    }  # fmt: skip


def _alone(ratings: Ratings, weights: Weights, why: str, drawing: Drawing, name: str = "") -> Agreement:
    nan = math.nan
    return Agreement(
        name or NAMES[weights], nan, nan, nan, 0, 0, 0, nan, why=why, seed=drawing.seed, confidence=drawing.confidence
    )
