"""Whether a judge may be believed: position bias, length bias, agreement with people, gold.

Rates carry 95% intervals: Wilson's for shares of independent answers, a bootstrap over examples for the rest.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tamis.people.aggregation.result import Accuracy
from tamis.people.agreement import Agreement, alpha
from tamis.people.answers import TIE
from tamis.people.judges.run import Judged
from tamis.people.kappa import cohen
from tamis.people.labels import Labels
from tamis.people.sequential import Decision, Sprt
from tamis.people.units import Floats

RESAMPLES = 1000
SEED = 17


@dataclass(frozen=True)
class Share:
    """A number with its interval; n examples. nan, with a sentence, where there is nothing to measure."""

    value: float
    low: float
    high: float
    n: int
    why: str = ""

    def __str__(self) -> str:
        if math.isnan(self.value):
            return self.why or "nothing to measure"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]   n {self.n:,}"

    def beyond(self, line: float) -> bool:
        """Whether the interval lies wholly on one side of a value."""
        return self.low > line or self.high < line


@dataclass(frozen=True)
class Position:
    """Asked in both orders. flips: share of examples whose answers differ between the orders. first: how often the
    response shown first is preferred, over all answers, ties counting half: 0.5 without bias, as each is first once.
    to_first, to_second: flips in which the response shown there won both times; to_tie: between one and a tie."""

    flips: Share
    first: Share
    to_first: int
    to_second: int
    to_tie: int


@dataclass(frozen=True)
class Length:
    """judge, people: how often the longer response is preferred, ties counting half. more: judge minus people; a judge
    who guesses is nearer to one half than people are, so this alone shows no bias. pull: how often the judge takes the
    longer one where people prefer the shorter, minus the reverse: 0 without bias, however noisy the judge. slope: of a
    logistic regression of the judge's choice on the log ratio of lengths with people's choice beside it, in log odds
    for each doubling of the length: 0 without bias."""

    judge: Share
    people: Share
    more: Share
    pull: Share
    slope: Share


@dataclass(frozen=True)
class Checks:
    """All that can be checked of one judge; None where there is nothing to check it on."""

    rater: str
    answers: int
    unparsable: Share
    position: Position | None
    length: Length | None
    kappa: Agreement | None  # with the majority of people
    alpha_people: Agreement | None
    alpha_all: Agreement | None  # people and the judge
    gold: Accuracy | None
    verdict: Decision | None

    def to_json(self) -> dict[str, Any]:
        """JSON; nan as null."""
        body = asdict(self)
        for name in ("kappa", "alpha_people", "alpha_all"):
            measure = getattr(self, name)
            body[name] = None if measure is None else measure.to_json()
        clean: dict[str, Any] = json.loads(json.dumps(body, default=str).replace("NaN", "null"))
        return clean

    def render(self) -> str:
        """For people."""
        lines = [f"{self.rater}: {self.answers:,} answers", f"unparsable           {self.unparsable}"]
        if self.position is not None:
            place = self.position
            biased = "BIAS" if place.first.beyond(0.5) else "no bias shown"
            lines += [
                f"flips with the order {place.flips}   to the first {place.to_first:,}, "
                f"to the second {place.to_second:,}, to a tie {place.to_tie:,}",
                f"prefers the first    {place.first}   {biased} (0.5 without)",
            ]
        if self.length is not None:
            size = self.length
            biased = "BIAS" if size.pull.beyond(0) else "no bias shown"
            lines += [
                f"prefers the longer   {size.judge}",
                f"people prefer it     {size.people}",
                f"more than people     {size.more}",
                f"pull to the longer   {size.pull}   {biased} (0 without)",
                f"slope per doubling   {size.slope}   log odds, people's choice held fixed",
            ]
        if self.kappa is not None and self.alpha_people is not None and self.alpha_all is not None:
            lines += [
                f"with people          {self.kappa}   n {self.kappa.examples:,}",
                f"people alone         {self.alpha_people}",
                f"people and judge     {self.alpha_all}",
            ]
        if self.gold is not None:
            lines.append(
                f"gold                 {self.gold.value:.3f} [{self.gold.low:.3f}, {self.gold.high:.3f}]   "
                f"n {self.gold.n:,}   sequential test: {self.verdict}"
            )
        return "\n".join(lines)


def check(
    judged: Sequence[Judged],
    people: Labels | None = None,
    gold: Mapping[str, str] | None = None,
    *,
    test: Sprt | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[Checks]:
    """Every judge of a file against people's labels and known answers: those of the file's gold questions, and `gold`
    (example -> label). Labels are compared as texts: a pairwise answer
    is the name of the better response, or `tie`."""
    by_rater: dict[str, list[Judged]] = defaultdict(list)
    for row in sorted(judged, key=lambda row: (row.rater, row.example, row.order, row.prompt_hash)):
        by_rater[row.rater].append(row)
    majority = _majority(people) if people is not None else {}
    found = []
    for rater, rows in by_rater.items():
        parsed = [row for row in rows if row.label is not None]
        own = decided(parsed)
        kappa = apart = together = None
        if people is not None:
            names = [(e, "people", said) for e, said in majority.items() if e in own]
            mine = [(e, "judge", own[e]) for e, _, _ in names]
            if names:
                kappa = cohen(Labels.of(*zip(*names, *mine, strict=True)), resamples=resamples, seed=seed)
                seen = people.where(np.isin(people.example, [i for i, e in enumerate(people.examples) if e in own]))
                apart = alpha(seen, resamples=resamples, seed=seed)
                together = alpha(seen.compact().and_rater(_new(rater, people), own), resamples=resamples, seed=seed)
        marks = [row.right for row in rows if row.right is not None]
        marks += [own[e] == answer for e, answer in (gold or {}).items() if e in own]
        found.append(
            Checks(
                rater=rater,
                answers=len(rows),
                unparsable=_of(Accuracy.of(len(rows) - len(parsed), len(rows))),
                position=position(parsed, resamples=resamples, seed=seed),
                length=length(parsed, majority, resamples=resamples, seed=seed) if majority else None,
                kappa=kappa,
                alpha_people=apart,
                alpha_all=together,
                gold=Accuracy.of(sum(marks), len(marks)) if marks else None,
                verdict=(test or Sprt()).judge(sum(marks), len(marks) - sum(marks)) if marks else None,
            )
        )
    return found


def decided(rows: Iterable[Judged]) -> dict[str, str]:
    """One label per example: the answer of all orders, `tie` where pairwise answers of the two orders contradict each
    other, nothing where other answers do."""
    answers: dict[str, set[str]] = defaultdict(set)
    pairwise: set[str] = set()
    for row in rows:
        if row.label is not None:
            answers[row.example].add(row.label)
            if len(row.order) == 2 and row.label in (*row.order, TIE):
                pairwise.add(row.example)
    return {
        example: next(iter(labels)) if len(labels) == 1 else TIE
        for example, labels in answers.items()
        if len(labels) == 1 or example in pairwise
    }


def position(rows: Sequence[Judged], *, resamples: int = RESAMPLES, seed: int = SEED) -> Position | None:
    """Of pairwise answers given in both orders; None where there are none."""
    by_example: dict[str, dict[tuple[str, ...], str]] = defaultdict(dict)
    for row in rows:
        if len(row.order) == 2 and row.label in (*row.order, TIE):
            by_example[row.example][row.order] = str(row.label)
    firsts, kinds = [], {"first": 0, "second": 0, "tie": 0}
    for answers in by_example.values():
        if len(answers) != 2:
            continue
        firsts.append(sum(0.5 if said == TIE else float(said == order[0]) for order, said in answers.items()) / 2)
        if len(set(answers.values())) == 2:
            places = {
                "tie" if said == TIE else "first" if said == order[0] else "second" for order, said in answers.items()
            }
            kinds["tie" if "tie" in places else places.pop()] += 1
    if not firsts:
        return None
    flips = sum(kinds.values())
    return Position(
        _of(Accuracy.of(flips, len(firsts))), _mean(np.array(firsts), resamples, seed), kinds["first"], kinds["second"],
        kinds["tie"],
    )  # fmt: skip


def length(
    rows: Sequence[Judged], people: Mapping[str, str], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Length | None:
    """Of pairwise answers on examples that people labelled, too; responses of equal length tell nothing and are left
    out. None where there are none."""
    told: dict[str, list[float]] = defaultdict(list)
    theirs: dict[str, float] = {}
    ratio: dict[str, float] = {}
    for row in rows:
        said = people.get(row.example)
        if len(row.order) != 2 or row.label not in (*row.order, TIE) or said not in (*row.order, TIE):
            continue
        one, other = sorted(row.order)
        a, b = row.lengths.get(one, 0), row.lengths.get(other, 0)
        if a == b:
            continue
        longer = one if a > b else other
        told[row.example].append(0.5 if row.label == TIE else float(row.label == longer))
        theirs[row.example] = 0.5 if said == TIE else float(said == longer)
        ratio[row.example] = abs(math.log2((a + 1) / (b + 1)))
    if not told:
        return None
    examples = sorted(told)
    judge = np.array([np.mean(told[e]) for e in examples])
    others = np.array([theirs[e] for e in examples])
    sizes = np.array([ratio[e] for e in examples])
    return Length(
        _mean(judge, resamples, seed),
        _mean(others, resamples, seed),
        _mean(judge - others, resamples, seed),
        _pull(judge, others, resamples, seed),
        _slope(judge, others, sizes, resamples, seed),
    )


def _pull(judge: Floats, people: Floats, resamples: int, seed: int) -> Share:
    shorter, longer = judge[people == 0], 1 - judge[people == 1]  # both: how often the judge says the contrary
    if not len(shorter) or not len(longer):
        return Share(math.nan, math.nan, math.nan, len(judge), "people always prefer the one or the other length")
    one, other = _means(shorter, resamples, seed), _means(longer, resamples, seed + 1)
    low, high = np.quantile(one - other, [0.025, 0.975]) if resamples else (math.nan, math.nan)
    return Share(float(shorter.mean() - longer.mean()), float(low), float(high), len(shorter) + len(longer))


def _slope(judge: Floats, people: Floats, sizes: Floats, resamples: int, seed: int) -> Share:
    """Both signs of every pair enter (the longer against the shorter and the reverse), so there is no intercept."""
    design = np.stack([sizes, 2 * people - 1], axis=1)  # (n, 2): log2 ratio of lengths, people's choice in -1 ... 1
    value = _logistic(design, judge, np.ones(len(judge)))
    if math.isnan(value) or len(judge) < 10:
        return Share(math.nan, math.nan, math.nan, len(judge), "too few pairs for a slope")
    rng = np.random.default_rng(seed)
    number = min(resamples, 300)  # each is a fit
    drawn = np.array(
        [
            _logistic(
                design, judge, np.bincount(rng.integers(0, len(judge), len(judge)), minlength=len(judge)).astype(float)
            )
            for _ in range(number)
        ]
    )
    low, high = np.nanquantile(drawn, [0.025, 0.975]) if number else (math.nan, math.nan)
    return Share(value, float(low), float(high), len(judge))


def _logistic(design: Floats, outcome: Floats, weights: Floats) -> float:
    """First coefficient of a logistic regression by Newton's method, with a prior of N(0, 10) that keeps it finite."""
    coefficients = np.zeros(design.shape[1])
    ridge = np.eye(design.shape[1]) / 100
    for _ in range(30):
        chance = 1 / (1 + np.exp(-np.clip(design @ coefficients, -30, 30)))
        slope = design.T @ (weights * (outcome - chance)) - ridge @ coefficients
        bend = (design * (weights * chance * (1 - chance))[:, None]).T @ design + ridge
        step = np.linalg.solve(bend, slope)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-8:
            return float(coefficients[0])
    return math.nan


def _mean(values: Floats, resamples: int, seed: int) -> Share:
    drawn = _means(values, resamples, seed)
    low, high = np.quantile(drawn, [0.025, 0.975]) if resamples and len(values) > 1 else (math.nan, math.nan)
    return Share(float(values.mean()), float(low), float(high), len(values))


def _means(values: Floats, resamples: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    size = len(values)
    return np.array([values[rng.integers(0, size, size)].mean() for _ in range(resamples)])


def _of(accuracy: Accuracy) -> Share:
    return Share(accuracy.value, max(accuracy.low, 0.0), min(accuracy.high, 1.0), accuracy.n)


def _majority(labels: Labels) -> dict[str, str]:
    """The label given most often; a tie of responses is `tie` where that is a label, else nobody's."""
    counts = np.zeros((len(labels.examples), len(labels.classes)), np.int64)
    np.add.at(counts, (labels.example, labels.label), 1)
    best = counts == counts.max(1, keepdims=True)
    found = {}
    for row, name in enumerate(labels.examples):
        if counts[row].any():
            if best[row].sum() == 1:
                found[name] = labels.classes[int(best[row].argmax())]
            elif TIE in labels.classes:
                found[name] = TIE
    return found


def _new(rater: str, people: Labels) -> str:
    return rater if rater not in people.raters else f"{rater} (again)"
