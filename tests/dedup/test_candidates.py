from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.dedup import candidates as module
from tamis.dedup.candidates import candidates, exact_leaders
from tamis.dedup.options import Options

BandTable = list[list[int]]


def expected(bands: BandTable, leaders: int, most: int) -> set[tuple[int, int]]:
    """The rule of large components, written as a loop over one component in rank order."""
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    found = set()
    for document, row in enumerate(bands):
        shared: Counter[int] = Counter()
        for key in enumerate(row):
            shared.update(buckets[key][:leaders])
            buckets[key].append(document)
        best = sorted(shared, key=lambda other: (-shared[other], other))[:most]
        found |= {(other, document) for other in best}
    return found


tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 6), min_size=width, max_size=width), min_size=2, max_size=60)
)


@given(tables, st.integers(1, 3), st.integers(1, 5), st.integers(1, 70))
def test_large_components_meet_their_leaders(bands: BandTable, leaders: int, most: int, window: int) -> None:
    count, width = len(bands), len(bands[0])
    keys = np.array(bands, np.uint64) + (np.arange(width, dtype=np.uint64) << np.uint64(32))
    options = Options(bands=width, rows=1, small=1, leaders=leaders, most=most)
    before, module.WINDOW = module.WINDOW, window
    try:
        left, right = candidates(np.zeros(count, np.uint64), keys, np.ones(count, bool), options)
    finally:
        module.WINDOW = before
    pairs = list(zip(left.tolist(), right.tolist(), strict=True))
    assert pairs == sorted(pairs, key=lambda pair: (pair[1], pair[0]))
    assert set(pairs) == expected(bands, leaders, most)
    assert len(set(pairs)) == len(pairs)


@given(st.lists(st.integers(1, 9), max_size=12))
def test_small_components_are_compared_in_full(sizes: list[int]) -> None:
    root = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes)
    valid = np.ones(len(root), bool)
    left, right = candidates(root, np.zeros((len(root), 2), np.uint64), valid, Options(bands=2, rows=1, small=64))
    pairs = set(zip(left.tolist(), right.tolist(), strict=True))
    assert pairs == {(i, j) for j in range(len(root)) for i in range(j) if root[i] == root[j]}
    assert len(pairs) == len(left)


def test_work_on_a_giant_component_is_linear() -> None:
    rng = np.random.default_rng(1)
    for count in (2_000, 20_000):
        bands = rng.integers(0, 2**62, (count, 14), dtype=np.uint64)
        bands[:, 3] = 7  # one bucket holds everybody
        left, _ = candidates(np.zeros(count, np.uint64), bands, np.ones(count, bool), Options())
        assert len(left) <= 8 * count


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), max_size=40))
def test_exact_leaders_are_first_of_their_text(rows: list[tuple[int, int, int]]) -> None:
    rows.sort(key=lambda row: row[0])
    root, high, low = (np.array([row[i] for row in rows], np.uint64) for i in range(3))
    assert exact_leaders(root, high, low).tolist() == [rows.index(row) for row in rows]
