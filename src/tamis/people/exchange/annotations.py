"""One answer of one rater to one question about one example: the row that every export and import goes through.

Annotations are ordered by `order_of`, so that no file depends on the order in which a store hands them out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

Kind = Literal["choice", "multi", "rating", "pairwise", "preference", "ranking", "span", "text", "rewrite"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TIE = "tie"

# What a value may be: null, true or false, a number, a text, or lists and objects of them.
Json = Any


class BadAnnotation(ValueError):
    """A row that is no annotation: the message says which part is wrong."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One answer. What `value` holds depends on `kind`, and is None where `skipped`:

    ========== =====================================================================================================
    choice     one of the task's labels, a text
    multi      a list of labels without doubles, possibly empty
    rating     a number
    pairwise   the name of the better option (one of `options`), or "tie"
    preference lists of option names, best first; names in one list are tied: ``[["b"], ["a", "c"]]``
    ranking    the same without ties
    span       a list of ``{"start", "end", "label"}``, offsets in Unicode code points of the field `of`
    text       what the rater wrote (a demonstration)
    rewrite    ``{"text", "diff"}``: the rater's form of the field `of`, and its changes ``[start, end, new]``
    ========== =====================================================================================================

    A rubric is one annotation per question with the same `submission`.
    """

    example: str
    rater: str  # pseudonymous
    value: Json = None
    kind: Kind = "choice"
    question: str = "label"
    task: str = ""
    fields: Mapping[str, Json] = field(default_factory=dict)  # what the example holds and the rater saw
    options: tuple[str, ...] = ()  # names of the fields that are compared
    shown: tuple[str, ...] = ()  # the options in the order in which they were shown
    of: str = ""  # the field that spans lie in, or that is rewritten
    seconds: float | None = None
    at: str | None = None  # ISO 8601, UTC
    guideline_hash: str | None = None
    skipped: bool = False
    reason: str | None = None  # why it was skipped
    submission: str | None = None
    role: Literal["rater", "adjudicator", "model"] = "rater"
    gold: bool = False  # a hidden question whose answer is known
    repeat: int = 0  # 1 for the rater's second answer to the same example, and so on
    meta: Mapping[str, Json] = field(default_factory=dict)  # whatever else is known: it is carried, not read

    def __post_init__(self) -> None:
        if not self.example or not self.rater:
            raise BadAnnotation(f"an annotation needs an example and a rater, not {self.example!r} and {self.rater!r}")
        if self.kind not in KINDS:
            raise BadAnnotation(f"example {self.example}: no kind of annotation is named {self.kind!r}")
        if self.skipped and self.value is not None:
            raise BadAnnotation(f"example {self.example}: rater {self.rater} skipped it, and answered {self.value!r}")
        if not self.skipped and self.value is None:
            raise BadAnnotation(f"example {self.example}: rater {self.rater} neither answered nor skipped")

    def to_json(self) -> dict[str, Json]:
        """Everything that is not at its default, so that files stay small and old ones stay readable."""
        out: dict[str, Json] = {}
        for part in fields(self):
            value = getattr(self, part.name)
            if part.name in _ALWAYS or value != _DEFAULTS[part.name]:
                out[part.name] = list(value) if isinstance(value, tuple) else value
        return out

    @classmethod
    def from_json(cls, row: Mapping[str, Json]) -> Annotation:
        """The inverse of `to_json`. Raises BadAnnotation for keys that it does not know."""
        if unknown := sorted(set(row) - set(_DEFAULTS)):
            raise BadAnnotation(f"an annotation has no part named {', '.join(unknown)}")
        given: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in row.items()}
        try:
            return cls(**given)
        except TypeError as error:
            raise BadAnnotation(f"not an annotation: {error}") from None


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What the raters of one example come to. `label` is a value of the annotations' kind.

    `posterior` is the probability of `label` in [0, 1], None where the method gives none; `n` counts the answers it
    stands on. `method` is the aggregation's name, or "adjudication" with `by` and `why`.
    """

    example: str
    label: Json
    posterior: float | None = None
    n: int = 0
    question: str = "label"
    soft: Mapping[str, float] | None = None  # label -> probability, where the whole distribution is wanted
    method: str = ""
    by: str | None = None
    why: str | None = None
    guideline_hash: str | None = None

    def to_json(self) -> dict[str, Json]:
        """Everything that is not None or empty."""
        row = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: value for name, value in row.items() if value not in (None, "") or name == "label"}

    @classmethod
    def from_json(cls, row: Mapping[str, Json]) -> Aggregated:
        """The inverse of `to_json`."""
        known = {part.name for part in fields(cls)}
        if unknown := sorted(set(row) - known):
            raise BadAnnotation(f"an aggregated label has no part named {', '.join(unknown)}")
        return cls(**row)


def order_of(annotation: Annotation) -> tuple[str, ...]:
    """By what annotations are sorted: example, question, rater, repeat, then everything else."""
    rest = json.dumps(annotation.to_json(), sort_keys=True, ensure_ascii=False, default=str)
    return (annotation.example, annotation.question, annotation.rater, f"{annotation.repeat:09d}", rest)


def ordered(annotations: Iterable[Annotation]) -> list[Annotation]:
    """The annotations in the one order that files have."""
    return sorted(annotations, key=order_of)


_TUPLES = {"options", "shown"}
_ALWAYS = {"example", "rater", "value", "kind", "question"}
_DEFAULTS: dict[str, Json] = {
    part.name: ({} if part.name in ("fields", "meta") else part.default) for part in fields(Annotation)
}
