from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tamis.dedup.classes import collapse


def test_best_alive_member_stands_for_its_class() -> None:
    # 0, 1, 2 are equal texts, 0 dropped by a rule; 3 is near 0; 4 and 5 equal and both dropped by rules
    left, right = np.array([0, 0, 0, 4, 3]), np.array([1, 2, 3, 5, 5])
    exact = np.array([True, True, False, True, False])
    alive = np.array([False, True, True, True, False, False])
    found = collapse(left, right, exact, alive, np.array([9, 5, 7, 6, 1, 1]))
    assert found.best.tolist() == [0, 2, 2, 3, 4, 5]
    assert found.others.tolist() == [1]
    moved = [(a, b) for a, b in zip(found.left.tolist(), found.right.tolist(), strict=True) if a != b]
    assert moved == [(2, 3)]


@given(st.data())
def test_edges_join_only_alive_representatives(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1), st.booleans())
    edges = data.draw(st.lists(ends, max_size=20))
    alive = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    size = np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    left, right = (np.array([edge[i] for edge in edges], np.int64) for i in (0, 1))
    found = collapse(left, right, np.array([edge[2] for edge in edges], bool), alive, size)
    for a, b in zip(found.left, found.right, strict=True):
        assert a == b or (alive[a] and alive[b] and found.best[a] == a and found.best[b] == b)
    for document in range(count):
        best = found.best[document]
        assert best == document or (alive[best] and alive[document] and size[best] >= size[document])
        assert found.best[best] == best


def test_copies_lose_to_what_their_best_lost_to() -> None:
    # 0, 1, 2 equal; 3 near the centre 0 and longer; 4, 5 equal, their centre 4 dropped by a rule, 5 and 6 equal
    left, right = np.array([0, 0, 0, 4, 4]), np.array([1, 2, 3, 5, 6])
    exact = np.array([True, True, False, True, True])
    alive = np.array([True, True, True, True, False, True, True])
    found = collapse(left, right, exact, alive, np.array([5, 5, 5, 9, 1, 1, 1]))
    assert [(a, b) for a, b in zip(found.left, found.right, strict=True) if a != b] == [(0, 3)]
    dropped, kept, edge = found.extend(np.array([0]), np.array([3]), np.array([2]))
    assert list(zip(dropped.tolist(), kept.tolist(), edge.tolist(), strict=True)) == [
        (0, 3, 2),
        (1, 3, 2),
        (2, 3, 2),
        (6, 5, 4),
    ]
