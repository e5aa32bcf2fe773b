"""Answers to one question: made canonical or refused with a sentence, and compared with a known answer."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from typing import Any, Protocol

TIE = "tie"
LONGEST = 1_000_000  # characters of a written answer
SPANS = 10_000
# Beyond this many words on both sides together, a rewrite's diff is one replacement: difflib's time is quadratic.
DIFF_WORDS = 4_000
SPAN_F1 = 0.8


class BadAnswer(ValueError):
    """An answer that does not fit its question: one sentence for the person who gave it."""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class _Range(Protocol):
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...


class Asked(Protocol):
    """What this file needs to know of a question; `task.Question` and `task.LabelTask` have it."""

    @property
    def labels(self) -> Sequence[_Named]: ...
    @property
    def scale(self) -> _Range | None: ...
    @property
    def ties(self) -> bool: ...
    @property
    def least(self) -> int: ...
    @property
    def most(self) -> int | None: ...
    @property
    def tolerance(self) -> int: ...
    @property
    def overlapping(self) -> bool: ...


def normalised(question: Asked, kind: str, value: Any, options: Sequence[str], text: str | None) -> Any:
    """The canonical form of an answer of a kind. `options`: the responses' names; `text`: what spans lie in.
    Raises BadAnswer."""
    if kind == "choice":
        return _label(question, value)
    if kind == "multi":
        return _labels(question, value)
    if kind == "rating":
        return _rating(question, value)
    if kind == "pairwise":
        allowed = [*options, TIE] if question.ties else list(options)
        if not isinstance(value, str) or value not in allowed:
            raise BadAnswer(f"choose one of {', '.join(allowed)}, not {_shown(value)}")
        return value
    if kind in ("preference", "ranking"):
        return _order(value, options, ties=kind == "preference" and question.ties)
    if kind == "span":
        return _spans(question, value, text or "")
    if kind == "text":
        return _written(question, value)
    if isinstance(value, dict):  # a rewrite that has been checked before
        value = value.get("text")
    new = _written(question, value)
    return {"text": new, "diff": changes(text or "", new)}


def same(question: Asked, kind: str, value: Any, answer: Any) -> bool:
    """Whether a checked answer is as right as the known one; see `LabelTask.matches`."""
    if kind == "rating":
        return bool(abs(value - answer) <= question.tolerance)
    if kind == "span":
        return span_f1(value, answer) >= SPAN_F1
    if kind in ("text", "rewrite"):
        return True
    return bool(value == answer)


def span_f1(value: Sequence[dict[str, Any]], answer: Sequence[dict[str, Any]]) -> float:
    """F1 over labelled characters; 1 where both are empty."""
    if not value and not answer:
        return 1.0
    mine, known = _covered(value), _covered(answer)
    common = 0
    for label in mine.keys() & known.keys():
        common += sum(max(0, min(e, f) - max(s, t)) for s, e in mine[label] for t, f in known[label])
    total = sum(e - s for spans in (*mine.values(), *known.values()) for s, e in spans)
    return 2 * common / total if total else 0.0


def _covered(spans: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, int]]]:
    """Per label, disjoint intervals that its spans cover."""
    covered: dict[str, list[tuple[int, int]]] = {}
    for span in sorted(spans, key=lambda one: (one["start"], one["end"])):
        own = covered.setdefault(span["label"], [])
        if own and span["start"] <= own[-1][1]:
            own[-1] = (own[-1][0], max(own[-1][1], span["end"]))
        else:
            own.append((span["start"], span["end"]))
    return covered


def changes(old: str, new: str) -> list[list[Any]]:
    """What turns one text into another, by whole words: ``[start, end, replacement]`` into the old text, in order.

    >>> changes("a small error", "a big error")
    [[2, 7, 'big']]
    """
    before, after = re.findall(r"\s+|\w+|[^\w\s]", old), re.findall(r"\s+|\w+|[^\w\s]", new)
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    at = sum(map(len, before[:head]))
    before, after = before[head : len(before) - tail], after[head : len(after) - tail]
    if not before and not after:
        return []
    if len(before) + len(after) > DIFF_WORDS:
        return [[at, at + sum(map(len, before)), "".join(after)]]
    starts = [at]
    for word in before:
        starts.append(starts[-1] + len(word))
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [[starts[a], starts[b], "".join(after[c:d])] for tag, a, b, c, d in steps if tag != "equal"]


def _label(question: Asked, value: Any) -> str:
    names = [str(label.name) for label in question.labels]
    if not isinstance(value, str) or value not in names:
        raise BadAnswer(f"choose one of {', '.join(names)}, not {_shown(value)}")
    return value


def _labels(question: Asked, value: Any) -> list[str]:
    names = [label.name for label in question.labels]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadAnswer(f"give a list of labels, not {_shown(value)}")
    if unknown := [item for item in value if item not in names]:
        raise BadAnswer(f"choose among {', '.join(names)}; there is no {_shown(unknown[0])}")
    chosen = [name for name in names if name in value]
    _count(question, len(chosen), "label")
    return chosen


def _rating(question: Asked, value: Any) -> int:
    first, last = (question.scale.first, question.scale.last) if question.scale else (1, 5)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,4}", value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not first <= value <= last:
        raise BadAnswer(f"give a whole number from {first} to {last}, not {_shown(value)}")
    return value


def _order(value: Any, options: Sequence[str], ties: bool) -> list[list[str]]:
    if not isinstance(value, list):
        raise BadAnswer(f"give the responses in order, best first, not {_shown(value)}")
    groups = [item if isinstance(item, list) else [item] for item in value]
    given = [name for group in groups for name in group]
    if not all(isinstance(name, str) for name in given) or sorted(given) != sorted(options):
        raise BadAnswer(f"put each of {', '.join(options)} into the order once")
    if not ties and any(len(group) > 1 for group in groups):
        raise BadAnswer("no two responses may share a place here")
    return [sorted(group, key=list(options).index) for group in groups if group]


def _spans(question: Asked, value: Any, text: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or len(value) > SPANS:
        raise BadAnswer(f"give a list of at most {SPANS:,} spans, not {_shown(value)}")
    names = {label.name for label in question.labels}
    spans: list[dict[str, Any]] = []
    for item in value:
        given: dict[str, Any] = item if isinstance(item, dict) else {}
        start, end, label = given.get("start"), given.get("end"), given.get("label")
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            raise BadAnswer(f"a span has a start before its end, both within the {len(text):,} characters of the text")
        if not isinstance(label, str) or label not in names:
            raise BadAnswer(f"a span's label is one of {', '.join(sorted(names))}, not {_shown(label)}")
        spans.append({"start": start, "end": end, "label": label})
    spans.sort(key=lambda span: (span["start"], span["end"], span["label"]))
    for one, two in itertools.pairwise(spans):
        if one == two:
            raise BadAnswer(f"the span from {one['start']} to {one['end']} is there twice")
        if two["start"] < one["end"] and not question.overlapping:
            raise BadAnswer(f"the spans at {one['start']} and {two['start']} overlap")
    _count(question, len(spans), "span")
    return spans


def _written(question: Asked, value: Any) -> str:
    if not isinstance(value, str):
        raise BadAnswer(f"write a text, not {_shown(value)}")
    text: str = value.replace("\r\n", "\n").replace("\r", "\n")
    # PostgreSQL cannot hold NUL, and UTF-8 no lone surrogate.
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadAnswer("the text holds characters that cannot be stored: write it again")
    if not text.strip():
        raise BadAnswer("the text is empty")
    if len(text) > LONGEST:
        raise BadAnswer(f"the text has {len(text):,} characters; {LONGEST:,} is the most")
    _count(question, len(text), "character")
    return text


def _count(question: Asked, number: int, noun: str) -> None:
    if number < question.least:
        raise BadAnswer(f"{number:,} {noun}{'' if number == 1 else 's'}: at least {question.least:,} are needed")
    if question.most is not None and number > question.most:
        raise BadAnswer(f"{number:,} {noun}s: at most {question.most:,} are allowed")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
