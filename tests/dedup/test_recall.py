"""Recall on real documents against an exact join of all pairs (Jaccard of 5-grams of `\\w+` words, lower-cased)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tamis import kernels
from tamis.dedup.classes import collapse
from tamis.verdicts.election import elect


def test_recall_of_true_pairs(data_dir: Path, edges_of: Callable[..., pa.Table]) -> None:
    docs = pq.read_table(data_dir / "dedup/docs.parquet", columns=["id", "text"])
    pairs = pq.read_table(data_dir / "dedup/pairs.parquet")
    if kernels.backend() == "reference":  # a hundred times slower: short documents only
        docs = docs.filter(pc.less(pc.utf8_length(docs.column("text")), 1500))
    place = {name: row for row, name in enumerate(docs.column("id").to_pylist())}
    true = [
        (place[p["a"]], place[p["b"]], p["jaccard5"]) for p in pairs.to_pylist() if {p["a"], p["b"]} <= place.keys()
    ]
    first, second = (np.array([pair[side] for pair in true]) for side in (0, 1))
    jaccard = np.array([pair[2] for pair in true])

    edges = edges_of(docs.column("text").to_pylist(), shards=4)
    left, right = edges.column("left").to_numpy(), edges.column("right").to_numpy()
    exact = pc.equal(edges.column("kind"), "exact").to_numpy()
    count = docs.num_rows
    alive, size = np.ones(count, bool), pc.utf8_length(docs.column("text")).to_numpy()
    classes = collapse(left, right, exact, alive, size)
    ends = np.sort(np.stack([classes.left, classes.right]), axis=0)
    a, b = np.sort(np.stack([classes.best[first], classes.best[second]]), axis=0)
    found = (a == b) | np.isin(a * count + b, ends[0] * count + ends[1])
    strong = exact | (edges.column("jaccard").to_numpy() >= np.float32(0.8))
    kept = alive.copy()
    kept[elect(left[strong], right[strong], alive, size, exact[strong]).dropped] = False
    settled = ~(kept[first] & kept[second])
    for low, high, least in ((0.8, 0.9, 0.98), (0.9, 1.01, 0.999)):
        inside = (jaccard >= low) & (jaccard < high)
        assert inside.sum() > 50
        assert found[inside].mean() >= least
        assert settled[inside].mean() >= least


def test_every_recorded_measure_is_true(data_dir: Path, edges_of: Callable[..., pa.Table]) -> None:
    """Jaccard and containment of edges against sets of word n-grams made here, from the normalized text."""
    docs = pq.read_table(data_dir / "dedup/docs.parquet", columns=["text"])
    docs = docs.filter(pc.less(pc.utf8_length(docs.column("text")), 1200)).slice(0, 1200)
    texts = docs.column("text").to_pylist()
    words = [t.split() for t in kernels.normalize(pa.array(texts, pa.large_string()), digits=False).to_pylist()]
    edges = edges_of(texts).to_pylist()
    assert len(edges) > 100
    for edge in edges:
        a, b = (set(zip(*(words[edge[side]][i:] for i in range(5)), strict=False)) for side in ("left", "right"))
        both = len(a & b)
        assert edge["jaccard"] == np.float32(both / len(a | b))
        assert edge["containment"] == np.float32(both / min(len(a), len(b)))
        assert (edge["kind"] == "exact") == (words[edge["left"]] == words[edge["right"]])
