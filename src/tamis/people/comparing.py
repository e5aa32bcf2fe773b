"""Comparisons from files: a table of `first, second, rater, label`, or an export of answers that compare responses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from tamis.people.answers import TIE
from tamis.people.labels import COLUMNS, NotLabels, _open
from tamis.people.preference import CHOICES, Comparisons

TABLE: Mapping[str, tuple[str, ...]] = {
    "first": ("first", "left"),
    "second": ("second", "right"),
    "rater": COLUMNS["rater"],
    "label": ("label", "choice", "winner"),
}
KINDS = ("pairwise", "preference", "ranking")

Row = tuple[str, str, str, str]  # first, second, choice, rater


def read_comparisons(path: Path, question: str | None = None) -> Comparisons:
    """Who was preferred to whom, by whom; the first of two is the one that was shown first.

    A table's label is `first`, `second`, `tie`, or the name of the better one. An order of k responses gives each of
    its pairs. Gold questions and second answers of a rater are left out. Raises NotLabels.
    """
    rows = list(_exported(path, question) if _is_export(path) else _table(path))
    if not rows:
        raise NotLabels(f"{path}: there is no comparison in it")
    first, second, choices, raters = zip(*rows, strict=True)
    return Comparisons.of(first, second, choices, raters)


def _is_export(path: Path) -> bool:
    if path.suffix not in (".jsonl", ".parquet"):
        return False
    _, ignored, _ = _open(path, {"rater": TABLE["rater"]})
    return {"kind", "evidence"} <= set(ignored)


def _table(path: Path) -> Iterator[Row]:
    _, _, batches = _open(path, TABLE)
    number = 0
    for batch in batches:
        for row in zip(*(batch[name].to_pylist() for name in TABLE), strict=True):
            number += 1
            first, second, rater, label = row
            if label is None:
                continue
            if None in row:
                raise NotLabels(f"{path}, row {number:,}: first, second and rater must be filled in")
            if label in (first, second):
                label = "first" if label == first else "second"
            if label not in CHOICES:
                raise NotLabels(f"{path}, row {number:,}: the label {label!r} is neither of the two, nor `tie`")
            yield first, second, label, rater


def _exported(path: Path, question: str | None) -> Iterator[Row]:
    from tamis.people import exchange

    rows = [a for a in exchange.read(path).annotations if a.kind in KINDS and not (a.skipped or a.gold or a.repeat)]
    asked = sorted({a.question for a in rows})
    if question is None and len(asked) > 1:
        raise NotLabels(f"{path} holds answers to several questions: name one by --question: {', '.join(asked)}")
    for a in rows:
        if question not in (None, a.question):
            continue
        groups = [[a.value]] if a.kind == "pairwise" else a.value
        place = {name: rank for rank, names in enumerate(groups) for name in names}
        for first, second in itertools.combinations(a.shown or a.options, 2):
            # Of a pair only the better one is named; `tie` names neither.
            one, other = place.get(first, len(groups)), place.get(second, len(groups))
            yield first, second, TIE if one == other else "first" if one < other else "second", a.rater
