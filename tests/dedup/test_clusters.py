from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tamis import documents
from tamis.dedup.clusters import AbsurdRemoval, BelowFloor, Clusters, Limits, Removal, guard, sources_by_shard

SECOND = 1 << 32
DEFAULT = Limits(least=20)  # the fixture is small


@pytest.fixture
def clusters(tmp_path: Path) -> Clusters:
    rows = [
        (1, 2, "exact", 1.0, 1.0),
        (1, 3, "near", 0.8, 0.9),
        (4, 5, "near", 0.79, 0.85),
        (6, 7, "near", 0.5, 0.99),
        *((SECOND, SECOND + i, "near", 0.95, 0.99) for i in range(1, 30)),
    ]
    table = pa.Table.from_pylist(
        [
            dict(zip(("left", "right", "kind", "jaccard", "containment"), row, strict=True)) | {"bands": 1}
            for row in rows
        ],
        documents.EDGES,
    )
    documents.write_table(tmp_path / "edges.parquet", table, documents.EDGES)
    return Clusters.read([tmp_path / "edges.parquet"], 100)


def test_a_threshold_includes_its_own_value(clusters: Clusters) -> None:
    assert clusters.duplicates == 2 + 29
    assert clusters.duplicate_ratio == 0.31
    assert clusters.rethreshold(0.79).duplicates == 3 + 29
    assert clusters.rethreshold(0.96).duplicates == 1
    assert clusters.rethreshold(0.8, containment=0.95).duplicates == 3 + 29
    assert clusters.duplicates == 2 + 29, "rethreshold gives a new object"


def test_what_was_not_recorded_cannot_be_asked(clusters: Clusters) -> None:
    with pytest.raises(BelowFloor, match=r"0\.4 is below 0\.5"):
        clusters.rethreshold(0.4)
    with pytest.raises(BelowFloor, match="containment"):
        clusters.rethreshold(0.8, containment=0.5)


def test_borderline_pairs_come_nearest_first(clusters: Clusters) -> None:
    found = clusters.borderline(3)
    assert [(pair.left, pair.right) for pair in found] == [(1, 3), (4, 5), (SECOND, SECOND + 1)]
    assert found[0].kind == "near"


def test_largest(clusters: Clusters) -> None:
    first, second = clusters.largest(2, sample=2)
    assert (first.root, first.size, first.sample) == (SECOND, 30, (SECOND, SECOND + 1))
    assert first.jaccard == pytest.approx(0.95)
    assert (second.root, second.size) == (1, 3)


def test_no_edges(tmp_path: Path) -> None:
    documents.write_table(tmp_path / "edges.parquet", documents.EDGES.empty_table(), documents.EDGES)
    clusters = Clusters.read([tmp_path / "edges.parquet"], 0)
    assert clusters.duplicate_ratio == 0
    assert clusters.largest() == []
    assert clusters.borderline() == []
    guard([Removal("a", 50, 0)], DEFAULT, clusters, sources_by_shard(["a"]), lambda gid: None)


def check(clusters: Clusters, *removals: Removal, limits: Limits = DEFAULT) -> None:
    source_of = sources_by_shard(["books", "crawl"])
    guard(removals, limits, clusters, source_of, lambda gid: f"https://example.org/\x1b[31m{gid}")


def test_guard_lets_a_plausible_removal_pass(clusters: Clusters) -> None:
    check(clusters, Removal("books", 50, 2), Removal("crawl", 100, 29))
    check(clusters, Removal("books", 3, 3))  # too small to judge


def test_guard_stops_an_absurd_removal(clusters: Clusters) -> None:
    with pytest.raises(AbsurdRemoval, match=r"crawl loses 58 of 60 documents \(96\.7%\)") as caught:
        check(clusters, Removal("books", 50, 2), Removal("crawl", 60, 58))
    message = str(caught.value)
    assert "30 documents, mean jaccard 0.95" in message
    assert f"https://example.org/?[31m{SECOND}" in message, "no escape code reaches the terminal"
    assert "dedup.guard.max_removed is 90%" in message


def test_guard_stops_one_cluster_that_is_the_source(clusters: Clusters) -> None:
    with pytest.raises(AbsurdRemoval, match="30 of 40 documents in one cluster") as caught:
        check(clusters, Removal("crawl", 40, 29))
    assert caught.value.source == "crawl"
    check(clusters, Removal("crawl", 40, 29), limits=Limits(max_cluster=0.8))


def test_guard_does_not_blame_a_cluster_that_a_rule_dropped(clusters: Clusters) -> None:
    check(clusters, Removal("crawl", 25, 2))


def test_sources_by_shard() -> None:
    gid = np.array([5, SECOND, SECOND + 7], np.uint64)
    assert sources_by_shard(["a", "b"])(gid).tolist() == ["a", "b", "b"]
