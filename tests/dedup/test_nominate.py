from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.dedup.exchange import partition_of
from tamis.dedup.nominate import stars

Rows = list[tuple[int, int]]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), max_size=80))
def test_stars_join_every_bucket_to_its_least_document(rows: Rows) -> None:
    key = np.array([k for k, _ in rows], np.uint64)
    gid = np.array([g for _, g in rows], np.uint64)
    left, right = stars(key, gid)
    wanted = set()
    for k in {k for k, _ in rows}:
        inside = {g for other, g in rows if other == k}
        wanted |= {(min(inside), g) for g in inside if g != min(inside)}
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == sorted(wanted)


def test_a_giant_bucket_costs_what_its_rows_cost() -> None:
    count = 200_000
    left, right = stars(np.zeros(count, np.uint64), np.arange(count, dtype=np.uint64))
    assert len(left) == count - 1
    assert not left.any()
    assert right[-1] == count - 1


@given(st.lists(st.integers(0, 2**64 - 1), max_size=200), st.integers(1, 40))
def test_partitions_are_in_range(keys: list[int], partitions: int) -> None:
    found = partition_of(np.array(keys, np.uint64), partitions)
    assert all(0 <= p < partitions for p in found.tolist())


def test_partitions_are_balanced_for_gids() -> None:
    gids = np.arange(50_000, dtype=np.uint64) + (np.uint64(3) << np.uint64(32))
    counts = np.bincount(partition_of(gids, 16), minlength=16)
    assert counts.min() > 0.9 * 50_000 / 16
    assert counts.max() < 1.1 * 50_000 / 16
