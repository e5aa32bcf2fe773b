from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tamis import documents
from tamis.dedup.edges import merge_task
from tamis.engine import InlineContext

Pairs = list[tuple[int, int]]


def table(pairs: Pairs) -> pa.Table:
    rows = [{"left": a, "right": b, "kind": "near", "jaccard": 0.5, "containment": 0.75, "bands": 1} for a, b in pairs]
    return pa.Table.from_pylist(rows, documents.EDGES)


@given(
    st.sets(st.tuples(st.integers(0, 12), st.integers(13, 20)), max_size=60),
    st.integers(1, 4),
    st.integers(40, 400),
)
def test_merge_gives_one_order_whatever_the_partitions(pairs: set[tuple[int, int]], parts: int, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for part in range(parts):
            paths.append(Path(folder) / f"{part}.parquet")
            mine = sorted(pair for pair in pairs if sum(pair) % parts == part)
            with documents.ParquetShard(paths[-1], documents.EDGES, group_bytes=size) as file:
                for batch in table(mine).to_batches():
                    file.write(batch)
        output = Path(folder) / "all.parquet"
        summary = merge_task(InlineContext(), {}, paths, [output])
        assert summary == {"in": len(pairs), "out": len(pairs)}
        assert documents.read_table(output).equals(table(sorted(pairs)))


def test_merge_of_nothing(tmp_path: Path) -> None:
    documents.write_table(tmp_path / "none.parquet", documents.EDGES.empty_table(), documents.EDGES)
    summary = merge_task(InlineContext(), {}, [tmp_path / "none.parquet"] * 2, [tmp_path / "all.parquet"])
    assert summary == {"in": 0, "out": 0}
    assert documents.read_table(tmp_path / "all.parquet").num_rows == 0
