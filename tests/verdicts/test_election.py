from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tamis.verdicts.election import Positions, Strength, elect, elect_again

DOCUMENTS = 12


@st.composite
def graphs(draw):
    ends = st.integers(0, DOCUMENTS - 1)
    edges = draw(st.lists(st.tuples(ends, ends), max_size=40))
    alive = draw(st.lists(st.booleans(), min_size=DOCUMENTS, max_size=DOCUMENTS))
    size = draw(st.lists(st.integers(0, 4), min_size=DOCUMENTS, max_size=DOCUMENTS))
    return edges, np.array(alive), np.array(size, np.int64)


def run(edges, alive, size):
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    return elect(pairs[:, 0], pairs[:, 1], alive, size)


def plain(edges, alive, size):
    """The definition, word for word."""
    kept: list[int] = []
    lost: dict[int, int] = {}
    near = {(a, b) for a, b in edges} | {(b, a) for a, b in edges}
    for document in sorted(np.flatnonzero(alive).tolist(), key=lambda d: (-size[d], d)):
        better = [other for other in kept if (document, other) in near]
        if better:
            lost[document] = better[0]
        else:
            kept.append(document)
    return lost


@given(graphs())
def test_election_equals_its_definition(graph):
    found = run(*graph)
    assert dict(zip(found.dropped.tolist(), found.kept.tolist(), strict=True)) == plain(*graph)
    assert (np.diff(found.dropped) > 0).all()


@given(graphs())
def test_every_dropped_has_an_edge_to_a_kept_one_and_no_two_kept_share_one(graph):
    edges, alive, size = graph
    found = run(edges, alive, size)
    dropped = set(found.dropped.tolist())
    pairs = {frozenset(edge) for edge in edges}
    for lost, kept, edge in zip(found.dropped.tolist(), found.kept.tolist(), found.edge.tolist(), strict=True):
        assert frozenset((lost, kept)) in pairs
        assert set(edges[edge]) == {lost, kept}
        assert kept not in dropped
        assert alive[kept]
        assert alive[lost]
    for a, b in edges:
        assert a == b or not (alive[a] and alive[b]) or a in dropped or b in dropped


@given(graphs(), st.randoms())
def test_the_order_and_direction_of_edges_do_not_matter(graph, random):
    edges, alive, size = graph
    other = [edge if random.random() < 0.5 else edge[::-1] for edge in edges]
    random.shuffle(other)
    a, b = run(edges, alive, size), run(other, alive, size)
    assert a.dropped.tolist() == b.dropped.tolist()
    assert a.kept.tolist() == b.kept.tolist()


@given(graphs(), st.lists(st.booleans(), min_size=DOCUMENTS, max_size=DOCUMENTS), st.randoms())
def test_electing_again_is_electing_from_the_beginning(graph, then, random):
    edges, before, size = graph
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    left, right = pairs[:, 0], pairs[:, 1]
    exact = np.array([random.random() < 0.3 for _ in edges], bool)
    after = np.array(then)
    lost = np.zeros(DOCUMENTS, bool)
    lost[elect(left, right, before, size, exact).dropped] = True
    expected = np.zeros(DOCUMENTS, bool)
    expected[elect(left, right, after, size, exact).dropped] = True
    found = elect_again(left, right, exact, before != after, after, lost, size)
    assert found.tolist() == expected.tolist()


def test_a_chain_loses_its_middle_or_its_ends_never_more():
    everyone = np.ones(3, bool)
    assert run([(0, 1), (1, 2)], everyone, np.array([9, 5, 7])).dropped.tolist() == [1]
    assert run([(0, 1), (1, 2)], everyone, np.array([5, 9, 7])).dropped.tolist() == [0, 2]


def test_a_document_that_a_rule_drops_takes_nobody_with_it():
    found = run([(0, 1)], np.array([False, True]), np.array([9, 5]))
    assert found.dropped.tolist() == []


def test_a_long_chain_is_decided_in_one_pass():
    count = 200_000
    left = np.arange(count - 1)
    found = elect(left, left + 1, np.ones(count, bool), np.arange(count, 0, -1))
    assert found.dropped.tolist() == list(range(1, count, 2))


def test_strength_compares_as_measured():
    edges = pa.table(
        {
            "kind": ["near", "near", "exact", "near"],
            "jaccard": pa.array([0.8, 0.79, 0.1, 0.5], pa.float32()),
            "containment": pa.array([0.8, 0.99, 0.1, 0.9], pa.float32()),
        }
    )
    assert Strength(0.8).of(edges).tolist() == [True, False, True, False]
    assert Strength(0.8, containment=0.9).of(edges).tolist() == [True, True, True, True]


def test_positions_go_both_ways_and_refuse_strangers():
    positions = Positions([3, 0, 2])
    gid = np.array([0, 2, 2 << 32, (2 << 32) + 1], np.uint64)
    assert positions.of(gid).tolist() == [0, 2, 3, 4]
    assert positions.gids(np.array([0, 2, 3, 4])).tolist() == gid.tolist()
    for stranger in (3, 1 << 32, 9 << 32):
        with pytest.raises(ValueError, match="not in the workspace"):
            positions.of(np.array([stranger], np.uint64))
