"""Candidate thresholds from two corpora, as FineWeb's authors found theirs: measure both, and see what separates them.

Penedo et al. 2024 (FineWeb), section 3.6: more than fifty statistics on a good and a bad corpus, those with the
largest Wasserstein distance looked at, sixteen thresholds chosen by eye where the histograms part, each then proven
by training; three stayed. Here the choice by eye is a number: the threshold at which the share of bad documents
removed exceeds the share of good ones removed by the most, among those that remove at most a given share of the good.

Memory: 8 bytes for each document and signal measured, a byte for each document; one batch of texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.errors import SaidNo
from tamis.intervals import wilson
from tamis.signals import GROUPS, SignalGroup
from tamis.verdicts.texts import signals_of

F64 = npt.NDArray[np.float64]

DEFAULT_GROUPS = ("text", "repetition", "final")
# Sizes in other units than words: as thresholds they say the same thing over again.
LEFT_OUT = frozenset(
    ("text.bytes", "text.chars", "final.bytes", "final.chars", "final.words", "final.script_words", "final.cuts",
     "final.cut_bytes", "final.all_lines", "text.words")
)  # fmt: skip
MOST_GOOD = 0.05
LEAST = 30


class TooFew(ValueError, SaidNo):
    """Too few documents to find a threshold with."""


@dataclass(frozen=True)
class Removed:
    """`count` of `documents` removed, with Wilson's 95% interval of the share."""

    count: int
    documents: int

    @property
    def share(self) -> float:
        return self.count / self.documents

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.count, self.documents)

    def to_json(self) -> dict[str, Any]:
        return {"count": self.count, "documents": self.documents, "share": self.share, "interval": self.interval}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.share:6.2%} [{low:.1%}, {high:.1%}]"


@dataclass(frozen=True)
class Candidate:
    """A rule that might stand: `signal operator threshold` must hold."""

    signal: str
    operator: Literal["<=", ">="]
    threshold: float
    good: Removed
    bad: Removed

    @property
    def where(self) -> str:
        return f"{self.signal} {self.operator} {self.threshold:g}"

    @property
    def certain(self) -> bool:
        """Whether the intervals of good and bad do not touch."""
        return self.bad.interval[0] > self.good.interval[1]


@dataclass(frozen=True)
class Distance:
    """How far two corpora lie apart in one signal. `wasserstein` in pooled standard deviations, `ks` the greatest
    difference of the distribution functions. `quantiles`: 5, 50 and 95% of good and of bad."""

    signal: str
    unit: str
    wasserstein: float
    ks: float
    good_quantiles: tuple[float, float, float]
    bad_quantiles: tuple[float, float, float]
    candidate: Candidate | None


@dataclass(frozen=True)
class Tuned:
    """`distances`: the farthest signal first. `together`: what all certain candidates shown remove."""

    good: int
    bad: int
    most_good: float
    distances: tuple[Distance, ...]
    chosen: tuple[Candidate, ...]
    together: tuple[Removed, Removed] | None

    def to_json(self) -> dict[str, Any]:
        def candidate(one: Candidate | None) -> dict[str, Any] | None:
            if one is None:
                return None
            return {
                "where": one.where,
                "signal": one.signal,
                "operator": one.operator,
                "threshold": one.threshold,
                "good": one.good.to_json(),
                "bad": one.bad.to_json(),
                "certain": one.certain,
            }

        return {
            "good": self.good,
            "bad": self.bad,
            "most_good": self.most_good,
            "signals": [{**asdict(d), "candidate": candidate(d.candidate)} for d in self.distances],
            "chosen": [candidate(one) for one in self.chosen],
            "together": [one.to_json() for one in self.together] if self.together else None,
        }


def numeric_signals(groups: Sequence[str]) -> dict[str, str]:
    """Signal -> unit of the numeric columns of registry groups. Raises KeyError for a group that is not there."""
    found = {}
    for name in groups:
        if name not in GROUPS:
            raise KeyError(name)
        for column in GROUPS[name].columns:
            if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
                found[f"{name}.{column.name}"] = column.unit
    return {name: unit for name, unit in found.items() if name not in LEFT_OUT}


def measured(
    batches: Iterable[pa.RecordBatch], groups: Sequence[str] = DEFAULT_GROUPS, most: int | None = None, seed: int = 17
) -> dict[str, F64]:
    """Every numeric signal of texts (record batches with text and url): float64 (N,), NaN where there is nothing to
    measure.

    `most`: of so many documents, drawn by `seed` from all of them without replacement and in their order; `batches` is
    then read twice, first to count. The sample depends on the documents and the seed, not on how they are batched.
    """
    drawn = None if most is None else _drawn(batches, most, seed)
    wanted: list[SignalGroup] = [GROUPS[name] for name in groups]
    names = numeric_signals(groups)
    parts: dict[str, list[F64]] = {name: [] for name in names}
    count = 0
    for batch in batches:
        here, count = count, count + batch.num_rows
        if drawn is not None:
            batch = batch.filter(pa.array(drawn[here:count]))
        if not batch.num_rows:
            continue
        tables = signals_of(batch, wanted)
        for name in names:
            group, column = name.split(".", 1)
            values = tables[group].column(column).cast(pa.float64()).to_numpy(zero_copy_only=False)
            parts[name].append(np.asarray(values, np.float64))
    return {name: np.concatenate([np.zeros(0), *arrays]) for name, arrays in parts.items()}


def _drawn(batches: Iterable[pa.RecordBatch], most: int, seed: int) -> npt.NDArray[np.bool_] | None:
    """Which of all documents are in a sample of `most`; None for all."""
    count = sum(batch.num_rows for batch in batches)
    if count <= most:
        return None
    found = np.zeros(count, np.bool_)
    found[np.random.default_rng(seed).choice(count, most, replace=False, shuffle=False)] = True
    return found


def tune(
    good: dict[str, F64],
    bad: dict[str, F64],
    units: dict[str, str],
    *,
    most_good: float = MOST_GOOD,
    show: int = 10,
) -> Tuned:
    """Signals by how far they separate good from bad documents, with a candidate threshold each.

    `most_good`: the largest share of good documents that a candidate may remove. `show`: how many candidates to
    choose: of the farthest signals, those whose intervals do not touch, leaving out a signal that orders the bad
    documents as a chosen one does (rank correlation above 0.9). Raises TooFew below 30 documents a side.
    """
    sizes = [len(next(iter(side.values()), np.zeros(0))) for side in (good, bad)]
    if min(sizes) < LEAST:
        raise TooFew(f"{sizes[0]} good and {sizes[1]} bad documents: at least {LEAST} of each are needed")
    distances = []
    for name, unit in units.items():
        one, two = good[name][~np.isnan(good[name])], bad[name][~np.isnan(bad[name])]
        if min(len(one), len(two)) < LEAST:
            continue
        pooled = math.sqrt((np.var(one) + np.var(two)) / 2)
        if pooled == 0:
            continue
        distance, ks = distance_of(one, two)
        quantiles = [tuple(float(q) for q in np.quantile(side, (0.05, 0.5, 0.95))) for side in (one, two)]
        candidate = _candidate(name, one, two, sizes, most_good)
        distances.append(Distance(name, unit, distance / pooled, ks, quantiles[0], quantiles[1], candidate))  # type: ignore[arg-type]
    distances.sort(key=lambda one: (-one.wasserstein, one.signal))
    chosen: list[Candidate] = []
    for each in distances:
        if len(chosen) == show:
            break
        rule = each.candidate
        if rule and rule.certain and not any(_alike(bad, rule.signal, known.signal) for known in chosen):
            chosen.append(rule)
    together = None
    if chosen:
        both = [np.any([_removes(c, side[c.signal]) for c in chosen], axis=0) for side in (good, bad)]
        together = (Removed(int(both[0].sum()), sizes[0]), Removed(int(both[1].sum()), sizes[1]))
    return Tuned(sizes[0], sizes[1], most_good, tuple(distances), tuple(chosen), together)


def distance_of(one: F64, two: F64) -> tuple[float, float]:
    """(1-Wasserstein distance, Kolmogorov-Smirnov distance) of two samples."""
    every = np.sort(np.concatenate([one, two]))
    gaps = np.diff(every)
    a = np.searchsorted(np.sort(one), every[:-1], side="right") / len(one)
    b = np.searchsorted(np.sort(two), every[:-1], side="right") / len(two)
    return float((np.abs(a - b) * gaps).sum()), float(np.abs(a - b).max(initial=0.0))


def _candidate(name: str, good: F64, bad: F64, sizes: Sequence[int], most_good: float) -> Candidate | None:
    """The threshold with the greatest difference of the shares removed, rounded to what a person would write."""
    best: tuple[float, Candidate] | None = None
    for operator in ("<=", ">="):
        sign = 1.0 if operator == "<=" else -1.0
        one, two = np.sort(sign * good), np.sort(sign * bad)
        # Good documents above the threshold are removed: it lies at or above their (1 - most_good) quantile.
        allowed = int(most_good * sizes[0])
        floor = one[len(one) - 1 - allowed] if allowed < len(one) else one[0]
        points = np.unique(np.concatenate([[floor], two[two >= floor]]))
        if not len(points):
            continue
        gain = (len(two) - np.searchsorted(two, points, side="right")) / sizes[1]
        gain = gain - (len(one) - np.searchsorted(one, points, side="right")) / sizes[0]
        threshold = _round(sign * float(points[int(np.argmax(gain))]), operator)
        removed = [_removes_values(operator, threshold, side) for side in (good, bad)]
        found = Candidate(
            name,
            operator,
            threshold,
            Removed(int(removed[0].sum()), sizes[0]),
            Removed(int(removed[1].sum()), sizes[1]),
        )
        value = found.bad.share - found.good.share
        if value > 0 and (best is None or value > best[0]):
            best = (value, found)
    return best[1] if best else None


def _round(value: float, operator: str) -> float:
    """Two significant digits, away from the documents that would be kept: rounding never removes more."""
    if value == 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    rounded = (math.ceil if operator == "<=" else math.floor)(round(value / step, 9)) * step
    return float(f"{rounded:.6g}")


def _removes(candidate: Candidate, values: F64) -> npt.NDArray[np.bool_]:
    return _removes_values(candidate.operator, candidate.threshold, values)


def _removes_values(operator: str, threshold: float, values: F64) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = values > threshold if operator == "<=" else values < threshold
    return found


def _alike(values: dict[str, F64], one: str, two: str) -> bool:
    """Whether two signals order the documents much the same way (Spearman)."""
    both = ~(np.isnan(values[one]) | np.isnan(values[two]))
    if both.sum() < LEAST:
        return False
    a, b = (_ranks(values[name][both]) for name in (one, two))
    if a.std() == 0 or b.std() == 0:
        return False
    return abs(float(np.corrcoef(a, b)[0, 1])) > 0.9


def _ranks(values: F64) -> F64:
    """Ranks, equal values with their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: F64 = (last - (counts - 1) / 2)[inverse]
    return ranks


def render(found: Tuned, most: int = 25) -> str:
    """For people, the rules last, ready for a recipe."""
    lines = [
        f"good {found.good:,} documents, bad {found.bad:,}",
        "",
        f"{'signal':28} {'W':>6} {'KS':>5}  {'good 5/50/95%':>24}  {'bad 5/50/95%':>24}  candidate",
    ]
    for one in found.distances[:most]:
        good, bad = ("/".join(f"{v:.3g}" for v in q) for q in (one.good_quantiles, one.bad_quantiles))
        rule = one.candidate.where.removeprefix(one.signal).strip() if one.candidate else "none"
        lines.append(f"{one.signal:28} {one.wasserstein:6.2f} {one.ks:5.2f}  {good:>24}  {bad:>24}  {rule}")
    if len(found.distances) > most:
        lines.append(f"... and {len(found.distances) - most} more (--json lists all)")
    if not found.chosen:
        return "\n".join(
            [
                *lines,
                "",
                f"no threshold removes bad documents for certain and at most {found.most_good:.0%} of the good.",
            ]
        )
    lines += ["", f"{'rule':40}  {'removes of good':>24}  {'removes of bad':>24}"]
    for made in found.chosen:
        lines.append(f"{made.where:40}  {made.good!s:>24}  {made.bad!s:>24}")
    if found.together:
        lines.append(f"{'all of them':40}  {found.together[0]!s:>24}  {found.together[1]!s:>24}")
    lines += ["", "rules:", "  set:"]
    for made in found.chosen:
        name = "tuned_" + made.signal.replace(".", "_")
        lines.append(f'    {name}: {{where: "{made.where}", source: "tamis rules tune"}}')
    lines += [
        "",
        "Candidates, no more: they tell these two corpora apart, for whatever reason these differ (source, length,",
        "language, extractor). FineWeb's authors trained on sixteen such candidates and kept three: prove yours.",
    ]
    return "\n".join(lines)
