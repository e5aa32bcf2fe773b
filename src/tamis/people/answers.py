"""Answers to one question: made canonical or refused with a sentence, and compared with a known answer."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

TIE = "tie"
LONGEST = 1_000_000  # characters of a written answer
SPANS = 10_000
# Beyond this many words on both sides together, a rewrite's diff is one replacement: difflib's time is quadratic.
DIFF_WORDS = 4_000
SPAN_F1 = 0.8


# What is said of an answer that does not fit its question, by key. The pages say it in other languages too: the
# catalogues of `tamis.web` have every key as `bad.KEY`.
SAID = {
    "one_of": "choose one of {names}, not {given}",
    "labels": "give a list of labels, not {given}",
    "among": "choose among {names}; there is no {given}",
    "number": "give a whole number from {first} to {last}, not {given}",
    "order": "give the responses in order, best first, not {given}",
    "each_once": "put each of {names} into the order once",
    "no_ties": "no two responses may share a place here",
    "places": "give every item a place",
    "best_place": "give the best item its place at least",
    "spans": "give a list of at most {most} spans, not {given}",
    "span": "a passage is given as start,end,label",
    "span_place": "a span has a start before its end, both within the {length} characters of the text",
    "span_label": "a span's label is one of {names}, not {given}",
    "span_twice": "the span from {start} to {end} is there twice",
    "span_overlap": "the spans at {first} and {second} overlap",
    "text": "write a text, not {given}",
    "characters": "the text holds characters that cannot be stored: write it again",
    "empty": "the text is empty",
    "long": "the text has {length} characters; {most} is the most",
    "few_labels": "too few labels: {number} given, at least {least} needed",
    "many_labels": "too many labels: {number} given, at most {most} allowed",
    "few_spans": "too few spans: {number} given, at least {least} needed",
    "many_spans": "too many spans: {number} given, at most {most} allowed",
    "few_characters": "too few characters: {number} given, at least {least} needed",
    "many_characters": "too many characters: {number} given, at most {most} allowed",
    "rubric": "a rubric's answer is an object: question name -> answer",
    "no_question": "there is no question named {name}",
    "unanswered": "question {name} is not answered yet",
    "of_question": "{name}: {why}",
}


class BadAnswer(ValueError):
    """An answer that does not fit its question: one sentence for the person who gave it.

    `key` and `values`: the sentence in SAID, for who says it in another language; a value may be a BadAnswer itself.
    `key` is empty where the sentence is for whoever made the task.
    """

    def __init__(self, said: str, key: str = "", values: Mapping[str, Any] | None = None) -> None:
        super().__init__(said)
        self.key, self.values = key, dict(values or {})

    @classmethod
    def of(cls, key: str, **values: Any) -> BadAnswer:
        """A refusal of SAID."""
        return cls(SAID[key].format(**values), key, values)


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
            raise BadAnswer.of("one_of", names=", ".join(allowed), given=_shown(value))
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
        raise BadAnswer.of("one_of", names=", ".join(names), given=_shown(value))
    return value


def _labels(question: Asked, value: Any) -> list[str]:
    names = [label.name for label in question.labels]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadAnswer.of("labels", given=_shown(value))
    if unknown := [item for item in value if item not in names]:
        raise BadAnswer.of("among", names=", ".join(names), given=_shown(unknown[0]))
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
        raise BadAnswer.of("number", first=first, last=last, given=_shown(value))
    return value


def _order(value: Any, options: Sequence[str], ties: bool) -> list[list[str]]:
    if not isinstance(value, list):
        raise BadAnswer.of("order", given=_shown(value))
    groups = [item if isinstance(item, list) else [item] for item in value]
    given = [name for group in groups for name in group]
    if not all(isinstance(name, str) for name in given) or sorted(given) != sorted(options):
        raise BadAnswer.of("each_once", names=", ".join(options))
    if not ties and any(len(group) > 1 for group in groups):
        raise BadAnswer.of("no_ties")
    return [sorted(group, key=list(options).index) for group in groups if group]


def _spans(question: Asked, value: Any, text: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or len(value) > SPANS:
        raise BadAnswer.of("spans", most=f"{SPANS:,}", given=_shown(value))
    names = {label.name for label in question.labels}
    spans: list[dict[str, Any]] = []
    for item in value:
        given: dict[str, Any] = item if isinstance(item, dict) else {}
        start, end, label = given.get("start"), given.get("end"), given.get("label")
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
            raise BadAnswer.of("span_place", length=f"{len(text):,}")
        if not isinstance(label, str) or label not in names:
            raise BadAnswer.of("span_label", names=", ".join(sorted(names)), given=_shown(label))
        spans.append({"start": start, "end": end, "label": label})
    spans.sort(key=lambda span: (span["start"], span["end"], span["label"]))
    for one, two in itertools.pairwise(spans):
        if one == two:
            raise BadAnswer.of("span_twice", start=one["start"], end=one["end"])
        if two["start"] < one["end"] and not question.overlapping:
            raise BadAnswer.of("span_overlap", first=one["start"], second=two["start"])
    _count(question, len(spans), "span")
    return spans


def _written(question: Asked, value: Any) -> str:
    if not isinstance(value, str):
        raise BadAnswer.of("text", given=_shown(value))
    text: str = value.replace("\r\n", "\n").replace("\r", "\n")
    # PostgreSQL cannot hold NUL, and UTF-8 no lone surrogate.
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadAnswer.of("characters")
    if not text.strip():
        raise BadAnswer.of("empty")
    if len(text) > LONGEST:
        raise BadAnswer.of("long", length=f"{len(text):,}", most=f"{LONGEST:,}")
    _count(question, len(text), "character")
    return text


def _count(question: Asked, number: int, noun: str) -> None:
    if number < question.least:
        raise BadAnswer.of(f"few_{noun}s", number=f"{number:,}", least=f"{question.least:,}")
    if question.most is not None and number > question.most:
        raise BadAnswer.of(f"many_{noun}s", number=f"{number:,}", most=f"{question.most:,}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
