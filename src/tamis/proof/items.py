"""Evaluation sets, JSONL or Parquet, as items: a prompt, the right answer, and the options where there are some.

A row gives `text` (or `question`, `prompt`), `answer`, and optionally `id` and `options` (or `choices`): a list of
strings, or `{"text": [...], "label": [...]}` as ARC has it. Without options of its own an item takes those of the set
(`choices=["False", "True"]` for BoolQ), or the list at the end of its text under a line "Options:" (BIG-Bench Hard:
"- Yes", "(A) ..."). The answer to options is the text of one, its label, its letter (A), "(A)", its number counted
from 0, or true and false for the second and the first of two.

Memory: all items of a set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.documents import read_table
from tamis.errors import WrongUse
from tamis.rows import BadRow, json_rows

_TEXT = ("text", "prompt", "question", "query", "input")
_ANSWER = ("answer", "answerKey", "target", "gold", "label", "output")
_OPTIONS = ("options", "choices", "endings")
_MARK = re.compile(r"\s*(?:\(([A-Z])\)|([A-Z])[.)]|-)\s+(.*\S)\s*")


class BadItems(ValueError, WrongUse):
    """A set cannot be read as the items that were asked for; the message names the file, the row and the reason."""


@dataclass(frozen=True)
class Item:
    """options: empty where the answer is free text. right: number of the right option, -1 without options."""

    id: str
    prompt: str
    answer: str
    options: tuple[str, ...] = ()
    right: int = -1


def read_items(
    path: Path | str, *, choices: Sequence[str] = (), where: Mapping[str, Any] | None = None, limit: int | None = None
) -> list[Item]:
    """The items of a file whose columns equal (as text) those of `where`, the first `limit`. Raises BadItems."""
    found: list[Item] = []
    for number, row in enumerate(_rows(Path(path))):
        if limit is not None and len(found) >= limit:
            break
        if any(str(row.get(name)) != str(value) for name, value in (where or {}).items()):
            continue
        found.append(item(row, choices, f"{path}: row {number}"))
    if not found:
        raise BadItems(f"{path}: no row{f' fits {dict(where)}' if where else ''}: nothing can be measured")
    return found


def item(row: Mapping[str, Any], choices: Sequence[str] = (), place: str = "row") -> Item:
    """One row as an item.

    >>> found = item({"text": "Is water wet?\\nOptions:\\n- Yes\\n- No", "answer": "No"})
    >>> found.prompt, found.options, found.right
    ('Is water wet?', ('Yes', 'No'), 1)
    >>> item({"text": "A whale is", "options": ["a fish", "a mammal"], "answer": "B"}).right
    1
    """
    prompt, answer = str(_first(row, _TEXT, place)), _first(row, _ANSWER, place)
    options, labels = next((_own(row[name], place) for name in _OPTIONS if row.get(name)), (tuple(choices), ()))
    if not options:
        prompt, options = _listed(prompt)
    name = str(place if row.get("id") is None else row["id"])
    if not options:
        text = str(answer).strip()
        return Item(name, prompt.removesuffix(text).rstrip() if prompt.endswith(text) else prompt, text)
    right = labels.index(str(answer)) if str(answer) in labels else _right(answer, options)
    if right is None:
        raise BadItems(f"{place}: the answer {answer!r} is none of the {len(options)} options {list(options)[:6]}")
    return Item(name, prompt, options[right], options, right)


def _own(options: Any, place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(options, their labels or nothing)."""
    labels: Any = ()
    if isinstance(options, Mapping):
        options, labels = options.get("text"), options.get("label") or ()
    if not isinstance(options, Sequence) or isinstance(options, str) or (labels and len(labels) != len(options)):
        raise BadItems(f"{place}: options are a list of strings, or lists `text` and `label`, not {options!r:.80}")
    return tuple(map(str, options)), tuple(map(str, labels))


def _right(answer: Any, options: Sequence[str]) -> int | None:
    text = str(answer).strip()
    exact = [i for i, option in enumerate(options) if option.strip() == text]
    if exact:
        return exact[0]
    if isinstance(answer, bool):
        return int(answer) if len(options) == 2 else None
    letter = re.fullmatch(r"\(?([A-Z])\)?", text)
    number = ord(letter[1]) - ord("A") if letter else int(text) if text.isdecimal() else -1
    return number if 0 <= number < len(options) else None


def _listed(prompt: str) -> tuple[str, tuple[str, ...]]:
    head, line, tail = prompt.rpartition("\nOptions:\n")
    marks = [_MARK.fullmatch(one) for one in tail.splitlines() if one.strip()]
    if not line or len(marks) < 2 or not all(marks):
        return prompt, ()
    return head, tuple(mark[3] for mark in marks if mark)


def _first(row: Mapping[str, Any], names: Sequence[str], place: str) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    raise BadItems(f"{place}: none of the columns {', '.join(names)} holds a value; it has {', '.join(row) or 'none'}")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.name.endswith(".parquet"):
        yield from read_table(path).to_pylist()
        return
    if not path.name.endswith((".jsonl", ".jsonl.gz", ".json.gz", ".ndjson")):
        raise BadItems(f"{path}: sets are .parquet, .jsonl or .jsonl.gz files")
    try:
        for _, row in json_rows(path):
            yield row
    except BadRow as error:
        raise BadItems(f"{path}:{error.line}: {error.said}") from None
