"""Weights: templates weigh nothing, common phrases little, a common item keeps its weight."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis import kernels
from tamis.decontaminate import index


@given(st.lists(st.sampled_from(["a", "bc", "Ünder", "中", "文字", "12", "x-y"]), max_size=40), st.integers(2, 14))
def test_hashes_are_those_of_the_kernels(words, size):
    text = pa.array([" ".join(words)], pa.large_string())
    normal = kernels.normalize(text, False, True)[0].as_py().split()
    hashes = np.array([index.reference.word_hash(w.encode()) for w in normal], np.uint64)
    own = index.rolled(hashes, size)
    if len(normal) < size:
        assert not len(own)
    else:
        assert np.array_equal(np.unique(own), kernels.shingles(text, size, False)[1])


def test_a_template_weighs_nothing(made):
    numbers = [n for n, names in enumerate(made.names) if names[0].startswith("puzzles/")]
    weights = made.item_weights(numbers[0])
    template = 22  # words of the template
    assert not weights[:8].any()
    assert (weights[template:] > 0).all()
    assert made.boilerplate > 0


def test_items_too_short_to_tell_are_named(made):
    assert [made.names[n] for n in np.flatnonzero(made.unsearched)][:1] == [["rivers/4"]]
    assert [made.names[n][0] for n in np.flatnonzero(made.unsearched)] == ["rivers/4", "brackets/1"]
    assert [made.names[n] for n in np.flatnonzero(made.whole)] == [["rivers/3"]]


def test_a_common_phrase_weighs_less_unless_the_item_is_as_common(table):
    plain = index.make(table)
    number = next(n for n, names in enumerate(plain.names) if names[0] == "rivers/1")
    hashes, _ = plain.ngrams(plain.item(number), plain.size)
    at = np.searchsorted(plain.grams, hashes)

    def counted(documents):
        counts = np.zeros(len(plain.grams), np.int64)
        counts[at] = documents
        rows = np.flatnonzero(counts)
        common = pa.Table.from_arrays([pa.array(plain.grams[rows]), pa.array(counts[rows])], schema=index.COMMON)
        return index.make(table, common=common)

    first_half = np.where(np.arange(len(at)) < len(at) // 2, 90, 0)
    phrase = counted(first_half)
    assert phrase.item_weights(number)[0] == pytest.approx(10 / 100)
    assert phrase.item_weights(number)[-1] == 1
    assert phrase.common[at[0]]
    assert not phrase.common[at[-1]]
    everywhere = counted(np.full(len(at), 900))
    assert np.array_equal(everywhere.weights, plain.weights)
    assert not everywhere.common.any()


def test_no_items_and_one_empty_item_can_be_searched():
    from tamis.decontaminate import items
    from tamis.decontaminate.search import search_texts

    assert search_texts(index.make(items.distinct_items([])), ["any text"]) == [[]]
    assert search_texts(index.make(items.distinct_items([("s", [("1", "...", None)])])), ["any text"]) == [[]]
