from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.dedup import nominate
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


def test_keys_that_differ_in_low_bits_alone_are_not_taken_for_equal():
    high = np.uint64(0xABCDEF0123450000)
    key = np.array([high + 1, high, high + 1, high, high + 2, 7, 7], np.uint64)
    order = nominate.grouping(key)
    assert sorted(order.tolist()) == list(range(len(key)))
    grouped = key[order].tolist()
    assert len([1 for a, b in itertools.pairwise(grouped) if a != b]) == len(set(grouped)) - 1
    left, right = nominate.stars(key, np.arange(10, 17, dtype=np.uint64)[::-1].copy())
    assert list(zip(left.tolist(), right.tolist(), strict=True)) == [(10, 11), (13, 15), (14, 16)]


def test_pairs_are_ordered_and_distinct():
    left, right = np.array([9, 1, 9, 1, 1], np.uint64), np.array([10, 5, 10, 3, 5], np.uint64)
    assert [part.tolist() for part in nominate.distinct(left, right)] == [[1, 1, 9], [3, 5, 10]]
    none = np.zeros(0, np.uint64)
    assert [len(part) for part in (*nominate.distinct(none, none), *nominate.stars(none, none))] == [0, 0, 0, 0]
