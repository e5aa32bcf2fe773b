"""What the owner's pages draw, computed from the labels: confusion, position bias, agreement over time, cost.

Everything here reads answers once and keeps one entry a label: fine for the hundreds of thousands that people make.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.intervals import wilson
from tamis.people.answers import TIE
from tamis.people.store import Answer, RaterRow
from tamis.people.task import LabelTask
from tamis.web.charts import Estimate

# Examples of one point of the line over time; fewer make an interval as wide as the plot.
LEAST_WINDOW = 10
WINDOWS = 12
RESAMPLES = 200


@dataclass(frozen=True)
class Confusion:
    """What a rater said (columns) where the reference (rows) holds. `source` names the reference of most cells."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    gold: int
    others: int

    @property
    def n(self) -> int:
        return sum(map(sum, self.counts))


@dataclass(frozen=True)
class Bias:
    """How often the response shown first was chosen. Without bias, `expected`."""

    estimate: Estimate
    ties: int
    expected: float


def work(answers: Iterable[Answer]) -> list[Answer]:
    """Labels that count: of people and models, on examples of the task, not withdrawn."""
    return [one for one in answers if one.state == "live" and one.kind in ("work", "model")]


def questions(task: LabelTask) -> list[str]:
    """Names of a rubric's questions whose agreement can be measured; [""] for any other task that has some."""
    fit = ("choice", "multi", "rating", "pairwise", "preference", "ranking")
    if task.kind == "rubric":
        return [one.name for one in task.questions if one.kind in fit]
    return [""] if task.kind in fit else []


def part(value: Any, question: str) -> str | None:
    """An answer, or a rubric's part of one, as the name of a class."""
    if question:
        value = value.get(question) if isinstance(value, dict) else None
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def over_time(answers: Sequence[Answer], question: str, ordinal: bool) -> list[Estimate]:
    """Krippendorff's alpha of examples in the order in which their last label came, in windows of equal size."""
    from tamis.people.agreement import alpha
    from tamis.people.labels import Labels

    by_example: dict[str, list[tuple[str, str]]] = defaultdict(list)
    last: dict[str, float] = {}
    for one in answers:
        label = part(one.value, question)
        if label is not None:
            by_example[one.example].append((one.rater, label))
            last[one.example] = max(one.at, last.get(one.example, 0.0))
    shared = sorted((example for example in by_example if len(by_example[example]) > 1), key=lambda each: last[each])
    count = max(1, min(WINDOWS, len(shared) // LEAST_WINDOW))
    points = []
    for at in range(count):
        window = shared[len(shared) * at // count : len(shared) * (at + 1) // count]
        if not window:
            continue
        rows = [(example, rater, label) for example in window for rater, label in by_example[example]]
        found = alpha(Labels.of(*zip(*rows, strict=True)), "ordinal" if ordinal else "nominal", resamples=RESAMPLES)
        day = time.strftime("%m-%d %H:%M", time.gmtime(last[window[-1]]))
        points.append(estimate(day, found))
    return points


def estimate(name: str, found: Any) -> Estimate:
    """An agreement with its undefined parts as None."""

    def known(value: float) -> float | None:
        return None if value != value else value

    return Estimate(name, known(found.value), known(found.low), known(found.high), found.examples)


def confusion(answers: Sequence[Answer], rater: str, names: Sequence[str], truth: Mapping[str, str]) -> Confusion:
    """One rater against the known answer where there is one, else against the majority of the others (ties count for
    nothing), on every example that the rater labelled. Gold answers count too."""
    mine: dict[str, str] = {}
    others: dict[str, Counter[str]] = defaultdict(Counter)
    for one in answers:
        if one.state != "live" or one.kind not in ("work", "gold", "model"):
            continue
        label = part(one.value, "")
        if label is None:
            continue
        if one.rater == rater:
            mine[one.example] = label
        elif one.kind != "gold":
            others[one.example][label] += 1
    place = {name: at for at, name in enumerate(names)}
    counts = [[0] * len(names) for _ in names]
    gold = voted = 0
    for example, label in mine.items():
        reference = truth.get(example)
        if reference is None:
            top = others[example].most_common(2)
            if not top or (len(top) > 1 and top[0][1] == top[1][1]):
                continue
            reference = top[0][0]
        if reference not in place or label not in place:
            continue
        gold, voted = gold + (example in truth), voted + (example not in truth)
        counts[place[reference]][place[label]] += 1
    return Confusion(tuple(names), tuple(map(tuple, counts)), gold, voted)


def position_bias(answers: Sequence[Answer], task: LabelTask) -> list[Bias]:
    """Per rater, and of all together first: among answers with one best response, how often it was the one shown
    first. Order is drawn at random per rater and example, so without bias the share is one in the number shown."""
    first: Counter[str] = Counter()
    decided: Counter[str] = Counter()
    ties: Counter[str] = Counter()
    shown: Counter[int] = Counter()
    for one in answers:
        best = _best(task.kind, one.value)
        if best is None or not one.shown:
            continue
        for who in ("", one.rater):
            if best == TIE:
                ties[who] += 1
                continue
            decided[who] += 1
            first[who] += best == one.shown[0]
        shown[len(one.shown)] += 1
    if not shown:
        return []
    expected = 1 / shown.most_common(1)[0][0]
    found = []
    for who in sorted(decided.keys() | ties.keys()):
        n = decided[who]
        low, high = wilson(first[who], n)
        value = Estimate(who, first[who] / n, low, high, n) if n else Estimate(who, None)
        found.append(Bias(value, ties[who], expected))
    return found


def _best(kind: str, value: Any) -> str | None:
    if kind == "pairwise":
        return value if isinstance(value, str) else None
    if kind in ("preference", "ranking") and isinstance(value, list) and value:
        top = value[0]
        return TIE if len(top) != 1 else str(top[0])
    return None


@dataclass(frozen=True)
class Cost:
    """Money and what it bought. `correct`: cost of one correct label, with the interval that the accuracy on hidden
    gold allows; None where no gold was answered."""

    spent: float
    labels: int
    accuracy: Estimate
    correct: Estimate


def cost(rows: Sequence[RaterRow], labels: int) -> Cost:
    """Pay and bonus over live labels times the pooled accuracy on hidden gold."""
    spent = sum(row.pay + row.bonus for row in rows)
    right = sum(row.gold_right for row in rows)
    asked = right + sum(row.gold_wrong for row in rows)
    if not asked or not labels:
        return Cost(spent, labels, Estimate("", None), Estimate("", None))
    low, high = wilson(right, asked)
    each, share = spent / labels, right / asked
    correct = Estimate("", each / share if share else None, each / high, each / low if low else None, asked)
    return Cost(spent, labels, Estimate("", share, low, high, asked), correct)
