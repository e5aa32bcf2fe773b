"""Applying, merging and rebasing edits, against plain Python on strings."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.clean.edits import BadEdits, apply_edits, difference, from_lists, merge, nothing, rebase

Span = tuple[int, int, str]
TEXT = st.text(alphabet="ab é漢🙂\n", max_size=24)


def array(texts: list[str]) -> pa.LargeStringArray:
    return pa.array(texts, pa.large_string())


def listed(texts: list[str], spans: list[list[Span]], rule: str = "r") -> pa.ListArray:
    """Edits given in characters."""
    rows, starts, ends, new = [], [], [], []
    for row, (text, edits) in enumerate(zip(texts, spans, strict=True)):
        for start, end, replacement in edits:
            rows.append(row)
            starts.append(len(text[:start].encode()))
            ends.append(len(text[:end].encode()))
            new.append(replacement)
    return from_lists(len(texts), rows, starts, ends, new, rule)


def plainly(text: str, spans: list[Span]) -> str:
    for start, end, replacement in reversed(spans):
        text = text[:start] + replacement + text[end:]
    return text


@st.composite
def spans_of(draw: st.DrawFn, text: str) -> list[Span]:
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    return [(a, b, draw(TEXT.map(lambda t: t[:5]))) for a, b in itertools.pairwise(cuts) if draw(st.booleans())]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], list[list[Span]], list[list[Span]]]:
    texts = draw(st.lists(TEXT, min_size=1, max_size=4))
    first = [draw(spans_of(text)) for text in texts]
    second = [draw(spans_of(plainly(text, spans))) for text, spans in zip(texts, first, strict=True)]
    return texts, first, second


@given(cases())
def test_apply_equals_string_slicing_and_rebased_merge_equals_both_in_turn(
    case: tuple[list[str], list[list[Span]], list[list[Span]]],
) -> None:
    texts, first, second = case
    a = listed(texts, first, "first")
    once = apply_edits(array(texts), a)
    assert once.to_pylist() == [plainly(t, s) for t, s in zip(texts, first, strict=True)]
    b = listed(once.to_pylist(), second, "second")
    twice = apply_edits(once, b)
    based = rebase(b, a)
    assert apply_edits(array(texts), merge(a, based)).to_pylist() == twice.to_pylist()
    padded = array(["pad", *texts, "pad"])[1:-1]
    assert apply_edits(padded, a).to_pylist() == once.to_pylist()


@given(st.data())
def test_merge_of_any_two_lists_is_valid(data: st.DataObject) -> None:
    texts = data.draw(st.lists(TEXT, min_size=1, max_size=3))
    a = listed(texts, [data.draw(spans_of(t)) for t in texts])
    b = listed(texts, [data.draw(spans_of(t)) for t in texts])
    apply_edits(array(texts), merge(a, b))


def test_the_outer_span_wins() -> None:
    texts = ["one two three four"]
    inner, outer = listed(texts, [[(4, 7, "2")]], "inner"), listed(texts, [[(4, 13, "")]], "outer")
    for merged in (merge(inner, outer), merge(outer, inner)):
        assert merged.to_pylist() == [[{"start": 4, "end": 13, "replacement": "", "rule": "outer"}]]


def test_no_edits_cost_nothing() -> None:
    text = array(["a", "b"])
    assert apply_edits(text, nothing(2)) is text


def test_nulls_stay_null() -> None:
    text = pa.array([None, "abc", None], pa.large_string())
    assert apply_edits(text, from_lists(3, [1], [0], [1], "", "r")).to_pylist() == [None, "bc", None]


@pytest.mark.parametrize(
    ("start", "end"),
    [([0], [0]), ([0], [9]), ([1], [2]), ([0, 0], [1, 2]), ([-1], [1]), ([2], [1])],
)
def test_bad_edits_are_refused(start: list[int], end: list[int]) -> None:
    with pytest.raises(BadEdits, match="document 0"):
        apply_edits(array(["éé"]), from_lists(1, [0] * len(start), start, end, "", "r"))


def test_difference_shows_whole_characters() -> None:
    text = "漢字 accept all cookies 漢字"
    start = len("漢字 ".encode())
    (hunk,) = difference(
        text, [{"start": start, "end": start + 18, "replacement": "", "rule": "boilerplate.cookies"}], context=2
    )
    assert (hunk.before, hunk.removed, hunk.inserted, hunk.after) == ("字 ", "accept all cookies", "", " 漢")
