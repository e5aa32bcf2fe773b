from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.dedup.verify import Members, join, overlaps, pick


def members(files: list[int]) -> Members:
    """Documents of one component; files[i] is the file of document i, which has the shingles it is made with."""
    count = len(files)
    zeros = np.zeros(count, np.uint64)
    order = np.argsort(files, kind="stable")
    row = np.empty(count, np.int64)
    for file in set(files):
        inside = order[np.array(files)[order] == file]
        row[inside] = np.arange(len(inside))
    return Members(
        gid=np.arange(count, dtype=np.uint64),
        root=zeros,
        hash_hi=zeros,
        hash_lo=zeros,
        set_size=np.full(count, 3),
        file=np.array(files, np.int64),
        row=row,
        bands=np.zeros((count, 1), np.uint64),
        valid=np.ones(count, bool),
    )


@given(st.data())
def test_overlaps_do_not_depend_on_blocks(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 14))
    files = data.draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))
    sets = [data.draw(st.frozensets(st.integers(0, 9), max_size=6)) for _ in range(count)]
    pairs = data.draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=30))
    block_bytes = data.draw(st.sampled_from([1, 24, 60, 1 << 20]))
    held = members(files)

    def load(file: int) -> tuple[np.ndarray, np.ndarray]:
        inside = sorted((i for i in range(count) if files[i] == file), key=lambda i: held.row[i])
        values = [sorted(sets[i]) for i in inside]
        offsets = np.concatenate([[0], np.cumsum([len(v) for v in values])]).astype(np.int64)
        return offsets, np.array([x for v in values for x in v], np.uint64)

    left, right = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    found = overlaps(held, left, right, load, block_bytes=block_bytes)
    assert found.tolist() == [len(sets[a] & sets[b]) for a, b in pairs]


def test_pick_and_join() -> None:
    sets = (np.array([0, 2, 2, 5]), np.array([1, 2, 3, 4, 5], np.uint64))
    offsets, values = pick(sets, np.array([2, 1, 0]))
    assert offsets.tolist() == [0, 3, 3, 5]
    assert values.tolist() == [3, 4, 5, 1, 2]
    offsets, values = join([sets, pick(sets, np.array([2]))])
    assert offsets.tolist() == [0, 2, 2, 5, 8]
    assert values.tolist() == [1, 2, 3, 4, 5, 3, 4, 5]
