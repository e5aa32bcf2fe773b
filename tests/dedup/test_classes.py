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
