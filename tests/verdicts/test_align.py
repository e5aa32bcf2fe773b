from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tamis.verdicts.align import align, words_of

TEXTS = st.lists(st.sampled_from(["one", "two", "three", "four", "five", "."]), max_size=40).map(" ".join)


def test_an_insertion_and_a_replacement_are_found():
    left = "The quick brown fox jumps over the lazy dog near the old river bank today"
    right = "The quick brown fox jumps over the very lazy dog near the old river bank yesterday"
    found = align(left, right)
    kinds = [(p.kind, left[slice(*p.left)], right[slice(*p.right)]) for p in found.passages]
    assert kinds == [
        ("same", "The quick brown fox jumps over the", "The quick brown fox jumps over the"),
        ("right", "", "very"),
        ("same", "lazy dog near the old river bank", "lazy dog near the old river bank"),
        ("left", "today", ""),
        ("right", "", "yesterday"),
    ]
    assert found.shared == 14 / 15
    assert found.whole


@given(TEXTS, TEXTS)
def test_passages_cover_both_texts_in_order_and_the_same_is_the_same(left, right):
    a, a_spans, _ = words_of(left)
    b, b_spans, _ = words_of(right)
    found = align(left, right)
    assert sum(p.words for p in found.passages if p.kind != "right") == len(a)
    assert sum(p.words for p in found.passages if p.kind != "left") == len(b)
    at_a = at_b = 0
    for passage in found.passages:
        if passage.kind != "right":
            assert passage.left == (a_spans[at_a][0], a_spans[at_a + passage.words - 1][1])
        if passage.kind != "left":
            assert passage.right == (b_spans[at_b][0], b_spans[at_b + passage.words - 1][1])
        if passage.kind == "same":
            assert a[at_a : at_a + passage.words] == b[at_b : at_b + passage.words]
        at_a += passage.words if passage.kind != "right" else 0
        at_b += passage.words if passage.kind != "left" else 0


@given(TEXTS)
def test_a_text_is_wholly_shared_with_itself(text):
    found = align(text, text)
    assert found.shared == (1.0 if words_of(text)[0] else 0.0)


def test_chinese_is_aligned_by_characters_and_long_texts_are_cut():
    found = align("我们今天去公园散步然后回家", "我们昨天去公园散步然后回家")
    assert [p.kind for p in found.passages] == ["left", "right", "same"]
    assert found.shared == 10 / 13
    assert not align("word " * 30_000, "word").whole


def test_a_text_that_repeats_one_phrase_stays_fast():
    align("a b c d e " * 4_000, "a b c d " * 5_000)
