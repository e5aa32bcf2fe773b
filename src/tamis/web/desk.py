"""What the labelling page shows of one assignment, and an answer read back from its form.

A rater must not learn which response came from where, so names of response fields never leave the server: in forms and
in the JSON API a response goes by a key, made from the assignment and the name, that only the server can turn back.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from tamis.people.answers import LONGEST, TIE, BadAnswer, changes
from tamis.people.store import Assignment
from tamis.people.task import LabelTask, Question, Scale, in_language
from tamis.web.forms import Form
from tamis.web.inert import Shown, shown
from tamis.web.language import Words

# A longer scale is a number field: nobody chooses among thirty buttons.
MOST_BUTTONS = 11
# Longest list of responses that a key is looked up in.
MOST_RESPONSES = 100


@dataclass(frozen=True)
class Part:
    """A block of an example's text; `link` leads to all of it where it is cut."""

    name: str
    shown: Shown
    link: str
    key: str = ""  # of a response
    place: int | None = None  # of a response in a withdrawn order

    @property
    def scrolls(self) -> bool:
        """Long enough that the keyboard must be able to scroll it."""
        return len(self.shown.html) > 600


@dataclass(frozen=True)
class Choice:
    """One answer to press. `key` is its digit, `arrow` its arrow key."""

    value: str
    name: str
    help: str = ""
    key: str = ""
    arrow: str = ""


@dataclass(frozen=True)
class Ask:
    """One question ready for the page. `value` is the answer that was withdrawn, or sent and refused."""

    name: str
    field: str
    kind: str
    title: str
    required: bool
    choices: tuple[Choice, ...] = ()
    shape: str = ""
    checked: frozenset[str] = frozenset()
    ends: tuple[str, str] | None = None
    first: int = 0
    last: int = 0
    ties: bool = False
    value: Any = None
    spans: tuple[dict[str, Any], ...] = ()
    diff: Markup | None = None
    most: int = LONGEST


@dataclass(frozen=True)
class Desk:
    """One assignment ready for the page."""

    assignment: str
    kind: str
    parts: tuple[Part, ...]
    candidates: tuple[Part, ...]
    reading: Part | None
    questions: tuple[Ask, ...]
    inline_places: bool = False  # the places stand beside the responses
    letters: tuple[str, ...] = field(default=())


ARROW_SIGNS = {"ArrowLeft": "←", "ArrowRight": "→", "ArrowDown": "↓"}


class Desks:
    """Makes desks of a task, and reads answers. `secret` makes the keys of responses."""

    def __init__(self, task: LabelTask, secret: bytes, shown_characters: int) -> None:
        self._task, self._secret, self._most = task, secret, shown_characters
        kinds = {getattr(question, "kind", "") for question in task.asked}
        self._ranks = bool(kinds & {"preference", "ranking"})

    # --- keys of responses ---

    def key(self, assignment: str, name: str) -> str:
        """The name of a response as the page knows it."""
        digest = hmac.new(self._secret, f"response\0{assignment}\0{name}".encode("utf-8", "replace"), hashlib.sha256)
        return digest.hexdigest()[:12]

    def _names(self, assignment: str) -> dict[str, str]:
        """Key -> name for every response that the task can have."""
        given = self._task.examples.responses
        names = [f"{given}.{n}" for n in range(1, MOST_RESPONSES + 1)] if isinstance(given, str) else given
        return {self.key(assignment, name): name for name in names if name}

    def keyed(self, assignment: str, value: Any) -> Any:
        """A stored answer with keys instead of names, for the page and the API."""
        return self._mapped(value, lambda name: name if name == TIE else self.key(assignment, name))

    def named(self, assignment: str, value: Any) -> Any:
        """An answer as the page or the API gives it, with the names that the store knows."""
        if not self._task.responses or not self._task.examples.responses:
            return value
        names = self._names(assignment)
        return self._mapped(value, lambda key: names.get(key, key))

    def _mapped(self, value: Any, turn: Any) -> Any:
        if self._task.kind == "rubric":
            if not isinstance(value, dict):
                return value
            kinds = {question.name: question.kind for question in self._task.questions}
            return {name: _turned(kinds.get(name, ""), one, turn) for name, one in value.items()}
        return _turned(self._task.kind, value, turn)

    # --- an assignment for the page ---

    def desk(self, given: Assignment, t: Words, value: Any = None, texts: str | None = None) -> Desk:
        """The page's view of an assignment. `value` (with keys) is put back into the fields; the withdrawn answer
        otherwise. `texts` is the address of whole texts, with a `{}` for the part."""
        task, example = self._task, given.example
        link = (texts or f"/label/text/{quote(given.id, safe='')}/{{}}").format
        if value is None and given.previous is not None:
            value = self.keyed(given.id, given.previous)
        parts = tuple(
            self._part(_field_name(name, t), text, link(f"c{at}"))
            for at, (name, text) in enumerate(task.shown(example).items())
        )
        letters = [chr(ord("A") + at) if at < 26 else str(at + 1) for at in range(len(given.order))]
        inline = task.kind in ("preference", "ranking")
        candidates = tuple(
            self._part(
                letter,
                task.response(example, name),
                link(f"r{at}"),
                self.key(given.id, name),
                _place(value, self.key(given.id, name)) if inline else None,
            )
            for at, (letter, name) in enumerate(zip(letters, given.order, strict=True))
        )
        text = task.reading(example)
        reading = None if text is None else self._part(t("text.text"), text, link("t"))
        if task.kind == "rubric":
            values = value if isinstance(value, dict) else {}
            questions = tuple(
                self._ask(one, f"answer.{one.name}", one.kind, candidates, t, values.get(one.name), text)
                for one in task.questions
            )
        else:
            questions = (self._ask(task, "answer", task.kind, candidates, t, value, text),)
        return Desk(given.id, task.kind, parts, candidates, reading, questions, inline)

    def texts(self, given: Assignment, part: str) -> str | None:
        """The whole text of a part, as its link names it; None where there is no such part."""
        task = self._task
        kind, number = part[:1], part[1:]
        if part == "t":
            return task.reading(given.example)
        if not (number.isascii() and number.isdigit() and len(number) < 4):
            return None
        at = int(number)
        if kind == "c":
            texts = list(task.shown(given.example).values())
            return texts[at] if at < len(texts) else None
        if kind == "r":
            return task.response(given.example, given.order[at]) if at < len(given.order) else None
        return None

    def _part(self, name: str, text: str, link: str, key: str = "", place: int | None = None) -> Part:
        return Part(name, shown(text, self._most), link, key, place)

    def _ask(
        self,
        one: LabelTask | Question,
        field_name: str,
        kind: str,
        candidates: Sequence[Part],
        t: Words,
        value: Any,
        text: str | None,
    ) -> Ask:
        name = one.name if isinstance(one, Question) else "answer"
        title = in_language(one.ask, t.language) or t(f"ask.{kind}")
        required = not (isinstance(one, Question) and one.optional)
        common: dict[str, Any] = {
            "name": name, "field": field_name, "kind": kind, "title": title, "required": required, "value": value,
        }  # fmt: skip
        if kind in ("choice", "multi", "span"):
            choices = tuple(
                Choice(
                    label.name,
                    in_language(label.title, t.language, label.name),
                    in_language(label.help, t.language),
                    _digit(at),
                )
                for at, label in enumerate(one.labels)
            )
            if kind == "span":
                return Ask(**common, choices=choices, spans=_quoted(value, text or ""))
            given = value if isinstance(value, list) else [value]
            return Ask(**common, choices=choices, checked=frozenset(str(each) for each in given if each is not None))
        if kind == "rating":
            return _scale_ask(one.scale or Scale(), common, t)
        if kind == "pairwise":
            return Ask(**common, choices=_pair(candidates, one.ties, t), shape="pairwise", checked=frozenset([value])
                       if isinstance(value, str) else frozenset())  # fmt: skip
        if kind in ("preference", "ranking"):
            return Ask(**common, ties=kind == "preference" and one.ties)
        if kind == "rewrite":
            written = value.get("text") if isinstance(value, dict) else value
            old = text or ""
            diff = None if written is None or written == old else diff_html(old, str(written))
            return Ask(**{**common, "value": old if written is None else written}, diff=diff)
        return Ask(**common, most=min(LONGEST, one.most or LONGEST))

    # --- the form, read back ---

    def value(self, form: Form, assignment: str) -> Any:
        """The answer in a form, with keys for responses. Raises BadAnswer where a part of it cannot be read."""
        task = self._task
        if task.kind != "rubric":
            return self._read(form, "answer", task.kind, task.ties)
        return {
            one.name: value
            for one in task.questions
            if (value := self._read(form, f"answer.{one.name}", one.kind, one.ties)) not in (None, "")
            and not (one.optional and value == [])
        }

    def _read(self, form: Form, name: str, kind: str, ties: bool) -> Any:
        if kind == "multi":
            return form.all(name)
        if kind == "span":
            return [_span(text) for text in form.all(f"{name}.span")]
        if kind in ("preference", "ranking"):
            return _order(form, name, kind == "preference" and ties)
        return form.get(name)

    def question(self, field_name: str) -> LabelTask | Question | None:
        """The question whose field this is."""
        if field_name == "answer" and self._task.kind != "rubric":
            return self._task
        return next((one for one in self._task.questions if field_name == f"answer.{one.name}"), None)


def diff_html(old: str, new: str) -> Markup:
    """A rewrite as one text with what went and what came."""
    parts, at = [], 0
    for start, end, words in changes(old, new):
        parts.append(shown(old[at:start], start - at).html)
        if start < end:
            parts.append(Markup("<del>{}</del>").format(shown(old[start:end], end - start).html))
        if words:
            parts.append(Markup("<ins>{}</ins>").format(shown(words, len(words)).html))
        at = end
    parts.append(shown(old[at:], len(old) - at).html)
    return Markup("").join(parts)


def find_passage(text: str, passage: str, which: int) -> tuple[int, int] | None:
    """Code points from and to of the n-th occurrence of a passage. A browser sends line feeds as CR LF and may change
    the space around a copied text, so both are forgiven."""
    for wanted in dict.fromkeys((passage, passage.replace("\r\n", "\n"), passage.replace("\r\n", "\n").strip())):
        if not wanted:
            continue
        at = -1
        for _ in range(max(1, which)):
            at = text.find(wanted, at + 1)
            if at < 0:
                break
        if at >= 0:
            return at, at + len(wanted)
    return None


def describe(task: LabelTask, value: Any, t: Words, letters: Mapping[str, str]) -> str:
    """An answer in words, for feedback and adjudication. `letters`: response name -> the letter it was shown under."""
    if task.kind == "rubric":
        if not isinstance(value, dict):
            return str(value)
        parts = []
        for one in task.questions:
            if one.name in value:
                said = _described(one, one.kind, value[one.name], t, letters)
                parts.append(f"{in_language(one.ask, t.language, one.name)} {said}")
        return "; ".join(parts)
    return _described(task, task.kind, value, t, letters)


def _described(one: LabelTask | Question, kind: str, value: Any, t: Words, letters: Mapping[str, str]) -> str:
    titles = {label.name: in_language(label.title, t.language, label.name) for label in one.labels}
    if kind == "choice":
        return titles.get(value, str(value))
    if kind == "multi":
        return ", ".join(titles.get(each, str(each)) for each in value) or t("answer.none")
    if kind == "pairwise":
        return t("pair.tie") if value == TIE else letters.get(value, str(value))
    if kind in ("preference", "ranking"):
        return " > ".join(" = ".join(letters.get(name, name) for name in group) for group in value)
    if kind == "span":
        return ", ".join(f"{each['start']}–{each['end']} {titles.get(each['label'], each['label'])}" for each in value)
    if kind == "rewrite":
        return str(value.get("text", value)) if isinstance(value, dict) else str(value)
    return str(value)


def _turned(kind: str, value: Any, turn: Any) -> Any:
    if kind == "pairwise" and isinstance(value, str):
        return turn(value)
    if kind in ("preference", "ranking") and isinstance(value, list):
        return [
            [turn(each) if isinstance(each, str) else each for each in group]
            if isinstance(group, list)
            else turn(group)
            if isinstance(group, str)
            else group
            for group in value
        ]
    return value


def _field_name(name: str, t: Words) -> str:
    known = t.find(f"text.{name}")
    return known if known is not None else name.replace("_", " ").capitalize()


def _digit(at: int) -> str:
    return str((at + 1) % 10) if at < 10 else ""


def _pair(candidates: Sequence[Part], ties: bool, t: Words) -> tuple[Choice, ...]:
    arrows = ("ArrowLeft", "ArrowRight")
    both = [
        Choice(part.key, t("pair.better", name=part.name), key=str(at + 1), arrow=arrows[at])
        for at, part in enumerate(candidates[:2])
    ]
    if not ties:
        return tuple(both)
    # The tie stands between the two, as it lies between them.
    return (both[0], Choice(TIE, t("pair.tie"), key="3", arrow="ArrowDown"), both[1])


def _scale_ask(scale: Scale, common: dict[str, Any], t: Words) -> Ask:
    values = range(scale.first, scale.last + 1)
    if len(values) > MOST_BUTTONS:
        return Ask(**common, shape="number", first=scale.first, last=scale.last)
    plain = scale.first >= 0 and scale.last <= 10
    words = {value: in_language(text, t.language) for value, text in scale.words.items()}
    only_ends = set(words) <= {scale.first, scale.last}
    choices = tuple(
        Choice(
            str(value),
            str(value),
            "" if only_ends else words.get(value, ""),
            (str(value) if value < 10 else "") if plain else _digit(at),
        )
        for at, value in enumerate(values)
    )
    ends = (words.get(scale.first, ""), words.get(scale.last, "")) if words and only_ends else None
    checked = frozenset([str(common["value"])]) if common["value"] is not None else frozenset()
    return Ask(**common, choices=choices, shape="scale", checked=checked, ends=ends)


def _quoted(value: Any, text: str) -> tuple[dict[str, Any], ...]:
    """Spans with the words they hold, as far as they lie in the text."""
    spans = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return tuple(
        {**each, "quote": Markup("{}").format(escape(text[each["start"] : min(each["end"], each["start"] + 120)]))}
        for each in spans
        if isinstance(each.get("start"), int) and isinstance(each.get("end"), int)
    )


def _place(value: Any, key: str) -> int | None:
    if not isinstance(value, list):
        return None
    return next((at for at, group in enumerate(value, 1) if isinstance(group, list) and key in group), None)


def _span(text: str) -> dict[str, Any]:
    start, _, rest = text.partition(",")
    end, _, label = rest.partition(",")
    if not (start.isascii() and start.isdigit() and end.isascii() and end.isdigit()) or len(start) + len(end) > 20:
        raise BadAnswer.of("span")
    return {"start": int(start), "end": int(end), "label": label}


def _order(form: Form, name: str, ties: bool) -> list[list[str]]:
    """Places given to keys, as groups from best to worst. With ties, what has no place shares the last one."""
    groups: dict[int, list[str]] = {}
    rest: list[str] = []
    for key, place in zip(form.all(f"{name}.item"), form.all(f"{name}.place"), strict=False):
        if place.isascii() and place.isdigit() and len(place) < 5:
            groups.setdefault(int(place), []).append(key)
        else:
            rest.append(key)
    ordered = [groups[place] for place in sorted(groups)]
    if rest and (not ties or not ordered):
        raise BadAnswer.of("best_place" if ties else "places")
    return [*ordered, rest] if rest else ordered
