from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.people.spans import Span, agreement, each_pair, matches, token_labels, tokens

TEXT = "Alice met Bob in Paris on Monday."
PER = [Span(0, 5, "PER"), Span(10, 13, "PER")]


def test_tokens_are_called_by_their_spans() -> None:
    assert [TEXT[a:b] for a, b in tokens(TEXT)] == ["Alice", "met", "Bob", "in", "Paris", "on", "Monday", "."]
    assert token_labels(tokens(TEXT), [*PER, Span(17, 22, "LOC")]) == ["PER", "", "PER", "", "LOC", "", "", ""]
    assert token_labels(tokens("机器学习 good"), [Span(0, 2, "X")]) == ["X", "X", "", "", ""]


def test_the_same_spans_agree_wholly() -> None:
    found = agreement({"1": TEXT}, {"1": {"a": PER, "b": list(reversed(PER))}}, "a", "b")
    assert (found.kappa, found.exact, found.overlap, found.tokens, found.spans) == (1, 1, 1, 8, 4)
    assert math.isnan(found.kappa_low)  # one example gives no interval


def test_overlap_is_milder_than_exact() -> None:
    marked = {"1": {"a": PER, "b": [Span(0, 9, "PER"), Span(10, 13, "ORG")]}, "2": {"a": [], "b": []}}
    (found,) = each_pair({"1": TEXT, "2": "Nobody"}, marked)
    assert (found.exact, found.overlap) == (0, 0.5)
    assert 0 < found.kappa < 1
    assert found.exact_low <= found.exact <= found.exact_high


def test_nothing_to_compare_says_so() -> None:
    assert "no example in common" in agreement({}, {"1": {"a": PER}}, "a", "b").why
    found = agreement({"1": TEXT}, {"1": {"a": [], "b": []}}, "a", "b")
    assert "Neither rater marked anything" in found.why
    assert found.to_json()["exact"] is None


SPANS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 5)).map(lambda x: Span(x[0], x[0] + x[1], "x")), max_size=5
)


@given(SPANS, SPANS)
def test_no_other_matching_finds_more_overlaps(left: list[Span], right: list[Span]) -> None:
    if len(left) > len(right):
        left, right = right, left
    best = max(
        sum(a.start < b.end and b.start < a.end for a, b in zip(left, chosen, strict=True))
        for chosen in itertools.permutations(right, len(left))
    )
    assert matches(left, right, exact=False) == matches(right, left, exact=False) == best


@given(SPANS)
def test_exact_needs_each_span_once(spans: list[Span]) -> None:
    assert matches(spans, spans, exact=True) == len(spans)
    assert matches(spans, [], exact=True) == 0


def test_a_text_is_needed() -> None:
    with pytest.raises(KeyError):
        agreement({}, {"1": {"a": PER, "b": PER}}, "a", "b")
