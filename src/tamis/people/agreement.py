"""How far raters agree beyond chance: raw agreement, Fleiss' kappa, Gwet's AC1, Krippendorff's alpha.

A number never comes alone: `Agreement` holds the value, an interval from resampling *examples* (raters' answers to one
example belong together), how many examples, raters and ratings it stands on, and raw agreement beside it. Where a
measure is undefined, `why` is a plain sentence. Cohen's kappa, of pairs of raters, is in `tamis.people.kappa`.

Everything is computed from how many raters gave each value to each example (`tamis.people.units`): one pass over the
ratings, then sums over patterns of counts. Nothing is of size (examples, values, values) or ratings squared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tamis.errors import WrongUse
from tamis.people.units import Floats, Ints, Units, count

if TYPE_CHECKING:
    from tamis.people.labels import Labels

Level = Literal["nominal", "ordinal", "interval", "ratio"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")

RESAMPLES = 1000
SEED = 17
CONFIDENCE = 0.95


class NoOrder(ValueError, WrongUse):
    """A level of measurement needs an order or numbers that the labels do not have."""


@dataclass(frozen=True)
class Agreement:
    """One measure of agreement. Undefined: `value` is nan and `why` says why.

    low, high: percentile bootstrap interval over examples at `confidence`, nan where there is none. examples, raters,
    ratings: what the value stands on (examples with at least two ratings). raw: share of pairs of ratings of the same
    example that are equal, averaged over examples. undefined: resamples in which the measure was undefined.
    """

    name: str
    value: float
    low: float
    high: float
    examples: int
    raters: int
    ratings: int
    raw: float
    level: str = ""
    why: str = ""
    resamples: int = 0
    undefined: int = 0
    seed: int = SEED
    confidence: float = CONFIDENCE

    @property
    def defined(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)

    def to_json(self) -> dict[str, Any]:
        """JSON; nan as null."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}

    def __str__(self) -> str:
        name = f"{self.name} ({self.level})" if self.level else self.name
        if not self.defined:
            return f"{name}: undefined. {self.why}"
        shown = "no interval" if math.isnan(self.low) else f"[{self.low:.4f}, {self.high:.4f}]"
        return f"{name} {self.value:.4f} {shown}"


@dataclass(frozen=True)
class Ratings:
    """N ratings as codes, with no rater twice on one example: example (N,), rater (N,), value (N,).

    values: the names of the V values; left_out: answers of raters who contradicted themselves on an example.
    """

    example: Ints
    rater: Ints
    value: Ints
    examples: Sequence[str]
    raters: Sequence[str]
    values: Sequence[str]
    left_out: int = 0

    @property
    def units(self) -> Units:
        """The counts of every example."""
        return count(self.example, self.value, len(self.values))

    def only(self, kept: npt.NDArray[np.bool_]) -> Ratings:
        """The ratings that a mask (N,) keeps; codes stay as they are."""
        return Ratings(
            self.example[kept], self.rater[kept], self.value[kept], self.examples, self.raters, self.values
        )  # fmt: skip


def alpha(labels: Labels | Ratings, level: Level = "nominal", **settings: Any) -> Agreement:
    """Krippendorff's alpha of any number of raters, with ratings missing anywhere: 1 - D_o / D_e.

    1 is perfect, 0 chance, below 0 worse than chance. Examples with one rating count for nothing. `level` says which
    differences are large: any (nominal), in ranks (ordinal), in numbers (interval), in proportion (ratio).
    settings: `order`, `resamples`, `seed`, `confidence`, as in `scale_of` and `Agreement`.
    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), whose table this is:

    >>> round(alpha(KRIPPENDORFF_2011, "ordinal").value, 3)
    0.815
    """
    ratings, order, drawing = _prepare(labels, settings)
    scale = scale_of(ratings.values, level, order)
    units = ratings.units.with_at_least(2)
    why = _nothing(units) or _one_value(ratings, units)
    return _measure("Krippendorff's alpha", ratings, units, _alpha_of(units, level, scale), why, drawing, level)


def fleiss(labels: Labels | Ratings, **settings: Any) -> Agreement:
    """Fleiss' kappa: (P - P_e) / (1 - P_e), chance from the pooled margins; as many ratings for every example.

    Source: Fleiss, Measuring nominal scale agreement among many raters (1971), equations 3 to 7.
    """
    ratings, _, drawing = _prepare(labels, settings)
    units = ratings.units.with_at_least(2)
    why = _nothing(units)
    sizes = np.unique(ratings.units.ratings)
    if not why and len(sizes) > 1:
        why = (
            f"Fleiss' kappa needs the same number of ratings for every example; here there are {sizes[0]} to "
            f"{sizes[-1]}. Krippendorff's alpha takes any number."
        )
    why = why or _one_value(ratings, units)

    def measure(weights: Floats) -> Floats:
        raters = float(sizes[0])
        total = weights.sum(1)
        seen = weights @ _agreeing(units) / total
        margins = weights @ units.matrix / (total * raters)[:, None]
        return _beyond(seen, (margins**2).sum(1))

    return _measure("Fleiss' kappa", ratings, units, measure, why, drawing, "nominal")


def ac1(labels: Labels | Ratings, *, classes: int | None = None, **settings: Any) -> Agreement:
    """Gwet's AC1: chance agreement is sum p(1 - p) / (K - 1), which does not punish one dominant value as kappa does.

    classes: K, the values that raters could give; those seen where absent. Examples with one rating count for p.
    Source: Gwet, Computing inter-rater reliability in the presence of high agreement (2008), equations 12 and 13.
    """
    ratings, _, drawing = _prepare(labels, settings)
    everything = ratings.units
    units = everything.with_at_least(2)
    seen = len(np.unique(ratings.value))
    if classes is not None and classes < seen:
        raise NoOrder(f"{seen} values were given, more than the {classes} classes that there are said to be")
    possible = classes or seen
    why = _nothing(units)
    if not why and possible < 2:
        why = _one_value(ratings, units)

    paired = (everything.ratings >= 2).astype(np.float64)
    agreeing = np.where(paired > 0, _agreeing(everything), 0.0)
    shares = everything.matrix / everything.ratings[:, None] if everything.examples else everything.matrix

    def measure(weights: Floats) -> Floats:
        raw = _over(weights @ agreeing, weights @ paired)
        p = weights @ shares / weights.sum(1)[:, None]
        return _beyond(raw, (p * (1 - p)).sum(1) / (possible - 1))

    return _measure("Gwet's AC1", ratings, everything, measure, why, drawing, "nominal")


def raw(labels: Labels | Ratings, **settings: Any) -> Agreement:
    """The share of pairs of ratings of one example that are equal, averaged over examples: no chance taken off."""
    ratings, _, drawing = _prepare(labels, settings)
    units = ratings.units.with_at_least(2)
    agreeing = _agreeing(units)
    return _measure("raw agreement", ratings, units, lambda w: w @ agreeing / w.sum(1), _nothing(units), drawing)


def coincidences(labels: Labels | Ratings) -> Floats:
    """o (V, V): how often values c and k stand in one example, each pair weighted by 1 / (ratings - 1).

    Sums over examples are sparse: O(V^2) numbers, whatever the number of ratings.
    """
    ratings, _, _ = _prepare(labels, {})
    units = ratings.units.with_at_least(2)
    weight = units.times / np.maximum(units.ratings - 1, 1)
    scaled = units.matrix.multiply(weight[:, None]).tocsr()
    table: Floats = np.asarray((units.matrix.T @ scaled).todense(), np.float64)
    return table - np.diag(np.asarray(scaled.sum(0)).ravel())


def scale_of(values: Sequence[str], level: Level, order: Sequence[str] | None = None) -> Floats:
    """Where each value stands on its level: (V,). Numbers for interval and ratio, positions for ordinal, else codes.

    order: the values from low to high, for an ordinal level of words. Raises NoOrder.
    """
    if level not in LEVELS:
        raise NoOrder(f"no level of measurement is named {level!r}: choose {', '.join(LEVELS)}")
    if level == "nominal":
        return np.arange(len(values), dtype=np.float64)
    if order is not None and level == "ordinal":
        places = {name: place for place, name in enumerate(order)}
        if missing := sorted(set(values) - set(places)):
            raise NoOrder(f"the order does not name the label {missing[0]!r}: it has {', '.join(order)}")
        return np.array([places[value] for value in values], np.float64)
    try:
        numbers = np.array([float(value) for value in values], np.float64)
    except ValueError:
        word = next(value for value in values if not _is_number(value))
        hint = "; name the order of the labels, low to high" if level == "ordinal" else ""
        raise NoOrder(f"the {level} level needs numbers, and the label {word!r} is none{hint}") from None
    if not np.isfinite(numbers).all():
        raise NoOrder(f"the {level} level needs finite numbers")
    if level == "ratio" and (numbers < 0).any():
        raise NoOrder("the ratio level has a true zero: no label may be negative")
    return numbers


def ratings_of(labels: Labels | Ratings) -> Ratings:
    """One rating per rater and example. Of a rater who answered an example again, the answer given most often counts,
    and none where that is tied (`left_out` counts those): nobody agrees or disagrees with himself here."""
    if isinstance(labels, Ratings):
        return labels
    example, rater, value = (np.asarray(x, np.int64) for x in (labels.example, labels.rater, labels.label))
    width = max(len(labels.raters), 1)
    cell = example * width + rater
    left_out = 0
    if len(cell) and (np.diff(np.sort(cell)) == 0).any():
        kinds = max(len(labels.classes), 1)
        answers, times = np.unique(cell * kinds + value, return_counts=True)
        cells, inverse = np.unique(answers // kinds, return_inverse=True)
        most = np.zeros(len(cells), np.int64)
        np.maximum.at(most, inverse, times)
        best = times == most[inverse]
        alone = best & (np.bincount(inverse[best], minlength=len(cells)) == 1)[inverse]
        left_out = len(cells) - int(alone.sum())
        example, rater, value = cells[inverse[alone]] // width, cells[inverse[alone]] % width, answers[alone] % kinds
    return Ratings(example, rater, value, labels.examples, labels.raters, labels.classes, left_out)


@dataclass(frozen=True)
class Drawing:
    """How intervals are made."""

    resamples: int = RESAMPLES
    seed: int = SEED
    confidence: float = CONFIDENCE


def interval(values: Floats, confidence: float) -> tuple[float, float, int]:
    """Percentiles of the defined values, and how many were undefined; nan where fewer than half are defined."""
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    if not len(values) or undefined > len(defined):
        return math.nan, math.nan, undefined
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high), undefined


def _prepare(labels: Labels | Ratings, settings: dict[str, Any]) -> tuple[Ratings, Sequence[str] | None, Drawing]:
    settings = dict(settings)
    order = settings.pop("order", None)
    return ratings_of(labels), order, Drawing(**settings)


def _measure(
    name: str,
    ratings: Ratings,
    units: Units,
    measure: Callable[[Floats], Floats],
    why: str,
    drawing: Drawing,
    level: str = "",
) -> Agreement:
    """The value of the examples as they are, and its interval from resamples of them."""
    paired = units.with_at_least(2)
    plenty = (
        np.bincount(ratings.example, minlength=1)[ratings.example] >= 2 if len(ratings.example) else np.zeros(0, bool)
    )
    about: dict[str, Any] = {
        "name": name,
        "level": level,
        "examples": paired.examples,
        "raters": len(np.unique(ratings.rater[plenty])),
        "ratings": int(plenty.sum()),
        "raw": float(paired.times @ _agreeing(paired) / paired.examples) if paired.examples else math.nan,
        "seed": drawing.seed,
        "confidence": drawing.confidence,
    }
    if why:
        return Agreement(value=math.nan, low=math.nan, high=math.nan, why=why, **about)
    value = float(measure(units.times[None, :].astype(np.float64))[0])
    low = high = math.nan
    undefined = 0
    if drawing.resamples and units.examples > 1:
        drawn = [measure(block) for block in units.resamples(drawing.resamples, drawing.seed)]
        low, high, undefined = interval(np.concatenate(drawn), drawing.confidence)
    return Agreement(
        value=value, low=low, high=high, resamples=drawing.resamples, undefined=undefined, **about
    )  # fmt: skip


def _alpha_of(units: Units, level: Level, scale: Floats) -> Callable[[Floats], Floats]:
    """weights (b, G) of patterns -> alpha (b,)."""
    size = units.ratings.astype(np.float64)  # (G,)

    def nominal(weights: Floats) -> Floats:
        counts = weights @ units.matrix  # (b, V)
        total = counts.sum(1)
        same = weights @ (_agreeing(units) * size)  # coincidences on the diagonal
        return _ratio(total - same, total * total - (counts**2).sum(1), total)

    def interval_(weights: Floats) -> Floats:
        place = scale - scale.mean()
        seen = _spread(units.matrix @ place**2, units.matrix @ place, size)
        counts = weights @ units.matrix
        total = counts.sum(1)
        chance = 2 * (total * (counts @ place**2) - (counts @ place) ** 2)
        return _ratio(weights @ seen, chance, total)

    def ordinal(weights: Floats) -> Floats:
        low_to_high = np.argsort(scale, kind="stable")
        ordered = (weights @ units.matrix)[:, low_to_high]
        # Krippendorff's ordinal difference is that of the values' middle ranks among all ratings.
        ranks = np.empty_like(ordered)
        ranks[:, low_to_high] = ordered.cumsum(1) - ordered / 2  # (b, V)
        counts = weights @ units.matrix
        total = counts.sum(1)
        seen = _spread(units.matrix @ (ranks**2).T, units.matrix @ ranks.T, size[:, None])  # (G, b)
        chance = 2 * (total * (counts * ranks**2).sum(1) - ((counts * ranks).sum(1)) ** 2)
        return _ratio((weights.T * seen).sum(0), chance, total)

    def ratio(weights: Floats) -> Floats:
        sums = scale[:, None] + scale[None, :]
        apart = ((scale[:, None] - scale[None, :]) / np.where(sums == 0, 1.0, sums)) ** 2  # (V, V)
        seen = np.asarray(units.matrix.multiply(units.matrix @ apart).sum(1)).ravel() / (size - 1)
        counts = weights @ units.matrix
        return _ratio(weights @ seen, ((counts @ apart) * counts).sum(1), counts.sum(1))

    return {"nominal": nominal, "ordinal": ordinal, "interval": interval_, "ratio": ratio}[level]


def _spread(squares: Floats, sums: Floats, size: Floats) -> Floats:
    """Sum of squared differences between the ratings of an example, over ratings - 1."""
    return np.maximum(2 * (size * squares - sums**2), 0.0) / (size - 1)


def _ratio(seen: Floats, chance: Floats, total: Floats) -> Floats:
    """1 - D_o / D_e of sums that still have to be divided by n and n (n - 1)."""
    chance = np.where(chance > 1e-12 * total * total, chance, np.nan)
    return 1 - (total - 1) * seen / chance


def _agreeing(units: Units) -> Floats:
    """Share of the pairs of ratings of an example that are equal: (G,)."""
    size = units.ratings.astype(np.float64)
    equal = np.asarray(units.matrix.multiply(units.matrix).sum(1)).ravel() - size
    return equal / np.maximum(size * (size - 1), 1)


def _beyond(seen: Floats, chance: Floats) -> Floats:
    return (seen - chance) / np.where(chance < 1 - 1e-12, 1 - chance, np.nan)


def _over(above: Floats, below: Floats) -> Floats:
    return above / np.where(below > 0, below, np.nan)


def _nothing(units: Units) -> str:
    if units.with_at_least(2).examples:
        return ""
    return "No example was rated by two raters, so there is nothing to compare."


def _one_value(ratings: Ratings, units: Units) -> str:
    given = np.flatnonzero(units.times @ units.matrix)
    if len(given) != 1:
        return ""
    return (
        f"Every rating is {ratings.values[given[0]]!r}: with one value only, agreement by chance is complete, and "
        "agreement beyond chance cannot be measured."
    )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _table(rows: Sequence[str]) -> Ratings:
    """Ratings of a table for doctests: one text per rater, one character per example, `.` where there is none."""
    cells = [(e, r, c) for r, row in enumerate(rows) for e, c in enumerate(row.replace(" ", "")) if c != "."]
    values = sorted({c for *_, c in cells})
    example, rater, value = np.array([(e, r, values.index(c)) for e, r, c in cells], np.int64).T
    width = len(rows[0].replace(" ", ""))
    return Ratings(example, rater, value, [str(e) for e in range(width)], [str(r) for r in range(len(rows))], values)


# Krippendorff 2011, part C: 4 observers, 12 units.
KRIPPENDORFF_2011 = _table(["12332141 2...", "12332241 25.3", ".3332342 251.", "12332441 251."])
