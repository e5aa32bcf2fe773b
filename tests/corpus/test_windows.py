from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.corpus.shards import TokenShards
from tamis.corpus.windows import Permutation, Windows, packing


@given(st.integers(1, 3000), st.integers(0, 2**63), st.integers(0, 3))
def test_permutation_hits_every_number_once(size: int, seed: int, epoch: int) -> None:
    values = Permutation(size, seed, epoch)(np.arange(size))
    assert sorted(values.tolist()) == list(range(size))


def test_permutation_works_past_memory_and_differs_by_epoch() -> None:
    first, second = (Permutation(10**15, 3, epoch)(np.arange(1000)) for epoch in (0, 1))
    assert len(set(first.tolist()) | set(second.tolist())) == 2000
    assert abs(first.mean() / 10**15 - 0.5) < 0.05
    with pytest.raises(IndexError):
        Permutation(10, 0)([10])


def test_windows_cover_the_stream(corpus: Path) -> None:
    shards = TokenShards(corpus / "tokens")
    stream = shards.read(0, shards.index.tokens).astype(np.int64)
    assert len(stream) == shards.index.tokens
    windows = Windows(corpus / "tokens", 64, 1, seed=5)
    order = Permutation(windows.sequences, 5)(np.arange(windows.sequences))
    for step in range(0, windows.steps, 97):
        start = int(order[step]) * 64
        assert np.array_equal(windows(0, step)[0], stream[start : start + 65])


def test_ranks_share_the_global_batch(corpus: Path) -> None:
    whole = Windows(corpus / "tokens", 32, 8, seed=1)
    halves = [Windows(corpus / "tokens", 32, 4, seed=1, rank=rank, world=2) for rank in (0, 1)]
    for step in (0, 3, whole.steps - 1):
        assert np.array_equal(whole(1, step), np.concatenate([half(1, step) for half in halves]))
    assert whole.identity() == halves[0].identity()


def test_wrong_use_says_so(corpus: Path) -> None:
    with pytest.raises(ValueError, match="fewer than one step"):
        Windows(corpus / "tokens", 10**9, 1)
    with pytest.raises(ValueError, match="rank 2"):
        Windows(corpus / "tokens", 8, 1, rank=2, world=2)


@pytest.mark.parametrize("context", [7, 128, 10**9])
def test_packing_counts_what_a_slow_count_counts(corpus: Path, context: int) -> None:
    shards = TokenShards(corpus / "tokens")
    found = packing(corpus / "tokens", context)
    start, cut, parts = 0, 0, 0
    for ids in shards.documents():
        places = {at // context for at in range(start, start + len(ids) + 1)} & set(range(found.sequences))
        cut += len(places) > 1
        parts += len(places)
        start += len(ids) + 1
    assert (found.cut_documents, round(found.documents_per_sequence * max(1, found.sequences))) == (cut, parts)
    assert found.sequences * context + found.wasted_tokens == shards.index.tokens
    assert found.documents == shards.index.documents
